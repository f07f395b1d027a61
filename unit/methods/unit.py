"""UNIT: two VAEs that share their high-level layers, and a discriminator for each domain.

Liu, Breuel, Kautz: Unsupervised Image-to-Image Translation Networks, NIPS 2017 (arXiv 1703.00848).

Notation: domains a and b. x_a is an image of a, mu_a the mean of its code's posterior, x_aa its reconstruction, x_ab
its translation to b, mu_ab the code of that translation and x_aba the translation brought back; likewise with a and b
exchanged. λ0 … λ4 are the paper's weights. L1 and μ² are averaged over all elements, which is what the λ are for.
"""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss

from unit import draws
from unit.config import ConfigError
from unit.config.unit import ModelConfig, UnitConfig
from unit.core.autoencoder import Autoencoder
from unit.core.posterior import UnitGaussian, mean_square
from unit.data.batches import Batches, Share
from unit.data.folders import Batch, UnpairedBatches, open_folders
from unit.data.images import to_float, to_uint8
from unit.losses import discriminator_loss, fooling_loss
from unit.methods.method import Grid, Method, Phase, detached, sum_of
from unit.networks.blocks import both, initialize, residual_blocks
from unit.networks.discriminator import Discriminators
from unit.networks.encoder import Encoder, encoder_private
from unit.networks.generator import Generator, generator_private
from unit.perceptual import PerceptualDistance

Direction = Literal["a2b", "b2a"]
VAE = Autoencoder[Encoder, Generator]

SAMPLES = 4
"""Images of each domain in a sample grid."""


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
    """All that one pass through both VAEs gives: images (B, C, H, W) in [-1, 1], code means (B, c, h, w)."""

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


class Translator(nn.Module):
    """The two VAEs. With `config.shared_blocks` > 0 the encoders' last residual blocks are one module, and so are the
    generators' first ones."""

    def __init__(self, config: ModelConfig, *, channels: Literal[1, 3]) -> None:
        super().__init__()
        self.config = config
        self.channels: Literal[1, 3] = channels
        code = config.width << config.downsamplings
        shared = config.shared_blocks
        high_e = residual_blocks(shared, code, padding=config.padding)
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
            return Autoencoder(Encoder(encoder, high_e), Generator(high_g, generator))

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

    def encode(self, x_a: Tensor, x_b: Tensor) -> tuple[UnitGaussian, UnitGaussian]:
        """q_a(z|x_a) and q_b(z|x_b); the shared layers run once."""
        e_a, e_b = self.a.encoder, self.b.encoder
        mu_a, mu_b = both(e_a.shared, e_a.private(x_a), e_b.private(x_b))
        return UnitGaussian(mu_a), UnitGaussian(mu_b)

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
        if not (streams.cycle_code or streams.cycle):
            return out
        q_ba, q_ab = self.encode(x_ba, x_ab)
        out = out._replace(mu_ab=q_ab.mu, mu_ba=q_ba.mu)
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


class Unit(Method[Batch]):
    """The two players: the translator (E and G) and the discriminators (D)."""

    def __init__(self, config: UnitConfig) -> None:
        model, loss, channels = config.model, config.loss, config.data.channels
        self.config = config
        self.loss = loss
        self.translator = self.model = Translator(model, channels=channels)
        self.discriminators = Discriminators(
            channels, padding=model.padding, init=model.init, **asdict(config.discriminator)
        )
        self.networks = {"discriminators": self.discriminators, "translator": self.translator}
        if not loss.gan:
            del self.networks["discriminators"]
        self.regularized = model.regularizer == "kl"
        self.streams = Streams(
            reconstruction=loss.reconstruction > 0,
            cycle_code=self.regularized and loss.cycle_kl > 0,
            cycle=loss.cycle > 0,
        )
        self.perceptual = PerceptualDistance() if loss.perceptual else None

    def to(self, device: torch.device) -> None:
        if self.perceptual is not None:
            self.perceptual.to(device)

    def open(self, share: Share) -> UnpairedBatches:
        self.check_size(self.config.data.size)
        return open_folders(self.config.data, share)

    def check_size(self, size: int) -> None:
        """Raise ConfigError unless the networks can take images of `size` × `size`; nothing is computed."""
        x = torch.empty(1, self.translator.channels, size, size, device="meta")
        try:
            for network in (self.translator, self.discriminators, self.perceptual):
                if network is not None:
                    copy.deepcopy(network).to("meta")(x, x)
        except (RuntimeError, ValueError) as error:
            raise ConfigError(f"data.size: {size} is too small for these networks ({error})") from error

    @torch.no_grad()
    def samples(self, model: nn.Module, batches: Batches[Any, Batch], device: torch.device) -> Grid:
        """Each row shows x_a, x_aa, x_ab, x_aba and then x_b, x_bb, x_ba, x_bab: an image, its reconstruction, its
        translation and the translation brought back."""
        assert isinstance(model, Translator) and isinstance(batches, UnpairedBatches)
        x_a, x_b = (to_float(x).to(device) for x in batches.centres(SAMPLES))
        out = model(x_a, x_b)
        columns = [x_a, out.x_aa, out.x_ab, out.x_aba, x_b, out.x_bb, out.x_ba, out.x_bab]
        return Grid(to_uint8(torch.stack([column.float() for column in columns], dim=1).flatten(0, 1)), len(columns))

    def noise(self, batch: Batch) -> Noise:
        """The step's latent noise, a function of (seed, code, step, position)."""
        shape = self.translator.code_shape(batch.x_a)
        return Noise(
            *(
                draws.normals(
                    shape,
                    batch.seed,
                    "latent",
                    code,
                    batch.step,
                    positions=batch.positions,
                    device=batch.x_a.device,
                )
                for code in Noise._fields
            )
        )

    def phases(self, wrapped: Mapping[str, nn.Module], batch: Batch, *, recompute: bool) -> Iterator[Phase]:
        """One D step on the detached translations, then one E+G step."""
        noise = self.noise(batch)
        if self.loss.gan:
            with torch.set_grad_enabled(not recompute):
                streams = TRANSLATIONS_ALONE if recompute else self.streams
                out = wrapped["translator"](batch.x_a, batch.x_b, noise, streams)
            self.discriminators.requires_grad_(True)
            yield self.discriminator_phase(wrapped["discriminators"], batch, out)
        if recompute or not self.loss.gan:
            out = wrapped["translator"](batch.x_a, batch.x_b, noise, self.streams)
        self.discriminators.requires_grad_(False)
        yield self.translator_phase(batch, out)

    def discriminator_phase(self, discriminators: nn.Module, batch: Batch, out: Translations) -> Phase:
        """−GAN of both domains, times λ0: real images against translations, judged in one pass."""
        real_fake_a = torch.cat([batch.x_a, out.x_ba.detach()])
        real_fake_b = torch.cat([batch.x_b, out.x_ab.detach()])
        logits_a, logits_b = discriminators(real_fake_a, real_fake_b)
        n_a, n_b = len(batch.x_a), len(batch.x_b)
        kind = self.loss.gan_kind
        terms = {
            "discriminator_a": discriminator_loss([y[:n_a] for y in logits_a], [y[n_a:] for y in logits_a], kind),
            "discriminator_b": discriminator_loss([y[:n_b] for y in logits_b], [y[n_b:] for y in logits_b], kind),
        }
        return Phase("discriminators", self.loss.gan * sum_of(terms), detached(terms))

    def translator_phase(self, batch: Batch, out: Translations) -> Phase:
        """VAE + GAN + CC of both domains, through discriminators that stand still."""
        weighted = list(self.translator_terms(batch, out))
        total = torch.stack([weight * sum_of(terms) for weight, terms in weighted]).sum()
        return Phase("translator", total, detached({k: v for _, terms in weighted for k, v in terms.items()}))

    def translator_terms(self, batch: Batch, out: Translations) -> Iterator[tuple[float, dict[str, Tensor]]]:
        """The objective's terms with their weights; those of weight 0 are not computed."""
        loss = self.loss
        if loss.gan:
            logits_a, logits_b = self.discriminators(out.x_ba, out.x_ab)
            kind = loss.gan_kind
            yield loss.gan, {"gan_a": fooling_loss(logits_a, kind), "gan_b": fooling_loss(logits_b, kind)}
        if self.regularized and loss.kl + loss.cycle_kl:
            # CC holds KL(q(z|x)) too, so the weight of the codes of real images is λ1 + λ3.
            yield loss.kl + loss.cycle_kl, {"kl_a": mean_square(out.mu_a), "kl_b": mean_square(out.mu_b)}
        if out.x_aa is not None and out.x_bb is not None:
            yield (
                loss.reconstruction,
                {
                    "reconstruction_a": l1_loss(out.x_aa, batch.x_a),
                    "reconstruction_b": l1_loss(out.x_bb, batch.x_b),
                },
            )
        if self.streams.cycle_code and out.mu_ab is not None and out.mu_ba is not None:
            yield loss.cycle_kl, {"cycle_kl_a": mean_square(out.mu_ab), "cycle_kl_b": mean_square(out.mu_ba)}
        if out.x_aba is not None and out.x_bab is not None:
            yield loss.cycle, {"cycle_a": l1_loss(out.x_aba, batch.x_a), "cycle_b": l1_loss(out.x_bab, batch.x_b)}
        if self.perceptual is not None:
            yield (
                loss.perceptual,
                {
                    "perceptual_a": self.perceptual(batch.x_a, out.x_ab),
                    "perceptual_b": self.perceptual(batch.x_b, out.x_ba),
                },
            )
