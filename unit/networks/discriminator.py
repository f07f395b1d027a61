"""Patch discriminators: is each patch of an image real? One for each domain, optionally on several scales.

Logits are float tensors (B, 1, h, w), one number a patch; a discriminator of several scales gives one such tensor a
scale, each scale seeing the image at half the size of the one before.
"""

from torch import Tensor, nn
from torch.nn.utils import parametrizations

from unit.networks.blocks import Init, Padding, conv_block, initialize, run_shared
from unit.networks.codes import CodeDiscriminators


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


class Discriminators(nn.Module):
    """The discriminators of both domains, on `scales` scales; the last `shared_layers` layers are shared between them.

    The paper's has 5 layers of 64 to 1024, kernel 3, and one scale (appendix A); with `shared_layers` = 0 nothing is
    shared, with `layers` + 1 everything is.
    """

    def __init__(
        self,
        channels_a: int,
        channels_b: int,
        *,
        width: int = 64,
        layers: int = 5,
        kernel: int = 3,
        slope: float = 0.01,
        scales: int = 1,
        shared_layers: int = 0,
        spectral_norm: bool = False,
        padding: Padding = "zeros",
        init: Init = "normal",
    ) -> None:
        super().__init__()
        split = layers + 1 - shared_layers
        if not split and channels_a != channels_b:
            raise ValueError(
                f"{layers + 1} shared layers need images of one kind, got {channels_a} and {channels_b} channels"
            )

        def stack(first: int, last: int, channels: int) -> nn.Sequential:
            """Layers `first` to `last`, counted from 0; the one after the convolutions gives the logits."""
            widths = [channels, *(width << level for level in range(layers))]
            return nn.Sequential(
                *(
                    conv_block(widths[i], widths[i + 1], kernel=kernel, stride=2, slope=slope, padding=padding)
                    if i < layers
                    else nn.Conv2d(widths[-1], 1, 1)
                    for i in range(first, last)
                )
            )

        self.a, self.b = nn.ModuleList(), nn.ModuleList()
        for _ in range(scales):
            shared = stack(split, layers + 1, channels_a)
            self.a.append(PatchDiscriminator(stack(0, split, channels_a), shared))
            self.b.append(PatchDiscriminator(stack(0, split, channels_b), shared))
        self.halve = nn.AvgPool2d(3, 2, 1, count_include_pad=False)
        initialize(self, init)  # before the spectral norm, which hides the weights
        if spectral_norm:
            for module in [m for m in self.modules() if isinstance(m, nn.Conv2d)]:
                parametrizations.spectral_norm(module)

    def forward(self, x_a: Tensor, x_b: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Logits of x_a under domain a's discriminator and of x_b under b's, a list each, one tensor a scale."""
        logits_a, logits_b = [], []
        for scale, (d_a, d_b) in enumerate(zip(self.a, self.b, strict=True)):
            if scale:
                x_a, x_b = self.halve(x_a), self.halve(x_b)
            assert isinstance(d_a, PatchDiscriminator) and isinstance(d_b, PatchDiscriminator)
            y_a, y_b = run_shared(d_a.shared, d_a.private(x_a), d_b.private(x_b))
            logits_a.append(y_a)
            logits_b.append(y_b)
        return logits_a, logits_b


def code_discriminator(channels: int, *, width: int = 256, slope: float = 0.2) -> CodeDiscriminators:
    """Is the code at each place a sample of the prior? 1×1 convolutions: (B, c, h, w) → [logits (B, 1, h, w)]."""
    layers = nn.Sequential(
        conv_block(channels, width, kernel=1, slope=slope),
        conv_block(width, width, kernel=1, slope=slope),
        nn.Conv2d(width, 1, 1),
    )
    return CodeDiscriminators(layers)
