"""UNIT's translator: the paper's, layer by layer; the variants; and no image of a batch ever touches another."""

from dataclasses import replace
from typing import get_args

import pytest
import torch
from architectures import count, images, residual, table
from laws import close, in_one_line
from torch import Tensor, nn
from unit_toys import MODEL, UNIT2018, VARIANTS, translator

from unit.config.data import Channels
from unit.models.base import Direction
from unit.models.unit import Streams, UnitModelConfig
from unit.networks.blocks import ResidualBlock
from unit.networks.discriminator import Discriminators, PatchDiscriminator


def test_the_papers_encoder_layer_by_layer() -> None:
    with torch.device("meta"):
        net = translator(UnitModelConfig())
    for vae in (net.a, net.b):
        assert table(vae.encoder.private) == [
            ("conv", 3, 64, 7, 1),
            ("leaky", 0.01),
            ("conv", 64, 128, 3, 2),
            ("leaky", 0.01),
            ("conv", 128, 256, 3, 2),
            ("leaky", 0.01),
            residual(256),
            residual(256),
            residual(256),
        ]
        assert table(vae.encoder.shared) == [residual(256)]
    assert net.a.encoder.shared is net.b.encoder.shared


def test_the_papers_generator_layer_by_layer() -> None:
    with torch.device("meta"):
        net = translator(UnitModelConfig())
    for vae in (net.a, net.b):
        assert table(vae.decoder.shared) == [residual(256)]
        assert table(vae.decoder.private) == [
            residual(256),
            residual(256),
            residual(256),
            ("transposed", 256, 128, 3, 2),
            ("leaky", 0.01),
            ("transposed", 128, 64, 3, 2),
            ("leaky", 0.01),
            ("conv", 64, 3, 1, 1),
            ("tanh",),
        ]
    assert net.a.decoder.shared is net.b.decoder.shared


def test_the_papers_parameter_counts() -> None:
    # By hand from the table: kernel² · in · out, plus out biases where no instance norm follows.
    block = 2 * (9 * 256 * 256)
    encoder = (49 * 3 * 64 + 64) + (9 * 64 * 128 + 128) + (9 * 128 * 256 + 256) + 3 * block
    generator = 3 * block + (9 * 256 * 128 + 128) + (9 * 128 * 64 + 64) + (64 * 3 + 3)
    discriminator = (
        (9 * 3 * 64 + 64)
        + (9 * 64 * 128 + 128)
        + (9 * 128 * 256 + 256)
        + (9 * 256 * 512 + 512)
        + (9 * 512 * 1024 + 1024)
        + (1024 + 1)
    )
    with torch.device("meta"):
        net, discriminators = translator(UnitModelConfig()), Discriminators(3, 3)
    assert count(net.a.encoder.private) == encoder == 3_917_440
    assert count(net.a.decoder.private) == generator == 3_907_971
    assert count(net) == 2 * encoder + 2 * generator + 2 * block == 18_010_118
    assert count(discriminators) == 2 * discriminator == 12_543_234


def test_only_convolutions_before_an_instance_norm_lack_a_bias() -> None:
    with torch.device("meta"):
        networks = nn.ModuleList([translator(UnitModelConfig()), Discriminators(3, 3)])
    in_blocks = {m for block in networks.modules() if isinstance(block, ResidualBlock) for m in block.modules()}
    for module in networks.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            assert (module.bias is None) == (module in in_blocks)


CHANNELS: tuple[Channels, ...] = get_args(Channels)


@pytest.mark.parametrize("channels_b", CHANNELS)
@pytest.mark.parametrize("channels_a", CHANNELS)
def test_shapes_and_range_of_the_papers_networks(channels_a: Channels, channels_b: Channels) -> None:
    net = translator(channels=channels_a, channels_b=channels_b)
    x_a, x_b = images(2, channels_a, 16, 24, dtype=torch.float32), images(3, channels_b, 16, 24, dtype=torch.float32)
    assert net.stride == 4
    assert net.code_shape(x_a) == (8, 4, 6)
    out = net(x_a, x_b)
    assert {tuple(q.mu.shape) for q in (out.q_a, out.q_ab)} == {(2, 8, 4, 6)}
    assert {tuple(q.mu.shape) for q in (out.q_b, out.q_ba)} == {(3, 8, 4, 6)}
    assert {x.shape for x in (out.x_aa, out.x_aba)} == {x_a.shape}
    assert {x.shape for x in (out.x_bb, out.x_bab)} == {x_b.shape}
    assert out.x_ab.shape == (2, channels_b, 16, 24) == net.translate(x_a, "a2b").shape
    assert out.x_ba.shape == (3, channels_a, 16, 24) == net.translate(x_b, "b2a").shape
    assert (net.in_channels("a2b"), net.out_channels("a2b")) == (channels_a, channels_b)
    assert (net.in_channels("b2a"), net.out_channels("b2a")) == (channels_b, channels_a)
    assert all(x.abs().max() <= 1 for x in (out.x_aa, out.x_ab, out.x_aba, out.x_bb, out.x_ba, out.x_bab))
    assert net.a.encoder.shared is net.b.encoder.shared
    (logits_a,), (logits_b,) = Discriminators(channels_a, channels_b, width=2)(x_a, x_b)
    assert logits_a.shape == (2, 1, 1, 1)  # 16, 24 / 2⁵, rounded up
    assert logits_b.shape == (3, 1, 1, 1)


def test_images_lie_in_minus_one_to_one_however_large_the_weights() -> None:
    net = translator()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(100)
    x = net.translate(images(1, 3, 16, 16, dtype=torch.float32))
    assert x.abs().max() <= 1
    assert x.abs().max() > 0.9  # so the range is tanh's doing


@pytest.mark.parametrize("downsamplings", [0, 1, 3])
@pytest.mark.parametrize("width", [1, 3])
def test_the_code_has_width_times_two_to_the_downsamplings_channels(downsamplings: int, width: int) -> None:
    net = translator(UnitModelConfig(width=width, downsamplings=downsamplings, blocks=1, shared_blocks=1))
    x = images(1, 3, 16, 16, dtype=torch.float32)
    mu = net.a.encode(x).mu
    assert mu.shape[1:] == net.code_shape(x) == (width << downsamplings, 16 >> downsamplings, 16 >> downsamplings)
    assert net.translate(x).shape == x.shape


def test_unit2018_layer_by_layer() -> None:
    net = translator(UNIT2018)
    discriminators = Discriminators(3, 3, padding="reflect", width=2, layers=4, kernel=4, slope=0.2, scales=3)
    relu, w = ("leaky", 0.0), 2
    assert table(net.a.encoder.private) == [
        ("conv", 3, w, 7, 1),
        ("instance norm", w),
        relu,
        ("conv", w, 2 * w, 4, 2),
        ("instance norm", 2 * w),
        relu,
        ("conv", 2 * w, 4 * w, 4, 2),
        ("instance norm", 4 * w),
        relu,
        *[residual(4 * w)] * 4,
    ]
    assert table(net.a.decoder.private) == [
        *[residual(4 * w)] * 4,
        ("nearest ×2",),
        ("conv", 4 * w, 2 * w, 5, 1),
        ("layer norm", 2 * w),
        relu,
        ("nearest ×2",),
        ("conv", 2 * w, w, 5, 1),
        ("layer norm", w),
        relu,
        ("conv", w, 3, 7, 1),
        ("tanh",),
    ]
    assert table(net.a.encoder.shared) == table(net.a.decoder.shared) == []
    assert len(discriminators.a) == len(discriminators.b) == 3
    leaky = ("leaky", 0.2)
    for network in [*discriminators.a, *discriminators.b]:
        assert isinstance(network, PatchDiscriminator)
        assert table(nn.Sequential(network.private, network.shared)) == [
            ("conv", 3, w, 4, 2),
            leaky,
            ("conv", w, 2 * w, 4, 2),
            leaky,
            ("conv", 2 * w, 4 * w, 4, 2),
            leaky,
            ("conv", 4 * w, 8 * w, 4, 2),
            leaky,
            ("conv", 8 * w, 1, 1, 1),
        ]
    convolutions = [m for net in (net, discriminators) for m in net.modules() if isinstance(m, nn.Conv2d)]
    assert all(conv.padding_mode == "reflect" for conv in convolutions if conv.padding[0])
    x = images(1, 3, 128, 64, dtype=torch.float32)
    assert net.translate(x).shape == x.shape
    assert [tuple(y.shape[2:]) for y in discriminators(x, x)[0]] == [(8, 4), (4, 2), (2, 1)]


@pytest.mark.parametrize("name", VARIANTS)
def test_a_batch_gives_what_its_images_give_one_by_one(name: str) -> None:
    net = translator(VARIANTS[name]).double()
    x_a, x_b = images(2, 3, 16, 16, seed=1), images(3, 3, 16, 16, seed=2)
    together = net(x_a, x_b, None, Streams(identity=True))
    close(together.q_a.mu, net.a.encoder(x_a))
    close(together.q_b.mu, net.b.encoder(x_b))
    for i in range(2):
        for j in range(3):
            alone = net(x_a[i : i + 1], x_b[j : j + 1], None, Streams(identity=True))
            for field, one, several in zip(alone._fields, alone, together, strict=True):
                row = i if field.split("_")[1].startswith("a") else j
                one, several = (x if isinstance(x, Tensor) else x.mu for x in (one, several))
                close(one[0], several[row])


@pytest.mark.parametrize("counts", [(1, 3), (2, 1)])
def test_the_two_domains_may_bring_different_numbers_of_images(counts: tuple[int, int]) -> None:
    net = translator(replace(MODEL, init="kaiming")).double()
    x_a, x_b = images(counts[0], 3, 16, 16, seed=1), images(counts[1], 3, 16, 16, seed=2)
    out = net(x_a, x_b)
    z_a, z_b = net.a.encoder(x_a), net.b.encoder(x_b)
    expected = {
        "x_aa": net.a.decoder(z_a),
        "x_ab": net.b.decoder(z_a),
        "x_bb": net.b.decoder(z_b),
        "x_ba": net.a.decoder(z_b),
        "x_aba": net.a.decoder(net.b.encoder(net.b.decoder(z_a))),
        "x_bab": net.b.decoder(net.a.encoder(net.a.decoder(z_b))),
    }
    for name, image in expected.items():
        close(out._asdict()[name], image)


def test_streams_that_are_not_wanted_are_absent() -> None:
    net = translator(replace(MODEL, init="kaiming")).double()
    x_a, x_b = images(2, 3, 16, 16, seed=1), images(2, 3, 16, 16, seed=2)
    out = net(x_a, x_b, None, Streams(reconstruction=False, cycle_code=False, cycle=False))
    assert {name for name, value in out._asdict().items() if value is None} == {
        "x_aa", "x_bb", "q_ab", "q_ba", "x_aba", "x_bab", "same_a", "same_b",
    }  # fmt: skip
    full = net(x_a, x_b, None, Streams(identity=True))
    assert all(value is not None for value in full)
    close(out.x_ab, full.x_ab, 1e-12)
    close(out.x_ba, full.x_ba, 1e-12)


def test_translation_has_no_noise_and_decodes_the_mean() -> None:
    net, x = translator(replace(MODEL, init="kaiming")).double(), images(2, 3, 16, 16, seed=1)
    first = net.translate(x)
    assert torch.equal(first, net.translate(x))
    torch.testing.assert_close(first, net.b.decoder(net.a.encoder(x)), rtol=0, atol=0)
    torch.testing.assert_close(net.translate(x, "b2a"), net.a.decoder(net.b.encoder(x)), rtol=0, atol=0)
    close(net(x, x).x_ab, first, 1e-12)
    assert torch.equal(net.code(x, "a"), net.a.encoder(x)) and torch.equal(net.code(x, "b"), net.b.encoder(x))


@pytest.mark.parametrize(
    ("shape", "direction", "said"),
    [
        ((1, 3, 16, 16), "b2a", "x: expected (B, 1, H, W) for b2a, got (1, 3, 16, 16)"),
        ((3, 16, 16), "a2b", "x: expected (B, 3, H, W) for a2b, got (3, 16, 16)"),
        ((1, 3, 16, 18), "a2b", "x: expected sides that are multiples of 4, got (16, 18)"),
        ((1, 3, 16, 16), "a2a", "direction: expected a2b or b2a, got 'a2a'"),
    ],
)
def test_what_can_not_be_translated_is_refused_in_one_line(
    shape: tuple[int, ...], direction: Direction, said: str
) -> None:
    with pytest.raises(ValueError) as refusal:
        translator(channels_b=1).translate(torch.zeros(shape), direction)
    assert in_one_line(refusal.value) == said


@pytest.mark.parametrize("name", VARIANTS)
def test_the_identity_stream_is_each_image_through_the_way_that_leads_to_its_own_domain(name: str) -> None:
    net = translator(VARIANTS[name]).double()
    x_a, x_b = images(2, 3, 16, 16, seed=1), images(2, 3, 16, 16, seed=2)
    out = net(x_a, x_b, None, Streams(identity=True))
    close(out.same_a, net.translate(x_a, "b2a"), 1e-12)
    close(out.same_b, net.translate(x_b, "a2b"), 1e-12)
