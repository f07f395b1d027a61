"""`unit prove-resume`: real SIGKILLs, fresh interpreters, and that it finds a resume at fault."""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import Command, Tiny
from digit_toys import METHODS, options, write_mnist
from run_files import status_of
from safetensors.torch import load_file, save_file
from waiting import HANGS, wait_for

from unit.config.base import ConfigError
from unit.launcher import LAUNCHED
from unit.proof import resume
from unit.proof.resume import Certificate, Plan, Strike, compare, prove
from unit.training import RunError

ROOT = Path(__file__).resolve().parent.parent.parent

PLANTED = """
import sys
from pathlib import Path
from unit.cli.train import train
from unit.proof.events import watch
from unit.training import checkpoint
checkpoint.fill_optimizer = lambda *arguments: None  # the moments are dropped at a resume
progress, end, *arguments = sys.argv[1:]
watch(Path(progress), end=int(end) or None)
sys.exit(train(arguments))
"""


@pytest.fixture(scope="module")
def mnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mnist(tmp_path_factory.mktemp("digits") / "mnist")


def digits(name: str, mnist: Path) -> list[str]:
    """The command line but for what the prover sets."""
    given = options(name, data__root=mnist)
    kept = [part for pair in zip(given[::2], given[1::2], strict=True) if "_every" not in pair[0] for part in pair]
    return [*kept, "--optim.schedule", "cosine"]


# Exact, and not exact


def test_prove_resume_kills_and_finds_the_resume_exact(mnist: Path, run_command: Command, tmp_path: Path) -> None:
    kept = tmp_path / "proof"
    more = ["--kills", "2", "--steps", "6", "--every", "2", "--seed", "3", "--output", kept]
    said = run_command("main", "prove-resume", *digits("aae", mnist), *more)
    assert said.code == 0, said.err
    outcome, compared = said.out.splitlines()[-2:]
    found = re.fullmatch(
        r"exact: (\d) trainings? of 6 steps, killed 2 times \((\d) in a save\), ended bit for bit as the unbroken one",
        outcome,
    )
    assert found and int(found[2]) >= 1
    assert re.fullmatch(r"compared: \d+ tensors, 5 files, the log; processes 1, seed 3, \d+ s", compared)
    assert sum(int(line.split()[-2]) for line in said.out.splitlines()[:-2]) == 2  # the histogram
    assert len([path for path in kept.iterdir() if path.is_dir()]) == 1 + int(found[1])
    again = run_command("main", "prove-resume", *digits("aae", mnist), "--output", kept)
    assert again.code == 2 and "not empty" in again.err


def test_prove_resume_finds_a_resume_that_drops_the_moments(mnist: Path, run_command: Command, tmp_path: Path) -> None:
    """The training that nobody kills, and the life until it was broken off, are from here."""
    plan = Plan(digits("vae", mnist), 4, 2, 1, [sys.executable, "-c", PLANTED])
    try:
        assert run_command("train", *plan.config(tmp_path / "unbroken")).code == 0
        assert run_command("train", *plan.config(tmp_path / "life-1"), "--train.steps", "2").code == 0
    finally:
        torch.use_deterministic_algorithms(False)
    assert resume.killed(plan, tmp_path / "life-1", None, limit=HANGS) is None
    found, _ = compare(tmp_path / "unbroken", tmp_path / "life-1")
    assert "tensors" in found[0]
    certificate = Certificate(4, 1, 0, differences=found)
    assert not certificate.exact and "NOT EXACT" in certificate.table() and found[0] in certificate.table()


def test_the_comparison_sees_one_bit(tiny: Tiny, run_command: Command, tmp_path: Path) -> None:
    run, other = tmp_path / "run", tmp_path / "other"
    assert run_command("train", *tiny(run, "--train.steps", "1")).code == 0
    model = load_file(run / "model.safetensors")
    name = next(iter(model))
    model[name].view(-1)[0] = model[name].view(-1)[0].nextafter(model[name].new_tensor(9.0))
    changes = {
        "model.safetensors": lambda path: save_file(model, path),
        "config.json": lambda path: path.write_text(path.read_text() + "\n"),
        "samples/step-00000001.png": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
        "metrics.jsonl": lambda path: path.write_text(path.read_text().replace('"lr"', '"rl"')),
    }
    for file, change in changes.items():
        shutil.rmtree(other, ignore_errors=True)
        shutil.copytree(run, other)
        assert compare(run, other)[0] == []
        change(other / file)
        assert compare(run, other)[0] == [file]


# What goes wrong


def test_a_config_that_cannot_be_trained_is_one_line(run_command: Command, mnist: Path, tmp_path: Path) -> None:
    wrong = {
        ("--config", "nothing"): "--config",
        (*digits("vae", mnist), "--data.root", str(tmp_path)): str(tmp_path),
        (*digits("vae", mnist), "--every", "20"): "--every: expected at most --steps 12, got 20",
        (*digits("vae", mnist), "--kills", "0"): "--kills: expected at least 1, got 0",
    }
    for arguments, words in wrong.items():
        said = run_command("main", "prove-resume", *arguments)
        assert said.code == 2 and words in said.err, said
        assert len(said.err.strip().splitlines()) == 1


def test_a_training_that_hangs_is_ended_and_said(tmp_path: Path) -> None:
    plan = Plan([], 4, 2, 1, [sys.executable, "-c", "import time; time.sleep(600)"])
    begun = time.monotonic()
    for strike in (None, Strike("event", 5, 0.0, [0])):
        with pytest.raises(RunError, match="hangs"):
            resume.killed(plan, tmp_path / "run", strike, limit=0.5)
    assert time.monotonic() - begun < 30


@pytest.mark.parametrize(("code", "error"), [(1, RunError), (2, ConfigError)])
def test_a_training_that_fails_says_why(code: int, error: type[Exception], tmp_path: Path) -> None:
    script = f"import sys; print('first'); print('error: such and such', file=sys.stderr); sys.exit({code})"
    plan = Plan([], 4, 2, 1, [sys.executable, "-c", script])
    with pytest.raises(error, match="such and such"):
        resume.killed(plan, tmp_path / "run", None, limit=HANGS)


def test_a_checkpoint_that_a_kill_took_away_is_said(mnist: Path, run_command: Command, tmp_path: Path) -> None:
    assert run_command("train", *options("vae", data__root=mnist, run__output=tmp_path / "run")).code == 0
    assert resume.whole_and_no_older(tmp_path / "run", 2) == 4
    with pytest.raises(RunError, match=r"took the checkpoint of step 5 .* the newest is of step 4"):
        resume.whole_and_no_older(tmp_path / "run", 5)


def test_a_training_knows_that_the_prover_launched_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """So it ends when the prover does, as every launched training."""
    for name in LAUNCHED:
        monkeypatch.delenv(name, raising=False)
    assert all({*LAUNCHED} & resume.make_environment(0, count, 5).keys() for count in (1, 2))


@pytest.mark.slow
def test_the_prover_takes_its_trainings_with_it(mnist: Path, tmp_path: Path) -> None:
    """A prover that is killed leaves no training behind that goes on for long."""
    arguments = ["prove-resume", *digits("vae", mnist), "--steps", "100000", "--every", "100000"]
    prover = subprocess.Popen([sys.executable, "-m", "unit", *arguments, "--output", tmp_path / "proof"], cwd=ROOT)
    run = tmp_path / "proof" / "unbroken"
    try:
        wait_for((run / "metrics.jsonl").is_file, over=lambda: prover.poll() is not None)
    finally:
        prover.kill()
        prover.wait()
    wait_for(lambda: status_of(run)["status"] == "interrupted")


# The whole proof


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_resumed_exactly_after_real_kills(name: str, mnist: Path, tmp_path: Path) -> None:
    plan = Plan(digits(name, mnist), steps=6, every=2, processes=1)
    certificate = prove(plan, tmp_path, kills=3, seed=len(name))
    assert certificate.exact and certificate.count == 3 and certificate.in_saves >= 1, certificate.table()


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_unit_is_resumed_exactly_after_real_kills(processes: int, tiny: Tiny, tmp_path: Path) -> None:
    given = tiny(tmp_path / "run", "--data.jitter", "0.3", "--model.regularizer", "kl_learned")
    dropped = ("--run.output", "--train.steps", "--train.log_every", "--train.sample_every", "--train.checkpoint_every")
    pairs = zip(given[::2], given[1::2], strict=True)
    plan = Plan([part for pair in pairs if pair[0] not in dropped for part in pair], 8, 2, processes)
    certificate = prove(plan, tmp_path / "proof", kills=12, in_saves=4, seed=processes)
    assert certificate.exact and certificate.count >= 12 and certificate.in_saves >= 4, certificate.table()
