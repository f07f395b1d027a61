"""Mutated images are trained on or left out by name, and nothing else happens; limits are checked before decoding."""

import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from bounds import GIB, no_longer_than, peak, snapshot, some_and_all
from mutated_images import noise, of_many_scans
from PIL import Image
from planted_images import counts, nest, plant_images, unnest
from waiting import HANGS

from unit.config.data import TwoDomainsConfig
from unit.data import decoding
from unit.data.batches import Shard
from unit.data.decoding import ImageError, read_image
from unit.data.domain import Domain, Reader, domain_of_files
from unit.data.images import find_images
from unit.data.two_domains import UnpairedBatches

CONFIG = TwoDomainsConfig(resize=16, size=16, workers=0)


def domain_of(folder: Path, *, budget: float = 0) -> Domain:
    return domain_of_files(str(folder), Reader(CONFIG.channels, CONFIG.resize, CONFIG.size), budget=budget)


@some_and_all(1, 16)
@pytest.mark.parametrize("cache_gb", [0.0, 4.0])
def test_each_image_is_trained_on_or_left_out_by_name(tmp_path: Path, each: int, cache_gb: float) -> None:
    made = plant_images(tmp_path / "in", seed=each, each=each, mark=tmp_path / "mark")
    assert each == 1 or len(made.verdicts) >= 1000
    before, memory, begun = snapshot(tmp_path), peak(), time.monotonic()
    with no_longer_than(120):
        domain = domain_of(tmp_path / "in", budget=cache_gb * 1e9)
    used = {tmp_path / "in" / name for name in domain.names}
    assert len(used) == len(domain) and used <= made.verdicts.keys()
    for path, verdict in made.verdicts.items():
        assert verdict == "either" or (path in used) == (verdict == "good"), (made.kinds[path], path)
    head, *lines = domain.complaints
    lines = [line for line in lines if line.startswith("  ")]  # others are on frames, profiles and the like
    assert f"{len(lines)} files left out" in head and len(used) + len(lines) == len(made.verdicts)
    assert all(line.isprintable() for line in [head, *lines])
    left_out = sorted(made.verdicts.keys() - used, key=lambda path: path.relative_to(tmp_path / "in").as_posix())
    for path, line in zip(left_out, lines, strict=True):
        assert repr(str(path)) in line

    batches = UnpairedBatches(domain, domain, CONFIG, Shard(0, batch_size=8))
    for step in range(len(domain) // 8 + 1):  # each image once
        batch = batches.prepare(batches[step], step, torch.device("cpu"))
        assert batch.x_a.shape == (8, 3, 16, 16) and bool(batch.x_a.isfinite().all())
    assert snapshot(tmp_path) == before
    assert not (tmp_path / "mark").exists()
    assert peak() - memory < GIB / 2
    print(f"training: {counts(made, used)}\n{time.monotonic() - begun:.1f} s, {peak() / 1e9:.2f} GB at most")


def test_a_file_without_permission_is_left_out_by_name_also_for_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("closed.png", "open.png"):
        noise().save(tmp_path / name)

    def guarded(path: Any, *arguments: Any) -> Any:
        if str(path).endswith("closed.png"):
            raise PermissionError(13, "Permission denied", str(path))
        return open(path, *arguments)

    monkeypatch.setattr(decoding, "open", guarded, raising=False)
    domain = domain_of(tmp_path)
    assert domain.names == ["open.png"] and "Permission denied" in domain.complaints[1]


@pytest.mark.parametrize("suffix", [".webp", ".png", ".tif"])
def test_a_file_larger_than_any_image_is_not_read(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    noise().save(tmp_path / f"x{suffix}")
    size = (tmp_path / f"x{suffix}").stat().st_size
    monkeypatch.setattr(decoding, "MAX_BYTES", size)
    read_image(tmp_path / f"x{suffix}", channels=3)
    monkeypatch.setattr(decoding, "MAX_BYTES", size - 1)
    with pytest.raises(ImageError, match=f"{size} bytes, not at most {size - 1}"):
        read_image(tmp_path / f"x{suffix}", channels=3)


def test_a_jpeg_has_no_more_scans_than_any_encoder_makes(tmp_path: Path) -> None:
    """Counted in the image alone: what follows it, such as the film of a moving photograph, may hold any bytes."""
    (tmp_path / "x.jpg").write_bytes(of_many_scans(94, side=16))  # and 6 of the encoder's own
    read_image(tmp_path / "x.jpg", channels=3)
    (tmp_path / "x.jpg").write_bytes(of_many_scans(95, side=16))
    with pytest.raises(ImageError, match="more than 100 scans"):
        read_image(tmp_path / "x.jpg", channels=3)
    for progressive in (False, True):
        noise().save(tmp_path / "x.jpg", progressive=progressive, comment=b"\xff\xda" * 200)
        with (tmp_path / "x.jpg").open("ab") as file:
            file.write(b"\xff\xda\0\0" * 1000)
        read_image(tmp_path / "x.jpg", channels=3)


def test_large_images_are_decoded_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two, alone, crowds = threading.Barrier(2), threading.Lock(), list[Image.Image]()
    load_pixels = decoding._eight_bits

    def together(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
        two.wait(HANGS)
        return load_pixels(image)

    def watched(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
        if not alone.acquire(blocking=False):
            crowds.append(image)
        else:
            time.sleep(0.01)
            alone.release()
        return load_pixels(image)

    for number in range(8):
        noise().save(tmp_path / f"{number}.png")
    monkeypatch.setattr(decoding, "_eight_bits", together)
    domain_of(tmp_path)
    monkeypatch.setattr(decoding, "_eight_bits", watched)
    monkeypatch.setattr(decoding, "LARGE", 100)
    domain_of(tmp_path)
    assert not crowds


def test_folders_nested_deeper_than_python_recurses_are_searched(tmp_path: Path) -> None:
    deep, levels = tmp_path / "in", sys.getrecursionlimit() + 100
    nest(deep, levels)
    noise().save(deep / ("d/" * levels) / "x.png")
    noise().save(deep / "y.png")
    assert [path.name for path in find_images(deep)] == ["x.png", "y.png"]
    assert [Path(name).name for name in domain_of(deep).names] == ["x.png", "y.png"]
    unnest(deep, levels)
