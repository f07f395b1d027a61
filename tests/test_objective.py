"""UNIT's objective: each term by hand, the weights, and the fast step against one that is written plainly."""

import copy
import math
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from unit import perceptual
from unit.config import ConfigError, OptimConfig
from unit.config.unit import DiscriminatorConfig, LossConfig, ModelConfig, UnitConfig
from unit.core.autoencoder import Autoencoder
from unit.core.posterior import UnitGaussian, mean_square
from unit.data.folders import Batch
from unit.losses import GanKind, discriminator_loss, fooling_loss, gan_fake, gan_fool, gan_real
from unit.methods.method import Phase
from unit.methods.translator import Noise, Streams, Translations
from unit.methods.unit import Unit
from unit.networks.discriminator import PatchDiscriminator
from unit.optim import adam
from unit.training import learn

KINDS: list[GanKind] = ["bce", "lsgan", "hinge"]
MODEL = ModelConfig(width=2, blocks=2, shared_blocks=1)
DISCRIMINATOR = DiscriminatorConfig(width=2, layers=2)
SIDE = 16


def images(count: int, seed: int) -> Tensor:
    return torch.rand(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


def batch_of(count: int = 2, *, step: int = 3, start: int = 0) -> Batch:
    return Batch(images(count, 1), images(count, 2), step, range(start, start + count), 7)


def method_of(
    loss: LossConfig | None = None, *, model: ModelConfig = MODEL, discriminator: DiscriminatorConfig = DISCRIMINATOR
) -> Unit:
    """In float64, with weights large enough for every term and gradient to count."""
    torch.manual_seed(0)
    method = Unit(
        UnitConfig(model=replace(model, init="kaiming"), discriminator=discriminator, loss=loss or LossConfig())
    )
    method.translator.double()
    method.discriminators.double()
    if method.perceptual is not None:
        method.perceptual.double()
    return method


class Judge(nn.Module):
    """Stands in for both discriminators: whatever it is shown, it gives these logits."""

    def __init__(self, logits_a: list[Tensor], logits_b: list[Tensor]) -> None:
        super().__init__()
        self.answer = (logits_a, logits_b)
        self.shown: list[tuple[Tensor, Tensor]] = []

    def forward(self, x_a: Tensor, x_b: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        self.shown.append((x_a, x_b))
        return self.answer


@pytest.fixture
def small_features(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small network in place of VGG16's features."""

    def features() -> nn.Module:
        torch.manual_seed(5)
        return nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.Conv2d(4, 4, 3))

    monkeypatch.setattr(perceptual, "_vgg16_features", features)


# The terms, each on its own.


def test_mean_square_is_twice_the_kl_divergence_per_latent_dimension() -> None:
    mu = torch.randn(3, 4, 5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    divergence = kl_divergence(Normal(mu, torch.ones_like(mu)), Normal(torch.zeros_like(mu), torch.ones_like(mu)))
    torch.testing.assert_close(mean_square(mu), 2 * divergence.sum() / mu.numel(), rtol=1e-12, atol=0)
    assert mean_square(torch.tensor([1.0, -2.0, 4.0])) == 7


def test_a_posterior_samples_mean_plus_noise_and_its_mean_without() -> None:
    posterior = UnitGaussian(torch.tensor([1.0, 2.0]))
    assert posterior.sample(torch.tensor([0.5, -1.0])).tolist() == [1.5, 1.0]
    assert posterior.sample(None) is posterior.mu


def test_an_autoencoder_decodes_what_it_encodes() -> None:
    autoencoder = Autoencoder(nn.Linear(2, 1).double(), nn.Linear(1, 2).double())
    x, eps = images(1, 0)[0, 0, :4, :2], torch.ones(4, 1, dtype=torch.float64)
    torch.testing.assert_close(autoencoder(x, eps), autoencoder.decoder(autoencoder.encoder(x) + eps))
    torch.testing.assert_close(autoencoder(x), autoencoder.decoder(autoencoder.encoder(x)))


LOGIT = math.log(3)  # σ = 3/4
BY_HAND: dict[GanKind, tuple[float, float, float]] = {
    "bce": (-math.log(3 / 4), -math.log(1 / 4), -math.log(3 / 4)),
    "lsgan": ((LOGIT - 1) ** 2, LOGIT**2, (LOGIT - 1) ** 2),
    "hinge": (0.0, 1 + LOGIT, -LOGIT),
}


@pytest.mark.parametrize("kind", KINDS)
def test_adversarial_losses_by_hand(kind: GanKind) -> None:
    logits = torch.full((2, 1, 3, 3), LOGIT, dtype=torch.float64)
    real, fake, fool = BY_HAND[kind]
    assert gan_real(logits, kind).item() == pytest.approx(real, abs=1e-12)
    assert gan_fake(logits, kind).item() == pytest.approx(fake, abs=1e-12)
    assert gan_fool(logits, kind).item() == pytest.approx(fool, abs=1e-12)


def test_hinge_stops_at_the_margin_for_the_discriminator_but_not_for_the_generator() -> None:
    sure = torch.tensor([[[[2.0, -3.0]]]])
    assert gan_real(sure, "hinge") == (0 + 4) / 2
    assert gan_fake(sure, "hinge") == (3 + 0) / 2
    assert gan_fool(sure, "hinge") == -(2 - 3) / 2


def test_bce_is_torchs_own_and_does_not_overflow() -> None:
    logits = torch.tensor([-2000.0, -1.0, 0.0, 3.0, 2000.0], dtype=torch.float64, requires_grad=True)
    for loss, target in ((gan_real, 1.0), (gan_fake, 0.0), (gan_fool, 1.0)):
        expected = F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))
        torch.testing.assert_close(loss(logits, "bce"), expected, rtol=1e-12, atol=1e-12)
        (gradient,) = torch.autograd.grad(loss(logits, "bce"), logits)
        assert gradient.isfinite().all()


def test_the_generators_bce_is_the_non_saturating_one() -> None:
    # Where the discriminator is sure, −log D pulls with the full strength of 1 a patch, log(1 − D) not at all.
    logits = torch.tensor([-30.0], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(gan_fool(logits, "bce"), logits)
    assert gradient.item() == pytest.approx(-1)


@pytest.mark.parametrize("kind", KINDS)
def test_adversarial_losses_are_means_over_patches_and_sums_over_scales(kind: GanKind) -> None:
    real = [images(2, 1)[:, :1], images(2, 2)[:, :1, :4, :4]]
    fake = [images(2, 3)[:, :1], images(2, 4)[:, :1, :4, :4]]
    judged = sum(gan_real(r, kind) + gan_fake(f, kind) for r, f in zip(real, fake, strict=True))
    torch.testing.assert_close(discriminator_loss(real, fake, kind), judged)
    torch.testing.assert_close(fooling_loss(fake, kind), gan_fool(fake[0], kind) + gan_fool(fake[1], kind))
    twice = [torch.cat([f, f]) for f in fake]
    torch.testing.assert_close(fooling_loss(twice, kind), fooling_loss(fake, kind))


def test_the_perceptual_distance_by_hand(small_features: None) -> None:
    distance = perceptual.PerceptualDistance().double()
    x, y = images(2, 1), images(2, 2)
    mean = torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64)[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64)[:, None, None]

    def content(image: Tensor) -> Tensor:
        h = distance.features(((image + 1) / 2 - mean) / std)
        variance, centre = torch.var_mean(h, dim=(2, 3), keepdim=True, correction=0)
        return (h - centre) / (variance + 1e-5).sqrt()

    torch.testing.assert_close(distance(x, y), (content(x) - content(y)).square().mean(), rtol=1e-6, atol=0)
    assert distance(x, x) == 0
    grey = images(1, 3)[:, :1]
    torch.testing.assert_close(
        distance(grey, grey * 0.5), distance(grey.repeat(1, 3, 1, 1), grey.repeat(1, 3, 1, 1) / 2)
    )


def test_the_perceptual_networks_weights_are_not_trained(small_features: None) -> None:
    method = method_of(LossConfig(perceptual=1.0))
    assert method.perceptual is not None and not method.perceptual.features.training
    assert not any(parameter.requires_grad for parameter in method.perceptual.parameters())
    trained = {id(parameter) for network in method.networks.values() for parameter in network.parameters()}
    assert not trained & {id(parameter) for parameter in method.perceptual.parameters()}


# The weighted sum, on images and codes whose every term is known.


def known(batch: Batch) -> Translations:
    """μ_a = 2, μ_b = 3, μ_ab = 5, μ_ba = 7; reconstructions off by 0.25 and 0.5, round trips by 0.75 and 1."""
    code = torch.ones(len(batch.x_a), 8, 4, 4, dtype=torch.float64)
    return Translations(
        mu_a=2 * code,
        mu_b=3 * code,
        x_ab=images(2, 11),
        x_ba=images(2, 12),
        x_aa=batch.x_a + 0.25,
        x_bb=batch.x_b - 0.5,
        mu_ab=5 * code,
        mu_ba=7 * code,
        x_aba=batch.x_a - 0.75,
        x_bab=batch.x_b + 1,
    )


def judge() -> Judge:
    """In domain a every patch has the logit ln 3, in b half of them 0 and half of them −ln 3."""
    flat = torch.full((4, 1, 2, 2), LOGIT, dtype=torch.float64)
    halves = torch.tensor([0.0, -LOGIT], dtype=torch.float64).expand(4, 1, 2, 2)
    return Judge([flat], [halves])


def judged_in_the_translators_phase() -> Judge:
    whole = judge()
    return Judge([y[:2] for y in whole.answer[0]], [y[:2] for y in whole.answer[1]])


def test_the_translators_loss_by_hand() -> None:
    loss = LossConfig(gan=10, kl=0.1, reconstruction=100, cycle_kl=0.3, cycle=50)
    method, batch = method_of(loss), batch_of()
    method.discriminators = judged_in_the_translators_phase()  # type: ignore[assignment]
    phase = method.translator_phase(batch, known(batch))
    terms = {
        "gan_a": -math.log(3 / 4),
        "gan_b": (-math.log(1 / 2) - math.log(1 / 4)) / 2,
        "kl_a": 4,
        "kl_b": 9,
        "reconstruction_a": 0.25,
        "reconstruction_b": 0.5,
        "cycle_kl_a": 25,
        "cycle_kl_b": 49,
        "cycle_a": 0.75,
        "cycle_b": 1,
    }
    assert phase.player == "translator"
    assert {name: value.item() for name, value in phase.terms.items()} == pytest.approx(terms, abs=1e-12)
    # CC has both KL(q(z|x)) and KL(q(z|x_ab)) in it: the codes of real images weigh λ1 + λ3.
    gan = 10 * (terms["gan_a"] + terms["gan_b"])
    by_hand = gan + (0.1 + 0.3) * (4 + 9) + 100 * 0.75 + 0.3 * (25 + 49) + 50 * 1.75
    assert phase.loss.item() == pytest.approx(by_hand, abs=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_the_discriminators_loss_by_hand(kind: GanKind) -> None:
    method, batch = method_of(LossConfig(gan=3, gan_kind=kind)), batch_of()
    phase = method.discriminator_phase(judge(), batch, known(batch))
    low = torch.tensor([0.0, -LOGIT], dtype=torch.float64)
    term_a = BY_HAND[kind][0] + BY_HAND[kind][1]
    term_b = (gan_real(low, kind) + gan_fake(low, kind)).item()
    if kind == "bce":
        assert term_b == pytest.approx(math.log(2) + (math.log(4) + math.log(4 / 3)) / 2)
    assert phase.player == "discriminators"
    assert {name: value.item() for name, value in phase.terms.items()} == pytest.approx(
        {"discriminator_a": term_a, "discriminator_b": term_b}, abs=1e-12
    )
    assert phase.loss.item() == pytest.approx(3 * (term_a + term_b), abs=1e-12)


def test_the_perceptual_terms_compare_an_image_with_its_own_translation(small_features: None) -> None:
    method, batch = method_of(LossConfig(gan=0, kl=0, reconstruction=1, cycle_kl=0, cycle=0, perceptual=2)), batch_of()
    out = known(batch)._replace(x_aa=batch.x_a, x_bb=batch.x_b)
    phase = method.translator_phase(batch, out)
    assert method.perceptual is not None
    a, b = method.perceptual(batch.x_a, out.x_ab), method.perceptual(batch.x_b, out.x_ba)
    torch.testing.assert_close(phase.terms["perceptual_a"], a)
    torch.testing.assert_close(phase.terms["perceptual_b"], b)
    torch.testing.assert_close(phase.loss, 2 * (a + b))


def test_logged_terms_hold_no_graph() -> None:
    for phase in steps(method_of(), batch_of(), recompute=False):
        assert phase.loss.requires_grad
        assert not any(value.requires_grad for value in phase.terms.values())


# The whole step, written plainly: each network called on each image on its own, after the paper's formulas.


def judged_plainly(scales: nn.ModuleList, x: Tensor) -> list[Tensor]:
    logits = []
    for network in scales:
        assert isinstance(network, PatchDiscriminator)
        logits.append(network.shared(network.private(x)))
        x = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
    return logits


def judged_real(logits: Tensor, kind: GanKind) -> Tensor:
    match kind:
        case "bce":
            return F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits))
        case "lsgan":
            return F.mse_loss(logits, torch.ones_like(logits))
        case "hinge":
            return torch.clamp(1 - logits, min=0).mean()


def judged_fake(logits: Tensor, kind: GanKind) -> Tensor:
    match kind:
        case "bce":
            return F.binary_cross_entropy_with_logits(logits, torch.zeros_like(logits))
        case "lsgan":
            return F.mse_loss(logits, torch.zeros_like(logits))
        case "hinge":
            return torch.clamp(1 + logits, min=0).mean()


def plain_discriminators_loss(method: Unit, batch: Batch, noise: Noise) -> Tensor:
    loss, d = method.loss, method.discriminators
    e_a, e_b = method.translator.a.encoder, method.translator.b.encoder
    g_a, g_b = method.translator.a.decoder, method.translator.b.decoder
    total = torch.zeros((), dtype=torch.float64)
    with torch.no_grad():
        x_ba, x_ab = g_a(e_b(batch.x_b) + noise.b), g_b(e_a(batch.x_a) + noise.a)
    for network, x, fake in ((d.a, batch.x_a, x_ba), (d.b, batch.x_b, x_ab)):
        for logits in judged_plainly(network, x):
            total = total + loss.gan * judged_real(logits, loss.gan_kind)
        for logits in judged_plainly(network, fake):
            total = total + loss.gan * judged_fake(logits, loss.gan_kind)
    return total


def plain_translators_loss(method: Unit, batch: Batch, noise: Noise) -> Tensor:
    loss, d = method.loss, method.discriminators
    e_a, e_b = method.translator.a.encoder, method.translator.b.encoder
    g_a, g_b = method.translator.a.decoder, method.translator.b.decoder
    total = torch.zeros((), dtype=torch.float64)
    for e_x, g_x, e_y, g_y, d_y, x, eps_x, eps_xy in (
        (e_a, g_a, e_b, g_b, d.b, batch.x_a, noise.a, noise.ab),
        (e_b, g_b, e_a, g_a, d.a, batch.x_b, noise.b, noise.ba),
    ):
        mu = e_x(x)
        x_xy = g_y(mu + eps_x)  # the translation
        for logits in judged_plainly(d_y, x_xy):
            fool = -logits.mean() if loss.gan_kind == "hinge" else judged_real(logits, loss.gan_kind)
            total = total + loss.gan * fool
        # VAE: λ1 KL(q(z|x) ‖ p) − λ2 log p(x|z)
        total = total + loss.kl * (mu**2).mean() + loss.reconstruction * (g_x(mu + eps_x) - x).abs().mean()
        # CC: λ3 KL(q(z|x) ‖ p) + λ3 KL(q(z|x_xy) ‖ p) − λ4 log p(x|z)
        mu_xy = e_y(x_xy)
        total = total + loss.cycle_kl * (mu**2).mean() + loss.cycle_kl * (mu_xy**2).mean()
        total = total + loss.cycle * (g_x(mu_xy + eps_xy) - x).abs().mean()
        if method.perceptual is not None:
            total = total + loss.perceptual * method.perceptual(x, x_xy)
    return total


def gradients(network: nn.Module) -> dict[str, Tensor]:
    assert all(parameter.grad is not None for parameter in network.parameters())
    return {
        name: parameter.grad.clone() for name, parameter in network.named_parameters() if parameter.grad is not None
    }


def descend(network: nn.Module) -> None:
    """One gradient step, so that the next phase sees another network; then no gradients."""
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.grad is not None:
                parameter.sub_(0.01 * parameter.grad)
            parameter.grad = None


def steps(method: Unit, batch: Batch, *, recompute: bool) -> Iterator[Phase]:
    for phase in method.phases(method.networks, batch, recompute=recompute):
        phase.loss.backward()
        yield phase
        descend(method.networks[phase.player])


CASES: dict[str, tuple[LossConfig, ModelConfig, DiscriminatorConfig]] = {
    "paper": (LossConfig(), MODEL, DISCRIMINATOR),
    "lsgan": (LossConfig(gan_kind="lsgan"), MODEL, replace(DISCRIMINATOR, scales=2, kernel=4)),
    "hinge": (LossConfig(gan_kind="hinge", gan=1), MODEL, replace(DISCRIMINATOR, shared_layers=2)),
    "all shared": (LossConfig(), replace(MODEL, shared_blocks=2), replace(DISCRIMINATOR, shared_layers=3)),
    "none shared": (LossConfig(), replace(MODEL, shared_blocks=0, encoder_norm="instance"), DISCRIMINATOR),
    "no reconstruction": (LossConfig(reconstruction=0), MODEL, DISCRIMINATOR),
    "no cycle": (LossConfig(cycle=0), MODEL, DISCRIMINATOR),
    "no kl": (LossConfig(kl=0), MODEL, DISCRIMINATOR),
    "no cycle kl": (LossConfig(cycle_kl=0), MODEL, DISCRIMINATOR),
    "resize": (
        LossConfig(),
        replace(MODEL, upsampling="resize", generator_norm="layer", padding="reflect"),
        DISCRIMINATOR,
    ),
    "perceptual": (LossConfig(perceptual=3), MODEL, DISCRIMINATOR),
}


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_the_fast_steps_losses_and_gradients_are_the_plain_steps(
    case: str, recompute: bool, small_features: None
) -> None:
    loss, model, discriminator = CASES[case]
    method, batch = method_of(loss, model=model, discriminator=discriminator), batch_of(2)
    plain = copy.deepcopy(method)
    noise = method.noise(batch)
    seen = []
    for phase in steps(method, batch, recompute=recompute):
        seen.append(phase.player)
        expected = (plain_discriminators_loss if len(seen) == 1 else plain_translators_loss)(plain, batch, noise)
        parameters = dict(plain.networks[phase.player].named_parameters())
        torch.testing.assert_close(phase.loss, expected, rtol=1e-12, atol=1e-12)
        expected_gradients = torch.autograd.grad(expected, list(parameters.values()))
        found = gradients(method.networks[phase.player])
        for name, gradient in zip(parameters, expected_gradients, strict=True):
            torch.testing.assert_close(found[name], gradient, rtol=1e-10, atol=1e-10, msg=lambda m, n=name: f"{n}: {m}")
            parameters[name].grad = gradient
        descend(plain.networks[phase.player])
    assert seen == ["discriminators", "translator"]


@pytest.mark.parametrize("counts", [(1, 3), (2, 1)])
def test_the_two_domains_may_bring_different_numbers_of_images(counts: tuple[int, int]) -> None:
    method = method_of()
    x_a, x_b = images(counts[0], 1), images(counts[1], 2)
    t = method.translator
    out = t(x_a, x_b)
    z_a, z_b = t.a.encoder(x_a), t.b.encoder(x_b)
    expected = {
        "x_aa": t.a.decoder(z_a),
        "x_ab": t.b.decoder(z_a),
        "x_bb": t.b.decoder(z_b),
        "x_ba": t.a.decoder(z_b),
        "x_aba": t.a.decoder(t.b.encoder(t.b.decoder(z_a))),
        "x_bab": t.b.decoder(t.a.encoder(t.a.decoder(z_b))),
    }
    for name, image in expected.items():
        torch.testing.assert_close(out._asdict()[name], image, rtol=0, atol=1e-10)


# The players keep apart.


@pytest.mark.parametrize("recompute", [False, True])
def test_neither_players_step_touches_the_others_gradients(recompute: bool) -> None:
    method = method_of()
    phases = method.phases(method.networks, batch_of(), recompute=recompute)
    next(phases).loss.backward()
    assert all(parameter.grad is None for parameter in method.translator.parameters())
    before = gradients(method.discriminators)
    next(phases).loss.backward()
    gradients(method.translator)
    for name, gradient in gradients(method.discriminators).items():
        assert torch.equal(gradient, before[name])
    assert next(phases, None) is None


def test_the_next_step_trains_the_discriminators_again() -> None:
    method = method_of()
    for step in range(2):
        for phase in method.phases(method.networks, batch_of(step=step), recompute=False):
            if phase.player == "discriminators":
                phase.loss.backward()
                gradients(method.discriminators)
                method.discriminators.zero_grad()


def test_only_translated_images_are_fakes() -> None:
    method, batch = method_of(), batch_of()
    out = method.translator(batch.x_a, batch.x_b, method.noise(batch))
    seen = Judge(*judge().answer)
    phases = method.phases({"translator": method.translator, "discriminators": seen}, batch, recompute=False)
    next(phases)
    ((x_a, x_b),) = seen.shown
    torch.testing.assert_close(x_a, torch.cat([batch.x_a, out.x_ba]), rtol=0, atol=1e-12)
    torch.testing.assert_close(x_b, torch.cat([batch.x_b, out.x_ab]), rtol=0, atol=1e-12)
    assert not x_a.requires_grad and not x_b.requires_grad
    method.discriminators = judged_in_the_translators_phase()  # type: ignore[assignment]
    next(phases)
    assert isinstance(method.discriminators, Judge)
    ((x_ba, x_ab),) = method.discriminators.shown
    torch.testing.assert_close(x_ba, out.x_ba, rtol=0, atol=1e-12)
    torch.testing.assert_close(x_ab, out.x_ab, rtol=0, atol=1e-12)
    assert x_ba.requires_grad and x_ab.requires_grad


# A term of weight 0 costs nothing.


class Counter:
    """How many images each network has seen."""

    def __init__(self, method: Unit) -> None:
        self.seen: dict[str, int] = {}
        t, d = method.translator, method.discriminators
        first = d.a[0]
        assert isinstance(first, PatchDiscriminator)
        for name, module in {
            "encoder a": t.a.encoder.private,
            "encoder b": t.b.encoder.private,
            "encoders' shared": t.a.encoder.shared,
            "generators' shared": t.a.decoder.shared,
            "generator a": t.a.decoder.private,
            "generator b": t.b.decoder.private,
            "discriminator a": first.private,
            "perceptual": method.perceptual or nn.Identity(),
        }.items():
            self.seen[name] = 0
            module.register_forward_pre_hook(lambda _, inputs, name=name: self.add(name, len(inputs[0])))

    def add(self, name: str, images: int) -> None:
        self.seen[name] += images


# Images a step by network, at 2 images of each domain: encoder a, encoders' shared, generators' shared, generator a,
# discriminator a, perceptual.
COSTS: dict[str, tuple[LossConfig, tuple[int, ...]]] = {
    "all": (LossConfig(perceptual=1), (4, 8, 8, 6, 6, 4)),
    "perceptual 0": (LossConfig(), (4, 8, 8, 6, 6, 0)),
    "reconstruction 0": (LossConfig(reconstruction=0), (4, 8, 8, 4, 6, 0)),
    "cycle 0": (LossConfig(cycle=0), (4, 8, 4, 4, 6, 0)),
    "kl 0": (LossConfig(kl=0), (4, 8, 8, 6, 6, 0)),
    "cycle_kl 0": (LossConfig(cycle_kl=0), (4, 8, 8, 6, 6, 0)),
    "cycle and cycle_kl 0": (LossConfig(cycle=0, cycle_kl=0), (2, 4, 4, 4, 6, 0)),
    "gan 0": (LossConfig(gan=0), (4, 8, 8, 6, 0, 0)),
    "gan only": (LossConfig(kl=0, reconstruction=0, cycle_kl=0, cycle=0), (2, 4, 4, 2, 6, 0)),
    "cycle only": (LossConfig(gan=0, kl=0, reconstruction=0, cycle_kl=0), (4, 8, 8, 4, 0, 0)),
}


@pytest.mark.parametrize("case", COSTS)
def test_a_term_of_weight_0_is_not_computed(case: str, small_features: None) -> None:
    loss, (encoder, encoders, generators, generator, discriminator, features) = COSTS[case]
    method = method_of(loss)
    counter = Counter(method)
    for _ in steps(method, batch_of(2), recompute=False):
        pass
    assert counter.seen == {
        "encoder a": encoder,
        "encoder b": encoder,
        "encoders' shared": encoders,
        "generators' shared": generators,
        "generator a": generator,
        "generator b": generator,
        "discriminator a": discriminator,
        "perceptual": features,
    }


@pytest.mark.parametrize("case", COSTS)
def test_a_term_of_weight_0_is_not_in_the_log(case: str, small_features: None) -> None:
    loss, _ = COSTS[case]
    method = method_of(loss)
    logged = {name for phase in steps(method, batch_of(), recompute=False) for name in phase.terms}
    weights = {
        "discriminator": loss.gan,
        "gan": loss.gan,
        "kl": loss.kl + loss.cycle_kl,
        "reconstruction": loss.reconstruction,
        "cycle_kl": loss.cycle_kl,
        "cycle": loss.cycle,
        "perceptual": loss.perceptual,
    }
    assert logged == {f"{term}_{domain}" for term, weight in weights.items() if weight for domain in "ab"}
    assert set(method.networks) == ({"translator", "discriminators"} if loss.gan else {"translator"})


def test_without_a_regularizer_no_code_is_pulled_anywhere() -> None:
    method = method_of(model=replace(MODEL, regularizer="none"))
    logged = {name for phase in steps(method, batch_of(), recompute=False) for name in phase.terms}
    assert not [name for name in logged if "kl" in name]


def test_streams_that_are_not_wanted_are_absent() -> None:
    method, batch = method_of(), batch_of()
    out = method.translator(batch.x_a, batch.x_b, None, Streams(reconstruction=False, cycle_code=False, cycle=False))
    assert {name for name, value in out._asdict().items() if value is None} == {
        "x_aa", "x_bb", "mu_ab", "mu_ba", "x_aba", "x_bab",
        "log_variance_a", "log_variance_b", "log_variance_ab", "log_variance_ba",
    }  # fmt: skip
    full = method.translator(batch.x_a, batch.x_b)
    torch.testing.assert_close(out.x_ab, full.x_ab, rtol=0, atol=1e-12)


# The latent noise.


def test_translation_has_no_noise_and_decodes_the_mean() -> None:
    t, x = method_of().translator, images(2, 1)
    first = t.translate(x)
    assert torch.equal(first, t.translate(x))
    torch.testing.assert_close(first, t.b.decoder(t.a.encoder(x)), rtol=0, atol=0)
    torch.testing.assert_close(t.translate(x, "b2a"), t.a.decoder(t.b.encoder(x)), rtol=0, atol=0)
    torch.testing.assert_close(t(x, x).x_ab, first, rtol=0, atol=1e-12)


def test_training_adds_noise_of_the_codes_shape() -> None:
    method, batch = method_of(), batch_of()
    noise = method.noise(batch)
    assert {eps.shape for eps in noise} == {(2, 8, 4, 4)}
    with_noise = method.translator(batch.x_a, batch.x_b, noise)
    without = method.translator(batch.x_a, batch.x_b)
    torch.testing.assert_close(with_noise.mu_a, without.mu_a)  # μ² is of the mean, not of the noisy code
    assert (with_noise.x_ab - without.x_ab).abs().max() > 1e-3
    flat = torch.cat([eps.flatten() for eps in method.noise(batch_of(16))])
    assert flat.mean().abs() < 0.05 and (flat.std() - 1).abs() < 0.05


def test_noise_is_a_function_of_seed_code_step_and_position() -> None:
    method, batch = method_of(), batch_of(4)
    noise = method.noise(batch)
    torch.rand(3)  # whatever was drawn before
    for code, again in zip(noise, method.noise(batch), strict=True):
        assert torch.equal(code, again)
    rows = [row for code in noise for row in code]
    for other in (replace(batch, seed=8), replace(batch, step=4), replace(batch, positions=range(4, 8))):
        rows += [row for code in method.noise(other) for row in code]
    assert len({tuple(row.flatten().tolist()) for row in rows}) == len(rows) == 4 * 4 * 4
    half = replace(batch, x_a=batch.x_a[2:], x_b=batch.x_b[2:], positions=range(2, 4))
    for code, part in zip(noise, method.noise(half), strict=True):
        assert torch.equal(code[2:], part)


# The loop's step.


@pytest.mark.parametrize("accumulation", [2, 4])
def test_parts_of_a_batch_give_the_gradients_of_the_whole(accumulation: int) -> None:
    batch = batch_of(4)
    count = 4 // accumulation
    parts = [
        Batch(x_a, x_b, batch.step, range(start, start + count), batch.seed)
        for start, x_a, x_b in zip(range(0, 4, count), batch.x_a.split(count), batch.x_b.split(count), strict=True)
    ]
    whole, split = method_of(), method_of()
    for method, given in ((whole, [batch]), (split, parts)):
        optimizers = {name: torch.optim.SGD(net.parameters(), 1e-3) for name, net in method.networks.items()}
        counted = [len(phases) for phases in learn(method, method.networks, given, Accelerator(cpu=True), optimizers)]
        assert counted == [len(given)] * 2
    for name in whole.networks:
        for one, other in zip(whole.networks[name].parameters(), split.networks[name].parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("shared", [0, 1, 2])
def test_one_step_moves_each_parameter_once_by_adams_formula(shared: int) -> None:
    method = method_of(
        model=replace(MODEL, shared_blocks=shared), discriminator=replace(DISCRIMINATOR, shared_layers=shared)
    )
    plain, batch = copy.deepcopy(method), batch_of()
    config = OptimConfig(lr=1e-3, weight_decay=0.1)
    accelerator = Accelerator(cpu=True)
    wrapped = {name: accelerator.prepare(network) for name, network in method.networks.items()}
    optimizers = {
        name: accelerator.prepare(adam([network], config, torch.device("cpu")))
        for name, network in method.networks.items()
    }
    noise = method.noise(batch)
    for phases in learn(method, wrapped, [batch], accelerator, optimizers):
        name = phases[0].player
        formula = plain_discriminators_loss if name == "discriminators" else plain_translators_loss
        parameters = dict(plain.networks[name].named_parameters())
        found = torch.autograd.grad(formula(plain, batch, noise), list(parameters.values()))
        with torch.no_grad():
            for (key, parameter), gradient in zip(parameters.items(), found, strict=True):
                g = gradient + 0.1 * parameter
                m, v = (1 - 0.5) * g / (1 - 0.5), (1 - 0.999) * g**2 / (1 - 0.999)
                parameter -= 1e-3 * m / (v.sqrt() + 1e-8)
                moved = method.networks[name].get_parameter(key)
                torch.testing.assert_close(moved, parameter, rtol=0, atol=1e-9)
        assert all(parameter.grad is None for parameter in method.networks[name].parameters())


# Sizes


@pytest.mark.parametrize(
    ("size", "model", "discriminator"),
    [
        (16, ModelConfig(width=2), DiscriminatorConfig(width=2, layers=5, kernel=4)),
        (32, ModelConfig(width=2), DiscriminatorConfig(width=2, layers=4, kernel=4, scales=3)),
        (16, ModelConfig(width=2, padding="reflect", down_kernel=9, downsamplings=3), DiscriminatorConfig(width=2)),
        (16, ModelConfig(width=2, downsamplings=4), DiscriminatorConfig(width=2)),
    ],
)
def test_a_size_that_the_networks_cannot_take_is_one_clear_error(
    size: int, model: ModelConfig, discriminator: DiscriminatorConfig
) -> None:
    method = Unit(UnitConfig(model=model, discriminator=discriminator))
    with pytest.raises(ConfigError, match=f"data.size: {size} is too small"):
        method.check_size(size)
    method.check_size(256)
    assert not any(parameter.is_meta for parameter in method.translator.parameters())
