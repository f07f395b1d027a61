"""unit.data.sets.unpack: an archive is unpacked exactly, or refused before it does harm."""

import stat
import tarfile
import zipfile
from pathlib import Path

import pytest
from set_toys import files_of, tar_folder, write_folders, zip_files

from unit.data.sets import unpack


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_comes_out_as_it_went_in(tmp_path: Path, mode: str) -> None:
    root = write_folders(tmp_path / "set")
    unpack.unpack(tar_folder(tmp_path / "set.tar", root, mode), tmp_path / "out")
    assert files_of(tmp_path / "out" / "set") == files_of(root)


def test_a_zip_comes_out_as_it_went_in(tmp_path: Path) -> None:
    files = {"set/trainA/2011-11-08 16:45:24.jpg": b"one", "set/b.jpg": b""}
    unpack.unpack(zip_files(tmp_path / "set.zip", files), tmp_path / "out")
    assert files_of(tmp_path / "out") == files


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/x", "C:/x", "C:x", "a\\..\\..\\x", "//h/s/x"])
def test_a_name_that_leads_outside_is_refused(tmp_path: Path, name: str) -> None:
    packed_zip = zip_files(tmp_path / "set.zip", {name: b"evil"})
    packed_tar = _tar_of(tmp_path / "set.tar", tarfile.TarInfo(name))
    for archive in (packed_zip, packed_tar):
        with pytest.raises(ValueError, match="not safe to unpack"):
            unpack.unpack(archive, tmp_path / archive.suffix / "out")
    assert sorted(files_of(tmp_path)) == ["set.tar", "set.zip"]


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
        assert files_of(tmp_path / f"out{archive.suffix}") == {}


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
        zip_files(archive, {f"set/{name}": contents for name, contents in files_of(root).items()})
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
