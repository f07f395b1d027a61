"""The siblings' networks: the published counts, what U-Net drops, what CUT's generator is made of."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unit.config import from_sections
from unit.methods import find_method
from unit.models.base import TranslatedImages
from unit.models.one_way import UNetConfig, UNetTranslator, UNetTranslatorConfig
from unit.networks.blocks import conv_block
from unit.networks.discogan import DiscoGenerator
from unit.networks.dropout import Dropout
from unit.networks.resnet import Blur, ResnetGenerator
from unit.networks.unet import UNet


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("method", "sections", "counts"),
    [
        ("cyclegan", {}, {"discriminators": 2 * 2_764_737, "translator": 2 * 11_378_179}),
        ("cyclegan", {"model": {"blocks": 6}}, {"discriminators": 2 * 2_764_737, "translator": 2 * 7_837_699}),
        ("pix2pix", {}, {"discriminator": 2_768_705, "generator": 54_413_955}),
        ("pix2pix", {"model": {"downsamplings": 7}}, {"discriminator": 2_768_705, "generator": 41_828_995}),
        ("cut", {}, {"discriminator": 2_764_737, "generator": 11_378_179, "projections": 560_384}),
        ("discogan", {"data": {"size": 64}}, {"discriminators": 2 * 2_765_568, "generators": 2 * 5_513_856}),
        ("discogan", {"data": {"size": 64}, "model": {"deep": True}},
         {"discriminators": 2 * 2_765_568, "generators": 2 * 7_153_480}),
    ],
)  # fmt: skip
def test_the_published_counts(method: str, sections: dict[str, object], counts: dict[str, int]) -> None:
    config = from_sections({"method": method} | sections, "the test")
    with torch.device("meta"):
        networks = find_method(method)(config, None).networks  # type: ignore[arg-type]
    assert {name: count(network) for name, network in networks.items()} == counts


def test_the_papers_patches_are_of_70_pixels_and_30_by_30() -> None:
    config = from_sections({"method": "cyclegan"}, "the test")
    with torch.device("meta"):
        networks = find_method("cyclegan")(config, None).networks  # type: ignore[arg-type]
        x = torch.empty(1, 3, 256, 256)
        (logits,), _ = networks["discriminators"](x, x)
    assert logits.shape == (1, 1, 30, 30)
    field = 1
    for kernel, stride in reversed([(4, 2), (4, 2), (4, 2), (4, 1), (4, 1)]):
        field = (field - 1) * stride + kernel
    assert field == 70


def test_the_unet_drops_in_the_layers_after_the_innermost_alone() -> None:
    net = UNet(3, 3, width=2, downsamplings=8)
    dropping = [any(isinstance(m, Dropout) for m in layer.modules()) for layer in net.up]
    assert dropping == [False, True, True, True, False, False, False, False]


def test_its_dropout_stays_on_in_a_translation_the_same_for_each_image() -> None:
    torch.manual_seed(0)
    config = UNetTranslatorConfig(TranslatedImages(), UNetConfig(width=4, downsamplings=4, dropped_layers=2))
    model = UNetTranslator(config).double().eval()
    x = torch.rand(3, 3, 16, 16, dtype=torch.float64) * 2 - 1
    together = model.translate(x)
    for image, expected in zip(x, together, strict=True):
        torch.testing.assert_close(model.translate(image[None])[0], expected, rtol=0, atol=1e-12)
    assert not torch.allclose(model(x), together)  # without masks


def test_the_blur_by_hand() -> None:
    x = torch.zeros(1, 1, 4, 4)
    x[0, 0, 2, 2] = 16.0
    assert Blur()(x)[0, 0].tolist() == [[0, 0], [0, 4.0]]
    flat = torch.full((1, 2, 6, 6), 0.3)
    torch.testing.assert_close(Blur()(flat), flat[..., :3, :3])


def test_enlarging_is_the_kernel_1_3_3_1() -> None:
    """The release's: a transposed convolution of stride 2 of the image with its edge repeated, cropped."""
    torch.manual_seed(0)
    x, line = torch.rand(1, 1, 4, 5), torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4
    kernel = (line[:, None] * line)[None, None]
    wide = F.conv_transpose2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), kernel, stride=2, padding=2)
    enlarge = next(m for m in ResnetGenerator(1, 1, width=1, blocks=1).modules() if isinstance(m, nn.Upsample))
    torch.testing.assert_close(enlarge(x), wide[..., 1:-1, 1:-1])


def test_the_generators_features_are_those_of_the_release() -> None:
    torch.manual_seed(0)
    net = ResnetGenerator(3, 3, width=2, blocks=9)
    x = torch.rand(2, 3, 16, 16)
    h, features = net.encode(x)
    assert [tuple(f.shape[1:]) for f in features] == [(3, 22, 22), (4, 16, 16), (8, 8, 8), (8, 4, 4), (8, 4, 4)]
    assert net.feature_widths == [f.shape[1] for f in features] and net.feature_blocks == [0, 4]
    torch.testing.assert_close(net(x), net.decode(h))


def test_a_bias_that_an_instance_norm_subtracts_stays_as_it_is() -> None:
    torch.manual_seed(0)
    block = conv_block(3, 4, kernel=3, norm="instance", bias=True)
    block(torch.rand(2, 3, 8, 8)).square().sum().backward()
    weight, bias = block[0].weight, block[0].bias
    assert weight.grad is not None and weight.grad.abs().max() > 0
    assert bias is not None and bias.grad is not None and bool((bias.grad == 0).all())


def test_discogans_images_are_in_the_range_of_all_others() -> None:
    torch.manual_seed(0)
    net = DiscoGenerator(3, 1, width=2, downsamplings=2, group=2)
    y = net(torch.rand(4, 3, 16, 16) * 2 - 1)
    assert y.shape == (4, 1, 16, 16) and -1 <= y.min() < 0 < y.max() <= 1
