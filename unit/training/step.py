"""One training step: for each of the method's phases, backpropagate its loss and step its optimizer.

Every network is called through its wrapper where its gradients are wanted, so that all processes take the same step.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from torch import nn
from torch.nn.utils.parametrize import ParametrizationList
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from unit.config.base import Config
from unit.data.batches import Batches
from unit.methods.base import Method, Phase
from unit.networks.norms import RunningStatistics
from unit.training.signals import prepare_worker

B = TypeVar("B")


def training_step(
    method: Method[B],
    wrapped: Mapping[str, nn.Module],
    micro_batches: list[B],
    accelerator: Accelerator,
    optimizers: Mapping[str, Optimizer],
    *,
    inspect: Callable[[list[Phase], Optimizer], None] = lambda phases, optimizer: None,
    rehearsal: bool = False,
) -> Iterator[list[Phase]]:
    """For each of the method's phases, backpropagate its loss over all micro-batches and step its optimizer, which
    `inspect` sees first; then yield what each micro-batch lost.

    The micro-batches' phases go side by side, so that every one sees the networks as the phase before left them, and
    the gradients are synchronized with the last one's. A `rehearsal` leaves everything as it is.
    """
    streams = [method.phases(wrapped, batch, recompute=len(micro_batches) > 1) for batch in micro_batches]

    def advance_norms(wanted: bool) -> None:
        """Spectral norm and running statistics advance once per phase, not once per micro-batch, and not in a
        rehearsal."""
        if len(micro_batches) > 1 or rehearsal:
            for network in wrapped.values():
                for module in network.modules():
                    if isinstance(module, ParametrizationList | RunningStatistics):
                        module.train(wanted)

    while True:
        phases: list[Phase] = []
        for stream in streams:
            advance_norms(not phases and not rehearsal)
            with ExitStack() as stack:
                if len(phases) + 1 < len(streams):
                    for network in wrapped.values():
                        stack.enter_context(accelerator.no_sync(network))
                phase = next(stream, None)
                if phase is None:
                    advance_norms(True)
                    return
                accelerator.backward(phase.loss / len(streams))
            phases.append(phase)
        optimizer = optimizers[phases[0].optimizer]
        inspect(phases, optimizer)
        if not rehearsal:
            optimizer.step()
        optimizer.zero_grad()
        yield phases


def rehearse(
    method: Method[B],
    wrapped: Mapping[str, nn.Module],
    micro_batches: list[B],
    accelerator: Accelerator,
    optimizers: Mapping[str, Optimizer],
) -> None:
    """Take the first step without changing anything, where more than two processes train.

    After the first backward pass DDP puts the gradients into buckets anew, and the order in which more than two
    processes sum up depends on the place in a bucket: so the first step of a training that goes on would differ by
    rounding from that of one that was not broken off.
    """
    if accelerator.num_processes <= 2:
        return
    state = copy.deepcopy(method.state.state_dict())
    for batches in zip(*(method.rehearsed(batch) for batch in micro_batches), strict=True):
        for _ in training_step(method, wrapped, list(batches), accelerator, optimizers, rehearsal=True):
            pass
    method.state.load_state_dict(state)


def iterate_micro_batches(
    batches: Batches[Any, B], config: Config, device: torch.device, start: int
) -> Iterator[list[B]]:
    """From step `start` on, each step's micro-batches of this process, augmented on the training device."""
    count = config.train.accumulation
    numbers = range(start * count, config.train.steps * count)
    loader: DataLoader[Any] = DataLoader(
        batches,
        batch_size=None,
        sampler=numbers,
        num_workers=batches.workers,
        pin_memory=device.type == "cuda",
        worker_init_fn=prepare_worker,
    )
    step: list[B] = []
    for number, stored in zip(numbers, loader, strict=True):
        step.append(batches.prepare(stored, number, device))
        if len(step) == count:
            yield step
            step = []
