"""UNIT with each regularizer of its codes: what each adds to the objective, and who learns."""

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from laws import close, gradients
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence
from unit_toys import SIDE, batch_of, descend, method_of, shared_out, steps

from unit import draws
from unit.core.posterior import Gaussian
from unit.core.regularizer import Adversarial, MeanKL, NoRegularizer, Regularizer, SpatialMMD, mmd
from unit.data.two_domains import TranslationBatch
from unit.methods.unit import LossConfig, Unit
from unit.models.unit import RegularizerKind, UnitModelConfig
from unit.networks.encoder import WithVariance
from unit.training.step import training_step

KINDS: list[RegularizerKind] = ["kl", "kl_learned", "mmd", "adversarial", "none"]
CODES = ["a", "b", "ab", "ba"]
WEIGHTS = LossConfig(kl=0.1, cycle_kl=0.3, mmd=2.0, code_gan=3.0)


@pytest.fixture
def doubles(monkeypatch: pytest.MonkeyPatch) -> None:
    """UNIT's draws in float64, as its networks are."""
    normals = TranslationBatch.normals
    monkeypatch.setattr(TranslationBatch, "normals", lambda *arguments: normals(*arguments).double())


def made(kind: RegularizerKind, *, loss: LossConfig = WEIGHTS, shared: int = 1) -> Unit:
    return method_of(loss, model=UnitModelConfig(width=2, blocks=2, shared_blocks=shared, regularizer=kind))


def codes_in(method: Unit, batch: TranslationBatch) -> dict[str, Tensor]:
    """The encoders' outputs in one training pass: of x_a, x_b and their translations."""
    t, noise = method.translator, method.noise(batch)
    out = t(batch.x_a, batch.x_b, noise)
    of_ab, of_ba = t.b.encoder(out.x_ab), t.a.encoder(out.x_ba)
    return {"a": t.a.encoder(batch.x_a), "b": t.b.encoder(batch.x_b), "ab": of_ab, "ba": of_ba}


def term(name: str, code: str) -> str:
    """The term of that code's pull: of x_ab's code it is the cycle's in a."""
    return f"{name}_{code}" if len(code) == 1 else f"cycle_{name}_{code[0]}"


def prior(batch: TranslationBatch, code: str, *shape: int) -> Tensor:
    generators = [draws.generator(batch.seed, "prior", code, batch.step, position) for position in batch.positions]
    return torch.stack([torch.empty(*shape).normal_(generator=generator) for generator in generators]).double()


def logits_of(method: Unit, codes: Tensor) -> Tensor:
    """What the discriminator of codes says at each place: (B, 1, h, w)."""
    assert method.regularizer.discriminator is not None
    (logits,) = method.regularizer.discriminator(codes)
    return logits


def judged(logits: Tensor, *, real: bool) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


def unregularized(method: Unit, batch: TranslationBatch) -> Tensor:
    """The same networks' loss with no pull on the codes."""
    weights = replace(method.loss, kl=0, cycle_kl=0, mmd=0, code_gan=0)
    plain = made(method.config.model.regularizer, loss=weights)
    plain.translator.load_state_dict(method.translator.state_dict())
    plain.discriminators.load_state_dict(method.discriminators.state_dict())
    *_, phase = plain.phases(plain.networks, batch, recompute=False)
    return phase.loss


REGULARIZERS: dict[RegularizerKind, type[Regularizer]] = {
    "kl": MeanKL, "kl_learned": MeanKL, "mmd": SpatialMMD, "adversarial": Adversarial, "none": NoRegularizer,
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_regularizer_has_its_weights_of_images_and_of_translations(kind: RegularizerKind) -> None:
    regularizer = made(kind).regularizer
    assert type(regularizer) is REGULARIZERS[kind]
    # CC has KL(q(z|x)) in it too: the codes of real images weigh λ1 + λ3.
    weights = {"kl": (0.1 + 0.3, 0.3), "mmd": (2.0, 2.0), "adversarial": (3.0, 3.0), "none": (0.0, 0.0)}
    assert (regularizer.weight, regularizer.cycle_weight) == weights[kind.removesuffix("_learned")]


# Codes and their noise.


@pytest.mark.parametrize("kind", KINDS)
def test_codes_that_are_points_take_no_noise(kind: RegularizerKind, doubles: None) -> None:
    method, batch = made(kind), batch_of()
    noise = method.noise(batch)
    assert (noise is None) == (kind in ("mmd", "adversarial", "none"))
    out = method.translator(batch.x_a, batch.x_b, noise)
    z_a = method.translator.a.encoder(batch.x_a)[:, :8]
    straight = method.translator.b.decoder(z_a)
    assert torch.allclose(out.x_ab, straight, rtol=0, atol=1e-10) == (noise is None)
    assert isinstance(out.q_a, Gaussian) == (kind == "kl_learned")


def test_learned_codes_are_drawn_with_their_own_variance() -> None:
    method, batch = made("kl_learned"), batch_of()
    noise = method.noise(batch)
    assert noise is not None
    mu, log_variance = method.translator.a.encoder(batch.x_a).chunk(2, dim=1)
    z = mu + torch.exp(log_variance / 2) * noise.a
    out = method.translator(batch.x_a, batch.x_b, noise)
    close(out.x_ab, method.translator.b.decoder(z))
    close(method.translator.translate(batch.x_a), method.translator.b.decoder(mu))
    assert log_variance.std() > 0.01


@pytest.mark.parametrize("shared", [0, 1, 2])
def test_the_variance_is_a_shared_layer_where_there_are_any(shared: int) -> None:
    translator = made("kl_learned", shared=shared).translator
    e_a, e_b = translator.a.encoder, translator.b.encoder
    heads_a, heads_b = ([m for m in e.modules() if isinstance(m, WithVariance)] for e in (e_a, e_b))
    assert len(heads_a) == len(heads_b) == 1
    assert (heads_a[0] is heads_b[0]) == (shared > 0)
    place = e_a.shared if shared else e_a.private
    assert list(place.modules())[-2] is heads_a[0]  # the last layer, which holds one convolution
    of_variance = [name for name, _ in translator.named_parameters() if "log_variance" in name]
    assert len(of_variance) == (2 if shared else 4)  # weight and bias
    assert not [m for m in made("kl", shared=shared).translator.modules() if isinstance(m, WithVariance)]


# What each adds to the objective.


@pytest.mark.parametrize("shared", [0, 1])
def test_a_learned_variance_of_one_is_the_kl_of_the_paper(shared: int) -> None:
    learned, plain, batch = made("kl_learned", shared=shared), made("kl", shared=shared), batch_of()
    for module in learned.translator.modules():
        if isinstance(module, WithVariance):
            nn.init.zeros_(module.log_variance.weight)
            nn.init.zeros_(module.log_variance.bias)
    weights = learned.translator.state_dict()
    missing, extra = plain.translator.load_state_dict(weights, strict=False)
    assert not missing and all("log_variance" in name for name in extra)
    plain.discriminators.load_state_dict(learned.discriminators.state_dict())
    for one, other in zip(
        learned.phases(learned.networks, batch, recompute=False),
        plain.phases(plain.networks, batch, recompute=False),
        strict=True,
    ):
        close(one.loss, other.loss)
        assert one.terms.keys() == other.terms.keys()
        one.loss.backward()
        other.loss.backward()
    found = gradients(learned.translator)
    for name, gradient in gradients(plain.translator).items():
        close(found[name], gradient)


def test_kl_learned_is_twice_the_mean_divergence_of_all_four_codes() -> None:
    method, batch = made("kl_learned"), batch_of()
    (_, phase) = method.phases(method.networks, batch, recompute=False)
    total = torch.zeros((), dtype=torch.float64)
    for code, output in codes_in(method, batch).items():
        mu, log_variance = output.chunk(2, dim=1)
        q = Normal(mu, torch.exp(log_variance / 2))
        expected = 2 * kl_divergence(q, Normal(torch.zeros_like(mu), torch.ones_like(mu))).mean()
        close(phase.terms[term("kl", code)], expected)
        total = total + (0.1 + 0.3 if len(code) == 1 else 0.3) * expected
    close(phase.loss - unregularized(method, batch), total, 1e-9)


@pytest.mark.parametrize("places", [256, 16, 5])
def test_mmd_is_the_discrepancy_at_each_images_places(places: int, doubles: None) -> None:
    method, batch = made("mmd"), batch_of(3)
    assert isinstance(method.regularizer, SpatialMMD)
    method.regularizer.places = places
    (_, phase) = method.phases(method.networks, batch, recompute=False)
    count = min(places, 16)
    chosen = draws.permutation(16, batch.seed, "places", batch.step)[:count]
    total = torch.zeros((), dtype=torch.float64)
    for code, output in codes_in(method, batch).items():
        real = prior(batch, code, count, 8)
        each = []
        for image in range(3):
            z = torch.stack([output[image, :, place // 4, place % 4] for place in chosen])
            each.append(mmd(z, real[image]))
        expected = torch.stack(each).mean()
        close(phase.terms[term("mmd", code)], expected)
        total = total + 2.0 * expected
    assert total.abs() > 0.01
    close(phase.loss - unregularized(method, batch), total, 1e-9)


@pytest.mark.parametrize("recompute", [False, True])
def test_the_adversarys_losses_by_hand(recompute: bool) -> None:
    method, batch = made("adversarial"), batch_of()
    found = []
    for phase in method.phases(method.networks, batch, recompute=recompute):
        found.append(phase.optimizer)
        codes = codes_in(method, batch)
        if phase.optimizer == "code_discriminator":
            real = torch.cat([prior(batch, code, 8, 4, 4) for code in CODES])
            fake = torch.cat([codes[code] for code in CODES])
            expected = judged(logits_of(method, real), real=True) + judged(logits_of(method, fake), real=False)
            close(phase.loss, expected)
            close(phase.terms["code_discriminator"], expected)
        if phase.optimizer == "translator":
            terms = {code: judged(logits_of(method, mu), real=True) for code, mu in codes.items()}
            for code, value in terms.items():
                close(phase.terms[term("code_gan", code)], value)
            close(phase.loss - unregularized(method, batch), 3.0 * torch.stack(list(terms.values())).sum(), 1e-9)
        phase.loss.backward()
        descend(method.networks[phase.optimizer])
    assert found == ["discriminators", "code_discriminator", "translator"]


def test_the_discriminator_of_codes_answers_for_each_place() -> None:
    method, batch = made("adversarial"), batch_of()
    codes = method.translator.a.encoder(batch.x_a)
    logits = logits_of(method, codes)
    assert logits.shape == (2, 1, SIDE // 4, SIDE // 4)
    alone = logits_of(method, codes[:, :, 1:2, 3:4])
    close(logits[:, :, 1:2, 3:4], alone)


@pytest.mark.parametrize("recompute", [False, True])
def test_the_discriminator_of_codes_learns_in_its_phase_alone(recompute: bool) -> None:
    method, batch = made("adversarial"), batch_of()
    for step in range(2):
        for phase in method.phases(method.networks, replace(batch, step=step), recompute=recompute):
            phase.loss.backward()
            for name, network in method.networks.items():
                learns = name == phase.optimizer
                assert all((parameter.grad is not None) == learns for parameter in network.parameters()), name
            descend(method.networks[phase.optimizer])


@pytest.mark.parametrize("recompute", [False, True])
def test_the_discriminator_of_codes_pulls_every_layer_of_the_translator(recompute: bool) -> None:
    found = []
    for constant in (False, True):
        method = made("adversarial")
        for parameter in method.networks["code_discriminator"].parameters() if constant else ():
            nn.init.zeros_(parameter)  # whatever it is shown, it says the same
        *_, phase = method.phases(method.networks, batch_of(), recompute=recompute)
        phase.loss.backward()
        found.append(gradients(method.translator))
    pulled, free = found
    for name, gradient in pulled.items():
        assert (gradient - free[name]).norm() > 1e-6 * gradient.norm(), name


@pytest.mark.parametrize("kind", KINDS)
def test_a_regularizer_of_weight_0_is_not_computed(kind: RegularizerKind) -> None:
    method = made(kind, loss=LossConfig(kl=0, cycle_kl=0, mmd=0, code_gan=0))
    logged = {name for phase in steps(method, batch_of()) for name in phase.terms}
    assert set(method.networks) == {"discriminators", "translator"}
    assert not [
        name for name in logged if any(word in name for word in ("kl", "mmd", "code_gan", "code_discriminator"))
    ]


TERMS = {"kl": "kl", "kl_learned": "kl", "mmd": "mmd", "adversarial": "code_gan"}


@pytest.mark.parametrize("kind", KINDS)
def test_each_regularizer_logs_its_own_terms(kind: RegularizerKind, doubles: None) -> None:
    logged = {name for phase in steps(made(kind), batch_of()) for name in phase.terms}
    plain = {f"{name}_{d}" for name in ("discriminator", "gan", "reconstruction", "cycle") for d in "ab"}
    own = {f"{cycle}{TERMS[kind]}_{d}" for cycle in ("", "cycle_") for d in "ab"} if kind in TERMS else set()
    assert logged == plain | own | ({"code_discriminator"} if kind == "adversarial" else set())


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_of_every_network_learns(kind: RegularizerKind, doubles: None) -> None:
    method = made(kind)
    for phase in steps(method, batch_of()):
        found = gradients(method.networks[phase.optimizer])
        assert all(gradient.isfinite().all() and gradient.count_nonzero() for gradient in found.values())


@pytest.mark.parametrize("parts", [2, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_micro_batches_train_as_the_whole_batch(kind: RegularizerKind, parts: int, doubles: None) -> None:
    # What two processes or two micro-batches lose, averaged, is what the whole batch loses.
    batch = batch_of(4)
    whole = made(kind)
    split = copy.deepcopy(whole)
    losses = []
    for method, given in ((whole, [batch]), (split, shared_out(batch, parts))):
        optimizers = {name: torch.optim.SGD(net.parameters(), 1e-3) for name, net in method.networks.items()}
        taken = list(training_step(method, method.networks, given, Accelerator(cpu=True), optimizers))
        losses.append(torch.stack([torch.stack([phase.loss for phase in phases]).mean() for phases in taken]))
    close(losses[1], losses[0])
    for name, network in whole.networks.items():
        for one, other in zip(network.parameters(), split.networks[name].parameters(), strict=True):
            close(other, one)
