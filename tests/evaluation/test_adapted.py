"""The accuracy on the domain without labels, by hand."""

from pathlib import Path

import pytest
import torch
from adaptation_toys import CLASSES, write_classes
from inverters import Keeper, set_of
from torch import Tensor

from unit.evaluation.adaptation import most_often_wrong, wilson
from unit.evaluation.evaluate import measure
from unit.models.adaptation import AdaptedTranslator, AdaptedTranslatorConfig, ClassesConfig, ClassifierConfig, Source
from unit.models.base import TranslatedImages
from unit.models.unit import UnitModelConfig


class Counter(AdaptedTranslator):
    """Knows the class of an image of a by its brightness, and takes all images of b for the next one."""

    def classify(self, x: Tensor, domain: Source) -> Tensor:
        number = (255 * (x[:, 0, 0, 0] + 1) / 2).round().long()
        return torch.eye(3)[(number + (domain == "b")) % 3]


def counter(source: Source = "a", names: tuple[str, ...] = CLASSES) -> Counter:
    model, layers = UnitModelConfig(width=2, blocks=1), ClassifierConfig(width=2, layers=2, shared_layers=1)
    images = TranslatedImages(1, 1, None, 16)
    return Counter(AdaptedTranslatorConfig(images, model, layers, ClassesConfig(list(names), source))).eval()


def test_figures_by_hand(tmp_path: Path) -> None:
    figures = measure(set_of(counter(), write_classes(tmp_path)), ["adaptation"])["adaptation"]
    assert figures.rows == {"source (a)": {"accuracy": 1.0}, "target (b)": {"accuracy": 0.0}}
    assert figures.counts == {"source (a)": 4, "target (b)": 5}
    assert figures.intervals["source (a)"]["accuracy"] == pytest.approx((0.5101, 1.0), abs=1e-4)
    assert figures.intervals["target (b)"]["accuracy"] == pytest.approx((0.0, 0.4345), abs=1e-4)
    assert figures.notes == ["target: 2 of 2 images of cat are taken for dog, the most frequent mistake"]
    other = measure(set_of(counter("b"), tmp_path), ["adaptation"])["adaptation"]
    assert list(other.rows) == ["target (a)", "source (b)"]


def test_the_interval_of_8_of_10() -> None:
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)


def test_the_most_frequent_mistake() -> None:
    truth, given = torch.tensor([0, 0, 0, 1, 1, 2]), torch.tensor([0, 2, 2, 1, 0, 1])
    assert most_often_wrong(given, truth, ["x", "y", "z"]) == (
        "2 of 3 images of x are taken for z, the most frequent mistake"
    )


def test_it_says_why_it_has_no_figures(tmp_path: Path) -> None:
    write_classes(tmp_path)
    for model, reason in (
        (Keeper(), "it is of method adaptation, and this is a model keeper"),
        (counter(names=("cat", "dog", "pig")), "'owl/2.png' is in no folder of a class \\(cat, dog, pig\\)"),
    ):
        with pytest.raises(ValueError, match=f"^metric adaptation has no figures here: .*{reason}$"):
            measure(set_of(model, tmp_path), ["adaptation"])
