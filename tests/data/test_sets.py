"""datasets/prepare.py: what comes out is exactly what went in, there whole or not at all."""

import os
import socket
import stat
import subprocess
import sys
import tarfile
import threading
import urllib.error
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unit.data.sets import fetch, layout, prepare, recipes, unpack

DATASETS = Path(__file__).resolve().parents[2] / "datasets"
DATA = Path(os.environ.get("UNIT_DATA", DATASETS.parent.parent / "shared" / "data"))

FOLDERS = ("trainA", "trainB", "testA", "testB")


def _write_image(path: Path, *, width: int = 8, seed: int = 0, mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (4, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)


def _write_pairs(root: Path, **counts: int) -> Path:
    for split, count in counts.items():
        for i in range(count):
            _write_image(root / split / f"{i}.png", seed=i)
    return root


def _write_folders(root: Path, *, count: int = 2, splits: tuple[str, ...] = ("train", "test")) -> Path:
    for split in splits:
        for number, domain in enumerate("AB"):
            for i in range(count + number):
                _write_image(root / f"{split}{domain}" / f"{i}.png", seed=10 * number + i)
    return root


def _named(*counts: int) -> dict[str, int]:
    return dict(zip(FOLDERS, counts, strict=True))


def _files(root: Path) -> dict[str, bytes]:
    """Path below `root` -> contents, of every file."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def _tar(path: Path, root: Path, mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode, format=tarfile.USTAR_FORMAT) as packed:  # type: ignore[call-overload]
        packed.add(root, arcname=root.name)
    return path


def _zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, contents in files.items():
            packed.writestr(name, contents)
    return path


# --- unpack -------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_comes_out_as_it_went_in(tmp_path: Path, mode: str) -> None:
    root = _write_folders(tmp_path / "set")
    unpack.unpack(_tar(tmp_path / "set.tar", root, mode), tmp_path / "out")
    assert _files(tmp_path / "out" / "set") == _files(root)


def test_a_zip_comes_out_as_it_went_in(tmp_path: Path) -> None:
    files = {"set/trainA/2011-11-08 16:45:24.jpg": b"one", "set/b.jpg": b""}
    unpack.unpack(_zip(tmp_path / "set.zip", files), tmp_path / "out")
    assert _files(tmp_path / "out") == files


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/x", "C:/x", "C:x", "a\\..\\..\\x", "//h/s/x"])
def test_a_name_that_leads_outside_is_refused(tmp_path: Path, name: str) -> None:
    packed_zip = _zip(tmp_path / "set.zip", {name: b"evil"})
    packed_tar = _tar_of(tmp_path / "set.tar", tarfile.TarInfo(name))
    for archive in (packed_zip, packed_tar):
        with pytest.raises(ValueError, match="not safe to unpack"):
            unpack.unpack(archive, tmp_path / archive.suffix / "out")
    assert sorted(_files(tmp_path)) == ["set.tar", "set.zip"]


def _tar_of(path: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w") as packed:
        for member in members:
            packed.addfile(member)
    return path


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE])
def test_a_tars_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    member = tarfile.TarInfo("set/x")
    member.type, member.linkname = kind, "/etc/passwd"
    with pytest.raises(ValueError, match="'set/x' is a link or a device"):
        unpack.unpack(_tar_of(tmp_path / "set.tar", member), tmp_path / "out")
    assert not (tmp_path / "out" / "set").exists()


def test_a_zips_links_are_refused(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("x")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as packed:
        packed.writestr(info, "/etc/passwd")
    with pytest.raises(ValueError, match="'x' is a link or a device"):
        unpack.unpack(tmp_path / "set.zip", tmp_path / "out")


def test_a_tars_permissions_are_not_taken_over(tmp_path: Path) -> None:
    member = tarfile.TarInfo("x")
    member.mode = 0o6777
    unpack.unpack(_tar_of(tmp_path / "set.tar", member), tmp_path / "out")
    assert (tmp_path / "out" / "x").stat().st_mode & 0o7111 == 0


def test_a_bomb_is_refused_before_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpack, "RATIO_FREE", 1000)
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "zeros").write_bytes(bytes(2**20))
    for archive in (
        _tar(tmp_path / "set.tar.gz", tmp_path / "set"),
        _zip(tmp_path / "set.zip", {"set/zeros": bytes(2**20)}),
    ):
        with pytest.raises(ValueError, match="bomb"):
            unpack.unpack(archive, tmp_path / f"out{archive.suffix}")
        assert _files(tmp_path / f"out{archive.suffix}") == {}


@pytest.mark.parametrize(("limit", "value"), [("MAX_BYTES", 100), ("MAX_FILES", 3)])
def test_too_many_bytes_or_files_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(unpack, limit, value)
    archive = _zip(tmp_path / "set.zip", {str(i): b"30 bytes that shrink by little" for i in range(4)})
    with pytest.raises(ValueError, match="bomb"):
        unpack.unpack(archive, tmp_path / "out")


def test_a_name_that_comes_twice_is_refused(tmp_path: Path) -> None:
    archive = _tar_of(tmp_path / "set.tar", tarfile.TarInfo("x"), tarfile.TarInfo("x"))
    with pytest.raises(ValueError, match="'x' is there twice"):
        unpack.unpack(archive, tmp_path / "out")


@pytest.mark.parametrize("name", ["set.tar", "set.tar.gz", "set.tar.xz", "set.zip"])
@pytest.mark.parametrize("damage", ["cut", "flipped", "no archive"])
def test_a_damaged_archive_is_a_value_error(tmp_path: Path, name: str, damage: str) -> None:
    root, archive = _write_folders(tmp_path / "set"), tmp_path / name
    if archive.suffix == ".zip":
        _zip(archive, {f"set/{name}": contents for name, contents in _files(root).items()})
    else:
        _tar(archive, root, f"w:{archive.suffix[1:]}" if archive.suffix != ".tar" else "w")
    whole = archive.read_bytes()
    if damage == "cut":
        archive.write_bytes(whole[: len(whole) // 2])
    elif damage == "flipped":  # in a plain tar only headers are checked: here, the second one
        at = whole.index(b"ustar", 1000) if archive.suffix == ".tar" else len(whole) // 2
        archive.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
    else:
        archive.write_text("<html>not here</html>")
    with pytest.raises(ValueError, match="not a whole zip or tar archive"):
        unpack.unpack(archive, tmp_path / "out")


# --- fetch --------------------------------------------------------------------------------------


@dataclass
class Site:
    """What the test's server gives, and what it was asked for."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    etag: str = '"v1"'
    ranges: bool = True  # honours Range
    content_type: str = "application/gzip"
    cut: list[int] = field(default_factory=list)  # bytes after which the next answers break off
    errors: list[int] = field(default_factory=list)  # statuses of the next answers
    asked: list[tuple[str, str]] = field(default_factory=list)  # path, Range


def _handler(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            site.asked.append((self.path, wanted))
            body = site.files.get(self.path)
            if site.errors or body is None:
                self._answer(site.errors.pop(0) if site.errors else 404, b"no", {})
                return
            same = self.headers.get("If-Range", site.etag) == site.etag
            start = int(wanted[len("bytes=") : -1]) if wanted and same and site.ranges else 0
            if start >= len(body) > 0 and start:
                self._answer(416, b"", {"Content-Range": f"bytes */{len(body)}"})
            elif start:
                span = f"bytes {start}-{len(body) - 1}/{len(body)}"
                self._answer(206, body[start:], {"Content-Range": span})
            else:
                self._answer(200, body, {})

        def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            headers = {"Content-Type": site.content_type, "ETag": site.etag, **headers}
            for name, value in headers.items():
                if value:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: site.cut.pop(0)] if status < 300 and site.cut else body)

    return Handler


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A server on this machine, no waits between attempts, and no proxy in the way."""
    monkeypatch.setattr(fetch, "PAUSE", 0.0)
    monkeypatch.setenv("no_proxy", "*")
    served = Site()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(served))
    served.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield served
    server.shutdown()
    thread.join()
    server.server_close()


BODY = bytes(range(256)) * 40


def _leave_part(site: Site, archive: Path, part: bytes, version: str = '"v1"') -> None:
    archive.parent.mkdir(parents=True, exist_ok=True)
    archive.with_name("x.zip.part").write_bytes(part)
    archive.with_name("x.zip.part.from").write_text(f"{site.url}/x.zip\n{version}")


def test_a_download_is_the_mirrors_file_and_leaves_nothing_else(site: Site, tmp_path: Path) -> None:
    site.files["/x.zip"] = BODY
    fetch.fetch(tmp_path / "d" / "x.zip", [f"{site.url}/x.zip"])
    assert _files(tmp_path) == {"d/x.zip": BODY}
    fetch.fetch(tmp_path / "d" / "x.zip", [f"{site.url}/x.zip"])  # it is there: nothing to ask for
    assert site.asked == [("/x.zip", "")]


@pytest.mark.parametrize(
    ("ranges", "version", "etag"),
    [(True, '"v1"', '"v1"'), (False, '"v1"', '"v1"'), (True, '"v0"', '"v1"'), (True, "", "")],
    ids=["resumed", "server without Range", "file changed", "no version known"],
)
def test_a_part_is_completed_or_started_anew(site: Site, tmp_path: Path, ranges: bool, version: str, etag: str) -> None:
    site.files["/x.zip"], site.ranges, site.etag = BODY, ranges, etag
    resumes = ranges and version == etag and version != ""
    start = BODY[:1000] if resumes else b"of an older file" * 50
    _leave_part(site, tmp_path / "x.zip", start, version)
    fetch.fetch(tmp_path / "x.zip", [f"{site.url}/x.zip"])
    assert _files(tmp_path) == {"x.zip": BODY}
    assert site.asked == [("/x.zip", f"bytes={len(start)}-" if version else "")]


def test_a_part_that_was_whole_already_is_taken(site: Site, tmp_path: Path) -> None:
    site.files["/x.zip"] = BODY
    _leave_part(site, tmp_path / "x.zip", BODY)
    fetch.fetch(tmp_path / "x.zip", [f"{site.url}/x.zip"])
    assert _files(tmp_path) == {"x.zip": BODY}
    assert site.asked == [("/x.zip", f"bytes={len(BODY)}-")]


def test_a_part_that_is_too_long_is_dropped(site: Site, tmp_path: Path) -> None:
    site.files["/x.zip"] = BODY
    _leave_part(site, tmp_path / "x.zip", BODY + b"?")
    fetch.fetch(tmp_path / "x.zip", [f"{site.url}/x.zip"])
    assert _files(tmp_path) == {"x.zip": BODY}


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_off_answer_is_completed(site: Site, tmp_path: Path, ranges: bool) -> None:
    site.files["/x.zip"], site.ranges, site.cut = BODY, ranges, [100, 3000]
    fetch.fetch(tmp_path / "x.zip", [f"{site.url}/x.zip"])
    assert _files(tmp_path) == {"x.zip": BODY}
    third = "bytes=3100-" if ranges else "bytes=3000-"
    assert site.asked == [("/x.zip", ""), ("/x.zip", "bytes=100-"), ("/x.zip", third)]


def test_a_bad_line_is_enough_while_it_makes_progress(site: Site, tmp_path: Path) -> None:
    site.files["/x.zip"], site.cut = BODY, [1000] * 9
    fetch.fetch(tmp_path / "x.zip", [f"{site.url}/x.zip"])
    assert _files(tmp_path) == {"x.zip": BODY}
    assert len(site.asked) == 10 > fetch.ATTEMPTS


def test_no_old_bytes_stand_under_a_new_version(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site.files["/x.zip"] = BODY
    _leave_part(site, tmp_path / "x.zip", b"of an older file" * 50, '"v0"')

    def killed(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:  # between the answer's head and its first byte
        patched.setattr(fetch, "open", killed, raising=False)
        with pytest.raises(KeyboardInterrupt):
            fetch.fetch(tmp_path / "x.zip", [f"{site.url}/x.zip"])
    fetch.fetch(tmp_path / "x.zip", [f"{site.url}/x.zip"])
    assert _files(tmp_path) == {"x.zip": BODY}


def test_attempts_without_progress_end_and_keep_the_part(site: Site, tmp_path: Path) -> None:
    site.files["/x.zip"], site.cut = BODY, [100] + [0] * 20
    with pytest.raises(ConnectionError, match="ended after 100 of 10240 bytes"):
        fetch.fetch(tmp_path / "x.zip", [f"{site.url}/x.zip"])
    assert len(site.asked) == fetch.ATTEMPTS
    site.cut.clear()
    fetch.fetch(tmp_path / "x.zip", [f"{site.url}/x.zip"])
    assert site.asked[-1] == ("/x.zip", "bytes=100-")
    assert _files(tmp_path) == {"x.zip": BODY}


def test_an_overloaded_server_is_asked_again(site: Site, tmp_path: Path) -> None:
    site.files["/x.zip"], site.errors = BODY, [503, 429]
    fetch.fetch(tmp_path / "x.zip", [f"{site.url}/x.zip"])
    assert _files(tmp_path) == {"x.zip": BODY}


def test_mirrors_are_tried_in_turn(site: Site, tmp_path: Path) -> None:
    site.files["/there/x.zip"] = BODY
    mirrors = ["http://127.0.0.1:9/x.zip", f"{site.url}/gone/x.zip", f"{site.url}/there/x.zip"]
    fetch.fetch(tmp_path / "x.zip", mirrors)
    assert site.asked == [("/gone/x.zip", ""), ("/there/x.zip", "")]
    assert _files(tmp_path) == {"x.zip": BODY}


def test_a_web_page_is_no_archive(site: Site, tmp_path: Path) -> None:
    site.files["/x.zip"], site.content_type = b"<html>please sign in</html>", "text/html"
    with pytest.raises(ConnectionError, match="web page"):
        fetch.fetch(tmp_path / "d" / "x.zip", [f"{site.url}/x.zip"])
    assert not (tmp_path / "d").exists()


def test_a_wrong_checksum_sends_to_the_next_mirror(site: Site, tmp_path: Path) -> None:
    site.files = {"/bad/x.zip": b"bad", "/good/x.zip": BODY}
    (tmp_path / "good").write_bytes(BODY)
    checksum = f"sha256:{fetch._digest(tmp_path / 'good', 'sha256')}"
    fetch.fetch(
        tmp_path / "d" / "x.zip",
        [f"{site.url}/bad/x.zip", f"{site.url}/good/x.zip"],
        checksum=checksum,
    )
    assert _files(tmp_path / "d") == {"x.zip": BODY}
    with pytest.raises(ConnectionError, match="sha256"):
        fetch.fetch(tmp_path / "e" / "x.zip", [f"{site.url}/bad/x.zip"], checksum=checksum)
    assert not (tmp_path / "e").exists()


def test_the_first_downloads_checksum_holds_for_later_ones(site: Site, tmp_path: Path) -> None:
    site.files["/x.zip"] = BODY
    archive = tmp_path / "x.zip"
    fetch.fetch(archive, [f"{site.url}/x.zip"])
    fetch.record_checksum(archive)
    archive.write_bytes(b"changed")
    with pytest.raises(ValueError, match="remove it to download it again"):
        fetch.fetch(archive, [f"{site.url}/x.zip"])
    archive.unlink()
    site.files["/x.zip"] = b"another"
    with pytest.raises(ConnectionError, match="sha256"):
        fetch.fetch(archive, [f"{site.url}/x.zip"])
    site.files["/x.zip"] = BODY
    fetch.fetch(archive, [f"{site.url}/x.zip"])
    assert archive.read_bytes() == BODY


# --- layout -------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "1"])
@pytest.mark.parametrize("side_a", ["left", "right"])
def test_the_halves_of_a_pair_make_up_the_pair(tmp_path: Path, mode: str, side_a: str) -> None:
    for split in ("train", "test"):
        _write_image(tmp_path / "in" / split / "7.png", mode=mode)
    layout.arrange(tmp_path / "in", tmp_path / "out", side_a=side_a)
    assert sorted(_files(tmp_path / "out")) == sorted(f"{folder}/7.png" for folder in FOLDERS)
    a, b = (np.asarray(Image.open(tmp_path / "out" / f"train{d}" / "7.png")) for d in "AB")
    pair = np.asarray(Image.open(tmp_path / "in" / "train" / "7.png"))
    halves = [a, b] if side_a == "left" else [b, a]
    assert a.shape == b.shape
    np.testing.assert_array_equal(np.concatenate(halves, axis=1), pair)


def test_the_halves_of_a_jpeg_are_its_decoded_pixels(tmp_path: Path) -> None:
    for split in ("train", "test"):
        _write_image(tmp_path / "in" / split / "7.jpg", width=32)
    layout.arrange(tmp_path / "in", tmp_path / "out")
    halves = [np.asarray(Image.open(tmp_path / "out" / f"test{d}" / "7.png")) for d in "AB"]
    pair = np.asarray(Image.open(tmp_path / "in" / "test" / "7.jpg"))
    np.testing.assert_array_equal(np.concatenate(halves, axis=1), pair)


def test_val_is_test_only_where_test_is_missing(tmp_path: Path) -> None:
    layout.arrange(_write_pairs(tmp_path / "x", train=1, val=2), tmp_path / "x_out")
    layout.arrange(_write_pairs(tmp_path / "y", train=1, val=2, test=3), tmp_path / "y_out")
    layout.arrange(_write_folders(tmp_path / "z", splits=("train", "val")), tmp_path / "z_out")
    assert prepare._counts(tmp_path / "x_out") == _named(1, 1, 2, 2)
    assert prepare._counts(tmp_path / "z_out") == _named(2, 3, 2, 3)
    assert prepare._counts(tmp_path / "y_out") == {**_named(1, 1, 3, 3), "valA": 2, "valB": 2}


def test_folders_are_copied_byte_for_byte_from_three_levels_down(tmp_path: Path) -> None:
    root = _write_folders(tmp_path / "in" / "1" / "2" / "3")
    (tmp_path / "in" / "__MACOSX" / "trainA").mkdir(parents=True)
    (root / "trainA" / ".DS_Store").write_bytes(b"")
    layout.arrange(tmp_path / "in", tmp_path / "out")
    expected = {name: data for name, data in _files(root).items() if "DS_Store" not in name}
    assert _files(tmp_path / "out") == expected
    layout.arrange(root, tmp_path / "moved", move=True)
    assert list(_files(root)) == ["trainA/.DS_Store"]


def test_what_is_no_image_is_left_out_with_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = _write_folders(tmp_path / "in")
    (root / "testB" / "readme.txt").write_text("hello")
    layout.arrange(root, tmp_path / "out")
    assert prepare._counts(tmp_path / "out")["testB"] == 3
    assert "readme.txt" in capsys.readouterr().err


def _no_test(root: Path) -> None:
    _write_pairs(root, train=1)


def _empty_split(root: Path) -> None:
    _write_pairs(root, train=1)
    (root / "test").mkdir()


def _no_b(root: Path) -> None:
    for folder in ("trainA", "testA", "testB"):
        _write_image(root / folder / "0.png")


def _two_sets(root: Path) -> None:
    _write_pairs(root / "x", train=1, test=1)
    _write_pairs(root / "y", train=1, test=1)


def _too_deep(root: Path) -> None:
    _write_pairs(root / "1" / "2" / "3" / "4", train=1, test=1)


def _odd_pair(root: Path) -> None:
    _write_pairs(root, train=1, test=1)
    _write_image(root / "test" / "odd.png", width=7)


def _cut_image(root: Path) -> None:
    _write_pairs(root, train=1, test=1)
    (root / "test" / "cut.png").write_bytes((root / "test" / "0.png").read_bytes()[:50])


def _same_stem(root: Path) -> None:
    _write_pairs(root, train=1, test=1)
    _write_image(root / "test" / "0.jpg")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (_no_test, "only train images"),
        (_empty_split, "no images in"),
        (_no_b, "no folder .*trainB"),
        (_two_sets, "more than one data set"),
        (_too_deep, "no trainA or train folder"),
        (_odd_pair, "odd.png: 7 pixels wide"),
        (_cut_image, "cannot split the pair .*cut.png"),
        (_same_stem, "two pairs are called 0"),
    ],
)
def test_an_unfit_source_is_one_line_and_leaves_nothing(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    build: Callable[[Path], None],
    message: str,
) -> None:
    build(tmp_path / "in")
    before = _files(tmp_path)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        layout.arrange(tmp_path / "in", tmp_path / "scratch" / "out")
    out = tmp_path / "out"
    assert prepare.main(["maps", "--source", str(tmp_path / "in"), "--output", str(out)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert {name: d for name, d in _files(tmp_path).items() if "scratch" not in name} == before
    assert not list(tmp_path.glob(".*"))
    assert not out.exists()


# --- CelebA -------------------------------------------------------------------------------------

SMILES = "01010110"  # one face each, in the order of the files
PARTITION = "00001122"


def _write_celeba(root: Path, *, partition: bool = True, zipped: bool = False) -> Path:
    names = [f"{i:06d}.png" for i in range(1, len(SMILES) + 1)]
    faces = root / "Img" / "img_align_celeba"
    for i, name in enumerate(names):
        _write_image(faces / name, seed=i)
    if zipped:
        files = {f"img_align_celeba/{name}": (faces / name).read_bytes() for name in names}
        _zip(root / "Img" / "img_align_celeba.zip", files)
        for name in names:
            (faces / name).unlink()
        faces.rmdir()
    (root / "Anno").mkdir()
    rows = [f"{n}  1 {'1' if s == '1' else '-1'}" for n, s in zip(names, SMILES, strict=True)]
    table = "\n".join([str(len(names)), "Young Smiling", *rows, ""])
    (root / "Anno" / "list_attr_celeba.txt").write_text(table)
    if partition:
        lines = [f"{n} {p}\n" for n, p in zip(names, PARTITION, strict=True)]
        (root / "Anno" / "list_eval_partition.txt").write_text("".join(lines))
    return root


@pytest.mark.parametrize("zipped", [False, True])
def test_celeba_is_split_by_attribute_and_official_partition(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], zipped: bool
) -> None:
    root, out = _write_celeba(tmp_path / "in", zipped=zipped), tmp_path / "out"
    before = _files(root)
    command = ["celeba", "--attribute", "Smiling", "--source", str(root), "--output", str(out)]
    assert prepare.main(command) == 0
    for i, (smile, part) in enumerate(zip(SMILES, PARTITION, strict=True)):
        folder = out / f"{('train', 'val', 'test')[int(part)]}{'AB'[int(smile)]}"
        _write_image(tmp_path / "expected.png", seed=i)
        face = folder / f"{i + 1:06d}.png"
        assert face.read_bytes() == (tmp_path / "expected.png").read_bytes()
    assert sum(prepare._counts(out).values()) == len(SMILES)
    assert _files(root) == before
    warned = capsys.readouterr().err
    assert "list_attr_celeba.txt has the md5" in warned
    assert "train has 4 images instead of 162770" in warned


def test_celeba_without_partition_tests_on_the_last_tenth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    faces = [tmp_path / f"{i:03d}.jpg" for i in range(40)]
    split_of = layout._read_partition(None, faces)
    assert [split_of[face.name] for face in faces] == ["train"] * 36 + ["test"] * 4
    assert "list_eval_partition.txt" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("attribute", "spoil", "message"),
    [
        ("Smilling", "", "no attribute 'Smilling'; allowed: Young, Smiling"),
        ("Young", "", "trainA of Young would be empty"),
        ("Smiling", "Anno/list_attr_celeba.txt", "does not hold 2 times 1 or -1"),
        ("Smiling", "Anno/list_eval_partition.txt", "must be a file name and 0, 1 or 2"),
    ],
)
def test_celebas_faults_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], attribute: str, spoil: str, message: str
) -> None:
    root = _write_celeba(tmp_path / "in")
    if spoil:
        with open(root / spoil, "a") as file:
            file.write("000009.png 3\n")
    out = str(tmp_path / "out")
    command = ["celeba", "--attribute", attribute, "--source", str(root), "--output", out]
    assert prepare.main(command) == 1
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


# --- the command --------------------------------------------------------------------------------


@pytest.fixture
def tiny(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """The recipe of `maps`, made to a tiny archive that the test's server holds."""
    root = _write_pairs(tmp_path / "made" / "maps", train=2, val=1)
    archive = _tar(tmp_path / "made" / "maps.tar.gz", root)
    site.files["/maps.tar.gz"] = archive.read_bytes()
    recipe = recipes.Recipe(
        about="",
        terms="",
        archive="maps.tar.gz",
        mirrors=(f"{site.url}/maps.tar.gz",),
        counts={"trainA": 2, "trainB": 2, "test": 2},
    )
    monkeypatch.setitem(recipes.RECIPES, "maps", recipe)
    return site


def test_a_download_is_prepared_once(tiny: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    room = tmp_path / "room"
    (room / "maps").mkdir(parents=True)  # an empty target is no obstacle
    assert prepare.main(["maps", "--output", str(room / "maps")]) == 0
    assert capsys.readouterr().out.startswith(f"{room / 'maps'}: testA 1, testB 1, trainA 2")
    assert prepare._counts(room / "maps") == _named(2, 2, 1, 1)
    downloads = room / "downloads"
    assert sorted(path.name for path in room.iterdir()) == ["downloads", "maps"]
    assert sorted(_files(downloads)) == ["maps.tar.gz", "maps.tar.gz.sha256"]
    digest = fetch._digest(downloads / "maps.tar.gz", "sha256")
    assert (downloads / "maps.tar.gz.sha256").read_text() == f"{digest}  maps.tar.gz\n"

    before = _files(room)
    assert prepare.main(["maps", "--output", str(room / "maps")]) == 1
    assert "already exists" in capsys.readouterr().err
    assert _files(room) == before
    assert prepare.main(["maps", "--output", str(room / "again")]) == 0
    assert _files(room / "again") == _files(room / "maps")
    assert len(tiny.asked) == 1


def test_a_download_with_other_counts_is_an_error_and_a_source_a_warning(
    tiny: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = _tar(tmp_path / "maps.tar.gz", _write_pairs(tmp_path / "m", train=3, val=1))
    tiny.files["/maps.tar.gz"] = archive.read_bytes()
    room = tmp_path / "room"
    assert prepare.main(["maps", "--output", str(room / "maps")]) == 1
    assert "trainA has 3 images instead of 2" in capsys.readouterr().err
    assert list(_files(room)) == ["downloads/maps.tar.gz"]
    for source in (archive, tmp_path / "m"):
        out = room / source.name
        assert prepare.main(["maps", "--source", str(source), "--output", str(out)]) == 0
        assert capsys.readouterr().err.startswith("warning: not the whole known data set: trainA")
        assert prepare._counts(out)["trainA"] == 3


def test_a_broken_download_is_not_kept(tiny: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.files["/maps.tar.gz"] = tiny.files["/maps.tar.gz"][:-20]
    assert prepare.main(["maps", "--output", str(tmp_path / "room" / "maps")]) == 1
    assert "not a whole zip or tar archive" in capsys.readouterr().err
    assert _files(tmp_path / "room") == {}


def test_an_offline_machine_is_told_the_mirrors_and_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def offline(*args: object, **kwargs: object) -> None:
        raise urllib.error.URLError(socket.gaierror(-2, "Name or service not known"))

    monkeypatch.setattr("urllib.request.urlopen", offline)
    assert prepare.main(["horse2zebra", "--output", str(tmp_path / "x")]) == 1
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "--source" in message
    assert all(mirror in message for mirror in recipes.RECIPES["horse2zebra"].mirrors)
    assert not list(tmp_path.iterdir())


def test_what_needs_hands_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare.main(["celeba", "--attribute", "Male", "--output", str(tmp_path / "x")]) == 1
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "img_align_celeba.zip" in message
    assert "--source" in message


HOLDER = """
import sys, time
from pathlib import Path
from unit.data.sets.prepare import _staging
with _staging(Path(sys.argv[1])) as stage:
    (stage / "result" / "trainA").mkdir(parents=True)
    (stage / "result" / "trainA" / "stale.png").touch()
    print("ready", flush=True)
    time.sleep(600)
"""


def test_a_running_process_is_respected_and_what_a_killed_one_left_is_removed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, stage = _write_pairs(tmp_path / "in", train=1, test=1), tmp_path / ".x.preparing"
    command = ["maps", "--source", str(source), "--output", str(tmp_path / "x")]
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path / "x")], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"
        assert prepare.main(command) == 1
        assert "another process is preparing" in capsys.readouterr().err
        assert (stage / "result" / "trainA" / "stale.png").exists()
    finally:
        holder.kill()
        holder.communicate()
    assert (stage / "result" / "trainA" / "stale.png").exists()
    assert prepare.main(command) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "x"]
    assert prepare._counts(tmp_path / "x")["trainA"] == 1


def test_an_interrupted_run_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(layout, "_split_pairs", interrupted)
    source = _write_pairs(tmp_path / "in", train=1, test=1)
    command = ["maps", "--source", str(source), "--output", str(tmp_path / "x")]
    assert prepare.main(command) == 130
    assert "interrupted" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_toymaps_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("unit.data.toymaps")
    command = ["toymaps", "--size", "16", "--train", "3", "--test", "2", "--seed", "4"]
    assert prepare.main([*command, "--output", str(tmp_path / "x")]) == 0
    assert prepare._counts(tmp_path / "x") == _named(3, 3, 2, 2)


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["mapz"],
        ["maps", "--attribute", "Smiling"],
        ["maps", "--size", "64"],
        ["celeba"],
        ["toymaps", "--source", "."],
        ["toymaps", "--size", "0"],
        ["toymaps", "--train", "many"],
    ],
)
def test_a_wrong_command_is_exit_code_2(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        prepare.main(command)
    assert left.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_a_missing_source_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["maps", "--source", str(tmp_path / "no"), "--output", str(tmp_path / "x")]
    assert prepare.main(command) == 1
    assert capsys.readouterr().err == f"prepare.py maps: no folder or archive {tmp_path / 'no'}\n"
    assert not list(tmp_path.iterdir())


def test_it_runs_as_a_script(tmp_path: Path) -> None:
    source = _write_folders(tmp_path / "in")
    command = [sys.executable, str(DATASETS / "prepare.py"), "cat2dog", "--source", str(source)]
    ran = subprocess.run([*command, "--output", "x"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ran.stdout.startswith(f"{tmp_path / 'x'}: testA 2")
    assert _files(tmp_path / "x") == _files(source)


# --- what is published --------------------------------------------------------------------------


def test_the_folder_is_no_package() -> None:
    assert not (DATASETS / "__init__.py").exists(), "it would shadow Hugging Face's datasets"


def test_each_recipe_is_complete_and_in_the_readme() -> None:
    readme = (DATASETS / "README.md").read_text()
    for name, recipe in recipes.RECIPES.items():
        assert f"`{name}`" in readme
        assert recipe.about
        assert recipe.terms
        assert recipe.mirrors or recipe.by_hand or name == "toymaps"
        assert all(url.startswith("http") and url.endswith(recipe.archive) for url in recipe.mirrors)
        assert all(count > 0 for count in recipe.counts.values())


# --- real data ----------------------------------------------------------------------------------


@pytest.mark.skipif(not (DATA / "maps").is_dir(), reason="no real maps (UNIT_DATA)")
def test_real_maps_are_split_exactly(tmp_path: Path) -> None:
    for split in ("train", "val"):
        (tmp_path / "in" / "paired" / split).mkdir(parents=True)
        for path in sorted((DATA / "maps" / "paired" / split).iterdir())[:4]:
            (tmp_path / "in" / "paired" / split / path.name).symlink_to(path.resolve())
    out = tmp_path / "maps"
    assert prepare.main(["maps", "--source", str(tmp_path / "in"), "--output", str(out)]) == 0
    for split, origin in (("train", "train"), ("test", "val")):
        for path in sorted((out / f"{split}A").iterdir()):
            halves = [np.asarray(Image.open(out / f"{split}{d}" / path.name)) for d in "AB"]
            pair = Image.open(tmp_path / "in" / "paired" / origin / f"{path.stem}.jpg")
            np.testing.assert_array_equal(np.concatenate(halves, axis=1), np.asarray(pair))


@pytest.mark.skipif(not (DATA / "day2night").is_dir(), reason="no real day2night (UNIT_DATA)")
def test_real_day2night_is_copied(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["day2night", "--source", str(DATA / "day2night"), "--output", str(tmp_path / "x")]
    assert prepare.main(command) == 0
    assert _files(tmp_path / "x") == _files(DATA / "day2night")
