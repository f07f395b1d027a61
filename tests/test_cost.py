"""What a step costs, in floating-point operations of its convolutions: what is shared or reused is not run twice."""

import pytest
import torch
from accelerate import Accelerator
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from unit.config import OptimConfig
from unit.config.unit import LossConfig, UnitConfig
from unit.data.folders import Batch
from unit.methods.unit import Unit
from unit.optim import adam
from unit.training import learn


def flops_of_a_step(loss: LossConfig, *, parts: int = 1) -> int:
    """Operations of one training step of the paper's networks, one image of 128 × 128 a domain and part: a
    multiplication and an addition count two. Fake tensors have shapes and no numbers, so nothing is computed."""
    cpu = torch.device("cpu")
    accelerator = Accelerator(cpu=True)
    with FakeTensorMode(), FlopCounterMode(display=False) as counter:
        method = Unit(UnitConfig(loss=loss))
        optimizers = {name: adam([network], OptimConfig(), cpu) for name, network in method.networks.items()}
        batches = [
            Batch(torch.zeros(1, 3, 128, 128), torch.zeros(1, 3, 128, 128), 0, range(part, part + 1), 0)
            for part in range(parts)
        ]
        learned = [phases[0].player for phases in learn(method, method.networks, batches, accelerator, optimizers)]
    assert learned == list(method.networks)
    flops = counter.get_flop_counts()["Global"]
    assert all("convolution" in str(operation) for operation in flops)
    return sum(flops.values())


# By hand, in operations, from the table of the networks: 2 · kernel² · in · out for each pixel where the kernel lies.
PIXELS = 128 * 128
CONV7 = 2 * 49 * 3 * 64 * PIXELS
DOWN = 2 * 9 * 64 * 128 * PIXELS // 4 + 2 * 9 * 128 * 256 * PIXELS // 16
BLOCK = 2 * (2 * 9 * 256 * 256) * PIXELS // 16
UP = 2 * 9 * 256 * 128 * PIXELS // 16 + 2 * 9 * 128 * 64 * PIXELS // 4
HEAD = 2 * 64 * 3 * PIXELS
JUDGE1 = 2 * 9 * 3 * 64 * PIXELS // 4
JUDGE = (
    2 * 9 * (64 * 128 * PIXELS // 16 + 128 * 256 * PIXELS // 64 + 256 * 512 * PIXELS // 256)
    + 2 * 9 * 512 * 1024 * PIXELS // 1024
    + 2 * 1024 * PIXELS // 1024
)


def by_hand() -> int:
    """Each image encoded once, each translation made once; a convolution's backward pass costs its forward pass twice,
    once for the weights and once for what came in, unless what came in, or the weights, want no gradient."""
    encoders = 4 * 3 * (CONV7 + DOWN + 4 * BLOCK) - 2 * CONV7  # x_a, x_b, x_ab, x_ba; x_a and x_b want no gradient
    generators = 4 * 3 * BLOCK + 6 * 3 * (3 * BLOCK + UP + HEAD)  # four codes; x_aa, x_ab, x_aba and the same in b
    learning = 4 * (3 * (JUDGE1 + JUDGE) - JUDGE1)  # real and fake in both domains; images want no gradient
    judging = 2 * 2 * (JUDGE1 + JUDGE)  # the translations, by discriminators that stand still
    return encoders + generators + learning + judging


def test_a_step_of_the_papers_networks_costs_what_it_must() -> None:
    flops = flops_of_a_step(LossConfig())
    assert flops == by_hand()
    assert flops <= 335e9


@pytest.mark.parametrize(
    ("loss", "saved"),
    [
        (LossConfig(reconstruction=0), 2 * 3 * (3 * BLOCK + UP + HEAD)),
        (LossConfig(cycle=0), 2 * 3 * (3 * BLOCK + UP + HEAD) + 2 * 3 * BLOCK),
        (LossConfig(gan=0), 4 * (3 * (JUDGE1 + JUDGE) - JUDGE1) + 2 * 2 * (JUDGE1 + JUDGE)),
    ],
)
def test_a_term_of_weight_0_saves_its_cost(loss: LossConfig, saved: int) -> None:
    assert flops_of_a_step(loss) == by_hand() - saved


def test_accumulation_costs_at_most_one_more_forward_pass() -> None:
    forward = 4 * (CONV7 + DOWN + 4 * BLOCK) + 4 * BLOCK + 6 * (3 * BLOCK + UP + HEAD)
    assert flops_of_a_step(LossConfig(), parts=2) <= 2 * (by_hand() + forward)
