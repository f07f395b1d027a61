"""The linear probe and the neighbors across domains, on codes that are known."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from inverters import Keeper, noise_images, set_of
from torch import Tensor
from unit_toys import translator

from unit.data.images import write_image
from unit.evaluation import neighbors, probe, shared_codes
from unit.evaluation.evaluate import measure
from unit.evaluation.probe import fit, half
from unit.evaluation.sets import TranslationSet
from unit.evaluation.shared_codes import codes_of, nearest, stems
from unit.models.unit import UnitTranslator


def coded(root: Path, *, shift: float = 0.0, code: Callable[[Tensor], Tensor] | None = None) -> TranslationSet:
    """A set whose code of an image is its 4 × 4 pixels' mean colors, and of domain b `shift` more in the first."""
    model: Any = translator()

    def colors(x: Tensor, domain: str) -> Tensor:
        z = F.avg_pool2d(x, 4) if code is None else code(x)
        z[:, 0] += shift * (domain == "b")
        return z

    model.code = colors
    assert isinstance(model, UnitTranslator)
    return set_of(model, root)


def pairs(root: Path, count: int, *, side: int = 8) -> Path:
    """The same noise in testA and testB."""
    for folder in ("testA", "testB"):
        noise_images(root / folder, *[(side, side)] * count)
    return root


# Codes


def test_the_three_views_of_a_code(tmp_path: Path) -> None:
    noise_images(tmp_path / "testA", (8, 12), (9, 15), (10, 8))  # cut to 8 × 12, 8 × 12 and 8 × 8: of 2 × 3 or 2 places
    noise_images(tmp_path / "testB", (8, 8))
    found = codes_of(coded(tmp_path), "a")
    image = set_of(Keeper(), tmp_path).test_a[1][:, :8, :12].double() / 127.5 - 1
    places = F.avg_pool2d(image[None], 4)[0]
    assert found.names == ["0.png", "1.png", "2.png"] and len(found) == 3
    assert torch.allclose(found.means[1].double(), image.mean((1, 2)), atol=1e-6)
    assert found.cells.shape == (3, 3 * 2 * 2) and found.places.shape == (3, 16, 3)
    assert torch.allclose(found.cells[1].double(), F.adaptive_avg_pool2d(places[None], 2).flatten(), atol=1e-6)
    rows = places.flatten(1).T
    assert all((rows - place).abs().amax(1).min() < 1e-6 for place in found.places[1].double())


def test_codes_are_worked_out_once_for_a_model(tmp_path: Path) -> None:
    images = coded(pairs(tmp_path, 3))
    assert codes_of(images, "a") is codes_of(images, "a")
    other = images.with_model(translator())
    assert not torch.equal(codes_of(other, "a").means, codes_of(images, "a").means[:, :1].expand(-1, 8))


def test_only_so_many_images_are_encoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_codes, "MOST", 2)
    assert codes_of(coded(pairs(tmp_path, 3)), "b").names == ["0.png", "1.png"]


def test_suffixes_do_not_tell_pairs_apart() -> None:
    assert stems(["x/1.png", "x/1.jpg", "2.b.png"]) == ["x/1", "x/1", "2.b"]


# The probe


def test_codes_that_differ_between_domains_are_told_apart(tmp_path: Path) -> None:
    found = probe.METRIC.measure(coded(pairs(tmp_path, 12), shift=3.0))
    assert found.rows == {"codes of images": {"accuracy": 1}, "places of codes": {"accuracy": 1}}
    assert found.intervals["codes of images"]["accuracy"] == (1, 1)
    assert found.counts["codes of images"] == 12 and "learned on 12" in found.notes[0]


def test_equal_codes_are_told_apart_by_chance_alone(tmp_path: Path) -> None:
    found = probe.METRIC.measure(coded(pairs(tmp_path, 12)))
    assert found.rows["codes of images"]["accuracy"] == 0.5  # each code stands in both domains, and is right in one
    assert found.rows["places of codes"]["accuracy"] == pytest.approx(0.5, abs=0.1)  # other places are drawn in each


def test_images_of_one_name_are_on_the_same_side() -> None:
    names = [f"{i}" for i in range(10)]
    learns = half(names + names[:4], seed=0)
    assert int(learns[:10].sum()) == 5 and torch.equal(learns[:4], learns[10:])
    assert torch.equal(learns, half(names + names[:4], seed=0))
    assert any(not torch.equal(learns, half(names + names[:4], seed=seed)) for seed in range(1, 5))


def test_both_domains_count_alike(tmp_path: Path) -> None:
    """Of few images of b and many of a, a probe that has learned nothing is right on one domain alone."""
    noise_images(tmp_path / "testA", *[(8, 8)] * 40)
    noise_images(tmp_path / "testB", *[(8, 8)] * 10, seed=1)
    found = probe.METRIC.measure(coded(tmp_path, code=lambda x: torch.zeros_like(F.avg_pool2d(x, 4))))
    assert found.rows["codes of images"] == {"accuracy": 0.5}


def some(count: int = 40, d: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    y = (torch.rand(count, generator=generator) < 0.3).double()
    x = torch.randn(count, d, generator=generator, dtype=torch.float64) * torch.tensor([1.0, 20.0, 0.1]) + 5
    return x + y[:, None], y


def test_the_fit_is_where_its_objective_is_least() -> None:
    x, y = some()
    weight, bias = fit(x, y)
    sd = x.std(0, correction=0)
    w = (weight * sd).requires_grad_()
    b = (bias + weight @ x.mean(0)).requires_grad_()
    each = torch.where(y > 0, 0.5 / y.mean(), 0.5 / (1 - y.mean()))
    errors = F.softplus((x - x.mean(0)) / sd @ w + b) - y * ((x - x.mean(0)) / sd @ w + b)
    ((each * errors).sum() + w.square().sum() / 2).backward()
    assert w.grad is not None and b.grad is not None
    assert float(w.grad.abs().max()) < 1e-5 and float(b.grad.abs()) < 1e-5


def test_the_fit_is_that_of_another_library() -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    x, y = some()
    scaled = (x - x.mean(0)) / x.std(0, correction=0)
    other = linear.LogisticRegression(class_weight="balanced", tol=1e-10, max_iter=1000).fit(scaled.numpy(), y.numpy())
    weight, bias = fit(x, y)
    assert (x @ weight + bias).tolist() == pytest.approx(other.decision_function(scaled.numpy()).tolist(), abs=1e-5)


def test_a_code_number_that_is_always_the_same_does_no_harm() -> None:
    x, y = some()
    x[:, 1] = 7
    weight, bias = fit(x, y)
    assert weight.isfinite().all() and bias.isfinite()


# Neighbors


def flat(folder: Path, **levels: int) -> None:
    """Images of one gray, by name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, level in levels.items():
        write_image(folder / f"{name}.png", torch.full((3, 8, 8), level, dtype=torch.uint8))


def test_neighbors_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbors, "NEAREST", (1, 2))
    flat(tmp_path / "testA", x=0, y=50, z=250)
    flat(tmp_path / "testB", x=5, y=0, z=240)
    found = neighbors.METRIC.measure(coded(tmp_path))
    unit = math.sqrt(12) / 127.5  # a level more in each of 3 channels and 4 places
    images = found.images["a2b"]
    assert images["x.png"] == {
        "truth among 1": 0, "truth among 2": 1, "across": pytest.approx(0), "within": pytest.approx(50 * unit)
    }  # fmt: skip
    assert images["y.png"] == {
        "truth among 1": 0, "truth among 2": 1, "across": pytest.approx(45 * unit), "within": pytest.approx(50 * unit)
    }  # fmt: skip
    assert images["z.png"]["truth among 1"] == 1 and images["z.png"]["within"] == pytest.approx(200 * unit)
    assert found.rows["a2b"] == {
        "truth among 1": pytest.approx(1 / 3), "truth among 2": pytest.approx(1),
        "across": pytest.approx(55 / 3 * unit), "within": pytest.approx(100 * unit),
    }  # fmt: skip
    assert found.rows["a2b, by chance"] == {
        "truth among 1": pytest.approx(1 / 3),
        "truth among 2": pytest.approx(2 / 3),
    }
    assert found.rows["b2a"]["truth among 1"] == pytest.approx(2 / 3)
    assert found.intervals["a2b"].keys() == found.rows["a2b"].keys() and found.counts == {"a2b": 3, "b2a": 3}
    assert set(str(found).splitlines()[0].split()) >= {"across", "within"}


def test_without_pairs_there_are_distances_alone(tmp_path: Path) -> None:
    flat(tmp_path / "testA", x=0, y=50)
    flat(tmp_path / "testB", x=5, other=0)
    found = neighbors.METRIC.measure(coded(tmp_path))
    assert found.rows.keys() == {"a2b", "b2a"} and found.rows["a2b"].keys() == {"across", "within"}


def test_the_nearest_come_first(tmp_path: Path) -> None:
    flat(tmp_path / "testA", x=0, y=50)
    flat(tmp_path / "testB", m=30, n=240, o=10)
    images = coded(tmp_path)
    assert nearest(codes_of(images, "a"), codes_of(images, "b"), 2).tolist() == [[2, 0], [0, 2]]


def test_domains_of_other_sizes_have_codes_of_one_grid(tmp_path: Path) -> None:
    noise_images(tmp_path / "testA", (8, 8), (12, 8))
    noise_images(tmp_path / "testB", (40, 40), (40, 44))
    images = coded(tmp_path)
    assert codes_of(images, "a").cells.shape == codes_of(images, "b").cells.shape == (2, 3 * 2 * 2)
    assert neighbors.METRIC.measure(images).rows.keys() >= {"a2b", "b2a"}


# What is refused


@pytest.mark.parametrize("name", ["probe", "neighbors"])
def test_models_without_a_shared_space_and_few_images_are_refused(name: str, tmp_path: Path) -> None:
    pairs(tmp_path, 1)
    with pytest.raises(ValueError, match=f"metric {name} has no figures here: a model keeper has no latent space"):
        measure(set_of(Keeper(), tmp_path), [name])
    with pytest.raises(ValueError, match=f"metric {name} has no figures here: it needs at least .*testA has 1"):
        measure(coded(tmp_path), [name])


def test_images_smaller_than_a_code_are_refused(tmp_path: Path) -> None:
    pairs(tmp_path, 2, side=3)
    with pytest.raises(ValueError, match=r"images of at least 4×4 pixels, and one has a side of 3"):
        measure(coded(tmp_path), ["neighbors"])
