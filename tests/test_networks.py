"""The networks: the paper's, layer by layer; the variants; and no image of a batch ever touches another."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unit.config.unit import DiscriminatorConfig, LossConfig, ModelConfig, UnitConfig
from unit.data.folders import Batch
from unit.methods.translator import Translator
from unit.methods.unit import Unit
from unit.networks.blocks import (
    Padding,
    ResidualBlock,
    both,
    conv_block,
    norm_layer,
    residual_blocks,
    upsampling_block,
)
from unit.networks.discriminator import Discriminators, PatchDiscriminator
from unit.networks.generator import generator_private

SMALL = ModelConfig(width=2, blocks=2, shared_blocks=1)
UNIT2018 = ModelConfig(
    width=2,
    blocks=4,
    shared_blocks=0,
    down_kernel=4,
    up_kernel=5,
    last_kernel=7,
    upsampling="resize",
    encoder_norm="instance",
    generator_norm="layer",
    slope=0.0,
    padding="reflect",
    init="kaiming",
)
UNIT2018_DISCRIMINATOR = DiscriminatorConfig(width=2, layers=4, kernel=4, slope=0.2, scales=3)


def images(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype) * 2 - 1


def table(network: nn.Module) -> list[tuple[Any, ...]]:
    """What a network is made of, layer by layer, in the order in which it runs."""
    rows: list[tuple[Any, ...]] = []
    match network:
        case ResidualBlock():
            return [("residual", *table(network.body))]
        case nn.Sequential():
            for layer in network:
                rows += table(layer)
        case nn.ConvTranspose2d():
            assert network.groups == 1 and network.dilation == (1, 1)
            rows = [
                ("transposed", network.in_channels, network.out_channels, network.kernel_size[0], network.stride[0])
            ]
        case nn.Conv2d():
            assert network.groups == 1 and network.dilation == (1, 1) and network.padding_mode in ("zeros", "reflect")
            rows = [("conv", network.in_channels, network.out_channels, network.kernel_size[0], network.stride[0])]
        case nn.InstanceNorm2d():
            assert network.weight is None and network.bias is None
            assert network.running_mean is None and network.running_var is None
            rows = [("instance norm", network.num_features)]
        case nn.GroupNorm():
            assert network.num_groups == 1
            rows = [("layer norm", network.num_channels)]
        case nn.LeakyReLU():
            rows = [("leaky", network.negative_slope)]
        case nn.Upsample():
            assert network.mode == "nearest" and network.scale_factor == 2
            rows = [("nearest ×2",)]
        case nn.Tanh():
            rows = [("tanh",)]
        case nn.Identity():
            pass
        case _:
            raise AssertionError(f"no such layer in the paper: {network}")
    return rows


def residual(channels: int) -> tuple[Any, ...]:
    conv = ("conv", channels, channels, 3, 1)
    norm = ("instance norm", channels)
    return ("residual", conv, norm, ("leaky", 0.0), conv, norm)


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


# The paper's networks.


def test_the_papers_encoder_layer_by_layer() -> None:
    with torch.device("meta"):
        translator = Translator(ModelConfig(), channels=3)
    for vae in (translator.a, translator.b):
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
    assert translator.a.encoder.shared is translator.b.encoder.shared


def test_the_papers_generator_layer_by_layer() -> None:
    with torch.device("meta"):
        translator = Translator(ModelConfig(), channels=3)
    for vae in (translator.a, translator.b):
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
    assert translator.a.decoder.shared is translator.b.decoder.shared


def test_the_papers_discriminators_layer_by_layer() -> None:
    with torch.device("meta"):
        discriminators = Discriminators(3)
    for networks in (discriminators.a, discriminators.b):
        (network,) = networks
        assert isinstance(network, PatchDiscriminator)
        assert table(nn.Sequential(network.private, network.shared)) == [
            ("conv", 3, 64, 3, 2),
            ("leaky", 0.01),
            ("conv", 64, 128, 3, 2),
            ("leaky", 0.01),
            ("conv", 128, 256, 3, 2),
            ("leaky", 0.01),
            ("conv", 256, 512, 3, 2),
            ("leaky", 0.01),
            ("conv", 512, 1024, 3, 2),
            ("leaky", 0.01),
            ("conv", 1024, 1, 1, 1),
        ]


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
        translator, discriminators = Translator(ModelConfig(), channels=3), Discriminators(3)
    assert count(translator.a.encoder.private) == encoder == 3_917_440
    assert count(translator.a.decoder.private) == generator == 3_907_971
    assert count(translator) == 2 * encoder + 2 * generator + 2 * block == 18_010_118
    assert count(discriminators) == 2 * discriminator == 12_543_234


def test_only_convolutions_before_an_instance_norm_lack_a_bias() -> None:
    with torch.device("meta"):
        networks = nn.ModuleList([Translator(ModelConfig(), channels=3), Discriminators(3)])
    in_blocks = {m for block in networks.modules() if isinstance(block, ResidualBlock) for m in block.modules()}
    for module in networks.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            assert (module.bias is None) == (module in in_blocks)


def test_a_residual_block_is_its_formula() -> None:
    torch.manual_seed(0)
    block = ResidualBlock(3).double()
    first, last = (m for m in block.modules() if isinstance(m, nn.Conv2d))
    x = images(2, 3, 5, 7)

    def normalised(y: Tensor) -> Tensor:
        variance, mean = torch.var_mean(y, dim=(2, 3), keepdim=True, correction=0)
        return (y - mean) / (variance + 1e-5).sqrt()

    y = normalised(F.conv2d(x, first.weight, padding=1)).clamp(min=0)
    expected = x + normalised(F.conv2d(y, last.weight, padding=1))
    torch.testing.assert_close(block(x), expected, rtol=0, atol=1e-12)
    assert residual_blocks(0, 3)(x) is x


@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_and_range_of_the_papers_networks(channels: int) -> None:
    torch.manual_seed(0)
    assert channels in (1, 3)
    translator = Translator(SMALL, channels=1 if channels == 1 else 3)
    x_a, x_b = images(2, channels, 16, 24, dtype=torch.float32), images(3, channels, 16, 24, dtype=torch.float32)
    assert translator.stride == 4
    assert translator.code_shape(x_a) == (8, 4, 6)
    out = translator(x_a, x_b)
    assert out.mu_a.shape == out.mu_ab.shape == (2, 8, 4, 6)
    assert out.mu_b.shape == out.mu_ba.shape == (3, 8, 4, 6)
    assert {x.shape for x in (out.x_aa, out.x_ab, out.x_aba)} == {x_a.shape}
    assert {x.shape for x in (out.x_bb, out.x_ba, out.x_bab)} == {x_b.shape}
    (logits_a,), (logits_b,) = Discriminators(channels, width=2)(x_a, x_b)
    assert logits_a.shape == (2, 1, 1, 1)  # 16, 24 / 2⁵, rounded up
    assert logits_b.shape == (3, 1, 1, 1)


def test_images_lie_in_minus_one_to_one_however_large_the_weights() -> None:
    torch.manual_seed(0)
    translator = Translator(SMALL, channels=3)
    with torch.no_grad():
        for parameter in translator.parameters():
            parameter.mul_(100)
    x = translator.translate(images(1, 3, 16, 16, dtype=torch.float32))
    assert x.abs().max() <= 1
    assert x.abs().max() > 0.9  # so the range is tanh's doing


@pytest.mark.parametrize("size", [32, 48, 64, 100])
def test_patch_logits_are_the_images_size_over_two_to_the_layers_rounded_up(size: int) -> None:
    torch.manual_seed(0)
    discriminators = Discriminators(3, width=2, layers=5)
    x = images(1, 3, size, 32, dtype=torch.float32)
    (logits,), _ = discriminators(x, x)
    assert logits.shape == (1, 1, math.ceil(size / 32), 1)


# The variants.


@pytest.mark.parametrize("downsamplings", [0, 1, 3])
@pytest.mark.parametrize("width", [1, 3])
def test_the_code_has_width_times_two_to_the_downsamplings_channels(downsamplings: int, width: int) -> None:
    torch.manual_seed(0)
    translator = Translator(
        ModelConfig(width=width, downsamplings=downsamplings, blocks=1, shared_blocks=1), channels=3
    )
    x = images(1, 3, 16, 16, dtype=torch.float32)
    mu = translator.a.encode(x).mu
    assert (
        mu.shape[1:] == translator.code_shape(x) == (width << downsamplings, 16 >> downsamplings, 16 >> downsamplings)
    )
    assert translator.translate(x).shape == x.shape


def test_unit2018_layer_by_layer() -> None:
    translator = Translator(UNIT2018, channels=3)
    discriminators = Discriminators(3, padding="reflect", width=2, layers=4, kernel=4, slope=0.2, scales=3)
    relu, w = ("leaky", 0.0), 2
    assert table(translator.a.encoder.private) == [
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
    assert table(translator.a.decoder.private) == [
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
    assert table(translator.a.encoder.shared) == table(translator.a.decoder.shared) == []
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
    convolutions = [m for net in (translator, discriminators) for m in net.modules() if isinstance(m, nn.Conv2d)]
    assert all(conv.padding_mode == "reflect" for conv in convolutions if conv.padding[0])
    x = images(1, 3, 128, 64, dtype=torch.float32)
    assert translator.translate(x).shape == x.shape
    assert [tuple(y.shape[2:]) for y in discriminators(x, x)[0]] == [(8, 4), (4, 2), (2, 1)]


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
def test_transposed_convolutions_double_the_size_with_any_kernel(kernel: int) -> None:
    assert upsampling_block(2, 3, kernel=kernel)(images(1, 2, 5, 7, dtype=torch.float32)).shape == (1, 3, 10, 14)


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
def test_convolutions_of_stride_2_halve_even_sizes_with_any_kernel(kernel: int) -> None:
    block = conv_block(2, 3, kernel=kernel, stride=2)
    assert block(images(1, 2, 6, 8, dtype=torch.float32)).shape == (1, 3, 3, 4)


def test_resize_convolution_makes_no_checkerboard() -> None:
    # A flat code must become a flat image: each output pixel sees the same sum of weights. A transposed convolution of
    # kernel 3 and stride 2 gives four classes of pixels their own sums.
    torch.manual_seed(0)
    flat = torch.full((1, 4, 6, 6), 0.7, dtype=torch.float64)
    resized = upsampling_block(4, 2, upsampling="resize", padding="reflect", slope=1.0).double()(flat)
    assert resized.shape == (1, 2, 12, 12)
    assert resized.std(dim=(2, 3)).max() < 1e-12
    transposed = upsampling_block(4, 2, upsampling="transposed", slope=1.0).double()(flat)
    assert transposed[..., 2:-2, 2:-2].std(dim=(2, 3)).min() > 1e-3


@pytest.mark.parametrize("padding", ["zeros", "reflect"])
def test_padding_is_what_it_is_called(padding: Padding) -> None:
    torch.manual_seed(0)
    block = conv_block(3, 2, kernel=7, slope=0.01, padding=padding).double()
    conv = block[0]
    assert isinstance(conv, nn.Conv2d)
    x = images(1, 3, 8, 8)
    padded = F.pad(x, (3, 3, 3, 3), mode="constant" if padding == "zeros" else "reflect")
    expected = F.leaky_relu(F.conv2d(padded, conv.weight, conv.bias), 0.01)
    torch.testing.assert_close(block(x), expected, rtol=0, atol=1e-12)


def test_instance_norm_is_of_one_image_and_channel_and_layer_norm_of_one_image() -> None:
    x = images(3, 4, 5, 6) * 7 + 2
    y = norm_layer("instance", 4)(x)
    assert y.mean(dim=(2, 3)).abs().max() < 1e-12
    assert (y.std(dim=(2, 3), correction=0) - 1).abs().max() < 1e-5
    layer = norm_layer("layer", 4).double()
    y = layer(x)
    assert y.mean(dim=(1, 2, 3)).abs().max() < 1e-12
    assert (y.std(dim=(1, 2, 3), correction=0) - 1).abs().max() < 1e-5
    assert {name: p.shape for name, p in layer.named_parameters()} == {"weight": (4,), "bias": (4,)}
    assert norm_layer("none", 4)(x) is x


def test_each_scale_judges_the_image_at_half_the_size_of_the_one_before() -> None:
    torch.manual_seed(0)
    discriminators = Discriminators(3, width=2, layers=2, scales=3).double()
    x_a, x_b = images(2, 3, 32, 40, seed=1), images(2, 3, 32, 40, seed=2)
    logits_a, logits_b = discriminators(x_a, x_b)
    assert len(logits_a) == len(logits_b) == 3
    for scale in range(3):
        torch.testing.assert_close(logits_a[scale], discriminators.a[scale](x_a), rtol=0, atol=1e-12)
        torch.testing.assert_close(logits_b[scale], discriminators.b[scale](x_b), rtol=0, atol=1e-12)
        assert logits_a[scale].shape == (2, 1, 8 >> scale, 10 // (1 << scale) + (scale == 2))
        x_a, x_b = (F.avg_pool2d(x, 3, 2, 1, count_include_pad=False) for x in (x_a, x_b))
    parameters = [id(p) for p in discriminators.parameters()]
    assert len(parameters) == len(set(parameters)) == 2 * 3 * 3 * 2  # domains × scales × layers × (weight, bias)


def test_a_flat_image_stays_as_it_is_on_every_scale() -> None:
    halve = Discriminators(3, width=2).halve
    x = torch.full((1, 3, 16, 16), 0.3, dtype=torch.float64)
    torch.testing.assert_close(halve(x), x[..., :8, :8], rtol=0, atol=1e-12)


@pytest.mark.parametrize("shared_layers", [0, 2])
def test_spectral_norm_bounds_every_layers_largest_singular_value_by_one(shared_layers: int) -> None:
    torch.manual_seed(0)
    discriminators = Discriminators(3, width=4, layers=3, scales=2, shared_layers=shared_layers, spectral_norm=True)
    x = images(1, 3, 32, 32, dtype=torch.float32)
    with torch.no_grad():
        for _ in range(500):  # one power iteration each
            discriminators(x, x)
    discriminators.eval()
    convolutions = [m for m in discriminators.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 2 * (2 * (4 - shared_layers) + shared_layers)
    for conv in convolutions:
        largest = torch.linalg.matrix_norm(conv.weight.flatten(1), 2)
        assert 0.99 < largest < 1.01
    assert not [name for name, _ in Discriminators(3, width=4).named_buffers()]


# Initialisation.


def weights(network: nn.Module) -> list[nn.Conv2d | nn.ConvTranspose2d]:
    return [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]


def assert_normal(sample: Tensor, std: float) -> None:
    """Mean, standard deviation and fourth moment lie within five of their own standard errors."""
    n = sample.numel()
    z = sample.double().flatten() / std
    assert z.mean().abs() < 5 / math.sqrt(n)
    assert (z.square().mean() - 1).abs() < 5 * math.sqrt(2 / n)
    assert (z.pow(4).mean() - 3).abs() < 5 * math.sqrt(96 / n)


def method_of(model: ModelConfig, discriminator: DiscriminatorConfig, loss: LossConfig | None = None) -> Unit:
    torch.manual_seed(0)
    return Unit(UnitConfig(model=model, discriminator=discriminator, loss=loss or LossConfig()))


def test_weights_are_drawn_from_a_normal_of_standard_deviation_two_hundredths() -> None:
    method = method_of(ModelConfig(width=4), DiscriminatorConfig(width=4))
    for network in (method.translator, method.discriminators):
        for layer in weights(network):
            assert_normal(layer.weight, 0.02)
            assert layer.bias is None or not layer.bias.any()


def test_kaiming_weights_have_variance_two_over_fan_in() -> None:
    method = method_of(
        ModelConfig(width=4, init="kaiming", upsampling="resize"), DiscriminatorConfig(width=4, spectral_norm=False)
    )
    for network in (method.translator, method.discriminators):
        for layer in weights(network):
            fan_in = layer.in_channels * layer.kernel_size[0] * layer.kernel_size[1]
            assert_normal(layer.weight, math.sqrt(2 / fan_in))
            assert layer.bias is None or not layer.bias.any()


def test_weights_under_spectral_norm_are_drawn_from_the_same_normal() -> None:
    method = method_of(ModelConfig(width=4), DiscriminatorConfig(width=4, spectral_norm=True))
    originals = {k: p for k, p in method.discriminators.named_parameters() if k.endswith("original")}
    assert len(originals) == 2 * 6
    for original in originals.values():
        assert_normal(original, 0.02)


# One image of a batch knows nothing of another.

VARIANTS = {
    "paper": SMALL,
    "all shared": ModelConfig(width=2, blocks=2, shared_blocks=2),
    "none shared": ModelConfig(width=2, blocks=2, shared_blocks=0),
    "unit2018": UNIT2018,
}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_batch_gives_what_its_images_give_one_by_one(name: str) -> None:
    torch.manual_seed(0)
    translator = Translator(VARIANTS[name], channels=3).double()
    x_a, x_b = images(2, 3, 16, 16, seed=1), images(3, 3, 16, 16, seed=2)
    together = translator(x_a, x_b)
    torch.testing.assert_close(together.mu_a, translator.a.encoder(x_a), rtol=0, atol=1e-10)
    torch.testing.assert_close(together.mu_b, translator.b.encoder(x_b), rtol=0, atol=1e-10)
    for i in range(2):
        for j in range(3):
            alone = translator(x_a[i : i + 1], x_b[j : j + 1])
            for field, one, all_of_them in zip(alone._fields, alone, together, strict=True):
                assert (one is None) == (all_of_them is None) == field.startswith("log_variance")
                if one is None:
                    continue
                row = i if field.split("_")[1].startswith("a") else j
                torch.testing.assert_close(one[0], all_of_them[row], rtol=0, atol=1e-10)


@pytest.mark.parametrize("shared_layers", [0, 2, 4])
def test_discriminators_run_together_give_what_each_gives_alone(shared_layers: int) -> None:
    torch.manual_seed(0)
    discriminators = Discriminators(3, width=2, layers=3, scales=2, shared_layers=shared_layers).double()
    x_a, x_b = images(2, 3, 32, 32, seed=1), images(3, 3, 32, 32, seed=2)
    logits_a, logits_b = discriminators(x_a, x_b)
    for scale in range(2):
        for network, logits, x in ((discriminators.a, logits_a, x_a), (discriminators.b, logits_b, x_b)):
            for i, image in enumerate(x):
                small = F.avg_pool2d(image[None], 3, 2, 1, count_include_pad=False) if scale else image[None]
                torch.testing.assert_close(network[scale](small)[0], logits[scale][i], rtol=0, atol=1e-10)


def test_both_is_two_calls_in_one_with_the_same_gradients() -> None:
    torch.manual_seed(0)
    shared = residual_blocks(2, 4).double()
    x_a, x_b = images(2, 4, 5, 5, seed=1).requires_grad_(), images(3, 4, 5, 5, seed=2).requires_grad_()
    y_a, y_b = both(shared, x_a, x_b)
    inputs = [x_a, x_b, *shared.parameters()]
    fast = torch.autograd.grad(y_a.square().sum() + y_b.pow(3).sum(), inputs)
    plain = torch.autograd.grad(shared(x_a).square().sum() + shared(x_b).pow(3).sum(), inputs)
    torch.testing.assert_close(y_a, shared(x_a), rtol=0, atol=1e-10)
    torch.testing.assert_close(y_b, shared(x_b), rtol=0, atol=1e-10)
    for one, other in zip(fast, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


# Every parameter learns.

PLAYERS = {
    "paper": (SMALL, DiscriminatorConfig(width=2)),
    "all shared": (VARIANTS["all shared"], DiscriminatorConfig(width=2, shared_layers=6)),
    "none shared": (VARIANTS["none shared"], DiscriminatorConfig(width=2, spectral_norm=True)),
    "unit2018": (UNIT2018, UNIT2018_DISCRIMINATOR),
}


@pytest.mark.parametrize("name", PLAYERS)
def test_every_parameter_of_both_players_gets_a_gradient_in_one_step(name: str) -> None:
    method = method_of(*PLAYERS[name])
    with torch.no_grad():  # logits near 0 would have the last bias's gradients of real and fake cancel exactly
        for parameter in method.discriminators.parameters():
            parameter.mul_(1 if name == "unit2018" else 10)
    batch = Batch(images(1, 3, 64, 64, seed=1).float(), images(1, 3, 64, 64, seed=2).float(), 0, range(1), 0)
    for phase in method.phases(method.networks, batch, recompute=False):
        phase.loss.backward()
        for key, parameter in method.networks[phase.player].named_parameters():
            assert parameter.grad is not None and parameter.grad.count_nonzero() > 0, key


def test_the_generators_head_has_the_kernel_that_it_is_given() -> None:
    private = generator_private(3, width=2, blocks=0, last_kernel=7)
    last = private[-2]
    assert isinstance(last, nn.Conv2d) and last.kernel_size == (7, 7) and last.padding == (3, 3)
    assert isinstance(private[-1], nn.Tanh)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_gradient_of_one_image_is_right_in_the_layout_of_the_training(device: str) -> None:
    """torch 2.15's instance norm has wrong gradients for one image on a CPU where they come channels last."""
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    layout = torch.channels_last if device == "cuda" else torch.contiguous_format
    torch.manual_seed(0)
    block = ResidualBlock(8).double()
    x = torch.randn(2, 8, 4, 4, dtype=torch.float64)
    (block(x).tanh().square().sum() / 2).backward()  # of two images at once, which is right in any layout
    expected = [parameter.grad.clone() for parameter in block.parameters() if parameter.grad is not None]
    block.zero_grad()
    block.to(device).to(memory_format=layout)
    for image in x.split(1):
        (block(image.to(device).contiguous(memory_format=layout)).tanh().square().sum() / 2).backward()
    for value, parameter in zip(expected, block.parameters(), strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad.cpu(), value, rtol=1e-9, atol=1e-12)
