"""Color profiles for tests, built byte by byte (ICC.1:2010): of RGB and gray with a gamma, and of CMYK with a table."""

import struct
from typing import Any

D50 = (0.9642, 1.0, 0.8249)
ADOBE = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
"""Adobe RGB (1998)'s primaries: XYZ of red, green and blue, relative to D50."""
P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
"""Display P3's (with a gamma of 2.2 here)."""
SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))
"""sRGB's."""
SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def xyz(values: tuple[float, float, float]) -> bytes:
    return b"XYZ \0\0\0\0" + fixed(*values)


def curve(*parameters: float) -> bytes:
    """A gamma, or the five parameters of sRGB's curve."""
    return b"para\0\0\0\0" + struct.pack(">HH", 0 if len(parameters) == 1 else 3, 0) + fixed(*parameters)


def profile(space: bytes, tags: dict[bytes, bytes], *, kind: bytes = b"mntr", connection: bytes = b"XYZ ") -> bytes:
    body, table, place = b"", b"", 128 + 4 + 12 * len(tags)
    for name, tag in tags.items():
        tag += bytes(-len(tag) % 4)
        table += name + struct.pack(">II", place + len(body), len(tag))
        body += tag
    head = struct.pack(
        ">I4sI4s4s4s12s4s4sI4sI8sI12s", place + len(body), bytes(4), 0x04300000, kind, space, connection, bytes(12),
        b"acsp", bytes(4), 0, bytes(4), 0, bytes(8), 0, fixed(*D50),
    )  # fmt: skip
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def rgb_profile(primaries: Any, *curve_parameters: float) -> bytes:
    trc = curve(*curve_parameters)
    tags = {b"wtpt": xyz(D50), b"rTRC": trc, b"gTRC": trc, b"bTRC": trc}
    return profile(
        b"RGB ", tags | {name: xyz(p) for name, p in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True)}
    )


def gray_profile(*curve_parameters: float) -> bytes:
    return profile(b"GRAY", {b"wtpt": xyz(D50), b"kTRC": curve(*curve_parameters)})


def cmyk_profile() -> bytes:
    """Black where there is any ink at all (the full amount of one), and paper of sRGB's white where there is none."""
    identity = bytes(range(256))
    table = b"".join(bytes((0 if any((i >> n) & 1 for n in range(4)) else 255, 128, 128)) for i in range(16))
    lut = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1) + identity * 4 + table + identity * 3
    return profile(b"CMYK", {b"wtpt": xyz(D50), b"A2B0": lut}, kind=b"prtr", connection=b"Lab ")


ADOBE_RGB = rgb_profile(ADOBE, 2.19921875)
DISPLAY_P3 = rgb_profile(P3, 2.2)
PLAIN_SRGB = rgb_profile(SRGB, *SRGB_CURVE)
