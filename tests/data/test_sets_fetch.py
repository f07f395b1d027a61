"""unit.data.sets.fetch: a download is the mirror's file, complete or absent."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from set_toys import Site, list_files, serving

from unit.data.sets import fetch


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A server on this machine, without pauses between attempts and without a proxy."""
    monkeypatch.setattr(fetch, "PAUSE", 0.0)
    monkeypatch.setenv("no_proxy", "*")
    with serving() as served:
        yield served


BODY = bytes(range(256)) * 40


def _leave_part(site: Site, archive: Path, part: bytes, version: str = '"v1"') -> None:
    archive.parent.mkdir(parents=True, exist_ok=True)
    archive.with_name("x.zip.part").write_bytes(part)
    archive.with_name("x.zip.part.from").write_text(f"{site.url}/x.zip\n{version}")


def test_a_download_is_the_mirrors_file_and_leaves_nothing_else(site: Site, tmp_path: Path) -> None:
    site.files["/x.zip"] = BODY
    fetch.fetch(tmp_path / "d" / "x.zip", [f"{site.url}/x.zip"])
    assert list_files(tmp_path) == {"d/x.zip": BODY}
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
    assert list_files(tmp_path) == {"x.zip": BODY}
    assert site.asked == [("/x.zip", f"bytes={len(start)}-" if version else "")]


def test_a_part_that_was_whole_already_is_taken(site: Site, tmp_path: Path) -> None:
    site.files["/x.zip"] = BODY
    _leave_part(site, tmp_path / "x.zip", BODY)
    fetch.fetch(tmp_path / "x.zip", [f"{site.url}/x.zip"])
    assert list_files(tmp_path) == {"x.zip": BODY}
    assert site.asked == [("/x.zip", f"bytes={len(BODY)}-")]


def test_a_part_that_is_too_long_is_dropped(site: Site, tmp_path: Path) -> None:
    site.files["/x.zip"] = BODY
    _leave_part(site, tmp_path / "x.zip", BODY + b"?")
    fetch.fetch(tmp_path / "x.zip", [f"{site.url}/x.zip"])
    assert list_files(tmp_path) == {"x.zip": BODY}


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_off_answer_is_completed(site: Site, tmp_path: Path, ranges: bool) -> None:
    site.files["/x.zip"], site.ranges, site.cut = BODY, ranges, [100, 3000]
    fetch.fetch(tmp_path / "x.zip", [f"{site.url}/x.zip"])
    assert list_files(tmp_path) == {"x.zip": BODY}
    third = "bytes=3100-" if ranges else "bytes=3000-"
    assert site.asked == [("/x.zip", ""), ("/x.zip", "bytes=100-"), ("/x.zip", third)]


def test_a_bad_line_is_enough_while_it_makes_progress(site: Site, tmp_path: Path) -> None:
    site.files["/x.zip"], site.cut = BODY, [1000] * 9
    fetch.fetch(tmp_path / "x.zip", [f"{site.url}/x.zip"])
    assert list_files(tmp_path) == {"x.zip": BODY}
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
    assert list_files(tmp_path) == {"x.zip": BODY}


def test_attempts_without_progress_end_and_keep_the_part(site: Site, tmp_path: Path) -> None:
    site.files["/x.zip"], site.cut = BODY, [100] + [0] * 20
    with pytest.raises(ConnectionError, match="ended after 100 of 10240 bytes"):
        fetch.fetch(tmp_path / "x.zip", [f"{site.url}/x.zip"])
    assert len(site.asked) == fetch.ATTEMPTS
    site.cut.clear()
    fetch.fetch(tmp_path / "x.zip", [f"{site.url}/x.zip"])
    assert site.asked[-1] == ("/x.zip", "bytes=100-")
    assert list_files(tmp_path) == {"x.zip": BODY}


def test_an_overloaded_server_is_asked_again(site: Site, tmp_path: Path) -> None:
    site.files["/x.zip"], site.errors = BODY, [503, 429]
    fetch.fetch(tmp_path / "x.zip", [f"{site.url}/x.zip"])
    assert list_files(tmp_path) == {"x.zip": BODY}


def test_mirrors_are_tried_in_turn(site: Site, tmp_path: Path) -> None:
    site.files["/there/x.zip"] = BODY
    mirrors = ["http://127.0.0.1:9/x.zip", f"{site.url}/gone/x.zip", f"{site.url}/there/x.zip"]
    fetch.fetch(tmp_path / "x.zip", mirrors)
    assert site.asked == [("/gone/x.zip", ""), ("/there/x.zip", "")]
    assert list_files(tmp_path) == {"x.zip": BODY}


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
    assert list_files(tmp_path / "d") == {"x.zip": BODY}
    with pytest.raises(ConnectionError, match="sha256"):
        fetch.fetch(tmp_path / "e" / "x.zip", [f"{site.url}/bad/x.zip"], checksum=checksum)
    assert not (tmp_path / "e").exists()


def test_the_first_downloads_checksum_holds_for_later_ones(site: Site, tmp_path: Path) -> None:
    site.files["/x.zip"] = BODY
    archive = tmp_path / "x.zip"
    fetch.fetch(archive, [f"{site.url}/x.zip"])
    fetch.record_checksum(archive)
    archive.write_bytes(b"changed")
    with pytest.raises(ValueError, match="delete it to download it again"):
        fetch.fetch(archive, [f"{site.url}/x.zip"])
    archive.unlink()
    site.files["/x.zip"] = b"another"
    with pytest.raises(ConnectionError, match="sha256"):
        fetch.fetch(archive, [f"{site.url}/x.zip"])
    site.files["/x.zip"] = BODY
    fetch.fetch(archive, [f"{site.url}/x.zip"])
    assert archive.read_bytes() == BODY
