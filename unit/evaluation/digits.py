"""The figures of an autoencoder of digits on images that it has not seen: each model's own, as its paper reports them.

Figures are averages over the images: in nats an image, or shares. Draws have fixed keys, so that they are the same
each time.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from unit import draws
from unit.config.autoencoders import JudgedConfig
from unit.core.likelihood import Bernoulli, entropy
from unit.core.posterior import Gaussian
from unit.core.regularizer import mmd
from unit.data.digit_batches import CLASSES
from unit.data.digits import Digits
from unit.methods.aae_semi import CategoricalModel, log_odds
from unit.methods.autoencoder import DigitModel, noisy
from unit.methods.m1 import M1Model
from unit.methods.m1m2 import M1M2Model
from unit.methods.m2 import M2Model

BATCH = 500
PARZEN_SAMPLES = 10_000
PARZEN_VALIDATION = 1000


@torch.inference_mode()
def evaluate_digits(model: nn.Module, digits: Digits, seen: Digits) -> dict[str, float]:
    """The model's figures on `digits`; the width of a Parzen window is chosen on images that the model has `seen`."""
    match model:
        case CategoricalModel():
            return category_figures(model, digits)
        case M1Model():
            return {"error": error(model, digits)} | bound_figures(model.vae, digits)
        case M2Model() | M1M2Model():
            return {"error": error(model, digits)}
        case DigitModel(config=JudgedConfig()):
            return sampled_figures(model, digits, seen)
        case DigitModel():
            return bound_figures(model, digits)
    raise ValueError(f"no figures for a {type(model).__name__}")


def table(figures: dict[str, float]) -> str:
    """A line a figure."""
    width = max(map(len, figures))
    return "\n".join(f"{name:<{width}}  {value:.4g}" for name, value in figures.items())


def parts(digits: Digits) -> Iterator[tuple[Tensor, Tensor]]:
    """Images in [0, 1] and labels, some at a time."""
    for start in range(0, len(digits), BATCH):
        part = digits.part(start, start + BATCH)
        yield part.images.float() / 255, part.labels


def bound_figures(model: DigitModel, digits: Digits) -> dict[str, float]:
    """−ELBO with one sample of z an image, its two terms, and the least that a Bernoulli loss can be."""
    sums: dict[str, float] = {}
    generator = draws.generator(0, "evaluate")

    def add(name: str, values: Tensor) -> None:
        sums[name] = sums.get(name, 0.0) + float(values.double().sum())

    for x, y in parts(digits):
        sd = model.config.noise
        seen = noisy(x, sd, torch.randn(x.shape, generator=generator)) if sd else x
        q = model.encode(seen, model.encoder_condition(y))
        assert isinstance(q, Gaussian)
        output = model.decode(q.sample(torch.randn(q.mu.shape, generator=generator)), model.decoder_condition(y))
        nll, kl = model.likelihood.nll(x, output), q.kl()
        if sd:
            clean = model.image(q.mu, y)
            add("squared error of the noisy images", (seen - x).square().flatten(1).sum(1))
            add("squared error, denoised", (clean - x).square().flatten(1).sum(1))
        add("-ELBO", nll + kl)
        add("reconstruction", nll)
        add("KL", kl)
        if isinstance(model.likelihood, Bernoulli):
            add("entropy of the images", entropy(x))
    return {name: total / len(digits) for name, total in sums.items()}


def error(model: M1Model | M2Model | M1M2Model, digits: Digits) -> float:
    """The share of images whose digit is named wrongly."""
    wrong = sum(int((model.classify(x).argmax(1) != y).sum()) for x, y in parts(digits))
    return wrong / len(digits)


def category_figures(model: CategoricalModel, digits: Digits) -> dict[str, float]:
    """The error where categories are digits; or where a cluster is named after the digit of the image that is surest to
    be in it (Makhzani et al. 2016, section 6). And the squared error of the reconstruction."""
    logits, squared = [], 0.0
    for x, _ in parts(digits):
        code = model.code(x)
        logits.append(code.logits)
        squared += float((model.image(code.y, code.z) - x).square().sum())
    sure = log_odds(torch.cat(logits))
    names = torch.arange(CLASSES) if model.supervised else digits.labels[sure.argmax(0)]
    wrong = float((names[sure.argmax(1)] != digits.labels).float().mean())
    figures = {"error": wrong, "squared error": squared / len(digits)}
    return figures if model.supervised else figures | {"clusters in use": float(len(set(sure.argmax(1).tolist())))}


def sampled_figures(model: DigitModel, digits: Digits, seen: Digits) -> dict[str, float]:
    """The squared error of the reconstruction, how far the codes are from the prior, and the log-likelihood of a Parzen
    window around images of the prior's codes."""
    codes, squared = [], 0.0
    for x, y in parts(digits):
        z = model.code(x, y)
        codes.append(z)
        squared += float((model.image(z, y) - x).square().sum())
    z = torch.cat(codes)[:2000]
    prior = model.prior.sample(len(z), draws.generator(0, "evaluate prior"))
    again = model.prior.sample(len(z), draws.generator(1, "evaluate prior"))
    sd = float(prior.std())
    figures = {
        "squared error": squared / len(digits),
        "MMD of codes and prior": float(mmd(z, prior, sd=sd)),
        "MMD of the prior and itself": float(mmd(again, prior, sd=sd)),
    }
    if model.labels_in != "none":
        return figures
    likelihood, width = parzen(model, digits, seen)
    return figures | {"Parzen log-likelihood": likelihood, "width of its window": width}


def parzen(model: DigitModel, digits: Digits, seen: Digits) -> tuple[float, float]:
    """log p(x) under a Gaussian Parzen window around 10,000 images of the prior's codes, averaged over the images, and
    the window's width, which is the best for a few of the images that the model has seen (Goodfellow et al. 2014)."""
    z = model.prior.sample(PARZEN_SAMPLES, draws.generator(0, "parzen"))
    samples = torch.cat([model.image(part).flatten(1) for part in torch.split(z, BATCH)])
    tried = [0.1 + 0.01 * step for step in range(16)]
    some = seen.part(max(0, len(seen) - PARZEN_VALIDATION), len(seen))
    best = max(tried, key=lambda width: window(samples, some, width))
    return window(samples, digits, best), best


def window(samples: Tensor, digits: Digits, width: float) -> float:
    """log p(x) in nats under equal Gaussians of standard deviation `width` around the samples (N, n), averaged."""
    total = 0.0
    for x, _ in parts(digits):
        distance = torch.cdist(x.flatten(1), samples).square()
        total += float(torch.logsumexp(-distance / (2 * width**2), dim=1).double().sum())
    n = samples.shape[1]
    return total / len(digits) - math.log(len(samples)) - n * math.log(width * math.sqrt(2 * math.pi))
