"""Which metrics each autoencoder has, that they are the same each time, and those of adversarial models by hand."""

import math
from pathlib import Path

import pytest
import torch
from digit_toys import METHODS
from image_sets import approx, domain_of, in_small_parts, model_of, one_hot, set_of
from inverters import Keeper
from inverters import set_of as translations_of

from unit import draws
from unit.core.regularizer import mmd
from unit.data.domain import Domain, domain_of_array
from unit.evaluation import METRICS
from unit.evaluation.evaluate import find_metric, measure
from unit.models.autoencoder import ImageAutoencoder

small = pytest.fixture(autouse=True)(in_small_parts)

ALL = {"reconstruction", "codes", "recognition"}
JUDGED = ALL | {"parzen"}
OF_METHODS = {
    "ae": JUDGED, "vae": JUDGED | {"bound"}, "cvae": ALL | {"bound"},
    "m1": {"bound", "error"}, "m2": {"error", "clusters"}, "m1m2": {"error"},
    "aae": JUDGED, "wae": JUDGED, "vae_gan": JUDGED, "aae_supervised": ALL,
    "aae_semi": {"error", "reconstruction"}, "aae_cluster": {"clusters", "reconstruction"},
}  # fmt: skip
OF_TRANSLATORS = {
    "maps", "psnr", "ssim", "lpips", "kid_efficientnet", "kid", "fid", "classifier", "round_trip", "pairing",
    "adaptation", "probe", "neighbors",
}  # fmt: skip


@pytest.mark.parametrize("name", METHODS)
def test_figures_are_those_of_the_model_finite_and_the_same_each_time(name: str) -> None:
    model = model_of(name)
    before = [parameter.clone() for parameter in model.parameters()]
    found = measure(set_of(model, domain_of(), domain_of(12, seed=1)))
    assert found.keys() == OF_METHODS[name.split()[0]]
    torch.rand(3)
    assert measure(set_of(model, domain_of(), domain_of(12, seed=1))) == found
    values = [x for figures in found.values() for row in figures.rows.values() for x in row.values()]
    assert values and all(math.isfinite(x) for x in values)
    assert all(map(torch.equal, before, model.parameters()))


def test_every_metric_is_some_models() -> None:
    assert set(METRICS) == OF_TRANSLATORS.union(*OF_METHODS.values())


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_that_does_not_apply_says_why(name: str) -> None:
    for method in OF_METHODS:
        images = set_of(model_of(method))
        reason = find_metric(name).applies(images)
        assert (reason == "") == (name in OF_METHODS[method])
        if reason:
            with pytest.raises(ValueError, match=f"^metric {name} has no figures here: ") as refusal:
                measure(images, [name])
            assert reason in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", sorted(set(METRICS) - OF_TRANSLATORS))
def test_a_translator_has_no_figures_of_autoencoders(name: str, toys: Path) -> None:
    with pytest.raises(ValueError, match=f"^metric {name} has no figures here: .*keeper"):
        measure(translations_of(Keeper(), toys), [name])


@pytest.mark.parametrize("name", ["aae", "wae", "aae_supervised"])
def test_errors_and_discrepancies_of_an_adversarial_model_by_hand(name: str) -> None:
    model, images = model_of(name), domain_of()
    assert isinstance(model, ImageAutoencoder)
    found = measure(set_of(model, images))
    x = images.tensor / 255
    label = one_hot(images.class_labels) if name == "aae_supervised" else torch.empty(10, 0)
    with torch.no_grad():
        z = model.encoder(x)
        squared = (model.decoder(torch.cat([z, label], dim=1)) - x).square().sum() / 10
        prior, again = (model.prior.sample(10, draws.generator(seed, "evaluate prior")) for seed in (0, 1))
    sd = float(prior.std())
    assert found["reconstruction"].rows == {"squared error": {"per image": approx(squared)}}
    discrepancies = found["codes"].rows
    assert list(discrepancies) == ["codes and prior", "the prior and itself"]
    for row, codes in zip(discrepancies.values(), (z, again), strict=True):
        assert row == {"MMD": pytest.approx(float(mmd(codes, prior, sd=sd)), rel=2e-4)}


# Labels of other data than the model was trained on


def other_labels(count: int) -> Domain:
    """The images with labels of that many classes, or without."""
    pixels = domain_of(24).tensor
    return domain_of_array(pixels, torch.arange(24) % count if count else None)


@pytest.mark.parametrize("classes", [0, 12])
@pytest.mark.parametrize("name", ["m1", "m2", "m1m2", "aae_semi"])
def test_labels_that_the_model_cannot_name_give_no_error(name: str, classes: int) -> None:
    images = set_of(model_of(name), other_labels(classes))
    with pytest.raises(ValueError, match=r"metric error has no figures here: .*(labels|classes)"):
        measure(images, ["error"])


@pytest.mark.parametrize("classes", [0, 12])
@pytest.mark.parametrize("name", ["cvae", "aae_supervised"])
def test_labels_that_a_decoder_does_not_know_are_refused(name: str, classes: int) -> None:
    with pytest.raises(ValueError, match=r"labels|classes"):
        measure(set_of(model_of(name), other_labels(classes)))


@pytest.mark.parametrize("classes", [0, 12])
@pytest.mark.parametrize("name", ["vae", "aae", "wae"])
def test_models_without_labels_take_any(name: str, classes: int) -> None:
    images = set_of(model_of(name), other_labels(classes), other_labels(classes))
    assert measure(images).keys() == OF_METHODS[name] - {"recognition"}


def test_one_image_has_no_discrepancy() -> None:
    images = set_of(model_of("aae"), domain_of(1))
    assert "codes" not in measure(images)
    with pytest.raises(ValueError, match=r"metric codes has no figures here: .*2"):
        measure(images, ["codes"])
