"""Augmentation: exact where it can be, within its bounds elsewhere, and of each image on its own."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from unit.data.augmentation import augment, color_jitter, enlarge, warp
from unit.data.images import to_float


def images(count: int = 3, channels: int = 3, side: int = 16, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, channels, side, side), dtype=torch.uint8, generator=generator)


def draws(count: int = 3, seed: int = 1) -> Tensor:
    return torch.rand(count, 10, generator=torch.Generator().manual_seed(seed))


def draw(**values: float) -> Tensor:
    """One image's draws: 0.5 each, which changes no color, but for these."""
    u = torch.full((1, 10), 0.5)
    columns = {"flip": 2, "zoom": 3, "top": 4, "left": 5, "brightness": 6, "contrast": 7, "saturation": 8, "hue": 9}
    for name, value in values.items():
        u[0, columns[name]] = value
    return u


def test_without_options_it_is_the_cast_to_minus_one_to_one() -> None:
    x = images()
    y = augment(x, draws(), flip=False)
    assert y.dtype == torch.float32
    assert torch.equal(y, to_float(x))
    ends = augment(torch.tensor([0, 255], dtype=torch.uint8).view(1, 1, 1, 2), draws(1), flip=False)
    assert ends.flatten().tolist() == [-1, 1]


def test_a_flip_is_exact_and_happens_below_one_half() -> None:
    x = images(2)
    u = torch.cat([draw(flip=0.4999), draw(flip=0.5)])
    y = augment(x, u, flip=True)
    assert torch.equal(y[0], to_float(x[0]).flip(-1))
    assert torch.equal(y[1], to_float(x[1]))


def test_half_of_the_images_are_flipped() -> None:
    x = images(1).expand(1000, -1, -1, -1)
    y = augment(x, draws(1000), flip=True)
    flipped = (y != to_float(x)).flatten(1).any(1).sum()
    assert abs(int(flipped) - 500) < 5 * math.sqrt(250)


def test_enlarging_by_one_changes_nothing() -> None:
    x = to_float(images())
    assert torch.equal(augment(images(), draws(), flip=False, zoom=1.0), x)
    torch.testing.assert_close(enlarge(x, torch.ones(3), draws()[:, :2]), x, rtol=0, atol=1e-5)
    small = torch.cat([draw(zoom=0.0)] * 3)
    torch.testing.assert_close(augment(images(), small, flip=False, zoom=2.0), x, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("place", "rows", "columns"), [
    ((0.0, 0.0), slice(0, 8), slice(0, 8)),
    ((1.0, 1.0), slice(8, 16), slice(8, 16)),
    ((0.0, 1.0), slice(0, 8), slice(8, 16)),
    ((1.0, 0.0), slice(8, 16), slice(0, 8)),
    ((0.5, 0.5), slice(4, 12), slice(4, 12)),
])  # fmt: skip
def test_enlarging_twice_is_the_bilinear_resize_of_that_quarter(
    place: tuple[float, float], rows: slice, columns: slice
) -> None:
    x = to_float(images(1))
    y = enlarge(x, torch.tensor([2.0]), torch.tensor([place]))
    expected = F.interpolate(x[..., rows, columns], scale_factor=2, mode="bilinear", align_corners=False)
    inner = (..., slice(1, -1), slice(1, -1))  # at the window's edge enlarge still sees the pixels beyond it
    torch.testing.assert_close(y[inner], expected[inner], rtol=0, atol=1e-5)


def test_the_window_lies_at_top_and_left() -> None:
    x = torch.zeros(1, 1, 16, 16, dtype=torch.uint8)
    x[..., 12:, :4] = 255  # white at the bottom left
    y = augment(x, draw(zoom=1.0, top=1.0, left=0.0), flip=False, zoom=4.0)
    assert y[..., 2:, :-2].min() > 0.99
    for top, left in ((0.0, 0.0), (0.0, 1.0), (1.0, 1.0)):
        assert augment(x, draw(zoom=1.0, top=top, left=left), flip=False, zoom=4.0).max() < -0.99


def test_the_enlargement_is_log_uniform_between_one_and_zoom() -> None:
    x = (torch.arange(16) * 16).to(torch.uint8).expand(1, 1, 16, 16)  # a ramp: its slope tells the factor
    for u, factor in ((0.0, 1.0), (0.25, math.sqrt(2)), (0.5, 2.0), (1.0, 4.0)):
        y = augment(x, draw(zoom=u), flip=False, zoom=4.0)[0, 0, 8]
        assert ((y[9] - y[6]) / 3).item() == pytest.approx(16 / 127.5 / factor, rel=1e-4)


def test_enlarging_stays_within_the_images_values() -> None:
    x = images(50)
    y, x = augment(x, draws(50), flip=False, zoom=3.0), to_float(x)
    assert (y.amax((2, 3)) <= x.amax((2, 3)) + 1e-5).all() and (y.amin((2, 3)) >= x.amin((2, 3)) - 1e-5).all()


def test_jitter_at_its_middle_changes_nothing() -> None:
    x = images()
    u = torch.cat([draw()] * 3)
    torch.testing.assert_close(augment(x, u, flip=False, jitter=1.0), to_float(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("u", "factor"), [(0.0, 0.8), (0.25, 0.9), (0.75, 1.1), (1.0, 1.2)])
def test_brightness_changes_by_up_to_its_share(u: float, factor: float) -> None:
    x = images()
    y = augment(x, torch.cat([draw(brightness=u)] * 3), flip=False, jitter=0.2)
    expected = (x.float() / 255 * factor).clamp(0, 1) * 2 - 1
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("u", "factor"), [(0.0, 0.8), (1.0, 1.2)])
@pytest.mark.parametrize("channels", [1, 3])
def test_contrast_changes_about_each_images_own_mean(u: float, factor: float, channels: int) -> None:
    x = images(channels=channels) // 4 + torch.tensor([0, 60, 120], dtype=torch.uint8)[:, None, None, None]
    y = augment(x, torch.cat([draw(contrast=u)] * 3), flip=False, jitter=0.2)
    luma = torch.tensor([0.299, 0.587, 0.114])[:, None, None] if channels == 3 else torch.ones(1, 1, 1)
    mean = (x.float() / 255 * luma).sum(1, keepdim=True).mean((2, 3), keepdim=True)
    expected = (mean + factor * (x.float() / 255 - mean)).clamp(0, 1) * 2 - 1
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("u", "factor"), [(0.0, 0.0), (1.0, 2.0)])
def test_saturation_changes_about_gray(u: float, factor: float) -> None:
    x = images() // 2 + 64
    y = augment(x, torch.cat([draw(saturation=u)] * 3), flip=False, jitter=1.0)
    luma = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    gray = (x.float() / 255 * luma).sum(1, keepdim=True)
    expected = (gray + factor * (x.float() / 255 - gray)).clamp(0, 1) * 2 - 1
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-4)


def test_hue_turns_by_up_to_a_tenth_of_the_color_circle() -> None:
    red = torch.zeros(1, 3, 16, 16, dtype=torch.uint8)
    red[:, 0] = 255
    y = augment(red, draw(hue=1.0), flip=False, jitter=1.0)[0, :, 0, 0]
    assert y.tolist() == pytest.approx([1, 2 * 0.6 - 1, -1], abs=1e-4)  # 36° of the 60° from red to yellow
    y = augment(red, draw(hue=0.0), flip=False, jitter=1.0)[0, :, 0, 0]
    assert y.tolist() == pytest.approx([1, -1, 2 * 0.6 - 1], abs=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
def test_strong_jitter_stays_in_range_and_finite(channels: int) -> None:
    y = augment(images(100, channels), draws(100), flip=True, zoom=2.0, jitter=1.0)
    assert y.isfinite().all() and y.min() >= -1 and y.max() <= 1
    assert y.shape == (100, channels, 16, 16)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("value", [0, 1, 127, 255])
def test_flat_images_stay_flat_and_finite(value: int, channels: int) -> None:
    x = torch.full((20, channels, 16, 16), value, dtype=torch.uint8)
    y = augment(x, draws(20), flip=True, zoom=2.0, jitter=1.0)
    assert y.isfinite().all()
    assert y.std(dim=(2, 3)).max() < 1e-5
    if channels == 3:  # gray has no hue or saturation to change
        torch.testing.assert_close(y[:, 0], y[:, 2], rtol=0, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_is_augmented_alike_in_any_batch(channels: int) -> None:
    x, u = images(6, channels), draws(6)
    x[3] = 255  # an outlier that a mean over the batch would show
    together = augment(x, u, flip=True, zoom=1.5, jitter=0.8)
    for number in range(6):
        alone = augment(x[number : number + 1], u[number : number + 1], flip=True, zoom=1.5, jitter=0.8)
        torch.testing.assert_close(alone[0], together[number], rtol=0, atol=1e-5)


def test_the_crops_own_draws_change_nothing_else() -> None:
    x, u = images(), draws()
    other = u.clone()
    other[:, :2] = torch.rand(3, 2, generator=torch.Generator().manual_seed(9))
    options = {"zoom": 1.5, "jitter": 0.5}
    assert torch.equal(augment(x, u, flip=True, **options), augment(x, other, flip=True, **options))


def test_every_other_draw_counts() -> None:
    x, u = images(1), draws(1)
    before = augment(x, u, flip=True, zoom=1.5, jitter=0.5)
    for column in range(2, 10):
        other = u.clone()
        other[:, column] = (other[:, column] + 0.5) % 1
        assert not torch.equal(augment(x, other, flip=True, zoom=1.5, jitter=0.5), before), column


def test_jitter_of_strength_0_is_the_identity() -> None:
    x = to_float(images())
    torch.testing.assert_close(color_jitter(x, 2 * draws()[:, :4] - 1, 0.0), x, rtol=0, atol=1e-5)


def test_the_batch_is_not_changed_in_place() -> None:
    x, u = images(), draws()
    x_before, u_before = x.clone(), u.clone()
    augment(x, u, flip=True, zoom=1.5, jitter=0.5)
    assert torch.equal(x, x_before) and torch.equal(u, u_before)


Two = tuple[float, float]


def warps(*, shift: Two = (0, 0), logs: Two = (0, 0), angle: float = 0, shear: float = 0) -> Tensor:
    """The draws (1, 6) of which strength 0.5 makes these: shifts in pixels of 8, radians."""
    own = torch.tensor([*shift, *logs, angle, shear], dtype=torch.float64)
    return (own / (0.5 * torch.tensor([1, 1, 0.5, 0.5, 1, 1])))[None]


def test_a_warp_turns_shears_stretches_and_shifts() -> None:
    x = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(warp(x, 0.5, warps()), x)
    torch.testing.assert_close(warp(x, 0.5, warps(angle=math.pi / 2)), x.rot90(-1, (2, 3)))
    shifted = warp(x, 0.5, warps(shift=(2, 1)))  # to the right, down
    torch.testing.assert_close(shifted[..., 1:, 2:], x[..., :-1, :-2])
    assert max(shifted[..., :1, :].max(), shifted[..., :2].max()) < 1e-12
    ramp = torch.arange(8, dtype=torch.float64) - 3.5
    wide = warp(ramp.expand(1, 1, 8, 8), 0.5, warps(logs=(math.log(2), 0)))
    torch.testing.assert_close(wide, (ramp / 2).expand(1, 1, 8, 8))  # what was at 1 is at 2 now
    inner = slice(3, 5)  # a shear that takes nothing from outside
    sheared = warp(ramp.expand(1, 1, 8, 8), 0.5, warps(shear=math.atan(1)))
    moved = (ramp[None, inner] - sheared[0, 0][inner, inner]) / ramp[inner, None]
    torch.testing.assert_close(moved.abs(), torch.ones_like(moved))
    level = ramp[:, None].expand(1, 1, 8, 8)
    torch.testing.assert_close(warp(level, 0.5, warps(shear=math.atan(1)))[..., inner, inner], level[..., inner, inner])


def test_each_image_has_a_warp_of_its_own() -> None:
    x = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0)).repeat(3, 1, 1, 1)
    normals = torch.randn(3, 6, generator=torch.Generator().manual_seed(1))
    together = warp(x, 0.2, normals)
    assert not torch.equal(together[0], together[1])
    torch.testing.assert_close(warp(x[1:2], 0.2, normals[1:2])[0], together[1])
