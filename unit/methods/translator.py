"""UNIT's translator: two VAEs that share their high-level layers, and all that one pass through them gives.

Liu, Breuel, Kautz 2017, section 3 and appendix A. The notation is that of unit.py.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from unit.config.unit import ModelConfig
from unit.core.autoencoder import Autoencoder
from unit.core.posterior import Gaussian, Posterior, PosteriorKind, posterior_of
from unit.core.regularizer import RegularizerKind
from unit.networks.blocks import both, initialize, residual_blocks
from unit.networks.encoder import Encoder, WithVariance, encoder_private
from unit.networks.generator import Generator, generator_private

Direction = Literal["a2b", "b2a"]
VAE = Autoencoder[Encoder, Generator]

POSTERIORS: dict[RegularizerKind, PosteriorKind] = {
    "kl": "unit", "kl_learned": "gaussian", "mmd": "deterministic", "adversarial": "deterministic",
    "none": "deterministic",
}  # fmt: skip


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


ALL_STREAMS = Streams()
TRANSLATIONS_ALONE = Streams(reconstruction=False, cycle_code=False, cycle=False)


class Translations(NamedTuple):
    """All that one pass through both VAEs gives: images (B, C, H, W) in [-1, 1]; code means (B, c, h, w) and, where
    they are learned, the logarithms of their variances."""

    mu_a: Tensor
    mu_b: Tensor
    x_ab: Tensor
    x_ba: Tensor
    x_aa: Tensor | None = None
    x_bb: Tensor | None = None
    mu_ab: Tensor | None = None
    mu_ba: Tensor | None = None
    x_aba: Tensor | None = None
    x_bab: Tensor | None = None
    log_variance_a: Tensor | None = None
    log_variance_b: Tensor | None = None
    log_variance_ab: Tensor | None = None
    log_variance_ba: Tensor | None = None


class Translator(nn.Module):
    """The two VAEs. With `config.shared_blocks` > 0 the encoders' last residual blocks are one module, and so are the
    generators' first ones."""

    def __init__(self, config: ModelConfig, *, channels: Literal[1, 3]) -> None:
        super().__init__()
        self.config = config
        self.channels: Literal[1, 3] = channels
        code = config.width << config.downsamplings
        shared = config.shared_blocks
        posterior = POSTERIORS[config.regularizer]
        variance = [WithVariance(code)] if posterior == "gaussian" and shared else []
        high_e = nn.Sequential(*residual_blocks(shared, code, padding=config.padding), *variance)
        high_g = residual_blocks(shared, code, padding=config.padding)

        def vae() -> VAE:
            encoder = encoder_private(
                channels,
                width=config.width,
                downsamplings=config.downsamplings,
                blocks=config.blocks - shared,
                kernel=config.down_kernel,
                norm=config.encoder_norm,
                slope=config.slope,
                padding=config.padding,
            )
            generator = generator_private(
                channels,
                width=config.width,
                upsamplings=config.downsamplings,
                blocks=config.blocks - shared,
                upsampling=config.upsampling,
                kernel=config.up_kernel,
                last_kernel=config.last_kernel,
                norm=config.generator_norm,
                slope=config.slope,
                padding=config.padding,
            )
            if posterior == "gaussian" and not shared:
                encoder.append(WithVariance(code))
            return Autoencoder(Encoder(encoder, high_e), Generator(high_g, generator), posterior=posterior)

        self.a = vae()
        self.b = vae()
        initialize(self, config.init)

    @property
    def stride(self) -> int:
        """Image sides must be multiples of this."""
        return 1 << self.config.downsamplings

    def code_shape(self, x: Tensor) -> tuple[int, int, int]:
        """(c, h, w) of one image's code."""
        return self.config.width << self.config.downsamplings, x.shape[2] // self.stride, x.shape[3] // self.stride

    def encode(self, x_a: Tensor, x_b: Tensor) -> tuple[Posterior, Posterior]:
        """q_a(z|x_a) and q_b(z|x_b); the shared layers run once."""
        e_a, e_b = self.a.encoder, self.b.encoder
        h_a, h_b = both(e_a.shared, e_a.private(x_a), e_b.private(x_b))
        return posterior_of(h_a, self.a.posterior), posterior_of(h_b, self.b.posterior)

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
        x_aa = x_bb = None
        if streams.reconstruction:
            x_aa, x_ba = self.a.decoder.private(h).split([n_a, n_b])
            x_ab, x_bb = self.b.decoder.private(h).split([n_a, n_b])
        else:
            x_ba = self.a.decoder.private(h[n_a:])
            x_ab = self.b.decoder.private(h[:n_a])
        out = Translations(q_a.mu, q_b.mu, x_ab, x_ba, x_aa, x_bb)
        out = out._replace(log_variance_a=log_variance(q_a), log_variance_b=log_variance(q_b))
        if not (streams.cycle_code or streams.cycle):
            return out
        q_ba, q_ab = self.encode(x_ba, x_ab)
        out = out._replace(mu_ab=q_ab.mu, mu_ba=q_ba.mu)
        out = out._replace(log_variance_ab=log_variance(q_ab), log_variance_ba=log_variance(q_ba))
        if not streams.cycle:
            return out
        h = self.a.decoder.shared(torch.cat([q_ab.sample(eps_ab), q_ba.sample(eps_ba)]))
        return out._replace(x_aba=self.a.decoder.private(h[:n_a]), x_bab=self.b.decoder.private(h[n_a:]))

    def translate(self, x: Tensor, direction: Direction = "a2b") -> Tensor:
        """Carry images to the other domain, without latent noise: (B, C, H, W) in [-1, 1] → the same.

        H and W must be multiples of `stride`.
        """
        source, target = (self.a, self.b) if direction == "a2b" else (self.b, self.a)
        return target.decode(source.encode(x).sample(None))


def log_variance(q: Posterior) -> Tensor | None:
    return q.log_variance if isinstance(q, Gaussian) else None
