"""How a run ends, and how the next process goes on: signals, orphans, claims on the folder, run.json, --resume auto."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import Command, Tiny
from torch import Tensor

from unit import checkpoint
from unit import run as run_module
from unit.methods.method import Phase
from unit.methods.unit import Unit
from unit.signals import LAUNCHED, StopFlag
from unit.training import RunError, Watch

ROOT = Path(__file__).resolve().parent.parent


def started(arguments: list[str], **environment: str) -> subprocess.Popen[str]:
    """A training in a process of its own, once it has taken its first steps."""
    process = subprocess.Popen(
        [sys.executable, "train.py", *map(str, arguments)],
        cwd=ROOT,
        env={key: value for key, value in os.environ.items() if key != "RANK"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("step 2/"):
            return process
    raise AssertionError(process.communicate(timeout=20)[1])


def state_of(run: Path) -> dict[str, Any]:
    state: dict[str, Any] = json.loads((run / "run.json").read_text())
    return state


def assert_same_end(one: Path, other: Path) -> None:
    left, right = (checkpoint.load(checkpoint.list_of(run)[-1]) for run in (one, other))
    assert left.scalars == right.scalars
    assert left.tensors.keys() == right.tensors.keys()
    for name, tensors in left.tensors.items():
        assert all(torch.equal(tensor, right.tensors[name][key]) for key, tensor in tensors.items()), name


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_run_after_a_whole_step_with_a_checkpoint(
    number: signal.Signals, tiny: Tiny, run_command: Command, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    process = started(tiny(run, "--train.steps", "2000", "--train.checkpoint_every", "1000"))
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    (saved,) = checkpoint.list_of(run)
    step = checkpoint.step_of(saved)
    assert (
        err.splitlines()[-1] == f"error: stopped by {number.name} after step {step}; --resume {run} goes on from there"
    )
    assert "Traceback" not in err
    assert (state_of(run)["status"], state_of(run)["step"], state_of(run)["signal"]) == (
        "interrupted",
        step,
        number.name,
    )
    # It goes on to the end that an unbroken run has.
    steps = ["--train.steps", str(step + 2)]
    assert run_command("train", "--resume", run, *steps).code == 0
    assert run_command("train", *tiny(tmp_path / "whole", *steps)).code == 0
    assert_same_end(run, tmp_path / "whole")
    assert state_of(run)["status"] == "finished"


@pytest.mark.parametrize("launched", [False, True])
def test_a_second_signal_ends_the_process_at_once(launched: bool) -> None:
    echo = (
        "    os.kill(os.getpid(), signal.SIGTERM)\n    time.sleep(1.1)\n"  # what a launcher hands on is no second one
    )
    code = (
        "import os, signal, time\nfrom unit.signals import StopFlag\n"
        "with StopFlag() as stop:\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n    assert stop.asked() == signal.SIGTERM\n"
        f"{echo if launched else ''}"
        "    os.kill(os.getpid(), signal.SIGINT)\n    time.sleep(30)"
    )
    environment = {key: value for key, value in os.environ.items() if key not in LAUNCHED}
    environment |= {"TORCHELASTIC_RUN_ID": "1"} if launched else {}
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, timeout=20, check=False)
    assert ended.returncode == 128 + signal.SIGINT


def test_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopFlag() as stop:
        assert signal.getsignal(signal.SIGTERM) == stop.note and not stop.asked()
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_launched_process_whose_parent_is_gone_stops(tiny: Tiny, tmp_path: Path) -> None:
    """`accelerate launch` with one process hands no signal on to its child."""
    run = tmp_path / "run"
    options = tiny(run, "--train.steps", "100000", "--train.checkpoint_every", "100000")
    launch = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--cpu",
        "--num_processes",
        "1",
        "--num_machines",
        "1",
    ]
    flags = ["--mixed_precision", "no", "--dynamo_backend", "no"]
    launcher = subprocess.Popen(
        [*launch, *flags, "train.py", *map(str, options)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for(lambda: (run / "metrics.jsonl").is_file())
    child = state_of(run)["process"]
    launcher.kill()
    launcher.wait()
    wait_for(lambda: state_of(run)["status"] == "interrupted")
    assert state_of(run)["process"] == child and state_of(run)["signal"] == "SIGTERM"
    assert len(checkpoint.list_of(run)) == 1


def test_a_process_that_was_not_launched_outlives_its_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ACCELERATE_MIXED_PRECISION", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    stop = StopFlag()
    monkeypatch.setattr(os, "getppid", lambda: 1)
    assert not stop.asked()  # as with nohup


def wait_for(condition: Any) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


# One process at a time


def test_a_run_that_another_process_writes_is_refused(
    tiny: Tiny, run_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    assert run_command("train", *tiny(run)).code == 0
    monkeypatch.setattr(run_module, "PATIENCE", 0.2)
    descriptor = os.open(run, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    said = run_command("train", "--resume", run, "--train.steps", "6")
    assert said.code == 2 and f"another process is training in {run}" in said.err
    assert str(os.getpid()) in said.err and len(said.err.splitlines()) == 1
    os.close(descriptor)  # as at the end of that process, however it ended
    assert run_command("train", "--resume", run, "--train.steps", "6").code == 0


def test_a_claim_waits_for_an_orphan_to_end(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom unit.run import Claim\n"
        "claim = Claim(Path(sys.argv[1]))\nclaim.take()\nprint('held', flush=True)\ntime.sleep(1)"
    )
    orphan = subprocess.Popen([sys.executable, "-c", code, tmp_path], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert orphan.stdout is not None and orphan.stdout.readline() == "held\n"
    claim = run_module.Claim(tmp_path)
    claim.take()
    assert claim.descriptor is not None
    claim.release()
    assert orphan.wait(timeout=20) == 0
    orphan.stdout.close()


def test_a_failed_run_says_so(
    tiny: Tiny, run_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    phases = Unit.phases

    def broken(self: Unit, wrapped: Any, batch: Any, *, recompute: bool) -> Iterator[Any]:
        for phase in phases(self, wrapped, batch, recompute=recompute):
            if batch.step == 2 and phase.player == "translator":
                bad: Tensor = phase.loss * torch.nan
                yield type(phase)(phase.player, bad, phase.terms)
            else:
                yield phase

    monkeypatch.setattr(Unit, "phases", broken)
    said = run_command("train", *tiny(tmp_path / "run"))
    assert said.code == 1 and "at step 3: the gradient of the translator is not a finite number" in said.err
    state = state_of(tmp_path / "run")
    assert (state["status"], state["step"]) == ("failed", 2) and "at step 3" in state["error"]
    assert [path.name for path in checkpoint.list_of(tmp_path / "run")] == ["step-00000002"]


def watch_of(scaler: torch.amp.GradScaler) -> Watch:
    """Of one process on a CPU."""
    accelerator = SimpleNamespace(device=torch.device("cpu"), scaler=scaler, reduce=lambda tensor, how: tensor)
    return Watch(accelerator)  # type: ignore[arg-type]


def test_fp16s_scaler_may_skip_steps_but_not_for_ever() -> None:
    """Accelerate has a scaler on GPUs alone; this is one on the CPU."""
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    scaler = torch.amp.GradScaler("cpu")
    watch = watch_of(scaler)

    def step(number: int, factor: float) -> None:
        loss = (weight * factor).sum()
        scaler.scale(loss).backward()
        watch.look(number, [Phase("net", loss, {"loss": torch.tensor(1.0)})], optimizer)
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
    with pytest.raises(RunError, match="at step 5: loss is not a finite number"):
        fresh = watch_of(torch.amp.GradScaler("cpu"))
        fresh.look(5, [Phase("net", weight.sum(), {"loss": torch.tensor(torch.nan)})], optimizer)


# --resume auto


def test_auto_begins_goes_on_and_ends_as_an_unbroken_run(tiny: Tiny, run_command: Command, tmp_path: Path) -> None:
    again = [*tiny(tmp_path / "run"), "--resume", "auto"]
    assert "from step" not in run_command("train", *again, "--train.steps", "2").out
    said = run_command("train", *again)
    assert said.code == 0 and "from step 2" in said.out.splitlines()[0]
    assert run_command("train", *tiny(tmp_path / "whole")).code == 0
    assert_same_end(tmp_path / "run", tmp_path / "whole")
    assert run_command("train", *again).code == 0  # a finished run is left as it is
    assert_same_end(tmp_path / "run", tmp_path / "whole")


def test_auto_begins_anew_where_no_checkpoint_was_reached(tiny: Tiny, run_command: Command, tmp_path: Path) -> None:
    again = [*tiny(tmp_path / "run"), "--resume", "auto"]
    assert run_command("train", *again).code == 0
    whole = checkpoint.load(checkpoint.list_of(tmp_path / "run")[-1])
    for saved in checkpoint.list_of(tmp_path / "run"):
        for path in saved.iterdir():
            path.unlink()
        saved.rmdir()
    said = run_command("train", *again)
    assert said.code == 0 and "from step" not in said.out
    assert checkpoint.load(checkpoint.list_of(tmp_path / "run")[-1]).scalars == whole.scalars
    steps = [json.loads(line)["step"] for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 4]


def test_auto_does_not_write_into_a_folder_that_is_no_run(tiny: Tiny, run_command: Command, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    said = run_command("train", *tiny(tmp_path / "mine"), "--resume", "auto")
    assert said.code == 2 and "exists and is not empty" in said.err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_auto_refuses_another_config(tiny: Tiny, run_command: Command, tmp_path: Path) -> None:
    assert run_command("train", *tiny(tmp_path / "run")).code == 0
    said = run_command("train", *tiny(tmp_path / "run"), "--optim.lr", "0.5", "--resume", "auto")
    assert said.code == 2 and "optim.lr" in said.err
