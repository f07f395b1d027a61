"""PSNR, SSIM and LPIPS: by hand, and as other libraries have them."""

import hashlib
import math
import warnings
from pathlib import Path

import pytest
import torch
import torchvision
from inverters import Inverter, Keeper, OneWay, noise_images, set_of
from torch import Tensor

from unit.data.images import to_float, write_image
from unit.evaluation import extra, lpips, psnr, ssim
from unit.evaluation.evaluate import measure
from unit.evaluation.extra import Published
from unit.evaluation.metric import Figures


def flat(folder: Path, *levels: int, side: int = 12, channels: int = 3) -> None:
    """Images 0.png, … of one gray each."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, level in enumerate(levels):
        write_image(folder / f"{number}.png", torch.full((channels, side, side), level, dtype=torch.uint8))


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    """Three pairs of noise, of two sizes."""
    noise_images(tmp_path / "testA", (32, 40), (32, 40), (35, 33))
    noise_images(tmp_path / "testB", (32, 40), (32, 40), (35, 33), seed=1)
    return tmp_path


def pairs(root: Path) -> list[tuple[Tensor, Tensor]]:
    images = set_of(Keeper(), root)
    return list(zip(images.test_a, images.test_b, strict=True))


def decibels(difference: float) -> float:
    return 20 * math.log10(255 / difference)


def test_psnr_by_hand(tmp_path: Path) -> None:
    flat(tmp_path / "testA", 10, 40)
    flat(tmp_path / "testB", 20, 60)
    found = psnr.METRIC.measure(set_of(Keeper(), tmp_path))
    values = [decibels(10), decibels(20)]
    mean = sum(values) / 2
    rows = {name: row["PSNR"] for name, row in found.rows.items()}
    assert rows == {
        "a2b": pytest.approx(mean),
        "a2b, constant color": pytest.approx(decibels(20)),  # both truths are 20 from their mean, 40
        "a2b, another image": pytest.approx(decibels(40)),
        "b2a": pytest.approx(mean),
        "b2a, constant color": pytest.approx(decibels(15)),
        "b2a, another image": pytest.approx(decibels(30)),
    }
    assert found.counts == dict.fromkeys(rows, 2)
    assert found.images["b2a"] == {
        "0.png": {"PSNR": pytest.approx(values[0])},
        "1.png": {"PSNR": pytest.approx(values[1])},
    }
    assert found.intervals["a2b"]["PSNR"] == pytest.approx((min(values), max(values)))


def test_psnr_of_equal_images_is_infinite_and_has_no_interval(tmp_path: Path) -> None:
    for folder in ("testA", "testB"):
        flat(tmp_path / folder, 10, 200)
    found = psnr.METRIC.measure(set_of(Keeper(), tmp_path))
    assert found.rows["a2b"]["PSNR"] == math.inf and "a2b" not in found.intervals
    assert found.as_json()["figures"]["a2b"] == {"PSNR": None}


def test_ssim_of_flat_images_by_hand(tmp_path: Path) -> None:
    flat(tmp_path / "testA", 10, 40)
    flat(tmp_path / "testB", 20, 60)
    found = ssim.METRIC.measure(set_of(Keeper(), tmp_path))
    constant = (0.01 * 255) ** 2  # without contrast, only the means count

    def of(x: float, y: float) -> float:
        return (2 * x * y + constant) / (x**2 + y**2 + constant)

    assert found.rows["a2b"]["SSIM"] == pytest.approx((of(10, 20) + of(40, 60)) / 2)
    assert found.rows["a2b, another image"]["SSIM"] == pytest.approx(of(20, 60))
    assert found.images["a2b"]["1.png"]["SSIM"] == pytest.approx(of(40, 60))


def test_ssim_and_psnr_are_those_of_another_library(noise: Path) -> None:
    metrics = pytest.importorskip("skimage.metrics")
    options = {
        "channel_axis": 0, "data_range": 255, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False
    }  # fmt: skip
    images = set_of(Keeper(), noise)
    found = {"SSIM": ssim.METRIC.measure(images), "PSNR": psnr.METRIC.measure(images)}
    for number, (x, y) in enumerate(pairs(noise)):
        expected = {
            "SSIM": metrics.structural_similarity(x.numpy(), y.numpy(), **options),
            "PSNR": metrics.peak_signal_noise_ratio(y.numpy(), x.numpy(), data_range=255),
        }
        for name, value in expected.items():
            assert found[name].images["a2b"][f"{number}.png"][name] == pytest.approx(value, abs=1e-5)


def test_ssim_is_torchmetrics_but_for_the_border(noise: Path) -> None:
    metric = pytest.importorskip("torchmetrics.functional.image").structural_similarity_index_measure
    found = ssim.METRIC.measure(set_of(Keeper(), noise)).images["a2b"]
    for number, (x, y) in enumerate(pairs(noise)):
        both = x[None].double(), y[None].double()
        _, places = metric(*both, data_range=255.0, return_full_image=True)
        assert found[f"{number}.png"]["SSIM"] == pytest.approx(float(places[..., 5:-5, 5:-5].mean()), abs=1e-12)
        assert float(metric(*both, data_range=255.0)) == pytest.approx(float(places.mean()))


def test_gray_models_and_models_of_one_direction_are_scored(tmp_path: Path) -> None:
    flat(tmp_path / "testA", 5, 55, channels=1)
    flat(tmp_path / "testB", 200, 250, channels=1)
    found = psnr.METRIC.measure(set_of(OneWay(1), tmp_path))
    assert set(found.images) == {"a2b"} and math.isinf(found.rows["a2b"]["PSNR"]) is False


@pytest.mark.parametrize("name", ["psnr", "ssim", "lpips"])
def test_without_truths_there_are_no_figures(name: str, noise: Path) -> None:
    (noise / "testA" / "0.png").rename(noise / "testA" / "other.png")
    with pytest.raises(ValueError, match=f"metric {name} has no figures here: .*expected pairs under the same names"):
        measure(set_of(Keeper(), noise), [name])


@pytest.mark.parametrize(("name", "side"), [("ssim", 10), ("lpips", 30)])
def test_images_that_are_too_small_are_named(name: str, side: int, tmp_path: Path) -> None:
    flat(tmp_path / "testA", 1, 2, side=side)
    flat(tmp_path / "testB", 3, 4, side=side)
    with pytest.raises(ValueError, match=f"metric {name} has no figures here: .*side of {side}"):
        measure(set_of(Keeper(), tmp_path), [name])


def test_without_the_library_the_command_that_installs_it_is_named(
    noise: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extra.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"it needs torchmetrics: pip install 'unit-translation\[metrics\]'"):
        measure(set_of(Keeper(), noise), ["psnr"])
    assert "psnr" not in measure(set_of(Keeper(), noise))


# LPIPS


def published(folder: Path, network: torch.nn.Module) -> Published:
    """Its weights, as if somebody had published them."""
    torch.save(network.state_dict(), folder / "new.pth")
    digits = hashlib.sha256((folder / "new.pth").read_bytes()).hexdigest()[:8]
    (folder / "new.pth").rename(folder / f"alexnet-{digits}.pth")
    return Published("AlexNet", f"https://nowhere.invalid/alexnet-{digits}.pth")


@pytest.fixture(scope="module")
def alexnet(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Published, torch.nn.Module]:
    """AlexNet with small random weights, its classifier cut off."""
    torch.manual_seed(0)
    network = torchvision.models.alexnet()
    network.classifier = torch.nn.Identity()
    folder = tmp_path_factory.mktemp("weights")
    return folder, published(folder, network), network


def lpips_of(root: Path, folder: Path) -> Figures:
    images = set_of(Keeper(), root)
    images.weights = folder
    return lpips.METRIC.measure(images)


def test_lpips_is_that_of_another_library(
    noise: Path, alexnet: tuple[Path, Published, torch.nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, weights, network = alexnet
    monkeypatch.setattr(lpips, "ALEXNET", weights)
    found = lpips_of(noise, folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other = pytest.importorskip("lpips").LPIPS(net="alex", version="0.1", pnet_rand=True, verbose=False).eval()
    own = other.net.state_dict()
    other.net.load_state_dict({name: network.state_dict()[f"features.{name.split('.', 1)[1]}"] for name in own})
    for number, (x, y) in enumerate(pairs(noise)):
        expected = other(to_float(x[None]), to_float(y[None])).item()
        assert found.images["a2b"][f"{number}.png"]["LPIPS"] == pytest.approx(expected, abs=1e-5) != 0
    same = noise / "same"
    for name in ("testA", "testB"):
        flat(same / name, 3, 200, side=31)
    assert lpips_of(same, folder).rows["a2b"]["LPIPS"] == 0


def test_lpips_is_measured_where_it_is_asked_for(noise: Path) -> None:
    assert measure(set_of(Inverter(), noise)).keys() == {"psnr", "ssim", "round_trip"}


# Published weights


def test_weights_that_cannot_be_had_are_named_with_their_address(tmp_path: Path) -> None:
    weights = Published("AlexNet", "file:///nowhere/alexnet-0123abcd.pth")
    with pytest.raises(
        ValueError, match=r"weights of AlexNet.*put file:///nowhere/alexnet-0123abcd.pth into .*--weights"
    ):
        weights.file(tmp_path / "new")
    assert not list((tmp_path / "new").iterdir())


def test_weights_are_fetched_once_and_checked(alexnet: tuple[Path, Published, torch.nn.Module], tmp_path: Path) -> None:
    folder, weights, _ = alexnet
    near = Published("AlexNet", f"{folder.as_uri()}/{weights.name}")
    got = near.file(tmp_path)
    assert got.read_bytes() == (folder / weights.name).read_bytes()
    got.write_bytes(b"damaged")
    with pytest.raises(ValueError, match=f"{weights.name} is not the file of that name that was published"):
        near.file(tmp_path)


def test_weights_lie_where_torchs_hub_has_them(
    alexnet: tuple[Path, Published, torch.nn.Module], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, weights, _ = alexnet
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").symlink_to(folder)
    assert weights.file(None) == tmp_path / "checkpoints" / weights.name
