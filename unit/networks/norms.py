"""Standardized images, and batch normalization that does not depend on how a batch is divided.

A batch norm mixes the images of a batch, so on several processes, or with gradient accumulation, the usual one gives
another training. This one takes its statistics over groups of `group` consecutive images; a group is never divided.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Standardize(nn.Module):
    """(x − mean) / deviation of each channel, with the statistics of images that it has measured, 0 and 1 until then:
    (B, C, H, W) → the same.

    A domain's images often fill a small part of [-1, 1], as street maps do, which are all pale; what tells two of them
    apart is then small beside what they share, and a network learns it late.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("deviation", torch.ones(channels, 1, 1))

    @torch.no_grad()
    def measure(self, x: Tensor) -> None:
        """Take the statistics of these images, (N, C, H, W) in [-1, 1]; a deviation is at least one gray level of 256,
        so that a channel of one value stays finite."""
        self.mean.copy_(x.mean((0, 2, 3))[:, None, None])
        self.deviation.copy_(x.std((0, 2, 3), correction=0).clamp(min=2 / 255)[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.deviation


class RunningStatistics(nn.Module):
    """Moving averages of each channel's mean and unbiased variance, which an evaluation normalizes with."""

    mean: Tensor
    variance: Tensor

    def __init__(self, channels: int, *, momentum: float = 0.1) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))

    @torch.no_grad()
    def update(self, x: Tensor) -> None:
        """Move towards the statistics of x: (B, C, …)."""
        rows = x.transpose(0, 1).flatten(1).to(self.mean.dtype)
        self.mean.lerp_(rows.mean(1), self.momentum)
        self.variance.lerp_(rows.var(1), self.momentum)


class BatchNorm(nn.Module):
    """(x − mean) / √(variance + ε) · weight + bias over groups of images (Ioffe & Szegedy 2015): (B, C, …) → the same.

    Args:
        channels: C.
        group: how many consecutive images of a batch share their statistics; B must be a multiple of it.
        momentum: of the running statistics.
        running: whether running statistics are kept. They move with the first group of each training pass that has a
            gradient, so that they are the same however the batch is divided, and an evaluation normalizes with them.
            Without them it normalizes each image by its own.

    Raises ValueError in training for a batch that holds a part of a group.
    """

    def __init__(
        self, channels: int, *, group: int = 1, momentum: float = 0.1, eps: float = 1e-5, running: bool = True
    ) -> None:
        super().__init__()
        self.group, self.eps = group, eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.running = RunningStatistics(channels, momentum=momentum) if running else None

    def forward(self, x: Tensor) -> Tensor:
        if self.running is not None and not self.training:
            mean, variance = self.running.mean, self.running.variance
            return F.batch_norm(x, mean, variance, self.weight, self.bias, eps=self.eps)
        group = self.group if self.training else 1
        groups, rest = divmod(len(x), group)
        if rest:
            raise ValueError(f"batch norm: {len(x)} images are no multiple of the {group} that are normalized together")
        if self.running is not None and self.running.training and torch.is_grad_enabled():
            self.running.update(x[:group])
        # Groups side by side as channels: (B, C, …) → (group, groups · C, …).
        y = x.reshape(groups, group, *x.shape[1:]).transpose(0, 1).flatten(1, 2)
        weight, bias = self.weight.repeat(groups), self.bias.repeat(groups)
        y = F.batch_norm(y, None, None, weight, bias, training=True, eps=self.eps)
        return y.reshape(group, groups, *x.shape[1:]).transpose(0, 1).reshape(x.shape)
