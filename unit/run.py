"""A run's folder: config.yaml, metrics.jsonl, samples/, checkpoints/, and at the end the finished model."""

import json
import math
import os
from pathlib import Path

from unit import checkpoint
from unit.config import Config, ConfigError
from unit.options import differences, parse, to_yaml


def check_run(run: Path, config: Config, resume: Path | None) -> Path | None:
    """The checkpoint to go on from, if any; raises ConfigError where that or the run's folder is not as it must be."""
    if resume is None or resume != run:
        if run.exists() and (not run.is_dir() or any(run.iterdir())):
            raise ConfigError(
                f"run.output: {run} exists and is not empty; --resume {run} goes on with the run in it, "
                "or give another --run.output"
            )
        parent = next(path for path in run.absolute().parents if path.exists())
        if not os.access(parent, os.W_OK) or not parent.is_dir():
            raise ConfigError(f"run.output: {run} can't be written, for {parent} is not a folder you may write in")
    if resume is None:
        return None
    if not (resume / "config.yaml").is_file():
        raise ConfigError(f"--resume: no run in {resume}, which has no config.yaml")
    changed = differences(parse(["--config", str(resume / "config.yaml")]), config)
    if changed:
        what = ", ".join(f"{key} ({old} → {new})" for key, (old, new) in changed.items())
        raise ConfigError(f"--resume: the config differs from that of {resume}: {what}")
    saved = checkpoint.list_of(resume)
    if not saved:
        raise ConfigError(f"--resume: {resume} has no checkpoint yet; delete it and start anew")
    if not os.access(resume, os.W_OK):
        raise ConfigError(f"--resume: {resume} can't be written")
    return saved[-1]


def begin(run: Path, config: Config, step: int) -> None:
    """Write the resolved config; of an earlier part of the run keep the log up to `step`."""
    run.mkdir(parents=True, exist_ok=True)
    partial = run / ".config.yaml.partial"
    partial.write_text(to_yaml(config))
    partial.replace(run / "config.yaml")
    metrics = run / "metrics.jsonl"
    if metrics.exists():
        lines = [line for line in metrics.read_text(errors="replace").splitlines() if step_of(line) <= step]
        partial = run / ".metrics.jsonl.partial"
        partial.write_text("".join(f"{line}\n" for line in lines))
        partial.replace(metrics)


def step_of(line: str) -> float:
    """The step of a line of metrics.jsonl; infinity where a kill cut the line short."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf
