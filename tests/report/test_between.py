"""What lies between two images: its ends are reconstructions and translations, and its pictures are in both domains."""

from pathlib import Path

import pytest
import torch
from conftest import Command
from test_latent_of_translators import noise, translator
from torch import Tensor

from unit.data.decoding import read_image
from unit.data.images import to_float, to_uint8
from unit.models.folder import save_model
from unit.report.between import Domains, in_common, interpolate, plot_between, rows_between


def image(seed: int, channels: int = 3) -> Tensor:
    return torch.rand(channels, 8, 12, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize("domains", ["aa", "ab", "ba", "bb"])
def test_its_ends_are_reconstructions_and_translations(domains: Domains) -> None:
    model = translator()
    first, second = image(0), image(1)
    found = interpolate(model, first, second, domains, steps=3)
    for place, x, own in ((0, first, domains[0]), (-1, second, domains[1])):
        other = "b" if own == "a" else "a"
        vae = getattr(model, own)
        torch.testing.assert_close(found[own][place], vae.decode(vae.encode(x[None]).mu)[0])  # type: ignore[index]
        translated = model.translate(x[None], f"{own}2{other}")[0]  # type: ignore[arg-type]
        torch.testing.assert_close(found[other][place], translated)  # type: ignore[index]


def test_between_them_is_the_code_in_the_middle() -> None:
    model = translator()
    z = (model.code(image(0)[None], "a") + model.code(image(1)[None], "b")) / 2
    found = interpolate(model, image(0), image(1), steps=3)
    torch.testing.assert_close(found["a"][1], model.a.decode(z)[0])
    torch.testing.assert_close(found["b"][1], model.b.decode(z)[0])


def test_rows_are_domains_with_the_images_beside_them() -> None:
    grid = rows_between(translator(1, 3), image(0, 1), image(1), steps=4)
    assert grid.columns == 6 and grid.images.shape == (12, 3, 8, 12) and grid.images.dtype == torch.uint8
    white = torch.full((3, 8, 12), 255, dtype=torch.uint8)
    assert torch.equal(grid.images[0], to_uint8(image(0, 1)).expand(3, -1, -1)) and torch.equal(grid.images[5], white)
    assert torch.equal(grid.images[6], white) and torch.equal(grid.images[11], to_uint8(image(1)))


def test_the_middle_that_images_have_in_common() -> None:
    x, y = torch.arange(10 * 7).view(1, 10, 7), torch.zeros(1, 9, 9)
    cut, other = in_common([x, y], 4)
    assert cut.shape == other.shape == (1, 8, 4) and torch.equal(cut, x[:, 1:9, 1:5])
    assert in_common([x, y], 2, most=5)[0].shape == (1, 4, 4)
    with pytest.raises(ValueError, match="expected at least 4×4 pixels, got 3×9 that they have in common"):
        in_common([x, torch.zeros(1, 9, 3)], 4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a model, and images of two sizes."""
    save_model(tmp_path / "run", translator(), step=1)
    noise(tmp_path / "images", (18, 23), (20, 16))
    return tmp_path


def test_the_command_writes_a_picture_of_two_files(folder: Path, run_command: Command) -> None:
    first, second = folder / "images" / "0.png", folder / "images" / "1.png"
    said = run_command("main", "plot", "--model", folder / "run", "--between", first, second)
    path = folder / "run" / "plots" / "between_0_and_1.png"
    assert said.code == 0 and said.out == f"{path}\n"
    picture = read_image(path, channels=3)
    assert picture.shape == (3, 2 * 18 - 2, 10 * 18 - 2)  # 16×16 is what they have in common
    middle = read_image(first, channels=3)[:, 1:17, 3:19]
    assert torch.equal(picture[:, :16, :16], middle)
    expected = interpolate(translator(), to_float(middle), to_float(read_image(second, channels=3)[:, 2:18]))
    assert (picture[:, 18:34, 18:34].int() - to_uint8(expected["b"][0]).int()).abs().max() <= 1
    again = run_command("main", "plot", "--model", folder / "run", "--between", first, second)
    assert again.code == 2 and "has between_0_and_1.png already; --overwrite" in again.err
    other = plot_between(folder / "run", first, second, folder / "other", domains="ba")
    assert other.read_bytes() != path.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--between", "0.png", "2.png"], "no such image: 2.png"),
        (["--between", "0.png"], "expected 2 arguments"),
        (["--between", "0.png", "1.png", "--domains", "cb"], "invalid choice: 'cb'"),
        (["--between", "0.png", "1.png", "--image", "0.png"], "--between draws a picture of its own"),
        (["--domains", "ab"], "--domains: expected none without --between, got ab"),
        (["--between", "0.png", "1.png", "--resize", "2"], "expected at least 4×4 pixels, got 2×2"),
    ],
)
def test_what_can_not_be_drawn_is_named(
    arguments: list[str], said: str, folder: Path, run_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder / "images")
    answer = run_command("main", "plot", "--model", folder / "run", *arguments)
    assert answer.code == 2 and said in answer.err and answer.err.count("\n") == 1
    assert not (folder / "run" / "plots").exists()
