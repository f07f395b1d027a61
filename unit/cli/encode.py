"""`unit encode`: the codes of a folder of images."""

from pathlib import Path

from unit.cli.errors import OneLineParser, exit_code, parse


def encode(arguments: list[str]) -> int:
    """`unit encode --model … --input … --output codes.npy`; returns the exit code."""
    command = OneLineParser(
        prog="unit encode",
        description="The codes of images, as a NumPy array, and their names beside it as JSON.",
        allow_abbrev=False,
    )
    add = command.add_argument
    add("--model", required=True, help="a model's folder, a run's, or one of a run's checkpoints")
    add("--input", required=True, help="a folder of images (nested folders, too), or an image")
    add("--output", required=True, help="codes.npy; the names go to codes.names.json")
    add("--domain", choices=("a", "b"), help="of a translator: whose images these are")
    add("--label", type=int, metavar="K", help="of a model whose encoder takes the label: that of all these images")
    add("--overwrite", action="store_true", help="replace files that are there; without it nothing is done")
    add("--batch-size", type=int, default=100, metavar="N", help="images encoded at once (default: 100)")
    add("--device", help="such as cpu or cuda:0 (default: a GPU where there is one)")
    options = parse(command, arguments)
    if isinstance(options, int):
        return options

    def run() -> int:
        from unit.inference.codes import check_output
        from unit.inference.codes import encode as encode_images

        check_output(Path(options.output), overwrite=options.overwrite)
        codes = encode_images(
            options.model,
            options.input,
            domain=options.domain,
            label=options.label,
            batch_size=options.batch_size,
            device=options.device,
        )
        codes.save(options.output, overwrite=options.overwrite)
        print(codes)
        return 1 if codes.failed else 0

    return exit_code(run)
