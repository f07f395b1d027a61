"""Images that vanish, break or shrink under a training that reads them from disk: another takes their place."""

from pathlib import Path

import pytest
import torch
from conftest import Command, Tiny
from PIL import Image

from unit.config.data import TwoDomainsConfig
from unit.data.batches import DataError, Shard
from unit.data.two_domains import PairedBatches, UnpairedBatches, open_domains
from unit.training.loop import explain


def write(root: Path, count: int = 4) -> TwoDomainsConfig:
    for domain in "AB":
        (root / f"train{domain}").mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (20, 20), (40 * number, 9, 9)).save(root / f"train{domain}" / f"{number}.png")
    return TwoDomainsConfig(root=str(root), size=16, flip=False, cache_gb=0, workers=0)


def vanish(path: Path) -> None:
    path.unlink()


def break_(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


def shrink(path: Path) -> None:
    Image.new("RGB", (8, 8)).save(path)


@pytest.mark.parametrize("change", [vanish, break_, shrink])
def test_the_next_image_takes_the_place_of_one_that_is_gone(
    tmp_path: Path, change, capsys: pytest.CaptureFixture[str]
) -> None:  # type: ignore[no-untyped-def]
    config = write(tmp_path)
    batches = UnpairedBatches(*open_domains(config), config, Shard(0, 8))
    reds = {int(image[0, 0, 0]) for image in batches[0].x_a}
    assert reds == {0, 40, 80, 120}
    change(tmp_path / "trainA" / "1.png")
    for number in (0, 1):
        stored = batches[number]
        assert {int(image[0, 0, 0]) for image in stored.x_a} == {0, 80, 120}
        batches.prepare(stored, number, torch.device("cpu"))
    said = capsys.readouterr().err
    assert said.count("1.png") == 1 and "another image takes its place" in said and len(said.splitlines()) == 1


def test_a_pair_loses_both_its_sides(tmp_path: Path) -> None:
    config = write(tmp_path)
    batches = PairedBatches(*open_domains(config), config, Shard(0, 8))
    (tmp_path / "trainB" / "2.png").unlink()
    stored = batches[0]
    assert torch.equal(stored.x_a, stored.x_b) and {int(image[0, 0, 0]) for image in stored.x_a} == {0, 40, 120}


def test_where_nothing_is_left_it_is_one_line(tmp_path: Path) -> None:
    config = write(tmp_path, count=2)
    batches = UnpairedBatches(*open_domains(config), config, Shard(0, 2))
    for path in (tmp_path / "trainB").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="no image can be read any more") as caught:
        batches[0]
    assert "\n" not in str(caught.value)


def test_a_training_goes_on_in_worker_processes(tiny: Tiny, run_command: Command, tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    from unit.training import loop

    write(tmp_path / "data")
    real = loop.claim

    def later(*given, **more):  # type: ignore[no-untyped-def]
        (tmp_path / "data" / "trainA" / "3.png").unlink()
        return real(*given, **more)

    monkeypatch.setattr(loop, "claim", later)
    keys = ("--data.root", str(tmp_path / "data"), "--data.cache_gb", "0", "--data.workers", "2", "--data.size", "16")
    said = run_command("train", *tiny(tmp_path / "run", *keys))
    assert said.code == 0 and said.err.count("3.png") == 1


def test_a_reader_that_was_killed_is_one_line(tmp_path: Path) -> None:
    said = explain(RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "), tmp_path)
    assert str(said) == "a process that reads images was killed; the last checkpoint is as it was"
