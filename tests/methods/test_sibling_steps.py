"""The siblings' steps in float64, beside the same written plainly: each network called on each image (or group) on its
own, after the papers' formulas."""

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from laws import in_one_line
from sibling_toys import SIBLINGS
from torch import Tensor, nn
from unit_toys import batch_of, descend

from unit import draws
from unit.config import ConfigError, from_sections
from unit.data.batches import Shard
from unit.methods import find_method
from unit.methods.base import Method
from unit.networks.dropout import dropping


def method_of(name: str, **more: Any) -> Any:
    """In float64, with weights large enough for every term to count. Keys in `more` have __ for their dot."""
    sections: dict[str, dict[str, Any]] = {"data": {"size": 16}, "model": {"width": 4}, "train": {"batch_size": 4}}
    keys = {key: value for key, value in SIBLINGS[name].items() if key != "method"}
    for key, value in (keys | {key.replace("__", "."): value for key, value in more.items()}).items():
        section, _, option = key.partition(".")
        sections.setdefault(section, {})[option] = {"true": True, "false": False}.get(str(value), value)
    config = from_sections({"method": SIBLINGS[name]["method"]} | sections, "the test")
    torch.manual_seed(0)
    method = find_method(SIBLINGS[name]["method"])(config, None)  # type: ignore[arg-type]
    for network in (*method.networks.values(), method.state):
        network.double()
        for parameter in network.parameters():
            if parameter.ndim > 1:
                nn.init.kaiming_normal_(parameter)
    return method


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


def same_gradients(loss: Tensor, phase_loss: Tensor, network: nn.Module) -> None:
    parameters = [p for p in network.parameters() if p.requires_grad]
    plain = torch.autograd.grad(loss, parameters, allow_unused=True)
    phase_loss.backward()
    for parameter, gradient in zip(parameters, plain, strict=True):
        if gradient is not None and gradient.abs().max() > 1e-12:  # not a bias that a norm subtracts
            torch.testing.assert_close(parameter.grad, gradient, rtol=1e-10, atol=1e-10)


def one_by_one(network: Any, x: Tensor) -> Tensor:
    """The network's first scale of each image alone."""
    return torch.cat([network(image[None]) for image in x])


def lsgan(real: Tensor | None, fake: Tensor) -> Tensor:
    """½((D(x) − 1)² + D(G)²), or for the generator (D(G) − 1)²."""
    if real is None:
        return ((fake - 1) ** 2).mean()
    return 0.5 * (((real - 1) ** 2).mean() + (fake**2).mean())


def bce(logits: Tensor, real: bool) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


def test_cyclegans_step() -> None:
    method, batch = method_of("cyclegan"), replace(batch_of(4), step=0)
    t, d = method.translator, method.discriminators

    def there(x: Tensor, source: Any, target: Any) -> Tensor:
        return torch.cat([target.decoder(source.encoder(image[None])) for image in x])

    x_a, x_b = batch.x_a, batch.x_b
    x_ab, x_ba = there(x_a, t.a, t.b), there(x_b, t.b, t.a)
    plain = lsgan(None, one_by_one(d.b[0], x_ab)) + lsgan(None, one_by_one(d.a[0], x_ba))
    plain = plain + 10 * ((there(x_ab, t.b, t.a) - x_a).abs().mean() + (there(x_ba, t.a, t.b) - x_b).abs().mean())
    plain = plain + 5 * ((there(x_a, t.b, t.a) - x_a).abs().mean() + (there(x_b, t.a, t.b) - x_b).abs().mean())
    phases = method.phases(method.networks, batch, recompute=False)
    generators = next(phases)
    close(generators.loss, plain)
    same_gradients(plain, generators.loss, t)
    descend(t)
    # The pool is not full yet, so the discriminators are shown the translations that were made before that step.
    d.requires_grad_(True)
    plain = lsgan(one_by_one(d.a[0], x_a), one_by_one(d.a[0], x_ba.detach()))
    plain = plain + lsgan(one_by_one(d.b[0], x_b), one_by_one(d.b[0], x_ab.detach()))
    discriminators = next(phases)
    close(discriminators.loss, plain)
    same_gradients(plain, discriminators.loss, d)
    assert next(phases, None) is None
    assert (generators.optimizer, discriminators.optimizer) == ("translator", "discriminators")


def test_pix2pixs_step() -> None:
    method, batch = method_of("pix2pix"), batch_of(4)
    d = method.discriminator.scales[0]
    with dropping(method.model, batch.masks("generator")):
        fake = method.model.generator(batch.x_a)
    real_pairs, fake_pairs = torch.cat([batch.x_a, batch.x_b], 1), torch.cat([batch.x_a, fake], 1)
    plain = 0.5 * (bce(one_by_one(d, real_pairs), True) + bce(one_by_one(d, fake_pairs.detach()), False))
    phases = method.phases(method.networks, batch, recompute=False)
    discriminator = next(phases)
    close(discriminator.loss, plain)
    same_gradients(plain, discriminator.loss, method.discriminator)
    descend(method.discriminator)
    plain = bce(one_by_one(d, fake_pairs), True) + 100 * (fake - batch.x_b).abs().mean()
    generator = next(phases)
    close(generator.loss, plain)
    same_gradients(plain, generator.loss, method.model)
    assert next(phases, None) is None


@pytest.mark.parametrize(("step", "r"), [(1, 0.01), (3, 0.5)])
def test_discogans_steps(step: int, r: float) -> None:
    """Every second step of the toys is the discriminators'; batch norms and mean features are of groups of two."""
    method = method_of("discogan", loss__rises_at=3)
    t, d = method.model, method.discriminators

    def groups(network: Any, x: Tensor) -> Any:
        return [network(group) for group in x.split(2)]

    def unit(x: Tensor) -> Tensor:
        return (x + 1) / 2

    batch = replace(batch_of(4), step=step - 1)
    with torch.no_grad():
        x_ab, x_ba = torch.cat(groups(t.a2b, batch.x_a)), torch.cat(groups(t.b2a, batch.x_b))
    plain = torch.zeros((), dtype=torch.float64)
    for network, x, fake in ((d.a, batch.x_a, x_ba), (d.b, batch.x_b, x_ab)):
        for images, real in ((x, True), (fake, False)):
            plain = plain + 0.5 * bce(torch.cat([logits for logits, _ in groups(network, images)]), real)
    (phase,) = method.phases(method.networks, batch, recompute=False)
    assert phase.optimizer == "discriminators"
    close(phase.loss, plain)
    same_gradients(plain, phase.loss, d)

    batch = replace(batch, step=step)
    x_ab, x_ba = torch.cat(groups(t.a2b, batch.x_a)), torch.cat(groups(t.b2a, batch.x_b))
    plain = torch.zeros((), dtype=torch.float64)
    for network, x, fake in ((d.a, batch.x_a, x_ba), (d.b, batch.x_b, x_ab)):
        real, false = groups(network, x), groups(network, fake)
        plain = plain + (1 - r) * 0.1 * bce(torch.cat([logits for logits, _ in false]), True)
        for layer in range(len(real[0][1])):
            squares = [
                ((f_real[layer].detach().mean(0) - f_fake[layer].mean(0)) ** 2).mean()
                for (_, f_real), (_, f_fake) in zip(real, false, strict=True)
            ]
            plain = plain + (1 - r) * 0.9 * torch.stack(squares).mean()
    back = ((batch.x_a, torch.cat(groups(t.b2a, x_ab))), (batch.x_b, torch.cat(groups(t.a2b, x_ba))))
    for x, x_back in back:
        plain = plain + r * ((unit(x_back) - unit(x)) ** 2).mean()
    (phase,) = method.phases(method.networks, batch, recompute=False)
    assert phase.optimizer == "generators"
    close(phase.loss, plain)
    same_gradients(plain, phase.loss, t)


def plain_nce(method: Method[Any], x: Tensor, y: Tensor, batch: Any, *, flipped: bool) -> Tensor:
    """NCE(x, G(x)) image by image, place by place."""
    generator, h = method.model.generator, method.projections  # type: ignore[union-attr]
    layers = []
    for layer in range(len(generator.feature_widths)):
        losses = []
        for image, translated in zip(x, y, strict=True):
            keys = generator.encode(image[None])[1][layer][0].flatten(1).T
            of_y = generator.encode(translated[None])[1][layer][0]
            queries = (of_y.flip(2) if flipped else of_y).flatten(1).T
            order = draws.permutation(len(keys), batch.seed, "places", layer, batch.step)
            order = order[: method.config.loss.places]
            q, k = (F.normalize(h.layers[layer](f[order]), dim=1, eps=1e-7) for f in (queries, keys))
            for i in range(len(order)):
                scores = (q[i] * k.detach()).sum(1) / 0.07
                losses.append(torch.logsumexp(scores, 0) - scores[i])
        layers.append(torch.stack(losses).mean())
    return torch.stack(layers).mean()


@pytest.mark.parametrize(("name", "step"), [("cut", 3), *(("fastcut", step) for step in range(4))])
def test_cuts_step(name: str, step: int) -> None:
    method, batch = method_of(name, loss__places=16), replace(batch_of(2), step=step)
    fast = name == "fastcut"
    flipped = fast and float(draws.uniforms(1, batch.seed, "equivariance", step)) < 0.5
    generator, d = method.model.generator, method.discriminator.scales[0]
    fake = one_by_one(generator, batch.x_a.flip(3) if flipped else batch.x_a)
    plain = lsgan(one_by_one(d, batch.x_b), one_by_one(d, fake.detach()))
    phases = method.phases(method.networks, batch, recompute=False)
    discriminator = next(phases)
    close(discriminator.loss, plain)
    same_gradients(plain, discriminator.loss, method.discriminator)
    descend(method.discriminator)
    nce = plain_nce(method, batch.x_a, fake, batch, flipped=flipped)
    if not fast:
        nce = (nce + plain_nce(method, batch.x_b, one_by_one(generator, batch.x_b), batch, flipped=False)) / 2
    plain = lsgan(None, one_by_one(d, fake)) + (10 if fast else 1) * nce
    phase = next(phases)
    close(phase.loss, plain)
    same_gradients(plain, phase.loss, nn.ModuleList([method.model, method.projections]))
    assert next(phases, None) is None


def test_half_of_fastcuts_steps_are_flipped() -> None:
    flips = [float(draws.uniforms(1, 7, "equivariance", step)) < 0.5 for step in range(4)]
    assert True in flips and False in flips  # so that the test above sees both


@pytest.mark.parametrize("name", SIBLINGS)
def test_recomputing_gives_the_same_losses(name: str) -> None:
    method, again = method_of(name), method_of(name)
    for step in (0, 1):
        batch = replace(batch_of(4), step=step)
        for one, other in zip(
            method.phases(method.networks, batch, recompute=False),
            again.phases(again.networks, batch, recompute=True),
            strict=True,
        ):
            close(one.loss, other.loss)


@pytest.mark.parametrize(
    ("name", "keys", "message"),
    [
        ("cyclegan", {"discriminator__pool": 0}, "discriminator.pool: expected 1 to 10000, got 0"),
        ("cyclegan", {"discriminator__pool": 3}, "discriminator.pool: expected at least train.batch_size 4, got 3"),
        ("cyclegan", {"data__channels_b": 1}, "loss.identity: expected 0 for domains of 3 and 1 channels, got 5"),
        ("cyclegan", {"loss__fresh_noise": True}, "loss.fresh_noise: expected a model.regularizer whose codes have"),
        ("cyclegan", {"discriminator__spectral_norm": True}, "discriminator.norm: expected none with"),
        ("pix2pix", {"data__size": 20}, "data.size: expected a multiple of 8 for this model, got 20"),
        ("pix2pix", {"loss__gan": 0, "loss__l1": 0}, "loss.gan and loss.l1: expected one above 0"),
        ("pix2pix", {"model__dropped_layers": 2}, "model.dropped_layers: expected 0 to 1, got 2"),
        ("discogan", {"data__size": 18}, "data.size: expected a multiple of 4 of at least 16"),
        ("discogan", {"model__group": 1}, "model.group: expected at least 2 images, got 1"),
        ("cut", {"data__channels_b": 1}, "loss.nce: the generator must take its own translations"),
        ("fastcut", {"loss__identity": True}, "loss.flip_equivariance: expected loss.identity false"),
    ],
)  # fmt: skip
def test_a_wrong_config_is_refused(name: str, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        method_of(name, **keys)
    assert in_one_line(refusal.value).startswith(message)


def test_what_only_the_run_can_tell_is_refused_before_data_is_read() -> None:
    for keys, message in (
        (
            {"loss__rises_at": 100, "train__steps": 100},
            "loss.rises_at: expected a step before the end, train.steps 100",
        ),
        ({"model__group": 3}, "model.group: 4 images per process and micro-batch are no whole groups of 3"),
    ):
        config = method_of("discogan", **keys).config
        with pytest.raises(ConfigError) as refusal:
            find_method("discogan").check(config, Shard(0, 4))
        assert in_one_line(refusal.value).startswith(message)


def test_a_model_of_one_direction_refuses_the_other() -> None:
    for name in ("pix2pix", "cut"):
        model = method_of(name).model
        with pytest.raises(ValueError, match="direction: expected a2b, got 'b2a'"):
            model.translate(torch.zeros(1, 3, 16, 16, dtype=torch.float64), "b2a")
        assert method_of(name, model__direction="b2a").model.directions == ("b2a",)
