"""Imports run downwards only: from the faces through the loop and the methods to the networks and the data."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# From the ground up. A room may import from its own modules and from the floors below it, and nothing else.
FLOORS: list[set[str]] = [
    {"unit.networks", "unit.draws", "unit.checkpoint", "unit.memory", "unit.signals", "unit.text"},
    {"unit.core", "unit.losses", "unit.perceptual"},
    {"unit.config"},
    {"unit.options", "unit.optim", "unit.data"},
    {"unit.methods", "unit.run", "unit.state"},
    {"unit.model"},
    {"unit.translation", "unit.report"},
    {"unit.training", "unit.evaluation"},
    {"unit.proof"},
    {"unit.commands", "unit.cli"},
    {"unit.__main__", "unit.watched", "train", "translate"},
]


def name_of(path: Path) -> str:
    """unit/data/images.py → unit.data.images; unit/data/__init__.py → unit.data."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {
    name_of(path): path for path in [*sorted((ROOT / "unit").rglob("*.py")), ROOT / "train.py", ROOT / "translate.py"]
}


def imports(path: Path) -> set[str]:
    """All modules that the file imports, at its head or inside a function: `from unit import draws` is unit.draws."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{path}: a relative import"
            inside = {f"{node.module}.{alias.name}" for alias in node.names} & FILES.keys()
            found |= inside or {node.module}
    return found


def own_imports(name: str) -> set[str]:
    """The project's own modules among them. The package itself holds only its version and public names."""
    return {module for module in imports(FILES[name]) if module in FILES and module != "unit"}


def room(name: str) -> str:
    return ".".join(name.split(".")[:2])


def floor(name: str) -> int:
    floors = [level for level, rooms in enumerate(FLOORS) if room(name) in rooms]
    assert len(floors) == 1, f"{name} has no floor in this test's plan of the house"
    return floors[0]


@pytest.mark.parametrize("name", sorted(FILES.keys() - {"unit"}))
def test_imports_run_downwards(name: str) -> None:
    for module in own_imports(name):
        assert room(module) == room(name) or floor(module) < floor(name), f"{name} imports {module}"


def test_no_imports_run_in_a_circle() -> None:
    TopologicalSorter({name: own_imports(name) for name in FILES.keys() - {"unit"}}).prepare()


@pytest.mark.parametrize(
    ("above", "below"),
    [
        (room, {"unit.methods", "unit.training", "unit.model", "unit.translation"})
        for room in ("unit.networks", "unit.core", "unit.losses", "unit.data", "unit.perceptual")
    ],
)
def test_the_lower_rooms_know_nothing_of_methods_or_training(above: str, below: set[str]) -> None:
    reached: set[str] = set()
    waiting = [name for name in FILES if room(name) == above]
    while waiting:
        name = waiting.pop()
        reached.add(name)
        waiting += own_imports(name) - reached
    assert not {room(name) for name in reached} & below


def test_networks_know_nothing_of_configs_or_losses() -> None:
    for name in FILES:
        if room(name) == "unit.networks":
            assert {room(module) for module in own_imports(name)} <= {"unit.networks"}
        if room(name) in ("unit.core", "unit.losses"):
            assert {room(module) for module in own_imports(name)} <= {"unit.networks", room(name)}


def test_accelerate_appears_in_the_training_loop_only() -> None:
    using = {name for name, path in FILES.items() if any(m.split(".")[0] == "accelerate" for m in imports(path))}
    assert using == {"unit.training"}


def test_no_pickles_are_read_or_written() -> None:
    for name, path in FILES.items():
        assert not {module.split(".")[0] for module in imports(path)} & {"pickle", "dill", "joblib"}, name
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Attribute(value=ast.Name(id="torch"), attr="load" | "save"):
                    raise AssertionError(f"{name}, line {node.lineno}: torch.{node.attr}")


def test_datasets_is_no_package() -> None:
    # It would hide Hugging Face's `datasets`, which Accelerate imports on several processes.
    assert not (ROOT / "datasets" / "__init__.py").exists()


def test_the_package_alone_is_imported_without_torch() -> None:
    code = "import sys, unit; sys.exit(any(name in sys.modules for name in ('torch', 'accelerate', 'numpy')))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
