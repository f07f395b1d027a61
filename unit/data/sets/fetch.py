"""Download an archive from the first mirror that delivers all of it.

Bytes are written to `ARCHIVE.part`; `ARCHIVE.part.from` records the URL and the version (the server's ETag or
Last-Modified) that they belong to. A later attempt, or a later run, resumes with an HTTP Range request on the condition
(If-Range) that the server still has this version. A server that ignores either sends the whole file, and the download
starts over.

A checksum is written `ALGORITHM:HEX`. Where none is published, the SHA-256 of the first good download is kept in
`ARCHIVE.sha256`, in the format of sha256sum, and every later download must match it. That detects a file that has
changed, not one that was wrong from the start.
"""

import hashlib
import http.client
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from unit.data.sets.warn import warn

__all__ = ["checksum_fault", "fetch", "record_checksum"]

TIMEOUT = 20.0  # seconds without receiving a byte
ATTEMPTS = 3  # per mirror, in a row without progress
PAUSE = 1.0  # seconds before the second attempt; doubled before each further one
BLOCK = 2**18  # bytes per read


class _MirrorError(Exception):
    """This mirror did not deliver the file; `again` says whether another attempt may help."""

    def __init__(self, reason: str, *, again: bool = False) -> None:
        super().__init__(reason)
        self.again = again


def fetch(archive: Path, mirrors: Sequence[str], *, checksum: str = "") -> None:
    """Download `archive` from the mirrors, in turn; if it exists already, only check it.

    Raises ConnectionError, with the reason for each mirror, if none delivers the file, and ValueError if an existing
    file does not have the expected checksum.
    """
    if archive.exists():
        fault = checksum_fault(archive, checksum or _recorded(archive))
        if fault:
            raise ValueError(f"{archive} {fault}; delete it to download it again")
        return
    archive.parent.mkdir(parents=True, exist_ok=True)
    part = archive.with_name(f"{archive.name}.part")
    tried = []
    for url in mirrors:
        try:
            _download(url, part)
        except _MirrorError as error:
            tried.append(f"{url} ({error})")
            continue
        fault = checksum_fault(part, checksum or _recorded(archive))
        _origin(part).unlink(missing_ok=True)
        if not fault:
            part.replace(archive)
            return
        part.unlink()
        tried.append(f"{url} ({fault})")
    if not any(archive.parent.iterdir()):
        archive.parent.rmdir()
    raise ConnectionError(f"could not download {archive.name} from {', '.join(tried)}")


def checksum_fault(path: Path, checksum: str) -> str:
    """How the file differs from a checksum `ALGORITHM:HEX`, or the empty string if it matches or none is known."""
    if not checksum:
        return ""
    algorithm, _, expected = checksum.partition(":")
    found = _digest(path, algorithm)
    return "" if found == expected else f"has {algorithm} {found} instead of {expected}"


def record_checksum(archive: Path) -> None:
    """Record the SHA-256 of an archive that proved good, unless one is on record already."""
    if not _recorded(archive):
        _record(archive).write_text(f"{_digest(archive, 'sha256')}  {archive.name}\n", "utf-8")


def _record(archive: Path) -> Path:
    return archive.with_name(f"{archive.name}.sha256")


def _recorded(archive: Path) -> str:
    record = _record(archive)
    words = record.read_text("utf-8").split() if record.exists() else []
    return f"sha256:{words[0]}" if words else ""


def _digest(path: Path, algorithm: str) -> str:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _origin(part: Path) -> Path:
    return part.with_name(f"{part.name}.from")


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _download(url: str, part: Path) -> None:
    """Complete `part` from one mirror, with as many attempts as make progress."""
    failures, most = 0, _size(part)
    while True:
        try:
            _attempt(url, part)
            return
        except _MirrorError as error:
            failures = 1 if _size(part) > most else failures + 1
            most = max(most, _size(part))
            if not error.again or failures == ATTEMPTS:
                raise
            warn(f"{url}: {error}; trying again")
            time.sleep(PAUSE * 2 ** (failures - 1))


def _attempt(url: str, part: Path) -> None:
    """Make one request, starting where `part` ends if it came from this URL."""
    have, headers = 0, {"User-Agent": "unit-data", "Accept-Encoding": "identity"}
    if part.exists() and _origin(part).exists():
        origin, _, version = _origin(part).read_text("utf-8").partition("\n")
        if origin == url and version:
            have = _size(part)
            headers |= {"Range": f"bytes={have}-", "If-Range": version}
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        with error:
            if error.code != 416:
                again = error.code >= 500 or error.code in (408, 429)
                raise _MirrorError(f"HTTP {error.code}", again=again) from error
            if error.headers.get("Content-Range") == f"bytes */{have}":
                return  # the part is already the whole file
        part.unlink(missing_ok=True)
        raise _MirrorError("the server does not have the requested range", again=True) from error
    except urllib.error.URLError as error:
        hopeless = isinstance(error.reason, (socket.gaierror, ConnectionRefusedError))
        raise _MirrorError(str(error.reason), again=not hopeless) from error
    except (OSError, http.client.HTTPException) as error:
        raise _MirrorError(str(error) or type(error).__name__, again=True) from error
    with response:
        _receive(response, url, part, have)


def _receive(response: http.client.HTTPResponse, url: str, part: Path, have: int) -> None:
    """Write the body of a response: appended to `part` (status 206) or in its place (status 200)."""
    if response.headers.get_content_type() == "text/html":
        raise _MirrorError("sent a web page instead of the file")
    if response.status == 206:
        span, _, length = response.headers.get("Content-Range", "").partition("/")
        if not span.startswith(f"bytes {have}-"):
            raise _MirrorError("sent another range than requested")
    else:
        have, length = 0, response.headers.get("Content-Length", "")
        etag = response.headers.get("ETag", "")
        version = "" if etag.startswith("W/") else etag  # If-Range does not accept a weak tag
        version = version or response.headers.get("Last-Modified", "")
        part.unlink(missing_ok=True)  # first, so that old bytes are never recorded as the new version
        _origin(part).write_text(f"{url}\n{version}", "utf-8")
    total = int(length) if length.isdecimal() else None
    with (
        open(part, "ab" if have else "wb") as file,
        tqdm(total=total, initial=have, desc=part.stem, unit="B", unit_scale=True, disable=None) as bar,
    ):
        while block := _read(response):
            bar.update(file.write(block))
    if total is not None and _size(part) != total:
        raise _MirrorError(f"the transfer ended after {_size(part)} of {total} bytes", again=True)


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read(BLOCK)
    except (OSError, http.client.HTTPException) as error:
        raise _MirrorError(str(error) or type(error).__name__, again=True) from error
