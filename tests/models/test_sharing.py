"""Weight sharing: what the domains share is one object, in the model, the optimizer, the file, and every copy."""

import copy
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from torch import Tensor, nn
from unit_toys import translator, untrained

from unit import weights
from unit.config import OptimConfig
from unit.config.data import Channels
from unit.data.two_domains import TranslationBatch
from unit.methods.translation import DiscriminatorConfig
from unit.methods.unit import UnitConfig
from unit.models.folder import load_model, save_model
from unit.models.unit import UnitModelConfig, UnitTranslator
from unit.networks.discriminator import Discriminators
from unit.training.optim import adam, moving_average

BLOCKS = 3
WEIGHTS_PER_BLOCK = 2  # two convolutions without bias


def sharing(shared: int, *, channels_b: Channels = 3) -> UnitTranslator:
    return translator(UnitModelConfig(width=2, blocks=BLOCKS, shared_blocks=shared), channels_b=channels_b)


def common(net: nn.Module, a: nn.Module, b: nn.Module) -> list[nn.Parameter]:
    """The parameters that lie in both of the network's halves."""
    in_b = {id(parameter) for parameter in b.parameters()}
    return [parameter for parameter in a.parameters() if id(parameter) in in_b]


def expected(shared: int) -> int:
    return 2 * shared * WEIGHTS_PER_BLOCK  # encoders and generators


def images(count: int = 2, seed: int = 0) -> Tensor:
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize("channels_b", [1, 3])
@pytest.mark.parametrize("shared", range(BLOCKS + 1))
def test_as_many_blocks_are_shared_as_the_config_says(shared: int, channels_b: Channels) -> None:
    net = sharing(shared, channels_b=channels_b)
    assert len(common(net, net.a, net.b)) == expected(shared)
    assert net.a.encoder.shared is net.b.encoder.shared
    assert net.a.decoder.shared is net.b.decoder.shared
    whole = sum(1 for _ in net.parameters())
    assert whole == 2 * sum(1 for _ in net.a.parameters()) - expected(shared)
    # The shared ones are the encoder's last and the generator's first.
    if shared:
        assert list(net.a.encoder.parameters())[-1] is list(net.b.encoder.parameters())[-1]
        assert next(net.a.decoder.parameters()) is next(net.b.decoder.parameters())


@pytest.mark.parametrize("shared", range(5))
def test_discriminators_share_their_last_layers(shared: int) -> None:
    net = Discriminators(3, 3, width=2, layers=3, scales=2, shared_layers=shared)
    assert len(common(net, net.a, net.b)) == 2 * 2 * shared  # scales × (weight and bias)
    if shared:
        for d_a, d_b in zip(net.a, net.b, strict=True):
            assert list(d_a.parameters())[-1] is list(d_b.parameters())[-1]


@pytest.mark.parametrize("shared", [0, 1, BLOCKS])
def test_each_parameter_is_in_the_optimizer_once(shared: int) -> None:
    net = sharing(shared)
    (group,) = adam([net], OptimConfig(), torch.device("cpu")).param_groups
    numbers = [id(parameter) for parameter in group["params"]]
    assert len(numbers) == len(set(numbers)) == sum(1 for _ in net.parameters())


def test_a_shared_parameter_steps_once() -> None:
    net = sharing(1)
    shared = common(net, net.a, net.b)[0]
    before = shared.detach().clone()
    out = net(images(seed=1), images(seed=2))
    (out.x_ab.mean() + out.x_ba.mean()).backward()
    assert shared.grad is not None
    gradient = shared.grad.clone()
    torch.optim.SGD(net.parameters(), lr=0.5).step()
    torch.testing.assert_close(shared.detach(), before - 0.5 * gradient, rtol=0, atol=0)


@pytest.mark.parametrize("domain", ["a", "b"])
def test_the_shared_layers_learn_from_either_domain(domain: str) -> None:
    net = sharing(1)
    out = net(images(seed=1), images(seed=2))
    (out.x_aa if domain == "a" else out.x_bb).square().mean().backward()
    for parameter in common(net, net.a, net.b):
        assert parameter.grad is not None and parameter.grad.count_nonzero() > 0
    other = net.b if domain == "a" else net.a
    assert all(parameter.grad is None or not parameter.grad.any() for parameter in other.encoder.private.parameters())


@pytest.mark.parametrize("domain", ["a", "b"])
def test_the_discriminators_shared_layers_learn_from_either_domain(domain: str) -> None:
    net = Discriminators(3, 3, width=2, layers=3, shared_layers=2)
    logits_a, logits_b = net(images(seed=1), images(seed=2))
    (logits_a if domain == "a" else logits_b)[0].sum().backward()
    for parameter in common(net, net.a, net.b):
        assert parameter.grad is not None and parameter.grad.any()


@pytest.mark.parametrize("shared", [0, 1, BLOCKS])
def test_saved_once_and_shared_again_after_loading(shared: int, tmp_path: Path) -> None:
    net = sharing(shared)
    save_model(tmp_path, net, step=1)
    stored = load_file(tmp_path / "model.safetensors")
    assert len(stored) == sum(1 for _ in net.parameters())
    loaded = load_model(tmp_path)
    assert isinstance(loaded, UnitTranslator)
    assert len(common(loaded, loaded.a, loaded.b)) == expected(shared)
    for old, new in zip(net.parameters(), loaded.parameters(), strict=True):
        assert torch.equal(old, new)


def test_a_checkpoint_holds_them_once_and_fills_them_in_place() -> None:
    net, other = sharing(2), sharing(2)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1)
    stored = weights.collect_tensors(net)
    assert len(stored) == sum(1 for _ in net.parameters())
    weights.fill(other, stored, Path("here"))
    assert len(common(other, other.a, other.b)) == expected(2)
    assert all(torch.equal(p, q) for p, q in zip(net.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("shared", [0, 2])
def test_shared_in_every_copy(shared: int) -> None:
    net = sharing(shared)
    average = moving_average(net, 0.9)
    assert average is not None
    for twin in (copy.deepcopy(net), average.module):
        assert isinstance(twin, UnitTranslator)
        assert len(common(twin, twin.a, twin.b)) == expected(shared)
        assert not {id(p) for p in twin.parameters()} & {id(p) for p in net.parameters()}


def test_shared_under_accelerate() -> None:
    net = sharing(1)
    wrapped = Accelerator(cpu=True).prepare(net)
    assert len(common(wrapped, wrapped.a, wrapped.b)) == expected(1)


def test_still_shared_after_steps_of_both_optimizers() -> None:
    discriminator = DiscriminatorConfig(width=2, layers=2, shared_layers=1)
    method = untrained(UnitConfig(model=UnitModelConfig(width=2, blocks=2), discriminator=discriminator))
    optimizers = {name: torch.optim.Adam(net.parameters(), 1e-3) for name, net in method.networks.items()}
    for step in range(2):
        batch = TranslationBatch(images(), images(seed=1), step, range(2), 0)
        for phase in method.phases(method.networks, batch, recompute=False):
            phase.loss.backward()
            optimizers[phase.optimizer].step()
            optimizers[phase.optimizer].zero_grad()
    net = method.translator
    shared = common(net, net.a, net.b)
    assert len(shared) == 2 * WEIGHTS_PER_BLOCK
    assert all(parameter in set(net.b.parameters()) for parameter in shared)
