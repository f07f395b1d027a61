"""What a step costs, in floating-point operations of its convolutions: what is shared or reused is not run twice."""

import pytest
import torch
from accelerate import Accelerator
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode
from unit_toys import untrained

from unit.config import OptimConfig
from unit.data.two_domains import TranslationBatch
from unit.methods.unit import LossConfig, UnitConfig
from unit.training.optim import adam
from unit.training.step import training_step


def flops_of_a_step(loss: LossConfig, *, micro_batches: int = 1) -> int:
    """Operations of one training step of the paper's networks, one image of 128 × 128 per domain and micro-batch: a
    multiplication and an addition count two. Fake tensors have shapes and no numbers, so nothing is computed."""
    cpu = torch.device("cpu")
    accelerator = Accelerator(cpu=True)
    with FakeTensorMode(), FlopCounterMode(display=False) as counter:
        method = untrained(UnitConfig(loss=loss))
        optimizers = {name: adam([network], OptimConfig(), cpu) for name, network in method.networks.items()}
        batches = [
            TranslationBatch(torch.zeros(1, 3, 128, 128), torch.zeros(1, 3, 128, 128), 0, range(part, part + 1), 0)
            for part in range(micro_batches)
        ]
        step = training_step(method, method.networks, batches, accelerator, optimizers)
        assert [phases[0].optimizer for phases in step] == list(method.networks)
    flops = counter.get_flop_counts()["Global"]
    assert all("convolution" in str(operation) for operation in flops)
    return sum(flops.values())


# By hand, in operations, from the table of the networks: 2 · kernel² · in · out for each place of the kernel.
PIXELS = 128 * 128
CONV7 = 2 * 49 * 3 * 64 * PIXELS
DOWN = 2 * 9 * 64 * 128 * PIXELS // 4 + 2 * 9 * 128 * 256 * PIXELS // 16
BLOCK = 2 * (2 * 9 * 256 * 256) * PIXELS // 16
UP = 2 * 9 * 256 * 128 * PIXELS // 16 + 2 * 9 * 128 * 64 * PIXELS // 4
HEAD = 2 * 64 * 3 * PIXELS
D_FIRST = 2 * 9 * 3 * 64 * PIXELS // 4
D_REST = (
    2 * 9 * (64 * 128 * PIXELS // 16 + 128 * 256 * PIXELS // 64 + 256 * 512 * PIXELS // 256)
    + 2 * 9 * 512 * 1024 * PIXELS // 1024
    + 2 * 1024 * PIXELS // 1024
)


def by_hand() -> int:
    """Each image encoded once, each translation made once; a convolution's backward pass costs its forward pass twice,
    once for the weights and once for the input, unless either wants no gradient."""
    encoders = 4 * 3 * (CONV7 + DOWN + 4 * BLOCK) - 2 * CONV7  # x_a, x_b, x_ab, x_ba; x_a and x_b want no gradient
    generators = 4 * 3 * BLOCK + 6 * 3 * (3 * BLOCK + UP + HEAD)  # four codes; x_aa, x_ab, x_aba and the same in b
    learning = 4 * (3 * (D_FIRST + D_REST) - D_FIRST)  # real and fake in both domains; images want no gradient
    frozen = 2 * 2 * (D_FIRST + D_REST)  # the translations, by frozen discriminators
    return encoders + generators + learning + frozen


def test_a_step_of_the_papers_networks_costs_what_it_must() -> None:
    flops = flops_of_a_step(LossConfig())
    assert flops == by_hand()
    assert flops <= 335e9


@pytest.mark.parametrize(
    ("loss", "saved"),
    [
        (LossConfig(reconstruction=0), 2 * 3 * (3 * BLOCK + UP + HEAD)),
        (LossConfig(cycle=0), 2 * 3 * (3 * BLOCK + UP + HEAD) + 2 * 3 * BLOCK),
        (
            LossConfig(gan=0),
            4 * (3 * (D_FIRST + D_REST) - D_FIRST) + 2 * 2 * (D_FIRST + D_REST),
        ),
    ],
)
def test_a_term_of_weight_0_saves_its_cost(loss: LossConfig, saved: int) -> None:
    assert flops_of_a_step(loss) == by_hand() - saved


def test_accumulation_costs_at_most_one_more_forward_pass() -> None:
    forward = 4 * (CONV7 + DOWN + 4 * BLOCK) + 4 * BLOCK + 6 * (3 * BLOCK + UP + HEAD)
    assert flops_of_a_step(LossConfig(), micro_batches=2) <= 2 * (by_hand() + forward)
