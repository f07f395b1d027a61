"""The scores: known translators get the marks that they must."""

from pathlib import Path

import pytest
import torch
from conftest import Command, Tiny
from torch import Tensor

from unit.config.unit import ModelConfig
from unit.data.batches import Share
from unit.data.decoding import read_image
from unit.data.images import write_image
from unit.data.toymaps import PALETTE
from unit.evaluation.paired import evaluate_maps
from unit.evaluation.pairing import EPOCHS, pairing, pairing_of
from unit.evaluation.unpaired import evaluate_unpaired
from unit.methods.translator import Translator


class Inverter(Translator):
    """A translator that turns brightness around, either way: exact, and its own inverse."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__(ModelConfig(width=1, blocks=1), channels=3 if channels == 3 else 1)

    def translate(self, x: Tensor, direction: str = "a2b") -> Tensor:
        return -x


class Keeper(Inverter):
    """A translator that changes nothing."""

    def translate(self, x: Tensor, direction: str = "a2b") -> Tensor:
        return x


def shades(folder: Path, low: int, high: int, *, count: int, seed: int) -> None:
    """Grey noise images, 16 × 16, with values from low to high."""
    folder.mkdir(parents=True)
    numbers = torch.Generator().manual_seed(seed)
    for i in range(count):
        image = torch.randint(low, high, (1, 16, 16), generator=numbers).to(torch.uint8)
        write_image(folder / f"{i}.png", image)


@pytest.fixture(scope="module")
def dark_and_bright(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("shades")
    for seed, (name, count) in enumerate((("train", 96), ("test", 20))):
        shades(root / f"{name}A", 0, 100, count=count, seed=2 * seed)
        shades(root / f"{name}B", 156, 256, count=count, seed=2 * seed + 1)
    return root


def test_a_translator_that_reaches_the_other_domain_is_taken_for_it(dark_and_bright: Path) -> None:
    score = evaluate_unpaired(Inverter(1), dark_and_bright, resize=None, size=16)
    assert score.classifier == 1
    for way in score.ways.values():
        assert (way.images, way.translations, way.round_trip) == (0, 1, 0)
    assert "a2b" in score.table()
    assert "1.000" in score.table()


def test_a_translator_that_changes_nothing_is_not(dark_and_bright: Path) -> None:
    score = evaluate_unpaired(Keeper(1), dark_and_bright, resize=None, size=16)
    assert [way.translations for way in score.ways.values()] == [0, 0]


def test_the_classifier_does_not_touch_the_global_generator(dark_and_bright: Path) -> None:
    keeper = Keeper(1)
    before = torch.get_rng_state()
    evaluate_unpaired(keeper, dark_and_bright, resize=None, size=16, epochs=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_unpaired_folders_must_hold_images_of_the_size(dark_and_bright: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="smaller than the crop of 32"):
        evaluate_unpaired(Keeper(1), dark_and_bright, resize=None, size=32)
    with pytest.raises(FileNotFoundError, match="trainA"):
        evaluate_unpaired(Keeper(1), tmp_path, resize=None, size=16)


@pytest.fixture
def inverted_toys(toys: Path, tmp_path: Path) -> Path:
    """testB holds toy maps, testA their negatives: an exact answer for the Inverter."""
    for path in (toys / "testB").iterdir():
        truth = read_image(path, channels=3)
        for folder, image in (("testA", 255 - truth), ("testB", truth)):
            (tmp_path / folder).mkdir(exist_ok=True)
            write_image(tmp_path / folder / path.name, image)
    return tmp_path


def test_the_exact_translator_scores_one(inverted_toys: Path) -> None:
    grid = inverted_toys / "pictures" / "grid.png"
    score = evaluate_maps(Inverter(), inverted_toys, palette="toymaps", grid=grid)
    assert score.model.max == score.model.l2 == score.model.balanced.mean == 1
    assert score.constant.balanced.mean == pytest.approx(1 / len(PALETTE))
    picture = read_image(grid, channels=3)
    truths = [read_image(path, channels=3) for path in sorted((inverted_toys / "testB").iterdir())]
    assert torch.equal(picture[:, 26:50, :24], truths[0])  # row 2, the translation …
    assert torch.equal(picture[:, 52:76, :24], truths[0])  # … and row 3, the truth, two pixels between them
    assert torch.equal(picture[:, :24, 26:50], 255 - truths[1])


def test_pairs_must_have_the_same_names(inverted_toys: Path) -> None:
    next((inverted_toys / "testA").iterdir()).unlink()
    with pytest.raises(ValueError, match="testA has 2 images and testB 3"):
        evaluate_maps(Inverter(), inverted_toys, palette="toymaps")


# The data check


def test_pairs_meet_by_chance_alone() -> None:
    """In each epoch one of n pairs does on average: a Poisson number of mean EPOCHS."""
    names = [f"{number}" for number in range(300)]
    for seed in range(5):
        found = pairing(names, names, Share(seed, batch_size=7))
        assert found.drawn == EPOCHS * 300 and found.chance == pytest.approx(EPOCHS)
        assert abs(found.same - EPOCHS) < 4 * EPOCHS**0.5
    none = pairing(names, ["x", *names[:2]], Share(0, batch_size=7))
    assert none.chance == pytest.approx(EPOCHS * 300 * 2 / 900)


def test_domains_that_share_one_order_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: both loaders seeded alike, as Accelerate's seedable sampler seeds them."""
    visited = Share.visited
    monkeypatch.setattr(Share, "visited", lambda self, count, domain, *rest: visited(self, count, "both", *rest))
    names = [f"{number}" for number in range(50)]
    found = pairing(names, names, Share(0, batch_size=7))
    assert found.same == found.drawn == EPOCHS * 50


def test_evaluate_counts_the_pairs_of_a_run(tiny: Tiny, run_command: Command, toys: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert run_command("train", *tiny(run, "--train.steps", "1")).code == 0
    said = run_command("main", "evaluate", "--model", run, "--root", toys, "--size", "16")
    assert said.code == 0, said.err
    found = pairing_of(run)
    assert found is not None and found.drawn == 6 * EPOCHS
    assert said.out.splitlines()[-1] == found.line()
    (run / "config.yaml").unlink()
    assert pairing_of(run) is None
