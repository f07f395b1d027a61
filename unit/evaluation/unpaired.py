"""Score a translator where no truth is known: would a classifier take the translations for the other domain?

A small network learns on trainA and trainB to tell the domains apart; it never sees a translation. Its accuracy on
testA and testB says how far it can be trusted, and the share of translated test images that it takes for the target
domain says whether the translations arrive. How far they keep what they show is measured by the round trip.
"""

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unit import draws
from unit.data.decoding import read_image
from unit.data.images import find_images, to_float
from unit.methods.translator import Direction, Translator
from unit.translation import carried

BATCH = 64


@dataclass(frozen=True)
class Way:
    """One direction: the shares of the source's test images, and of their translations, that the classifier takes for
    the target domain, and the mean absolute difference of the round trip, in grey levels of 255."""

    images: float
    translations: float
    round_trip: float


@dataclass(frozen=True)
class UnpairedScore:
    """Both directions; `classifier` is its accuracy on real test images of both domains."""

    classifier: float
    ways: dict[Direction, Way]

    def table(self) -> str:
        lines = [
            f"classifier's accuracy on real test images: {self.classifier:.3f}",
            "      taken for the target domain:   round trip",
            "          images  translations     (levels)",
        ]
        lines += [
            f"{name:<6}{way.images:>10.3f}{way.translations:>14.3f}{way.round_trip:>13.2f}"
            for name, way in self.ways.items()
        ]
        return "\n".join(lines)


def evaluate_unpaired(
    translator: Translator, root: Path, *, resize: int | None, size: int, seed: int = 0, epochs: int = 5
) -> UnpairedScore:
    """Train the classifier on root's training folders and judge the translations of its test folders.

    Images are scaled to a shorter side of `resize` and their centre squares of `size` are taken. Raises ValueError or
    FileNotFoundError where a folder is missing or empty, or an image smaller than `size`.
    """
    device = next(translator.parameters()).device
    sets = {
        name: centres(root / name, channels=translator.channels, resize=resize, size=size)
        for name in ("trainA", "trainB", "testA", "testB")
    }
    classifier = trained(sets["trainA"], sets["trainB"], seed=seed, epochs=epochs, device=device)

    def share_of_b(images: Tensor) -> float:
        with torch.inference_mode():
            parts = [classifier(to_float(part.to(device))) > 0 for part in torch.split(images, BATCH)]
        return float(torch.cat(parts).float().mean())

    b_in_a, b_in_b = share_of_b(sets["testA"]), share_of_b(sets["testB"])
    counts = len(sets["testA"]), len(sets["testB"])
    accuracy = ((1 - b_in_a) * counts[0] + b_in_b * counts[1]) / sum(counts)
    ways: dict[Direction, Way] = {}
    directions: tuple[Direction, Direction] = ("a2b", "b2a")
    for direction in directions:
        images = sets["testA" if direction == "a2b" else "testB"]
        there = translations(translator, images, direction, cycle=False, device=device)
        back = translations(translator, images, direction, cycle=True, device=device)
        share = share_of_b(there)
        ways[direction] = Way(
            images=b_in_a if direction == "a2b" else 1 - b_in_b,
            translations=share if direction == "a2b" else 1 - share,
            round_trip=float((back.float() - images.float()).abs().mean()),
        )
    return UnpairedScore(accuracy, ways)


def translations(
    translator: Translator, images: Tensor, direction: Direction, *, cycle: bool, device: torch.device
) -> Tensor:
    parts = [carried(translator, part.to(device), direction, cycle) for part in torch.split(images, BATCH)]
    return torch.cat(parts)


def centres(folder: Path, *, channels: Literal[1, 3], resize: int | None, size: int) -> Tensor:
    """The folder's images as uint8 (N, C, size, size)."""
    crops = []
    for path in find_images(folder):
        image = read_image(path, channels=channels, resize=resize)
        top, left = ((side - size) // 2 for side in image.shape[1:])
        if min(top, left) < 0:
            raise ValueError(f"{path}: {image.shape[2]}×{image.shape[1]} pixels, smaller than the crop of {size}")
        crops.append(image[:, top : top + size, left : left + size])
    if not crops:
        raise ValueError(f"{folder}: no images in it")
    return torch.stack(crops)


def trained(a: Tensor, b: Tensor, *, seed: int, epochs: int, device: torch.device) -> nn.Module:
    """A classifier of uint8 images (N, C, H, W): logits (N,), above 0 for domain b."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        widths = (a.shape[1], 32, 64, 128, 128)
        layers = [
            layer
            for n_in, n_out in itertools.pairwise(widths)
            for layer in (nn.Conv2d(n_in, n_out, 3, 2, 1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU())
        ]
        pool = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], 1), nn.Flatten(0)]
        classifier = nn.Sequential(*layers, *pool).to(device)
    images, labels = torch.cat([a, b]), torch.cat([torch.zeros(len(a)), torch.ones(len(b))])
    optimizer = torch.optim.Adam(classifier.parameters(), 1e-3)
    for epoch in range(epochs):
        for rows in draws.permutation(len(images), seed, "classifier", epoch).chunk(-(-len(images) // BATCH)):
            x = to_float(images[rows].to(device))
            x = x.flip(-1) if epoch % 2 else x
            loss = F.binary_cross_entropy_with_logits(classifier(x), labels[rows].to(device))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return classifier.eval()
