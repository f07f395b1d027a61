"""The formats of image files: which are read, which are written, and what others there are. Nothing here imports torch.

No other decoder of Pillow than those of `FORMATS` is ever run, whatever a file's suffix says.
"""

from importlib.util import find_spec

_SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "AVIF": (".avif",),
    "JPEG2000": (".jp2", ".j2k"),
    "PPM": (".ppm", ".pgm"),
}
_LIBRARIES = {"WEBP": "PIL._webp", "AVIF": "PIL._avif"}  # what Pillow may have been built without

EXTENSIONS = {
    suffix: format
    for format, suffixes in _SUFFIXES.items()
    if format not in _LIBRARIES or find_spec(_LIBRARIES[format]) is not None
    for suffix in suffixes
}
"""The suffixes of images that are read, and Pillow's names of their formats."""

FORMATS = tuple(dict.fromkeys(EXTENSIONS.values()))
"""Pillow's names of the formats that are read."""

WRITTEN = {suffix: format for suffix, format in EXTENSIONS.items() if format in ("JPEG", "PNG", "WEBP", "TIFF", "BMP")}
"""The suffixes of images that are written, and Pillow's names of their formats."""

_OTHERS = """
.ai .apng .arw .avif .bpg .cr2 .cr3 .dcm .dds .dib .dng .emf .eps .exr .fits .flif .gif .hdr .heic .heif .icns .ico .j2c
.j2k .jfi .jif .jp2 .jpc .jpf .jpx .jxl .mpo .nef .orf .pam .pbm .pcx .pdf .pfm .pgm .pnm .ppm .ps .psd .qoi .raf .raw
.rw2 .sgi .svg .tga .wbmp .wmf .xbm .xcf .xpm
"""

NOT_WRITTEN = frozenset(_OTHERS.split())
"""Suffixes of images that are not written: the name of a file to write, where it has one of these, is no folder's."""

MAX_PIXELS = 2**27
"""The largest image, in pixels (11,585 squared): below the size at which Pillow itself refuses."""
