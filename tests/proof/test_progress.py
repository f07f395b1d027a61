"""Where a training is, event by event, as another process sees it."""

import itertools
import re
import sys
from pathlib import Path

import pytest
from conftest import Command, Tiny

from unit.proof import events, resume
from unit.proof.events import Progress, SharedProgress, Watcher


@pytest.mark.usefixtures("flushing")
def test_the_progress_follows_a_training(tiny: Tiny, run_command: Command, tmp_path: Path) -> None:
    class Recorder(Watcher):
        def move(self) -> None:
            super().move()
            stages.append(self.progress.stage)

    stages: list[str] = []
    shared = SharedProgress(tmp_path / "progress")
    assert shared.read() == Progress(0, 0, "starting")
    sys.setprofile(Recorder(shared))
    try:
        said = run_command("train", *tiny(tmp_path / "run", "--train.steps", "2"))
    finally:
        sys.setprofile(None)
    assert said.code == 0
    begun = [stage for stage, _ in itertools.groupby(stage for stage in stages if stage != "loop")]
    text = " ".join(stage.replace(" ", "-") for stage in begun)
    phases = " ".join(f"forward-{n} backward-{n} forward-{n} optimizer-{n}" for n in (1, 2))
    step = f"batch {phases} forward-3 average log "
    assert re.match(f"starting ({step}){{2}}samples save:-snapshot", text), text
    assert {stage for stage in begun if stage.startswith(events.SAVING)} == {
        "save: snapshot", *events.INSIDE_A_SAVE.values(), "save: finished model",
    }  # fmt: skip
    last = SharedProgress(tmp_path / "progress").read()
    assert last.number == len(stages) and last.in_saves == sum(stage.startswith("save: ") for stage in stages)


def test_every_stage_fits_into_the_shared_file(tmp_path: Path) -> None:
    shared = SharedProgress(tmp_path / "progress")
    for number, stage in enumerate([*events.STAGES.values(), *events.INSIDE_A_SAVE.values(), "optimizer 12", "loop"]):
        shared.write(Progress(number, 2**40, stage))
        assert SharedProgress(tmp_path / "progress").read() == Progress(number, 2**40, stage)


def test_each_process_has_its_own_place_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "7")
    assert "RANK" not in resume.make_environment(0, 1, 5)
    second = resume.make_environment(1, 2, 5)
    assert (second["RANK"], second["WORLD_SIZE"], second["MASTER_PORT"]) == ("1", "2", "5")
