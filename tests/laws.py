"""What tests of mathematical laws share: seeded float64 numbers, gradients, and how near is near enough."""

import math

import torch
from torch import Tensor, nn


def normals(*shape: int, seed: int) -> Tensor:
    """N(0, 1) numbers, float64."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def uniforms(*shape: int, seed: int) -> Tensor:
    """Uniform numbers in [0, 1), float64."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def close(actual: Tensor, expected: Tensor, tolerance: float = 1e-10) -> None:
    """Absolutely, or relatively where the numbers are large."""
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


def gradient(value: Tensor, at: Tensor) -> Tensor:
    (answer,) = torch.autograd.grad(value, at)
    return answer


def worst_z(samples: Tensor, expected: Tensor) -> float:
    """How many standard errors the mean over the first dimension is away from what is expected, where it is worst."""
    error = samples.std(0) / math.sqrt(len(samples))
    return ((samples.mean(0) - expected).abs() / error).max().item()


def gradients(network: nn.Module) -> dict[str, Tensor]:
    """A copy of each parameter's gradient; all have one."""
    assert all(parameter.grad is not None for parameter in network.parameters())
    return {
        name: parameter.grad.clone() for name, parameter in network.named_parameters() if parameter.grad is not None
    }


def inputs_of(network: nn.Module) -> list[tuple[Tensor, ...]]:
    """What the network is called with from now on, call by call."""
    seen: list[tuple[Tensor, ...]] = []
    network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs))
    return seen


def in_one_line(error: Exception) -> str:
    """The message of an error that a user gets, which must be one line."""
    message = str(error)
    assert message and len(message.splitlines()) == 1
    return message
