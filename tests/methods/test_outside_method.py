"""docs/add_a_method.md, run as it stands there: a method in one file outside the package, known by one line."""

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import unit
from unit.config import ConfigError, from_sections
from unit.methods import METHODS
from unit.models import MODELS
from unit.weights import list_checkpoints

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "add_a_method.md"


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The page's module, written to a folder on the path and registered with the page's line."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    folder = tmp_path_factory.mktemp("outside")
    (folder / "my_cycle.py").write_text("\n\n".join(blocks[:3]), encoding="utf-8")
    assert "unit.methods.METHODS" in blocks[3]
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        exec(blocks[3], {})
        yield importlib.import_module("my_cycle")
        del METHODS["my_cycle"], MODELS["my_cycle"]
        sys.modules.pop("my_cycle", None)


def parse_config(toys: Path, output: Path, **train: Any) -> Any:
    return from_sections(
        {
            "method": "my_cycle",
            "data": {"root": str(toys), "size": 16},
            "model": {"width": 4},
            "train": {"steps": 4, "batch_size": 2, "precision": "fp32", "checkpoint_every": 2, "log_every": 1} | train,
            "run": {"output": str(output), "tracker": "none"},
        },
        "the test",
    )


def collect_tensors(run: Path) -> dict[str, torch.Tensor]:
    newest = list_checkpoints(run)[-1]
    return {f"{path.name} {key}": x for path in newest.glob("*.safetensors") for key, x in load_file(path).items()}


@pytest.fixture(scope="module")
def trained(outside: Any, toys: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unit.train(parse_config(toys, tmp_path_factory.mktemp("runs") / "whole"))


def test_it_trains_and_every_parameter_learns(trained: Path) -> None:
    first, last = (load_file(folder / "model.safetensors") for folder in list_checkpoints(trained))
    assert first.keys() == last.keys() and not any(torch.equal(first[key], last[key]) for key in first)


def test_it_resumes_bit_for_bit(outside: Any, toys: Path, tmp_path: Path, trained: Path) -> None:
    run = unit.train(parse_config(toys, tmp_path / "half", steps=2))
    unit.train(parse_config(toys, run), resume=run)
    one, other = collect_tensors(trained), collect_tensors(run)
    assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_it_loads_and_translates_both_ways_at_any_size(outside: Any, trained: Path) -> None:
    translator = unit.load(trained)
    assert type(translator.model) is outside.CycleTranslator
    x = torch.rand(3, 17, 21) * 2 - 1
    a2b, b2a = translator(x, "a2b"), translator(x, "b2a")
    assert a2b.shape == b2a.shape == x.shape and not torch.equal(a2b, b2a)
    average = load_file(list_checkpoints(trained)[-1] / "average.safetensors")
    assert all(torch.equal(average[key], value) for key, value in translator.model.state_dict().items())


def test_it_translates_files_and_is_evaluated(outside: Any, toys: Path, tmp_path: Path, trained: Path) -> None:
    report = unit.translate(trained, toys / "testA", tmp_path / "out")
    assert len(report.written) == 3 and not report.failed
    assert {"round_trip", "classifier"} <= unit.evaluate(trained).keys()


def test_accumulation_is_the_same_training(outside: Any, toys: Path, tmp_path: Path, trained: Path) -> None:
    run = unit.train(parse_config(toys, tmp_path / "parts", accumulation=2))
    one, other = (load_file(path / "model.safetensors") for path in (trained, run))
    assert all(torch.allclose(one[key], other[key], atol=1e-3) for key in one)


def test_its_bad_input_is_one_line(outside: Any, toys: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^loss.cycle: expected a number above 0, got 0"):
        from_sections({"method": "my_cycle", "loss": {"cycle": 0}}, "the test")
    with pytest.raises(ConfigError, match=r"unknown key loss.cylce; did you mean loss.cycle"):
        from_sections({"method": "my_cycle", "loss": {"cylce": 1}}, "the test")


def test_its_state_is_saved_and_resumed(
    outside: Any, toys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Remembering(outside.Cycle):  # type: ignore[misc]
        """Its loss depends on a running mean of the images, a buffer of its state."""

        def __init__(self, config: Any, batches: Any) -> None:
            super().__init__(config, batches)
            self.state.register_buffer("mean", torch.zeros(()))

        def phases(self, wrapped: Any, batch: Any, *, recompute: bool) -> Iterator[Any]:
            self.state.mean.mul_(0.5).add_(batch.x_a.mean())
            for phase in super().phases(wrapped, batch, recompute=recompute):
                yield type(phase)(phase.optimizer, phase.loss * (2 + self.state.mean), phase.terms)

    monkeypatch.setitem(METHODS, "my_cycle", Remembering)
    whole = unit.train(parse_config(toys, tmp_path / "whole"))
    run = unit.train(parse_config(toys, tmp_path / "half", steps=2))
    unit.train(parse_config(toys, run), resume=run)
    one, other = collect_tensors(whole), collect_tensors(run)
    assert "state.safetensors mean" in one and one["state.safetensors mean"] != 0
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_name_that_is_in_no_table_lists_those_that_are(toys: Path) -> None:
    with pytest.raises(ConfigError, match=r"method: expected one of unit, cyclegan, .*, got nothing"):
        from_sections({"method": "nothing"}, "the test")
