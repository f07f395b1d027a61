"""`unit data NAME`: the output is exactly what went in, and it is complete or absent."""

import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from set_toys import Site, counts_of, list_files, named, serving, tar_folder, write_folders, write_pairs, zip_files

from unit.cli.data import data
from unit.data.sets import fetch, layout, prepare, recipes
from unit.data.toymaps import write_toymaps

DATASETS = Path(__file__).resolve().parents[2] / "datasets"
DATA = Path(os.environ.get("UNIT_DATA", DATASETS.parent.parent / "shared" / "data"))


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A server on this machine, without pauses between attempts and without a proxy."""
    monkeypatch.setattr(fetch, "PAUSE", 0.0)
    monkeypatch.setenv("no_proxy", "*")
    with serving() as served:
        yield served


# --- the command -------------------------------------------------------------------------------


@pytest.fixture
def tiny(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A recipe for `maps` whose archive is tiny and comes from the test's server."""
    root = write_pairs(tmp_path / "made" / "maps", train=2, val=1)
    archive = tar_folder(tmp_path / "made" / "maps.tar.gz", root)
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
    (room / "maps").mkdir(parents=True)  # an empty output folder is no obstacle
    assert data(["maps", "--output", str(room / "maps")]) == 0
    assert capsys.readouterr().out.startswith(f"{room / 'maps'}: testA 1, testB 1, trainA 2")
    assert counts_of(room / "maps") == named(2, 2, 1, 1)
    downloads = room / "downloads"
    assert sorted(path.name for path in room.iterdir()) == ["downloads", "maps"]
    assert sorted(list_files(downloads)) == ["maps.tar.gz", "maps.tar.gz.sha256"]
    digest = fetch._digest(downloads / "maps.tar.gz", "sha256")
    assert (downloads / "maps.tar.gz.sha256").read_text() == f"{digest}  maps.tar.gz\n"

    before = list_files(room)
    assert data(["maps", "--output", str(room / "maps")]) == 1
    assert "already exists" in capsys.readouterr().err
    assert list_files(room) == before
    assert data(["maps", "--output", str(room / "again")]) == 0
    assert list_files(room / "again") == list_files(room / "maps")
    assert len(tiny.asked) == 1


def test_a_download_with_other_counts_is_an_error_and_a_source_a_warning(
    tiny: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = tar_folder(tmp_path / "maps.tar.gz", write_pairs(tmp_path / "m", train=3, val=1))
    tiny.files["/maps.tar.gz"] = archive.read_bytes()
    room = tmp_path / "room"
    assert data(["maps", "--output", str(room / "maps")]) == 1
    assert "trainA has 3 images instead of 2" in capsys.readouterr().err
    assert list(list_files(room)) == ["downloads/maps.tar.gz"]
    for source in (archive, tmp_path / "m"):
        out = room / source.name
        assert data(["maps", "--source", str(source), "--output", str(out)]) == 0
        assert capsys.readouterr().err.startswith("warning: not the complete published data set: trainA")
        assert counts_of(out)["trainA"] == 3


def test_a_broken_download_is_not_kept(tiny: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.files["/maps.tar.gz"] = tiny.files["/maps.tar.gz"][:-20]
    assert data(["maps", "--output", str(tmp_path / "room" / "maps")]) == 1
    assert "not a complete zip or tar archive" in capsys.readouterr().err
    assert list_files(tmp_path / "room") == {}


def test_an_offline_machine_is_told_the_mirrors_and_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def offline(*args: object, **kwargs: object) -> None:
        raise urllib.error.URLError(socket.gaierror(-2, "Name or service not known"))

    monkeypatch.setattr("urllib.request.urlopen", offline)
    assert data(["horse2zebra", "--output", str(tmp_path / "x")]) == 1
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "--source" in message
    assert all(mirror in message for mirror in recipes.RECIPES["horse2zebra"].mirrors)
    assert not list(tmp_path.iterdir())


def test_a_set_without_mirrors_says_what_to_download(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert data(["celeba", "--attribute", "Male", "--output", str(tmp_path / "x")]) == 1
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
    source, stage = write_pairs(tmp_path / "in", train=1, test=1), tmp_path / ".x.preparing"
    command = ["maps", "--source", str(source), "--output", str(tmp_path / "x")]
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path / "x")], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"
        assert data(command) == 1
        assert "another process is preparing" in capsys.readouterr().err
        assert (stage / "result" / "trainA" / "stale.png").exists()
    finally:
        holder.kill()
        holder.communicate()
    assert (stage / "result" / "trainA" / "stale.png").exists()
    assert data(command) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "x"]
    assert counts_of(tmp_path / "x")["trainA"] == 1


def test_an_interrupted_run_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(layout, "_split_pairs", interrupted)
    source = write_pairs(tmp_path / "in", train=1, test=1)
    command = ["maps", "--source", str(source), "--output", str(tmp_path / "x")]
    assert data(command) == 130
    assert "interrupted" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_paired_toymaps_show_the_same_towns_under_the_same_names(tmp_path: Path) -> None:
    command = ["toymaps_paired", "--size", "16", "--train", "3", "--test", "2", "--val", "1"]
    assert data([*command, "--output", str(tmp_path / "pairs")]) == 0
    write_toymaps(tmp_path / "unpaired", size=16, train=3, test=2, val=1)
    write_toymaps(tmp_path / "expected", size=16, train=3, test=2, val=1, paired=True)
    found, unpaired, expected = (
        {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*.png")}
        for root in (tmp_path / "pairs", tmp_path / "unpaired", tmp_path / "expected")
    )
    assert found == expected
    assert {name for name in found if found[name] != unpaired[name]} == {f"trainB/{n:05d}.png" for n in range(3)}
    photos, maps = (sorted((tmp_path / "pairs" / folder).iterdir()) for folder in ("trainA", "trainB"))
    assert [path.name for path in photos] == [path.name for path in maps]


def test_toymaps_are_drawn_as_the_generator_draws_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["toymaps", "--size", "16", "--train", "3", "--test", "2", "--val", "0", "--seed", "4"]
    assert data([*command, "--output", str(tmp_path / "x")]) == 0
    assert capsys.readouterr().err == ""
    write_toymaps(tmp_path / "expected", size=16, train=3, test=2, seed=4)
    assert list_files(tmp_path / "x") == list_files(tmp_path / "expected")


def test_the_result_goes_below_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert data(["toymaps", "--size", "16", "--train", "2", "--test", "1", "--val", "1"]) == 0
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'datasets' / 'toymaps'}: testA 1, testB 1, trainA 2")
    source = write_folders(tmp_path / "mine")
    assert data(["horse2zebra", "--source", "mine"]) == 0
    assert list_files(tmp_path / "datasets" / "horse2zebra") == list_files(source)
    assert sorted(path.name for path in (tmp_path / "datasets").iterdir()) == ["horse2zebra", "toymaps"]


@pytest.mark.parametrize("command", [[], ["--help"]])
def test_the_sets_are_listed_one_per_line(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert data(command) == 0
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    for name, recipe in recipes.RECIPES.items():
        assert lines.count([name, recipe.about]) == 1


@pytest.mark.parametrize(
    "command",
    [
        ["mapz"],
        ["--output", "x"],
        ["maps", "--sou", "x"],
        ["maps", "--attribute", "Smiling"],
        ["maps", "--size", "64"],
        ["celeba"],
        ["toymaps", "--source", "."],
        ["toymaps", "--size", "0"],
        ["toymaps", "--train", "many"],
    ],
)
def test_a_wrong_command_is_exit_code_2_and_one_line(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert data(command) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1


def test_a_missing_source_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["maps", "--source", str(tmp_path / "no"), "--output", str(tmp_path / "x")]
    assert data(command) == 1
    assert capsys.readouterr().err == f"error: no such folder or archive: {tmp_path / 'no'}\n"
    assert not list(tmp_path.iterdir())


def test_prepare_returns_what_it_made(tmp_path: Path) -> None:
    source = write_folders(tmp_path / "in", count=1)
    prepared = prepare.prepare("cat2dog", output=tmp_path / "x", source=source)
    assert prepared == prepare.Prepared(tmp_path / "x", named(1, 2, 1, 2), recipes.RECIPES["cat2dog"].terms)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mapz", {}, "no data set 'mapz'; expected one of maps, "),
        ("maps", {"attribute": "Smiling"}, "only celeba has attributes"),
        ("maps", {"size": 32}, "options of toymaps, not of maps"),
        ("celeba", {}, "celeba needs one"),
        ("toymaps", {"source": Path()}, "toymaps are drawn"),
        ("toymaps", {"size": 8}, "size is 8"),
        ("toymaps", {"test": 0}, "test is 0"),
    ],
)
def test_prepare_refuses_options_that_do_not_fit(
    tmp_path: Path, name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        prepare.prepare(name, output=tmp_path / "x", **options)
    assert not list(tmp_path.iterdir())


def test_the_script_runs_the_package_of_its_own_checkout(tmp_path: Path) -> None:
    package = tmp_path / "checkout" / "unit"
    (package / "cli").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "cli" / "__init__.py").touch()
    (package / "cli" / "data.py").write_text("def data(arguments):\n    print(arguments)\n    return 3\n")
    script = tmp_path / "checkout" / "datasets" / "prepare.py"
    script.parent.mkdir()
    shutil.copy(DATASETS / "prepare.py", script)
    command = [sys.executable, str(script), "maps", "--output", "x"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (3, "['maps', '--output', 'x']\n")


def test_the_script_prepares_a_data_set(tmp_path: Path) -> None:
    source = write_folders(tmp_path / "in")
    command = [sys.executable, str(DATASETS / "prepare.py"), "cat2dog", "--source", str(source)]
    ran = subprocess.run([*command, "--output", "x"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ran.stdout.startswith(f"{tmp_path / 'x'}: testA 2")
    assert list_files(tmp_path / "x") == list_files(source)


def test_the_command_needs_neither_torch_nor_a_module_of_unix() -> None:
    code = (
        "import sys; sys.modules.update(fcntl=None, pwd=None); import unit.cli.data; sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


# --- what is published -------------------------------------------------------------------------


def test_the_folder_is_no_package() -> None:
    assert not (DATASETS / "__init__.py").exists(), "it would shadow Hugging Face's datasets"


def test_each_recipe_is_complete_and_in_the_readme() -> None:
    readme = (DATASETS / "README.md").read_text()
    for name, recipe in recipes.RECIPES.items():
        assert f"`{name}`" in readme
        assert recipe.about
        assert recipe.terms
        assert recipe.mirrors or recipe.by_hand or name.startswith("toymaps")
        assert all(url.startswith("http") and url.endswith(recipe.archive) for url in recipe.mirrors)
        assert all(count > 0 for count in recipe.counts.values())


def test_the_readmes_example_is_a_recipe() -> None:
    _, example, _ = re.split(r"```(?:python)?\n", (DATASETS / "README.md").read_text().split("## How to add one")[1])
    for name, recipe in eval(f"{{{example}}}", vars(recipes)).items():
        assert isinstance(recipe, recipes.Recipe)
        assert recipe.mirrors
        assert name not in recipes.RECIPES


# --- real data ---------------------------------------------------------------------------------


@pytest.mark.skipif(not (DATA / "maps").is_dir(), reason="no real maps (UNIT_DATA)")
def test_real_maps_are_split_exactly(tmp_path: Path) -> None:
    for split in ("train", "val"):
        (tmp_path / "in" / "paired" / split).mkdir(parents=True)
        for path in sorted((DATA / "maps" / "paired" / split).iterdir())[:4]:
            (tmp_path / "in" / "paired" / split / path.name).symlink_to(path.resolve())
    out = tmp_path / "maps"
    assert data(["maps", "--source", str(tmp_path / "in"), "--output", str(out)]) == 0
    for split, origin in (("train", "train"), ("test", "val")):
        for path in sorted((out / f"{split}A").iterdir()):
            halves = [np.asarray(Image.open(out / f"{split}{d}" / path.name)) for d in "AB"]
            pair = Image.open(tmp_path / "in" / "paired" / origin / f"{path.stem}.jpg")
            np.testing.assert_array_equal(np.concatenate(halves, axis=1), np.asarray(pair))


@pytest.mark.skipif(not (DATA / "day2night").is_dir(), reason="no real day2night (UNIT_DATA)")
def test_real_day2night_is_copied(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["day2night", "--source", str(DATA / "day2night"), "--output", str(tmp_path / "x")]
    assert data(command) == 0
    assert list_files(tmp_path / "x") == list_files(DATA / "day2night")


def test_a_deeply_nested_archive_is_prepared_and_cleared_away(tmp_path: Path) -> None:
    root = write_folders(tmp_path / "set")
    deep = "set/" + "d/" * 1200 + "x.txt"
    files = {f"set/{name}": contents for name, contents in list_files(root).items()}
    archive = zip_files(tmp_path / "set.zip", files | {deep: b"x"})
    assert data(["maps", "--source", str(archive), "--output", str(tmp_path / "maps")]) == 0
    assert list_files(tmp_path / "maps").keys() == list_files(root).keys()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
