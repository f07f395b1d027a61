"""Images in a temporary file instead of in memory: each is decoded or translated once, and read when it is wanted."""

import math
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

import torch
from torch import Tensor


class Stored(Sequence[Tensor]):
    """A list of uint8 images (C, H, W), each of its own size, which grows by `append`.

    The file lies in the system's folder for temporary files (TMPDIR names another), has no name there, and is gone with
    this object. Raises OSError where the disk is full.
    """

    def __init__(self, images: Iterable[Tensor] = ()) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as this object)
        weakref.finalize(self, self._file.close)
        self._starts: list[int] = [0]
        self.shapes: list[tuple[int, ...]] = []
        """The images' shapes, which are known without reading them."""
        self.extend(images)

    def append(self, image: Tensor) -> None:
        """Add an image at the end; raises ValueError for one that is not uint8."""
        if image.dtype != torch.uint8:
            raise ValueError(f"image is {image.dtype}, not torch.uint8")
        self._file.seek(self._starts[-1])
        self._file.write(image.cpu().contiguous().numpy().data)
        self._starts.append(self._file.tell())
        self.shapes.append(tuple(image.shape))

    def extend(self, images: Iterable[Tensor]) -> None:
        """Add several."""
        for image in images:
            self.append(image)

    def __len__(self) -> int:
        return len(self.shapes)

    @overload
    def __getitem__(self, which: int) -> Tensor: ...
    @overload
    def __getitem__(self, which: slice) -> list[Tensor]: ...
    def __getitem__(self, which: int | slice) -> Tensor | list[Tensor]:
        if isinstance(which, slice):
            return [self[i] for i in range(*which.indices(len(self)))]
        place = range(len(self))[which]  # raises IndexError
        self._file.seek(self._starts[place])
        pixels = bytearray(self._file.read(math.prod(self.shapes[place])))
        return torch.frombuffer(pixels, dtype=torch.uint8).view(self.shapes[place])


def same_sizes(images: Iterable[Tensor], count: int) -> Iterator[Tensor]:
    """Runs of at most `count` images of one shape, in order: (B, C, H, W); no more are held at once."""
    waiting: list[Tensor] = []
    for image in images:
        if waiting and (len(waiting) == count or image.shape != waiting[0].shape):
            yield torch.stack(waiting)
            waiting = []
        waiting.append(image)
    if waiting:
        yield torch.stack(waiting)
