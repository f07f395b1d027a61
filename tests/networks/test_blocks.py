"""The blocks: their formulas, sizes and norms; and no image of a batch ever touches another."""

import pytest
import torch
import torch.nn.functional as F
from architectures import images
from torch import Tensor, nn

from unit.networks.blocks import (
    Padding,
    ResidualBlock,
    conv_block,
    norm_layer,
    residual_blocks,
    run_shared,
    upsampling_block,
)
from unit.networks.generator import generator_private


def test_a_residual_block_is_its_formula() -> None:
    torch.manual_seed(0)
    block = ResidualBlock(3).double()
    first, last = (m for m in block.modules() if isinstance(m, nn.Conv2d))
    x = images(2, 3, 5, 7)

    def normalized(y: Tensor) -> Tensor:
        variance, mean = torch.var_mean(y, dim=(2, 3), keepdim=True, correction=0)
        return (y - mean) / (variance + 1e-5).sqrt()

    y = normalized(F.conv2d(x, first.weight, padding=1)).clamp(min=0)
    expected = x + normalized(F.conv2d(y, last.weight, padding=1))
    torch.testing.assert_close(block(x), expected, rtol=0, atol=1e-12)
    assert residual_blocks(0, 3)(x) is x


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


def test_run_shared_is_two_calls_in_one_with_the_same_gradients() -> None:
    torch.manual_seed(0)
    shared = residual_blocks(2, 4).double()
    x_a, x_b = images(2, 4, 5, 5, seed=1).requires_grad_(), images(3, 4, 5, 5, seed=2).requires_grad_()
    y_a, y_b = run_shared(shared, x_a, x_b)
    inputs = [x_a, x_b, *shared.parameters()]
    fast = torch.autograd.grad(y_a.square().sum() + y_b.pow(3).sum(), inputs)
    plain = torch.autograd.grad(shared(x_a).square().sum() + shared(x_b).pow(3).sum(), inputs)
    torch.testing.assert_close(y_a, shared(x_a), rtol=0, atol=1e-10)
    torch.testing.assert_close(y_b, shared(x_b), rtol=0, atol=1e-10)
    for one, other in zip(fast, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_the_generators_head_has_the_kernel_that_it_is_given() -> None:
    private = generator_private(3, width=2, blocks=0, last_kernel=7)
    last = private[-2]
    assert isinstance(last, nn.Conv2d) and last.kernel_size == (7, 7) and last.padding == (3, 3)
    assert isinstance(private[-1], nn.Tanh)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def test_the_gradient_of_one_image_is_right_in_the_layout_of_the_training(device: str) -> None:
    """torch 2.15's instance norm has wrong gradients for one image on a CPU where they come channels last."""
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
