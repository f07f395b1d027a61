"""Models of images: their networks, and what they make of an image, a label and a code."""

import math
from typing import Any, Literal, get_args

import pytest
import torch
from autoencoder_toys import close, concatenating, made, one_hot
from digit_toys import normals, uniforms
from torch import nn

from unit.config.data import Channels
from unit.core.likelihood import LikelihoodKind
from unit.data.images import to_float
from unit.methods.autoencoders.aae_semi import SemiAAE
from unit.methods.autoencoders.base import AutoencoderMethod
from unit.methods.autoencoders.m1 import M1
from unit.methods.autoencoders.m1m2 import M1M2
from unit.methods.autoencoders.m2 import M2
from unit.methods.autoencoders.vae import VAE
from unit.methods.base import Method
from unit.models.autoencoder import ImageAutoencoder, ImageShape, NetsConfig, autoencoder
from unit.models.categorical import CategoricalAutoencoder


def test_encoder_and_decoder_are_mirrored() -> None:
    method, _ = made(VAE, "vae", model__hidden=[7, 5], model__latent=3)
    shapes = {
        key: [tuple(m.weight.shape) if isinstance(m, nn.Linear) else type(m).__name__ for m in net.modules()
              if not isinstance(m, nn.Sequential | nn.Flatten | nn.Unflatten)]
        for key, net in method.networks.items()
    }  # fmt: skip
    assert shapes["encoder"] == [(7, 256), "Tanh", (5, 7), "Softplus", (6, 5)]
    assert shapes["decoder"] == [(5, 3), "Softplus", (7, 5), "Tanh", (256, 7)]


@pytest.mark.parametrize("likelihood", get_args(LikelihoodKind))
@pytest.mark.parametrize("architecture", ["mlp", "conv"])
@pytest.mark.parametrize(("side", "channels"), [(28, 1), (16, 1), (20, 3)])
def test_codes_have_latent_dimensions_and_images_are_in_minus_one_to_one(
    likelihood: LikelihoodKind, architecture: Literal["mlp", "conv"], side: int, channels: Channels
) -> None:
    torch.manual_seed(0)
    nets = NetsConfig(latent=2, hidden=(8, 8), likelihood=likelihood, architecture=architecture)
    model = autoencoder(nets, ImageShape(side, channels, classes=0))
    z = model.code(2 * uniforms(3, channels, side, side, seed=0).float() - 1)
    image = model.image(50 * z)
    assert z.shape == (3, 2) and image.shape == (3, channels, side, side)
    assert image.min() >= -1 and image.max() <= 1
    assert image.std() > 0


def test_m1_classifies_at_the_mean_of_the_code() -> None:
    method, batch = made(M1, "m1")
    mean = method.networks["encoder"](batch.intensities)[:, :2]
    close(method.network.classify(batch.x), method.network.classifier(mean))


def test_m2_separates_style_from_label() -> None:
    method, batch = made(M2, "m2")
    model = method.network
    y = torch.tensor([1, 2, 3, 4])
    plain = model.m2
    flat = torch.cat([batch.intensities.flatten(1), one_hot(y).float()], dim=1)
    close(model.code(batch.x, y), concatenating(plain.encoder)(flat)[:, :2])
    z = normals(4, 2, seed=0).float()
    image = concatenating(plain.decoder)(torch.cat([z, one_hot(y).float()], dim=1)).sigmoid()
    close(model.image(z, y), 2 * image.view(4, 1, 16, 16) - 1)
    close(model.classify(batch.x), plain.classifier(batch.intensities.flatten(1)))


def test_m1m2_goes_through_the_means_of_both_codes() -> None:
    method, batch = made(M1M2, "m1m2")
    model, y = method.network, torch.tensor([1, 2, 3, 4])
    z1 = method.networks["encoder"](batch.intensities)[:, :2]
    close(model.classify(batch.x), model.m2.classifier(z1))
    close(model.code(batch.x, y), concatenating(model.m2.encoder)(torch.cat([z1, one_hot(y).float()], dim=1))[:, :3])
    z2 = normals(4, 3, seed=0).float()
    mean = concatenating(model.m2.decoder)(torch.cat([z2, one_hot(y).float()], dim=1))[:, :2]
    close(model.image(z2, y), 2 * method.networks["decoder"](mean).sigmoid() - 1)


def test_the_heads_begin_with_room_for_all() -> None:
    method, _ = made(SemiAAE, "aae_cluster heads", model__categories=400, model__latent=2)
    assert method.network.decoder.heads is not None
    points = method.network.decoder.heads.weight.detach()  # (2, 400), 3 apart in a square of side 60
    assert points.abs().max() <= 30 and (points.std(dim=1) - 60 / math.sqrt(12)).abs().max() < 1.5


def test_the_decoders_point_by_hand() -> None:
    y, z = torch.tensor([[0.25, 0.75], [1.0, 0.0]]).double(), torch.tensor([[1.0, 2.0], [3.0, 4.0]]).double()
    plain, _ = made(SemiAAE, "aae_cluster", model__categories=2)
    assert plain.network.decoder.point(y, z).tolist() == [[0.25, 0.75, 1.0, 2.0], [1.0, 0.0, 3.0, 4.0]]
    heads, _ = made(SemiAAE, "aae_cluster heads", model__categories=2)
    assert heads.network.decoder.heads is not None
    with torch.no_grad():
        heads.network.decoder.heads.weight.copy_(torch.tensor([[4.0, 8.0], [0.0, -4.0]]))  # points (4, 0) and (8, −4)
    assert heads.network.decoder.point(y, z).tolist() == [[1 + 6 + 1, -3.0 + 2], [7.0, 4.0]]


@pytest.mark.parametrize("name", ["aae_semi", "aae_cluster heads"])
def test_a_categorical_code_is_logits_and_then_the_style(name: str) -> None:
    method, batch = made(SemiAAE, name)
    model, k = method.network, method.settings.categories
    output = model.encoder(batch.intensities)
    code = model.code(batch.x)
    assert torch.equal(code.logits, output[:, :k]) and torch.equal(code.z, output[:, k:])
    close(code.y, output[:, :k].exp() / output[:, :k].exp().sum(1, keepdim=True))
    close(model.image(code.y, code.z), 2 * model.decoder(code.y, code.z) - 1)
    assert isinstance(method.model, CategoricalAutoencoder) and method.model.supervised == (name == "aae_semi")


@pytest.mark.parametrize("name", ["vae", "cvae", "aae", "aae_supervised", "wae"])
def test_the_finished_network_codes_and_decodes_without_noise(name: str) -> None:
    method, batch = made(AutoencoderMethod, name)
    model = method.autoencoder
    assert isinstance(model, ImageAutoencoder) and method.model is model
    label = one_hot(batch.y).to(batch.x.dtype)
    in_encoder, in_decoder = name == "cvae", name in ("cvae", "aae_supervised")
    p = torch.cat([batch.intensities.flatten(1), label], dim=1) if in_encoder else batch.intensities
    z = model.encoder(p)[:, :2]
    close(model.code(batch.x, batch.y), z)
    output = model.decoder(torch.cat([z, label], dim=1) if in_decoder else z)
    mean = output.sigmoid() if model.config.model.likelihood == "bernoulli" else output
    close(model.image(z, batch.y), 2 * mean - 1)


@pytest.mark.parametrize("name", ["vae", "vae conv", "vae denoising", "cvae", "m2", "aae_semi"])
def test_images_are_in_minus_one_to_one_outside_and_bytes_over_255_inside(name: str) -> None:
    method, _ = made(Method, name)
    model: Any = method.model.float()
    levels = torch.arange(256)
    u = torch.stack([levels, levels.flip(0), levels * 7 % 256]).to(torch.uint8).view(3, 1, 16, 16)
    x, p, y = to_float(u), u / 255, torch.tensor([3, 0, 9])
    label = one_hot(y).float()
    if isinstance(model, CategoricalAutoencoder):
        code = model.code(x)
        given, output = torch.cat([code.logits, code.z], dim=1), model.encoder(p)
        image, mean = model.image(code.y, code.z), model.decoder(code.y, code.z)
    elif name == "m2":
        given = z = model.code(x, y)
        output = concatenating(model.m2.encoder)(torch.cat([p.flatten(1), label], dim=1))[:, :2]
        image = model.image(z, y)
        mean = concatenating(model.m2.decoder)(torch.cat([z, label], dim=1)).sigmoid().view_as(p)
    else:
        given = z = model.code(x, y)
        output = model.encoder(torch.cat([p.flatten(1), label], dim=1) if name == "cvae" else p)[:, :2]
        image = model.image(z, y)
        mean = model.decoder(torch.cat([z, label], dim=1) if name == "cvae" else z)
        mean = mean.sigmoid() if model.config.model.likelihood == "bernoulli" else mean
    torch.testing.assert_close(given, output, rtol=0, atol=1e-6)
    torch.testing.assert_close(image, 2 * mean - 1, rtol=0, atol=1e-6)
