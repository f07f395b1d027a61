"""`unit prove-resume`: kill a training again and again, resume it, and compare its end with that of a
training that nobody killed.

A *life* is one training from its beginning to its end; it is killed several times on the way, each time resumed in a
fresh interpreter. Two kinds of kill take turns. One comes from outside, at a random time after a random event of the
training. The other strikes at a random event inside a save. All choices are drawn from one seed.
"""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from tqdm import tqdm

from unit.config.base import ConfigError
from unit.proof.events import Kind, Progress, SharedProgress
from unit.training import RunError, checkpoint
from unit.weights import list_checkpoints, step_of

DELAY = 0.01
"""Seconds, at most, from an event to the kill from outside."""
POLL = 0.0005
"""Seconds from one look at the progress to the next."""
CLOCK = ("seconds", "cpu_seconds", "images_per_second")
"""Keys of metrics.jsonl that no two trainings share."""


@dataclass
class Certificate:
    """What was done and found; `differences` is empty where every life ended as the unbroken training."""

    steps: int
    processes: int
    seed: int
    kills: Counter[str] = field(default_factory=Counter)
    in_saves: int = 0
    lives: int = 0
    compared: str = ""
    seconds: float = 0
    differences: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        return sum(self.kills.values())

    @property
    def exact(self) -> bool:
        return not self.differences

    def table(self) -> str:
        lives = "1 training" if self.lives == 1 else f"{self.lives} trainings"
        width = max(map(len, self.kills), default=0)
        outcome = "ended bit for bit as the unbroken one" if self.exact else "did not end as the unbroken one"
        return "\n".join(
            [
                *(f"  {stage:<{width}}  {count:3d}  {'#' * count}" for stage, count in sorted(self.kills.items())),
                *(f"  differs: {difference}" for difference in self.differences),
                f"{'exact' if self.exact else 'NOT EXACT'}: {lives} of {self.steps} steps, killed {self.count} times "
                f"({self.in_saves} in a save), {outcome}",
                f"compared: {self.compared}; processes {self.processes}, seed {self.seed}, {self.seconds:.0f} s",
            ]
        )


@dataclass(frozen=True)
class Plan:
    """What is trained: the options of `unit train`, with as many processes as are wanted."""

    arguments: list[str]
    steps: int
    every: int
    processes: int
    python: list[str] = field(default_factory=lambda: [sys.executable, "-m", "unit.cli.watched"])

    def config(self, run: Path) -> list[str]:
        """The keys of the config."""
        keys = {
            "train.steps": self.steps,
            "train.checkpoint_every": self.every,
            "train.sample_every": self.every,
            "train.log_every": 1,
            "train.deterministic": "true",
            "run.output": run,
        }
        own = [part for key, value in keys.items() for part in (f"--{key}", str(value))]
        return [*self.arguments, *own]


def prove(
    plan: Plan,
    folder: Path,
    *,
    kills: int = 50,
    in_saves: int | None = None,
    seed: int = 0,
) -> Certificate:
    """Train once unbroken, then live after life until `kills` kills struck, `in_saves` of them (by default a fifth)
    inside a save; everything is written below `folder`.

    Raises ConfigError where the config can't be trained, RunError where a training fails of itself or hangs.
    """
    begun = time.monotonic()
    draw = random.Random(seed)
    wanted = -(-kills // 5) if in_saves is None else min(in_saves, kills)
    certificate = Certificate(plan.steps, plan.processes, seed)
    whole = run_unbroken(plan, folder / "unbroken")
    limit = 60 + 10 * (time.monotonic() - begun)
    reach = {
        "event": 2 * whole.number * plan.every // plan.steps,
        "save": 2 * whole.in_saves * plan.every // plan.steps,
    }
    with tqdm(total=kills, unit="kill", leave=False, disable=None) as progress:
        while certificate.count < kills:
            certificate.lives += 1
            run = folder / f"life-{certificate.lives}"
            newest, finished = 0, False
            while not finished:
                left, left_in_saves = kills - certificate.count, wanted - certificate.in_saves
                kind: Kind = "save" if left <= left_in_saves or draw.random() < wanted / kills else "event"
                everyone = [*range(plan.processes)]
                victims = everyone if draw.random() < 0.5 else [draw.choice(everyone)]
                strike = Strike(kind, draw.randint(kind == "save", reach[kind]), draw.random() * DELAY, victims)
                died = killed(plan, run, strike if left > 0 else None, limit=limit)
                finished = died is None
                if died is not None:
                    certificate.kills[died.stage] += 1
                    certificate.in_saves += died.in_save
                    newest = whole_and_no_older(run, newest)
                    progress.update()
            differences, certificate.compared = compare(folder / "unbroken", run)
            certificate.differences += [f"life {certificate.lives}: {text}" for text in differences]
    certificate.seconds = time.monotonic() - begun
    return certificate


@dataclass(frozen=True)
class Strike:
    """When and whom to kill: inside a save at its event `number`, which kills the process that saves; or some seconds
    after event `number`, which kills the `victims`."""

    kind: Kind
    number: int
    delay: float
    victims: list[int]


def run_unbroken(plan: Plan, run: Path) -> Progress:
    """A training that nobody kills; its last progress."""
    with start_processes(plan, run, end=0) as (processes, progresses):
        wait(processes, None)
        raise_failure(processes, run)
        return progresses[0].read()


def killed(plan: Plan, run: Path, strike: Strike | None, *, limit: float) -> Progress | None:
    """Begin or go on with a run, and kill it; where it died, or None where it came to its end first.

    Of several processes those that were not killed must notice, and end by themselves.
    """
    end = strike.number if strike is not None and strike.kind == "save" else 0
    with start_processes(plan, run, end=end) as (processes, progresses):
        if strike is not None and strike.kind == "event":
            shared = progresses[strike.victims[0]]
            until = time.monotonic() + limit
            while shared.read().number < strike.number and all(process.poll() is None for process in processes):
                if time.monotonic() > until:
                    raise RunError(f"the training in {run} hangs: at {shared.read().stage} after {limit:.0f} s")
                time.sleep(POLL)
            time.sleep(strike.delay)
            for victim in strike.victims:
                processes[victim].kill()
        wait(processes, limit)
        dead = [rank for rank, process in enumerate(processes) if process.returncode == -signal.SIGKILL]
        if dead:
            return progresses[dead[0]].read()
        raise_failure(processes, run)
        return None


@contextmanager
def start_processes(
    plan: Plan, run: Path, *, end: int
) -> Iterator[tuple[list["subprocess.Popen[bytes]"], list[SharedProgress]]]:
    """The processes of one training, each with its progress; whatever is left of them is killed in the end."""
    run.parent.mkdir(parents=True, exist_ok=True)
    port = free_port()
    processes, progresses = [], []
    try:
        for rank in range(plan.processes):
            path = run.with_name(f"{run.name}.rank-{rank}.progress")
            path.unlink(missing_ok=True)
            progresses.append(SharedProgress(path))
            with run.with_name(f"{run.name}.rank-{rank}.log").open("wb") as log:
                own_end = end if rank == 0 else 0
                command = [*plan.python, str(path), str(own_end), *plan.config(run), "--resume", "auto"]
                environment = make_environment(rank, plan.processes, port)
                processes.append(subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT))
        yield processes, progresses
    finally:
        for process in processes:
            process.kill()
            process.wait()


def make_environment(rank: int, processes: int, port: int) -> dict[str, str]:
    """The environment variables of one process, as torchrun sets them; one that trains alone has none of these."""
    launch = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    environment = {key: value for key, value in os.environ.items() if key not in launch}
    environment["TORCHELASTIC_RUN_ID"] = "prove-resume"  # so that none outlives the prover (unit/signals.py)
    if processes > 1:
        environment |= {
            "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes),
            "LOCAL_WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
        }  # fmt: skip
        environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
        if not torch.cuda.is_available():
            environment["ACCELERATE_USE_CPU"] = "true"
    return environment


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait(processes: list["subprocess.Popen[bytes]"], limit: float | None) -> None:
    """Until all have ended; raises RunError where one has not within the limit."""
    until = None if limit is None else time.monotonic() + limit
    for rank, process in enumerate(processes):
        try:
            process.wait(None if until is None else max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise RunError(f"the training hangs: process {rank} did not end within {limit:.0f} s") from None


def raise_failure(processes: list["subprocess.Popen[bytes]"], run: Path) -> None:
    """Raise what the first process that failed said last."""
    for rank, process in enumerate(processes):
        if process.returncode:
            lines = run.with_name(f"{run.name}.rank-{rank}.log").read_text(errors="replace").split("\n")
            said = next((line for line in reversed(lines) if line.strip()), "it said nothing")
            if process.returncode == 2:
                raise ConfigError(said.removeprefix("error: "))
            raise RunError(f"the training in {run} failed: {said.removeprefix('error: ')}")


def whole_and_no_older(run: Path, newest: int) -> int:
    """The step of the newest checkpoint; raises RunError where a kill left it damaged, or took it away."""
    saved = list_checkpoints(run)
    step = 0
    if saved:
        checkpoint.load(saved[-1])
        step = step_of(saved[-1])
    if step < newest:
        raise RunError(f"the kill took the checkpoint of step {newest} of {run}; the newest is of step {step}")
    return step


def compare(unbroken: Path, run: Path) -> tuple[list[str], str]:
    """In what two runs' ends differ, and what was compared: tensors bit for bit, files byte for byte, and what was
    logged but for the time."""
    one, other = (list_checkpoints(folder)[-1] for folder in (unbroken, run))
    x, y = checkpoint.load(one), checkpoint.load(other)
    tensors = {(name, key) for saved in (x, y) for name, part in saved.tensors.items() for key in part}
    differing = [
        f"{name} {key}"
        for name, key in sorted(tensors)
        if not same(x.tensors.get(name, {}).get(key), y.tensors.get(name, {}).get(key))
    ]
    found = [f"{len(differing)} of {len(tensors)} tensors, the first {differing[0]}"] if differing else []
    found += ["the checkpoints' counters"] * (x.scalars != y.scalars or one.name != other.name)
    files = sorted({path.relative_to(folder) for folder in (unbroken, run) for path in list_files(folder)})
    found += [str(file) for file in files if content(unbroken / file) != content(run / file)]
    found += ["metrics.jsonl"] * (logged(unbroken) != logged(run))
    return found, f"{len(tensors)} tensors, {len(files)} files, the log"


def same(one: torch.Tensor | None, other: torch.Tensor | None) -> bool:
    """Bit for bit."""
    if one is None or other is None or one.dtype != other.dtype or one.shape != other.shape:
        return False
    return torch.equal(one.flatten().view(torch.uint8), other.flatten().view(torch.uint8))


def list_files(run: Path) -> list[Path]:
    """The finished model, the samples, and what was validated."""
    names = ("model.safetensors", "config.json", "validation.jsonl", "validation.json")
    found = [*(run / name for name in names), *(run / "samples").glob("*")]
    return [path for path in found if path.is_file()]


def content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def logged(run: Path) -> list[dict[str, float]]:
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [{key: value for key, value in line.items() if key not in CLOCK} for line in lines]
