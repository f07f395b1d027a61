"""What a training says on its way: the first line of the output, and the loss terms."""

import json
import time
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from unit.config.base import Config
from unit.data.batches import Batches
from unit.methods.base import Method, Phase
from unit.training.progress import Progress


def headline(accelerator: Accelerator, batches: Batches[Any, Any], method: Method[Any], step: int) -> str:
    """What is being trained, on what: the first line of the output."""
    device = accelerator.device
    on_gpu = device.type == "cuda"
    name = torch.cuda.get_device_name(device) if on_gpu else counted(torch.get_num_threads(), "thread")
    parts = [
        f"{device.type} ({name})",
        accelerator.mixed_precision.replace("no", "fp32"),
        counted(accelerator.num_processes, "process", "processes"),
        batches.summary,
        *(
            f"{sum(parameter.numel() for parameter in network.parameters()) / 1e6:.2f} M parameters in the "
            + key.replace("_", " ")
            for key, network in method.networks.items()
        ),
    ]
    return "  ".join(parts + [f"from step {step}"] * (step > 0))


def counted(count: int, one: str, many: str | None = None) -> str:
    """A number and its noun: 1 thread, 2 threads."""
    return f"{count} {one if count == 1 else many or one + 's'}"


class Log:
    """The means of the loss terms since the last line: to metrics.jsonl, the tracker and the terminal."""

    def __init__(self, accelerator: Accelerator, config: Config, run: Path, *, step: int, images_per_step: int) -> None:
        self.accelerator = accelerator
        self.path = run / "metrics.jsonl"
        self.images_per_step = images_per_step
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}
        self.last_step, self.last_time = step, time.monotonic()
        self.begun = self.last_time
        self.progress = Progress(steps=config.train.steps, start=step, shown=accelerator.is_main_process)
        if accelerator.log_with:
            accelerator.init_trackers(config.run.tracker)

    def add(self, phases: list[Phase]) -> None:
        """Take note of the terms of one phase, one micro-batch after another."""
        for phase in phases:
            for name, value in phase.terms.items():
                self.sums[name] = self.sums.get(name, torch.zeros_like(value)) + value
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
                file.write(json.dumps(line | {"seconds": round(now - self.begun, 2)} | terms) + "\n")
            self.progress.report(step, terms, speed)
        self.accelerator.log(terms | {"lr": lr, "images_per_second": speed}, step=step)
        self.sums.clear()
        self.counts.clear()
        self.last_step, self.last_time = step, now

    def close(self) -> None:
        """Leave the terminal as it was."""
        self.progress.close()
