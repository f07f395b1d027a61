"""`unit evaluate`: a model's figures on images that it has not seen."""

from pathlib import Path

from unit.cli.arguments import option
from unit.cli.errors import OneLineParser, exit_code, parse, pixels_or_keep


def evaluate(arguments: list[str]) -> int:
    """`unit evaluate --model …`; returns the exit code."""
    command = OneLineParser(
        prog="unit evaluate",
        description="A model's figures on images that it has not seen: on the screen, and in its evaluation.json.",
        allow_abbrev=False,
    )
    add = command.add_argument
    add("--model", required=True, help="a model's folder, a run's, or one of a run's checkpoints")
    add(
        "--metrics",
        metavar="A,B",
        help="which, by name (default: all that apply; --metrics list names them)",
    )
    add(
        "--data.root",
        dest="root",
        metavar="FOLDER",
        help="where the data lies: of a translator, the folder of testA and testB (default: the run's data.root)",
    )
    add(
        "--resize",
        type=pixels_or_keep,
        metavar="N",
        help="of a translator: scale images to a shorter side of N pixels, or keep for their own sizes (default: as in "
        "training)",
    )
    add(
        "--split",
        choices=("test", "held_out"),
        help="of an autoencoder: the test images, or the training images that data.held_out set aside (default: the "
        "first of these that there are)",
    )
    add("--grid", metavar="FILE", help="of maps: write a picture of inputs, translations and truths")
    if option(arguments, "--metrics") == "list":
        return exit_code(list_metrics)
    options = parse(command, arguments)
    if isinstance(options, int):
        return options

    def run() -> int:
        from unit.data.remarks import scaled_line
        from unit.evaluation.evaluate import measure_and_write, open_set
        from unit.evaluation.maps import write_picture
        from unit.evaluation.sets import TranslationSet

        model = Path(options.model)
        images = open_set(model, root=options.root, resize=options.resize, split=options.split)
        print(measure_and_write(model, images, options.metrics.split(",") if options.metrics else None))
        if isinstance(images, TranslationSet) and images.scaled:
            print(scaled_line(len(images.scaled), images.resize))
        if options.grid is not None:
            write_picture(images, Path(options.grid))
        return 0

    return exit_code(run)


def list_metrics() -> int:
    """Print the metrics that there are, and what each is."""
    import importlib

    from unit.evaluation import METRICS

    for name, entry in METRICS.items():
        module = importlib.import_module(entry.partition(":")[0]) if isinstance(entry, str) else None
        print(f"{name:<16}{(module.__doc__ or '').splitlines()[0] if module else ''}".rstrip())
    return 0
