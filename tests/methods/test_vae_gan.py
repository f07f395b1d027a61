"""VAE/GAN: its three steps written plainly, its losses by hand, the paper's networks, and what is refused."""

from typing import Any

import pytest
import torch
from autoencoder_toys import close, descend, gaussian_of, judged, kl_of, made
from conftest import Command
from digit_toys import method_of, noise_of, numbered, options, parse_config
from laws import in_one_line
from run_files import refused
from torch import Tensor, nn

from unit import draws
from unit.config import ConfigError
from unit.data.batches import Shard
from unit.evaluation.evaluate import measure
from unit.evaluation.sets import ImageSet
from unit.methods import find_method
from unit.methods.autoencoders.vae_gan import VAEGAN
from unit.networks.norms import BatchNorm
from unit.networks.strided import DiscriminatorOutput, FeatureDiscriminator


def plain(network: nn.Module, x: Tensor, group: int) -> Tensor:
    """The network, layer by layer, with torch's own batch norm over each group alone."""
    parts = []
    for part in x.split(group):
        for layer in flat(network):
            if isinstance(layer, BatchNorm):
                part = nn.functional.batch_norm(part, None, None, layer.weight, layer.bias, training=True)
            else:
                part = layer(part)
        parts.append(part)
    return torch.cat(parts)


def flat(network: nn.Module) -> list[nn.Module]:
    """Its layers, in order."""
    if isinstance(network, nn.Sequential):
        return [layer for part in network for layer in flat(part)]
    return [network]


class Plain:
    """The same networks without wrappers, groups of images side by side gathered by hand."""

    def __init__(self, method: VAEGAN, group: int) -> None:
        self.nets, self.group = method.networks, group
        self.discriminator = method.discriminator

    def decode(self, z: Tensor, z_p: Tensor) -> tuple[Tensor, Tensor]:
        codes = torch.cat([torch.stack([z[i], z_p[i]]) for i in range(len(z))])
        images = 2 * plain(self.nets["decoder"], codes, 2 * self.group) - 1
        return images[0::2], images[1::2]

    def judge(self, *images: Tensor) -> list[tuple[Tensor, Tensor]]:
        """(features, logits) of x, x̃ and x_p."""
        features = [plain(self.discriminator.below, x, self.group) for x in images]
        return [(part, plain(self.discriminator.above, part, self.group)) for part in features]


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize(("group", "layer", "gamma", "scale"), [(2, 2, 1e-2, 1.0), (4, 1, 3.0, 0.7)])
def test_the_three_steps_by_hand(group: int, layer: int, gamma: float, scale: float, recompute: bool) -> None:
    keys = {"model__group": group, "model__layer": layer, "model__gamma": gamma, "model__scale": scale}
    method, batch = made(VAEGAN, "vae_gan", **keys)
    by_hand = Plain(method, group)
    x, eps = batch.x, noise_of(batch, "latent", 2).double()
    z_p = torch.randn(4, 2, generator=draws.generator(7, "prior", 3)).double()

    def posterior() -> Any:
        return gaussian_of(plain(method.networks["encoder"], batch.intensities, group))

    def likelihood(judgements: list[tuple[Tensor, Tensor]]) -> Tensor:
        (real, _), (rebuilt, _), _ = judgements
        return (real - rebuilt).square().flatten(1).sum(1).mean() / (2 * scale)

    phases = method.phases(method.networks, batch, recompute=recompute)

    phase = next(phases)
    q = posterior()
    images = by_hand.decode(q.mean + q.stddev * eps, z_p)
    logits = [logit for _, logit in by_hand.judge(x, *images)]
    expected = sum(judged(y, real=real) for y, real in zip(logits, (True, False, False), strict=True))
    assert phase.optimizer == "discriminator"
    close(phase.loss, expected)
    phase.loss.backward()
    descend(method)

    phase = next(phases)
    judgements = by_hand.judge(x, *images)  # by the discriminator as it is now
    fooled = [judged(y, real=True) for _, y in judgements[1:]]
    assert phase.optimizer == "decoder"
    close(phase.terms["gan_reconstruction"], fooled[0])
    close(phase.terms["gan_sample"], fooled[1])
    close(phase.loss, gamma * likelihood(judgements) + fooled[0] + fooled[1])
    phase.loss.backward()
    descend(method)

    phase = next(phases)
    images = by_hand.decode(q.mean + q.stddev * eps, z_p)  # by the decoder as it is now
    judgements = by_hand.judge(x, *images)
    assert phase.optimizer == "encoder"
    close(phase.terms["reconstruction"], likelihood(judgements))
    close(phase.terms["kl"], kl_of(q))
    close(phase.loss, kl_of(q) + likelihood(judgements))
    phase.loss.backward()
    gradients = [p.grad for p in method.networks["encoder"].parameters()]
    found = torch.autograd.grad(kl_of(q) + likelihood(judgements), list(method.networks["encoder"].parameters()))
    for mine, by_plain in zip(gradients, found, strict=True):
        assert mine is not None
        close(mine, by_plain)
    assert next(phases, None) is None


def test_the_losses_of_given_features_and_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Features (0, 0) of x and (3, 4) of x̃ are 25/2 apart; logits of 0 cost ln 2 each."""
    method, _ = made(VAEGAN, "vae_gan", model__gamma=0.1)
    zeros = torch.zeros(1, 1, dtype=torch.float64)
    parts = [
        DiscriminatorOutput(torch.tensor([row], dtype=torch.float64), zeros)
        for row in ([0.0, 0.0], [3.0, 4.0], [9.0, 9.0])
    ]
    assert float(method.features_nll(parts)) == 12.5
    phase = method.decoder_phase(parts)
    assert float(phase.loss) == pytest.approx(1.25 + 2 * 0.6931471805599453, rel=1e-12)


def test_at_64_pixels_the_networks_are_the_papers() -> None:
    """Larsen et al. 2016, table 1."""
    with torch.device("meta"):
        discriminator = FeatureDiscriminator(64, layer=3, channels=3)
    kinds = nn.Conv2d | nn.Linear
    layers = [layer for layer in discriminator.modules() if isinstance(layer, kinds)]
    assert [tuple(layer.weight.shape[:2]) for layer in layers] == [
        (32, 3), (128, 32), (256, 128), (256, 256), (512, 16384), (1, 512),
    ]  # fmt: skip
    x = torch.empty(2, 3, 64, 64, device="meta")
    with torch.device("meta"):
        assert [FeatureDiscriminator(64, layer=n, channels=3)(x).features.shape[1] for n in (1, 2, 3, 4)] == [
            32 * 64**2, 128 * 32**2, 256 * 16**2, 256 * 8**2,
        ]  # fmt: skip


def test_no_bound_in_pixels_is_claimed() -> None:
    model = method_of(parse_config("vae_gan")).model.eval()
    images = numbered(20, side=16)
    with pytest.raises(ValueError, match="metric bound has no figures here"):
        measure(ImageSet(model, images, images), ["bound"])


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "perceptrons": ({"model__architecture": "mlp"}, "model.architecture: a VAE/GAN's is strided, got mlp"),
    "a pixels' likelihood": (
        {"model__likelihood": "laplace"},
        "model.likelihood: a VAE/GAN's is gaussian, got laplace",
    ),
    "no layer": ({"model__layer": 0}, "model.layer: expected at least 1, got 0"),
    "a layer too many": (
        {"model__layer": 4},
        "model.layer: expected 1 to 3, the convolutions of a discriminator",
    ),
    "no gamma": ({"model__gamma": 0}, "model.gamma: expected a number above 0, got 0"),
    "groups of one": ({"model__group": 1}, "model.group: expected at least 2, got 1"),
    "no whole groups": (
        {"model__group": 3},
        "model.group: 4 images per process and micro-batch are no whole groups",
    ),
    "a size that does not halve": ({"data__size": 30}, "data.size"),
}


@pytest.mark.parametrize("wrong", REFUSED)
def test_what_is_refused(wrong: str, run_command: Command, tmp_path_factory: pytest.TempPathFactory) -> None:
    from digit_toys import write_mnist

    folder = tmp_path_factory.mktemp("refused")
    keys, said = REFUSED[wrong]
    given = options("vae_gan", data__root=write_mnist(folder / "mnist", train=20), run__output=folder / "run", **keys)
    refused(run_command("train", *given), said)
    assert not (folder / "run").exists()


def test_a_group_must_not_be_divided() -> None:
    config = parse_config("vae_gan", model__group=4)
    with pytest.raises(ConfigError) as caught:
        find_method("vae_gan").check(config, Shard(0, 4, accumulation=2))
    assert "2 images per process and micro-batch are no whole groups of 4" in in_one_line(caught.value)
