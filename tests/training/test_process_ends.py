"""No process of a training ever waits for one that is gone, and a signal to any stops all after the same step."""

import signal
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import Command
from divided import Arguments, arguments_below, children, diary_of, endless
from filelock import FileLock
from group import Ended, Group, Job, diary
from run_files import saved_steps, status_of

from unit.training.loop import LOST_PEER
from unit.training.run_folder import LOCK


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> Arguments:
    return arguments_below(tmp_path_factory.mktemp("data"))


def begun(group: Group) -> None:
    group.until(lambda: "step 2/" in group.said(0))


def test_a_save_that_fails_ends_all(arguments: Arguments, tmp_path: Path) -> None:
    job = endless(arguments, tmp_path / "run", "--train.checkpoint_every", "2", fault="disk full")
    with Group(2, [job], tmp_path / "group") as group:
        ended = group.ended()
    assert ended.codes == [1, 1], ended.err
    assert ended.err[0].startswith("error: the checkpoint of step 2 can't be written: [Errno 28]")
    assert ended.err[1] == f"error: {LOST_PEER}\n" and len(ended.err[0].splitlines()) == 1


@pytest.mark.parametrize("victim", [0, 1])
def test_a_process_that_is_killed_ends_the_other(victim: int, arguments: Arguments, tmp_path: Path) -> None:
    with Group(2, [endless(arguments, tmp_path / "run")], tmp_path / "group") as group:
        begun(group)
        group.processes[victim].kill()
        ended = group.ended()
    assert (ended.codes[victim], ended.codes[1 - victim]) == (-signal.SIGKILL, 1), ended.err
    assert ended.err[1 - victim] == f"error: {LOST_PEER}\n" and ended.err[victim] == ""


@pytest.mark.parametrize("victim", [0, 1])
def test_a_process_that_is_killed_while_the_main_one_validates_ends_the_other(
    victim: int, arguments: Arguments, tmp_path: Path
) -> None:
    """Whoever waits for a validation, for hours if need be, notices at once that nobody works on it any more."""
    more = ("--validate.every", "2", "--validate.metric", "round_trip", "--validate.share", "0.5")
    with Group(2, [endless(arguments, tmp_path / "run", *more, fault="long validation")], tmp_path / "group") as group:
        group.until(lambda: "validating" in group.said(0))
        group.processes[victim].kill()
        ended = group.ended()
    assert (ended.codes[victim], ended.codes[1 - victim]) == (-signal.SIGKILL, 1), ended.err
    assert ended.err[1 - victim] == f"error: {LOST_PEER}\n" and ended.err[victim] == ""


def test_a_figure_that_the_main_process_refuses_is_refused_on_all(arguments: Arguments, tmp_path: Path) -> None:
    more = ("--validate.every", "2", "--validate.metric", "loveliness", "--validate.share", "0.5")
    with Group(2, [endless(arguments, tmp_path / "run", *more)], tmp_path / "group") as group:
        ended = group.ended()
    assert ended.codes == [2, 2] and all("got loveliness" in line for line in ended.err), ended.err
    assert not (tmp_path / "run").exists()


def test_a_run_that_is_refused_to_one_is_refused_to_all(
    arguments: Arguments, run_command: Command, tmp_path: Path
) -> None:
    """Rank 0 alone locks a run's folder."""
    run = tmp_path / "run"
    assert run_command("train", *arguments("unit", steps=1), "--run.output", run).code == 0
    resumed = Job(["--resume", str(run), "--train.steps", "2"], fault="impatient")
    with FileLock(run / LOCK), Group(2, [resumed], tmp_path / "group") as group:
        ended = group.ended()
    assert ended.codes == [2, 1] and ended.err[0].startswith("error: run.output: another process is training in")
    assert ended.err[1] == f"error: {LOST_PEER}\n" and len(ended.err[0].splitlines()) == 1


def test_images_that_one_cannot_read_end_all(arguments: Arguments, tmp_path: Path) -> None:
    with Group(2, [endless(arguments, tmp_path / "run", fault="no images on rank 1")], tmp_path / "group") as group:
        ended = group.ended()
    assert ended.codes == [1, 2], ended.err
    assert ended.err == [f"error: {LOST_PEER}\n", "error: data: no folder\n"]


def test_what_breaks_down_on_one_ends_all_with_the_same_line(arguments: Arguments, tmp_path: Path) -> None:
    job = endless(arguments, tmp_path / "run", fault="not finite on rank 1")
    with Group(2, [job], tmp_path / "group") as group:
        ended = group.ended()
    assert ended.codes == [1, 1], ended.err
    line = (
        "error: the training broke down at step 3: discriminator_a is NaN or infinite; "
        "the last checkpoint is as it was\n"
    )
    assert ended.err == [line, line]


# Signals


def assert_stopped(ended: Ended, run: Path, number: signal.Signals) -> None:
    """All after the same step, with one checkpoint of it and one line."""
    assert ended.codes == [128 + number] * len(ended.codes), ended.err
    (step,) = saved_steps(run)
    line = f"error: stopped by {number.name} after step {step}; --resume {run} goes on from there\n"
    assert ended.err == [line, *[""] * (len(ended.codes) - 1)]
    steps = diary(diary_of(run))
    assert [len(steps[s]) for s in range(step)] == [len(ended.codes)] * step and len(steps) == step
    status = status_of(run)
    assert (status["status"], status["step"], status["signal"]) == ("interrupted", step, number.name)


@pytest.mark.parametrize("asked", [[0], [1], [0, 1]], ids=str)
def test_a_signal_to_any_process_stops_all_after_the_same_step(
    asked: list[int], arguments: Arguments, tmp_path: Path
) -> None:
    with Group(2, [endless(arguments, tmp_path / "run")], tmp_path / "group") as group:
        begun(group)
        for rank in asked:
            group.signal(rank, signal.SIGTERM)
        assert_stopped(group.ended(), tmp_path / "run", signal.SIGTERM)


def test_a_second_signal_ends_them_at_once(arguments: Arguments, tmp_path: Path) -> None:
    with Group(2, [endless(arguments, tmp_path / "run", fault="stuck in step 3")], tmp_path / "group") as group:
        for word in ("stuck", "noted"):
            group.until(lambda word=word: word in group.said(0) and word in group.said(1))  # type: ignore[misc]
            for rank in (0, 1):
                group.signal(rank, signal.SIGTERM)
        ended = group.ended(20)
    assert ended.codes == [128 + signal.SIGTERM] * 2 and saved_steps(tmp_path / "run") == []


def left_behind(group: int | None) -> bool:
    """Whether a process of the group lives; one that has ended, and that nobody has asked about yet, does not."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ends while it is looked at
            state, _, its_group, *_ = path.read_text().rpartition(")")[2].split()
            if int(its_group) == group and state not in "ZX":
                return True
    return False


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=str)
def test_a_signal_to_the_loaders_too_is_the_trainings_alone(
    number: signal.Signals, count: int, arguments: Arguments, tmp_path: Path
) -> None:
    """As Ctrl-C reaches all that a terminal has started."""
    job = endless(arguments, tmp_path / "run", "--data.cache_gb", "0", "--data.workers", "2")
    with Group(count, [job], tmp_path / "group") as group:
        begun(group)
        assert all(len(children(process.pid)) >= 2 for process in group.processes)
        for rank in range(count):
            group.signal(rank, number, loaders=True)
        assert_stopped(group.ended(), tmp_path / "run", number)
        assert not any(left_behind(process.pid) for process in group.processes)
