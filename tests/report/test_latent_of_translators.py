"""The picture of a translator's codes, and `plot`, which finds a run's data by itself."""

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Command, Tiny
from digit_toys import options, write_mnist
from PIL import Image
from torch import Tensor, nn

from unit.config.data import Channels
from unit.data.decoding import read_image
from unit.data.images import to_float, write_image
from unit.evaluation.evaluate import evaluate
from unit.models.base import Direction, ImageTranslator, TranslatedImages
from unit.models.unit import UnitModelConfig, UnitTranslator, UnitTranslatorConfig
from unit.report import codes
from unit.report.codes import codes_of, plot_codes
from unit.report.pictures import plot
from unit.report.plots import Cloud, scatter


def translator(a: Channels = 3, b: Channels = 3) -> UnitTranslator:
    torch.manual_seed(0)
    model = UnitModelConfig(width=2, blocks=1, init="kaiming")
    return UnitTranslator(UnitTranslatorConfig(TranslatedImages(a, b), model)).eval()


def noise(folder: Path, *sizes: tuple[int, int], seed: int = 0) -> list[Tensor]:
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(seed)
    images = [torch.randint(0, 256, (3, *size), generator=generator).to(torch.uint8) for size in sizes]
    for number, image in enumerate(images):
        write_image(folder / f"{number}.png", image)
    return images


@pytest.fixture
def data(tmp_path: Path) -> Path:
    noise(tmp_path / "data" / "testA", (16, 16), (18, 23))
    noise(tmp_path / "data" / "testB", (20, 16), seed=1)
    return tmp_path / "data"


def as_set(codes: Tensor) -> set[tuple[float, ...]]:
    return set(map(tuple, codes.tolist()))


def test_a_point_is_the_mean_code_at_one_place_of_an_image(data: Path) -> None:
    net = translator()
    expected = set()
    for path, height, width in (("0.png", 16, 16), ("1.png", 16, 20)):  # what lies beyond whole strides is left out
        x = to_float(read_image(data / "testA" / path, channels=3))[None, :, :height, :width]
        with torch.no_grad():
            expected |= as_set(net.a.encode(x).sample(None)[0].flatten(1).T)
    found = codes_of(net, "a", data / "testA", None)
    assert found.shape == (4 * 4 + 4 * 5, 8) and as_set(found) == expected


def test_only_some_images_and_points_are_taken(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = translator()
    every = as_set(codes_of(net, "a", data / "testA", None))
    monkeypatch.setattr(codes, "POINTS", 10)
    some = codes_of(net, "a", data / "testA", None)
    assert len(some) == 10 and as_set(some) < every
    assert torch.equal(some, codes_of(net, "a", data / "testA", None))
    monkeypatch.setattr(codes, "IMAGES", 1)
    monkeypatch.setattr(codes, "POINTS", 100)
    assert len(codes_of(net, "a", data / "testA", None)) == 16


def test_images_are_scaled_where_asked(data: Path) -> None:
    assert len(codes_of(translator(), "a", data / "testA", 8)) == 2 * 2 + 2 * 2


def test_both_domains_lie_on_the_axes_of_their_greatest_variance(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And samples of N(0, I) beside them, seen along the same axes."""
    drawn: list[Cloud] = []
    names: list[Any] = []

    def spy(*clouds: Cloud, **more: Any) -> Any:
        drawn.extend(clouds)
        names.append(more["names"])
        return scatter(*clouds, **more)

    monkeypatch.setattr(codes, "scatter", spy)
    net = translator()
    plot_codes(net, data, data / "out")
    (of_both, of_prior), (labels,) = drawn, names
    a, b = (codes_of(net, domain, data / f"test{domain.upper()}", None) for domain in ("a", "b"))  # type: ignore[arg-type]
    both = torch.cat([a, b])
    variances = torch.linalg.eigvalsh(torch.cov(both.T))
    torch.testing.assert_close(of_both.points.var(0), variances.flip(0)[:2], rtol=1e-3, atol=1e-5)
    covariance = torch.cov(of_both.points.T)
    assert abs(float(covariance[0, 1])) < 1e-3 * float(covariance[1, 1])
    assert labels == ["a", "b"] and of_both.labels is not None
    assert (of_both.labels == 0).sum() == len(a) and (of_both.labels == 1).sum() == len(b)
    assert of_prior.labels is None and of_prior.points.shape == of_both.points.shape
    assert ((of_prior.points.std(0) - 1).abs() < 0.3).all()


def test_the_picture_is_the_same_each_time(data: Path) -> None:
    net, state = translator(), torch.get_rng_state()
    (first,) = plot_codes(net, data, data / "new" / "pictures")
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    (second,) = plot_codes(net, data, data / "others")
    assert first == data / "new" / "pictures" / "latent.png" and first.read_bytes() == second.read_bytes()
    assert read_image(first, channels=3).shape[0] == 3


def test_domains_may_differ_in_their_channels(data: Path) -> None:
    assert len(plot_codes(translator(1, 3), data, data / "out")) == 1


def test_a_picture_that_is_there_is_left_alone_without_overwrite(data: Path) -> None:
    (data / "latent.png").write_text("mine")
    with pytest.raises(FileExistsError, match=r"latent\.png already; --overwrite"):
        plot_codes(translator(), data, data)
    assert (data / "latent.png").read_text() == "mine"
    plot_codes(translator(), data, data, overwrite=True)
    assert read_image(data / "latent.png", channels=3).numel()


@pytest.mark.parametrize("wrong", ["a missing folder", "no images", "small images", "a file for the output"])
def test_what_can_not_be_drawn_is_named(wrong: str, data: Path) -> None:
    output, words = data / "out", "testB"
    match wrong:
        case "a missing folder":
            (data / "testB").rename(data / "other")
        case "no images":
            (data / "testB" / "0.png").unlink()
        case "small images":
            noise(data / "testB", (3, 40))
            words = r"0\.png: 40×3 pixels; expected at least 4×4"
        case "a file for the output":
            output.write_text("mine")
            words = "out"
    with pytest.raises((ValueError, FileNotFoundError, NotADirectoryError, FileExistsError), match=words) as refusal:
        plot_codes(translator(), data, output)
    assert "\n" not in str(refusal.value)
    assert not output.is_dir()


def test_a_translator_of_another_kind_shares_no_latent_space(data: Path) -> None:
    class Keeper(ImageTranslator):
        name, stride, floats_per_pixel = "keeper", 1, 1.0  # type: ignore[assignment]

        def __init__(self) -> None:
            super().__init__()
            self.images, self.anything = TranslatedImages(), nn.Parameter(torch.zeros(1))

        def _translate(self, x: Tensor, direction: Direction) -> Tensor:
            return x

    with pytest.raises(ValueError, match="a model keeper has no latent space that both domains share"):
        plot_codes(Keeper(), data, data / "out")


# The pictures of a run


def test_a_translators_run_is_plotted_on_its_own_data(
    tiny: Tiny, run_command: Command, tmp_path: Path, data: Path
) -> None:
    run = tmp_path / "run"
    assert run_command("train", *tiny(run, "--train.steps", "1")).code == 0
    own = plot(run, tmp_path / "own")
    other = plot(run, tmp_path / "other", root=data)
    scaled = plot(str(run), str(tmp_path / "scaled"), resize=12)
    assert len({paths[0].read_bytes() for paths in (own, other, scaled)}) == 3
    assert [path.stem for path in own] == ["latent", "neighbors_a2b", "neighbors_b2a", "interpolations"]
    assert [path.stem for path in other] == ["latent", "interpolations"]  # of b there is one image


def test_an_autoencoders_run_is_plotted_on_its_own_data(run_command: Command, tmp_path: Path) -> None:
    root, run = write_mnist(tmp_path / "mnist"), tmp_path / "run"
    said = run_command("train", *options("vae", "--run.output", run, data__root=root))
    assert said.code == 0, said.err
    paths = plot(run, tmp_path / "own")
    assert {path.stem for path in paths} == {"reconstructions", "samples", "attributes", "manifold", "latent"}
    with Image.open(tmp_path / "own" / "reconstructions.png") as picture:
        assert picture.mode == "L"
    other = plot(run, tmp_path / "other", root=write_mnist(tmp_path / "more", train=50))
    assert paths[0].read_bytes() != other[0].read_bytes()
    evaluate(run)  # both find the same data
    with pytest.raises(FileExistsError, match="--overwrite"):
        plot(run, tmp_path / "own")
