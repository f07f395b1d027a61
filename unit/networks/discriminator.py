"""Patch discriminators: is each patch of an image real? One for each domain, optionally on several scales.

Logits are float tensors (B, 1, h, w), one number a patch; a discriminator of several scales gives one such tensor a
scale, each scale seeing the image at half the size of the one before.
"""

from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn
from torch.nn.utils import parametrizations

from unit.networks.blocks import Init, Norm, Padding, conv_block, initialize, run_shared
from unit.networks.codes import CodeDiscriminators
from unit.networks.norms import Standardize

DiscriminatorKind = Literal["strided", "patchgan"]


class PatchDiscriminator(nn.Module):
    """`shared(private(x))`: convolutions of stride 2, then a 1×1 convolution to one logit a patch.

    (B, C, H, W) → (B, 1, ⌈H/2ⁿ⌉, ⌈W/2ⁿ⌉) for n layers of kernel 3. The `shared` part may be one object in both domains'
    discriminators.
    """

    def __init__(self, private: nn.Module, shared: nn.Module) -> None:
        super().__init__()
        self.private = private
        self.shared = shared

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.shared(self.private(x))
        return logits


@dataclass(frozen=True)
class DiscriminatorLayers:
    """The layers of a patch discriminator, counted from 0.

    `strided` (UNIT): `layers` convolutions of stride 2 that double the width, then a 1×1 convolution to the logits.
    `patchgan` (pix2pix, CycleGAN): `layers` convolutions of stride 2 and one of stride 1 that double the width up to
    8 times the first, then one of stride 1 to the logits, all of `kernel`; with 3 layers of kernel 4 a logit sees 70×70
    pixels. Every convolution but the first and the last has the norm, and a bias, except before a batch norm.
    """

    kind: DiscriminatorKind = "strided"
    width: int = 64
    layers: int = 5
    kernel: int = 3
    first_kernel: int | None = None
    slope: float = 0.01
    norm: Norm = "none"
    padding: Padding = "zeros"

    @property
    def count(self) -> int:
        """How many layers there are, with that of the logits."""
        return self.layers + (1 if self.kind == "strided" else 2)

    def layer(self, number: int, channels: int) -> nn.Module:
        """One layer, for images of so many channels."""
        most = self.layers if self.kind == "strided" else 3
        widths = [channels, *(self.width << min(level, most) for level in range(self.count - 1))]
        patchgan = self.kind == "patchgan"
        if number == self.count - 1:
            kernel = self.kernel if patchgan else 1
            padding = (kernel - 1) // 2
            return nn.Conv2d(widths[-1], 1, kernel, padding=padding, padding_mode=self.padding if padding else "zeros")
        norm = self.norm if number else "none"
        return conv_block(
            widths[number],
            widths[number + 1],
            kernel=self.first_kernel or self.kernel if number == 0 else self.kernel,
            stride=2 if number < self.layers else 1,
            norm=norm,
            slope=self.slope,
            padding=self.padding,
            bias=norm != "batch" if patchgan else None,
        )

    def stack(self, first: int, last: int, channels: int) -> nn.Sequential:
        """Layers `first` to `last`, without the last."""
        return nn.Sequential(*(self.layer(number, channels) for number in range(first, last)))


class Discriminators(nn.Module):
    """The discriminators of both domains, on `scales` scales; the last `shared_layers` layers are shared between them.

    The paper's has 5 layers of 64 to 1024, kernel 3, and one scale (appendix A); with `shared_layers` = 0 nothing is
    shared, with all of them everything is. With `standardize` they see each domain's images with mean 0 and deviation 1
    in each channel, by the statistics of those given to `measure`. `more` are the layers' options
    (`DiscriminatorLayers`).
    """

    def __init__(
        self,
        channels_a: int,
        channels_b: int,
        *,
        scales: int = 1,
        shared_layers: int = 0,
        spectral_norm: bool = False,
        standardize: bool = False,
        init: Init = "normal",
        **more: Any,
    ) -> None:
        super().__init__()
        layers = DiscriminatorLayers(**more)
        split = layers.count - shared_layers
        if not split and channels_a != channels_b:
            raise ValueError(
                f"{layers.count} shared layers need images of one kind, got {channels_a} and {channels_b} channels"
            )
        self.a, self.b = nn.ModuleList(), nn.ModuleList()
        for _ in range(scales):
            shared = layers.stack(split, layers.count, channels_a)
            self.a.append(PatchDiscriminator(layers.stack(0, split, channels_a), shared))
            self.b.append(PatchDiscriminator(layers.stack(0, split, channels_b), shared))
        self.halve = nn.AvgPool2d(3, 2, 1, count_include_pad=False)
        self.standard = nn.ModuleList(map(Standardize, [channels_a, channels_b] if standardize else []))
        finish(self, init, spectral_norm=spectral_norm)

    def measure(self, x_a: Tensor, x_b: Tensor) -> None:
        """Standardize by these images of both domains from now on."""
        for standard, x in zip(self.standard, (x_a, x_b), strict=True):
            assert isinstance(standard, Standardize)
            standard.measure(x)

    def forward(self, x_a: Tensor, x_b: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Logits of x_a under domain a's discriminator and of x_b under b's, a list each, one tensor a scale."""
        if self.standard:
            x_a, x_b = (standard(x) for standard, x in zip(self.standard, (x_a, x_b), strict=True))
        logits_a, logits_b = [], []
        for scale, (d_a, d_b) in enumerate(zip(self.a, self.b, strict=True)):
            if scale:
                x_a, x_b = self.halve(x_a), self.halve(x_b)
            assert isinstance(d_a, PatchDiscriminator) and isinstance(d_b, PatchDiscriminator)
            y_a, y_b = run_shared(d_a.shared, d_a.private(x_a), d_b.private(x_b))
            logits_a.append(y_a)
            logits_b.append(y_b)
        return logits_a, logits_b


class Discriminator(nn.Module):
    """The discriminator of one domain, on `scales` scales: (B, C, H, W) → logits (B, 1, h, w), a list, one tensor a
    scale. `more` are the layers' options (`DiscriminatorLayers`)."""

    def __init__(
        self, channels: int, *, scales: int = 1, spectral_norm: bool = False, init: Init = "normal", **more: Any
    ) -> None:
        super().__init__()
        layers = DiscriminatorLayers(**more)
        self.scales = nn.ModuleList(layers.stack(0, layers.count, channels) for _ in range(scales))
        self.halve = nn.AvgPool2d(3, 2, 1, count_include_pad=False)
        finish(self, init, spectral_norm=spectral_norm)

    def forward(self, x: Tensor) -> list[Tensor]:
        logits = []
        for scale, network in enumerate(self.scales):
            x = self.halve(x) if scale else x
            logits.append(network(x))
        return logits


def finish(network: nn.Module, init: Init, *, spectral_norm: bool) -> None:
    """Draw a discriminator's weights, then give its convolutions the spectral norm, which hides them."""
    initialize(network, init)
    if spectral_norm:
        for module in [m for m in network.modules() if isinstance(m, nn.Conv2d)]:
            parametrizations.spectral_norm(module)


def code_discriminator(channels: int, *, width: int = 256, slope: float = 0.2) -> CodeDiscriminators:
    """Is the code at each place a sample of the prior? 1×1 convolutions: (B, c, h, w) → [logits (B, 1, h, w)]."""
    layers = nn.Sequential(
        conv_block(channels, width, kernel=1, slope=slope),
        conv_block(width, width, kernel=1, slope=slope),
        nn.Conv2d(width, 1, 1),
    )
    return CodeDiscriminators(layers)
