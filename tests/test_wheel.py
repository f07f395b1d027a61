"""The wheel holds `unit` and its configs alone, whose names belong to it on the import path; and it works by itself."""

import email
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from waiting import HANGS

import unit

ROOT = Path(__file__).resolve().parent.parent
PAGES = (".html", ".css", ".js")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the checkout."""
    source = tmp_path_factory.mktemp("wheel") / "source"
    source.mkdir()
    for name in ("unit", "datasets", "configs", "tests"):
        skip = shutil.ignore_patterns("__pycache__", "*.png", "*.jpg", "*.safetensors")
        files = [path for path in (ROOT / name).iterdir() if path.is_file() or name in ("unit", "configs")]
        (source / name).mkdir()
        for path in files:
            target = source / name / path.name
            shutil.copytree(path, target, ignore=skip) if path.is_dir() else shutil.copy(path, target)
    for name in ("pyproject.toml", "README.md", "LICENSE", "train.py", "translate.py"):
        shutil.copy(ROOT / name, source)
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(source.parent), str(source)],
        check=True,
        capture_output=True,
        timeout=HANGS,
    )
    (built,) = source.parent.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an installation puts on the import path."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def info(unpacked: Path) -> Path:
    (folder,) = unpacked.glob("*.dist-info")
    return folder


# What it holds


def test_the_wheel_holds_unit_alone(wheel: Path, unpacked: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert wheel.name.startswith("unit_translation-")
    assert {name.split("/")[0] for name in names} == {"unit", info(unpacked).name}
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "unit").rglob("*.py")}
    configs = {f"unit/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "configs").rglob("*.yaml")}
    pages = {p.relative_to(ROOT).as_posix() for p in (ROOT / "unit" / "report").rglob("*.*") if p.suffix in PAGES}
    assert {name for name in names if name.startswith("unit/")} == modules | configs | pages | {"unit/py.typed"}
    assert "unit/report/templates/report.html" in names and "unit/report/assets/report.js" in names
    assert {"unit/data/sets/recipes.py", "unit/configs/toymaps.yaml"} <= {*names}
    assert "unit/configs/sweeps/toymaps_methods.yaml" in names
    assert f"{info(unpacked).name}/licenses/LICENSE" in names


def test_configs_are_the_checkout_s(unpacked: Path) -> None:
    for path in (ROOT / "configs").glob("*.yaml"):
        assert (unpacked / "unit" / "configs" / path.name).read_bytes() == path.read_bytes()


def test_the_version_is_the_same_everywhere(unpacked: Path) -> None:
    metadata = email.message_from_string((info(unpacked) / "METADATA").read_text(encoding="utf-8"))
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    cited = re.search(r"^version: (\S+)", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    assert metadata["Name"] == "unit-translation" and cited is not None
    assert metadata["Version"] == unit.__version__ == headings[0] == cited[1]


def test_the_command_is_declared(unpacked: Path) -> None:
    assert "[console_scripts]\nunit = unit.cli.main:main" in (info(unpacked) / "entry_points.txt").read_text()


# That it works


def python(unpacked: Path, cwd: Path, *arguments: str) -> str:
    """What an interpreter says that knows the unpacked wheel, and not the checkout."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(unpacked), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=HANGS,
        check=False,
    )
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stdout + done.stderr
    return done.stdout


def test_it_is_the_unpacked_wheel_that_is_used(unpacked: Path, tmp_path: Path) -> None:
    code = "import unit, unit.config.files as files; print(*unit.__path__, files.CONFIGS, sep='\\n')"
    assert python(unpacked, tmp_path, "-c", code).split("\n") == [
        str(unpacked / "unit"), str(unpacked / "unit" / "configs"), "",
    ]  # fmt: skip


def test_the_unpacked_wheel_works_in_an_empty_folder(unpacked: Path, tmp_path: Path) -> None:
    """From data to figures, by the commands that the README gives, here in one interpreter."""
    listed = python(unpacked, tmp_path, "-m", "unit", "config", "list")
    assert {line.split()[0] for line in listed.splitlines()} == {
        path.stem for path in (ROOT / "configs").glob("*.yaml")
    }
    assert not list(tmp_path.iterdir())
    tiny = {
        "data.size": 16, "model.width": 4, "model.blocks": 2, "discriminator.width": 4, "discriminator.layers": 2,
        "train.steps": 2, "train.batch_size": 2, "train.precision": "fp32", "run.tracker": "none",
    }  # fmt: skip
    commands = [
        ["data", "toymaps", "--size", "16", "--train", "4", "--test", "2"],
        ["train", "--config", "toymaps", *(f"--{key}={value}" for key, value in tiny.items())],
        ["translate", "--model", "runs/toymaps", "--input", "datasets/toymaps/testA", "--output", "out"],
        ["evaluate", "--model", "runs/toymaps", "--metrics", "maps,round_trip"],
        ["report", "runs/toymaps", "--evaluate", "no"],
    ]
    code = "import json, sys; from unit.cli.main import main; sys.exit(any(map(main, json.loads(sys.argv[1]))))"
    said = python(unpacked, tmp_path, "-c", code, json.dumps(commands))
    assert "finished" in said and "runs/toymaps" in said
    assert "2 images translated" in said and len(list((tmp_path / "out").iterdir())) == 2
    assert "map accuracy" in said
    assert (tmp_path / "runs" / "toymaps" / "report" / "assets" / "report.css").is_file(), said
    figures = json.loads((tmp_path / "runs" / "toymaps" / "evaluation.json").read_text())
    assert figures.keys() == {"maps", "round_trip", "last_iterate"}
    assert {path.name for path in tmp_path.iterdir()} == {"datasets", "runs", "out"}
