"""`train.compile`: the same training but for rounding, under the same names; and what can't be compiled is refused."""

from functools import partialmethod
from pathlib import Path

import pytest
import torch
from conftest import Command, Tiny
from torch import nn

from unit import weights
from unit.training.loop import evaluating, explain

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's compiler warns of what it does itself
STEPS = ("--train.steps", "2", "--train.compile", "true")


@pytest.mark.parametrize(
    "backend", ["eager", *(pytest.param(name, marks=pytest.mark.slow) for name in ("aot_eager", "inductor"))]
)
def test_a_compiled_training_is_the_same_under_the_same_names(
    backend: str, tiny: Tiny, run_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`eager` runs the traced graphs with torch's own kernels, and needs no compiler; without a moving average the
    sample grids are of the compiled networks, which then run as they are."""
    monkeypatch.setattr(nn.Module, "compile", partialmethod(nn.Module.compile, backend=backend))
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    models = []
    for compiled in ("false", "true"):
        more = ("--train.steps", "2", "--train.compile", compiled, "--optim.ema", "0", "--model.blocks", "1")
        said = run_command("train", *tiny(tmp_path / compiled, *more))
        assert said.code == 0, said.err
        models.append(weights.read_tensors(tmp_path / compiled / "model.safetensors"))
    plain, same = models
    assert plain.keys() == same.keys()
    for name in plain:
        torch.testing.assert_close(same[name], plain[name], rtol=1e-3, atol=1e-5)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 3  # the translator; D as it learns, and frozen
    assert not torch._dynamo.utils.counters["graph_break"]
    said = run_command("train", "--resume", tmp_path / "true", "--train.steps", "3", "--train.compile", "false")
    assert said.code == 2 and "train.compile" in said.err


def test_dropout_is_refused(tiny: Tiny, run_command: Command, tmp_path: Path) -> None:
    said = run_command("train", *tiny(tmp_path / "run", *STEPS, "--model.dropout", "0.5"))
    assert said.code == 2
    assert said.err.strip() == (
        "error: train.compile: expected false where there is dropout, as in the translator, got true"
    )


def test_a_compiler_that_fails_is_named_in_one_line() -> None:
    def backend(*arguments: object) -> None:
        raise OSError("no compiler\nwith a long story")

    network = nn.Linear(2, 2)
    network.compile(backend=backend)
    with pytest.raises(RuntimeError) as raised:
        network(torch.zeros(1, 2))
    explained = str(explain(raised.value, Path("run")))  # type: ignore[arg-type]
    assert explained.startswith("train.compile: torch.compile failed (") and "\n" not in explained
    with evaluating(network):
        network(torch.zeros(1, 2))
