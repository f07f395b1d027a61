"""The laws that all methods of autoencoders keep."""

import copy
from dataclasses import replace

import pytest
import torch
from accelerate import Accelerator
from autoencoder_toys import close, in_float32, is_single, made, steps
from digit_toys import METHODS, batch_of, method_of, numbered, parse_config, shared_out
from laws import in_one_line

from unit.data.batches import DataError, Shard
from unit.methods import find_method
from unit.methods.base import Method
from unit.training.step import training_step

AUTOENCODER, DISCRIMINATOR, ENCODER = "autoencoder", "discriminator", "encoder"
OPTIMIZERS = {
    "ae": [AUTOENCODER],
    "vae": [AUTOENCODER],
    "cvae": [AUTOENCODER],
    "m1": [AUTOENCODER, "classifier"],
    "m2": ["model"],
    "m1m2": [AUTOENCODER, "m2"],
    "aae": [AUTOENCODER, DISCRIMINATOR, ENCODER, ENCODER],
    "aae combined": [DISCRIMINATOR, AUTOENCODER],
    "aae combined normed": [DISCRIMINATOR, AUTOENCODER],
    "aae_supervised": [AUTOENCODER, DISCRIMINATOR, ENCODER, ENCODER],
    "aae_semi": [AUTOENCODER, DISCRIMINATOR, ENCODER, ENCODER, "classifier"],
    "aae_semi combined": [DISCRIMINATOR, AUTOENCODER],
    "aae_semi smooth": [DISCRIMINATOR, AUTOENCODER],
    "aae_cluster": [AUTOENCODER, DISCRIMINATOR, ENCODER, ENCODER],
    "aae_cluster smooth": [DISCRIMINATOR, AUTOENCODER],
    "aae_cluster balanced": [DISCRIMINATOR, AUTOENCODER],
    "vae_gan": [DISCRIMINATOR, "decoder", ENCODER],
    "wae": [AUTOENCODER],
    "wae adversarial": [DISCRIMINATOR, AUTOENCODER],
}
"""Whose turn it is, in order; by variant, else by method."""


def learning(name: str, optimizer: str) -> set[str]:
    """The networks that this optimizer steps."""
    match optimizer:
        case "autoencoder":
            return {"encoder", "decoder"}
        case "classifier" if name.startswith("aae_semi"):
            return {"encoder"}
    return {optimizer}


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("name", METHODS)
def test_each_phase_gives_gradients_to_the_parameters_of_its_optimizer_and_to_no_others(
    name: str, recompute: bool
) -> None:
    method, batch = made(Method, name)
    expected = OPTIMIZERS.get(name, OPTIMIZERS[name.split()[0]])
    found: list[str] = []
    moved: set[str] = set()
    for phase in steps(method, batch, recompute=recompute):
        found.append(phase.optimizer)
        assert set(method.optimizers[phase.optimizer].networks) == learning(name, phase.optimizer)
        for key, network in method.networks.items():
            for part, parameter in network.named_parameters():
                if key not in learning(name, phase.optimizer):
                    assert parameter.grad is None, f"{phase.optimizer}: {key} {part}"
                else:
                    assert parameter.grad is not None, f"{phase.optimizer}: {key} {part}"
                    assert parameter.grad.isfinite().all()
                    moved |= {f"{key} {part}"} if parameter.grad.count_nonzero() else set()
    assert found == expected
    assert moved == {f"{key} {part}" for key, net in method.networks.items() for part, _ in net.named_parameters()}


@pytest.mark.parametrize("name", METHODS)
def test_every_step_is_the_first_over_again(name: str) -> None:
    # What is frozen at the end of a step learns again in the next.
    method, batch = made(Method, name)
    orders = [[phase.optimizer for phase in steps(method, replace(batch, step=step))] for step in range(2)]
    assert orders[0] == orders[1]
    assert all(network.training for network in method.networks.values())


@pytest.mark.parametrize("name", METHODS)
def test_what_is_logged_holds_no_graph(name: str) -> None:
    method, batch = made(Method, name)
    for phase in steps(method, batch):
        assert phase.loss.requires_grad and phase.loss.shape == ()
        assert phase.terms and all(not term.requires_grad and term.shape == () for term in phase.terms.values())


@pytest.mark.parametrize("name", METHODS)
def test_losses_are_a_function_of_networks_and_batch(name: str) -> None:
    method, batch = made(Method, name)
    again = copy.deepcopy(method)
    first = [phase.loss for phase in steps(method, batch)]
    torch.rand(3)  # whatever was drawn before
    for phase, loss in zip(steps(again, batch, recompute=True), first, strict=True):
        close(phase.loss, loss)


@pytest.mark.parametrize("parts", [2, 4])
@pytest.mark.parametrize("name", METHODS)
def test_micro_batches_train_as_the_whole_batch(name: str, parts: int) -> None:
    # What two processes or two micro-batches lose, averaged, is what the whole batch loses.
    (whole, batch), (split, _) = made(Method, name), made(Method, name)
    batch = replace(batch, **vars(batch_of(8, labeled=8 if batch.labeled is not None else 0)))
    batch = in_float32(batch) if is_single(parse_config(name)) else batch
    losses = []
    for method, given in ((whole, [batch]), (split, shared_out(batch, parts))):
        optimizers = {
            name: torch.optim.SGD([p for key in group.networks for p in method.networks[key].parameters()], 1e-3)
            for name, group in method.optimizers.items()
        }
        taken = list(training_step(method, method.networks, given, Accelerator(cpu=True), optimizers))
        assert all(len(phases) == len(given) for phases in taken)
        losses.append(torch.stack([torch.stack([phase.loss for phase in phases]).mean() for phases in taken]))
    close(losses[1], losses[0])
    for key, network in whole.networks.items():
        for one, other in zip(network.parameters(), split.networks[key].parameters(), strict=True):
            close(other, one)


# Images of other kinds than MNIST's.


@pytest.mark.parametrize("name", [name for name in METHODS if not name.startswith("aae informed")])
def test_every_method_takes_color_images_of_any_number_of_classes(name: str) -> None:
    keys = {"model__categories": 3} if name.startswith("aae_semi") else {}
    config = parse_config(name, **keys)
    labeled = getattr(getattr(config, "data", None), "labeled", 0)
    method = method_of(config, channels=3, classes=3, fraction_labeled=0.3 if labeled else 0.0)
    batch = in_float32(batch_of(4, labeled=6 if labeled else 0, channels=3, classes=3))
    moved: set[str] = set()
    for phase in steps(method, batch):
        assert phase.loss.isfinite()
        for key in method.optimizers[phase.optimizer].networks:
            for part, parameter in method.networks[key].named_parameters():
                moved |= {f"{key} {part}"} if parameter.grad is not None and parameter.grad.any() else set()
    assert moved == {f"{key} {part}" for key, net in method.networks.items() for part, _ in net.named_parameters()}


@pytest.mark.parametrize("name", METHODS)
def test_a_method_that_needs_labels_refuses_images_without(name: str) -> None:
    config = parse_config(name)
    kind = find_method(config.method)
    images = {"images": numbered(20, side=16, classes=0)}
    if not kind.labels_needed and not getattr(config.data, "labeled", 0):
        assert kind.open(config, Shard(0, 4), images).images.classes == 0
        return
    with pytest.raises(DataError) as refusal:
        kind.open(config, Shard(0, 4), images)
    said = in_one_line(refusal.value)
    assert "labels" in said and ("folder per class" in said or "folder for each class" in said)


def test_categories_that_are_not_the_classes_are_refused() -> None:
    with pytest.raises(DataError) as refusal:
        method_of(parse_config("aae_semi"), classes=3)
    assert in_one_line(refusal.value) == "model.categories: expected 3, one for each class, got 10"
    assert method_of(parse_config("aae_cluster"), classes=3).model.config.model.categories == 12  # clusters may be any


def test_an_informed_discriminator_needs_a_part_of_the_prior_for_each_class() -> None:
    with pytest.raises(DataError) as refusal:
        method_of(parse_config("aae informed"), classes=3)
    assert in_one_line(refusal.value) == (
        "model.informed: the mixture prior has 10 parts, one for each label; the data has 3 classes"
    )
