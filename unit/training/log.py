"""What a training says on its way: the first line of the output, and the loss terms."""

import hashlib
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from unit.config.base import Config
from unit.config.schema import flat
from unit.data.batches import Batches
from unit.data.grid import Grid
from unit.data.images import tile
from unit.methods.base import Method, Phase
from unit.training.distributed import choose_precision
from unit.training.progress import Progress

CLOCKS = ("seconds", "cpu_seconds")
"""Keys of metrics.jsonl that say how long the run has been trained."""


def describe_training(accelerator: Accelerator, batches: Batches[Any, Any], method: Method[Any]) -> dict[str, str]:
    """What is being trained, on what, by name."""
    device = accelerator.device
    _, reason = choose_precision(method.config.train.precision)
    on_gpu = device.type == "cuda"
    name = torch.cuda.get_device_name(device) if on_gpu else counted(torch.get_num_threads(), "thread")
    sizes = {key: sum(one.numel() for one in network.parameters()) for key, network in method.networks.items()}
    return {
        "device": f"{device.type} ({name})",
        "precision": f"{accelerator.mixed_precision.replace('no', 'fp32')} ({reason})",
        "processes": counted(accelerator.num_processes, "process", "processes"),
        "data": batches.summary,
        "parameters": "  ".join(
            f"{n / 1e6:.2f} M parameters in the {key.replace('_', ' ')}" for key, n in sizes.items()
        ),
    }


def headline(description: Mapping[str, str], step: int) -> str:
    """The same as the first line of the output."""
    return "  ".join([*description.values(), *[f"from step {step}"] * (step > 0)])


def counted(count: int, one: str, many: str | None = None) -> str:
    """A number and its noun: 1 thread, 2 threads."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def start_tracker(accelerator: Accelerator, config: Config, run: Path, *, step: int) -> None:
    """Start the tracker: a project, the run's name and config; of a resumed run what came after `step` is purged."""
    options = {
        "tensorboard": {"purge_step": step + 1 if step else None},
        "wandb": {"name": run.name, "dir": str(run), "id": run_id(run), "resume": "allow"},
        "mlflow": {"run_name": run.name},
    }
    tracker = config.run.tracker
    # TensorBoard's own folder is named after the tracker; elsewhere it is the project.
    name = tracker if tracker == "tensorboard" else config.run.project
    accelerator.init_trackers(name, init_kwargs={tracker: options[tracker]})
    if tracker != "tensorboard":
        for each in accelerator.trackers:
            each.store_init_configuration(flat(asdict(config)))


@contextmanager
def quiet_writers() -> Iterator[None]:
    """Within this context a tracker's thread that can't write prints no traceback: the training says so in its line."""
    before = threading.excepthook

    def hook(arguments: threading.ExceptHookArgs) -> None:
        if not isinstance(arguments.exc_value, OSError):
            before(arguments)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = before


def run_id(run: Path) -> str:
    """The run's id in a tracker that resumes runs: a function of its folder."""
    return hashlib.sha256(str(run.resolve()).encode(errors="surrogateescape")).hexdigest()[:16]


def earlier_clock(metrics: Path) -> dict[str, float]:
    """The clocks in the last line of the run's metrics.jsonl, which ends at the step that is resumed; else zeros."""
    lines = metrics.read_text(errors="replace").splitlines() if metrics.is_file() else []
    last = json.loads(lines[-1]) if lines else {}
    return {name: float(last.get(name, 0)) for name in CLOCKS}


class Log:
    """The means of the loss terms since the last line: to metrics.jsonl, the tracker and the terminal."""

    def __init__(self, accelerator: Accelerator, config: Config, run: Path, *, step: int, images_per_step: int) -> None:
        self.accelerator = accelerator
        self.path = run / "metrics.jsonl"
        self.images_per_step = images_per_step
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}
        self.last_step, self.last_time = step, time.monotonic()
        self.begun, self.cpu_begun = self.last_time, time.process_time()
        self.earlier = earlier_clock(self.path) if accelerator.is_main_process else dict.fromkeys(CLOCKS, 0.0)
        self.progress = Progress(steps=config.train.steps, start=step, shown=accelerator.is_main_process)
        if accelerator.log_with:
            start_tracker(accelerator, config, run, step=step)

    def add(self, phases: list[Phase]) -> None:
        """Take note of the terms of one phase, one micro-batch after another."""
        for phase in phases:
            for name, value in phase.terms.items():
                self.sums[name] = self.sums[name] + value if name in self.sums else value
                self.counts[name] = self.counts.get(name, 0) + 1

    def advance(self) -> None:
        """One step is done."""
        self.progress.advance()

    def write(self, step: int, *, lr: float) -> None:
        """Write the means over the steps since the last line."""
        means = torch.stack([self.sums[name].float() / self.counts[name] for name in self.sums])
        means = self.accelerator.reduce(means, "mean")
        terms = dict(zip(self.sums, means.tolist(), strict=True))
        now = time.monotonic()
        speed = self.images_per_step * (step - self.last_step) / (now - self.last_time)
        if self.accelerator.is_main_process:
            line = {"step": step, "lr": lr, "images_per_second": round(speed, 3)}
            with self.path.open("a") as file:
                file.write(json.dumps(line | self.clock(now) | terms) + "\n")
            self.progress.report(step, terms, speed)
        self.accelerator.log(terms | {"lr": lr, "images_per_second": speed}, step=step)
        self.sums.clear()
        self.counts.clear()
        self.last_step, self.last_time = step, now

    def clock(self, now: float) -> dict[str, float]:
        """Seconds of training since the run began, without those of parts that a kill undid: by the clock on the wall,
        and of processor time (this process's, all its threads together)."""
        spent = {"seconds": now - self.begun, "cpu_seconds": time.process_time() - self.cpu_begun}
        return {name: round(self.earlier[name] + value, 2) for name, value in spent.items()}

    def show(self, step: int, grid: Grid) -> None:
        """Hand a sample grid to trackers that show images."""
        picture = tile(grid.images, columns=grid.columns).permute(1, 2, 0).numpy()
        for tracker in self.accelerator.trackers:
            if hasattr(tracker, "log_images"):
                batch = {"samples": [picture]} if tracker.name == "wandb" else {"samples": picture[None]}
                more = {} if tracker.name == "wandb" else {"dataformats": "NHWC"}
                tracker.log_images(batch, step=step, **more)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Time in this context is not counted in the speed."""
        since = time.monotonic()
        yield
        self.last_time += time.monotonic() - since

    def say(self, line: str) -> None:
        """Print a line, above the bar if there is one."""
        self.progress.say(line)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self.progress.close()
