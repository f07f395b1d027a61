"""`unit sweep`: several configs × overrides × seeds, trained run by run and compared in one table."""

import sys
from pathlib import Path
from typing import Any

from unit.cli.errors import OneLineParser, exit_code, fail


def sweep(arguments: list[str]) -> int:
    """`unit sweep NAME --KEY VALUE …`; exit code 1 where a run failed."""
    command = OneLineParser(
        prog="unit sweep",
        description="Train several configs × overrides × seeds one after another, evaluate each, and compare them in "
        "one table: on the screen, in table.md and sweep.json of the sweep's folder. The same command goes on where it "
        "was stopped. Options not listed here are keys of the config, of all runs, such as --data.root FOLDER.",
        allow_abbrev=False,
    )
    add = command.add_argument
    add("sweep", metavar="NAME", help="a YAML file, or a sweep that comes with unit; list names those")
    add("--output", metavar="FOLDER", help="where the runs' folders and the table lie (default: as the file says)")
    add("--jobs", type=int, default=1, metavar="N", help="so many runs at a time, one thread each (default: 1)")
    add("--commands", action="store_true", help="print the commands that the runs are, and train nothing")
    try:
        options, rest = command.parse_known_args(arguments)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    if options.sweep == "list":
        return exit_code(list_sweeps)

    def run() -> int:
        from unit.config.base import ConfigError
        from unit.sweep.plan import read_sweep

        if options.jobs < 1:
            raise ConfigError(f"--jobs: expected at least 1, got {options.jobs}")
        changes = {} if options.output is None else {"output": options.output}
        plan = read_sweep(options.sweep, common=keys_of(rest), changes=changes)
        if options.commands:
            print(*(plan.commands(each) for each in plan.runs), sep="\n")
            return 0
        return train_all(plan, options.jobs)

    return exit_code(run)


def train_all(plan: Any, jobs: int) -> int:
    """Run a sweep and print its table; returns the exit code."""
    from unit.sweep.plan import Result
    from unit.sweep.runner import Runner
    from unit.sweep.table import markdown, write_tables

    def done(results: list[Result], result: Result) -> None:
        seen = sum(bool(each.known or each.failure) for each in results)
        if result.failure:
            print(f"{seen}/{len(results)} {result.run}: failed: {result.failure}", file=sys.stderr, flush=True)
        elif known := result.known:
            time = f", {known['seconds'] / 60:.3g} minutes" if "seconds" in known else ""
            print(f"{seen}/{len(results)} {result.run}: {known['step']} steps{time}", flush=True)
        write_tables(plan, results)

    print(f"{len(plan.runs)} runs in {plan.output}; what each says is in its .log there", flush=True)
    runner = Runner(plan, jobs=jobs, done=done)
    results = runner.run()
    if runner.signal:
        return fail("stopped; the same command goes on", 128 + runner.signal)
    print(markdown(write_tables(plan, results)))
    failed = [result for result in results if result.failure]
    if failed:
        return fail(f"{len(failed)} of {len(results)} runs failed; the same command tries them again", 1)
    print(f"the table: {Path(plan.output) / 'table.md'}")
    return 0


def keys_of(rest: list[str]) -> dict[str, Any]:
    """--optim.lr 2e-4 --data.size=64 as overrides; raises ConfigError for anything else."""
    import yaml

    from unit.config import strict_yaml
    from unit.config.base import ConfigError

    keys: dict[str, Any] = {}
    words = [part for word in rest for part in (word.split("=", 1) if word.startswith("--") else [word])]
    if len(words) % 2:
        raise ConfigError(f"expected --KEY VALUE, got {words[-1]} alone; see `unit sweep --help`")
    for name, value in zip(words[::2], words[1::2], strict=True):
        if not name.startswith("--") or "." not in name:
            raise ConfigError(f"unrecognized argument: {name}; see `unit sweep --help`")
        try:
            keys[name[2:]] = strict_yaml.load(value)
        except yaml.YAMLError:
            keys[name[2:]] = value
    return keys


def list_sweeps() -> int:
    """Print the sweeps that come with unit, and what each is for."""
    from unit.cli.config import summary
    from unit.sweep.plan import find_sweep, sweep_names

    width = max(map(len, sweep_names()))
    for name in sweep_names():
        print(f"{name:<{width}}  {summary(find_sweep(name))}")
    return 0
