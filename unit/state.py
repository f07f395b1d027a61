"""The state of a training: all that a step changes. A checkpoint holds it, and nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.amp.grad_scaler import GradScaler
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from unit import checkpoint
from unit.checkpoint import Checkpoint, CheckpointError


@dataclass
class TrainingState:
    """Networks, their moving average, optimizers and schedules by network name, fp16's scaler, and the step."""

    networks: Mapping[str, nn.Module]
    average: AveragedModel | None
    optimizers: Mapping[str, torch.optim.Optimizer]
    schedules: Mapping[str, LambdaLR]
    scaler: GradScaler | None
    data: dict[str, str]
    step: int = 0

    def snapshot(self) -> Checkpoint:
        """The state as tensors and scalars, on the CPU."""
        tensors = {name: checkpoint.tensors_of(network) for name, network in self.networks.items()}
        for name, optimizer in self.optimizers.items():
            tensors[f"adam-{name}"] = checkpoint.optimizer_tensors(optimizer)
        scalars: dict[str, Any] = {
            "step": self.step,
            "data": self.data,
            "optimizers": {name: checkpoint.optimizer_scalars(opt) for name, opt in self.optimizers.items()},
            "schedules": {name: counters(schedule) for name, schedule in self.schedules.items()},
            "scaler": self.scaler and self.scaler.state_dict(),
        }
        if self.average is not None:
            tensors["average"] = checkpoint.tensors_of(self.average.module)
            scalars["averaged"] = int(self.average.n_averaged)
        return Checkpoint(tensors, scalars)

    def restore(self, folder: Path) -> None:
        """Take the state of a checkpoint; raises CheckpointError where it is damaged or of other data or networks."""
        saved = checkpoint.load(folder)
        try:
            if saved.scalars["data"] != self.data:
                changed = [domain for domain, names in self.data.items() if saved.scalars["data"][domain] != names]
                raise CheckpointError(
                    f"checkpoint {folder} was trained on other data in domain {' and '.join(changed)}; "
                    "a resumed run must find the same files"
                )
            for name, network in self.networks.items():
                checkpoint.fill(network, saved.tensors[name], folder)
            for name, optimizer in self.optimizers.items():
                checkpoint.fill_optimizer(optimizer, saved.tensors[f"adam-{name}"], saved.scalars["optimizers"][name])
            for name, schedule in self.schedules.items():
                schedule.load_state_dict(dict(saved.scalars["schedules"][name]))
            if self.average is not None:
                checkpoint.fill(self.average.module, saved.tensors["average"], folder)
                self.average.n_averaged.fill_(saved.scalars["averaged"])
            if self.scaler is not None:
                self.scaler.load_state_dict(saved.scalars["scaler"])
            self.step = saved.scalars["step"]
            if type(self.step) is not int or self.step != checkpoint.step_of(folder):
                raise CheckpointError(f"checkpoint {folder} is damaged: it says that it is of step {self.step!r}")
        except (LookupError, TypeError, AttributeError) as error:
            raise CheckpointError(f"checkpoint {folder} is damaged: {error}") from error


def counters(schedule: LambdaLR) -> dict[str, Any]:
    """A schedule's state without its function, which the config gives again."""
    return {key: value for key, value in schedule.state_dict().items() if key != "lr_lambdas"} | {"lr_lambdas": [None]}
