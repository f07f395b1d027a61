"""Species and breeds: two classes of ImageNet's become A and B, by the folders' names or their synsets."""

from pathlib import Path

import pytest
from set_toys import counts_of, list_files, named, tar_folder, write_image

from unit.cli.data import data
from unit.config import config_names, load
from unit.data.sets.recipes import CATS, DOGS


def write_class(folder: Path, count: int, *, seed: int = 0) -> None:
    for number in range(count):
        write_image(folder / f"{folder.name}_{number}.png", seed=seed + number)


@pytest.fixture
def imagenet(tmp_path: Path) -> Path:
    """Three classes, one of two synsets, in train and val."""
    for split, count in (("train", 3), ("val", 1)):
        for number, synset in enumerate(("n02129604", "n02123045", "n02123394", "n02129165")):
            write_class(tmp_path / "imagenet" / split / synset, count + (number == 3), seed=10 * number)
    return tmp_path / "imagenet"


@pytest.mark.parametrize("packed", [False, True])
def test_two_classes_are_a_and_b_by_their_synsets(imagenet: Path, tmp_path: Path, packed: bool) -> None:
    source = tar_folder(tmp_path / "imagenet.tar.gz", imagenet) if packed else imagenet
    before = list_files(imagenet)
    command = ["cat_species", "--pair", "house_cat,lion", "--source", str(source), "--output", str(tmp_path / "out")]
    assert data(command) == 0
    assert counts_of(tmp_path / "out") == named(6, 4, 2, 2)
    for split, domain, synset in (("train", "A", "n02123394"), ("test", "B", "n02129165")):
        inside = imagenet / ("train" if split == "train" else "val") / synset / f"{synset}_0.png"
        assert (tmp_path / "out" / f"{split}{domain}" / inside.name).read_bytes() == inside.read_bytes()
    assert list_files(imagenet) == before


def test_named_folders_without_splits_test_on_the_last_tenth(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_class(tmp_path / "in" / "Images" / "n02110185-Siberian_husky", 20)
    write_class(tmp_path / "in" / "Images" / "samoyed", 5)
    command = ["dog_breeds", "--pair", "husky,samoyed", "--source", str(tmp_path / "in")]
    assert data([*command, "--output", str(tmp_path / "out")]) == 0
    assert "the last tenth of each class's images" in capsys.readouterr().err
    assert counts_of(tmp_path / "out") == named(18, 4, 2, 1)
    assert [path.name for path in (tmp_path / "out" / "testB").iterdir()] == ["samoyed_4.png"]


@pytest.mark.parametrize(
    ("pair", "code", "said"),
    [
        (
            "house_cat,lynx",
            1,
            "pair: expected two of house_cat, tiger, lion, cougar, leopard, jaguar, cheetah, got 'lynx'",
        ),
        ("lion,lion", 1, "pair: expected two classes, got lion twice"),
        ("lion,cheetah", 1, "no folder cheetah or n02130308 in"),
        ("lion", 2, "expected two names with a comma between, got 'lion'"),
        ("lion,tiger,jaguar", 2, "expected two names with a comma between"),
    ],
)
def test_a_wrong_pair_is_one_line(
    pair: str, code: int, said: str, imagenet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["cat_species", "--pair", pair, "--source", str(imagenet), "--output", str(tmp_path / "out")]
    assert data(command) == code
    message = capsys.readouterr().err
    assert said in message and message.count("\n") == 1 and not (tmp_path / "out").exists()


def test_images_of_one_name_are_not_lost(imagenet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_image(imagenet / "train" / "n02123045" / "n02123394_0.png", seed=99)
    command = ["cat_species", "--pair", "house_cat,lion", "--source", str(imagenet), "--output", str(tmp_path / "out")]
    assert data(command) == 1
    assert "two images of house_cat are named n02123394_0.png" in capsys.readouterr().err


def test_without_a_source_it_says_what_to_get(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert data(["dog_breeds", "--pair", "corgi,husky", "--output", str(tmp_path / "out")]) == 1
    assert "image-net.org" in capsys.readouterr().err
    assert data(["dog_breeds", "--output", str(tmp_path / "out")]) == 2
    assert "--pair" in capsys.readouterr().err


def test_synsets_are_of_one_class_and_the_configs_are_there() -> None:
    every = [synset for classes in (CATS, DOGS) for synsets in classes.values() for synset in synsets]
    assert len({*every}) == len(every) and all(len(synset) == 9 and synset[0] == "n" for synset in every)
    assert {"cat_species", "dog_breeds", "celeba_blond_hair"} <= {*config_names()}
    config = load("celeba_blond_hair")
    assert config.discriminator.first_kernel == 7  # type: ignore[attr-defined]
