"""UNIT's step: who learns when, what a weight of 0 saves, the latent noise, and what the loop makes of the phases."""

import copy
from dataclasses import replace

import pytest
import torch
from accelerate import Accelerator
from architectures import images
from domain_toys import blank
from laws import gradients, in_one_line
from plain_unit import plain_discriminators_loss, plain_translators_loss
from torch import nn
from unit_toys import (
    DISCRIMINATOR,
    MODEL,
    UNIT2018,
    UNIT2018_DISCRIMINATOR,
    VARIANTS,
    batch_of,
    method_of,
    shared_out,
    small_features,
    steps,
    untrained,
)

from unit.config import ConfigError, OptimConfig
from unit.config.data import TwoDomainsConfig
from unit.data.batches import Shard
from unit.data.two_domains import TranslationBatch, UnpairedBatches
from unit.losses import perceptual
from unit.methods.translation import DiscriminatorConfig
from unit.methods.unit import LossConfig, Unit, UnitConfig
from unit.models.unit import UnitModelConfig
from unit.networks.discriminator import PatchDiscriminator
from unit.training.optim import adam
from unit.training.step import training_step


@pytest.fixture
def vgg16(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small network in place of VGG16's features."""
    monkeypatch.setattr(perceptual, "_vgg16_features", small_features)


def test_the_perceptual_networks_weights_are_not_trained(vgg16: None) -> None:
    method = method_of(LossConfig(perceptual=1.0))
    assert method.perceptual is not None and not method.perceptual.features.training
    assert not any(parameter.requires_grad for parameter in method.perceptual.parameters())
    trained = {id(parameter) for network in method.networks.values() for parameter in network.parameters()}
    assert not trained & {id(parameter) for parameter in method.perceptual.parameters()}


@pytest.mark.parametrize("recompute", [False, True])
def test_neither_step_touches_the_gradients_of_the_others_networks(recompute: bool) -> None:
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
            if phase.optimizer == "discriminators":
                phase.loss.backward()
                gradients(method.discriminators)
                method.discriminators.zero_grad()


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
"""Images per step by network, at 2 images of each domain: encoder a, encoders' shared, generators' shared, generator a,
discriminator a, perceptual."""


@pytest.mark.parametrize("case", COSTS)
def test_a_term_of_weight_0_is_not_computed(case: str, vgg16: None) -> None:
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
def test_a_term_of_weight_0_is_not_in_the_log(case: str, vgg16: None) -> None:
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


# The latent noise.


def test_training_adds_noise_of_the_codes_shape() -> None:
    method, batch = method_of(), batch_of()
    noise = method.noise(batch)
    assert {eps.shape for eps in noise} == {(2, 8, 4, 4)}
    with_noise = method.translator(batch.x_a, batch.x_b, noise)
    without = method.translator(batch.x_a, batch.x_b)
    torch.testing.assert_close(with_noise.q_a.mu, without.q_a.mu)  # μ² is of the mean, not of the noisy code
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
def test_micro_batches_give_the_gradients_of_the_whole_batch(accumulation: int) -> None:
    batch = batch_of(4)
    whole, split = method_of(), method_of()
    for method, given in ((whole, [batch]), (split, shared_out(batch, accumulation))):
        optimizers = {name: torch.optim.SGD(net.parameters(), 1e-3) for name, net in method.networks.items()}
        step = training_step(method, method.networks, given, Accelerator(cpu=True), optimizers)
        assert [len(phases) for phases in step] == [len(given)] * 2
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
    for phases in training_step(method, wrapped, [batch], accelerator, optimizers):
        name = phases[0].optimizer
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


# Sizes.


@pytest.mark.parametrize(
    ("size", "model", "discriminator"),
    [
        (16, UnitModelConfig(width=2), DiscriminatorConfig(width=2, layers=5, kernel=4)),
        (32, UnitModelConfig(width=2), DiscriminatorConfig(width=2, layers=4, kernel=4, scales=3)),
        (16, UnitModelConfig(width=2, padding="reflect", down_kernel=9, downsamplings=3), DiscriminatorConfig(width=2)),
        (16, UnitModelConfig(width=2, downsamplings=4), DiscriminatorConfig(width=2)),
    ],
)
def test_a_size_that_the_networks_cannot_take_is_one_clear_error(
    size: int, model: UnitModelConfig, discriminator: DiscriminatorConfig
) -> None:
    config = UnitConfig(model=model, discriminator=discriminator, data=TwoDomainsConfig(size=size))
    with pytest.raises(ConfigError, match=f"data.size: {size} is too small") as refusal:
        Unit.check(config, Shard(0, 1))
    in_one_line(refusal.value)
    Unit.check(replace(config, data=TwoDomainsConfig(size=256)), Shard(0, 1))
    assert not any(parameter.is_meta for parameter in untrained(config).translator.parameters())


def test_the_size_is_checked_in_both_domains_channels() -> None:
    Unit.check(UnitConfig(model=MODEL, data=TwoDomainsConfig(channels=3, channels_b=1, size=64)), Shard(0, 1))
    Unit.check(UnitConfig(model=MODEL, data=TwoDomainsConfig(channels=1, channels_b=3, size=64)), Shard(0, 1))


def test_the_perceptual_network_has_a_least_size() -> None:
    with pytest.raises(ConfigError) as refusal:
        UnitConfig(loss=LossConfig(perceptual=1), data=TwoDomainsConfig(size=16))
    assert in_one_line(refusal.value) == "data.size: loss.perceptual needs at least 32, got 16"


def test_standardizing_discriminators_measure_the_training_images() -> None:
    data = TwoDomainsConfig(size=16, channels=1)
    batches = UnpairedBatches(blank(3), blank(1), data, Shard(0, 1))  # gray of 0, 1, 2, and of 0
    for standardize in (True, False):
        discriminator = DiscriminatorConfig(width=2, layers=2, standardize=standardize)
        discriminators = Unit(UnitConfig(model=MODEL, data=data, discriminator=discriminator), batches).discriminators
        found = {name: value.flatten().tolist() for name, value in discriminators.named_buffers()}
        step = 2 / 255
        expected = {
            "standard.0.mean": pytest.approx([step - 1]),
            "standard.0.deviation": pytest.approx([step]),  # √(2/3) of a gray level: less than the least
            "standard.1.mean": [-1],
            "standard.1.deviation": pytest.approx([step]),
        }
        assert found == (expected if standardize else {})


# Every parameter learns.

NETWORKS = {
    "paper": (MODEL, DiscriminatorConfig(width=2)),
    "all shared": (VARIANTS["all shared"], DiscriminatorConfig(width=2, shared_layers=6)),
    "none shared": (VARIANTS["none shared"], DiscriminatorConfig(width=2, spectral_norm=True)),
    "unit2018": (UNIT2018, UNIT2018_DISCRIMINATOR),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_of_both_networks_gets_a_gradient_in_one_step(name: str) -> None:
    model, discriminator = NETWORKS[name]
    method = untrained(UnitConfig(model=model, discriminator=discriminator))
    with torch.no_grad():  # logits near 0 would have the last bias's gradients of real and fake cancel exactly
        for parameter in method.discriminators.parameters():
            parameter.mul_(1 if name == "unit2018" else 10)
    x_a, x_b = (images(1, 3, 64, 64, seed=seed, dtype=torch.float32) for seed in (1, 2))
    batch = TranslationBatch(x_a, x_b, 0, range(1), 0)
    for phase in method.phases(method.networks, batch, recompute=False):
        phase.loss.backward()
        for key, parameter in method.networks[phase.optimizer].named_parameters():
            assert parameter.grad is not None and parameter.grad.count_nonzero() > 0, key
