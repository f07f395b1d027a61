"""A folder of mutated images, oddly named ones, links, pipes and folders, as no camera would leave it."""

import os
import shutil
import struct
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from mutated_images import SIDE, image_files, png, samples, tiff
from mutations import Verdict

STEMS: tuple[str | bytes, ...] = (
    "two words", " leading and trailing ", "it's", 'a "quoted" name', "back\\slash", "new\nline", "carriage\rreturn",
    "tab\there", "\x1b[31mred", "bell\a", "Straße", "日本語", "עברית", "🎉", "e\u0301", "turned\u202egnp",
    "line\u2028separator", "zero\u200bwidth", b"latin-1 \xe9", b"\xff\xfe", "-", "--overwrite", "$(touch pwned)",
    "`touch pwned`", "; touch pwned", "a%sb{0}", "con", "~", "*?", "#", "x" * 245, "many.dots.in.it", "error: x",
)  # fmt: skip
"""Stems of file names that a shell, a terminal or a report could stumble over."""


class Planted(NamedTuple):
    """What a folder of mutated images holds: the verdict on every path that is an image by its name, and its kind."""

    verdicts: dict[Path, Verdict]
    kinds: dict[Path, str]


def plant_images(folder: Path, *, seed: int, each: int, mark: Path) -> Planted:
    """Write mutated images, oddly named ones, links, pipes and folders into a new folder, nested ones among them."""
    verdicts: dict[Path, Verdict] = {}
    kinds: dict[Path, str] = {}

    def plant(path: Path, kind: str, verdict: Verdict, data: bytes | None = None) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        if data is not None:
            path.write_bytes(data)
        verdicts[path], kinds[path] = verdict, kind
        return path

    for number, file in enumerate(image_files(seed=seed, each=each, mark=mark)):
        below = "nested/deep" if number % 3 == 2 else "."
        plant(folder / below / f"{number:05d}{file.suffix}", file.kind, file.verdict, file.data)

    (png_of, jpeg), bad = (samples()[name][1] for name in ("png", "jpeg")), b"no image"
    for number, stem in enumerate(stem if isinstance(stem, bytes) else stem.encode() for stem in STEMS):
        path = folder / "odd names" / os.fsdecode(stem + b".png")
        plant(path, "odd name, sound", "good", png_of if number % 2 else jpeg)
        plant(folder / "odder names" / os.fsdecode(stem + b".png"), "odd name, bad", "bad", bad)
        plant(
            folder / os.fsdecode(stem) / "x.png",
            "odd folder",
            "good" if number % 2 else "bad",
            png_of if number % 2 else bad,
        )

    links = folder / "links"
    links.mkdir()
    sound = next(path for path, verdict in verdicts.items() if verdict == "good")
    targets: dict[str, tuple[Path, Verdict]] = {
        "loop.png": (links / "loop.png", "bad"),
        "there.png": (links / "back.png", "bad"),
        "back.png": (links / "there.png", "bad"),
        "dangling.png": (links / "nowhere.png", "bad"),
        "folder.png": (folder / "nested", "bad"),
        "device.png": (Path("/dev/zero"), "bad"),
        "text.png": (Path(__file__), "bad"),
        "sound.png": (sound, "good"),
    }
    for name, (target, verdict) in targets.items():
        os.symlink(target, links / name)
        if not target.is_dir():
            plant(links / name, "link", verdict)
    os.symlink(folder, links / "up")
    os.symlink(links, links / "here")
    os.symlink("circle", links / "circle")
    (folder / "a folder.png").mkdir()
    plant(folder / "a folder.png" / "x.png", "in a folder named like an image", "good", png_of)
    os.mkfifo(plant(folder / "pipe.png", "pipe", "bad"))
    for number, (suffix, head) in enumerate(SPARSE.items()):
        path = plant(folder / f"sparse {number}{suffix}", "sparse file of many gigabytes", "bad", head)
        os.truncate(path, 2**36)
    plant(folder / "unreadable.png", "unreadable", "either", png_of).chmod(0)  # root reads it all the same
    return Planted(verdicts, kinds)


SPARSE = {
    ".webp": b"RIFF\xf8\xff\xff\xffWEBPVP8 \xec\xff\xff\xff",
    ".png": png(b"", width=SIDE, height=SIDE)[:33] + b"\x7f\xff\xff\xfftEXt",
    ".tif": tiff({256: (4, SIDE), 257: (4, SIDE), 258: (3, 8), 270: (2, 0)}, b"").replace(
        struct.pack("<HHI", 270, 2, 1), struct.pack("<HHI", 270, 2, 2**31 - 1)
    ),
    ".jpg": b"\xff\xd8",
    ".bmp": b"BM",
}
"""The first bytes of files that are zeros from there on, and that a careless reader would read whole."""


def counts(made: Planted, used: set[Path]) -> str:
    """How many files of each kind there are, and how many of them were used."""
    kinds = {path: kind.split(" in ")[0] for path, kind in made.kinds.items()}
    of, good = Counter(kinds.values()), Counter(kinds[path] for path in used)
    rows = [f"  {kind}: {count}, {good[kind]} used" for kind, count in sorted(of.items())]
    return "\n".join([f"{len(kinds)} files, {len(used)} used, {len(kinds) - len(used)} refused", *rows])


def nest(folder: Path, levels: int) -> None:
    """A folder d in d in d …, each made from the one above: mkdir(parents=True) recurses."""
    folder.mkdir()
    here = os.open(folder, os.O_RDONLY)
    try:
        for _ in range(levels):
            os.mkdir("d", dir_fd=here)
            below = os.open("d", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
    finally:
        os.close(here)


def unnest(folder: Path, levels: int) -> None:
    """Take it away again: pytest's own removal recurses."""
    beside = folder.with_name("next")
    for _ in range(levels):
        os.rename(folder / "d", beside)
        shutil.rmtree(folder)
        os.rename(beside, folder)
