"""How fast does a discriminator learn to tell translations from images, where the translations stay as they are?

    python benchmarks/judges.py RUN [--steps 1000] [--discriminator.standardize true …]

RUN is a training of UNIT or CycleGAN; its model's translations are judged by new discriminators, which its config and
the options describe. The table has, of each domain, the loss on test images and their translations, and the AUC: how
often a patch of an image has a higher logit than a patch of a translation (½: they can't tell).
"""

import argparse
import time
from pathlib import Path

import torch
from torch import Tensor

from unit.config.files import load
from unit.data.batches import Shard
from unit.data.images import to_float
from unit.data.two_domains import center_crops
from unit.losses.gan import discriminator_loss
from unit.methods.translation import discriminator_phase
from unit.methods.unit import Unit, UnitConfig
from unit.models.folder import load_model
from unit.models.unit import UnitTranslator
from unit.training.optim import adam

SHOWN = (0.1, 0.25, 0.5, 1.0)
"""After which shares of the steps the discriminators are asked."""


def auc(real: Tensor, fake: Tensor) -> float:
    """How often a logit of `real` is above one of `fake`; half of the ties count."""
    ranks = torch.cat([real.flatten(), fake.flatten()]).double().unique(return_inverse=True)[1]
    counts = torch.bincount(ranks)
    middle = counts.cumsum(0) - (counts - 1) / 2  # of the ranks of equal ones
    wins = middle[ranks[: real.numel()]].sum() - real.numel() * (real.numel() + 1) / 2
    return float(wins / (real.numel() * fake.numel()))


def asked(method: Unit, real: tuple[Tensor, Tensor], fake: tuple[Tensor, Tensor]) -> list[str]:
    """Each domain's loss, summed over the scales, and the AUC of the first scale."""
    with torch.no_grad():
        pairs = zip(method.discriminators(*real), method.discriminators(*fake), strict=True)
        return [f"{float(discriminator_loss(r, f, method.loss.gan_kind)):9.3f}{auc(r[0], f[0]):9.3f}" for r, f in pairs]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--steps", type=int, default=1000)
    arguments, keys = parser.parse_known_args()
    overrides = {key.removeprefix("--"): value for key, value in zip(keys[::2], keys[1::2], strict=True)}
    config = load(arguments.run / "config.yaml", overrides)
    assert isinstance(config, UnitConfig)
    torch.manual_seed(config.run.seed)
    batches = Unit.open(config, Shard(config.run.seed, config.train.batch_size))
    method, translator = Unit(config, batches), load_model(arguments.run)
    assert isinstance(translator, UnitTranslator)
    optimizer = adam([method.discriminators], config.optim, torch.device("cpu"))
    tests = Unit.read(config, "test")
    x_a, x_b = (to_float(center_crops(tests[name], 100, config.data.size)) for name in "ab")
    fakes = translator.translate(x_b, "b2a"), translator.translate(x_a, "a2b")
    shown, start = {round(share * arguments.steps) for share in SHOWN}, time.process_time()
    print("step  seconds   loss a    AUC a   loss b    AUC b")
    for step in range(arguments.steps):
        batch = batches.prepare(batches[step], step, torch.device("cpu"))
        with torch.no_grad():
            fake = translator.translate(batch.x_b, "b2a"), translator.translate(batch.x_a, "a2b")
        phase = discriminator_phase(method.discriminators, (batch.x_a, batch.x_b), fake, kind=config.loss.gan_kind)
        phase.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if step + 1 in shown:
            used = time.process_time() - start
            print(f"{step + 1:4}{used:9.1f}" + "".join(asked(method, (x_a, x_b), fakes)), flush=True)


if __name__ == "__main__":
    main()
