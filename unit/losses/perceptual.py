"""The domain-invariant perceptual distance: do two images show the same things, whatever their style?

VGG16's relu5_3 features are normalized image by image and channel by channel, which takes the domain's style away
(Huang et al. 2018, section 5.1, after Johnson et al. 2016); what is left is compared by mean squared error.
"""

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

RELU5_3 = 30  # how many of torchvision's VGG16 layers end with relu5_3
POOL4 = 23  # the pooling before conv5, which is left out: features at an eighth of the image's size
MIN_SIZE = 32
"""The least height and width of an image, in pixels."""


class PerceptualDistance(nn.Module):
    """Mean squared difference of instance-normalized relu5_3 features, over all elements.

    Images are float (B, C, H, W) in [-1, 1] with C of 1 or 3 and H, W of at least 32. The weights are torchvision's;
    `features` takes others in their place. Raises FileNotFoundError where the weights can't be had.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, features: nn.Module | None = None) -> None:
        super().__init__()
        self.features = (features or _vgg16_features()).requires_grad_(False).eval()
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return F.mse_loss(self._normalized(x), self._normalized(y))

    def _normalized(self, x: Tensor) -> Tensor:
        x = (x.expand(-1, 3, -1, -1) + 1) / 2
        return F.instance_norm(self.features((x - self.mean) / self.std))


def without_pool4(layers: nn.Sequential) -> nn.Sequential:
    """VGG16's layers without the pooling before conv5, as UNIT's 2018 release takes them."""
    return nn.Sequential(*(layer for number, layer in enumerate(layers) if number != POOL4))


def _vgg16_features() -> nn.Module:
    weights = torchvision.models.VGG16_Weights.IMAGENET1K_V1
    try:
        layers = torchvision.models.vgg16(weights=weights).features[:RELU5_3]
        return without_pool4(layers)
    except OSError as error:
        folder = f"{torch.hub.get_dir()}/checkpoints"
        raise FileNotFoundError(
            f"loss.perceptual needs VGG16's weights, and they could not be downloaded ({error}): put {weights.url} "
            f"into {folder}, or set loss.perceptual to 0"
        ) from error
