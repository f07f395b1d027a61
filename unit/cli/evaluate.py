"""`unit evaluate`: a model's figures on images that it has not seen."""

from argparse import Namespace
from pathlib import Path

from unit.cli.arguments import option
from unit.cli.errors import OneLineParser, exit_code, parse, pixels_or_keep


def parser() -> OneLineParser:
    """The command's options."""
    command = OneLineParser(
        prog="unit evaluate",
        description="A model's figures on images that it has not seen: on the screen, and in its evaluation.json. Or, "
        "without a model, how far the images of one folder are from those of another.",
        allow_abbrev=False,
    )
    add = command.add_argument
    add("--model", help="a model's folder, a run's, or one of a run's checkpoints, such as RUN/best")
    add("--a", metavar="FOLDER", help="without a model: a folder of images that is compared with --b's")
    add("--b", metavar="FOLDER", help="the images that those of --a should be like")
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
    add(
        "--weights",
        metavar="FOLDER",
        help="where AlexNet's (lpips) and Inception's (fid, kid) weights lie (default: the folder of torch's hub, into "
        "which they are fetched)",
    )
    add("--subset", type=int, default=50, metavar="N", help="how many images KID's subsets have (default: 50)")
    add("--grid", metavar="FILE", help="of maps: write a picture of inputs, translations and truths")
    return command


def evaluate(arguments: list[str]) -> int:
    """`unit evaluate --model …`, or `--a … --b …`; returns the exit code."""
    if option(arguments, "--metrics") == "list":
        return exit_code(list_metrics)
    options = parse(parser(), arguments)
    if isinstance(options, int):
        return options
    metrics = options.metrics.split(",") if options.metrics else None

    def run() -> int:
        from unit.data.remarks import scaled_line
        from unit.evaluation.evaluate import measure_and_write, open_set
        from unit.evaluation.folders import evaluate_folders
        from unit.evaluation.maps import write_picture
        from unit.evaluation.sets import TranslationSet

        check(options)
        more = {"resize": options.resize, "weights": options.weights, "subset": options.subset}
        if options.model is None:
            found = evaluate_folders(options.a, options.b, metrics=metrics, **more)
            print("\n\n".join(map(str, found.values())))
            return 0
        model = Path(options.model)
        images = open_set(model, root=options.root, split=options.split, **more)
        print(measure_and_write(model, images, metrics))
        if isinstance(images, TranslationSet) and images.scaled:
            print(scaled_line(len(images.scaled), images.resize))
        if options.grid is not None:
            write_picture(images, Path(options.grid))
        return 0

    return exit_code(run)


def check(options: Namespace) -> None:
    """Raise ValueError unless there is either a model or two folders, and of these no option that is of a model."""
    if options.model is not None and options.a is None and options.b is None:
        return
    if options.model is not None or options.a is None or options.b is None:
        given = [f"--{name}" for name in ("model", "a", "b") if getattr(options, name) is not None]
        raise ValueError(
            f"expected --model, or --a and --b, got {' and '.join(given) or 'none of them'}; see `unit evaluate --help`"
        )
    names = {"--data.root": options.root, "--split": options.split, "--grid": options.grid}
    wrong = [name for name, value in names.items() if value is not None]
    if wrong:
        raise ValueError(f"{wrong[0]}: it is of a model; expected none with --a and --b")


def list_metrics() -> int:
    """Print the metrics that there are, and what each is."""
    import importlib

    from unit.evaluation import METRICS
    from unit.evaluation.evaluate import find_metric

    for name, entry in METRICS.items():
        module = importlib.import_module(entry.partition(":")[0]) if isinstance(entry, str) else None
        metric = find_metric(name)
        about = metric.about or ((module.__doc__ or "").splitlines()[0] if module else "")
        print(f"{name:<18}{about}{' (where it is named)' if metric.by_name else ''}".rstrip())
    return 0
