"""What makes clusters form: smoothness, balance, and a normalized encoder of centered images."""

from pathlib import Path
from typing import Any

import pytest
import torch
from autoencoder_toys import close, made
from digit_toys import noise_of, parse_config, write_mnist
from torch import Tensor, nn

from unit.core.regularizer import imbalance_in_groups
from unit.data.augmentation import warp
from unit.data.batches import Shard
from unit.data.labeled import ImageBatches
from unit.methods import find_method
from unit.methods.autoencoders.aae_semi import SemiAAE
from unit.networks.codes import Centered


@pytest.mark.parametrize("name", ["aae_semi", "aae_cluster"])
def test_smoothness_is_the_divergence_under_the_change_that_changes_categories_most(name: str) -> None:
    keys = {"model__noise": 0.4, "model__combined": 2.0, "model__radius": 1e-3}
    method, batch = made(SemiAAE, name, **keys, model__smoothness=3.0)
    plain, _ = made(SemiAAE, name, **keys)
    e, k = method.networks["encoder"], method.settings.categories
    x = (batch.intensities + 0.4 * noise_of(batch, "noise", 1, 16, 16)).clip(0, 1)

    def divergences(changes: Tensor) -> Tensor:
        p, q = (e(images)[:, :k].softmax(1) for images in (x, x + changes))
        return (p * (p / q).log()).sum(1)

    def scaled(changes: Tensor) -> Tensor:
        return 1e-3 * changes / changes.flatten(1).norm(dim=1)[:, None, None, None]

    random = scaled(noise_of(batch, "perturbation", 1, 16, 16)).requires_grad_()
    (gradient,) = torch.autograd.grad(divergences(random).sum(), random)
    worst = divergences(scaled(gradient))
    assert (worst > divergences(random)).all()
    (_, without), (_, phase) = (list(m.phases(m.networks, batch, recompute=False)) for m in (plain, method))
    close(phase.terms["smoothness"], worst.mean())
    close(phase.loss, without.loss + 3 * worst.mean())
    assert all(parameter.requires_grad for parameter in e.parameters())


def test_with_a_warp_smoothness_is_the_divergence_under_both() -> None:
    keys = {"model__combined": 2.0, "model__smoothness": 3.0, "model__radius": 0.5}
    method, batch = made(SemiAAE, "aae_cluster", **keys, model__warp=0.2)
    e, k, x = method.networks["encoder"], method.settings.categories, batch.intensities
    y = e(x)[:, :k].softmax(1)
    change = method.perturbation(x, y.detach(), noise_of(batch, "perturbation", 1, 16, 16))
    moved = e(warp(x + change, 0.2, noise_of(batch, "warp", 6)))[:, :k].softmax(1)
    *_, phase = method.phases(method.networks, batch, recompute=False)
    close(phase.terms["smoothness"], (y * (y / moved).log()).sum(1).mean())


def test_balance_adds_the_imbalance_of_the_categories() -> None:
    method, batch = made(SemiAAE, "aae_cluster balanced", model__balance=5.0)
    plain, _ = made(SemiAAE, "aae_cluster balanced", model__balance=0.0)
    expected = imbalance_in_groups(method.network.code(batch.x).y, 2)
    (_, without), (_, phase) = (list(m.phases(m.networks, batch, recompute=False)) for m in (plain, method))
    close(phase.terms["imbalance"], expected)
    close(phase.loss, without.loss + 5 * expected)


def test_a_normalized_encoder_sees_images_less_the_mean_of_those_it_trains_on(tmp_path: Path) -> None:
    keys: dict[str, Any] = {"data__root": write_mnist(tmp_path / "mnist", train=60), "data__held_out": 20}
    config = parse_config("aae_cluster balanced", **keys)
    kind = find_method(config.method)
    batches = kind.open(config, Shard(0, 4))
    method = kind(config, batches)
    assert isinstance(method, SemiAAE) and isinstance(batches, ImageBatches)
    centered, perceptron = method.network.encoder.children()
    assert isinstance(centered, Centered) and len(batches.images) == 40
    images = batches.images.tensor.double() / 255
    torch.testing.assert_close(centered.mean.double(), images.mean(0), rtol=0, atol=1e-7)
    first, norm = list(perceptron.children())[1:3]
    assert isinstance(first, nn.Linear) and isinstance(norm, nn.LayerNorm)
    x = images[:3].float()
    hidden = first((x - centered.mean).flatten(1))
    scaled = (hidden - hidden.mean(1, keepdim=True)) / (hidden.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(norm(hidden), scaled)
    torch.testing.assert_close(method.network.encoder(x), nn.Sequential(*list(perceptron.children())[3:])(scaled))


def test_an_image_of_flat_categories_is_not_changed_to_nan() -> None:
    method, batch = made(SemiAAE, "aae_semi smooth")
    with torch.no_grad():
        for parameter in method.networks["encoder"].parameters():
            parameter.zero_()
    phase = list(method.phases(method.networks, batch, recompute=False))[-1]
    assert phase.terms["smoothness"].item() == pytest.approx(0, abs=1e-12) and phase.loss.isfinite()
