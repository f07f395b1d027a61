"""Domain adaptation: its step beside the same written plainly, each network called on each image on its own; what is
trained by which labels; and what is refused."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from adaptation_toys import ALONE, batches_of, config_of, labeled_batch, method_of
from laws import in_one_line
from torch import Tensor, nn
from unit_toys import descend

from unit.config import ConfigError
from unit.data.batches import Shard
from unit.data.labeled_domains import LabeledBatch
from unit.methods.adaptation import Adaptation

EVERY = {"classify_translated": 0.7, "cycle": 3.0, "features": 2.0, "gan": 1.5, "kl": 0.5}
VARIANTS: dict[str, dict[str, Any]] = {
    "paper": {},
    "every term": {"loss": EVERY},
    "the other way": {"loss": EVERY, "data": {"source": "b"}},
    "one logit layer": {"loss": {"own_logits": False, "judge_reconstructions": False, "gan_kind": "lsgan"}},
    "no features": {"loss": {"features": 0, "judge_reconstructions": False}},
    "no adversary": {"loss": {"gan": 0, "classify_translated": 1.0}},
    "all shared": {"discriminator": {"shared_layers": 2}, "loss": {"gan": 0, "features": 0}},
}


def judged(real: bool, logits: Tensor, kind: str) -> Tensor:
    if kind == "lsgan":
        return ((logits - float(real)) ** 2).mean()
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


def one_by_one(network: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    return torch.cat([network(image[None]) for image in x])


class Plain:
    """The step after its formulas; `made[domain]` are the translations to it and the reconstructions."""

    def __init__(self, method: Adaptation, batch: LabeledBatch) -> None:
        self.method, self.batch, self.loss = method, batch, method.loss
        self.x = {"a": batch.x_a, "b": batch.x_b}
        shape = method.translator.code_shape(batch.x_a)
        self.noise = {name: batch.normals(shape, "latent", name) for name in ("a", "b", "ab", "ba")}
        self.vae: dict[str, Any] = {"a": method.translator.a, "b": method.translator.b}
        self.mu = {name: one_by_one(self.vae[name].encoder, self.x[name]) for name in "ab"}
        z = {name: self.mu[name] + self.noise[name] for name in "ab"}
        self.made = {
            here: [one_by_one(self.vae[here].decoder, z[there]), one_by_one(self.vae[here].decoder, z[here])]
            for here, there in ("ab", "ba")
        }
        self.source = method.config.data.source
        self.target = "b" if self.source == "a" else "a"

    def features(self, x: Tensor, domain: str) -> Tensor:
        classifier = self.method.model.classifier
        low = classifier.a if domain == "a" else classifier.b
        return one_by_one(lambda image: classifier.shared(low(image)), x)

    def real(self, x: Tensor, domain: str) -> Tensor:
        head: Any = self.method.discriminators.real_a if domain == "a" else self.method.discriminators.real_b
        return one_by_one(head, self.features(x, domain))

    def cross_entropy(self, x: Tensor, domain: str) -> Tensor:
        logits = self.method.model.classifier.head(self.features(x, domain))
        return -torch.stack([F.log_softmax(row, 0)[y] for row, y in zip(logits, self.batch.y, strict=True)]).mean()

    def discriminators(self) -> Tensor:
        loss, total = self.loss, torch.zeros((), dtype=torch.float64)
        for domain in "ab" if loss.gan else "":
            fakes = torch.cat(self.made[domain][: 1 + loss.judge_reconstructions]).detach()
            total = total + loss.gan * judged(True, self.real(self.x[domain], domain), loss.gan_kind)
            total = total + loss.gan * judged(False, self.real(fakes, domain), loss.gan_kind)
        total = total + loss.classification * self.cross_entropy(self.x[self.source], self.source)
        if loss.classify_translated:
            translated = self.made[self.target][0].detach()
            total = total + loss.classify_translated * self.cross_entropy(translated, self.target)
        return total

    def translator(self) -> Tensor:
        loss, total = self.loss, torch.zeros((), dtype=torch.float64)
        for here, there in ("ab", "ba"):
            translated, rebuilt = self.made[there][0], self.made[here][1]  # both of x_here
            if loss.gan:
                fakes = torch.cat(self.made[here][: 1 + loss.judge_reconstructions])
                total = total + loss.gan * judged(True, self.real(fakes, here), loss.gan_kind)
            total = total + loss.kl * (self.mu[here] ** 2).mean()
            total = total + loss.reconstruction * (rebuilt - self.x[here]).abs().mean()
            difference = self.features(translated, there) - self.features(rebuilt, here)
            total = total + loss.features * (difference**2).mean()
            code = one_by_one(self.vae[there].encoder, translated) + self.noise[here + there]
            total = total + loss.cycle * (one_by_one(self.vae[here].decoder, code) - self.x[here]).abs().mean()
        if loss.classify_translated:
            translated = self.made[self.target][0]
            total = total + loss.classify_translated * self.cross_entropy(translated, self.target)
        return total


def same_gradients(plain: Tensor, loss: Tensor, network: nn.Module) -> None:
    torch.testing.assert_close(loss, plain, rtol=0, atol=1e-10)
    parameters = list(network.parameters())
    expected = torch.autograd.grad(plain, parameters, allow_unused=True)
    loss.backward()
    for parameter, gradient in zip(parameters, expected, strict=True):
        if gradient is not None and gradient.abs().max() > 1e-12:  # not a bias that a norm subtracts
            torch.testing.assert_close(parameter.grad, gradient, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("name", VARIANTS)
def test_a_step_is_the_plain_one(name: str, recompute: bool) -> None:
    method, batch = method_of(**VARIANTS[name]), labeled_batch()
    phases = method.phases(method.networks, batch, recompute=recompute)
    first = next(phases)
    assert first.optimizer == "discriminators"
    same_gradients(Plain(method, batch).discriminators(), first.loss, method.discriminators)
    assert all(parameter.grad is None for parameter in method.translator.parameters())
    assert all(parameter.grad is not None for parameter in method.discriminators.parameters())
    descend(method.discriminators)
    second = next(phases)
    assert second.optimizer == "translator"
    same_gradients(Plain(method, batch).translator(), second.loss, method.translator)
    assert all(parameter.grad is None for parameter in method.discriminators.parameters())
    assert next(phases, None) is None


def test_the_source_alone_trains_a_classifier_and_nothing_else() -> None:
    method, batch = method_of(discriminator={"shared_layers": 2}, loss=ALONE), labeled_batch()
    assert list(method.networks) == ["discriminators"] and method.discriminators.real_a is None
    (phase,) = method.phases(method.networks, batch, recompute=False)
    assert phase.terms.keys() == {"classification"}
    same_gradients(Plain(method, batch).discriminators(), phase.loss, method.discriminators)


@pytest.mark.parametrize("name", ["paper", "every term", "the other way"])
def test_the_classifier_learns_from_the_sources_labels(name: str) -> None:
    """Another order of labels changes the losses that are of classes, and no other."""
    method, batch = method_of(**VARIANTS[name]), labeled_batch()
    other = LabeledBatch(batch.x_a, batch.x_b, batch.step, batch.positions, batch.seed, batch.y.roll(1))
    for one, two in zip(*(method.phases(method.networks, b, recompute=False) for b in (batch, other)), strict=True):
        changed = {term for term in one.terms if not torch.equal(one.terms[term], two.terms[term])}
        assert changed == {term for term in one.terms if "class" in term}


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"data": {"size": 18}}, "data.size: expected a multiple of 4 for model.downsamplings 2, got 18"),
        ({"data": {"warp": 2.0}}, "data.warp: expected 0 to 1, got 2.0"),
        ({"data": {"invert": -1.0}}, "data.invert: expected 0 to 1, got -1.0"),
        ({"data": {"source": "c"}}, "data.source: expected Literal['a', 'b'], got c"),
        ({"discriminator": {"shared_layers": 3}}, "discriminator.shared_layers: expected 1 to 2, got 3"),
        ({"discriminator": {"shared_layers": 0}}, "discriminator.shared_layers: expected 1 to 2, got 0"),
        ({"loss": {"gan": 0}}, "discriminator.shared_layers: expected all 2 where nothing teaches the target's own"),
        ({"loss": {"classification": 0}}, "loss.classification: expected a number above 0, got 0"),
        ({"model": {"regularizer": "mmd"}}, "model.regularizer: expected kl or kl_learned, or loss.kl 0, got mmd"),
        ({"model": {"same_start": True}, "data": {"channels_b": 3}}, "model.same_start: expected false for domains of"),
        (
            {"discriminator": {"shared_layers": 2}, "data": {"channels_b": 3}},
            "discriminator.shared_layers: expected at most 1 where the domains have 1 and 3 channels, got 2",
        ),
    ],
)  # fmt: skip
def test_a_wrong_config_is_refused(sections: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        Adaptation.check(config_of(**sections), Shard(0, 4))
    assert in_one_line(refusal.value).startswith(message)


@pytest.mark.parametrize("start", [False, True])
def test_both_domains_begin_alike_where_that_is_asked_for(start: bool) -> None:
    config = config_of(model={"same_start": start})
    method = Adaptation(config, batches_of(config.data))
    x = labeled_batch().x_a.float()
    a, b = method.translator.a, method.translator.b
    assert torch.equal(a.decoder(a.encoder(x)), b.decoder(b.encoder(x))) == start
    assert torch.equal(method.model.classify(x, "a"), method.model.classify(x, "b")) == start
    shared = set(a.parameters()) & set(b.parameters())  # and go ways of their own
    assert shared == {*a.encoder.shared.parameters(), *a.decoder.shared.parameters()}


def test_a_term_of_weight_0_is_not_computed() -> None:
    method = method_of(loss={"kl": 0, "reconstruction": 0, "features": 0, "judge_reconstructions": False})
    assert not any(method.streams)
    _, phase = method.phases(method.networks, labeled_batch(), recompute=False)
    assert phase.terms.keys() == {"gan_a", "gan_b"}
