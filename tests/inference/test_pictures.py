"""What translation does with whole photographs: their colors, sizes, names, alpha and metadata."""

import os
from pathlib import Path
from typing import Any

import pytest
from conftest import Command
from copiers import copier
from icc_profiles import ADOBE_RGB
from PIL import Image

import unit
from unit.evaluation.sets import TranslationSet
from unit.inference import folder
from unit.inference.plan import target_names
from unit.inference.translator import Translator


def test_colors_of_a_profile_become_srgb(tmp_path: Path) -> None:
    """There is no profile in the translation: without one, colors are sRGB's."""
    (tmp_path / "in").mkdir()
    Image.new("RGB", (16, 16), (200, 60, 40)).save(tmp_path / "in" / "adobe.png", icc_profile=ADOBE_RGB)
    Image.new("RGB", (16, 16), (200, 60, 40)).save(tmp_path / "in" / "broken.png", icc_profile=b"nonsense")
    report = unit.translate(copier(), tmp_path / "in", tmp_path / "out")
    with Image.open(tmp_path / "out" / "adobe.png") as image:
        assert image.getpixel((8, 8)) == pytest.approx((231, 57, 34), abs=1) and "icc_profile" not in image.info
    with Image.open(tmp_path / "out" / "broken.png") as image:
        assert image.getpixel((8, 8)) == (200, 60, 40)
    line = str(report).splitlines()[-1]
    assert line == f"1 file with a broken color profile, which is ignored: {str(tmp_path / 'in' / 'broken.png')!r}"


def test_also_those_of_a_pil_image(tmp_path: Path) -> None:
    image = Image.new("RGB", (16, 16), (200, 60, 40))
    image.info["icc_profile"] = ADOBE_RGB
    assert copier()(image).getpixel((8, 8)) == pytest.approx((231, 57, 34), abs=1)
    image.save(tmp_path / "x.png", icc_profile=ADOBE_RGB)
    assert copier()(tmp_path / "x.png").getpixel((8, 8)) == pytest.approx((231, 57, 34), abs=1)


def write_colors(folder: Path, *names: str, size: tuple[int, int] = (16, 16)) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        Image.new("RGB", size, (10 * number, 100, 200)).save(folder / name)


# What ends a translation, or begins one again.


def test_too_little_memory_names_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_colors(tmp_path / "in", "large.png", size=(64, 64))
    monkeypatch.setattr("unit.inference.translator.free_memory", lambda device: 1000.0)
    report = unit.translate(copier(), tmp_path / "in", tmp_path / "out")
    (reason,) = report.failed.values()
    assert "large.png" in reason and "64 × 64 pixels need about" in reason and "--resize N" in reason


@pytest.mark.parametrize("name", ["result.gif", "result.HEIC", "result.avif", "result.jp2", "result.svg"])
def test_a_file_of_a_format_that_is_not_written_is_no_folder(tmp_path: Path, name: str) -> None:
    write_colors(tmp_path, "x.png")
    with pytest.raises(ValueError, match=r"output: \.\w+ is not written; expected one of \.jpg, .*\.png") as error:
        unit.translate(copier(), tmp_path / "x.png", tmp_path / name)
    assert "\n" not in str(error.value) and not (tmp_path / name).exists()
    (tmp_path / name).mkdir()  # but a folder is a folder
    assert unit.translate(copier(), tmp_path / "x.png", tmp_path / name).written == [tmp_path / name / "x.png"]
    report = unit.translate(copier(), tmp_path / "x.png", tmp_path / "v1.5")
    assert report.written == [tmp_path / "v1.5" / "x.png"]


def test_an_interrupted_translation_says_how_far_it_has_come(
    tmp_path: Path, run_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_colors(tmp_path / "in", "a.png", "b.png", "c.png")
    try_each = Translator.try_each
    calls = []

    def interrupted(self: Translator, *arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return try_each(self, *arguments, **options)

    monkeypatch.setattr(Translator, "try_each", interrupted)
    monkeypatch.setattr(folder, "load", lambda model, device: copier())
    command = ("translate", "--model", "any", "--input", tmp_path / "in", "--output", tmp_path / "out")
    said = run_command(*command, "--batch-size", "1")
    assert said.code == 130 and "Traceback" not in said.err
    assert "interrupted: 2 of 3 images are translated; the same command" in said.err.splitlines()[-1]
    said = run_command(*command)
    assert said.code == 0 and said.out.startswith("1 images translated\n2 were there already")


def test_what_killed_translations_left_is_cleared(tmp_path: Path) -> None:
    """Ours only, and only where nobody has written to it for a minute."""
    write_colors(tmp_path / "in" / "deep", "x.png")
    out = tmp_path / "out" / "deep"
    out.mkdir(parents=True)
    old, young = f".{'0a' * 8}.partial", f".{'1b' * 8}.partial"
    others = [young, ".notes.partial", f"{'0a' * 8}.partial", f".{'0A' * 8}.partial", f".{'2c' * 8}.partial.png"]
    for name in (old, *others):
        (out / name).write_bytes(b"half a file")
        os.utime(out / name, times=None if name == young else (1, 1))
    (out / f".{'3d' * 8}.partial").mkdir()
    unit.translate(copier(), tmp_path / "in", tmp_path / "out")
    assert {path.name for path in out.iterdir()} == {*others, f".{'3d' * 8}.partial", "x.png"}


# At the scale of training.


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_images_are_translated_at_the_scale_of_training(tmp_path: Path) -> None:
    write_colors(tmp_path / "in", "x.png", size=(64, 48))
    write_colors(tmp_path / "in", "y.png", size=(40, 24))
    model = copier(resize=24, size=16)
    report = unit.translate(model, tmp_path / "in", tmp_path / "out")
    assert [size_of(path) for path in report.written] == [(32, 24), (40, 24)]
    assert str(report).splitlines() == [
        "2 images translated",
        "1 image was scaled to a shorter side of 24 pixels first (--resize keep keeps sizes)",
    ]
    for resize, size in ((12, (16, 12)), ("keep", (64, 48))):
        report = unit.translate(model, tmp_path / "in" / "x.png", tmp_path / str(resize), resize=resize)  # type: ignore[arg-type]
        assert [size_of(path) for path in report.written] == [size]
        assert ("scaled" in str(report)) == (resize == 12)
    report = unit.translate(copier(), tmp_path / "in" / "x.png", tmp_path / "free")
    assert size_of(report.written[0]) == (64, 48) and "scaled" not in str(report)


def test_a_single_image_given_to_the_translator_keeps_its_size(tmp_path: Path) -> None:
    write_colors(tmp_path, "x.png", size=(64, 48))
    assert copier(resize=24, size=16)(tmp_path / "x.png").size == (64, 48)


@pytest.mark.parametrize("resize", [0, -3, "large", 2.5, True])
def test_what_is_no_scale_is_refused(tmp_path: Path, resize: Any) -> None:
    write_colors(tmp_path, "x.png")
    with pytest.raises(ValueError, match="resize: expected a number of pixels of at least 1, or 'keep', got"):
        unit.translate(copier(), tmp_path / "x.png", tmp_path / "y.png", resize=resize)


def test_the_command_takes_a_number_or_keep(
    tmp_path: Path, run_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_colors(tmp_path, "x.png", size=(64, 48))
    monkeypatch.setattr(folder, "load", lambda model, device: copier(resize=24, size=16))
    command = ("translate", "--model", "any", "--input", tmp_path / "x.png", "--output")
    for options, size in (((), (32, 24)), (("--resize", "12"), (16, 12)), (("--resize", "keep"), (64, 48))):
        said = run_command(*command, tmp_path / f"{size[0]}.png", *options)
        assert said.code == 0 and size_of(tmp_path / f"{size[0]}.png") == size
    for wrong in ("0", "large"):
        said = run_command(*command, tmp_path / "y.png", "--resize", wrong)
        assert said.code == 2 and "resize" in said.err and "keep" in said.err and len(said.err.splitlines()) == 1


def test_evaluation_is_at_the_scale_of_training(tmp_path: Path) -> None:
    for name in ("testA", "testB"):
        write_colors(tmp_path / name, "x.png", size=(64, 48))
    model = copier(resize=24, size=16).model
    for resize, size, scaled in ((None, (24, 32), 1), (12, (12, 16), 1), ("keep", (48, 64), 0)):
        images = TranslationSet(model, tmp_path, resize=resize)  # type: ignore[arg-type]
        assert images.test_a[0].shape[1:] == images.translated("a2b")[0].shape[1:] == size
        assert len(images.scaled) == scaled


# Names.


def test_files_of_one_stem_keep_their_whole_names(tmp_path: Path) -> None:
    write_colors(tmp_path / "in" / "deep", "a.jpg", "a.png", "b.png", "a.bmp")
    write_colors(tmp_path / "in", "a.png", "c.webp")
    report = unit.translate(copier(), tmp_path / "in", tmp_path / "out")
    written = {path.relative_to(tmp_path / "out").as_posix() for path in report.written}
    assert written == {"a.png", "c.png", "deep/a.bmp.png", "deep/a.jpg.png", "deep/a.png.png", "deep/b.png"}
    assert not report.failed
    with Image.open(tmp_path / "out" / "deep" / "a.png.png") as image:
        assert image.getpixel((8, 8)) == (10, 100, 200)
    again = unit.translate(copier(), tmp_path / "in", tmp_path / "out")
    assert not again.written and sorted(again.existing) == sorted(report.written)


@pytest.mark.parametrize(
    ("sources", "targets"),
    [
        (["a.jpg", "a.png"], ["a.jpg.png", "a.png.png"]),
        (["a.jpg", "b.png"], ["a.png", "b.png"]),
        (["a.jpg", "a.png", "a.jpg.webp"], ["a.jpg.png", "a.png.png", "a.jpg.webp.png"]),
        (["A.jpg", "a.png"], ["A.jpg.png", "a.png.png"]),
        (["x/a.jpg", "y/a.png"], ["x/a.png", "y/a.png"]),
        (["a.b.jpg", "a.c.jpg"], ["a.b.png", "a.c.png"]),
    ],
)
def test_names_never_collide(sources: list[str], targets: list[str]) -> None:
    for order in (sources, sources[::-1]):
        names = target_names([Path(name) for name in order], "png")
        assert dict(zip(order, names, strict=True)) == dict(zip(sources, map(Path, targets), strict=True))


def test_names_of_the_same_format() -> None:
    names = [Path(name) for name in ("a.jpg", "a.png", "b.GIF", "c.TIFF", "d.gif", "d.png", "e.jpe")]
    assert [path.name for path in target_names(names, "same")] == [
        "a.jpg", "a.png", "b.png", "c.TIFF", "d.gif.png", "d.png.png", "e.jpe",
    ]  # fmt: skip


def test_the_same_format_is_each_files_own(tmp_path: Path) -> None:
    write_colors(tmp_path / "in", "a.jpg", "a.png", "b.webp", "c.tif")
    unit.translate(copier(), tmp_path / "in", tmp_path / "out", format="same")
    unit.translate(copier(), tmp_path / "in" / "a.jpg", tmp_path / "one", format="same")
    formats = {}
    for path in [*(tmp_path / "out").iterdir(), *(tmp_path / "one").iterdir()]:
        with Image.open(path) as image:
            formats[path.name] = image.format
    assert formats == {"a.jpg": "JPEG", "a.png": "PNG", "b.webp": "WEBP", "c.tif": "TIFF"}


# What is said of files.


def test_skipped_files_are_counted(tmp_path: Path) -> None:
    write_colors(tmp_path / "in", "a.png", "b.gif")
    for name in ("c.heic", "d.HEIC", "notes.txt", ".hidden.txt"):
        (tmp_path / "in" / name).write_bytes(b"")
    out = tmp_path / "in" / "out"
    report = unit.translate(copier(), tmp_path / "in", out)
    assert str(report).splitlines() == ["2 images translated", "3 files skipped (.heic, .txt)"]
    (out / "mine.md").write_text("what lies in the output is no input")
    assert "3 files skipped (.heic, .txt)" in str(unit.translate(copier(), tmp_path / "in", out))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "c.heic").write_bytes(b"")
    with pytest.raises(ValueError, match=r"no images in it; expected files of .*; 1 file skipped \(\.heic\)"):
        unit.translate(copier(), tmp_path / "other", out)


def test_animated_files_are_named(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (16, 16), color) for color in ("red", "lime", "blue")]
    (tmp_path / "in").mkdir()
    frames[0].save(tmp_path / "in" / "x.gif", save_all=True, append_images=frames[1:])
    report = unit.translate(copier(), tmp_path / "in", tmp_path / "out")
    with Image.open(tmp_path / "out" / "x.png") as image:
        assert image.getpixel((8, 8)) == (255, 0, 0)
    line = f"1 file with several frames or pages, of which the first is used: {str(tmp_path / 'in' / 'x.gif')!r}"
    assert str(report).splitlines() == ["1 images translated", line]
