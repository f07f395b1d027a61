"""`unit prove-resume`: kill a short training again and again, and compare its end with an unbroken one's."""

import signal
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from unit.cli.errors import OneLineParser, exit_code, fail


def prove_resume(arguments: list[str]) -> int:
    """`unit prove-resume --config …`; exit code 1 where a resumed training is not the unbroken one."""
    command = OneLineParser(
        prog="unit prove-resume",
        description="Kill a short training of your config again and again, resume it, and compare its end bit for bit. "
        "All options not listed here are `unit train`'s, such as --config NAME and --data.root FOLDER.",
        allow_abbrev=False,
    )
    add = command.add_argument
    add("--kills", type=int, default=50, metavar="N", help="how often to kill, a fifth inside a save (default: 50)")
    add("--steps", type=int, default=12, metavar="N", help="steps of each training (default: 12)")
    add("--every", type=int, default=3, metavar="N", help="steps from checkpoint to checkpoint (default: 3)")
    add("--processes", type=int, default=1, metavar="N", help="of each training (default: 1)")
    add("--seed", type=int, default=0, metavar="N", help="of the kills (default: 0)")
    add("--output", metavar="FOLDER", help="where to keep the trainings (default: they are deleted)")
    try:
        options, rest = command.parse_known_args(arguments)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0

    def run() -> int:
        from unit.cli.arguments import parse_config
        from unit.config.base import ConfigError
        from unit.proof.resume import Plan, prove
        from unit.training import RunError

        if not hasattr(signal, "SIGKILL"):
            raise ConfigError("prove-resume kills processes by SIGKILL, which this system does not have")
        for name in ("kills", "steps", "every", "processes"):
            if getattr(options, name) < 1:
                raise ConfigError(f"--{name}: expected at least 1, got {getattr(options, name)}")
        if options.every > options.steps:
            raise ConfigError(f"--every: expected at most --steps {options.steps}, got {options.every}")
        folder = None if options.output is None else Path(options.output)
        if folder is not None and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ConfigError(f"--output: {folder} exists and is not empty")
        parse_config(rest)  # a config that can't be trained is refused before anything is
        plan = Plan(rest, options.steps, options.every, options.processes)
        with ExitStack() as stack:
            if folder is None:
                folder = Path(stack.enter_context(TemporaryDirectory(prefix="prove-resume-")))
            try:
                certificate = prove(plan, folder, kills=options.kills, seed=options.seed)
            except RunError as error:
                return fail(error, 1)
        print(certificate.table())
        return 0 if certificate.exact else 1

    return exit_code(run)
