"""unit.data.sets.unpack: an archive is unpacked exactly, or refused before it does harm."""

import gzip
import stat
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from set_toys import list_files, tar_folder, write_folders, zip_files

from unit.data.sets import unpack
from unit.data.sets.folders import remove_folder


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_comes_out_as_it_went_in(tmp_path: Path, mode: str) -> None:
    root = write_folders(tmp_path / "set")
    unpack.unpack(tar_folder(tmp_path / "set.tar", root, mode), tmp_path / "out")
    assert list_files(tmp_path / "out" / "set") == list_files(root)


def test_a_zip_comes_out_as_it_went_in(tmp_path: Path) -> None:
    files = {"set/trainA/2011-11-08 16:45:24.jpg": b"one", "set/b.jpg": b""}
    unpack.unpack(zip_files(tmp_path / "set.zip", files), tmp_path / "out")
    assert list_files(tmp_path / "out") == files


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/x", "C:/x", "C:x", "a\\..\\..\\x", "//h/s/x"])
def test_a_name_that_leads_outside_is_refused(tmp_path: Path, name: str) -> None:
    packed_zip = zip_files(tmp_path / "set.zip", {name: b"evil"})
    packed_tar = _tar_of(tmp_path / "set.tar", tarfile.TarInfo(name))
    for archive in (packed_zip, packed_tar):
        with pytest.raises(ValueError, match="not safe to unpack"):
            unpack.unpack(archive, tmp_path / archive.suffix / "out")
    assert sorted(list_files(tmp_path)) == ["set.tar", "set.zip"]


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
        tar_folder(tmp_path / "set.tar.gz", tmp_path / "set"),
        zip_files(tmp_path / "set.zip", {"set/zeros": bytes(2**20)}),
    ):
        with pytest.raises(ValueError, match="bomb"):
            unpack.unpack(archive, tmp_path / f"out{archive.suffix}")
        assert list_files(tmp_path / f"out{archive.suffix}") == {}


@pytest.mark.parametrize(("limit", "value"), [("MAX_BYTES", 100), ("MAX_FILES", 3)])
def test_too_many_bytes_or_files_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(unpack, limit, value)
    archive = zip_files(tmp_path / "set.zip", {str(i): b"30 bytes that shrink by little" for i in range(4)})
    with pytest.raises(ValueError, match="bomb"):
        unpack.unpack(archive, tmp_path / "out")


def test_a_name_that_comes_twice_is_refused(tmp_path: Path) -> None:
    archive = _tar_of(tmp_path / "set.tar", tarfile.TarInfo("x"), tarfile.TarInfo("x"))
    with pytest.raises(ValueError, match="'x' is a name that occurs twice"):
        unpack.unpack(archive, tmp_path / "out")


@pytest.mark.parametrize("name", ["set.tar", "set.tar.gz", "set.tar.xz", "set.zip"])
@pytest.mark.parametrize("damage", ["cut", "flipped", "no archive"])
def test_a_damaged_archive_is_a_value_error(tmp_path: Path, name: str, damage: str) -> None:
    root, archive = write_folders(tmp_path / "set"), tmp_path / name
    if archive.suffix == ".zip":
        zip_files(archive, {f"set/{name}": contents for name, contents in list_files(root).items()})
    else:
        tar_folder(archive, root, f"w:{archive.suffix[1:]}" if archive.suffix != ".tar" else "w")
    whole = archive.read_bytes()
    if damage == "cut":
        archive.write_bytes(whole[: len(whole) // 2])
    elif damage == "flipped":  # in a plain tar only headers are checked: here, the second one
        at = whole.index(b"ustar", 1000) if archive.suffix == ".tar" else len(whole) // 2
        archive.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
    else:
        archive.write_text("<html>not here</html>")
    with pytest.raises(ValueError, match="not a complete zip or tar archive"):
        unpack.unpack(archive, tmp_path / "out")


# What an archive may claim.


def _claiming(path: Path, kind: bytes, size: int, contents: int = 0) -> Path:
    """A tar, gzipped, whose first header has this type and size, with so many bytes of zeros behind it."""
    member = tarfile.TarInfo("x")
    member.type, member.size = kind, size
    with gzip.open(path, "wb") as packed:
        packed.write(member.tobuf(tarfile.GNU_FORMAT))
        for _ in range(contents // 2**20):
            packed.write(bytes(2**20))
        packed.write(bytes(1024))
    return path


HEADERS = [tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE]


@pytest.mark.parametrize("kind", HEADERS)
def test_a_header_of_gigabytes_is_refused_before_it_is_read(tmp_path: Path, kind: bytes) -> None:
    archive = _claiming(tmp_path / "set.tar.gz", kind, 3 * 2**30, contents=2**28)
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"a header of 3221225472 bytes, not at most 65536"):
        unpack.unpack(archive, tmp_path / "out")
    assert tracemalloc.get_traced_memory()[1] < 2**25
    tracemalloc.stop()


def test_a_later_header_of_gigabytes_is_refused_too(tmp_path: Path) -> None:
    first = tarfile.TarInfo("a.png")
    huge = tarfile.TarInfo("x")
    huge.type, huge.size = tarfile.XHDTYPE, 3 * 2**30
    (tmp_path / "set.tar").write_bytes(first.tobuf() + huge.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    with pytest.raises(ValueError, match="a header of 3221225472 bytes"):
        unpack.unpack(tmp_path / "set.tar", tmp_path / "out")


def test_headers_upon_headers_are_refused(tmp_path: Path) -> None:
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 512
    (tmp_path / "set.tar").write_bytes((header.tobuf() + bytes(512)) * 2000 + bytes(1024))
    with pytest.raises(ValueError, match="not a complete zip or tar archive"):
        unpack.unpack(tmp_path / "set.tar", tmp_path / "out")


@pytest.mark.parametrize("kind", ["old", "new"])
def test_sparse_files_are_refused(tmp_path: Path, kind: str) -> None:
    member = tarfile.TarInfo("x.png")
    if kind == "old":
        member.type = tarfile.GNUTYPE_SPARSE
        data = member.tobuf(tarfile.GNU_FORMAT)
    else:
        member.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "3000000000"}
        data = member.tobuf(tarfile.PAX_FORMAT)
    (tmp_path / "set.tar").write_bytes(data + bytes(1024))
    with pytest.raises(ValueError, match="a sparse file"):
        unpack.unpack(tmp_path / "set.tar", tmp_path / "out")


def test_a_member_that_claims_more_than_there_is_is_refused(tmp_path: Path) -> None:
    archive = _claiming(tmp_path / "set.tar.gz", tarfile.REGTYPE, 3 * 2**30)
    with pytest.raises(ValueError, match="an archive bomb"):
        unpack.unpack(archive, tmp_path / "one")
    archive = _claiming(tmp_path / "set.tar.gz", tarfile.REGTYPE, 2**20)
    with pytest.raises(ValueError, match="not a complete zip or tar archive"):
        unpack.unpack(archive, tmp_path / "two")


def test_a_negative_size_is_refused(tmp_path: Path) -> None:
    header = bytearray(tarfile.TarInfo("x.png").tobuf())
    header[124:136] = b"\xff" * 12  # base 256: -1
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    (tmp_path / "set.tar").write_bytes(bytes(header) + bytes(1024))
    with pytest.raises(ValueError, match=r"set\.tar"):
        unpack.unpack(tmp_path / "set.tar", tmp_path / "out")


@pytest.mark.parametrize("name", ["", "."])
def test_an_empty_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' is an empty name"):
        unpack.unpack(_tar_of(tmp_path / "set.tar", tarfile.TarInfo(name)), tmp_path / "out")


def test_an_empty_name_in_a_zip_is_refused(tmp_path: Path) -> None:
    data = zip_files(tmp_path / "set.zip", {"abc.png": b"x"}).read_bytes()
    data = data.replace(b"\x07\0\0\0abc.png", b"\0\0\0\0")  # in the local header
    place = data.index(b"PK\1\2")
    data = data[: place + 28] + b"\0\0" + data[place + 30 :].replace(b"abc.png", b"")
    end = bytearray(data[data.index(b"PK\5\6") :])
    end[12:20] = (46).to_bytes(4, "little") + place.to_bytes(4, "little")
    (tmp_path / "set.zip").write_bytes(data[: data.index(b"PK\5\6")] + end)
    with pytest.raises(ValueError, match="'' is an empty name"):
        unpack.unpack(tmp_path / "set.zip", tmp_path / "out")


def test_the_folder_itself_may_be_a_member(tmp_path: Path) -> None:
    """As `tar -c .` writes it."""
    folder, file = tarfile.TarInfo("./"), tarfile.TarInfo("./a.png")
    folder.type = tarfile.DIRTYPE
    unpack.unpack(_tar_of(tmp_path / "set.tar", folder, file), tmp_path / "out")
    assert list_files(tmp_path / "out") == {"a.png": b""}


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_folders_nested_deeper_than_python_recurses(tmp_path: Path, suffix: str) -> None:
    name = "d/" * 1500 + "x.png"
    path = tmp_path / f"set{suffix}"
    unpack.unpack(
        zip_files(path, {name: b""}) if suffix == ".zip" else _tar_of(path, tarfile.TarInfo(name)), tmp_path / "out"
    )
    assert (tmp_path / "out" / name).exists()
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").touch()
    (tmp_path / "out" / "d" / "link").symlink_to(tmp_path / "kept")
    remove_folder(tmp_path / "out")
    assert not (tmp_path / "out").exists() and (tmp_path / "kept" / "file").exists()
