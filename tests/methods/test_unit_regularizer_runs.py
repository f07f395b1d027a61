"""Runs of UNIT with each regularizer of its codes: the finished model, resuming, accumulation."""

import shutil
from pathlib import Path
from typing import get_args

import pytest
import torch
from conftest import Command, Tiny
from digit_toys import assert_close, assert_same, logged_by, newest
from safetensors.torch import load_file

from unit import weights
from unit.models.folder import load_translator
from unit.models.unit import RegularizerKind, UnitTranslator
from unit.training import checkpoint
from unit.weights import list_checkpoints

KINDS: tuple[RegularizerKind, ...] = get_args(RegularizerKind)


@pytest.fixture(scope="module")
def runs(tiny: Tiny, run_command: Command, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A finished run of 4 steps with each regularizer, with checkpoints at 2 and 4."""
    folder = tmp_path_factory.mktemp("runs")
    for kind in KINDS:
        said = run_command("train", *arguments(tiny, folder / kind, kind))
        assert said.code == 0, (kind, said.err)
    return {kind: folder / kind for kind in KINDS}


def arguments(tiny: Tiny, output: Path, kind: RegularizerKind, *more: str) -> list[str]:
    return tiny(output, "--model.regularizer", kind, *more)


@pytest.mark.parametrize("kind", KINDS)
def test_the_finished_translator_is_of_its_kind(kind: RegularizerKind, runs: dict[str, Path]) -> None:
    translator, saved = load_translator(runs[kind]), newest(runs[kind]).tensors
    assert isinstance(translator, UnitTranslator) and translator.config.model.regularizer == kind
    assert ("code_discriminator" in saved) == (kind == "adversarial")
    found, average = weights.collect_tensors(translator), saved["average"]
    assert found.keys() == average.keys() and all(torch.equal(found[key], average[key]) for key in found)
    x = torch.linspace(-1, 1, 3 * 16 * 16).view(1, 3, 16, 16)
    assert torch.equal(translator.translate(x), translator.translate(x))
    others = [torch.cat([t.flatten() for t in newest(run).tensors["model"].values()]) for run in runs.values()]
    assert len({tuple(other[:50].tolist()) for other in others}) == len(KINDS)  # each trained in its own way


@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_run_ends_bit_for_bit_as_the_unbroken_one(
    kind: RegularizerKind, runs: dict[str, Path], run_command: Command, tmp_path: Path
) -> None:
    run, broken, other = runs[kind], tmp_path / "broken", tmp_path / "other"
    shutil.copytree(run, broken, ignore=shutil.ignore_patterns("step-00000004*"))
    for name in ("config.json", "model.safetensors"):
        (broken / name).unlink()
    said = run_command("train", "--resume", broken, "--run.output", other)
    assert said.code == 0, said.err
    assert "from step 2" in said.out.splitlines()[0]
    assert_same(newest(run), newest(other))
    stored = load_file(other / "model.safetensors")
    assert all(torch.equal(tensor, stored[key]) for key, tensor in load_file(run / "model.safetensors").items())


@pytest.mark.parametrize("kind", KINDS)
def test_accumulation_gives_the_same_training(
    kind: RegularizerKind, runs: dict[str, Path], tiny: Tiny, run_command: Command, tmp_path: Path
) -> None:
    split = tmp_path / "micro-batches"
    said = run_command("train", *arguments(tiny, split, kind, "--train.accumulation", "2", "--train.steps", "2"))
    assert said.code == 0, said.err
    # After two steps: later a unit of the translator may stand on the edge of its ReLU, where rounding tips it over.
    one, other = (checkpoint.load(list_checkpoints(run)[0]) for run in (runs[kind], split))
    assert_close(one, other)
    for mine, theirs in zip(logged_by(runs[kind])[:2], logged_by(split)[:2], strict=True):
        assert theirs == pytest.approx(mine, rel=1e-4, abs=1e-5)
