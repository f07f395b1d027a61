"""`unit sample`: images that a generative model draws."""

from pathlib import Path

from unit.cli.errors import OneLineParser, exit_code, parse


def sample(arguments: list[str]) -> int:
    """`unit sample --model … --output …`; returns the exit code."""
    command = OneLineParser(
        prog="unit sample", description="Draw images from an autoencoder's prior.", allow_abbrev=False
    )
    add = command.add_argument
    add("--model", required=True, help="a model's folder, a run's, or one of a run's checkpoints")
    add("--output", required=True, help="the folder for the images, which are named after their numbers and labels")
    add("--count", type=int, default=16, metavar="N", help="how many (default: 16)")
    add("--label", type=int, metavar="K", help="of models with labels or categories: which (default: all in turn)")
    add("--seed", type=int, default=0, metavar="N", help="of the draws (default: 0)")
    add("--size", type=int, metavar="N", help="side in pixels, of a decoder of coordinates (default: as in training)")
    add("--overwrite", action="store_true", help="replace files that are there; without it they are left alone")
    add("--device", help="such as cpu or cuda:0 (default: a GPU where there is one)")
    options = parse(command, arguments)
    if isinstance(options, int):
        return options

    def run() -> int:
        from unit.inference.samples import Sampler, write_samples

        sampler = Sampler(
            options.model, label=options.label, seed=options.seed, size=options.size, device=options.device
        )
        print(write_samples(sampler, Path(options.output), options.count, overwrite=options.overwrite))
        return 0

    return exit_code(run)
