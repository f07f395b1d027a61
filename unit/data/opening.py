"""Opening an image file without torch: by the decoders that are read, within their limits, and without a remark."""

from collections.abc import Iterator
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap
from pathlib import Path

from PIL import Image

from unit.data.formats import FORMATS, MAX_PIXELS
from unit.data.limits import check_file, check_image
from unit.data.quiet import pillow_is_quiet


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """The image of a regular file, not decoded yet; raises what Pillow does, and ValueError beyond the limits."""
    size = path.stat().st_size
    with path.open("rb") as file, pillow_is_quiet():
        if size:
            with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
                check_file(data)
        with Image.open(file, formats=FORMATS) as image:
            width, height = image.size
            if not 0 < width * height <= MAX_PIXELS:
                raise ValueError(f"{width} x {height} pixels, not 1 to {MAX_PIXELS}")
            check_image(image, size)
            yield image
