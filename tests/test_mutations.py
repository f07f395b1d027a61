"""Files that a careless or hostile hand left: each is used or refused by name, and nothing else happens.

The makers are in mutations.py. A part of them runs here each time; all of them, and whole processes with bounds on time
and memory, are proofs of minutes, marked slow.
"""

import hashlib
import json
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from conftest import Command, Said, Tiny
from mutations import Planted, config_files, model_folders, noise, of_many_scans, pickles, plant_images, png, zeros
from PIL import Image
from torch import Tensor

import unit
from unit import checkpoint, training
from unit.checkpoint import CheckpointError
from unit.config import Config, strict_yaml
from unit.config.data import DataConfig
from unit.config.unit import ModelConfig, UnitConfig
from unit.data import decoding
from unit.data.batches import Share
from unit.data.decoding import ImageError, read_image
from unit.data.folders import UnpairedBatches, open_folder
from unit.data.images import find_images
from unit.methods.build import describe
from unit.methods.translator import Translator
from unit.model import load, save_model
from unit.options import schema
from unit.text import LONGEST, one_line

ROOT = Path(unit.__file__).resolve().parent.parent
SMALLEST = ModelConfig(width=4, blocks=2)
GIB = 2**30


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small model, untrained. Tests read it and change nothing in it."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / "sound"
    save_model(folder, Translator(SMALLEST, channels=3), describe(UnitConfig(model=SMALLEST)), step=1)
    return folder


class Copier(Translator):
    """Returns what it is given."""

    def __init__(self) -> None:
        super().__init__(ModelConfig(width=1, blocks=1), channels=3)

    def translate(self, x: Tensor, direction: str = "a2b") -> Tensor:
        return x


def snapshot(folder: Path, *, but: Path | None = None) -> dict[str, tuple[object, ...]]:
    """All that lies below a folder: kinds, rights, sizes, times of change, links' targets and small files' contents."""
    found: dict[str, tuple[object, ...]] = {}
    for here, folders, files in os.walk(folder):
        if but is not None and but.name in folders and Path(here) == but.parent:
            folders.remove(but.name)
        for name in [*folders, *files]:
            path = os.path.join(here, name)
            status = os.lstat(path)
            entry: list[object] = [status.st_mode, status.st_ino, status.st_size]
            if stat.S_ISLNK(status.st_mode):
                entry.append(os.readlink(path))
            elif stat.S_ISREG(status.st_mode):
                entry.append(status.st_mtime_ns)
                if status.st_size < 2**22:
                    entry.append(hashlib.sha256(Path(path).read_bytes()).digest())
            found[path] = tuple(entry)
    return found


@contextmanager
def no_longer_than(seconds: float) -> Iterator[None]:
    """Fail what hangs, even where it waits in the system."""

    def stop(*_: object) -> None:
        raise AssertionError(f"took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def peak() -> int:
    """The most memory, in bytes, that this process has had."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def assert_refused(said: Said, code: int = 2) -> None:
    """One printable line that is no longer than a terminal can bear, and the exit code."""
    assert said.code == code, said
    lines = said.err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ") and len(lines[0]) > len("error: "), said.err[:2000]
    assert lines[0].isprintable() and len(lines[0]) <= LONGEST + 10
    assert "Traceback" not in said.err and "finished" not in said.out


# Images


def some_and_all(some: int, most: int) -> Any:
    """A small number each time, and in the slow proofs the large one."""
    return pytest.mark.parametrize("each", [some, pytest.param(most, marks=pytest.mark.slow)])


def planted(tmp_path: Path, each: int) -> Planted:
    made = plant_images(tmp_path / "in", seed=each, each=each, mark=tmp_path / "mark")
    if each > 1:
        assert len(made.verdicts) >= 1000
    return made


def counts(made: Planted, used: set[Path]) -> str:
    """How many files of each kind there are, and how many of them were used."""
    kinds = {path: kind.split(" in ")[0] for path, kind in made.kinds.items()}
    of, good = Counter(kinds.values()), Counter(kinds[path] for path in used)
    rows = [f"  {kind}: {count}, {good[kind]} used" for kind, count in sorted(of.items())]
    return "\n".join([f"{len(kinds)} files, {len(used)} used, {len(kinds) - len(used)} refused", *rows])


@some_and_all(1, 16)
def test_each_image_is_translated_or_named_and_nothing_else_is_touched(
    run_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, each: int
) -> None:
    made = planted(tmp_path, each)
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "mine.txt").write_text("mine")
    monkeypatch.chdir(tmp_path / "beside")
    monkeypatch.setattr("unit.translation.load", lambda model: Copier())
    before, memory, begun = snapshot(tmp_path), peak(), time.monotonic()
    with no_longer_than(120):
        said = run_command("translate", "--model", "any", "--input", tmp_path / "in", "--output", tmp_path / "out")
    seconds = time.monotonic() - begun
    assert snapshot(tmp_path, but=tmp_path / "out") == before
    assert said.code == 1 and said.err.count("Traceback") == 0

    def target(path: Path) -> Path:
        return (tmp_path / "out" / path.relative_to(tmp_path / "in")).with_suffix(".png")

    used = {path for path in made.verdicts if target(path).exists()}
    head, failed, *lines = said.out.splitlines()
    assert head == f"{len(used)} images translated" and failed == f"{len(lines)} failed:"
    assert len(used) + len(lines) == len(made.verdicts)
    named = {path: sum(f"{str(path)!r}" in line for line in lines) for path in made.verdicts}
    for path, verdict in made.verdicts.items():
        assert (path in used) == (named[path] == 0) and named[path] <= 1, (path, named[path])
        assert verdict == "either" or (path in used) == (verdict == "good"), (made.kinds[path], path)
    assert all(line.startswith("  ") and line.isprintable() for line in lines)
    for path in sorted(used):
        assert torch.equal(read_image(target(path), channels=3), read_image(path, channels=3)), path
    written = {path for path in (tmp_path / "out").rglob("*") if not path.is_dir()}
    assert written == {target(path) for path in used}
    assert not (tmp_path / "mark").exists()
    assert peak() - memory < GIB / 2
    print(f"translate: {counts(made, used)}\n{seconds:.1f} s, {peak() / 1e9:.2f} GB at most")


@some_and_all(1, 16)
@pytest.mark.parametrize("cache_gb", [0.0, 4.0])
def test_each_image_is_trained_on_or_left_out_by_name(tmp_path: Path, each: int, cache_gb: float) -> None:
    made = planted(tmp_path, each)
    before, memory, begun = snapshot(tmp_path), peak(), time.monotonic()
    config = DataConfig(resize=16, size=16, cache_gb=cache_gb, workers=0)
    with no_longer_than(120):
        folder = open_folder(tmp_path / "in", config, budget=cache_gb * 1e9)
    used = set(folder.paths)
    assert len(used) + len(folder.left_out) == len(made.verdicts)
    assert used | {Path(error.path) for error in folder.left_out} == made.verdicts.keys()
    for path, verdict in made.verdicts.items():
        assert verdict == "either" or (path in used) == (verdict == "good"), (made.kinds[path], path)
    head, *lines = folder.complaints
    assert f"{len(folder.left_out)} files left out" in head
    assert all(line.isprintable() for line in [head, *lines])
    for error, line in zip(folder.left_out, lines, strict=True):
        assert repr(str(error.path)) in line

    batches = UnpairedBatches(folder, folder, config, Share(0, batch_size=8))
    for step in range(len(folder) // 8 + 1):  # each image once
        batch = batches.prepare(batches[step], step, torch.device("cpu"))
        assert batch.x_a.shape == (8, 3, 16, 16) and bool(batch.x_a.isfinite().all())
    assert snapshot(tmp_path) == before
    assert not (tmp_path / "mark").exists()
    assert peak() - memory < GIB / 2
    print(f"training: {counts(made, used)}\n{time.monotonic() - begun:.1f} s, {peak() / 1e9:.2f} GB at most")


def test_a_file_without_permission_is_named_also_to_root(
    run_command: Command, sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("closed.png", "open.png"):
        (tmp_path / "in").mkdir(exist_ok=True)
        noise().save(tmp_path / "in" / name)

    def guarded(path: Any, *arguments: Any) -> Any:
        if str(path).endswith("closed.png"):
            raise PermissionError(13, "Permission denied", str(path))
        return open(path, *arguments)

    monkeypatch.setattr(decoding, "open", guarded, raising=False)
    said = run_command("translate", "--model", sound, "--input", tmp_path / "in", "--output", tmp_path / "out")
    assert said.code == 1 and "1 images translated" in said.out
    assert f"  cannot read image {str(tmp_path / 'in' / 'closed.png')!r}: Permission denied" in said.out.splitlines()
    folder = open_folder(tmp_path / "in", DataConfig(size=16), budget=0)
    assert [path.name for path in folder.paths] == ["open.png"] and "Permission denied" in folder.complaints[1]


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


def test_a_link_to_itself_stops_no_translation(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    noise().save(tmp_path / "in" / "x.png")
    os.symlink("loop.png", tmp_path / "in" / "loop.png")
    report = unit.translate(Copier(), tmp_path / "in", tmp_path / "out")
    assert [path.name for path in report.written] == ["x.png"] and [path.name for path in report.failed] == ["loop.png"]
    os.symlink("round", tmp_path / "round")
    report = unit.translate(Copier(), tmp_path / "in" / "x.png", tmp_path / "round")  # into a link to itself
    assert not report.written and len(report.failed) == 1


def test_a_dangling_link_in_the_output_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    noise().save(tmp_path / "in" / "x.png")
    os.symlink(tmp_path / "elsewhere.png", tmp_path / "out" / "x.png")
    report = unit.translate(Copier(), tmp_path / "in", tmp_path / "out")
    assert not report.written and report.existing == [tmp_path / "out" / "x.png"]
    report = unit.translate(Copier(), tmp_path / "in", tmp_path / "out", overwrite=True)
    assert len(report.written) == 1 and not (tmp_path / "elsewhere.png").exists()


def test_a_name_too_long_for_the_output_fails_alone(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    long = "x" * 251
    for name in (f"{long}.png", "short.png"):
        noise().save(tmp_path / "in" / name)
    report = unit.translate(Copier(), tmp_path / "in", tmp_path / "out", format="webp")  # one letter more
    assert [path.name for path in report.written] == ["short.webp"] and [p.stem for p in report.failed] == [long]
    assert "too long" in str(report)


def test_folders_nested_deeper_than_python_recurses(tmp_path: Path) -> None:
    deep = tmp_path / "in"
    deep.mkdir()
    levels = sys.getrecursionlimit() + 100
    here = os.open(deep, os.O_RDONLY)
    try:  # each level from the one above: mkdir(parents=True) recurses too
        for _ in range(levels):
            os.mkdir("d", dir_fd=here)
            below = os.open("d", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
    finally:
        os.close(here)
    noise().save(deep / ("d/" * levels) / "x.png")
    noise().save(deep / "y.png")
    assert [path.name for path in find_images(deep)] == ["x.png", "y.png"]
    report = unit.translate(Copier(), deep, tmp_path / "out")
    assert [path.name for path in report.written] == ["y.png"] and [path.name for path in report.failed] == ["x.png"]
    while levels:  # pytest's own removal recurses
        os.rename(deep / "d", tmp_path / "next")
        shutil.rmtree(deep)
        os.rename(tmp_path / "next", deep)
        levels -= 1


def test_an_image_that_needs_more_memory_than_there_is_fails_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before it is begun: where a system promises more memory than it has, nothing can be done later."""
    (tmp_path / "in").mkdir()
    noise(size=(64, 64)).save(tmp_path / "in" / "large.png")
    for name in ("a.png", "b.png"):
        noise(size=(16, 16)).save(tmp_path / "in" / name)
    enough = 4 * (4 * 1 + 10) * 16 * 16
    monkeypatch.setattr("unit.translation.free_memory", lambda device: enough)  # for one of the small ones
    report = unit.translate(Copier(), tmp_path / "in", tmp_path / "out")
    assert sorted(path.name for path in report.written) == ["a.png", "b.png"]
    (reason,) = report.failed.values()
    assert "large.png" in reason and "64 × 64 pixels need about" in reason


@pytest.mark.parametrize(
    "error", [RuntimeError("DefaultCPUAllocator: can't allocate memory"), MemoryError(), torch.OutOfMemoryError("CUDA")]
)
def test_memory_that_ends_on_the_way_fails_image_by_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    class Hungry(Copier):
        def translate(self, x: Tensor, direction: str = "a2b") -> Tensor:
            if len(x) > 1 or x[0, 0, 0, 0] == 1:  # more than one image, or a white one
                raise error
            return x

    (tmp_path / "in").mkdir()
    for name, colour in (("a.png", "black"), ("b.png", "white"), ("c.png", "black")):
        Image.new("RGB", (16, 16), colour).save(tmp_path / "in" / name)
    report = unit.translate(Hungry(), tmp_path / "in", tmp_path / "out")
    assert [path.name for path in report.written] == ["a.png", "c.png"]
    assert [path.name for path in report.failed] == ["b.png"]


def test_a_translation_that_is_no_image_fails_alone(tmp_path: Path) -> None:
    class Divider(Copier):
        def translate(self, x: Tensor, direction: str = "a2b") -> Tensor:
            return x / (x + 1).amax(dim=(1, 2, 3), keepdim=True)  # 0/0 of a black image

    (tmp_path / "in").mkdir()
    for name, colour in (("a.png", "black"), ("b.png", "white")):
        Image.new("RGB", (16, 16), colour).save(tmp_path / "in" / name)

    class Broken(Divider):
        def translate(self, x: Tensor, direction: str = "a2b") -> Tensor:
            return (x + 1) / (x + 1).amax(dim=(1, 2, 3), keepdim=True)

    report = unit.translate(Broken(), tmp_path / "in", tmp_path / "out")
    assert [path.name for path in report.written] == ["b.png"] and [path.name for path in report.failed] == ["a.png"]
    assert "NaN" in str(report)


def test_large_images_are_decoded_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, most = [0], [0]
    load_pixels = decoding._eight_bits

    def watched(image: Image.Image) -> Image.Image:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.01)
        inside[0] -= 1
        return load_pixels(image)

    monkeypatch.setattr(decoding, "_eight_bits", watched)
    for number in range(8):
        noise().save(tmp_path / f"{number}.png")
    open_folder(tmp_path, DataConfig(size=16), budget=0)
    assert most[0] > 1
    most[0] = 0
    monkeypatch.setattr(decoding, "LARGE", 100)
    open_folder(tmp_path, DataConfig(size=16), budget=0)
    assert most[0] == 1


# Whole processes, with bounds on time and memory


class Measured(NamedTuple):
    """How a process ended, what it said, and the most memory it had, in bytes."""

    code: int
    out: str
    err: str
    peak: int


BOUNDED = """
import atexit, pathlib, re, resource, runpy, sys, torch

def note():  # of this program alone; ru_maxrss counts what the process had before it became this program
    status = pathlib.Path("/proc/self/status").read_text()
    peak.write_text(re.search("VmHWM:\\s*([0-9]+) kB", status)[1])

peak = pathlib.Path("peak").absolute()
atexit.register(note)
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
limit = size + int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
del sys.argv[:2]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def bounded(script: str, *arguments: str | Path, cwd: Path, seconds: float, memory: int) -> Measured:
    """Run a script in a process that gets `memory` bytes beside what importing torch takes, and ends in time."""
    command = [sys.executable, "-c", BOUNDED, str(memory), str(ROOT / script), *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii", "OMP_NUM_THREADS": "1"}
    with open(cwd / "stdout", "wb") as out, open(cwd / "stderr", "wb") as err:
        process = subprocess.Popen(command, cwd=cwd, env=environment, stdout=out, stderr=err)
        try:
            code = process.wait(seconds)
        finally:
            process.kill()
    said = [(cwd / name).read_bytes().decode("ascii") for name in ("stdout", "stderr")]
    return Measured(code, said[0], said[1], 1024 * int((cwd / "peak").read_text()))


def white(path: Path, side: int) -> None:
    """A PNG of a few kilobytes that is a whole image of side² black pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(zeros(side * (side + 1)), width=side, height=side))


needs_linux = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the size of a process is read in /proc")


@needs_linux
@some_and_all(0, 16)
def test_translate_py_ends_in_time_and_memory(sound: Path, tmp_path: Path, each: int) -> None:
    made = plant_images(tmp_path / "in", seed=1, each=each, mark=tmp_path / "mark")
    white(tmp_path / "in" / "within bounds.png", 11_000)  # 121 million pixels: read, and too large for the networks
    (tmp_path / "cwd").mkdir()
    before = snapshot(tmp_path / "in")
    arguments = ["--model", sound, "--input", tmp_path / "in", "--output", tmp_path / "out", "--device", "cpu"]
    begun = time.monotonic()
    said = bounded("translate.py", *arguments, cwd=tmp_path / "cwd", seconds=200, memory=2 * GIB)
    head, _, *lines = said.out.splitlines()
    count = int(head.split()[0])
    assert said.code == 1 and "Traceback" not in said.err, said.err[-2000:]
    assert count + len(lines) == len(made.verdicts) + 1 == len(set(lines)) + count
    assert count >= sum(verdict == "good" for verdict in made.verdicts.values())
    assert len(lines) >= 1 + sum(verdict == "bad" for verdict in made.verdicts.values())
    assert sum("within bounds.png" in line for line in lines) == 1
    assert any(r"\u65e5\u672c\u8a9e" in line for line in lines) and any(r"\udcff" in line for line in lines)  # ASCII
    assert said.peak < 3 * GIB
    assert snapshot(tmp_path / "in") == before
    assert {path.name for path in tmp_path.iterdir()} == {"in", "out", "cwd"}
    assert {path.name for path in (tmp_path / "cwd").iterdir()} == {"stdout", "stderr", "peak"}
    print(
        f"translate.py: {count} translated, {len(lines)} named, {time.monotonic() - begun:.0f} s, {said.peak / 1e9} GB"
    )


@needs_linux
@pytest.mark.slow
def test_train_py_ends_in_time_and_memory(tiny: Tiny, tmp_path: Path) -> None:
    """Of images that are large but allowed, one at a time is in memory, however many threads decode."""
    made = plant_images(tmp_path / "in", seed=2, each=16, mark=tmp_path / "mark")
    for number in range(8):
        white(tmp_path / "large" / f"{number}.png", 11_000)
    (tmp_path / "cwd").mkdir()
    before = snapshot(tmp_path / "in")
    folders = ["--data.a", str(tmp_path / "in"), "--data.b", str(tmp_path / "large"), "--data.resize", "16"]
    begun = time.monotonic()
    arguments = [*tiny(tmp_path / "run", *folders, "--train.steps", "1")]
    said = bounded("train.py", *arguments, cwd=tmp_path / "cwd", seconds=200, memory=6 * GIB)
    assert said.code == 0 and "Traceback" not in said.err, said.err[-2000:]
    lines = [line for line in said.out.splitlines() if line.startswith("  cannot read image")]
    assert len(lines) >= sum(verdict == "bad" for verdict in made.verdicts.values())
    assert f"{len(lines)} files left out" in said.out
    assert f"{len(made.verdicts) - len(lines)} images in a, 8 in b" in said.out
    assert said.peak < 4 * GIB  # all of the large ones at once would take 10
    assert snapshot(tmp_path / "in") == before
    assert {path.name for path in tmp_path.iterdir()} == {"in", "large", "run", "cwd"}
    assert {path.name for path in (tmp_path / "cwd").iterdir()} == {"stdout", "stderr", "peak"}
    print(f"train.py: {len(lines)} left out, {time.monotonic() - begun:.0f} s, {said.peak / 1e9} GB")


@needs_linux
@pytest.mark.slow
def test_train_py_refuses_configs_in_time_and_memory(tmp_path: Path) -> None:
    """A process each for those that crashed, hung or filled the memory of one: they would take the tests with them."""
    (tmp_path / "cwd").mkdir()
    names = {"anchors for a section", "anchors", "deep nesting in a string", "deep nesting", "ten megabytes of keys"}
    chosen = {file.kind: file for file in config_files(ROOT / "configs", defaults, tmp_path / "mark", seed=0)}
    assert names <= chosen.keys()
    for kind in sorted(names):
        (tmp_path / "x.yaml").write_bytes(chosen[kind].data)
        said = bounded("train.py", "--config", tmp_path / "x.yaml", cwd=tmp_path / "cwd", seconds=60, memory=GIB)
        assert_refused(Said(said.code, said.out, said.err))
        assert said.peak < GIB


# Configs


def defaults(method: str) -> dict[str, Any]:
    return schema(method).flat


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """The configs that would have been trained with, in place of the training."""
    configs: list[Config] = []

    def note(config: Config, **_: object) -> Path:
        configs.append(config)
        return Path(config.run.output)

    monkeypatch.setattr(training, "train", note)
    return configs


@pytest.mark.parametrize("step", [9, pytest.param(1, marks=pytest.mark.slow)])
def test_each_config_is_used_or_refused_in_one_line(
    run_command: Command, tmp_path: Path, trained: list[Config], monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    mark, file = tmp_path / "mark", tmp_path / "experiment.yaml"
    monkeypatch.chdir(tmp_path)
    files = list(config_files(ROOT / "configs", defaults, mark, seed=0))
    assert len(files) >= 500
    outcomes: Counter[tuple[str, str]] = Counter()
    begun, memory = time.monotonic(), peak()
    for made in files[::step]:
        file.write_bytes(made.data)
        trained.clear()
        with no_longer_than(20):
            said = run_command("train", "--config", file)
        if said.code:
            assert_refused(said)
        assert said.code in (0, 2) and bool(trained) == (said.code == 0), made.kind
        verdict = "used" if trained else "refused"
        assert made.verdict == "either" or (made.verdict == "good") == (verdict == "used"), (made.kind, said)
        outcomes[made.kind.split(" of ")[0], verdict] += 1
        assert not mark.exists(), made.kind
    assert {path.name for path in tmp_path.iterdir()} == {"experiment.yaml"}
    assert peak() - memory < GIB / 2
    print(f"{sum(outcomes.values())} configs in {time.monotonic() - begun:.1f} s", *sorted(outcomes.items()), sep="\n")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("a: &x 3\nb: 4", "anchors"), ("a: &x [*x]", "anchors"), ("a: !!int 3", "tags"), ("a: !x 3", "tags"),
        ("a: 1\na: 2", "a is given twice"), ("x: {a: 1, b: 2, a: 3}", "a is given twice"),
        ("[" * 21 + "]" * 21, "nested"), ("{a: " * 21 + "3" + "}" * 21, "nested"), ("x" * (2**16 + 1), "characters"),
        ("2001-13-45", "month"), ("9" * 5000, "4300"),
    ],
)  # fmt: skip
def test_yaml_that_no_config_needs_is_refused(text: str, word: str) -> None:
    with pytest.raises(strict_yaml.yaml.YAMLError, match=word):
        strict_yaml.load(text)


def test_other_yaml_is_read_as_ever() -> None:
    assert strict_yaml.load("a: [1, {b: '&x'}]\nc: {a: 1.5e-3, d: null}\n1: yes\n") == {
        "a": [1, {"b": "&x"}], "c": {"a": 0.0015, "d": None}, 1: True,
    }  # fmt: skip
    assert strict_yaml.load("[" * 20 + "]" * 20) is not None and strict_yaml.load("") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("two\n  lines\t", "two lines"), ("\x1b[31m\a\0", r"\x1b[31m\x07\x00"), ("日本語 ß", "日本語 ß"),
        ("\udcff", r"\udcff"), ("\u202e", r"\u202e"), ("x" * (LONGEST + 1), "x" * LONGEST + "…"), (3, "3"),
    ],
)  # fmt: skip
def test_one_line(text: object, expected: str) -> None:
    assert one_line(text) == expected


# Model folders


@pytest.mark.parametrize(("each", "step"), [(3, 5), pytest.param(15, 1, marks=pytest.mark.slow)])
def test_each_model_folder_is_used_or_refused_in_one_line(
    run_command: Command, sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, each: int, step: int
) -> None:
    mark, model, output = tmp_path / "mark", tmp_path / "model", tmp_path / "out"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    noise().save(tmp_path / "in" / "x.png")
    folders = list(model_folders(mark, seed=0, each=each))
    assert each < 15 or len(folders) >= 200
    outcomes: Counter[str] = Counter()
    begun, memory = time.monotonic(), peak()
    for made in folders[::step]:
        shutil.rmtree(model, ignore_errors=True)
        shutil.rmtree(output, ignore_errors=True)
        shutil.copytree(sound, model)
        made.harm(model)
        before = snapshot(tmp_path, but=output)
        with no_longer_than(20):
            said = run_command("translate", "--model", model, "--input", "in", "--output", output, "--device", "cpu")
        assert snapshot(tmp_path, but=output) == before, made.kind
        if said.code == 2:
            assert_refused(said)
            assert not output.exists()
        elif said.code == 1:  # weights of 1e38 are finite; their translations are not
            assert made.verdict == "either" and "x.png" in said.out and "NaN" in said.out, (made.kind, said)
        else:
            assert said.code == 0 and (output / "x.png").exists()
        verdict = {0: "used", 1: "no image", 2: "refused"}[said.code]
        assert made.verdict == "either" or (made.verdict == "good") == (said.code == 0), (made.kind, said)
        outcomes[verdict] += 1
        assert not mark.exists(), made.kind
    assert peak() - memory < GIB / 2
    print(f"{sum(outcomes.values())} model folders in {time.monotonic() - begun:.1f} s", *outcomes.items(), sep="\n")


def test_sizes_are_compared_with_the_weights_before_memory_is_taken(
    sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a model that does not fit its weights, no tensor is made but on the meta device, which holds nothing."""
    model = shutil.copytree(sound, tmp_path / "model")
    description = json.loads((model / "config.json").read_text())
    description["model"]["width"] = 4096
    (model / "config.json").write_text(json.dumps(description))
    made: list[str] = []

    def watched(network: torch.nn.Module, init: str) -> None:
        made.extend(parameter.device.type for parameter in network.parameters())

    monkeypatch.setattr("unit.methods.translator.initialize", watched)
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        load(model)
    assert set(made) == {"meta"}


@pytest.fixture(scope="module")
def finished(tiny: Tiny, run_command: Command, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs of 4 steps, without the finished model: with a moving average and without."""
    runs = {ema: tmp_path_factory.mktemp("runs") / f"ema {ema}" for ema in ("0", "0.5")}
    for ema, run in runs.items():
        assert run_command("train", *tiny(run, "--optim.ema", ema)).code == 0
        (run / "config.json").unlink()
        (run / "model.safetensors").unlink()
    return runs


def resealed(run: Path, **changes: object) -> None:
    """Change the newest manifest's scalars, and seal it as if it had been written so."""
    path = checkpoint.list_of(run)[-1] / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["scalars"] |= changes
    manifest["sha256"] = checkpoint.seal(manifest)
    path.write_text(json.dumps(manifest))


def replaced(path: Path, data: bytes | None) -> None:
    path.unlink()
    if data is None:
        os.mkfifo(path)
    else:
        path.write_bytes(data)


@pytest.mark.parametrize("ema", ["0.5", pytest.param("0", marks=pytest.mark.slow)])
def test_a_runs_folder_that_was_tampered_with_is_refused_in_one_line(
    run_command: Command, finished: dict[str, Path], tmp_path: Path, ema: str
) -> None:
    (tmp_path / "in").mkdir()
    noise().save(tmp_path / "in" / "x.png")
    run, mark, output = tmp_path / "run", tmp_path / "mark", tmp_path / "out"
    packed = pickles(mark)["torch.save"]

    def config(text: str) -> bytes:
        saved = (finished[ema] / "config.yaml").read_text()
        old, new = text.split("→")
        assert old in saved
        return saved.replace(old, new).encode()

    files: list[tuple[str, bytes | None]] = [
        *(("config.yaml", data) for data in (b"", b"[" * 10**6, packed, b"x: !!python/object/apply:os.mkdir ['mark']")),
        *(("config.yaml", config(f"  width: 4\n→  width: {width}\n")) for width in (4096, 10**12, "[4]")),
        ("config.yaml", config("  blocks: 2\n→  blocks: 1000000000\n")),
        ("config.yaml", config("method: unit→method: vae")),
        *(
            (f"checkpoints/step-00000004/{name}", data)
            for name in ("manifest.json", "average.safetensors" if ema != "0" else "translator.safetensors")
            for data in (b"", packed, b"[" * 10**6, b'{"format": 1}', None)
        ),
    ]
    for name, data in files:
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(finished[ema], run)
        replaced(run / name, data)
        for command in (
            ["translate", "--model", run, "--input", tmp_path / "in", "--output", output],
            ["train", "--resume", run, "--train.steps", "5"],
        ):
            with no_longer_than(20):
                said = run_command(*command)
            assert_refused(said)
            assert not mark.exists() and not output.exists(), name


def test_a_sound_runs_folder_is_loaded_with_and_without_an_average(finished: dict[str, Path]) -> None:
    for run in finished.values():
        assert isinstance(load(run), Translator)


@pytest.mark.parametrize(
    "scalars",
    [{"step": "4"}, {"step": None}, {"step": 4.5}, {"step": -1}, {"step": True}, {"optimizers": 3}, {"optimizers": {}},
     {"schedules": []}, {"data": 3}, {"data": {}}, {"averaged": "x"}],
    ids=str,
)  # fmt: skip
def test_a_manifest_sealed_over_wrong_counters_is_refused(
    run_command: Command, finished: dict[str, Path], tmp_path: Path, scalars: dict[str, object]
) -> None:
    run = shutil.copytree(finished["0.5"], tmp_path / "run")
    resealed(run, **scalars)
    assert_refused(run_command("train", "--resume", run, "--train.steps", "5"))
