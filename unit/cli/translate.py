"""`unit translate`: translate a folder of images, or one image, to the other domain."""

import sys

from unit.cli.errors import OneLineParser, exit_code, parse, pixels_or_keep


def translate(arguments: list[str]) -> int:
    """`unit translate --model … --input … --output …`; returns the exit code."""
    command = OneLineParser(
        prog="unit translate", description="Translate images with a trained model.", allow_abbrev=False
    )
    add = command.add_argument
    add("--model", required=True, help="a model's folder, a run's, or one of a run's checkpoints, such as RUN/best")
    add("--input", required=True, help="an image, or a folder of images (nested folders are kept)")
    add("--output", required=True, help="the folder for the translations; of one image, a file or a folder")
    add("--direction", choices=("a2b", "b2a"), default="a2b", help="from which domain to which (default: a2b)")
    add("--cycle", action="store_true", help="write the round trip (a2b2a for a2b) in place of the translation")
    add("--overwrite", action="store_true", help="replace files that are there; without it they are left alone")
    add(
        "--resize",
        type=pixels_or_keep,
        metavar="N",
        help="first scale images to a shorter side of N pixels, or keep for their own sizes (default: as in training)",
    )
    add(
        "--format",
        choices=("png", "jpg", "webp", "tif", "bmp", "same"),
        default="png",
        help="of the output; same: each file's own, png where that isn't written (default: png)",
    )
    add("--batch-size", type=int, default=8, metavar="N", help="images of one size translated at once (default: 8)")
    add("--device", help="such as cpu or cuda:0 (default: a GPU where there is one)")
    options = parse(command, arguments)
    if isinstance(options, int):
        return options

    def run() -> int:
        from unit.inference.folder import translate as translate_folder

        report = translate_folder(
            options.model,
            options.input,
            options.output,
            direction=options.direction,
            cycle=options.cycle,
            overwrite=options.overwrite,
            resize=options.resize,
            format=options.format,
            batch_size=options.batch_size,
            device=options.device,
            progress=True,
        )
        print(report)
        return 1 if report.failed else 0

    return exit_code(run)


if __name__ == "__main__":
    sys.exit(translate(sys.argv[1:]))
