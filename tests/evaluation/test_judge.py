"""Judging a model on images that are given: the figure that the same images in a folder would give it."""

from pathlib import Path

import pytest
import torch
from unit_toys import MODEL, translator

from unit.data.domain import Domain, Reader, domain_of_files
from unit.evaluation.evaluate import measure
from unit.evaluation.figure import find_figure
from unit.evaluation.judge import Judge
from unit.evaluation.sets import TranslationSet
from unit.models.unit import UnitTranslator

CPU = torch.device("cpu")


def domains(root: Path, split: str) -> dict[str, Domain]:
    reader = Reader(3, None, 16)
    return {key: domain_of_files(str(root / f"{split}{key.upper()}"), reader, budget=1e9) for key in "ab"}


@pytest.fixture
def model() -> UnitTranslator:
    return translator(MODEL).eval()


@pytest.mark.parametrize("name", ["round_trip", "balanced", "psnr", "ssim/a2b", "classifier"])
def test_the_figure_is_that_of_the_same_images_in_folders(name: str, toys: Path, model: UnitTranslator) -> None:
    judge = Judge(name, domains(toys, "test"), domains(toys, "train"), root=toys, unpaired="")
    before = torch.random.get_rng_state()
    value, figures = judge(model, CPU)
    assert torch.equal(torch.random.get_rng_state(), before)
    metric = find_figure(name).metric
    theirs = measure(TranslationSet(model, toys), [metric])[metric]
    assert figures.rows == theirs.rows and value == find_figure(name).value(theirs)


def test_each_model_gets_its_own_figure_and_images_are_loaded_once(toys: Path, model: UnitTranslator) -> None:
    judge = Judge("round_trip", domains(toys, "test"), domains(toys, "train"), root=toys, unpaired="")
    first, _ = judge(model, CPU)
    judge.images = {}  # which nobody asks for again
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)
    second, _ = judge(model, CPU)
    assert second != first and second == judge(model, CPU)[0]


def test_what_is_said_to_be_no_pairs_has_no_figure_of_pairs(toys: Path, model: UnitTranslator) -> None:
    judge = Judge("psnr", domains(toys, "test"), domains(toys, "train"), root=toys, unpaired="nobody knows")
    with pytest.raises(ValueError, match="metric psnr has no figures here: nobody knows"):
        judge(model, CPU)
    lone = domains(toys, "test")
    lone["b"] = lone["b"].without(["00001.png"])
    with pytest.raises(ValueError, match="3 images and b 2; expected pairs under the same names"):
        Judge("psnr", lone, domains(toys, "train"), root=toys, unpaired="")(model, CPU)
