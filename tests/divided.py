"""What tests of several processes share: trainings that can be divided over them, and ones that never end."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from adaptation_toys import write_classes
from digit_toys import METHODS, options, write_mnist
from group import Job
from sibling_toys import ADAPTED, SIBLINGS, sibling_options

from unit.data.toymaps import write_toymaps

UNIT: dict[str, list[str]] = {
    "unit": ["--data.jitter", "0.2", "--data.zoom", "1.3", "--discriminator.shared_layers", "1"],
    "unit kl_learned": ["--model.regularizer", "kl_learned"],
    "unit mmd": ["--model.regularizer", "mmd"],
    "unit adversarial": ["--model.regularizer", "adversarial", "--discriminator.spectral_norm", "true",
                         "--discriminator.scales", "2", "--loss.gan_kind", "hinge"],
    "unit 2018": ["--model.encoder_norm", "instance", "--model.generator_norm", "layer", "--model.upsampling", "resize",
                  "--model.up_kernel", "5", "--model.last_kernel", "7", "--model.padding", "reflect",
                  "--model.init", "kaiming", "--model.shared_blocks", "0", "--loss.gan_kind", "lsgan",
                  "--discriminator.standardize", "true"],
}  # fmt: skip
DATA = {"uneven": (7, 5), "one image": (1, 3), "fewer than a batch": (3, 2)}
"""Images in a and in b."""

Arguments = Callable[..., list[str]]


def arguments_below(root: Path) -> Arguments:
    """`arguments(name, *more)`: the command line of a training of 20 steps; `data`: which images it has. All images are
    below `root`."""
    for label, counts in DATA.items():
        write_toymaps(root / label, size=24, train=max(counts), test=1)
        for domain, count in zip("AB", counts, strict=True):
            for path in sorted((root / label / f"train{domain}").iterdir())[count:]:
                path.unlink()
    write_toymaps(root / "pairs", size=24, train=7, test=1, paired=True)
    write_classes(root / "classes")
    mnist = write_mnist(root / "mnist")

    def answer(name: str, *more: str, steps: int = 20, data: str = "uneven") -> list[str]:
        keys: dict[str, Any] = {
            "train.steps": steps, "train.log_every": 1, "train.sample_every": 1000, "train.checkpoint_every": 1000,
        }  # fmt: skip
        if name in SIBLINGS | ADAPTED:
            place = root / ("pairs" if name == "pix2pix" else "classes" if name in ADAPTED else data)
            start = sibling_options(name, place, train__batch_size=8)
        elif name not in UNIT:
            labeled = {"data__labeled_batch": 8} if "data.labeled_batch" in METHODS[name] else {}
            keys |= {"train.batch_size": 8}
            if name == "vae_gan":  # batch norms of few images and channels make much of rounding
                keys |= {"train.batch_size": 16, "model.group": 4, "model.width": 8}
            start = options(name, data__root=mnist, **labeled)
        else:
            keys |= {
                "data.root": root / data, "data.size": 16, "model.width": 4, "model.blocks": 2,
                "discriminator.width": 4, "discriminator.layers": 2, "train.batch_size": 4,
                "train.precision": "fp32", "run.tracker": "none",
            }  # fmt: skip
            start = UNIT[name]
        return [*start, *(part for key, value in keys.items() for part in (f"--{key}", str(value))), *more]

    return answer


def diary_of(run: Path) -> Path:
    """Where the diaries of a run's processes go."""
    return run.with_name(f"{run.name} diary")


def endless(arguments: Arguments, run: Path, *more: str, fault: str = "") -> Job:
    """A training that is to be stopped."""
    often = ["--run.output", str(run), "--train.checkpoint_every", "100000"]
    return Job(arguments("unit", *often, *more, steps=100_000), diary_of(run), fault)


def children(process: int | None) -> list[int]:
    """The processes that it has started and that live."""
    try:
        return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except OSError:  # it has ended
        return []
