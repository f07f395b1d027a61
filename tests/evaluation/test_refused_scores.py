"""What can't be scored is refused by name."""

import shutil
from pathlib import Path

import pytest
from conftest import Command, Tiny
from run_files import refused, write_noise


@pytest.fixture(scope="module")
def finished(tiny: Tiny, run_command: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of 1 step."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    assert run_command("train", *tiny(folder, "--train.steps", "1")).code == 0
    return folder


def test_a_pair_of_two_sizes_is_refused_by_name(
    run_command: Command, finished: Path, toys: Path, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(toys, tmp_path / "root"))
    write_noise(root / "testB" / "00001.png", (20, 24))
    said = run_command("main", "evaluate", "--model", finished, "--data.root", root, "--metrics", "maps")
    refused(said, "00001.png")


def test_a_gray_model_is_not_scored_on_colored_maps(
    run_command: Command, tiny: Tiny, toys: Path, tmp_path: Path
) -> None:
    assert run_command("train", *tiny(tmp_path / "run", "--train.steps", "1", "--data.channels", "1")).code == 0
    said = run_command("main", "evaluate", "--model", tmp_path / "run", "--data.root", toys, "--metrics", "maps")
    refused(said, "channels")
