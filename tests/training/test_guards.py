"""What ends a training that can't go on: weights that break, terms and gradients that are NaN or infinite."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import Command, Tiny
from run_files import refused, saved_steps, status_of
from safetensors.torch import load_file
from torch import Tensor

from unit.methods.base import Phase
from unit.methods.unit import Unit
from unit.training import RunError
from unit.training.guards import FiniteCheck


def break_weights(monkeypatch: pytest.MonkeyPatch, *, at: int) -> None:
    """Have the translator's update of that step, the second one of the step, leave NaN in its weights."""
    step, calls = torch.optim.Adam.step, []

    def breaking(self: torch.optim.Adam, *arguments: Any) -> None:
        step(self, *arguments)
        calls.append(1)
        if len(calls) == 2 * at:
            with torch.no_grad():
                self.param_groups[0]["params"][0].fill_(torch.nan)

    monkeypatch.setattr(torch.optim.Adam, "step", breaking)


@pytest.mark.parametrize("at", [2, 4])
@pytest.mark.parametrize("ema", ["0", "0.5"])
def test_broken_weights_are_never_saved_nor_called_finished(
    run_command: Command, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int, ema: str
) -> None:
    """The update just before a checkpoint may be what breaks the weights; the losses before it are still finite."""
    break_weights(monkeypatch, at=at)
    steps = ["--train.sample_every", "100", "--train.checkpoint_every", "2"]
    said = run_command("train", *tiny(tmp_path / "run", "--optim.ema", ema, *steps))
    saved = {path: load_file(path) for path in (tmp_path / "run").rglob("*.safetensors")}
    broken = [path.name for path, tensors in saved.items() if not all(t.isfinite().all() for t in tensors.values())]
    assert not broken
    refused(said, "broke down", code=1)


def test_a_training_that_breaks_down_fails_even_if_samples_come_before_the_log(
    run_command: Command, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_weights(monkeypatch, at=2)
    steps = ["--train.sample_every", "1", "--train.log_every", "4", "--train.checkpoint_every", "4"]
    refused(run_command("train", *tiny(tmp_path / "run", *steps)), "broke down", code=1)


def test_a_failed_run_says_so(
    tiny: Tiny, run_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    phases = Unit.phases

    def broken(self: Unit, wrapped: Any, batch: Any, *, recompute: bool) -> Iterator[Any]:
        for phase in phases(self, wrapped, batch, recompute=recompute):
            if batch.step == 2 and phase.optimizer == "translator":
                bad: Tensor = phase.loss * torch.nan
                yield type(phase)(phase.optimizer, bad, phase.terms)
            else:
                yield phase

    monkeypatch.setattr(Unit, "phases", broken)
    said = run_command("train", *tiny(tmp_path / "run"))
    assert said.code == 1 and "at step 3: the gradient of the translator is NaN or infinite" in said.err
    status = status_of(tmp_path / "run")
    assert (status["status"], status["step"]) == ("failed", 2) and "at step 3" in status["error"]
    assert saved_steps(tmp_path / "run") == [2]


def check_of(scaler: torch.amp.GradScaler) -> FiniteCheck:
    """Of one process on a CPU."""
    accelerator = SimpleNamespace(device=torch.device("cpu"), scaler=scaler, reduce=lambda tensor, how: tensor)
    return FiniteCheck(accelerator)  # type: ignore[arg-type]


def test_fp16s_scaler_may_skip_steps_but_not_for_ever() -> None:
    """Accelerate has a scaler on GPUs alone; this is one on the CPU."""
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    scaler = torch.amp.GradScaler("cpu")
    check = check_of(scaler)

    def step(number: int, factor: float) -> None:
        loss = (weight * factor).sum()
        scaler.scale(loss).backward()
        check.inspect(number, [Phase("net", loss, {"loss": torch.tensor(1.0)})], optimizer)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()

    step(1, 1e36)  # overflows with the scale of 65536, and not by itself
    assert scaler.get_scale() == 2**15 and torch.equal(weight.detach(), torch.ones(3))
    step(2, 1.0)
    assert torch.allclose(weight.detach(), torch.full((3,), 0.9))
    with pytest.raises(RunError, match="at step 19: the gradients overflow fp16 whatever the scale"):
        for number in range(3, 100):
            step(number, torch.inf)
    with pytest.raises(RunError, match="at step 5: loss is NaN or infinite"):
        fresh = check_of(torch.amp.GradScaler("cpu"))
        fresh.inspect(5, [Phase("net", weight.sum(), {"loss": torch.tensor(torch.nan)})], optimizer)
