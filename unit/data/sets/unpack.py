"""Unpack zip and tar archives from sources that need not be trusted.

Only regular files and folders are written: contents are copied, and never permissions, owners or times. An archive is
refused, before the member at fault is written, for a name that is absolute, contains `..`, is empty or not portable; a
link or a device; a name that occurs twice; an encrypted or sparse file; more than `MAX_BYTES` or `MAX_FILES`
altogether; or so many bytes for the archive's size that it must be a bomb (images hardly compress).

`tarfile.data_filter` would save none of these rules: zip archives need them too, and the filter admits links and strips
a leading slash that is refused here.
"""

import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PureWindowsPath
from typing import IO

from tqdm import tqdm

from unit.data.sets.folders import make_folders

__all__ = ["unpack"]

MAX_BYTES = 64 * 2**30
MAX_FILES = 2_000_000
MAX_RATIO = 50  # unpacked bytes per packed byte, above RATIO_FREE
MAX_HEADER = 2**16  # bytes of a tar's long name or extended header, which is read whole
RATIO_FREE = 64 * 2**20  # bytes that any archive may unpack to

_BROKEN = (
    EOFError,
    NotImplementedError,  # a zip compression method that Python lacks
    lzma.LZMAError,
    RecursionError,  # of a tar's headers upon headers
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class _Member:
    """One member of an archive; `open` is None for a folder, and `fault` says why it is refused, if it is."""

    name: str
    size: int
    open: Callable[[], IO[bytes] | None] | None
    fault: str = ""


class _BoundedInfo(tarfile.TarInfo):
    """A tar's member whose headers are no larger than they may be, and that is not sparse: `tarfile` reads long names,
    extended headers and maps of holes whole, whatever size they claim."""

    def _proc_member(self, packed: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type == tarfile.GNUTYPE_SPARSE:
            raise tarfile.ReadError(f"{self.name!r} is a sparse file")
        kinds = (
            tarfile.GNUTYPE_LONGNAME,
            tarfile.GNUTYPE_LONGLINK,
            tarfile.XHDTYPE,
            tarfile.XGLTYPE,
            tarfile.SOLARIS_XHDTYPE,
        )
        if self.type in kinds and not 0 <= self.size <= MAX_HEADER:
            raise tarfile.ReadError(f"{self.name!r} is a header of {self.size} bytes, not at most {MAX_HEADER}")
        member: tarfile.TarInfo = super()._proc_member(packed)  # type: ignore[misc]
        return member

    def _refuse_holes(self, *_: object) -> None:
        raise tarfile.ReadError(f"{self.name!r} is a sparse file")

    _proc_gnusparse_00 = _proc_gnusparse_01 = _proc_gnusparse_10 = _refuse_holes


def unpack(archive: Path, folder: Path) -> None:
    """Unpack `archive` into the new folder `folder`. After an error, removing the folder is up to the caller.

    Raises ValueError if the archive is neither zip nor tar, is truncated or damaged, or is unsafe to unpack.
    """
    folder.mkdir(parents=True)
    try:
        if _is_tar(archive):  # first: a tar that contains a zip may pass for a zip
            with tarfile.open(archive, tarinfo=_BoundedInfo) as packed_tar:
                _write(_tar_members(packed_tar), archive, folder)
        else:
            with zipfile.ZipFile(archive) as packed_zip:
                _write(_zip_members(packed_zip), archive, folder)
    except _BROKEN as error:
        raise ValueError(f"{archive} is not a complete zip or tar archive: {error}") from error
    except OSError as error:
        if error.errno is None:  # gzip and bz2 report damage like this; a full disk has an errno
            raise ValueError(f"{archive} is not a complete zip or tar archive: {error}") from error
        raise


def _is_tar(archive: Path) -> bool:
    """As `tarfile.is_tarfile`, which would read a first header of any size; raises ReadError unless it is a zip."""
    try:
        with tarfile.open(archive, tarinfo=_BoundedInfo):
            return True
    except tarfile.ReadError:
        if zipfile.is_zipfile(archive):
            return False
        raise


def _zip_members(packed: zipfile.ZipFile) -> Iterator[_Member]:
    for info in packed.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)  # 0 if the archive was not made on Unix
        fault = "" if kind in (0, stat.S_IFREG, stat.S_IFDIR) else "a link or a device"
        if info.flag_bits & 1:
            fault = "encrypted"
        opened = None if info.filename.endswith("/") else partial(packed.open, info)
        yield _Member(info.filename, info.file_size, opened, fault)


def _tar_members(packed: tarfile.TarFile) -> Iterator[_Member]:
    while (info := packed.next()) is not None:
        packed.members = []  # type: ignore[attr-defined]  # of which it would keep all, with their headers
        fault = "" if info.isreg() or info.isdir() else "a link or a device"
        opened = None if info.isdir() else partial(packed.extractfile, info)
        yield _Member(info.name, info.size, opened, fault)
    # tarfile takes a damaged header for the end of the archive, and gzip's checksum comes last: read on to the end.
    assert packed.fileobj is not None
    while rest := packed.fileobj.read(2**20):
        if rest.strip(b"\0"):
            raise tarfile.ReadError("damaged header")


def _write(members: Iterator[_Member], archive: Path, folder: Path) -> None:
    limit = min(MAX_BYTES, max(RATIO_FREE, MAX_RATIO * archive.stat().st_size))
    total = 0
    bar = tqdm(members, desc=f"unpack {archive.name}", unit="file", disable=None)
    for count, member in enumerate(bar, start=1):
        total += max(0, member.size)
        fault = member.fault or _name_fault(member)
        if not fault and (total > limit or count > MAX_FILES):
            fault = f"beyond the limit of {limit} bytes and {MAX_FILES} files: an archive bomb"
        target = folder / member.name
        if not fault and member.open and target.exists():
            fault = "a name that occurs twice"
        if fault:
            raise ValueError(f"{archive} is not safe to unpack: {member.name!r} is {fault}")
        if member.open is None:
            make_folders(target)
            continue
        make_folders(target.parent)
        opened = member.open()
        assert opened is not None, "a regular file has contents"
        with opened, open(target, "xb") as written:
            shutil.copyfileobj(opened, written, 2**20)


def _name_fault(member: _Member) -> str:
    """Why a member's name is refused, or the empty string. Windows' rules include those of Unix."""
    name = member.name
    path = PureWindowsPath(name)
    if member.size < 0:
        return "of a negative size"
    if not name or (member.open and not path.parts):
        return "an empty name"
    if path.anchor or "\\" in name or "\0" in name:
        return "an absolute path or not a portable name"
    if ".." in path.parts:
        return "a path that leads out of the folder"
    return ""
