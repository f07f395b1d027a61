"""Semi-supervised and clustering AAE: the losses by hand, and which images reach which step."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from autoencoder_toys import close, descend, judged, made, one_hot, reconstruction_of
from digit_toys import beside, noise_of, uniforms
from laws import inputs_of
from torch import Tensor
from torch.distributions import Normal

from unit import draws
from unit.data.labeled import ImageBatch
from unit.methods.autoencoders.aae_semi import SemiAAE, closeness


@pytest.mark.parametrize("combined", [0.0, 2.5])
@pytest.mark.parametrize("sd", [0.0, 0.3])
@pytest.mark.parametrize("name", ["aae_semi", "aae_cluster", "aae_cluster heads"])
def test_the_categorical_aaes_losses_by_hand(name: str, sd: float, combined: float) -> None:
    keys = {"model__noise": 0.4, "model__latent": 3, "model__generator_steps": 1}
    keys |= {"model__discriminator_noise": sd, "model__combined": combined, "model__classification": 7.0}
    method, batch = made(SemiAAE, name, **keys)
    e, d = method.networks["encoder"], method.network.decoder
    d_y, d_z = method.discriminator.parts
    k = method.settings.categories

    def noisy(part: ImageBatch) -> Tensor:
        return (part.intensities + 0.4 * noise_of(part, "noise", 1, 16, 16)).clip(0, 1)

    def with_noise(categories: Tensor, purpose: str) -> Tensor:
        return categories + sd * noise_of(batch, f"judge {purpose}", k)

    def classification() -> dict[str, Tensor]:
        known = beside(batch)
        logits = e((known.intensities + 0.4 * noise_of(known, "labelled noise", 1, 16, 16)).clip(0, 1))[:, :10]
        return {"classification": F.cross_entropy(logits, known.y)}

    for phase in method.phases(method.networks, batch, recompute=False):
        output = e(noisy(batch))
        y, z = output[:, :k].softmax(1), output[:, k:]
        of_y = judged(d_y(with_noise(y, "fooling" if combined else "fooling 0")), real=True)
        code_gan = {"code_gan_category": of_y, "code_gan_style": judged(d_z(z), real=True)}
        weights = dict.fromkeys(code_gan, combined or 1.0) | {"classification": 7.0 if combined else 1.0}
        match phase.optimizer:
            case "autoencoder":
                point = torch.cat([y, z], dim=1) if d.heads is None else y @ d.heads.weight.T + z
                terms = {"reconstruction": reconstruction_of(Normal(d.image(point), 1), batch.intensities)}
                if d.heads is not None:
                    w = d.heads.weight.T
                    pairs = [(w[i] - w[j]).norm() for i in range(k) for j in range(i)]
                    terms["heads"] = torch.stack([(3.0 - distance).clamp(min=0) for distance in pairs]).sum()
                terms |= code_gan if combined else {}
                terms |= classification() if combined and method.supervised else {}
            case "discriminator":
                category = torch.randint(k, (4,), generator=draws.generator(7, "category", 3))
                style = torch.randn(4, 3, generator=draws.generator(7, "style", 3)).double()
                sample = with_noise(one_hot(category, k).float(), "categories").double()
                of_real = judged(d_y(sample), real=True)
                of_code = judged(d_y(with_noise(y, "codes")), real=False)
                of_z = judged(d_z(style), real=True) + judged(d_z(z), real=False)
                terms = {"discriminator": of_real + of_code + of_z}
            case "encoder":
                assert not combined
                terms = code_gan
            case "classifier":
                terms = classification()
        assert phase.terms.keys() == terms.keys()
        for key, value in terms.items():
            close(phase.terms[key], value)
        close(phase.loss, torch.stack([weights.get(key, 1.0) * value for key, value in terms.items()]).sum())
        phase.loss.backward()
        descend(method)


def test_the_discriminators_noise_goes_to_its_end_linearly() -> None:
    method, batch = made(
        SemiAAE, "aae_cluster smooth", model__discriminator_noise=0.4, model__discriminator_noise_end=0.0
    )
    y = uniforms(4, 4, seed=2)
    for step, sd in ((0, 0.4), (1, 0.3), (3, 0.1)):  # of 4
        at = replace(batch, step=step)
        close(method.with_category_noise(at, y, "codes"), y + sd * noise_of(at, "judge codes", 4))


def test_the_classifiers_step_uses_labeled_images_alone() -> None:
    method, batch = made(SemiAAE, "aae_semi", model__noise=0.0)
    seen = inputs_of(method.networks["encoder"])
    last = list(method.phases(method.networks, batch, recompute=False))[-1]
    assert last.optimizer == "classifier" and torch.equal(seen[-1][0], beside(batch).intensities)
    other = replace(batch, x=2 * uniforms(4, 1, 16, 16, seed=9) - 1, y=(batch.y + 1) % 10)
    close(list(method.phases(method.networks, other, recompute=False))[-1].loss, last.loss)


def test_labels_reach_no_step_but_the_classifiers() -> None:
    method, batch = made(SemiAAE, "aae_semi")
    other = replace(batch, y=(batch.y + 1) % 10, labeled=replace(beside(batch), y=(beside(batch).y + 1) % 10))
    ours, theirs = (list(method.phases(method.networks, given, recompute=False)) for given in (batch, other))
    for one, same in zip(ours[:-1], theirs[:-1], strict=True):
        close(one.loss, same.loss)
    assert (ours[-1].loss - theirs[-1].loss).abs() > 1e-6


def test_labeled_and_unlabeled_images_get_noise_of_their_own() -> None:
    method, batch = made(SemiAAE, "aae_semi", model__noise=0.4)
    known = beside(batch)
    same = replace(batch, x=known.x, y=known.y, positions=known.positions, size=known.size)
    one, other = method.encode(method.networks, same), method.encode(method.networks, known, "labelled noise")
    assert not torch.equal(one.logits, other.logits)
    torch.testing.assert_close(one.logits, method.encode(method.networks, known).logits)


def test_closeness_by_hand() -> None:
    points = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]], dtype=torch.float64, requires_grad=True)
    # Distances 5, 1 and √18.
    for threshold, expected in ((0.5, 0.0), (2.0, 1.0), (6.0, 1 + 5 + 6 - math.sqrt(18))):
        assert closeness(points, threshold).item() == pytest.approx(expected, abs=1e-12)
    (gradient,) = torch.autograd.grad(closeness(points, 2.0), points)
    assert gradient.tolist() == [[0.0, 1.0], [0.0, 0.0], [0.0, -1.0]]  # downhill, the two near ones part


def test_points_in_one_place_are_driven_apart_without_nan() -> None:
    points = torch.zeros(3, 2, requires_grad=True)
    closeness(points, 2.0).backward()
    assert points.grad is not None and points.grad.isfinite().all()
