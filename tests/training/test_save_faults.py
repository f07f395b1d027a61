"""A save that goes wrong at any of its points: which checkpoint survives, and that the resumed training ends as the
unbroken one; and that a refused resume changes nothing."""

import errno
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Command
from digit_toys import options, write_mnist
from run_files import Killed, contents, refused, saved_steps
from waiting import HANGS

from unit import weights
from unit.models import folder as model_folder
from unit.proof.resume import compare
from unit.training import checkpoint

ROOT = Path(__file__).resolve().parents[2]
Arguments = Callable[[Path], list[str]]


@pytest.fixture(scope="module")
def mnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mnist(tmp_path_factory.mktemp("digits") / "mnist")


@pytest.fixture(scope="module")
def arguments(mnist: Path) -> Arguments:
    """`arguments(output)`: a training of 6 steps, saved at 2, 4 and 6, of which two are kept."""
    return lambda output: options("vae", data__root=mnist, run__output=output, train__steps=6)


@pytest.fixture(scope="module")
def whole(arguments: Arguments, run_command: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unbroken run."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    assert run_command("train", *arguments(run)).code == 0
    return run


@pytest.fixture(scope="module")
def part(arguments: Arguments, run_command: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run as it was after step 4."""
    run = tmp_path_factory.mktemp("runs") / "part"
    assert run_command("train", *arguments(run), "--train.steps", "4").code == 0
    for name in ("model.safetensors", "config.json"):
        (run / name).unlink()
    return run


@pytest.fixture
def run(part: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(part, tmp_path / "run"))


SIX = ("--train.steps", "6")
Act = Callable[[], object]
Strike = Callable[[Act, str], None]


class Points:
    """What a training does to the disk, by name: each write, checksum, flush, rename and deletion of a checkpoint or of
    the finished model. `strike` takes the place of number `at` of them, counted from 1."""

    def __init__(self, patch: pytest.MonkeyPatch, *, at: int, strike: Strike) -> None:
        self.passed: list[str] = []

        def watch(owner: Any, name: str, say: Callable[..., Path], only: str = "") -> None:
            real = getattr(owner, name)

            def act(*arguments: Any, **named: Any) -> Any:
                path = say(*arguments)
                if only not in str(path) or named.get("ignore_errors"):
                    return real(*arguments, **named)
                self.passed.append(f"{name} {path.name}")
                if len(self.passed) == at:
                    return strike(lambda: real(*arguments, **named), str(path))
                return real(*arguments, **named)

            patch.setattr(owner, name, act)

        watch(checkpoint, "save_file", lambda tensors, path: path)
        watch(model_folder, "save_file", lambda tensors, path: path)
        watch(weights, "sha256", lambda path: path, only=".partial")
        watch(Path, "write_text", lambda path, text: path, only=".partial")
        watch(weights, "flush", lambda path: path)
        watch(Path, "rename", lambda path, to: path, only=".partial")
        watch(os, "replace", lambda path, to: path)
        watch(shutil, "rmtree", lambda path, *more: path)


def killed(act: Act, path: str) -> None:
    raise Killed


def killed_half_way(act: Act, path: str) -> None:
    """Of a file that was being written the first half is there; of a folder that was being deleted, half the files."""
    if Path(path).is_dir():
        for file in sorted(Path(path).iterdir())[::2]:
            file.unlink()
    else:
        act()
        with open(path, "r+b") as file:
            file.truncate(os.path.getsize(path) // 2)
    raise Killed


def full(act: Act, path: str) -> None:
    raise OSError(errno.ENOSPC, "No space left on device", path)


def passed_by(
    run: Path, run_command: Command, patch: pytest.MonkeyPatch, *, at: int = 0, strike: Strike = killed
) -> list[str]:
    """Resume the run, with a strike or without."""
    with patch.context() as inner:
        points = Points(inner, at=at, strike=strike)
        try:
            said = run_command("train", "--resume", run, *SIX)
        except Killed:
            assert strike in (killed, killed_half_way)
        else:
            if at == 0:
                assert said.code == 0, said.err
            else:
                assert strike is full
                refused(said, "No space left on device", code=1)
    return points.passed


@pytest.mark.parametrize("strike", [killed, killed_half_way, full], ids=lambda strike: strike.__name__)
def test_whatever_goes_wrong_in_a_save_the_run_goes_on_to_the_same_end(
    strike: Strike, part: Path, whole: Path, run_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = passed_by(Path(shutil.copytree(part, tmp_path / "clean")), run_command, monkeypatch)
    published = passed.index("rename .step-00000006.partial") + 1
    assert len(passed) > 20 and passed[published : published + 2] == ["flush checkpoints", "rmtree step-00000002"]
    halves = ("save_file", "write_text", "rmtree")  # half of another act is none, or all of it
    for at in range(1, len(passed) + 1):
        if strike is killed_half_way and not passed[at - 1].startswith(halves):
            continue
        run = Path(shutil.copytree(part, tmp_path / f"run-{at}"))
        passed_by(run, run_command, monkeypatch, at=at, strike=strike)
        assert saved_steps(run)[-2:] == ([4, 6] if at > published else [2, 4]), passed[at - 1]
        for saved in weights.list_checkpoints(run)[-2:]:
            checkpoint.load(saved)
        assert run_command("train", "--resume", run, *SIX).code == 0
        assert compare(whole, run) == ([], compare(whole, whole)[1]), passed[at - 1]
        assert {path.name for path in (run / "checkpoints").iterdir()} == {"step-00000004", "step-00000006"}
        assert {path.name for path in run.iterdir()} == {path.name for path in whole.iterdir()}


def test_a_picture_that_a_kill_left_half_written_is_cleared_away(
    part: Path, whole: Path, run_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Path(shutil.copytree(part, tmp_path / "run"))
    with monkeypatch.context() as patch:
        replace = os.replace

        def replace_or_die(source: Any, target: Any) -> None:
            if Path(target).parent.name == "samples":
                shutil.copy(source, run / "samples" / ".0f1e2d.partial")  # for the writer clears up after an exception
                raise Killed
            replace(source, target)

        patch.setattr(os, "replace", replace_or_die)
        with pytest.raises(Killed):
            run_command("train", "--resume", run, *SIX)
    assert (run / "samples" / ".0f1e2d.partial").is_file()
    assert run_command("train", "--resume", run, *SIX).code == 0
    assert compare(whole, run) == ([], compare(whole, whole)[1])


def test_a_save_that_is_not_atomic_would_show(
    part: Path, run_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted: the files are written straight into their final place, as Accelerate's save_state does."""
    run, clean = (Path(shutil.copytree(part, tmp_path / name)) for name in ("run", "clean"))
    at = passed_by(clean, run_command, monkeypatch).index("save_file average.safetensors") + 1
    with_name = Path.with_name
    monkeypatch.setattr(
        Path, "with_name", lambda path, name: path if name.startswith(".step-") else with_name(path, name)
    )
    passed_by(run, run_command, monkeypatch, at=at)
    assert saved_steps(run) == [2, 4, 6]
    with pytest.raises(weights.CheckpointError, match="step-00000006 is damaged"):
        checkpoint.load(weights.list_checkpoints(run)[-1])


# A disk that is really full


def test_a_full_disk_ends_the_run_with_one_line_and_the_last_checkpoint(
    arguments: Arguments, whole: Path, run_command: Command, tmp_path: Path
) -> None:
    """A process that may write 64 kB to a file and no more."""
    run = tmp_path / "run"
    assert run_command("train", *arguments(run), "--train.steps", "2").code == 0
    before = contents(run / "checkpoints")
    said = subprocess.run(
        [sys.executable, "train.py", "--resume", str(run), "--train.steps", "6"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=HANGS,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16)),
    )
    assert said.returncode == 1, said.stderr
    last = said.stderr.splitlines()[-1]
    assert last.startswith("error: the checkpoint of step 4 can't be written: ") and "Traceback" not in said.stderr
    assert last.endswith(f"{weights.step_folder(run, 2)} is as it was")
    assert contents(run / "checkpoints") == before
    assert run_command("train", "--resume", run, "--train.steps", "6").code == 0
    assert compare(whole, run)[0] == []


@pytest.mark.usefixtures("flushing")
def test_a_full_file_system(arguments: Arguments, run_command: Command, tmp_path: Path) -> None:
    """A file system of 3 MB; mounting it takes root."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", disk], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("may not mount a file system")
    try:
        run = disk / "run"
        assert run_command("train", *arguments(run), "--train.steps", "2").code == 0
        before = contents(run / "checkpoints")
        (disk / "filler").write_bytes(bytes(1 << 18))
        with (disk / "filler").open("ab", buffering=0) as filler, pytest.raises(OSError):
            while True:
                filler.write(bytes(1 << 12))
        refused(run_command("train", "--resume", run, "--train.steps", "4"), "No space left on device", code=1)
        assert contents(run / "checkpoints") == before
        (disk / "filler").unlink()
        assert run_command("train", "--resume", run, "--train.steps", "4").code == 0
        assert saved_steps(run) == [2, 4]
    finally:
        subprocess.run(["umount", disk], check=True)


# Refusals


def damage(run: Path) -> Path:
    """One bit of the newest checkpoint's weights."""
    file = weights.list_checkpoints(run)[-1] / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-2] ^= 4
    file.write_bytes(data)
    return file


REFUSED: dict[str, tuple[list[str], list[str]]] = {
    "another config": (["--optim.lr", "0.5"], ["optim.lr"]),
    "fewer steps": (["--train.steps", "2"], ["train.steps", "4"]),
    "another network": (["--model.latent", "3"], ["model.latent (2 → 3)"]),
    "another method": (["--method", "cvae"], ["method (vae → cvae)"]),
    "other digits": (["--data.root", "{other}", "--train.steps", "8"], ["other data", "images"]),
    "digits that are not there": (["--data.root", "{empty}"], ["{empty}"]),
    "an uneven batch": (["--train.accumulation", "3"], ["train.accumulation"]),
    "a full folder": (["--run.output", "{other}"], ["not empty"]),
}


@pytest.mark.parametrize(
    "case", [*REFUSED, "a damaged checkpoint", "an older checkpoint", "no such checkpoint", "auto"]
)
def test_a_refused_resume_leaves_the_run_byte_for_byte(
    case: str, run: Path, run_command: Command, tmp_path: Path
) -> None:
    other = write_mnist(tmp_path / "other", train=70)
    more, words = REFUSED.get(case, ([], []))
    given, words = ([text.format(other=other, empty=tmp_path / "no") for text in texts] for texts in (more, words))
    resume = run
    if case == "a damaged checkpoint":
        words = [damage(run).name, "step-00000004 is damaged", "--resume", "step-00000002"]
    elif case == "an older checkpoint":
        resume, words = weights.step_folder(run, 2), ["step-00000004", "give another --run.output"]
    elif case == "no such checkpoint":
        resume, words = weights.step_folder(run, 3), ["no checkpoint step-00000003", "step-00000002, step-00000004"]
    elif case == "auto":
        given = [*options("vae", data__root=other, run__output=run, train__steps=6), "--resume", "auto"]
        words = ["other data"]
    before = contents(tmp_path), {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    refused(run_command("train", *([] if case == "auto" else ["--resume", resume]), *given), *words)
    assert before == (contents(tmp_path), {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")})


def test_an_older_checkpoint_is_taken_where_the_user_says_so(
    run: Path, whole: Path, run_command: Command, tmp_path: Path
) -> None:
    damage(run)
    before = contents(run)
    older, other = weights.step_folder(run, 2), tmp_path / "other"
    said = run_command("train", "--resume", older, "--run.output", other, *SIX)
    assert said.code == 0 and said.out.splitlines()[0].endswith("from step 2")
    assert contents(run) == before
    assert [text for text in compare(whole, other)[0] if "tensors" in text or "counters" in text] == []
    # Once the damaged one is gone, the run itself goes on from it.
    shutil.rmtree(weights.list_checkpoints(run)[-1])
    assert run_command("train", "--resume", older, *SIX).code == 0
    assert compare(whole, run)[0] == []
