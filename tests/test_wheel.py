"""The wheel holds `unit` alone: no data sets, configs or tests, whose names belong to others on the import path."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_the_wheel_holds_unit_alone(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("unit", "datasets", "configs", "tests"):
        skip = shutil.ignore_patterns("__pycache__", "*.png", "*.jpg", "*.safetensors")
        files = [path for path in (ROOT / name).iterdir() if path.is_file() or name == "unit"]
        (source / name).mkdir()
        for path in files:
            target = source / name / path.name
            shutil.copytree(path, target, ignore=skip) if path.is_dir() else shutil.copy(path, target)
    for name in ("pyproject.toml", "README.md", "LICENSE", "train.py", "translate.py"):
        shutil.copy(ROOT / name, source)
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(source)],
        check=True,
        capture_output=True,
        timeout=120,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    info = wheel.name.split("-")[0] + "-" + wheel.name.split("-")[1] + ".dist-info"
    assert {name.split("/")[0] for name in names} == {"unit", info}
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "unit").rglob("*.py")}
    assert modules == {name for name in names if name.endswith(".py")}
    assert f"{info}/licenses/LICENSE" in names
