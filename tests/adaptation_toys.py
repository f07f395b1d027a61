"""What tests of domain adaptation share: a folder whose images lie in classes, batches of noise, and small networks."""

from pathlib import Path
from typing import Any

import torch
from digit_toys import write_mnist
from torch import nn

from unit.config import from_sections
from unit.config.data import LabeledDomainConfig
from unit.data.batches import Shard
from unit.data.domain import domain_of_array
from unit.data.images import write_image
from unit.data.labeled_domains import LabeledBatch, LabeledBatches
from unit.methods.adaptation import Adaptation, AdaptationConfig

SIDE = 16
CLASSES = ("cat", "dog", "owl")
ALONE = {"gan": 0, "classify_translated": 0, "kl": 0, "reconstruction": 0, "cycle": 0, "features": 0}
"""The loss section of a classifier of the source alone."""


def write_classes(root: Path, *, train: int = 7, test: int = 4, side: int = 24) -> Path:
    """trainA, trainB, testA and testB; image n of a folder is n everywhere, of class n mod 3."""
    for folder, count in (("trainA", train), ("trainB", train - 1), ("testA", test), ("testB", test + 1)):
        for number in range(count):
            image = torch.full((1, side, side), number, dtype=torch.uint8)
            place = root / folder / CLASSES[number % 3]
            place.mkdir(parents=True, exist_ok=True)
            write_image(place / f"{number}.png", image)
    return root


def write_svhn(folder: Path, *, train: int = 12, test: int = 10) -> Path:
    """SVHN's two files, of noise; labels 1 to 10 in turn."""
    from scipy.io import savemat

    folder.mkdir(parents=True, exist_ok=True)
    for split, count in (("train", train), ("test", test)):
        numbers = torch.Generator().manual_seed(count)
        x = torch.randint(0, 256, (32, 32, 3, count), generator=numbers).to(torch.uint8).numpy()
        savemat(folder / f"{split}_32x32.mat", {"X": x, "y": (torch.arange(count) % 10 + 1)[:, None].numpy()})
    return folder


def svhn_and_mnist(root: Path) -> Path:
    """A folder with both sets' files, tiny."""
    write_mnist(root / "mnist", train=20, test=20)
    return write_svhn(root / "svhn").parent


def batches_of(config: LabeledDomainConfig | None = None, *, count: int = 6) -> LabeledBatches:
    """Domains of a few gray images of one brightness, its number, and of class number mod 3."""
    config = config or LabeledDomainConfig(size=SIDE, channels=1, flip=False)
    domains = []
    for total in (count, count - 1):
        number = torch.arange(total)
        images = number.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, SIDE, SIDE)
        domains.append(domain_of_array(images, number % 3))
    return LabeledBatches(*domains, config, Shard(7, 4))


def config_of(**keys: dict[str, Any]) -> AdaptationConfig:
    """A config of small networks; `keys` are sections."""
    sections: dict[str, dict[str, Any]] = {
        "data": {"size": SIDE, "channels": 1, "flip": False},
        "model": {"width": 2, "blocks": 2, "shared_blocks": 1},
        "discriminator": {"width": 4, "layers": 2, "shared_layers": 1, "kernel": 3},
        "train": {"batch_size": 4},
    }
    for name, values in keys.items():
        sections[name] = sections.get(name, {}) | values
    config = from_sections({"method": "adaptation", **sections}, "the test")
    assert isinstance(config, AdaptationConfig)
    return config


def method_of(**keys: dict[str, Any]) -> Adaptation:
    """In float64, with weights large enough for every term to count."""
    config = config_of(**keys)
    torch.manual_seed(0)
    method = Adaptation(config, batches_of(config.data))
    for network in (method.model, method.discriminators):
        network.double()
        for parameter in network.parameters():
            if parameter.ndim > 1:
                nn.init.kaiming_normal_(parameter)
    return method


def labeled_batch(count: int = 4, *, step: int = 3) -> LabeledBatch:
    """Noise in float64 with labels of three classes."""
    numbers = torch.Generator().manual_seed(1)
    x_a, x_b = (2 * torch.rand(count, 1, SIDE, SIDE, generator=numbers, dtype=torch.float64) - 1 for _ in "ab")
    return LabeledBatch(x_a, x_b, step, range(count), 7, torch.arange(count) * 2 % 3)
