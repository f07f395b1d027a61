"""One writer at a time: two starts of one new run, and a folder that was begun anew under a training."""

import shutil
from pathlib import Path

import pytest
from conftest import Command, Tiny
from run_files import contents, refused, status_of

from unit.training import loop, run_folder


def test_a_second_start_of_a_new_run_leaves_the_first_ones_as_it_is(
    tiny: Tiny, run_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second looked at the folder before the first made it, and gets the lock after the first has finished."""
    run, real = tmp_path / "run", loop.set_up

    def slow(*given: object) -> object:
        monkeypatch.setattr(loop, "set_up", real)
        assert run_command("train", *tiny(run)).code == 0  # the other, from its beginning to its end
        before.update(contents(run))
        return real(*given)

    before: dict[str, bytes] = {}
    monkeypatch.setattr(loop, "set_up", slow)
    said = run_command("train", *tiny(run, "--run.seed", "9"))
    refused(said, "run.output", "--resume")
    assert before and contents(run) == before and status_of(run)["status"] == "finished"


def test_the_same_with_resume_auto(
    tiny: Tiny, run_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, real = tmp_path / "run", loop.set_up

    def slow(*given: object) -> object:
        monkeypatch.setattr(loop, "set_up", real)
        assert run_command("train", *tiny(run)).code == 0
        return real(*given)

    monkeypatch.setattr(loop, "set_up", slow)
    refused(run_command("train", *tiny(run, "--resume", "auto")), "run.output")


def test_a_folder_that_is_deleted_and_begun_anew_ends_the_first_training(
    tiny: Tiny, run_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, real = tmp_path / "run", loop.agree_on_signal
    steps = iter(range(1, 100))

    def meddling(signal: int, accelerator: object) -> int:
        if next(steps) == 3:
            shutil.move(run, tmp_path / "old")
            run.mkdir()
        return real(signal, accelerator)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "agree_on_signal", meddling)
    said = run_command("train", *tiny(run, "--train.log_every", "4"))
    assert said.code == 1 and "is not the folder any more" in said.err and len(said.err.splitlines()) == 1
    assert not (run / "checkpoints").exists() and not (run / "model.safetensors").exists()


def test_a_file_system_without_locks_trains_and_says_so(
    tiny: Tiny, run_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*given: object, **more: object) -> None:
        raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr(run_folder.FileLock, "acquire", refuse)
    said = run_command("train", *tiny(tmp_path / "run"))
    assert said.code == 0 and "has no locks" in said.out


def test_a_checkpoint_that_is_a_link_is_pruned_as_a_link(tiny: Tiny, run_command: Command, tmp_path: Path) -> None:
    run, disk = tmp_path / "run", tmp_path / "disk"
    assert run_command("train", *tiny(run)).code == 0
    first = run / "checkpoints" / "step-00000002"
    shutil.move(first, disk)
    first.symlink_to(disk)
    assert run_command("train", "--resume", run, "--train.steps", "8").code == 0
    assert not first.is_symlink() and (disk / "manifest.json").is_file()


def test_paths_of_a_run_are_absolute_and_home_is_expanded(
    toys: Path, tiny: Tiny, run_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine").symlink_to(toys)
    monkeypatch.chdir(tmp_path)
    assert run_command("train", *tiny(Path("run"), "--data.root", "~/mine")).code == 0
    assert not Path("~").exists()
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    assert run_command("train", "--resume", "../run", "--train.steps", "6").code == 0
    assert run_command("evaluate", "--model", "../run", "--metrics", "round_trip").code == 0
    text = (tmp_path / "run" / "config.yaml").read_text()
    assert f"root: {tmp_path / 'mine'}" in text and f"output: {tmp_path / 'run'}" in text


def test_printed_commands_are_quoted(tiny: Tiny, run_command: Command, tmp_path: Path) -> None:
    run = tmp_path / "a run's folder"
    assert run_command("train", *tiny(run)).code == 0
    said = run_command("train", *tiny(run))
    assert f"--resume '{tmp_path}/a run'\"'\"'s folder'" in said.err
