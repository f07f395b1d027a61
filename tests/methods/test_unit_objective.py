"""UNIT's objective: each term and weight by hand, and the fast step against one that is written plainly."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from laws import gradients
from plain_unit import plain_discriminators_loss, plain_translators_loss
from torch import Tensor, nn
from unit_toys import DISCRIMINATOR, MODEL, batch_of, descend, images, method_of, small_features, steps

from unit.core.posterior import UnitGaussian
from unit.data.two_domains import TranslationBatch
from unit.losses import perceptual
from unit.losses.gan import GanKind, gan_fake, gan_real
from unit.methods.translation import DiscriminatorConfig, discriminator_phase
from unit.methods.unit import LossConfig
from unit.models.unit import Translations, UnitModelConfig

KINDS: list[GanKind] = ["bce", "lsgan", "hinge"]
LOGIT = math.log(3)  # σ = 3/4


@pytest.fixture
def vgg16(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small network in place of VGG16's features."""
    monkeypatch.setattr(perceptual, "_vgg16_features", small_features)


class KnownLogits(nn.Module):
    """Stands in for both discriminators: whatever it is shown, it gives these logits."""

    def __init__(self, logits_a: list[Tensor], logits_b: list[Tensor]) -> None:
        super().__init__()
        self.answer = (logits_a, logits_b)
        self.shown: list[tuple[Tensor, Tensor]] = []

    def forward(self, x_a: Tensor, x_b: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        self.shown.append((x_a, x_b))
        return self.answer


def known(batch: TranslationBatch) -> Translations:
    """μ_a = 2, μ_b = 3, μ_ab = 5, μ_ba = 7; reconstructions off by 0.25 and 0.5, round trips by 0.75 and 1."""
    code = torch.ones(len(batch.x_a), 8, 4, 4, dtype=torch.float64)
    return Translations(
        UnitGaussian(2 * code),
        UnitGaussian(3 * code),
        x_ab=images(2, 11),
        x_ba=images(2, 12),
        x_aa=batch.x_a + 0.25,
        x_bb=batch.x_b - 0.5,
        q_ab=UnitGaussian(5 * code),
        q_ba=UnitGaussian(7 * code),
        x_aba=batch.x_a - 0.75,
        x_bab=batch.x_b + 1,
    )


def real_and_fake() -> KnownLogits:
    """In domain a every patch has the logit ln 3, in b half of them 0 and half of them −ln 3."""
    flat = torch.full((4, 1, 2, 2), LOGIT, dtype=torch.float64)
    halves = torch.tensor([0.0, -LOGIT], dtype=torch.float64).expand(4, 1, 2, 2)
    return KnownLogits([flat], [halves])


def fake_alone() -> KnownLogits:
    """The same, of as many images as there are in the translator's phase."""
    whole = real_and_fake()
    return KnownLogits([y[:2] for y in whole.answer[0]], [y[:2] for y in whole.answer[1]])


def test_the_translators_loss_by_hand() -> None:
    loss = LossConfig(gan=10, kl=0.1, reconstruction=100, cycle_kl=0.3, cycle=50)
    method, batch = method_of(loss), batch_of()
    method.discriminators = fake_alone()  # type: ignore[assignment]
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
    assert phase.optimizer == "translator"
    assert {name: value.item() for name, value in phase.terms.items()} == pytest.approx(terms, abs=1e-12)
    # CC has both KL(q(z|x)) and KL(q(z|x_ab)) in it: the codes of real images weigh λ1 + λ3.
    gan = 10 * (terms["gan_a"] + terms["gan_b"])
    by_hand = gan + (0.1 + 0.3) * (4 + 9) + 100 * 0.75 + 0.3 * (25 + 49) + 50 * 1.75
    assert phase.loss.item() == pytest.approx(by_hand, abs=1e-10)


def test_domain_bs_round_trip_may_have_a_weight_of_its_own() -> None:
    def total(**cycle: float) -> float:
        method, batch = method_of(LossConfig(gan=0, kl=0, reconstruction=0, cycle_kl=0, **cycle)), batch_of()
        return method.translator_phase(batch, known(batch)).loss.item()

    assert total(cycle=4) == total(cycle=4, cycle_b=4) == pytest.approx(4 * (0.75 + 1), abs=1e-12)
    assert total(cycle=4, cycle_b=20) == pytest.approx(4 * 0.75 + 20 * 1, abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_the_discriminators_loss_by_hand(kind: GanKind) -> None:
    batch = batch_of()
    out = known(batch)
    real, fake = (batch.x_a, batch.x_b), (out.x_ba, out.x_ab)
    phase = discriminator_phase(real_and_fake(), real, fake, kind=kind, weight=3)
    high, low = torch.tensor([LOGIT], dtype=torch.float64), torch.tensor([0.0, -LOGIT], dtype=torch.float64)
    term_a, term_b = ((gan_real(logits, kind) + gan_fake(logits, kind)).item() for logits in (high, low))
    if kind == "bce":
        assert term_a == pytest.approx(math.log(4 / 3) + math.log(4))
        assert term_b == pytest.approx(math.log(2) + (math.log(4) + math.log(4 / 3)) / 2)
    assert phase.optimizer == "discriminators"
    assert {name: value.item() for name, value in phase.terms.items()} == pytest.approx(
        {"discriminator_a": term_a, "discriminator_b": term_b}, abs=1e-12
    )
    assert phase.loss.item() == pytest.approx(3 * (term_a + term_b), abs=1e-12)


def test_the_perceptual_terms_compare_an_image_with_its_own_translation(vgg16: None) -> None:
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


def test_only_translated_images_are_fakes() -> None:
    method, batch = method_of(), batch_of()
    out = method.translator(batch.x_a, batch.x_b, method.noise(batch))
    seen = real_and_fake()
    phases = method.phases({"translator": method.translator, "discriminators": seen}, batch, recompute=False)
    next(phases)
    ((x_a, x_b),) = seen.shown
    torch.testing.assert_close(x_a, torch.cat([batch.x_a, out.x_ba]), rtol=0, atol=1e-12)
    torch.testing.assert_close(x_b, torch.cat([batch.x_b, out.x_ab]), rtol=0, atol=1e-12)
    assert not x_a.requires_grad and not x_b.requires_grad
    method.discriminators = fake_alone()  # type: ignore[assignment]
    next(phases)
    assert isinstance(method.discriminators, KnownLogits)
    ((x_ba, x_ab),) = method.discriminators.shown
    torch.testing.assert_close(x_ba, out.x_ba, rtol=0, atol=1e-12)
    torch.testing.assert_close(x_ab, out.x_ab, rtol=0, atol=1e-12)
    assert x_ba.requires_grad and x_ab.requires_grad


# The whole step, against one that is written plainly.


CASES: dict[str, tuple[LossConfig, UnitModelConfig, DiscriminatorConfig]] = {
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
def test_the_fast_steps_losses_and_gradients_are_the_plain_steps(case: str, recompute: bool, vgg16: None) -> None:
    loss, model, discriminator = CASES[case]
    method, batch = method_of(loss, model=model, discriminator=discriminator), batch_of(2)
    plain = copy.deepcopy(method)
    noise = method.noise(batch)
    seen = []
    for phase in steps(method, batch, recompute=recompute):
        seen.append(phase.optimizer)
        expected = (plain_discriminators_loss if len(seen) == 1 else plain_translators_loss)(plain, batch, noise)
        parameters = dict(plain.networks[phase.optimizer].named_parameters())
        torch.testing.assert_close(phase.loss, expected, rtol=1e-12, atol=1e-12)
        expected_gradients = torch.autograd.grad(expected, list(parameters.values()))
        found = gradients(method.networks[phase.optimizer])
        for name, gradient in zip(parameters, expected_gradients, strict=True):
            torch.testing.assert_close(found[name], gradient, rtol=1e-10, atol=1e-10, msg=lambda m, n=name: f"{n}: {m}")
            parameters[name].grad = gradient
        descend(plain.networks[phase.optimizer])
    assert seen == ["discriminators", "translator"]
