"""What a file may ask of a decoder: its structure is walked, in bounded steps, before any decoder is run.

Pillow reads headers in Python, piece by piece, and keeps what it finds: a file of many tiny pieces, or one whose pieces
all point to the same bytes, takes minutes or all memory before a size in pixels is known. Real files have few.
"""

import re
from collections.abc import Iterator
from mmap import mmap

from PIL import Image

from unit.data.formats import MAX_PIXELS

Data = bytes | mmap

MAX_SCANS = 100
"""The most scans of a JPEG. Each goes over the whole image, and a file of a megabyte can ask for thousands."""

MAX_MARKERS = 2**14
"""The most markers of a JPEG or JPEG 2000, and bytes of junk between them, before its pixels."""

MAX_CHUNKS = 2**16
"""The most chunks of a PNG beyond one per kilobyte, and blocks of a GIF before its first image."""

MAX_BOXES = 2**10
"""The most boxes of a JPEG 2000 file before its pixels."""

MAX_TAGS, MAX_VALUES = 2**12, 2**18
"""The most tags of a TIFF, and numbers of one tag."""

MAX_TILE = 2**24
"""The most pixels of a TIFF's tile, where they are more than the image's: a tile is decoded whole."""

MAX_TILES = 2**12
"""The most tiles of a JPEG 2000 image: each takes kilobytes, whatever is in it."""

SLOW = {"bmp_rle": 2**24, "ppm": 2**23, "ppm_plain": 2**23}
"""The most pixels for Pillow's decoders that are written in Python."""

MOST_BLOCKS = 2**18
"""How many blocks of a GIF are looked at for a second frame."""

# JPEG's markers (ITU-T T.81, table B.1), but for those that stand alone or are a 0xff of the pixels.
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_ALONE = {0xC8, 0xD9, *range(0xF0, 0xFE)}  # Pillow takes what follows these for the next marker
_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}
_TEXTS = {1, 2, 6, 7}  # of types that are kept as bytes
_EXIF, _GPS = 34665, 34853


def check_file(data: Data) -> None:
    """Raise ValueError, with the reason, for a file whose structure asks for too much."""
    if data[:3] == b"\xff\xd8\xff":
        check_jpeg(data)
    elif data[:8] == b"\x89PNG\r\n\x1a\n":
        check_png(data)
    elif data[:3] == b"GIF":
        check_gif(data)
    elif data[:2] in (b"II", b"MM"):
        check_tiff(data, 0, pointers=True)
    elif data[:4] == b"\xff\x4f\xff\x51":
        check_codestream(data, 0)
    elif data[4:8] == b"jP  ":
        check_codestream(data, codestream_of(data))
    elif re.match(rb"P[0-9fFy]", data[:2]):
        check_ppm(data)


def check_jpeg(data: Data) -> None:
    """At most MAX_SCANS scans of the first image, and MAX_MARKERS markers before them and again between them."""
    scans, markers, junk, place = 0, 0, 0, 2
    while scans <= MAX_SCANS and markers + junk <= MAX_MARKERS:
        end = len(data) if scans else place + MAX_MARKERS + 2
        marker = _MARKER.search(data, place, end)
        if marker is None:
            if scans or end >= len(data):
                return
            break
        kind = marker[0][1]
        if kind == _END_OF_IMAGE and scans:
            return
        junk += 0 if scans else marker.start() - place
        markers += 1
        place = marker.end()
        if kind == _START_OF_SCAN:
            scans, markers = scans + 1, 0 if not scans else markers
        if scans or kind not in _ALONE:
            place += int.from_bytes(data[place : place + 2], "big")  # its parameters; a scan's pixels hold no markers
    raise ValueError(f"more than {MAX_SCANS} scans" if scans > MAX_SCANS else f"more than {MAX_MARKERS} markers")


def png_chunks(data: Data) -> Iterator[tuple[bytes, int, int]]:
    """The type of each chunk of a PNG, and where it begins and ends."""
    place = 8
    while len(kind := data[place + 4 : place + 8]) == 4:
        end = place + 12 + int.from_bytes(data[place : place + 4], "big")
        yield kind, place, end
        place = end


def check_png(data: Data) -> None:
    """No more chunks than MAX_CHUNKS and one per kilobyte."""
    most = MAX_CHUNKS + len(data) // 1024
    for number, (kind, _, _) in enumerate(png_chunks(data)):
        if number >= most:
            raise ValueError(f"more than {most} chunks")
        if kind == b"IEND":
            return


def gif_blocks(data: Data) -> Iterator[bool]:
    """The blocks of a GIF: for each, whether it begins an image."""
    place = 13 + (3 << (data[10] & 7) + 1 if len(data) > 10 and data[10] & 128 else 0)
    while (kind := data[place : place + 1]) in (b"!", b","):
        yield kind == b","
        if kind == b",":
            flags = data[place + 9 : place + 10] or b"\0"
            place += 11 + (3 << (flags[0] & 7) + 1 if flags[0] & 128 else 0)
        else:
            place += 2
        while size := int.from_bytes(data[place : place + 1], "big"):
            place += 1 + size
            yield False
        place += 1


def check_gif(data: Data) -> None:
    """No more than MAX_CHUNKS blocks before the first image: Pillow joins them in quadratic time."""
    for number, is_image in enumerate(gif_blocks(data)):
        if is_image:
            return
        if number >= MAX_CHUNKS // 8:
            raise ValueError(f"more than {MAX_CHUNKS // 8} blocks before the image")


def check_tiff(data: Data, start: int, *, pointers: bool = False) -> None:
    """The first directory of a TIFF, or of the EXIF at `start`, and those that it points to: few tags, few numbers in
    each, and all together no larger than the file."""
    order = "little" if data[start : start + 2] == b"II" else "big"

    def number(place: int, size: int) -> int:
        return int.from_bytes(data[place : place + size], "little" if order == "little" else "big")

    big = number(start + 2, 2) == 43
    wide = 8 if big else 4
    waiting = [number(start + 8, 8) if big else number(start + 4, 4)]
    total = 0
    while waiting and (offset := waiting.pop()):
        place = start + offset
        count = number(place, 8 if big else 2)
        if count > MAX_TAGS:
            raise ValueError(f"{count} tags, not at most {MAX_TAGS}")
        place += 8 if big else 2
        for entry in range(place, place + count * (4 + 2 * wide), 4 + 2 * wide):
            tag, kind, values = number(entry, 2), number(entry + 2, 2), number(entry + 4, wide)
            size = values * _TYPE_SIZES.get(kind, 0)
            total += size if size > wide else 0
            if (kind not in _TEXTS and size and values > MAX_VALUES) or total > len(data):
                raise ValueError(f"tag {tag} has {values} values")
            if pointers and tag in (_EXIF, _GPS) and len(waiting) < 2:
                waiting.append(number(entry + 4 + wide, wide))
        pointers = False  # those of pointed-to directories lead nowhere


def codestream_of(data: Data) -> int:
    """Where the codestream of a JPEG 2000 file begins; raises ValueError where there is none within MAX_BOXES boxes."""
    place = 0
    for _ in range(MAX_BOXES):
        size, kind, head = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8], 8
        if size == 1:
            size, head = int.from_bytes(data[place + 8 : place + 16], "big"), 16
        if kind == b"jp2c":
            return place + head
        if size < head or (kind == b"jp2h" and size > 2**20):
            break
        place += size
    raise ValueError("no codestream")


def check_codestream(data: Data, start: int) -> None:
    """A JPEG 2000 codestream's own size, tiles and precincts, which may differ from what its file says."""
    x1, y1, x0, y0, w, h = (int.from_bytes(data[start + at : start + at + 4], "big") for at in range(8, 32, 4))
    width, height = x1 - x0, y1 - y0
    if not 0 < width * height <= MAX_PIXELS or width < 0 or not w or not h:
        raise ValueError(f"{width} x {height} pixels, not 1 to {MAX_PIXELS}")
    if -(-x1 // w) * -(-y1 // h) > MAX_TILES:
        raise ValueError(f"tiles of {w} x {h} pixels: more than {MAX_TILES}")
    place = start + 2
    for _ in range(MAX_MARKERS):
        kind, size = data[place + 1 : place + 2], int.from_bytes(data[place + 2 : place + 4], "big")
        if kind in (b"\x90", b"\xd9", b""):
            return
        if size < 2:
            break
        precincts = data[place + 14 : place + 2 + size] if kind == b"\x52" and data[place + 4] & 1 else b""
        if width * height > 2**20 and any(min(sides & 15, sides >> 4) < 5 for sides in precincts):
            raise ValueError("precincts of less than 32 x 32 pixels")
        place += 2 + size
    raise ValueError(f"more than {MAX_MARKERS} markers")


def check_ppm(data: Data) -> None:
    """The header's numbers within MAX_CHUNKS bytes: Pillow reads comments byte by byte."""
    head = re.sub(rb"#[^\r\n]*", b"", data[:MAX_CHUNKS]).split()
    if len(head) < 3:
        raise ValueError(f"no size in the first {MAX_CHUNKS} bytes")


def check_image(image: Image.Image, size: int) -> None:
    """Raise ValueError for an opened image, of a file of `size` bytes, whose tiles or coding ask for too much."""
    width, height = image.size
    tiles = getattr(image, "tile", None) or [("",)]
    decoder = tiles[0][0]
    most = SLOW.get(decoder)
    if most is not None and width * height > most:
        raise ValueError(f"{width} x {height} pixels in a slow coding, not at most {most}")
    if decoder == "bmp_rle" and size > 2 * width * height + 2**16:
        raise ValueError(f"{size} bytes of runs for {width} x {height} pixels")
    tags = getattr(image, "tag_v2", None)
    if image.format == "TIFF" and tags is not None:
        tile = (tags.get(322), tags.get(323))
        if all(isinstance(side, int) for side in tile) and tile[0] * tile[1] > max(MAX_TILE, width * height):
            raise ValueError(f"a tile of {tile[0]} x {tile[1]} pixels in an image of {width} x {height}")
        if len(tiles) > MAX_VALUES:
            raise ValueError(f"more than {MAX_VALUES} tiles")


def has_more_frames(image: Image.Image, data: Data) -> bool:
    """Whether an opened image has more than one frame or page, without counting them; a photograph's preview or depth
    (MPO) is none."""
    if image.format == "GIF":
        blocks = zip(range(MOST_BLOCKS), gif_blocks(data), strict=False)
        return sum(is_image for _, is_image in blocks) > 1
    return image.format != "MPO" and bool(getattr(image, "is_animated", False))
