"""`unit plot`: a model's pictures."""

import argparse
from pathlib import Path

from unit.cli.errors import OneLineParser, exit_code, parse, pixels_or_keep


def plot(arguments: list[str]) -> int:
    """`unit plot --model …`; returns the exit code."""
    command = OneLineParser(
        prog="unit plot", description="An autoencoder's pictures, or a translator's codes.", allow_abbrev=False
    )
    add = command.add_argument
    add("--model", required=True, help="a model's folder, a run's, or one of a run's checkpoints")
    add("--output", help="folder for the pictures, which are named after what they show (default: MODEL/plots)")
    add("--data.root", dest="root", metavar="FOLDER", help="where the data lies (default: the run's data.root)")
    add(
        "--resize",
        type=pixels_or_keep,
        metavar="N",
        help="of a translator: scale images to a shorter side of N pixels, or keep for their own sizes (default: as in "
        "training)",
    )
    add(
        "--split",
        choices=("test", "held_out", "train"),
        help="of an autoencoder: which images (default: the first of these that there are)",
    )
    add(
        "--image",
        metavar="FILE",
        help="of a model whose decoder gets a label: draw the style of this picture of a digit with every label, and "
        "nothing else",
    )
    add("--label", type=int, metavar="N", help="the digit on --image, for models whose encoder gets the label (cvae)")
    add(
        "--between",
        nargs=2,
        metavar="FILE",
        help="of a translator with codes of both domains: draw what lies between two images, in both, and nothing else",
    )
    add(
        "--domains",
        choices=("aa", "ab", "ba", "bb"),
        help="of which domain the two images of --between are (default: ab)",
    )
    add("--overwrite", action="store_true", help="replace pictures that are there")
    options = parse(command, arguments)
    if isinstance(options, int):
        return options
    return exit_code(lambda: draw(options))


def draw(options: argparse.Namespace) -> int:
    """Write the pictures that the options ask for."""
    from unit.report.between import plot_between
    from unit.report.own_image import plot_own
    from unit.report.pictures import plot as write_pictures

    output = Path(options.model) / "plots" if options.output is None else Path(options.output)
    if options.image is None and options.label is not None:
        raise ValueError(f"--label: expected none without --image, got {options.label}")
    if options.image is not None and options.between is not None:
        raise ValueError("--between draws a picture of its own; expected it without --image")
    if options.domains is not None and options.between is None:
        raise ValueError(f"--domains: expected none without --between, got {options.domains}")
    if options.between is not None:
        first, second = map(Path, options.between)
        more = {"domains": options.domains or "ab", "resize": options.resize, "overwrite": options.overwrite}
        print(plot_between(options.model, first, second, output, **more))
        return 0
    if options.image is not None:
        image = Path(options.image)
        path, done = plot_own(options.model, image, output, label=options.label, overwrite=options.overwrite)
        print(done, path, sep="\n")
        return 0
    paths = write_pictures(
        options.model,
        output,
        root=options.root,
        resize=options.resize,
        split=options.split,
        overwrite=options.overwrite,
    )
    print(*paths, sep="\n")
    return 0
