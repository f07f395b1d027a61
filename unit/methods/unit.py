"""UNIT: two VAEs that share their high-level layers, and a discriminator for each domain.

Liu, Breuel, Kautz: Unsupervised Image-to-Image Translation Networks, NIPS 2017 (arXiv 1703.00848).

Notation: domains a and b. x_a is an image of a, mu_a the mean of its code's posterior, x_aa its reconstruction, x_ab
its translation to b, mu_ab the code of that translation and x_aba the translation brought back; likewise with a and b
exchanged. λ0 … λ4 are the paper's weights. L1 and μ² are averaged over all elements, which is what the λ are for.
"""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss

from unit import draws
from unit.config import ConfigError
from unit.config.unit import LossConfig, UnitConfig
from unit.core.posterior import Gaussian, mean_divergence, mean_square
from unit.core.regularizer import RegularizerKind, mmd
from unit.data.batches import Batches, Share
from unit.data.folders import Batch, UnpairedBatches, open_folders
from unit.data.images import to_float, to_uint8
from unit.losses import discriminator_loss, fooling_loss
from unit.methods.method import Grid, Method, Phase, detached, sum_of
from unit.methods.translator import TRANSLATIONS_ALONE, Noise, Streams, Translations, Translator
from unit.networks.discriminator import Discriminators, code_discriminator
from unit.perceptual import PerceptualDistance

SAMPLES = 4
"""Images of each domain in a sample grid."""

PLACES = 256
"""Places of an image's code that the maximum mean discrepancy is taken over."""


class Unit(Method[Batch]):
    """The two players: the translator (E and G) and the discriminators (D); a third, the judge of codes, where they are
    regularised by an adversary."""

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
        self.judge = code_discriminator(model.width << model.downsamplings)
        if model.regularizer == "adversarial" and loss.code_gan:
            self.networks = {"judge": self.judge} | self.networks
        real, translated = weights_of_codes(model.regularizer, loss)
        self.weight_of_codes, self.weight_of_translated = real, translated
        self.streams = Streams(reconstruction=loss.reconstruction > 0, cycle_code=translated > 0, cycle=loss.cycle > 0)
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

    def noise(self, batch: Batch) -> Noise | None:
        """The step's latent noise, a function of (seed, code, step, position); none where codes are deterministic."""
        if self.translator.a.posterior == "deterministic":
            return None
        shape = self.translator.code_shape(batch.x_a)
        return Noise(*(normals(shape, batch, "latent", code) for code in Noise._fields))

    def phases(self, wrapped: Mapping[str, nn.Module], batch: Batch, *, recompute: bool) -> Iterator[Phase]:
        """One D step on the detached translations, one of the judge on the codes, then one E+G step."""
        noise = self.noise(batch)
        others = [name for name in self.networks if name != "translator"]
        if others:
            with torch.set_grad_enabled(not recompute):
                cycle_code = self.streams.cycle_code and "judge" in others
                streams = TRANSLATIONS_ALONE._replace(cycle_code=cycle_code) if recompute else self.streams
                out = wrapped["translator"](batch.x_a, batch.x_b, noise, streams)
        if "discriminators" in others:
            self.discriminators.requires_grad_(True)
            yield self.discriminator_phase(wrapped["discriminators"], batch, out)
        if "judge" in others:
            self.judge.requires_grad_(True)
            yield self.judge_phase(wrapped["judge"], batch, out)
        if recompute or not others:
            out = wrapped["translator"](batch.x_a, batch.x_b, noise, self.streams)
        self.discriminators.requires_grad_(False)
        self.judge.requires_grad_(False)
        yield self.translator_phase(batch, out)

    def judge_phase(self, judge: nn.Module, batch: Batch, out: Translations) -> Phase:
        """Samples of N(0, I) against codes, place by place, in one pass."""
        codes = codes_of(out)
        mu = torch.cat(list(codes.values())).detach()
        shape = self.translator.code_shape(batch.x_a)
        real = torch.cat([normals(shape, batch, "prior", code) for code in codes])
        logits = judge(torch.cat([real, mu]))
        loss = discriminator_loss([logits[: len(real)]], [logits[len(real) :]], "bce")
        return Phase("judge", loss, {"judge": loss.detach()})

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
        if self.weight_of_codes:
            yield self.weight_of_codes, self.code_terms(batch, out, ["a", "b"])
        if out.x_aa is not None and out.x_bb is not None:
            yield (
                loss.reconstruction,
                {
                    "reconstruction_a": l1_loss(out.x_aa, batch.x_a),
                    "reconstruction_b": l1_loss(out.x_bb, batch.x_b),
                },
            )
        if self.weight_of_translated:
            terms = self.code_terms(batch, out, ["ab", "ba"])
            yield self.weight_of_translated, {f"cycle_{name[:-1]}": value for name, value in terms.items()}
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

    def code_terms(self, batch: Batch, out: Translations, which: list[str]) -> dict[str, Tensor]:
        """What pulls these codes towards N(0, I), each averaged over images and places."""
        codes = {name: mu for name, mu in codes_of(out).items() if name in which}
        match self.config.model.regularizer:
            case "kl":
                return {f"kl_{name}": mean_square(mu) for name, mu in codes.items()}
            case "kl_learned":
                return {
                    f"kl_{name}": mean_divergence(Gaussian(mu, variance))
                    for (name, mu), variance in zip(codes.items(), log_variances_of(out, which), strict=True)
                }
            case "mmd":
                return {f"mmd_{name}": self.discrepancy(batch, name, mu) for name, mu in codes.items()}
            case "adversarial":
                logits = self.judge(torch.cat(list(codes.values()))).split(len(batch.x_a))
                return {f"code_gan_{name}": fooling_loss([y], "bce") for name, y in zip(codes, logits, strict=True)}
            case "none":
                return {}

    def discrepancy(self, batch: Batch, code: str, mu: Tensor) -> Tensor:
        """The maximum mean discrepancy between the codes at an image's places and N(0, I), averaged over the images.

        Of a large image PLACES are drawn. An image at a time, so that it is the same on any number of processes and
        needs no batch larger than one.
        """
        places = mu.flatten(2).transpose(1, 2)
        count = min(PLACES, places.shape[1])
        chosen = draws.permutation(places.shape[1], batch.seed, "places", batch.step)[:count].to(mu.device)
        return mmd(places[:, chosen], normals((count, mu.shape[1]), batch, "prior", code)).mean()


def codes_of(out: Translations) -> dict[str, Tensor]:
    """The codes' means that there are: of x_a, x_b and, where they were taken, of x_ab and x_ba."""
    codes = {"a": out.mu_a, "b": out.mu_b, "ab": out.mu_ab, "ba": out.mu_ba}
    return {name: mu for name, mu in codes.items() if mu is not None}


def log_variances_of(out: Translations, which: list[str]) -> list[Tensor]:
    every = {
        "a": out.log_variance_a, "b": out.log_variance_b, "ab": out.log_variance_ab, "ba": out.log_variance_ba
    }  # fmt: skip
    return [value for name in which if (value := every[name]) is not None]


def weights_of_codes(regularizer: RegularizerKind, loss: LossConfig) -> tuple[float, float]:
    """The regulariser's weights on the codes of images and of translations."""
    match regularizer:
        case "kl" | "kl_learned":
            # CC holds KL(q(z|x)) too, so the weight of the codes of real images is λ1 + λ3.
            return loss.kl + loss.cycle_kl, loss.cycle_kl
        case "mmd":
            return loss.mmd, loss.mmd
        case "adversarial":
            return loss.code_gan, loss.code_gan
        case "none":
            return 0.0, 0.0


def normals(shape: tuple[int, ...], batch: Batch, purpose: str, code: str) -> Tensor:
    """N(0, 1) numbers for a code of each image of the batch: (B, *shape)."""
    device = batch.x_a.device
    return draws.normals(shape, batch.seed, purpose, code, batch.step, positions=batch.positions, device=device)
