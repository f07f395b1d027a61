"""The plan of the house: imports run downwards only, from the faces through training and the methods to the networks
and the data; and no room, file or function grows too large."""

import ast
import functools
import statistics
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

TABLES = {"unit.methods", "unit.models", "unit.evaluation"}
"""Packages whose `__init__.py` is a table of names, which imports none of what it names."""

# From the ground up. A room may import from its own modules and from the floors below it, and nothing else.
FLOORS: list[set[str]] = [
    {"unit.weights", "unit.draws", "unit.memory", "unit.text", "unit.registry", "unit.launcher"},
    {f"{table} (table)" for table in TABLES},
    {"unit.networks", "unit.losses"},
    {"unit.core", "unit.config"},
    {"unit.data"},
    {"unit.models"},
    {"unit.methods", "unit.inference"},
    {"unit.training", "unit.evaluation"},
    {"unit.report"},
    {"unit.proof", "unit.sweep"},
    {"unit.cli", "unit.api"},
    {"unit.__main__", "train", "translate", "datasets.prepare"},
]

LONGEST_CHAIN = 10  # modules
LONGEST_FILE, MEDIAN_FILE = 350, 120  # lines
LONGEST_FUNCTION = 60  # lines, the docstring's too
STORY = "unit.training.loop"
"""The one module whose functions may be longer: it reads from top to bottom."""


def name_of(path: Path) -> str:
    """unit/data/images.py → unit.data.images; unit/data/__init__.py → unit.data."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FACES = [ROOT / "train.py", ROOT / "translate.py", ROOT / "datasets" / "prepare.py"]
FILES = {name_of(path): path for path in [*sorted((ROOT / "unit").rglob("*.py")), *FACES]}
MODULES = sorted(FILES.keys() - {"unit"})
"""The package itself holds only its version and its public names, which it imports when they are asked for."""


@functools.cache
def syntax(name: str) -> ast.Module:
    return ast.parse(FILES[name].read_text(encoding="utf-8"))


def for_type_checkers(tree: ast.Module) -> set[ast.AST]:
    """What stands below `if TYPE_CHECKING:`, which never runs."""
    blocks = [n for n in ast.walk(tree) if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]
    return {inside for block in blocks for line in block.body for inside in ast.walk(line)}


@functools.cache
def imports(name: str) -> frozenset[str]:
    """All modules that the file imports, at its head or inside a function: `from unit import draws` is unit.draws."""
    found: set[str] = set()
    skipped = for_type_checkers(syntax(name))
    for node in ast.walk(syntax(name)):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{name}: a relative import"
            inside = {f"{node.module}.{alias.name}" for alias in node.names} & FILES.keys()
            found |= inside or {node.module}
    return frozenset(found)


def own_imports(name: str) -> set[str]:
    """The project's own modules among them."""
    return {module for module in imports(name) if module in FILES and module != "unit"}


def room(name: str) -> str:
    return f"{name} (table)" if name in TABLES else ".".join(name.split(".")[:2])


def floor(name: str) -> int:
    floors = [level for level, rooms in enumerate(FLOORS) if room(name) in rooms]
    assert len(floors) == 1, f"{name} has no floor in this test's plan of the house"
    return floors[0]


def reached_from(start: str) -> set[str]:
    """All that the room's modules import, and what those import, and so on."""
    reached: set[str] = set()
    waiting = [name for name in MODULES if room(name) == start]
    assert waiting, f"no room {start}"
    while waiting:
        name = waiting.pop()
        reached.add(name)
        waiting += own_imports(name) - reached
    return reached


# Who imports whom


@pytest.mark.parametrize("name", MODULES)
def test_imports_run_downwards(name: str) -> None:
    for module in own_imports(name):
        assert room(module) == room(name) or floor(module) < floor(name), f"{name} imports {module}"


def test_no_imports_run_in_a_circle() -> None:
    TopologicalSorter({name: own_imports(name) for name in MODULES}).prepare()


def test_no_chain_of_imports_is_long() -> None:
    chains: dict[str, list[str]] = {}
    for name in TopologicalSorter({name: own_imports(name) for name in MODULES}).static_order():
        chains[name] = [name, *max((chains[module] for module in own_imports(name)), key=len, default=[])]
    longest = max(chains.values(), key=len)
    assert len(longest) <= LONGEST_CHAIN, " → ".join(longest)


@pytest.mark.parametrize("table", sorted(TABLES))
def test_a_table_imports_nothing_that_it_names(table: str) -> None:
    assert own_imports(table) <= {"unit.registry"}


@pytest.mark.parametrize("start", ["unit.networks", "unit.core", "unit.losses", "unit.data", "unit.config"])
def test_the_lower_rooms_know_nothing_of_models_methods_or_training(start: str) -> None:
    above = {"unit.models", "unit.methods", "unit.training", "unit.inference", "unit.evaluation"}
    assert not {room(name) for name in reached_from(start)} & above


def test_models_know_nothing_of_methods_or_training() -> None:
    assert not {room(name) for name in reached_from("unit.models")} & {"unit.methods", "unit.training"}


@pytest.mark.parametrize("start", ["unit.inference", "unit.evaluation", "unit.report"])
def test_what_uses_a_finished_model_knows_nothing_of_how_it_was_trained(start: str) -> None:
    assert not {room(name) for name in reached_from(start)} & {"unit.methods", "unit.training"}


def test_networks_know_nothing_of_configs_or_losses() -> None:
    allowed = {
        "unit.networks": {"unit.networks"},
        "unit.losses": {"unit.losses", "unit.networks"},
        "unit.core": {"unit.core", "unit.losses", "unit.networks"},
    }
    for start, rooms in allowed.items():
        assert {room(name) for name in reached_from(start)} <= rooms


def test_helpers_of_the_loop_do_not_import_it() -> None:
    for name in MODULES:
        if room(name) == "unit.training" and name not in ("unit.training", STORY):
            assert not own_imports(name) & {"unit.training", STORY}, name


# What is imported


def test_accelerate_appears_in_training_only() -> None:
    using = {room(name) for name in MODULES if any(m.split(".")[0] == "accelerate" for m in imports(name))}
    assert using == {"unit.training"}


def test_no_pickles_are_read_or_written() -> None:
    for name in FILES:
        assert not {module.split(".")[0] for module in imports(name)} & {"pickle", "dill", "joblib"}, name
        for node in ast.walk(syntax(name)):
            match node:
                case ast.Attribute(value=ast.Name(id="torch"), attr="load" | "save"):
                    raise AssertionError(f"{name}, line {node.lineno}: torch.{node.attr}")


def test_datasets_is_no_package() -> None:
    # It would hide Hugging Face's `datasets`, which Accelerate imports on several processes.
    assert not (ROOT / "datasets" / "__init__.py").exists()


def test_the_package_alone_is_imported_without_torch() -> None:
    code = "import sys, unit; sys.exit(any(name in sys.modules for name in ('torch', 'accelerate', 'numpy')))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_a_translator_is_used_without_what_trains_it() -> None:
    code = (
        "import sys, unit; unit.load, unit.translate, unit.evaluate\n"
        "print(*(n for n in sys.modules if n == 'accelerate' or n.startswith(('unit.training', 'unit.methods.'))))"
    )
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert said.stdout.strip() == ""


# How large it is


def lines_of(name: str) -> int:
    return len(FILES[name].read_text(encoding="utf-8").splitlines())


def functions_of(name: str) -> Iterator[tuple[str, int]]:
    """Each function's name and its lines, from the first decorator to the end."""
    for node in ast.walk(syntax(name)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            start = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - start + 1


def test_files_are_short() -> None:
    lines = {name: lines_of(name) for name in FILES}
    assert {name: count for name, count in lines.items() if count > LONGEST_FILE} == {}
    assert statistics.median(lines.values()) <= MEDIAN_FILE


def test_functions_are_short() -> None:
    long = {
        f"{name}.{function}": count
        for name in FILES
        for function, count in functions_of(name)
        if count > LONGEST_FUNCTION and name != STORY
    }
    assert long == {}
