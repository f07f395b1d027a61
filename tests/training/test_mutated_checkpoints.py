"""A run's folder that was tampered with is refused in one line, by all commands that read what was changed."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from bounds import assert_refused, no_longer_than, snapshot
from conftest import Command, Tiny
from mutated_images import noise
from mutations import pickles

from unit import weights
from unit.models.folder import load_model
from unit.models.unit import UnitTranslator

CHECKPOINT = "checkpoints/step-00000004"


@pytest.fixture(scope="module")
def finished(tiny: Tiny, run_command: Command, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs of 4 steps, without the finished model: with a moving average and without."""
    runs = {ema: tmp_path_factory.mktemp("runs") / f"ema {ema}" for ema in ("0", "0.5")}
    for ema, run in runs.items():
        assert run_command("train", *tiny(run, "--optim.ema", ema)).code == 0
        (run / "config.json").unlink()
        (run / "model.safetensors").unlink()
    return runs


def replaced(path: Path, data: bytes | None) -> None:
    """Put these bytes in the file's place, or a pipe."""
    path.unlink()
    if data is None:
        os.mkfifo(path)
    else:
        path.write_bytes(data)


def configs(run: Path, packed: bytes) -> Iterator[bytes]:
    """What may stand in a run's config.yaml instead: hostile, or of another model than the checkpoint's."""
    yield from (b"", b"[" * 10**6, packed, b"x: !!python/object/apply:os.mkdir ['mark']")
    saved = (run / "config.yaml").read_text()
    for old, new in (
        *(("  width: 4\n", f"  width: {width}\n") for width in (4096, 10**12, "[4]")),
        ("  blocks: 2\n", "  blocks: 1000000000\n"),
        ("method: unit", "method: vae"),
    ):
        assert old in saved
        yield saved.replace(old, new).encode()


@pytest.mark.parametrize("ema", ["0.5", pytest.param("0", marks=pytest.mark.slow)])
def test_a_run_that_was_tampered_with_is_refused_in_one_line(
    run_command: Command, finished: dict[str, Path], tmp_path: Path, ema: str
) -> None:
    (tmp_path / "in").mkdir()
    noise().save(tmp_path / "in" / "x.png")
    run, mark, output = tmp_path / "run", tmp_path / "mark", tmp_path / "out"
    packed = pickles(mark)["torch.save"]
    resume: list[str | Path] = ["train", "--resume", run, "--train.steps", "5"]
    translate: list[str | Path] = ["translate", "--model", run, "--input", tmp_path / "in", "--output", output]
    evaluate: list[str | Path] = ["evaluate", "--model", run]
    in_checkpoint = ("manifest.json", "config.json", "average.safetensors" if ema != "0" else "model.safetensors")
    harms: list[tuple[str, bytes | None]] = [
        *(("config.yaml", data) for data in configs(finished[ema], packed)),
        *(
            (f"{CHECKPOINT}/{name}", data)
            for name in in_checkpoint
            for data in (b"", packed, b"[" * 10**6, b'{"format": 2}', None)
        ),
    ]
    for name, data in harms:
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(finished[ema], run)
        replaced(run / name, data)
        before = snapshot(run)
        # A model's description is its checkpoint's; how it was trained, and where the data lies, is in config.yaml.
        commands = [resume, evaluate] if name == "config.yaml" else [resume, evaluate, translate]
        if data is not None and b"width: 4096" in data:  # a sound config, of a larger model
            commands = [resume]
        for command in commands:
            with no_longer_than(20):
                said = run_command(*command)
            assert_refused(said)
            assert not mark.exists() and not output.exists(), name
        assert {Path(path).name for path, _ in snapshot(run).items() ^ before.items()} <= {".lock"}, name


@pytest.mark.parametrize("name", ["model", "average", "discriminators", "adam-translator", "adam-discriminators"])
def test_a_file_of_a_checkpoint_that_is_another_s_is_refused_at_the_resume(
    run_command: Command, finished: dict[str, Path], tmp_path: Path, name: str
) -> None:
    run = shutil.copytree(finished["0.5"], tmp_path / "run")
    file = f"{name}.safetensors"
    shutil.copy(run / "checkpoints" / "step-00000002" / file, run / CHECKPOINT / file)
    said = run_command("train", "--resume", run, "--train.steps", "5")
    assert_refused(said)
    assert file in said.err and "step-00000002" in said.err  # the checkpoint before it, to go on from


@pytest.mark.parametrize("ema", ["0", "0.5"])
def test_a_sound_run_is_loaded_with_and_without_an_average(finished: dict[str, Path], ema: str) -> None:
    assert isinstance(load_model(finished[ema]), UnitTranslator)
    assert isinstance(load_model(finished[ema] / CHECKPOINT), UnitTranslator)


@pytest.mark.parametrize(
    "scalars",
    [{"step": "4"}, {"step": None}, {"step": 4.5}, {"step": -1}, {"step": True}, {"stepped": 3}, {"stepped": {}},
     {"stepped": {"discriminators": 0, "translator": 0}}, {"data": 3}, {"data": {}}, {"averaged": "x"}],
    ids=str,
)  # fmt: skip
def test_a_manifest_sealed_over_wrong_counters_is_refused(
    run_command: Command, finished: dict[str, Path], tmp_path: Path, scalars: dict[str, object]
) -> None:
    run = shutil.copytree(finished["0.5"], tmp_path / "run")
    path = weights.list_checkpoints(run)[-1] / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["scalars"] |= scalars
    manifest["sha256"] = weights.seal(manifest)
    path.write_text(json.dumps(manifest))
    assert_refused(run_command("train", "--resume", run, "--train.steps", "5"))
