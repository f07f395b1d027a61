"""Each autoencoder of digits trained end to end: what a run leaves, how it goes on, that it ends the same however it
is divided, and what is refused."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Command
from digit_toys import METHODS, assert_close, config_of, logged_by, options, uniforms, write_mnist
from safetensors.torch import load_file
from test_training import assert_same, newest

from unit import checkpoint
from unit.data.decoding import read_image
from unit.evaluation import digits as evaluation
from unit.methods.build import method_of
from unit.model import load_model

Runs = dict[str, Path]

BOUND = ["-ELBO", "reconstruction", "KL"]
SAMPLED = ["squared error", "MMD of codes and prior", "MMD of the prior and itself"]
PARZEN = [*SAMPLED, "Parzen log-likelihood", "width of its window"]
FIGURES = {
    "vae": [*BOUND, "entropy of the images"],
    "vae denoising": ["squared error of the noisy images", "squared error, denoised", *BOUND],
    "vae conv": BOUND,
    "cvae": [*BOUND, "entropy of the images"],
    "m1": ["error", *BOUND, "entropy of the images"],
    "m2": ["error"],
    "m1m2": ["error"],
    "aae": PARZEN,
    "aae_supervised": SAMPLED,
    "aae_semi": ["error", "squared error"],
    "aae_cluster": ["error", "squared error", "clusters in use"],
    "wae": PARZEN,
}
"""What `evaluate` prints, by variant, else by method."""
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


@pytest.fixture(scope="module", autouse=True)
def no_flushing() -> Iterator[None]:
    """What must reach the disk, and when, is tested elsewhere; here it costs seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "flush", lambda path: None)
        yield


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
        assert first.startswith("cpu (") and "60 digits" in first and "1 process " in first
        assert ("10 of them labelled" in first) == ("data.labelled" in METHODS[name] and name != "m2 unlabelled")
        assert [line.split()[:2] for line in lines] == [["step", f"{n}/4"] for n in (1, 2, 3, 4)]
        assert last.startswith("finished: see `python -m unit evaluate")
    return {name: folder / name for name in METHODS}


def assert_alike(run: Path, other: Path) -> None:
    """In the end, and in all that was logged, but for rounding."""
    assert_close(newest(run), newest(other))
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
    }  # fmt: skip
    assert [path.name for path in checkpoint.list_of(run)] == ["step-00000002", "step-00000004"]
    assert sorted(path.name for path in (run / "samples").iterdir()) == ["step-00000002.png", "step-00000004.png"]
    grid = read_image(run / "samples" / "step-00000004.png", channels=1)
    assert grid.shape == (1, 3 * 30 - 2, COLUMNS.get(name, 20) * 30 - 2)
    method = method_of(config_of(name))
    saved = newest(run).tensors.keys()
    assert saved == {*method.networks, *(f"adam-{player}" for player in method.players), "average"}


@pytest.mark.parametrize("name", METHODS)
def test_training_moves_every_network_and_logs_every_step(name: str, runs: Runs) -> None:
    early, late = (checkpoint.load(path).tensors for path in checkpoint.list_of(runs[name]))
    for network, tensors in late.items():
        for key, tensor in tensors.items():
            assert tensor.isfinite().all()
            constant = key.endswith(".mean")  # the images'
            assert torch.equal(tensor, early[network][key]) == constant, f"{network} {key}"
    lines = logged_by(runs[name])
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    assert all(line.keys() == lines[0].keys() and len(line) > 2 for line in lines)


def test_each_player_has_its_own_learning_rate(runs: Runs) -> None:
    rates = {"aae_cluster": {"autoencoder": 1, "judge": 0.5, "encoder": 1}, "aae": {"judge": 0.2, "encoder": 1}}
    for name, factors in rates.items():
        saved = newest(runs[name]).scalars["optimizers"]
        assert {player: saved[player][0]["lr"] / 1e-4 for player in factors} == pytest.approx(factors)


# Evaluation and the finished model.


@pytest.mark.parametrize("name", METHODS)
def test_evaluate_prints_its_figures(
    name: str, runs: Runs, run_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "PARZEN_SAMPLES", 50)
    said = run_command("main", "evaluate", "--model", runs[name])
    assert said.code == 0, said.err
    figures = dict(line.split("  ", 1) for line in said.out.splitlines())
    assert [key.strip() for key in figures] == FIGURES.get(name, FIGURES[name.split()[0]])
    values = {key.strip(): float(value) for key, value in figures.items()}
    for key, (low, high) in {"error": (0, 1), "squared error": (50, 80), "KL": (0, 5), "-ELBO": (100, 1500)}.items():
        assert low <= values.get(key, low) <= high, key
    again = run_command("main", "evaluate", "--model", runs[name])
    assert again.out == said.out


@pytest.mark.parametrize("name", METHODS)
def test_the_finished_model_is_the_moving_average(name: str, runs: Runs, tmp_path: Path) -> None:
    run = runs[name]
    average = newest(run).tensors["average"]
    unfinished = unfinished_copy(run, tmp_path / "unfinished")
    alone = tmp_path / "alone"
    alone.mkdir()
    for file in ("config.json", "model.safetensors"):
        shutil.copy(run / file, alone / file)
    config: Any = config_of(name)
    method = method_of(config)
    for folder in (run, unfinished, alone):
        model = load_model(folder)
        assert type(model) is type(method.model) and not model.training
        assert not any(parameter.requires_grad for parameter in model.parameters())
        found = checkpoint.tensors_of(model)
        assert found.keys() == average.keys()
        assert all(torch.equal(found[key], average[key]) for key in found)
        assert getattr(model, "config", config.model) == config.model
    last = {key: tensor for net in method.networks for key, tensor in newest(run).tensors[net].items()}
    assert not all(torch.equal(tensor, last.get(key, tensor + 1)) for key, tensor in average.items())


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
    finished = checkpoint.tensors_of(load_model(run))
    assert load_file(run / "model.safetensors").keys() == finished.keys()
    (run / "config.json").unlink()
    last = checkpoint.tensors_of(load_model(run))
    assert all(torch.equal(last[key], finished[key]) for key in finished)
    every = [tensor for net, tensors in saved.items() if not net.startswith("adam-") for tensor in tensors.values()]
    for key, tensor in finished.items():
        assert any(torch.equal(tensor, other) for other in every), key


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
    moved = run_command("main", "evaluate", "--model", run, "--root", write_mnist(tmp_path / "other", test=30))
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
    assert said.code == 2 and len(said.err.splitlines()) == 1
    assert "was trained on other data in domain digits" in said.err
    for key, value in {"data.labelled": 20, "data.held_out": 10, "model.latent": 3, "method": "m2"}.items():
        said = run_command("train", "--resume", copied, f"--{key}", str(value), "--train.steps", "6")
        assert said.code == 2 and len(said.err.splitlines()) == 1, key
        assert key in said.err or key == "method", said.err


# It ends the same however it is divided.


@pytest.mark.parametrize("name", METHODS)
def test_accumulation_gives_the_same_training(
    name: str, runs: Runs, mnist: Path, run_command: Command, tmp_path: Path
) -> None:
    keys = {"data__root": mnist, "run__output": tmp_path / "r", "train__accumulation": 2}
    said = run_command("train", *options(name, **keys, **AT_THE_END))
    assert said.code == 0, said.err
    assert_alike(runs[name], tmp_path / "r")


# What is refused.

REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "labels that nobody is told": ("aae", {"data.labelled": 10}, "data.labelled: expected 0 without model.informed"),
    "informed in one step": (
        "aae informed", {"model.combined": 0.5}, "model.combined: expected 0 with model.informed, got 0.5",
    ),
    "as many held out as there are": ("vae", {"data.held_out": 60}, "data.held_out: expected fewer than the 60 train"),
    "fewer than none held out": ("vae", {"data.held_out": -1}, "data.held_out: expected at least 0, got -1"),
    "labels not alike": ("m2", {"data.labelled": 15}, "data.labelled: expected as many of each of 10 digits, got 15"),
    "too many labels": ("m2", {"data.labelled": 80}, "80 images need 8 of each class; class 0 has 6"),
    "labels not shared out": (
        "m2", {"data.labelled_batch": 5, "train.accumulation": 2},
        "data.labelled_batch: 5 images can't be divided over 1 processes × 2 accumulated parts; expected a multiple",
    ),
    "images not shared out": ("vae", {"train.batch_size": 5, "train.accumulation": 2}, "train.batch_size: 5 images"),
    "m1 without labels": ("m1", {"data.labelled": 0}, "data.labelled: this method needs labels; expected at least 10"),
    "aae_semi without labels": ("aae_semi", {"data.labelled": 0}, "data.labelled: this method needs labels"),
    "informed without labels": ("aae informed", {"data.labelled": 0}, "data.labelled: this method needs labels"),
    "informed normal prior": (
        "aae informed", {"model.prior": "normal"},
        "model.informed: the normal prior has no labels; expected the mixture or the swiss_roll",
    ),
    "informed uniform prior": ("aae informed", {"model.prior": "uniform"}, "model.informed: the uniform prior has no"),
    "a mixture in space": (
        "aae informed", {"model.latent": 3},
        "model.latent: the mixture prior lies in the plane: expected 2 latent dimensions, got 3",
    ),
    "a swiss roll in space": ("aae", {"model.latent": 3, "model.prior": "swiss_roll"}, "model.latent: the swiss_roll"),
    "a conv cvae": ("cvae", {"model.architecture": "conv"}, "model.architecture: labels need perceptrons; expected"),
    "a conv m2": ("m2", {"model.architecture": "conv"}, "model.architecture: labels need perceptrons"),
    "a conv supervised aae": ("aae_supervised", {"model.architecture": "conv"}, "model.architecture: labels need"),
    "no whole groups": ("wae", {"model.group": 3}, "model.group: 4 images a process and part are no whole groups of 3"),
    "no whole groups in parts": ("wae", {"model.group": 4, "train.accumulation": 2}, "model.group: 2 images a process"),
    "too few activations": (
        "vae", {"model.activations": ["relu"]}, "model.activations: expected 2, as many as hidden layers, got 1"
    ),
    "no hidden layer": ("vae", {"model.hidden": [], "model.activations": []}, "model.hidden: expected 1 to 100 widths"),
    "an unknown activation": ("vae", {"model.activations": ["relu", "sine"]}, "model.activations"),
    "an unknown prior": ("aae", {"model.prior": "cauchy"}, "model.prior"),
    "eleven digits": ("aae_semi", {"model.categories": 11}, "model.categories: expected 10, one a digit, got 11"),
    "a prior of no width": ("wae", {"model.prior_sd": 0}, "model.prior_sd: expected a number above 0, got 0"),
    "labelled bounds of no weight": ("m2", {"model.rho": 0}, "model.rho: expected a number above 0, got 0"),
    "labelled codes of no weight": ("m1m2", {"model.rho": -1}, "model.rho: expected a number above 0, got -1"),
    "no prior": ("m1m2", {"model.beta": 0}, "model.beta: expected a number above 0, got 0"),
    "a late start": ("m1m2", {"model.head_start": -1}, "model.head_start: expected at least 0, got -1"),
    "negative noise": ("m1m2", {"model.m2_noise": -1}, "model.m2_noise: expected at least 0, got -1"),
    "no variance": ("vae", {"model.scale": 0}, "model.scale: expected a number above 0, got 0"),
    "smooth in a step of its own": (
        "aae_semi", {"model.smoothness": 3}, "model.smoothness: expected 0 without model.combined, got 3",
    ),
    "balanced in a step of its own": (
        "aae_cluster", {"model.balance": 2}, "model.balance: expected 0 without model.combined, got 2",
    ),
    "less than balanced": ("aae_cluster", {"model.balance": -1}, "model.balance: expected at least 0, got -1"),
    "a warp without smoothness": (
        "aae_cluster", {"model.warp": 0.1}, "model.warp: expected 0 without model.smoothness, got 0.1",
    ),
    "a negative warp": ("aae_cluster", {"model.warp": -1}, "model.warp: expected at least 0, got -1"),
    "balance of one": ("aae_cluster", {"model.group": 1}, "model.group: expected at least 2, got 1"),
    "no whole groups of categories": (
        "aae_cluster balanced", {"model.group": 3}, "model.group: 4 images a process and part are no whole groups of 3",
    ),
    "normalised convolutions": (
        "aae_cluster balanced", {"model.architecture": "conv"},
        "model.normalized: expected false with model.architecture conv, got true",
    ),
    "less than no noise": ("aae_cluster", {"model.judge_noise_end": -1}, "model.judge_noise_end: expected at least 0"),
    "no radius": ("aae_semi", {"model.radius": 0}, "model.radius: expected a number above 0, got 0"),
    "never fooling": ("aae", {"model.fooling_steps": 0}, "model.fooling_steps: expected at least 1, got 0"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", REFUSED)
def test_a_wrong_config_is_one_line(wrong: str, mnist: Path, run_command: Command, tmp_path: Path) -> None:
    name, keys, said = REFUSED[wrong]
    answer = run_command("train", *options(name, data__root=mnist, run__output=tmp_path / "r", **keys))
    assert answer.code == 2 and answer.out == ""
    assert len(answer.err.splitlines()) == 1 and answer.err.startswith("error: ") and said in answer.err, answer.err
    assert not (tmp_path / "r").exists()


def test_digits_of_another_size_are_one_line(run_command: Command, tmp_path: Path) -> None:
    root = write_mnist(tmp_path / "mnist", side=24)
    answer = run_command("train", *options("vae", data__root=root, run__output=tmp_path / "r"))
    assert answer.code == 2
    assert answer.err == f"error: {root}: images of 24×24 pixels; mnist's have 28×28\n"


def test_the_held_out_images_of_a_run_without_any_are_one_line(runs: Runs, run_command: Command) -> None:
    answer = run_command("main", "evaluate", "--model", runs["vae"], "--split", "held_out")
    assert answer.code == 2
    assert answer.err == "error: no images are held out: data.held_out is 0, and the model was trained on all\n"


def test_a_model_alone_is_evaluated_on_the_digits_that_are_named(
    runs: Runs, mnist: Path, run_command: Command, tmp_path: Path
) -> None:
    for file in ("config.json", "model.safetensors"):
        shutil.copy(runs["cvae"] / file, tmp_path / file)
    answer = run_command("main", "evaluate", "--model", tmp_path)
    assert answer.code == 2 and answer.err.startswith("error: --root: ") and len(answer.err.splitlines()) == 1
    named = run_command("main", "evaluate", "--model", tmp_path, "--root", mnist)
    assert named.code == 0 and named.out == run_command("main", "evaluate", "--model", runs["cvae"]).out
