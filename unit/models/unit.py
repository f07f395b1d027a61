"""UNIT's translator: two VAEs that share their high-level layers, and all that one pass through them gives.

Liu, Breuel, Kautz 2017, section 3 and appendix A. Notation: q_a is the posterior of the code of x_a, an image of domain
a; x_aa its reconstruction, x_ab its translation to b, q_ab that translation's posterior and x_aba the translation
brought back; likewise with a and b exchanged. same_b is what the way from a to b makes of x_b, which is of b already.
"""

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from unit.config.base import ConfigError, at_least, fraction, within
from unit.core.autoencoder import Autoencoder
from unit.core.posterior import Posterior, PosteriorKind, build_posterior
from unit.models.base import Direction, ImageTranslator, TranslatedImages
from unit.networks.blocks import Init, Norm, Padding, Upsampling, initialize, residual_blocks, run_shared
from unit.networks.encoder import Encoder, WithVariance, encoder_private
from unit.networks.generator import Generator, generator_private

VAE = Autoencoder[Encoder, Generator]
RegularizerKind = Literal["kl", "kl_learned", "mmd", "adversarial", "none"]

POSTERIORS: dict[RegularizerKind, PosteriorKind] = {
    "kl": "unit", "kl_learned": "gaussian", "mmd": "deterministic", "adversarial": "deterministic",
    "none": "deterministic",
}  # fmt: skip


@dataclass(frozen=True)
class UnitModelConfig:
    """The two VAEs; the defaults are the paper's."""

    width: int = 64
    """channels of the first layer; each down-sampling doubles them"""
    downsamplings: int = 2
    """convolutions of stride 2 in an encoder"""
    blocks: int = 4
    """residual blocks in an encoder, and as many in a generator"""
    generator_blocks: int | None = None
    """residual blocks in a generator, where they are not as many (0: none, as in CycleGAN)"""
    shared_blocks: int = 1
    """how many of them the two domains share: an encoder's last ones, a generator's first ones (0: none)"""
    regularizer: RegularizerKind = "kl"
    """what pulls the codes towards N(0, I): kl, the KL divergence with unit variance (the paper's); kl_learned, with a
    variance that the encoder learns; mmd or adversarial, of codes without noise; or none"""
    down_kernel: int = 3
    """kernel size of the down-sampling convolutions"""
    up_kernel: int = 3
    """kernel size of the up-sampling convolutions"""
    last_kernel: int = 1
    """kernel size of the last convolution"""
    upsampling: Upsampling = "transposed"
    """transposed convolution, or resize: nearest ×2 and a convolution, which makes no checkerboard"""
    encoder_norm: Norm = "none"
    """norm after each convolution of an encoder outside its residual blocks"""
    generator_norm: Norm = "none"
    """norm after each up-sampling convolution of a generator"""
    slope: float = 0.01
    """LeakyReLU's slope (0 is ReLU)"""
    padding: Padding = "zeros"
    """what lies beyond the border"""
    down_padding: Padding | None = None
    """the same for convolutions of stride 2 (null: as padding says)"""
    bias: Literal["auto", "always"] = "auto"
    """biases of convolutions: auto, where no instance norm follows, which would subtract them; or always"""
    dropout: float = 0.0
    """probability with which each number that a residual block adds is dropped in training (the release's street
    scenes: 0.5)"""
    init: Init = "normal"
    """weights from N(0, 0.02²), Kaiming's, or Xavier's normal distribution times 0.02"""
    same_start: bool = False
    """both domains' own layers begin with the same weights"""

    def __post_init__(self) -> None:
        within("model.width", self.width, 1, 4096)
        within("model.downsamplings", self.downsamplings, 0, 10)
        within("model.blocks", self.blocks, 1, 100)
        at_least("model.slope", self.slope, 0)
        within("model.shared_blocks", self.shared_blocks, 0, self.blocks)
        within("model.generator_blocks", self.blocks_of_generator, 0, 100)
        fraction("model.dropout", self.dropout)
        within("model.down_kernel", self.down_kernel, 1, 9)
        within("model.up_kernel", self.up_kernel, 1, 9)
        within("model.last_kernel", self.last_kernel, 1, 9)
        if self.last_kernel % 2 == 0 or (self.upsampling == "resize" and self.up_kernel % 2 == 0):
            raise ConfigError(
                "model.last_kernel, and model.up_kernel with upsampling resize: expected odd numbers, got "
                f"{self.last_kernel} and {self.up_kernel}"
            )

    @property
    def blocks_of_generator(self) -> int:
        """Residual blocks in a generator."""
        return self.blocks if self.generator_blocks is None else self.generator_blocks

    @property
    def stride(self) -> int:
        """Sides of images are multiples of this."""
        return 1 << self.downsamplings

    @property
    def code_channels(self) -> int:
        return self.width << self.downsamplings


@dataclass(frozen=True)
class UnitTranslatorConfig:
    """What a UNIT translator is built from."""

    images: TranslatedImages = field(default_factory=TranslatedImages)
    model: UnitModelConfig = field(default_factory=UnitModelConfig)

    def __post_init__(self) -> None:
        a, b = self.images.channels_a, self.images.channels_b
        if self.model.same_start and a != b:
            raise ConfigError(f"model.same_start: expected false for domains of {a} and {b} channels, got true")


class Noise(NamedTuple):
    """ε ~ N(0, I) for the four codes of a step, each of the code's shape: of x_a, x_b, x_ab and x_ba."""

    a: Tensor
    b: Tensor
    ab: Tensor
    ba: Tensor


class Streams(NamedTuple):
    """What is wanted beside the translations: a loss of weight 0 is not computed, nor what only it needs."""

    reconstruction: bool = True
    cycle_code: bool = True
    cycle: bool = True
    identity: bool = False


ALL_STREAMS = Streams()
TRANSLATIONS_ALONE = Streams(reconstruction=False, cycle_code=False, cycle=False)


class Translations(NamedTuple):
    """All that one pass through both VAEs gives: posteriors of codes (B, c, h, w), images (B, C, H, W) in [-1, 1]."""

    q_a: Posterior
    q_b: Posterior
    x_ab: Tensor
    x_ba: Tensor
    x_aa: Tensor | None = None
    x_bb: Tensor | None = None
    q_ab: Posterior | None = None
    q_ba: Posterior | None = None
    x_aba: Tensor | None = None
    x_bab: Tensor | None = None
    same_a: Tensor | None = None
    same_b: Tensor | None = None

    @property
    def codes(self) -> dict[str, Posterior]:
        """The posteriors that there are: of x_a, x_b and, where they were computed, of x_ab and x_ba."""
        codes = {"a": self.q_a, "b": self.q_b, "ab": self.q_ab, "ba": self.q_ba}
        return {name: q for name, q in codes.items() if q is not None}


class UnitTranslator(ImageTranslator, name="unit"):
    """The two VAEs. With `config.model.shared_blocks` > 0 the encoders' last residual blocks are one module, and so are
    the generators' first ones."""

    Config = UnitTranslatorConfig
    config: UnitTranslatorConfig

    def __init__(self, config: UnitTranslatorConfig) -> None:
        super().__init__()
        self.config, self.images = config, config.images
        model = config.model
        code, shared = model.code_channels, model.shared_blocks
        posterior = POSTERIORS[model.regularizer]
        variance = [WithVariance(code)] if posterior == "gaussian" and shared else []
        shared_g = min(shared, model.blocks_of_generator)
        more: Any = {
            "padding": model.padding,
            "bias": True if model.bias == "always" else None,
            "dropout": model.dropout,
        }
        high_e = torch.nn.Sequential(*residual_blocks(shared, code, **more), *variance)
        high_g = residual_blocks(shared_g, code, **more)

        def vae(channels: int) -> VAE:
            encoder = encoder_private(
                channels,
                width=model.width,
                downsamplings=model.downsamplings,
                blocks=model.blocks - shared,
                kernel=model.down_kernel,
                norm=model.encoder_norm,
                slope=model.slope,
                down_padding=model.down_padding,
                **more,
            )
            generator = generator_private(
                channels,
                width=model.width,
                upsamplings=model.downsamplings,
                blocks=model.blocks_of_generator - shared_g,
                upsampling=model.upsampling,
                kernel=model.up_kernel,
                last_kernel=model.last_kernel,
                norm=model.generator_norm,
                slope=model.slope,
                **more,
            )
            if posterior == "gaussian" and not shared:
                encoder.append(WithVariance(code))
            return Autoencoder(Encoder(encoder, high_e), Generator(high_g, generator), posterior=posterior)

        self.a = vae(config.images.channels_a)
        self.b = vae(config.images.channels_b)
        initialize(self, model.init)
        if model.same_start:
            self.b.load_state_dict(self.a.state_dict())

    @property
    def stride(self) -> int:
        return self.config.model.stride

    @property
    def floats_per_pixel(self) -> float:
        """As measured: four feature maps of the images' size, or seven where the generator resizes, and the images."""
        maps = 4 if self.config.model.upsampling == "transposed" else 7
        return maps * self.config.model.width + 10

    def code_shape(self, x: Tensor) -> tuple[int, int, int]:
        """(c, h, w) of one image's code."""
        return self.config.model.code_channels, x.shape[2] // self.stride, x.shape[3] // self.stride

    def code(self, x: Tensor, domain: Literal["a", "b"]) -> Tensor:
        """The mean of the code of images of a domain: float (B, C, H, W) in [-1, 1] → (B, c, h, w)."""
        vae = {"a": self.a, "b": self.b}[domain]
        return vae.encode(x).mu

    def encode(self, x_a: Tensor, x_b: Tensor) -> tuple[Posterior, Posterior]:
        """q_a(z|x_a) and q_b(z|x_b); the shared layers run once."""
        e_a, e_b = self.a.encoder, self.b.encoder
        h_a, h_b = run_shared(e_a.shared, e_a.private(x_a), e_b.private(x_b))
        return build_posterior(h_a, self.a.posterior), build_posterior(h_b, self.b.posterior)

    def forward(
        self, x_a: Tensor, x_b: Tensor, noise: Noise | None = None, streams: Streams = ALL_STREAMS
    ) -> Translations:
        """Each image encoded once, each translation made once, the shared layers run on both domains' batches at once.

        Without noise every code is its posterior's mean (inference).
        """
        n_a, n_b = len(x_a), len(x_b)
        eps_a, eps_b, eps_ab, eps_ba = noise or (None, None, None, None)
        q_a, q_b = self.encode(x_a, x_b)
        h = self.a.decoder.shared(torch.cat([q_a.sample(eps_a), q_b.sample(eps_b)]))
        x_aa = x_bb = q_ab = q_ba = x_aba = x_bab = same_a = same_b = None
        if streams.reconstruction:
            x_aa, x_ba = self.a.decoder.private(h).split([n_a, n_b])
            x_ab, x_bb = self.b.decoder.private(h).split([n_a, n_b])
        else:
            x_ba = self.a.decoder.private(h[n_a:])
            x_ab = self.b.decoder.private(h[:n_a])
        if streams.identity:
            same_a, same_b = self.identity(x_a, x_b)
        if streams.cycle_code or streams.cycle:
            q_ba, q_ab = self.encode(x_ba, x_ab)
            if streams.cycle:
                h = self.a.decoder.shared(torch.cat([q_ab.sample(eps_ab), q_ba.sample(eps_ba)]))
                x_aba, x_bab = self.a.decoder.private(h[:n_a]), self.b.decoder.private(h[n_a:])
        # Built once: torch.compile does not follow a named tuple's _replace.
        return Translations(q_a, q_b, x_ab, x_ba, x_aa, x_bb, q_ab, q_ba, x_aba, x_bab, same_a, same_b)

    def identity(self, x_a: Tensor, x_b: Tensor) -> tuple[Tensor, Tensor]:
        """Each image through the way that leads to its own domain: G_a(E_b(x_a)) and G_b(E_a(x_b)), without noise."""
        h_a, h_b = run_shared(self.a.encoder.shared, self.b.encoder.private(x_a), self.a.encoder.private(x_b))
        z_a, z_b = (build_posterior(h, self.a.posterior).mu for h in (h_a, h_b))
        h_a, h_b = run_shared(self.a.decoder.shared, z_a, z_b)
        return self.a.decoder.private(h_a), self.b.decoder.private(h_b)

    def _translate(self, x: Tensor, direction: Direction) -> Tensor:
        source, target = (self.a, self.b) if direction == "a2b" else (self.b, self.a)
        return target.decode(source.encode(x).sample(None))
