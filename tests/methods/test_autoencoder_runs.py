"""Each autoencoder trained end to end on digits: what a run leaves, how it goes on, and that it ends the same however
it is divided."""

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Command
from digit_toys import METHODS, assert_close, logged_by, method_of, options, parse_config, uniforms, write_mnist
from group import doubled
from run_files import assert_same, newest, refused, saved_steps
from safetensors.torch import load_file

from unit import weights
from unit.data.decoding import read_image
from unit.evaluation import parzen, recognition
from unit.models.folder import load_model
from unit.training import checkpoint
from unit.weights import collect_tensors

Runs = dict[str, Path]

BOUND = ["-ELBO", "reconstruction", "KL"]
SQUARED = {"reconstruction": ["squared error"]}
DRAWN = ["test images", "reconstructions", "samples of the prior"]
OF_LABELS = SQUARED | {"codes": ["codes and prior", "the prior and itself"], "recognition": DRAWN}
PARZEN = OF_LABELS | {
    "recognition": [*DRAWN, "samples of a normal distribution like the codes"],
    "parzen": ["log-likelihood", "width of the window"],
}
FIGURES: dict[str, dict[str, list[str]]] = {
    "ae": PARZEN,
    "vae": {"bound": [*BOUND, "entropy of the images"]} | PARZEN,
    "vae denoising": {"bound": ["squared error of the noisy images", "squared error, denoised", *BOUND]} | PARZEN,
    "vae weighted": {
        "bound": ["squared error of the noisy images", "squared error, denoised", *BOUND, "entropy of the images"],
    }
    | PARZEN,
    "vae conv": {"bound": BOUND} | PARZEN,
    "vae strided": {"bound": BOUND} | PARZEN,
    "cvae": {"bound": [*BOUND, "entropy of the images"]} | OF_LABELS,
    "m1": {"bound": [*BOUND, "entropy of the images"], "error": ["error"]},
    "m2": {"error": ["error"], "clusters": ["error", "clusters in use"]},
    "m1m2": {"error": ["error"]},
    "aae": PARZEN,
    "aae_supervised": OF_LABELS,
    "aae_semi": {"error": ["error"]} | SQUARED,
    "aae_cluster": {"clusters": ["error", "clusters in use"]} | SQUARED,
    "vae_gan": PARZEN,
    "wae": PARZEN,
}
"""What `evaluate` gives, a table for each metric, by variant, else by method."""
AGAIN = ["vae", "aae_semi", "aae_cluster"]
"""Which are evaluated twice: they have all metrics that there are."""
COLUMNS = {
    "aae_cluster": 12,
    "aae_cluster heads": 4,
    "aae_cluster smooth": 4,
    "aae_cluster balanced": 4,
    "aae_semi": 10,
    "aae_semi combined": 10,
    "aae_semi smooth": 10,
}
"""Of the three rows of a sample grid, else 20."""
AT_THE_END = {"train__checkpoint_every": 4, "train__sample_every": 4}
"""Where nothing is wanted of the way there."""


@pytest.fixture(scope="module")
def mnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mnist(tmp_path_factory.mktemp("digits") / "mnist")


@pytest.fixture(scope="module")
def runs(mnist: Path, run_command: Command, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """A finished run of 4 steps of each method, with checkpoints at 2 and 4."""
    folder = tmp_path_factory.mktemp("runs")
    for name in METHODS:
        said = run_command("train", *options(name, data__root=mnist, run__output=folder / name))
        assert said.code == 0, (name, said.err)
        first, *lines, last = said.out.splitlines()
        assert first.startswith("cpu (") and "60 images" in first and "1 process " in first
        labeled = {"all": 60}.get(METHODS[name].get("data.labeled", 0), METHODS[name].get("data.labeled", 0))
        assert (f"{labeled} of them labeled" in first) == ("of them labeled" in first) == bool(labeled)
        assert [line.split()[:2] for line in lines] == [["step", f"{n}/4"] for n in (1, 2, 3, 4)]
        assert last.startswith("finished") and f"unit evaluate --model {shlex.quote(str(folder / name))}" in last
    return {name: folder / name for name in METHODS}


def assert_alike(run: Path, other: Path, *, within: float) -> None:
    """In the end, and in all that was logged, but for rounding."""
    assert_close(newest(run), newest(other), within=within)
    for mine, theirs in zip(logged_by(run), logged_by(other), strict=True):
        assert theirs == pytest.approx(mine, rel=1e-4, abs=1e-5)


def unfinished_copy(run: Path, copied: Path, *without: str) -> Path:
    shutil.copytree(run, copied, ignore=shutil.ignore_patterns(*without))
    for file in ("config.json", "model.safetensors"):
        (copied / file).unlink()
    return copied


# What a run leaves behind.


@pytest.mark.parametrize("name", METHODS)
def test_a_run_leaves_all_that_it_should(name: str, runs: Runs) -> None:
    run = runs[name]
    assert {path.name for path in run.iterdir()} == {
        "config.yaml", "run.json", "config.json", "model.safetensors", "checkpoints", "samples", "metrics.jsonl",
        "starts.jsonl", ".lock",
    }  # fmt: skip
    assert saved_steps(run) == [2, 4]
    assert sorted(path.name for path in (run / "samples").iterdir()) == ["step-00000002.png", "step-00000004.png"]
    grid = read_image(run / "samples" / "step-00000004.png", channels=1)
    assert grid.shape == (1, 3 * 30 - 2, COLUMNS.get(name, 20) * 30 - 2)
    method = method_of(parse_config(name))
    inside = set(method.model.modules())
    beside = {key for key, network in method.networks.items() if network not in inside}
    assert beside <= {"discriminator"}
    saved = newest(run).tensors.keys()
    assert saved == {"model", "average", *beside, *(f"adam-{optimizer}" for optimizer in method.optimizers)}


@pytest.mark.parametrize("name", METHODS)
def test_training_moves_every_network_and_logs_every_step(name: str, runs: Runs) -> None:
    early, late = (checkpoint.load(path).tensors for path in weights.list_checkpoints(runs[name]))
    for network, tensors in late.items():
        for key, tensor in tensors.items():
            assert tensor.isfinite().all()
            constant = key.endswith(".mean") and ".running." not in key  # the images'
            assert torch.equal(tensor, early[network][key]) == constant, f"{network} {key}"
    lines = logged_by(runs[name])
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    assert all(line.keys() == lines[0].keys() and len(line) > 2 for line in lines)


def test_each_optimizer_has_its_own_learning_rate(runs: Runs) -> None:
    rates = {
        "aae_cluster": {"autoencoder": 1, "discriminator": 0.5, "encoder": 1},
        "aae": {"discriminator": 0.2, "encoder": 1},
    }
    for name, factors in rates.items():
        groups = method_of(parse_config(name)).optimizers
        assert {optimizer: groups[optimizer].lr_factor for optimizer in factors} == pytest.approx(factors)


# Evaluation and the finished model.


@pytest.mark.parametrize("name", METHODS)
def test_evaluate_gives_its_figures(
    name: str, runs: Runs, run_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the screen and in evaluation.json, also the last iterate's; the same each time."""
    monkeypatch.setattr(parzen, "SAMPLES", 50)
    monkeypatch.setattr(recognition, "DRAWN", 50)
    run = Path(shutil.copytree(runs[name], tmp_path / "run"))
    said = run_command("main", "evaluate", "--model", run)
    assert said.code == 0, said.err
    written = (run / "evaluation.json").read_bytes()
    average = json.loads(written)
    last = average.pop("last_iterate")
    tables, others = ({metric: table["figures"] for metric, table in found.items()} for found in (average, last))
    wanted = FIGURES.get(name, FIGURES[name.split()[0]])
    assert {metric: [*rows] for metric, rows in tables.items()} == wanted
    assert {metric: [*rows] for metric, rows in others.items()} == wanted
    shown = [line for line in said.out.splitlines() if line]
    count, again = (
        sum(1 + len(table["figures"]) + len(table.get("notes", [])) for table in found.values())
        for found in (average, last)
    )
    same = any(line.endswith("they are the same.") for line in shown)
    assert len(shown) == count + 1 + (0 if same else again)  # one line says what the last are
    assert all(any(line.startswith(f"{row}  ") for line in shown) for rows in tables.values() for row in rows)
    values = {row: value for rows in tables.values() for row, columns in rows.items() for value in columns.values()}
    squared = (100, 120) if name == "vae weighted" else (50, 80)  # whose weights are He's, and so its first images bold
    for row, (low, high) in {"error": (0, 1), "squared error": squared, "KL": (0, 5), "-ELBO": (100, 1500)}.items():
        assert low <= values.get(row, low) <= high, row
    if name in AGAIN:
        assert run_command("main", "evaluate", "--model", run).out == said.out
        assert (run / "evaluation.json").read_bytes() == written


@pytest.mark.parametrize("name", METHODS)
def test_the_finished_model_is_the_moving_average(name: str, runs: Runs, tmp_path: Path) -> None:
    run = runs[name]
    average = newest(run).tensors["average"]
    unfinished = unfinished_copy(run, tmp_path / "unfinished")
    alone = tmp_path / "alone"
    alone.mkdir()
    for file in ("config.json", "model.safetensors"):
        shutil.copy(run / file, alone / file)
    method = method_of(parse_config(name), side=28)
    for folder in (run, unfinished, alone):
        model = load_model(folder)
        assert type(model) is type(method.model) and not model.training
        assert not any(parameter.requires_grad for parameter in model.parameters())
        found = collect_tensors(model)
        assert found.keys() == average.keys()
        assert all(torch.equal(found[key], average[key]) for key in found)
        assert model.config == method.model.config
    last = newest(run).tensors["model"]
    assert not all(torch.equal(tensor, last[key]) for key, tensor in average.items())


@pytest.mark.parametrize("name", ["cvae", "m1", "m2", "m1m2", "aae informed", "aae_semi", "wae adversarial"])
def test_without_a_moving_average_it_is_the_last_weights(
    name: str, runs: Runs, mnist: Path, run_command: Command, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert run_command("train", *options(name, data__root=mnist, run__output=run, optim__ema=0, **AT_THE_END)).code == 0
    saved = newest(run).tensors
    for network, tensors in newest(runs[name]).tensors.items():  # it has no say in the training
        assert network == "average" or all(torch.equal(tensors[key], saved[network][key]) for key in tensors)
    assert "average" not in saved
    finished = collect_tensors(load_model(run))
    assert load_file(run / "model.safetensors").keys() == finished.keys() == saved["model"].keys()
    (run / "config.json").unlink()
    last = collect_tensors(load_model(run))
    assert all(torch.equal(last[key], finished[key]) for key in finished)
    assert all(torch.equal(saved["model"][key], finished[key]) for key in finished)


@pytest.mark.parametrize("name", ["vae", "cvae", "aae", "aae informed", "aae_supervised", "wae"])
def test_a_loaded_autoencoder_codes_and_decodes(name: str, runs: Runs) -> None:
    model: Any = load_model(runs[name])
    x, y = uniforms(3, 1, 28, 28, seed=0).float(), torch.tensor([0, 4, 9])
    z = model.code(x, y)
    assert z.shape == (3, 2) and model.image(z, y).shape == x.shape


def test_a_run_is_evaluated_on_what_it_held_out(mnist: Path, run_command: Command, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert run_command("train", *options("vae", data__root=mnist, run__output=run, data__held_out=20)).code == 0
    test, held_out = (
        run_command("main", "evaluate", "--model", run, "--split", split) for split in ("test", "held_out")
    )
    assert test.code == held_out.code == 0 and test.out != held_out.out
    assert run_command("main", "evaluate", "--model", run).out == test.out
    moved = run_command("main", "evaluate", "--model", run, "--data.root", write_mnist(tmp_path / "other", test=30))
    assert moved.code == 0 and moved.out != test.out


# How a run goes on.


@pytest.mark.parametrize("name", ["vae", "aae informed"])
def test_a_run_that_was_to_end_earlier_goes_on_as_if_it_had_not(
    name: str, runs: Runs, mnist: Path, run_command: Command, tmp_path: Path
) -> None:
    short = tmp_path / "short"
    assert run_command("train", *options(name, data__root=mnist, run__output=short, train__steps=2)).code == 0
    assert run_command("train", "--resume", short, "--train.steps", "4").code == 0
    assert_same(newest(runs[name]), newest(short))


def test_a_run_is_not_resumed_with_other_digits(runs: Runs, run_command: Command, tmp_path: Path) -> None:
    copied = tmp_path / "run"
    shutil.copytree(runs["m1"], copied)
    other = write_mnist(tmp_path / "mnist", train=70)
    said = run_command("train", "--resume", copied, "--data.root", other, "--train.steps", "6")
    refused(said, "was trained on other data in domain images")
    for key, value in {"data.labeled": 20, "data.held_out": 10, "model.latent": 3, "method": "m2"}.items():
        said = run_command("train", "--resume", copied, f"--{key}", str(value), "--train.steps", "6")
        refused(said, *([] if key == "method" else [key]))


# It ends the same however it is divided.


@pytest.mark.parametrize("name", METHODS)
def test_accumulation_gives_the_same_training(
    name: str, runs: Runs, mnist: Path, run_command: Command, tmp_path: Path
) -> None:
    keys = {"data__root": mnist, "run__output": tmp_path / "r", "train__accumulation": 2}
    if not (METHODS[name].get("model.batch_norm") or name == "vae_gan"):
        assert run_command("train", *options(name, **keys, **AT_THE_END)).code == 0
        assert_alike(runs[name], tmp_path / "r", within=1e-5)
        return
    # Two images' batch norm divides by their difference, and so makes much of rounding: in float64 there is little.
    with doubled():
        assert run_command("train", *options(name, **keys, **AT_THE_END)).code == 0
        whole = {"data__root": mnist, "run__output": tmp_path / "whole"}
        assert run_command("train", *options(name, **whole, **AT_THE_END)).code == 0
    assert_alike(tmp_path / "whole", tmp_path / "r", within=1e-10)
