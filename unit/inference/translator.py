"""The door to a finished translator: images of any kind and size in, the same kind and size out."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from unit.data.decoding import Decoded, decode_image, decode_picture, turn_upright
from unit.data.images import to_float, to_uint8, with_alpha
from unit.memory import free_memory, is_out_of_memory
from unit.models.base import REVERSED, Direction, ImageTranslator
from unit.models.folder import load_translator

TOLERANCE = 1e-3
"""How far beyond [-1, 1] a float image may be: what resampling adds."""


class Translator:
    """A model that is ready to translate: `translator(image)`."""

    def __init__(self, model: ImageTranslator) -> None:
        self.model = model.eval().requires_grad_(False)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next((parameter.device for parameter in self.model.parameters()), torch.device("cpu"))

    def to(self, device: torch.device | str) -> "Translator":
        """Move the model; raises ValueError for a device that there is not."""
        move(self.model, device)
        return self

    def __call__(self, image: Any, direction: Direction = "a2b", *, cycle: bool = False) -> Any:
        """Translate an image, or several, without latent noise.

        Args:
            image: the path of an image file; a PIL image; a NumPy array, uint8 (H, W), (H, W, C) or (N, H, W, C); a
                tensor, uint8 or float in [-1, 1], (C, H, W) or (N, C, H, W); or a list of these. Sizes are free.
            direction: `"a2b"` or `"b2a"`.
            cycle: translate there and back: the round trip.

        Returns:
            The kind and size that came in, with the target domain's channels; for a path, a PIL image; for a list, a
            list. PIL images keep their alpha, and tensors come back on their device.

        Raises:
            ValueError: a direction that the model does not have, another kind, dtype, shape or range.
            FileNotFoundError, ImageError: a path that is no image.

        Example:
            >>> translator = unit.load("runs/maps")
            >>> translator("photo.jpg").save("map.png")
            >>> translator(torch.zeros(2, 3, 50, 46), "b2a").shape
            torch.Size([2, 3, 50, 46])
        """
        self.check_direction(direction, cycle=cycle)
        channels = self.model.in_channels(direction)
        match image:
            case list() | tuple():
                return [self(one, direction, cycle=cycle) for one in image]
            case str() | Path():
                if not Path(image).exists():
                    raise FileNotFoundError(f"no such image: {str(image)!r}")
                return self._decoded(decode_image(image, channels=channels, keep_alpha=True), direction, cycle=cycle)
            case Image.Image():
                picture = image.copy()
                turn_upright(picture)
                return self._decoded(
                    decode_picture(picture, channels=channels, keep_alpha=True), direction, cycle=cycle
                )
            case np.ndarray():
                return self._array(image, direction, cycle=cycle)
            case Tensor():
                return self._tensor(image, direction, cycle=cycle)
        raise ValueError(
            f"image: expected a path, a PIL image, an array, a tensor or a list, got {type(image).__name__}"
        )

    def check_direction(self, direction: Direction, *, cycle: bool) -> None:
        """Raise ValueError unless the model has that direction, and the way back for a round trip."""
        self.model.check_direction(direction)
        if cycle:
            self.model.check_direction(REVERSED[direction])

    def _decoded(self, image: Decoded, direction: Direction, *, cycle: bool) -> Image.Image:
        y = to_pil(self.translate_bytes(image.pixels[None], direction, cycle=cycle)[0])
        return y if image.alpha is None else with_alpha(y, image.alpha)

    def _array(self, image: np.ndarray[Any, Any], direction: Direction, *, cycle: bool) -> np.ndarray[Any, Any]:
        channels = self.model.in_channels(direction)
        if image.dtype != np.uint8 or image.ndim not in (2, 3, 4):
            raise ValueError(
                "image: expected an array of uint8, (H, W), (H, W, C) or (N, H, W, C), got "
                f"{image.dtype} {image.shape}; floats in [-1, 1] are taken as tensors (C, H, W)"
            )
        x = torch.from_numpy(np.array(image))  # a copy: arrays may be read-only, or have negative strides
        x = x[..., None] if image.ndim == 2 else x
        x = x[None] if image.ndim < 4 else x
        if x.shape[3] != channels or 0 in x.shape:
            raise ValueError(f"image: expected {channels} channels last for {direction}, got {image.shape}")
        y = self.translate_bytes(x.permute(0, 3, 1, 2), direction, cycle=cycle).permute(0, 2, 3, 1)
        y = y if image.ndim == 4 else y[0]
        return (y[..., 0] if image.ndim == 2 and y.shape[-1] == 1 else y).contiguous().numpy()

    def _tensor(self, image: Tensor, direction: Direction, *, cycle: bool) -> Tensor:
        channels = self.model.in_channels(direction)
        if image.ndim not in (3, 4) or image.shape[-3] != channels or 0 in image.shape:
            raise ValueError(
                f"image: expected a tensor (C, H, W) or (N, C, H, W) with C = {channels} for {direction}, got "
                f"{tuple(image.shape)}"
            )
        image = image.detach()
        x = image if image.ndim == 4 else image[None]
        if image.dtype == torch.uint8:
            y = self.translate_bytes(x, direction, cycle=cycle).to(image.device)
        elif image.is_floating_point():
            low, high = float(image.min()), float(image.max())
            if not -1 - TOLERANCE <= low <= high <= 1 + TOLERANCE:  # NaN is beyond, too
                raise ValueError(f"image: expected floats in [-1, 1], got {low:.4g} to {high:.4g}")
            y = self.translate_floats(x, direction, cycle=cycle).to(image)
        else:
            raise ValueError(f"image: expected uint8 or floats, got {image.dtype}")
        return y if image.ndim == 4 else y[0]

    @torch.inference_mode()
    def translate_floats(self, x: Tensor, direction: Direction, *, cycle: bool = False) -> Tensor:
        """float (B, C, H, W) in [-1, 1], of any size, → float32 (B, C', H, W), on the model's device."""
        height, width = x.shape[2:]
        y = self.model.translate(pad(x.to(self.device, torch.float32), self.model.stride), direction)
        if cycle:
            y = self.model.translate(y, REVERSED[direction])
        return y[..., :height, :width]

    def translate_bytes(self, images: Tensor, direction: Direction, *, cycle: bool = False) -> Tensor:
        """uint8 (B, C, H, W), of any size, → uint8 (B, C', H, W), on the CPU."""
        return to_uint8(self.translate_floats(to_float(images), direction, cycle=cycle)).cpu()

    def try_each(self, images: Tensor, direction: Direction, *, cycle: bool = False) -> list[Tensor | str]:
        """Each image's translation, uint8 (C, H, W) on the CPU, or why there is none; what fails together is tried
        alone.

        A CPU's memory is asked for beforehand: a system that has promised more than it has ends the process.
        """
        height, width = images.shape[2:]
        needed = 4.0 * self.model.floats_per_pixel * len(images) * height * width
        free = free_memory(self.device)
        try:
            if needed > free:
                raise MemoryError(
                    f"{width} × {height} pixels need about {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free"
                )
            return list(self.translate_bytes(images, direction, cycle=cycle))
        except (MemoryError, RuntimeError, ValueError) as error:  # ValueError: pixels that are NaN
            if not isinstance(error, ValueError) and not is_out_of_memory(error):
                raise
            reason = str(error) or type(error).__name__
            if is_out_of_memory(error):
                reason = f"{reason.splitlines()[0]}; scale it first with --resize N, to a shorter side of N pixels"
        if len(images) == 1:
            return [reason]
        return [one for image in torch.split(images, 1) for one in self.try_each(image, direction, cycle=cycle)]


def load(folder: str | Path, *, device: torch.device | str | None = None) -> Translator:
    """A finished translator, ready to use.

    Args:
        folder: a model's folder, a run's (then its newest state), or one of a run's checkpoints.
        device: such as "cpu" or "cuda:0"; by default a GPU where there is one.

    Returns:
        A translator, to be called with images: see `Translator.__call__`.

    Raises:
        FileNotFoundError: there is no model.
        CheckpointError: the folder is damaged, of another version, or holds no translator.
        ValueError: there is no such device.

    Example:
        >>> unit.load("runs/maps")("photo.jpg").save("map.png")
    """
    return Translator(load_translator(folder)).to(default_device() if device is None else device)


def default_device() -> str:
    """A GPU where there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def move(model: nn.Module, device: torch.device | str) -> None:
    """Move a model; raises ValueError for a device that there is not."""
    try:
        model.to(device)
    except (RuntimeError, AssertionError) as error:  # torch knows no such device, or was built without it
        raise ValueError(f"device {device}: {str(error).splitlines()[0]}") from error


def pad(x: Tensor, stride: int) -> Tensor:
    """Grow H and W to multiples of the stride, and to what the networks need at least, on the right and at the bottom.

    The border is mirrored as far as there is image to mirror, then repeated.
    """
    for axis in (-1, -2):
        side = x.shape[axis]
        missing = max(-(-side // stride), 4) * stride - side
        mirrored = min(missing, side - 1)
        for mode, amount in (("reflect", mirrored), ("replicate", missing - mirrored)):
            if amount:
                x = F.pad(x, (0, amount, 0, 0) if axis == -1 else (0, 0, 0, amount), mode=mode)
    return x


def to_pil(image: Tensor) -> Image.Image:
    """uint8 (C, H, W) as a PIL image, L or RGB."""
    pixels = image.permute(1, 2, 0).contiguous().numpy()
    return Image.fromarray(pixels[..., 0] if image.shape[0] == 1 else pixels)
