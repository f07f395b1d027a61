"""What the tests of the data sets share: tiny sets in every layout, and a web server that misbehaves on request."""

import tarfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
from PIL import Image

FOLDERS = ("trainA", "trainB", "testA", "testB")


def write_image(path: Path, *, width: int = 8, seed: int = 0, mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (4, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)


def write_pairs(root: Path, **counts: int) -> Path:
    for split, count in counts.items():
        for i in range(count):
            write_image(root / split / f"{i}.png", seed=i)
    return root


def write_folders(root: Path, *, count: int = 2, splits: tuple[str, ...] = ("train", "test")) -> Path:
    for split in splits:
        for number, domain in enumerate("AB"):
            for i in range(count + number):
                write_image(root / f"{split}{domain}" / f"{i}.png", seed=10 * number + i)
    return root


def named(*counts: int) -> dict[str, int]:
    return dict(zip(FOLDERS, counts, strict=True))


def list_files(root: Path) -> dict[str, bytes]:
    """Path below `root` -> contents, of every file."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def tar_folder(path: Path, root: Path, mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode, format=tarfile.USTAR_FORMAT) as packed:  # type: ignore[call-overload]
        packed.add(root, arcname=root.name)
    return path


def zip_files(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, contents in files.items():
            packed.writestr(name, contents)
    return path


def counts_of(root: Path) -> dict[str, int]:
    """Folder -> how many files are in it."""
    return {folder.name: len(list(folder.iterdir())) for folder in root.iterdir()}


@dataclass
class Site:
    """What the test's server serves, and what it was asked for."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    etag: str = '"v1"'
    ranges: bool = True  # honors Range
    content_type: str = "application/gzip"
    cut: list[int] = field(default_factory=list)  # bytes after which the next responses break off
    errors: list[int] = field(default_factory=list)  # statuses of the next responses
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


@contextmanager
def serving() -> Iterator[Site]:
    """A site on this machine, for as long as the context lasts."""
    site = Site()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(site))
    site.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
