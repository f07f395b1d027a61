"""The state of a training: all that a step changes. A checkpoint holds it, and nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from torch.amp.grad_scaler import GradScaler
from torch.optim.swa_utils import AveragedModel

from unit import weights
from unit.methods.base import Method
from unit.models.base import Model
from unit.models.folder import describe_model
from unit.training import checkpoint
from unit.training.checkpoint import Checkpoint
from unit.training.errors import RunError
from unit.training.run_folder import run_of
from unit.weights import CheckpointError, list_checkpoints, step_folder, step_of


@dataclass
class TrainingState:
    """The method's networks and state, their moving average, optimizers by name, fp16's scaler, the data's
    fingerprints, and the step."""

    method: Method[Any]
    average: AveragedModel | None
    optimizers: Mapping[str, torch.optim.Optimizer]
    scaler: GradScaler | None
    data: dict[str, str]
    step: int = 0

    @property
    def finished(self) -> Model:
        """What the model is to the outside: its moving average, if there is one."""
        if self.average is None:
            return self.method.model
        assert isinstance(self.average.module, Model)
        return self.average.module

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What is saved, by the name of its file: the model, the networks beside it, the method's own state, and the
        moving average."""
        inside = set(self.method.model.modules())
        found: dict[str, nn.Module] = {"model": self.method.model}
        found |= {name: network for name, network in self.method.networks.items() if network not in inside}
        if list(self.method.state.buffers()):
            found["state"] = self.method.state
        if self.average is not None:
            found["average"] = self.average.module
        return found

    def snapshot(self) -> Checkpoint:
        """The state as tensors and scalars, on the CPU."""
        tensors = {name: weights.collect_tensors(module) for name, module in self.modules.items()}
        for name, optimizer in self.optimizers.items():
            tensors[f"adam-{name}"] = checkpoint.optimizer_tensors(optimizer)
        scalars: dict[str, Any] = {
            "step": self.step,
            "data": self.data,
            "stepped": {name: len(optimizer.state) for name, optimizer in self.optimizers.items()},
            "scaler": self.scaler and self.scaler.state_dict(),
        }
        if self.average is not None:
            scalars["averaged"] = int(self.average.n_averaged)
        return Checkpoint(tensors, scalars, describe_model(self.method.model, step=self.step))

    def save(self, run: Path, *, keep: int) -> None:
        """Publish a checkpoint, unless the step has one, then prune; raises RunError if the disk does not take it."""
        folder = step_folder(run, self.step)
        try:
            if not folder.exists():
                checkpoint.save(folder, self.snapshot())
        except (OSError, SafetensorError) as error:
            saved = list_checkpoints(run)
            last = f"{saved[-1]} is as it was" if saved else "there was none before"
            raise RunError(f"the checkpoint of step {self.step} can't be written: {error}; {last}") from error
        checkpoint.prune(run, keep)

    def restore(self, folder: Path) -> None:
        """Take the state of a checkpoint; raises CheckpointError, which says if there is an older one, where it is
        damaged or of other data or networks."""
        try:
            self.fill(folder)
        except CheckpointError as error:
            older = [path for path in list_checkpoints(run_of(folder)) if path < folder]
            hint = (
                f"; --resume {quote(str(older[-1]))} with another --run.output goes on from the one before"
                if older
                else ""
            )
            raise CheckpointError(f"{error}{hint}") from error

    def fill(self, folder: Path) -> None:
        """`restore`, but for the hint."""
        saved = checkpoint.load(folder)
        try:
            if saved.scalars["data"] != self.data:
                changed = [domain for domain, names in self.data.items() if saved.scalars["data"][domain] != names]
                raise CheckpointError(
                    f"checkpoint {folder} was trained on other data in domain {' and '.join(changed)}: a resumed run "
                    "needs the same names, sizes and contents, wherever they lie; begin a run of its own with "
                    f"--init {quote(str(folder))}, which takes the weights alone"
                )
            for name, module in self.modules.items():
                weights.check_fit(module, saved.tensors[name], folder / f"{name}.safetensors")
            for name, optimizer in self.optimizers.items():
                stepped, file = saved.scalars["stepped"][name], f"adam-{name}"
                checkpoint.check_optimizer(optimizer, saved.tensors[file], stepped, folder / f"{file}.safetensors")
            for name, module in self.modules.items():
                weights.fill(module, saved.tensors[name], folder)
            for name, optimizer in self.optimizers.items():
                checkpoint.fill_optimizer(optimizer, saved.tensors[f"adam-{name}"])
            if self.average is not None:
                self.average.n_averaged.fill_(saved.scalars["averaged"])
            if self.scaler is not None:
                self.scaler.load_state_dict(saved.scalars["scaler"])
            self.step = saved.scalars["step"]
            if type(self.step) is not int or self.step != step_of(folder):
                raise CheckpointError(f"checkpoint {folder} is damaged: it says that it is of step {self.step!r}")
        except (LookupError, TypeError, AttributeError) as error:
            raise CheckpointError(f"checkpoint {folder} is damaged: {error}") from error
