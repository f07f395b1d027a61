"""The command `unit`: its table, `unit config`, options of earlier versions, and readers that have had enough."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from bounds import ROOT
from conftest import Command
from run_files import refused
from waiting import HANGS

import unit
from unit.cli.main import COMMANDS, main
from unit.config.files import CONFIGS, config_names, load


def test_without_a_command_it_lists_them_all(run_command: Command) -> None:
    said = run_command("main")
    assert said.code == 0 and said.err == ""
    assert said == run_command("main", "--help") == run_command("main", "-h")
    lines = [line.split() for line in said.out.splitlines()]
    assert [line[0] for line in lines if line and line[0] in COMMANDS] == list(COMMANDS)


def test_version(run_command: Command) -> None:
    assert run_command("main", "--version") == (0, f"unit {unit.__version__}\n", "")


@pytest.mark.parametrize("name", ["trian", "", "Train", "--resume"])
def test_an_unknown_command_lists_those_there_are(name: str, run_command: Command) -> None:
    refused(run_command("main", name), f"no command {name}", *COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, run_command: Command) -> None:
    said = run_command("main", name, "--help")
    assert said.code == 0 and said.err == ""
    assert said.out.startswith(f"usage: unit {name}")


@pytest.mark.parametrize("name", ["translate", "evaluate", "plot", "config", "prove-resume"])
@pytest.mark.parametrize("option", ["--bogus", "--mod"])  # nor are options abbreviated
def test_an_unknown_option_is_one_line(name: str, option: str, run_command: Command) -> None:
    refused(run_command("main", name, option, "x"))


def test_arguments_are_the_processs_own_by_default(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["unit", "--version"])
    assert main() == 0 and capsys.readouterr().out == f"unit {unit.__version__}\n"


@pytest.mark.parametrize("command", ["evaluate", "plot"])
@pytest.mark.parametrize("given", [["--root", "x"], ["--root=x"]])
def test_an_options_old_name_is_answered_with_the_new_one(command: str, given: list[str], run_command: Command) -> None:
    refused(run_command("main", command, "--model", "run", *given), "--root is now called --data.root")


@pytest.mark.parametrize("option", ["--rootless", "--roots=x"])
def test_only_the_old_name_itself_is_answered(option: str, run_command: Command) -> None:
    said = run_command("main", "evaluate", "--model", "run", option)
    refused(said, f"unrecognized arguments: {option}")


# unit config


def test_config_list_has_a_line_for_each_with_what_it_is_for(run_command: Command) -> None:
    said = run_command("main", "config", "list")
    assert said.code == 0
    lines = dict(line.split(maxsplit=1) for line in said.out.splitlines())
    assert list(lines) == config_names() and "maps_small" in lines
    for name, text in lines.items():
        head = (CONFIGS / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[0]
        assert text.split(" …")[0][:40] in head
    assert lines["mnist_m1"].endswith("(Kingma et al. 2014)")


@pytest.mark.parametrize("name", ["maps", "maps.yaml", str(CONFIGS / "maps.yaml")])
def test_config_show_gives_the_file_to_copy(name: str, run_command: Command, tmp_path: Path) -> None:
    said = run_command("main", "config", "show", name)
    assert said.code == 0 and said.out == (CONFIGS / "maps.yaml").read_text(encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(said.out, encoding="utf-8")
    assert load(tmp_path / "mine.yaml") == load("maps")


def test_config_of_what_there_is_not(run_command: Command) -> None:
    refused(run_command("main", "config", "show", "mpas"), "mpas", "maps_small")
    refused(run_command("main", "config", "shwo", "maps"), "list", "show")
    refused(run_command("main", "config"), "unit config --help")
    refused(run_command("main", "config", "show"), "name")


# Processes


def unit_command(*arguments: str, **more: object) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        [sys.executable, "-m", "unit", *arguments], env=environment, text=True, timeout=HANGS, **more
    )


def test_a_process_says_what_main_says() -> None:
    said = unit_command("--version", capture_output=True)
    assert (said.returncode, said.stdout, said.stderr) == (0, f"unit {unit.__version__}\n", "")
    said = unit_command("trian", capture_output=True)
    assert said.returncode == 2 and said.stderr.startswith("error: no command trian") and not said.stdout


@pytest.mark.parametrize(
    "arguments", [["config", "list"], ["config", "show", "maps"], ["evaluate", "--help"], ["data"], ["--help"]], ids=str
)
@pytest.mark.parametrize("buffered", [True, False])
def test_a_reader_that_has_had_enough_is_no_error_to_talk_about(
    arguments: list[str], buffered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `unit config list | head -1`, when `head` has gone."""
    monkeypatch.setenv("PYTHONUNBUFFERED", "" if buffered else "1")
    read, write = os.pipe()
    os.close(read)
    try:
        said = unit_command(*arguments, stdout=write, stderr=subprocess.PIPE)
    finally:
        os.close(write)
    assert said.stderr == "" and said.returncode in (0, 1)
