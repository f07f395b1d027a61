"""Groups of real processes, each of which trains one config after another and keeps a diary of every step.

They are forked from a server that has imported torch once, so that a group starts in a moment. Faults can be planted
in them (process_faults.py): what a test finds right must also be found wrong where it is.
"""

import contextlib
import hashlib
import json
import multiprocessing
import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from accelerate.state import AcceleratorState
from process_faults import FAULTS
from torch import nn
from waiting import HANGS, wait_for

from unit import weights
from unit.cli.train import train
from unit.data.batches import Shard
from unit.methods.base import Method
from unit.proof.resume import free_port
from unit.training import loop

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["unit.training", "unit.cli.train", "torch.nn.parallel"])


@dataclass(frozen=True)
class Job:
    """One training: its command line, where its diaries go (a folder), the fault that is planted in it, whether all
    is computed in float64, and whether activations are smooth."""

    arguments: list[str]
    diary: Path | None = None
    fault: str = ""
    double: bool = False
    smooth: bool = False


def take(jobs: list[Job], rank: int = 0) -> int:
    """Train one after another, to the first that fails."""
    for job in jobs:
        AcceleratorState._reset_state(reset_partial_state=True)
        with ExitStack() as stack:
            stack.enter_context(doubled() if job.double else nullcontext())
            stack.enter_context(smoothed() if job.smooth else nullcontext())
            stack.enter_context(FAULTS[job.fault]() if job.fault else nullcontext())
            stack.enter_context(kept(job.diary, rank))
            code = train([str(argument) for argument in job.arguments])
        if code:
            return code
    return 0


@contextlib.contextmanager
def doubled() -> Iterator[None]:
    """Within this context fp32 is float64."""
    torch.set_default_dtype(torch.float64)
    try:
        with patch.object(torch.Tensor, "float", torch.Tensor.double):
            yield
    finally:
        torch.set_default_dtype(torch.float32)


def smoothed() -> AbstractContextManager[Any]:
    """Within this context ReLUs have no kink, which rounding could carry an activation over."""
    return patch.object(nn, "LeakyReLU", lambda slope, inplace=False: nn.Softplus(beta=10))


# Diaries


Images = dict[str, dict[str, int]]


@dataclass(frozen=True)
class Entry:
    """One rank's step, counted from 0: its images by domain and position in the global batch, and its weights'
    SHA-256."""

    step: int
    images: Images
    weights: str


@contextlib.contextmanager
def kept(folder: Path | None, rank: int) -> Iterator[None]:
    """Within this context a line is written on every step; images that loaders read are not known."""
    if folder is None:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    images: dict[int, Images] = defaultdict(lambda: defaultdict(dict))
    indices, training_step = Shard.indices, loop.training_step

    def noted(shard: Shard, count: int, domain: str, step: int, positions: range) -> list[int]:
        found = indices(shard, count, domain, step, positions)
        images[step][domain] |= dict(zip(map(str, positions), found, strict=True))
        return found

    def taken(method: Method[Any], wrapped: Any, micro_batches: list[Any], *rest: Any, **more: Any) -> Iterator[Any]:
        yield from training_step(method, wrapped, micro_batches, *rest, **more)
        step = micro_batches[0].step
        line = {"step": step, "images": images.pop(step, {}), "weights": digest(method.networks)}
        with (folder / f"rank-{rank}.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")

    with patch.object(Shard, "indices", noted), patch.object(loop, "training_step", taken):
        yield


def digest(networks: Mapping[str, nn.Module]) -> str:
    sha = hashlib.sha256()
    for network in networks.values():
        for key, tensor in weights.collect_tensors(network).items():
            if ".running." not in key:  # statistics: every rank has rank 0's as soon as the network is called again
                sha.update(tensor.numpy().data)
    return sha.hexdigest()


def diary(folder: Path) -> dict[int, list[Entry]]:
    """What the ranks wrote, by step."""
    steps: dict[int, list[Entry]] = defaultdict(list)
    for path in sorted(folder.glob("rank-*.jsonl")):
        for line in path.read_text().splitlines():
            entry = Entry(**json.loads(line))
            steps[entry.step].append(entry)
    return steps


# Groups


def live(rank: int, count: int, port: int, jobs: list[Job], folder: Path, limit: float) -> None:
    """The life of one process of a group, which is the leader of a session of its own."""
    os.setsid()
    multiprocessing.set_start_method(None, force=True)  # type: ignore[arg-type]  # the loaders', as everywhere
    for descriptor, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(folder / f"{rank}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    os.environ |= {"ACCELERATE_USE_CPU": "true"}
    if count > 1:
        os.environ |= {
            "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count),
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
        }  # fmt: skip
    with ExitStack() as stack:
        stack.enter_context(patch.object(weights, "flush", lambda path: None))  # it costs seconds
        if count > 1 and len(jobs) > 1:  # one group for all of them
            torch.distributed.init_process_group("gloo", timeout=timedelta(seconds=limit))
            stack.enter_context(patch.object(torch.distributed, "destroy_process_group", lambda group=None: None))
        code = take(jobs, rank)
    sys.exit(code)


@dataclass(frozen=True)
class Ended:
    """How the processes of a group ended, and what they said, by rank."""

    codes: list[int | None]
    out: list[str]
    err: list[str]


class Group:
    """So many processes that take the jobs together; all are killed, with their loaders' processes, in the end."""

    def __init__(self, count: int, jobs: list[Job], folder: Path, *, limit: float = 60) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.end = folder, time.monotonic() + limit
        port = free_port()
        self.processes = [
            CONTEXT.Process(target=live, args=(rank, count, port, jobs, folder, limit)) for rank in range(count)
        ]

    def __enter__(self) -> "Group":
        for process in self.processes:
            process.start()
        return self

    def __exit__(self, *error: object) -> None:
        for process in self.processes:
            if process.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.kill()
                process.join()

    def signal(self, rank: int, number: signal.Signals, *, loaders: bool = False) -> None:
        """To one process, or to its loaders too."""
        process = self.processes[rank].pid
        assert process is not None
        (os.killpg if loaders else os.kill)(process, number)

    def said(self, rank: int, stream: str = "out") -> str:
        path = self.folder / f"{rank}.{stream}"
        return path.read_text() if path.exists() else ""

    def errors(self) -> list[str]:
        return [self.said(rank, "err") for rank in range(len(self.processes))]

    @property
    def over(self) -> bool:
        return all(not process.is_alive() for process in self.processes)

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for it, within the group's limit."""
        wait_for(condition, over=lambda: self.over, said=self.errors, limit=self.end - time.monotonic())

    def ended(self, limit: float | None = None) -> Ended:
        """Once all have ended; that they do within the group's limit, or this one, is a law."""
        if limit is not None:
            self.end = time.monotonic() + limit
        self.until(lambda: self.over)
        said = [self.said(rank) for rank in range(len(self.processes))]
        return Ended([process.exitcode for process in self.processes], said, self.errors())


@contextlib.contextmanager
def forked(target: Callable[..., None], *arguments: Any) -> Iterator[tuple[Any, Any]]:
    """A process that calls `target(*arguments, connection)`, and the first that it sends; it is killed in the end."""
    here, there = CONTEXT.Pipe()
    process = CONTEXT.Process(target=target, args=(*arguments, there))
    process.start()
    there.close()
    try:
        assert here.poll(HANGS), "it says nothing"
        yield process, here.recv()
    finally:
        process.kill()
        process.join()
        here.close()


def train_in_group(count: int, jobs: list[Job], folder: Path, *, limit: float = 60) -> Ended:
    with Group(count, jobs, folder, limit=limit) as group:
        ended = group.ended()
    assert ended.codes == [0] * count, ended.err
    return ended
