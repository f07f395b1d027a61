"""LPIPS: how far translations are from their truths in the layers of AlexNet, weighed as people judge (0: equal).

Zhang, Isola, Efros, Shechtman, Wang 2018, version 0.1 with AlexNet. Its weighing comes with torchmetrics; AlexNet's
weights are torchvision's.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unit.data.images import to_float
from unit.evaluation.extra import Published, library
from unit.evaluation.metric import Figures, Metric
from unit.evaluation.sets import EvaluationSet, TranslationSet
from unit.evaluation.truths import paired, unpaired

ALEXNET = Published("AlexNet", "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth")
SMALLEST = 31
"""The least side, in pixels, that passes AlexNet's convolutions and pooling."""


def load_lpips(folder: Path | None) -> nn.Module:
    """The distance of images (B, 3, H, W) in [-1, 1]: (B, 1, 1, 1)."""
    path = ALEXNET.file(folder)
    distance: Any = library("torchmetrics.functional.image.lpips")._LPIPS(net="alex", pnet_rand=True)
    state = torch.hub.load_state_dict_from_url(
        ALEXNET.address, model_dir=str(path.parent), map_location="cpu", weights_only=True
    )
    own = distance.net.state_dict()  # "slice2.3.weight" is torchvision's "features.3.weight"
    distance.net.load_state_dict({name: state[f"features.{name.partition('.')[2]}"] for name in own})
    module: nn.Module = distance.eval()
    return module


def applies(images: EvaluationSet) -> str:
    reason = unpaired(images)
    if reason or not isinstance(images, TranslationSet):
        return reason
    side = min(min(shape[1:]) for shape in images.test_b.shapes)
    return f"AlexNet takes images from {SMALLEST} pixels on, and one has a side of {side}" if side < SMALLEST else ""


def measure(images: TranslationSet) -> Figures:
    """Of both directions, beside a constant color and another image's truth."""
    device = images.translator.device
    if "lpips" not in images.kept:
        images.kept["lpips"] = load_lpips(images.weights).to(device)

    def distance(x: Tensor, y: Tensor) -> Tensor:
        a, b = (to_float(image).expand(-1, 3, -1, -1).to(device) for image in (x, y))
        found: Tensor = images.kept["lpips"](a, b)
        return found.reshape(-1).double().cpu()

    return paired(images, "LPIPS", distance)


METRIC = Metric(measure, applies, better="lower", by_name=True, folders=True)
