"""One recipe per data set: where it comes from, what is in it, and under what terms.

Only counts and checksums that are known for certain are listed. datasets/README.md has the same list for readers.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

DigitsName = Literal["mnist", "usps", "svhn"]
MNIST_SIDE = 28

PIX2PIX = (
    "http://efrosgans.eecs.berkeley.edu/pix2pix/datasets",
    "https://people.eecs.berkeley.edu/~tinghuiz/projects/pix2pix/datasets",
)
CYCLEGAN = (
    "http://efrosgans.eecs.berkeley.edu/cyclegan/datasets",
    "https://people.eecs.berkeley.edu/~taesung_park/CycleGAN/datasets",
)


@dataclass(frozen=True)
class Recipe:
    """What a data set shows (`about`), its terms of use, and how to get it.

    `mirrors` are the URLs of `archive`, tried in turn; without mirrors, `by_hand` says what to download. `counts` are
    the numbers of images expected in a folder of the result (`trainA`) or in a split (`train`: A and B together).
    `checksums` maps file names to `ALGORITHM:HEX`. `side_a` is the half of a side-by-side pair that is A. `digits` are
    the two sets of handwritten or printed digits that A and B are, and `crop` is the side of the center of MNIST's
    images that is kept, in pixels. `classes` are ImageNet's synsets by class, of which two are A and B. `paired` says
    that the training images, too, are pairs under the same names.
    """

    about: str
    terms: str
    archive: str = ""
    mirrors: tuple[str, ...] = ()
    by_hand: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    checksums: Mapping[str, str] = field(default_factory=dict)
    side_a: Literal["left", "right"] = "left"
    digits: tuple[DigitsName, DigitsName] | None = None
    crop: int = MNIST_SIDE
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    paired: bool = False


def _at(hosts: tuple[str, ...], archive: str) -> tuple[str, ...]:
    """The URLs of an archive on several hosts."""
    return tuple(f"{host}/{archive}" for host in hosts)


def _paired(**splits: int) -> dict[str, int]:
    """The counts of a set of pairs, with as many images in A as in B."""
    return {f"{split}{domain}": count for split, count in splits.items() for domain in "AB"}


CATS: Mapping[str, tuple[str, ...]] = {
    "house_cat": ("n02123045", "n02123159", "n02123394", "n02123597", "n02124075"),  # tabby, tiger cat, Persian, …
    "tiger": ("n02129604",),
    "lion": ("n02129165",),
    "cougar": ("n02125311",),
    "leopard": ("n02128385",),
    "jaguar": ("n02128925",),
    "cheetah": ("n02130308",),
}
DOGS: Mapping[str, tuple[str, ...]] = {
    "husky": ("n02110185",),
    "german_shepherd": ("n02106662",),
    "corgi": ("n02113023", "n02113186"),  # Pembroke, Cardigan
    "samoyed": ("n02111889",),
    "old_english_sheepdog": ("n02105641",),
}

RECIPES: Mapping[str, Recipe] = {
    "maps": Recipe(
        about="A: aerial photos, B: street maps of New York",
        terms="Google Maps imagery, for research",
        archive="maps.tar.gz",
        mirrors=_at(PIX2PIX, "maps.tar.gz"),
        counts=_paired(train=1096, test=1098),
        paired=True,
    ),
    "facades": Recipe(
        about="A: photos of facades, B: their labels",
        terms="CMP Facade Database, for research",
        archive="facades.tar.gz",
        mirrors=_at(PIX2PIX, "facades.tar.gz"),
        counts=_paired(train=400, val=100, test=106),
        paired=True,
    ),
    "cityscapes": Recipe(
        about="A: photos of streets, B: their labels",
        terms="Cityscapes license: non-commercial, registration at cityscapes-dataset.com",
        archive="cityscapes.tar.gz",
        mirrors=_at(PIX2PIX, "cityscapes.tar.gz"),
        counts=_paired(train=2975, test=500),
        paired=True,
    ),
    "edges2shoes": Recipe(
        about="A: edges, B: photos of shoes",
        terms="UT Zappos50K, academic use only",
        archive="edges2shoes.tar.gz",
        mirrors=_at(PIX2PIX, "edges2shoes.tar.gz"),
        counts=_paired(train=49825, test=200),
        paired=True,
    ),
    "edges2handbags": Recipe(
        about="A: edges, B: photos of handbags",
        terms="product photos from the iGAN project, for research",
        archive="edges2handbags.tar.gz",
        mirrors=_at(PIX2PIX, "edges2handbags.tar.gz"),
        counts=_paired(train=138567, test=200),
        paired=True,
    ),
    "day2night": Recipe(
        about="A: webcam scenes by day, B: the same scenes by night",
        terms="Transient Attributes Dataset, for research",
        archive="night2day.tar.gz",
        mirrors=_at(PIX2PIX, "night2day.tar.gz"),
        counts=_paired(train=17823),
        side_a="right",  # the archive is night2day: night on the left
        paired=True,
    ),
    "horse2zebra": Recipe(
        about="A: horses, B: zebras",
        terms="ImageNet images, for non-commercial research",
        archive="horse2zebra.zip",
        mirrors=_at(CYCLEGAN, "horse2zebra.zip"),
        counts={"trainA": 1067, "trainB": 1334, "testA": 120, "testB": 140},
    ),
    "apple2orange": Recipe(
        about="A: apples, B: oranges",
        terms="ImageNet images, for non-commercial research",
        archive="apple2orange.zip",
        mirrors=_at(CYCLEGAN, "apple2orange.zip"),
        counts={"trainA": 995, "trainB": 1019, "testA": 266, "testB": 248},
    ),
    "summer2winter_yosemite": Recipe(
        about="A: Yosemite in summer, B: Yosemite in winter",
        terms="Flickr photos, for research; each under its own license",
        archive="summer2winter_yosemite.zip",
        mirrors=_at(CYCLEGAN, "summer2winter_yosemite.zip"),
        counts={"trainA": 1231, "trainB": 962, "testA": 309, "testB": 238},
    ),
    "monet2photo": Recipe(
        about="A: paintings by Monet, B: photos of landscapes",
        terms="Wikiart and Flickr images, for research; each under its own license",
        archive="monet2photo.zip",
        mirrors=_at(CYCLEGAN, "monet2photo.zip"),
        counts={"trainA": 1072, "trainB": 6287, "testA": 121, "testB": 751},
    ),
    "cat2dog": Recipe(
        about="A: faces of cats, B: faces of dogs",
        terms="the DRIT authors' collection, for research",
        archive="cat2dog.zip",
        mirrors=("http://vllab.ucmerced.edu/hylee/DRIT/datasets/cat2dog.zip",),
        counts={"trainA": 771, "trainB": 1264, "testA": 100, "testB": 100},
    ),
    "cat_species": Recipe(
        about=f"two of {', '.join(CATS)}",
        terms="ImageNet images, for non-commercial research",
        by_hand=(
            "put the folders of two classes, of ImageNet (image-net.org, which asks for registration), into one "
            "folder, the animals' heads cut out, as in the paper, if you can"
        ),
        classes=CATS,
    ),
    "dog_breeds": Recipe(
        about=f"two of {', '.join(DOGS)}",
        terms="ImageNet images, for non-commercial research",
        by_hand=(
            "put the folders of two breeds, of ImageNet (image-net.org, which asks for registration) or Stanford Dogs, "
            "into one folder, the dogs' heads cut out, as in the paper, if you can"
        ),
        classes=DOGS,
    ),
    "celeba": Recipe(
        about="A: faces without, B: faces with one of 40 attributes",
        terms="CelebA agreement: non-commercial research",
        by_hand=(
            "CelebA has to be downloaded by hand: put img_align_celeba.zip, list_attr_celeba.txt and "
            "list_eval_partition.txt from https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html into one folder"
        ),
        counts={"train": 162770, "val": 19867, "test": 19962},
        checksums={  # those in torchvision.datasets.CelebA
            "img_align_celeba.zip": "md5:00d2c5bc6d35e252742224ab0c1e8fcb",
            "list_attr_celeba.txt": "md5:75e246fa4810816ffd6ee81facbd244c",
            "list_eval_partition.txt": "md5:d32c9cbf5e040fd4025c592c306e6668",
        },
    ),
    "mnist_usps": Recipe(
        about="A: MNIST, B: USPS, a folder for each digit",
        terms="public research data",
        by_hand="put MNIST's four files and usps.h5 (HDF5: train and test, each with data and target) into one folder",
        counts={"trainA": 60000, "trainB": 7291, "testA": 10000, "testB": 2007},
        digits=("mnist", "usps"),
        crop=20,  # the box that a digit was scaled to, since one of USPS fills its 16 × 16
    ),
    "svhn_mnist": Recipe(
        about="A: house numbers, B: MNIST, a folder for each digit",
        terms="SVHN: non-commercial use; MNIST: public research data",
        by_hand=(
            "put train_32x32.mat and test_32x32.mat from http://ufldl.stanford.edu/housenumbers and MNIST's four files "
            "into one folder"
        ),
        counts={"trainA": 73257, "trainB": 60000, "testA": 26032, "testB": 10000},
        digits=("svhn", "mnist"),
    ),
    "toymaps": Recipe(
        about="A: aerial photos, B: street maps of invented towns, drawn by unit",
        terms="none",
    ),
    "toymaps_paired": Recipe(
        about="the toy maps with the same towns in trainA and trainB, for methods that need pairs",
        terms="none",
        paired=True,
    ),
}


def how_to_get(root: str | None) -> str:
    """The command that gets the data set of a missing folder `…/NAME`, or nothing for a name that no recipe has."""
    name = "" if root is None or Path(root).expanduser().exists() else Path(root).name
    output = "" if Path(str(root)) == Path("datasets") / name else f" --output {shlex.quote(str(root))}"
    return f"`unit data {name}{output}` gets it" if name in RECIPES else ""


def has_pairs(root: str | None) -> bool:
    """Whether the folder `…/NAME` is, by its name, a data set whose training images are pairs."""
    recipe = None if root is None else RECIPES.get(Path(root).name)
    return recipe is not None and recipe.paired
