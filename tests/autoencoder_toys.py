"""What the tests of autoencoders' methods share: a method with its batch, a step phase by phase, and losses by hand.

In float64, but for methods that bring float32 constants of their own (M2, and the maximum mean discrepancy).
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from digit_toys import batch_of, beside, method_of, parse_config
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Laplace, Normal, kl_divergence

from unit.config import Config
from unit.data.labeled import ImageBatch
from unit.methods.base import Method, Phase
from unit.models.m2 import M2Network
from unit.networks.codes import ConditionalMLP

M = TypeVar("M", bound=Method[Any])

FLOAT32 = ("m2", "m1m2", "wae")
"""Methods with constants in float32, WAE but for its adversary."""


def is_single(config: Any) -> bool:
    """Whether the method is run in float32."""
    return config.method in FLOAT32 and getattr(config.model, "regularizer", "mmd") == "mmd"


def made(kind: type[M], name: str, *, fraction_labeled: float = 0.3, **keys: Any) -> tuple[M, ImageBatch]:
    """The method of METHODS[name] for images of 16 × 16, all smooth, and a batch for it; where the config has labels,
    that share of the images is labeled."""
    config: Config = parse_config(name, **keys)
    labels = getattr(getattr(config, "data", None), "labeled", 0)
    method = method_of(config, fraction_labeled=fraction_labeled if labels else 0.0)
    assert isinstance(method, kind)
    batch = batch_of(4, labeled=6 if labels else 0)
    if is_single(config):
        return method, in_float32(batch)
    for network in method.networks.values():
        network.double()
    return method, batch


def in_float32(batch: ImageBatch) -> ImageBatch:
    return replace(batch, x=batch.x.float(), labeled=None if batch.labeled is None else in_float32(beside(batch)))


def close(actual: Tensor, expected: Tensor) -> None:
    """As near as the actual numbers' type allows."""
    tolerance = 1e-10 if actual.dtype == torch.float64 else 2e-5
    torch.testing.assert_close(actual, expected.to(actual.dtype), rtol=tolerance, atol=tolerance)


def one_hot(y: Tensor, classes: int = 10) -> Tensor:
    return torch.eye(classes, dtype=torch.float64)[y]


def descend(method: Method[Any]) -> None:
    """One gradient step of all, so that the next phase sees other networks; then no gradients."""
    with torch.no_grad():
        for network in method.networks.values():
            for parameter in network.parameters():
                if parameter.grad is not None:
                    parameter.sub_(1e-3 * parameter.grad)
                parameter.grad = None


def steps(method: Method[Any], batch: ImageBatch, *, recompute: bool = False) -> Iterator[Phase]:
    """The phases of a step, each with its gradients; the networks move before the next."""
    for phase in method.phases(method.networks, batch, recompute=recompute):
        phase.loss.backward()
        yield phase
        descend(method)


# Losses by hand.

LIKELIHOODS: dict[str, Any] = {
    "bernoulli": lambda output, scale: Bernoulli(logits=output, validate_args=False),  # of gray levels: cross-entropy
    "gaussian": lambda output, scale: Normal(output, math.sqrt(scale)),
    "laplace": lambda output, scale: Laplace(output, scale),
}


def reconstruction_of(law: Distribution, x: Tensor) -> Tensor:
    """−log p(x|z), averaged over the images."""
    return -law.log_prob(x).flatten(1).sum(1).mean()


def gaussian_of(output: Tensor) -> Normal:
    """The encoder's output: the mean, and then the logarithm of the variance."""
    d = output.shape[1] // 2
    return Normal(output[:, :d], torch.exp(output[:, d:] / 2))


def kl_of(q: Normal) -> Tensor:
    """KL(q ‖ N(0, I)), averaged over the images."""
    return kl_divergence(q, Normal(torch.zeros_like(q.mean), torch.ones_like(q.mean))).sum(1).mean()


def judged(logits: Tensor, *, real: bool) -> Tensor:
    """The loss of a discriminator that should have said so."""
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


# M2's bounds by hand.


def concatenating(network: ConditionalMLP) -> nn.Sequential:
    """The same as an ordinary perceptron of cat([x, y])."""
    first = nn.Linear(network.x.in_features, network.x.out_features)
    first.weight, first.bias = network.x.weight, network.x.bias
    return nn.Sequential(first, *network.rest)


def plain_l(m2: M2Network, x: Tensor, y: Tensor, noise: Tensor, likelihood: str = "bernoulli") -> Tensor:
    """−log p(x|y, z) − log p(y) + KL for each image; x (B, n), y one-hot (B, 10)."""
    q = gaussian_of(concatenating(m2.encoder)(torch.cat([x, y], dim=1)))
    output = concatenating(m2.decoder)(torch.cat([q.mean + q.stddev * noise, y], dim=1))
    law = Bernoulli(logits=output, validate_args=False) if likelihood == "bernoulli" else gaussian_of(output)
    kl = kl_divergence(q, Normal(torch.zeros_like(q.mean), torch.ones_like(q.mean))).sum(1)
    return -law.log_prob(x).sum(1) + math.log(10) + kl


def plain_u(m2: M2Network, x: Tensor, seen: Tensor, noise: Tensor, likelihood: str = "bernoulli") -> Tensor:
    """Σ_y q(y|x)·L(x, y) − H(q(y|x)) for each image."""
    q = m2.classifier(seen).softmax(1)
    total = torch.zeros(len(x), dtype=x.dtype)
    for label in range(10):
        y = one_hot(torch.full((len(x),), label)).to(x.dtype)
        total = total + q[:, label] * plain_l(m2, x, y, noise, likelihood)
    return total - (-q * q.log()).sum(1)
