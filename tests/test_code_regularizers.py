"""UNIT with each regulariser of its codes: what each adds to the objective, who learns, and that it trains as UNIT
does."""

import copy
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from conftest import Command, Tiny
from digit_toys import assert_close, logged_by
from safetensors.torch import load_file
from test_objective import SIDE, batch_of, descend, gradients, method_of
from test_training import assert_same, newest
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from unit import checkpoint, draws
from unit.config.unit import LossConfig, ModelConfig
from unit.core.regularizer import RegularizerKind, mmd
from unit.data.folders import Batch
from unit.methods import unit as unit_of
from unit.methods.method import Phase
from unit.methods.unit import Unit
from unit.model import load
from unit.networks.encoder import WithVariance
from unit.training import learn

KINDS: list[RegularizerKind] = ["kl", "kl_learned", "mmd", "adversarial", "none"]
CODES = ["a", "b", "ab", "ba"]
WEIGHTS = LossConfig(kl=0.1, cycle_kl=0.3, mmd=2.0, code_gan=3.0)


@pytest.fixture
def doubles(monkeypatch: pytest.MonkeyPatch) -> None:
    """UNIT's draws in float64, as its networks are."""
    normals = unit_of.normals
    monkeypatch.setattr(unit_of, "normals", lambda *arguments: normals(*arguments).double())


def made(kind: RegularizerKind, *, loss: LossConfig = WEIGHTS, shared: int = 1) -> Unit:
    method = method_of(loss, model=ModelConfig(width=2, blocks=2, shared_blocks=shared, regularizer=kind))
    method.judge.double()
    return method


def steps(method: Unit, batch: Batch, *, recompute: bool = False) -> Iterator[Phase]:
    for phase in method.phases(method.networks, batch, recompute=recompute):
        phase.loss.backward()
        yield phase
        descend(method.networks[phase.player])


def last(method: Unit, batch: Batch) -> Phase:
    """The translator's phase, after the others' steps."""
    *_, phase = steps(method, batch)
    return phase


def codes_in(method: Unit, batch: Batch) -> dict[str, Tensor]:
    """The encoders' outputs in one training pass: of x_a, x_b and their translations."""
    t, noise = method.translator, method.noise(batch)
    out = t(batch.x_a, batch.x_b, noise)
    of_ab, of_ba = t.b.encoder(out.x_ab), t.a.encoder(out.x_ba)
    return {"a": t.a.encoder(batch.x_a), "b": t.b.encoder(batch.x_b), "ab": of_ab, "ba": of_ba}


def term(name: str, code: str) -> str:
    """The term of that code's pull: of x_ab's code it is the cycle's in a."""
    return f"{name}_{code}" if len(code) == 1 else f"cycle_{name}_{code[0]}"


def prior(batch: Batch, code: str, *shape: int) -> Tensor:
    generators = [draws.generator(batch.seed, "prior", code, batch.step, position) for position in batch.positions]
    return torch.stack([torch.empty(*shape).normal_(generator=generator) for generator in generators]).double()


def close(actual: Tensor, expected: Tensor, tolerance: float = 1e-10) -> None:
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


def judged(logits: Tensor, *, real: bool) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


def unregularised(method: Unit, batch: Batch) -> Tensor:
    """The same networks' loss with no pull on the codes."""
    weights = replace(method.loss, kl=0, cycle_kl=0, mmd=0, code_gan=0)
    plain = made(method.config.model.regularizer, loss=weights)
    plain.translator.load_state_dict(method.translator.state_dict())
    plain.discriminators.load_state_dict(method.discriminators.state_dict())
    *_, phase = plain.phases(plain.networks, batch, recompute=False)
    return phase.loss


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
    assert (out.log_variance_a is not None) == (kind == "kl_learned")


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
    close(phase.loss - unregularised(method, batch), total, 1e-9)


@pytest.mark.parametrize("places", [256, 16, 5])
def test_mmd_is_the_discrepancy_at_each_images_places(
    places: int, doubles: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unit_of, "PLACES", places)
    method, batch = made("mmd"), batch_of(3)
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
    close(phase.loss - unregularised(method, batch), total, 1e-9)


@pytest.mark.parametrize("recompute", [False, True])
def test_the_adversarys_losses_by_hand(recompute: bool) -> None:
    method, batch = made("adversarial"), batch_of()
    found = []
    for phase in method.phases(method.networks, batch, recompute=recompute):
        found.append(phase.player)
        codes = codes_in(method, batch)
        if phase.player == "judge":
            real = torch.cat([prior(batch, code, 8, 4, 4) for code in CODES])
            fake = torch.cat([codes[code] for code in CODES])
            expected = judged(method.judge(real), real=True) + judged(method.judge(fake), real=False)
            close(phase.loss, expected)
            close(phase.terms["judge"], expected)
        if phase.player == "translator":
            terms = {code: judged(method.judge(mu), real=True) for code, mu in codes.items()}
            for code, value in terms.items():
                close(phase.terms[term("code_gan", code)], value)
            close(phase.loss - unregularised(method, batch), 3.0 * torch.stack(list(terms.values())).sum(), 1e-9)
        phase.loss.backward()
        descend(method.networks[phase.player])
    assert found == ["discriminators", "judge", "translator"]


def test_a_judge_of_codes_answers_for_each_place() -> None:
    method, batch = made("adversarial"), batch_of()
    codes = method.translator.a.encoder(batch.x_a)
    logits = method.judge(codes)
    assert logits.shape == (2, 1, SIDE // 4, SIDE // 4)
    alone = method.judge(codes[:, :, 1:2, 3:4])
    close(logits[:, :, 1:2, 3:4], alone)


@pytest.mark.parametrize("recompute", [False, True])
def test_the_judge_learns_in_its_phase_alone(recompute: bool) -> None:
    method, batch = made("adversarial"), batch_of()
    for step in range(2):
        for phase in method.phases(method.networks, replace(batch, step=step), recompute=recompute):
            phase.loss.backward()
            for name, network in method.networks.items():
                learns = name == phase.player
                assert all((parameter.grad is not None) == learns for parameter in network.parameters()), name
            descend(method.networks[phase.player])


@pytest.mark.parametrize("recompute", [False, True])
def test_the_judge_pulls_every_layer_of_the_translator(recompute: bool) -> None:
    found = []
    for deaf in (False, True):
        method = made("adversarial")
        for parameter in method.judge.parameters() if deaf else ():
            nn.init.zeros_(parameter)  # whatever it is shown, it says the same
        *_, phase = method.phases(method.networks, batch_of(), recompute=recompute)
        phase.loss.backward()
        found.append(gradients(method.translator))
    pulled, free = found
    for name, gradient in pulled.items():
        assert (gradient - free[name]).norm() > 1e-6 * gradient.norm(), name


@pytest.mark.parametrize("kind", KINDS)
def test_a_regulariser_of_weight_0_is_not_computed(kind: RegularizerKind) -> None:
    method = made(kind, loss=LossConfig(kl=0, cycle_kl=0, mmd=0, code_gan=0))
    logged = {name for phase in steps(method, batch_of()) for name in phase.terms}
    assert set(method.networks) == {"discriminators", "translator"}
    assert not [name for name in logged if any(word in name for word in ("kl", "mmd", "code_gan", "judge"))]


TERMS = {"kl": "kl", "kl_learned": "kl", "mmd": "mmd", "adversarial": "code_gan"}


@pytest.mark.parametrize("kind", KINDS)
def test_each_regulariser_logs_its_own_terms(kind: RegularizerKind, doubles: None) -> None:
    logged = {name for phase in steps(made(kind), batch_of()) for name in phase.terms}
    plain = {f"{name}_{d}" for name in ("discriminator", "gan", "reconstruction", "cycle") for d in "ab"}
    own = {f"{cycle}{TERMS[kind]}_{d}" for cycle in ("", "cycle_") for d in "ab"} if kind in TERMS else set()
    assert logged == plain | own | ({"judge"} if kind == "adversarial" else set())


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_of_every_network_learns(kind: RegularizerKind, doubles: None) -> None:
    method = made(kind)
    for phase in steps(method, batch_of()):
        found = gradients(method.networks[phase.player])
        assert all(gradient.isfinite().all() and gradient.count_nonzero() for gradient in found.values())


@pytest.mark.parametrize("parts", [2, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_parts_of_a_batch_train_as_the_whole(kind: RegularizerKind, parts: int, doubles: None) -> None:
    # What two processes or two accumulated parts lose, averaged, is what the whole batch loses.
    batch, each = batch_of(4), 4 // parts
    halves = [
        Batch(x_a, x_b, batch.step, range(start, start + each), batch.seed)
        for start, x_a, x_b in zip(range(0, 4, each), batch.x_a.split(each), batch.x_b.split(each), strict=True)
    ]
    whole = made(kind)
    split = copy.deepcopy(whole)
    losses = []
    for method, given in ((whole, [batch]), (split, halves)):
        optimizers = {name: torch.optim.SGD(net.parameters(), 1e-3) for name, net in method.networks.items()}
        taken = list(learn(method, method.networks, given, Accelerator(cpu=True), optimizers))
        losses.append(torch.stack([torch.stack([phase.loss for phase in phases]).mean() for phases in taken]))
    close(losses[1], losses[0])
    for name, network in whole.networks.items():
        for one, other in zip(network.parameters(), split.networks[name].parameters(), strict=True):
            close(other, one)


# Runs.


@pytest.fixture(scope="module")
def runs(tiny: Tiny, run_command: Command, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """A finished run of 4 steps with each regulariser, with checkpoints at 2 and 4."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "flush", lambda path: None)  # tested elsewhere
        for kind in KINDS:
            said = run_command("train", *arguments(tiny, folder / kind, kind))
            assert said.code == 0, (kind, said.err)
        yield {kind: folder / kind for kind in KINDS}


def arguments(tiny: Tiny, output: Path, kind: RegularizerKind, *more: str) -> list[str]:
    return tiny(output, "--model.regularizer", kind, *more)


@pytest.mark.parametrize("kind", KINDS)
def test_the_finished_translator_is_of_its_kind(kind: RegularizerKind, runs: dict[str, Path]) -> None:
    translator = load(runs[kind])
    average = newest(runs[kind]).tensors["average"]
    assert translator.config.regularizer == kind and ("judge" in newest(runs[kind]).tensors) == (kind == "adversarial")
    found = checkpoint.tensors_of(translator)
    assert found.keys() == average.keys() and all(torch.equal(found[key], average[key]) for key in found)
    x = torch.linspace(-1, 1, 3 * 16 * 16).view(1, 3, 16, 16)
    assert torch.equal(translator.translate(x), translator.translate(x))
    others = [torch.cat([t.flatten() for t in newest(run).tensors["translator"].values()]) for run in runs.values()]
    assert len({tuple(other[:50].tolist()) for other in others}) == len(KINDS)  # each trained in its own way


@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_run_ends_bit_for_bit_as_the_unbroken_one(
    kind: RegularizerKind, runs: dict[str, Path], run_command: Command, tmp_path: Path
) -> None:
    run, broken, other = runs[kind], tmp_path / "broken", tmp_path / "other"
    shutil.copytree(run, broken, ignore=shutil.ignore_patterns("config.json", "model.safetensors", "step-00000004*"))
    said = run_command("train", "--resume", broken, "--run.output", other)
    assert said.code == 0, said.err
    assert "from step 2" in said.out.splitlines()[0]
    assert_same(newest(run), newest(other))
    stored = load_file(other / "model.safetensors")
    assert all(torch.equal(tensor, stored[key]) for key, tensor in load_file(run / "model.safetensors").items())


@pytest.mark.parametrize("kind", KINDS)
def test_accumulation_gives_the_same_training(
    kind: RegularizerKind, runs: dict[str, Path], tiny: Tiny, run_command: Command, tmp_path: Path
) -> None:
    said = run_command(
        "train", *arguments(tiny, tmp_path / "parts", kind, "--train.accumulation", "2", "--train.steps", "2")
    )
    assert said.code == 0, said.err
    # After two steps: later a unit of the translator may stand on the edge of its ReLU, where rounding tips it over.
    one, other = (checkpoint.load(checkpoint.list_of(run)[0]) for run in (runs[kind], tmp_path / "parts"))
    assert_close(one, other)
    for mine, theirs in zip(logged_by(runs[kind])[:2], logged_by(tmp_path / "parts")[:2], strict=True):
        assert theirs == pytest.approx(mine, rel=1e-4, abs=1e-5)
