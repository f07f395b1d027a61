"""Faults that processes of a group can have: what a training on several must not do, and what may happen to one."""

import itertools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from types import FrameType
from typing import Any
from unittest.mock import patch

import torch
from accelerate import Accelerator

from unit import draws
from unit.data.batches import DataError, Shard
from unit.data.labeled import ImageBatch
from unit.evaluation.judge import Judge
from unit.evaluation.metric import Figures
from unit.methods import translation
from unit.methods.base import Method, Phase
from unit.training import checkpoint, loop, run_folder
from unit.training.signals import StopFlag


def bare(name: str) -> Callable[[], AbstractContextManager[Any]]:
    """A network is called past its wrapper."""

    def plant() -> AbstractContextManager[Any]:
        training_step = loop.training_step

        def faulty(method: Any, wrapped: Any, *rest: Any, **more: Any) -> Iterator[Any]:
            return training_step(method, {**wrapped, name: method.networks[name]}, *rest, **more)

        return patch.object(loop, "training_step", faulty)

    return plant


def two_backward_passes() -> AbstractContextManager[Any]:
    """The gradients of two halves of a loss, one after another, of one pass of the wrapped network."""
    backward = Accelerator.backward

    def faulty(self: Accelerator, loss: torch.Tensor) -> None:
        backward(self, loss / 2, retain_graph=True)
        backward(self, loss / 2)

    return patch.object(Accelerator, "backward", faulty)


def latent_by_place_on_the_rank() -> AbstractContextManager[Any]:
    """Noise by the image's place on its rank, not in the global batch."""
    normals = draws.normals

    def faulty(shape: tuple[int, ...], *key: draws.Key, positions: range, device: torch.device) -> torch.Tensor:
        return normals(shape, *key, positions=range(len(positions)), device=device)

    return patch.object(draws, "normals", faulty)


def augmentation_by_place_on_the_rank() -> AbstractContextManager[Any]:
    positions, uniforms = Shard.positions, draws.uniforms
    own = [range(0)]

    def noted(self: Shard, number: int) -> range:
        own[0] = positions(self, number)
        return own[0]

    def faulty(count: int, *key: draws.Key) -> torch.Tensor:
        *rest, position = key
        assert isinstance(position, int)
        return uniforms(count, *rest, position - own[0].start)

    stack = ExitStack()
    stack.enter_context(patch.object(Shard, "positions", noted))
    stack.enter_context(patch.object(draws, "uniforms", faulty))
    return stack


def digits_noise_by_place_on_the_rank() -> AbstractContextManager[Any]:
    return patch.object(ImageBatch, "take_rows", lambda self, drawn: drawn[: len(self.positions)].to(self.x.device))


def local_batch_size() -> AbstractContextManager[Any]:
    """The data goes on by a process's own number of images per step."""
    indices = Shard.indices

    def faulty(self: Shard, count: int, domain: str, step: int, positions: range) -> list[int]:
        return indices(replace(self, batch_size=self.batch_size // self.processes), count, domain, step, positions)

    return patch.object(Shard, "indices", faulty)


def undivided_loss() -> AbstractContextManager[Any]:
    """Each micro-batch of an accumulated batch counts as if it were all of it."""
    backward = Accelerator.backward
    return patch.object(Accelerator, "backward", lambda self, loss: backward(self, loss * 2))


def nothing_set_for_accelerate() -> AbstractContextManager[Any]:
    others = {name: value for name, value in os.environ.items() if not name.startswith("ACCELERATE_")}
    return patch.dict(os.environ, others, clear=True)


def disk_full() -> AbstractContextManager[Any]:
    return patch.object(checkpoint, "save_file", side_effect=OSError(28, "No space left on device"))


def no_images_on_rank_1() -> AbstractContextManager[Any]:
    missing = DataError("data: no folder") if os.environ.get("RANK") == "1" else None
    return patch.object(translation, "open_domains", wraps=translation.open_domains, side_effect=missing)


def not_finite_on_rank_1() -> AbstractContextManager[Any]:
    """A term of the loss that is NaN there alone."""
    training_step = loop.training_step

    def faulty(
        method: Method[Any], wrapped: Any, micro_batches: list[Any], *rest: Any, inspect: Any, **more: Any
    ) -> Iterator[Any]:
        def spoiled(phases: list[Phase], optimizer: Any) -> None:
            if micro_batches[0].step == 2 and os.environ["RANK"] == "1":
                name = next(iter(phases[0].terms))
                phases[0].terms[name] = phases[0].terms[name] * torch.nan
            inspect(phases, optimizer)

        return training_step(method, wrapped, micro_batches, *rest, inspect=spoiled, **more)

    return patch.object(loop, "training_step", faulty)


def stuck_in_step_3() -> AbstractContextManager[Any]:
    """It says when it is, and when a signal was taken note of."""
    training_step, note = loop.training_step, StopFlag.note

    def noted(stop: StopFlag, number: int, frame: FrameType | None) -> None:
        note(stop, number, frame)
        os.write(1, b"noted\n")

    def faulty(method: Method[Any], wrapped: Any, micro_batches: list[Any], *rest: Any, **more: Any) -> Iterator[Any]:
        if micro_batches[0].step == 2:
            print("stuck", flush=True)
            for _ in range(600):  # a signal's handler does not wake a sleeper for good
                time.sleep(0.1)
        return training_step(method, wrapped, micro_batches, *rest, **more)

    stack = ExitStack()
    stack.enter_context(patch.object(StopFlag, "note", noted))
    stack.enter_context(patch.object(loop, "training_step", faulty))
    return stack


def long_validation() -> AbstractContextManager[Any]:
    """The first takes no time, the others two seconds, of which it says when they begin."""
    judged = itertools.count()

    def slowly(self: Judge, model: Any, device: Any) -> tuple[float, Figures]:
        if next(judged):
            print("validating", flush=True)
            time.sleep(2)
        return 1.0, Figures({"a2b2a": {"levels": 1.0}})

    return patch.object(Judge, "__call__", slowly)


FAULTS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "bare translator": bare("translator"),
    "bare discriminators": bare("discriminators"),
    "bare encoder": bare("encoder"),
    "two backward passes": two_backward_passes,
    "latent by rank": latent_by_place_on_the_rank,
    "augmentation by rank": augmentation_by_place_on_the_rank,
    "digits' noise by rank": digits_noise_by_place_on_the_rank,
    "local batch size": local_batch_size,
    "undivided loss": undivided_loss,
    "nothing set for Accelerate": nothing_set_for_accelerate,
    "disk full": disk_full,
    "impatient": lambda: patch.object(run_folder, "PATIENCE", 0.2),
    "no images on rank 1": no_images_on_rank_1,
    "not finite on rank 1": not_finite_on_rank_1,
    "stuck in step 3": stuck_in_step_3,
    "long validation": long_validation,
}
