"""What of an autoencoder's config and data is refused, in one line, before anything is written."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import Command
from digit_toys import options, write_mnist
from run_files import refused


@pytest.fixture(scope="module")
def mnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mnist(tmp_path_factory.mktemp("digits") / "mnist")


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "labels that nobody is told": ("aae", {"data.labeled": 10}, "data.labeled: expected 0 without model.informed"),
    "informed in one step": (
        "aae informed", {"model.combined": 0.5}, "model.combined: expected 0 with model.informed, got 0.5",
    ),
    "as many held out as there are": ("vae", {"data.held_out": 60}, "data.held_out: expected fewer than the 60 train"),
    "fewer than none held out": ("vae", {"data.held_out": -1}, "data.held_out: expected at least 0, got -1"),
    "labels not alike": ("m2", {"data.labeled": 15}, "data.labeled: expected as many of each of 10 classes, got 15"),
    "too many labels": ("m2", {"data.labeled": 80}, "80 images need 8 of each class; class 0 has 6"),
    "labels not shared out": (
        "m2", {"data.labeled_batch": 5, "train.accumulation": 2},
        "data.labeled_batch: 5 images can't be divided over 1 processes × 2 micro-batches; expected a multiple",
    ),
    "images not shared out": ("vae", {"train.batch_size": 5, "train.accumulation": 2}, "train.batch_size: 5 images"),
    "m1 without labels": (
        "m1", {"data.labeled": 0}, "data.labeled: this method needs labels; expected at least 1 per class",
    ),
    "aae_semi without labels": ("aae_semi", {"data.labeled": 0}, "data.labeled: this method needs labels"),
    "informed without labels": ("aae informed", {"data.labeled": 0}, "data.labeled: this method needs labels"),
    "informed normal prior": (
        "aae informed", {"model.prior": "normal"},
        "model.informed: the normal prior has no labels; expected mixture, swiss_roll, sectors or cells",
    ),
    "informed uniform prior": ("aae informed", {"model.prior": "uniform"}, "model.informed: the uniform prior has no"),
    "a mixture in space": (
        "aae informed", {"model.latent": 3},
        "model.latent: the mixture prior lies in the plane: expected 2 latent dimensions, got 3",
    ),
    "a swiss roll in space": ("aae", {"model.latent": 3, "model.prior": "swiss_roll"}, "model.latent: the swiss_roll"),
    "sectors of a line": ("aae", {"model.latent": 1, "model.prior": "sectors"}, "model.latent: the sectors prior lies"),
    "cells in space": ("aae informed dropped", {"model.latent": 3}, "model.latent: the cells prior lies in the plane"),
    "a VAE's mixture in space": (
        "vae", {"model.latent": 3, "model.prior": "mixture"}, "model.latent: the mixture prior lies in the plane",
    ),
    "a VAE's cells": ("vae", {"model.prior": "cells"}, "model.prior"),
    "some labels": ("m2", {"data.labeled": "some"}, "data.labeled: expected int or all, got some"),
    "all labels, that nobody is told": ("aae", {"data.labeled": "all"}, "data.labeled: expected 0 without model.inf"),
    "a wide plain autoencoder": ("ae", {"model.prior_sd": -1}, "model.prior_sd: expected a number above 0, got -1"),
    "a conv cvae": ("cvae", {"model.architecture": "conv"}, "model.architecture: labels need perceptrons; expected"),
    "a conv m2": ("m2", {"model.architecture": "conv"}, "model.architecture: labels need perceptrons"),
    "a conv supervised aae": ("aae_supervised", {"model.architecture": "conv"}, "model.architecture: labels need"),
    "no whole groups": (
        "wae", {"model.group": 3}, "model.group: 4 images per process and micro-batch are no whole groups of 3",
    ),
    "no whole groups in micro-batches": (
        "wae", {"model.group": 4, "train.accumulation": 2}, "model.group: 2 images per process and micro-batch",
    ),
    "too few activations": (
        "vae", {"model.activations": ["relu"]}, "model.activations: expected 2, as many as hidden layers, got 1"
    ),
    "no hidden layer": ("vae", {"model.hidden": [], "model.activations": []}, "model.hidden: expected 1 to 100 widths"),
    "an unknown activation": ("vae", {"model.activations": ["relu", "sine"]}, "model.activations"),
    "an unknown prior": ("aae", {"model.prior": "cauchy"}, "model.prior"),
    "eleven digits": (
        "aae_semi", {"model.categories": 11}, "model.categories: expected 10, one for each class, got 11",
    ),
    "a prior of no width": ("wae", {"model.prior_sd": 0}, "model.prior_sd: expected a number above 0, got 0"),
    "labeled bounds of no weight": ("m2", {"model.rho": 0}, "model.rho: expected a number above 0, got 0"),
    "labeled codes of no weight": ("m1m2", {"model.rho": -1}, "model.rho: expected a number above 0, got -1"),
    "no prior": ("m1m2", {"model.beta": 0}, "model.beta: expected a number above 0, got 0"),
    "a late start": ("m1m2", {"model.head_start": -1}, "model.head_start: expected at least 0, got -1"),
    "negative noise": ("m1m2", {"model.m2_noise": -1}, "model.m2_noise: expected at least 0, got -1"),
    "M2 of coordinates": (
        "m2", {"model.decoder": "coordinates"}, "model.decoder: M2's has labels beside its code; expected mirror"
    ),
    "an unknown decoder": ("vae", {"model.decoder": "sine"}, "model.decoder"),
    "two kinds of noise": (
        "vae", {"model.noise": 0.3, "model.salt_pepper": 0.1},
        "model.salt_pepper: expected 0 with model.noise 0.3, got 0.1",
    ),
    "more salt than pixels": ("m2", {"model.noise": 0, "model.salt_pepper": 1.5}, "model.salt_pepper: expected 0 to 1"),
    "all dropped": ("vae", {"model.dropout": 1}, "model.dropout: expected at least 0 and below 1, got 1"),
    "dropped convolutions": (
        "vae conv", {"model.dropout": 0.1}, "model.dropout: expected 0 with architecture conv, got 0.1",
    ),
    "dropped coordinates": (
        "vae cppn", {"model.dropout": 0.1}, "model.dropout: expected 0 with decoder coordinates, got 0.1",
    ),
    "normed convolutions": ("vae conv", {"model.batch_norm": 2}, "model.batch_norm: expected 0 with architecture conv"),
    "a norm of one": ("vae", {"model.batch_norm": 1}, "model.batch_norm: expected 0 or at least 2, got 1"),
    "no whole groups of a norm": (
        "vae", {"model.batch_norm": 3}, "model.batch_norm: 4 images per process and micro-batch are no whole groups",
    ),
    "informed and normed": (
        "aae informed", {"model.batch_norm": 2}, "model.batch_norm: expected 0 with model.informed, got 2",
    ),
    "an unknown init": ("vae", {"model.init": "lecun"}, "model.init"),
    "no KL divergence": ("vae", {"model.beta": 0}, "model.beta: expected a number above 0, got 0"),
    "a negative warm-up": ("cvae", {"model.kl_warmup": -1}, "model.kl_warmup: expected at least 0, got -1"),
    "a VAE of points": ("vae", {"model.posterior": "deterministic"}, "model.posterior"),
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
        "aae_cluster balanced", {"model.group": 3},
        "model.group: 4 images per process and micro-batch are no whole groups of 3",
    ),
    "normalized convolutions": (
        "aae_cluster balanced", {"model.architecture": "conv"},
        "model.normalized: expected false with model.architecture conv, got true",
    ),
    "less than no noise": (
        "aae_cluster", {"model.discriminator_noise_end": -1}, "model.discriminator_noise_end: expected at least 0",
    ),
    "no radius": ("aae_semi", {"model.radius": 0}, "model.radius: expected a number above 0, got 0"),
    "never fooling": ("aae", {"model.generator_steps": 0}, "model.generator_steps: expected at least 1, got 0"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", REFUSED)
def test_a_wrong_config_is_one_line(wrong: str, mnist: Path, run_command: Command, tmp_path: Path) -> None:
    name, keys, said = REFUSED[wrong]
    answer = run_command("train", *options(name, data__root=mnist, run__output=tmp_path / "r", **keys))
    refused(answer, said)
    assert answer.out == ""
    assert not (tmp_path / "r").exists()


def test_digits_of_another_size_are_one_line(run_command: Command, tmp_path: Path) -> None:
    root = write_mnist(tmp_path / "mnist", side=24)
    answer = run_command("train", *options("vae", data__root=root, run__output=tmp_path / "r"))
    assert answer.code == 2
    assert answer.err == f"error: {root}: images of 24×24 pixels; mnist's have 28×28\n"


@pytest.fixture(scope="module")
def run(mnist: Path, run_command: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a CVAE."""
    folder = tmp_path_factory.mktemp("runs") / "cvae"
    assert run_command("train", *options("cvae", data__root=mnist, run__output=folder, train__steps=1)).code == 0
    return folder


def test_the_held_out_images_of_a_run_without_any_are_one_line(run: Path, run_command: Command) -> None:
    answer = run_command("main", "evaluate", "--model", run, "--split", "held_out")
    assert answer.code == 2
    assert answer.err == "error: no images are held out: data.held_out is 0, and the model was trained on all\n"


def test_a_model_alone_is_evaluated_on_the_digits_that_are_named(
    run: Path, mnist: Path, run_command: Command, tmp_path: Path
) -> None:
    for file in ("config.json", "model.safetensors"):
        shutil.copy(run / file, tmp_path / file)
    answer = run_command("main", "evaluate", "--model", tmp_path)
    assert answer.code == 2 and answer.err.startswith("error: --data.root: ") and len(answer.err.splitlines()) == 1
    named = run_command("main", "evaluate", "--model", tmp_path, "--data.root", mnist)
    whole = run_command("main", "evaluate", "--model", run).out
    assert named.code == 0 and named.out.strip() == whole.partition("Without the moving average")[0].strip()
