"""Mutated configs are used or refused in one line; nothing is run, and nothing written."""

import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from bounds import GIB, ROOT, assert_refused, no_longer_than, peak
from conftest import Command
from mutated_configs import config_files

from unit import training
from unit.config.base import Config
from unit.config.schema import schema


def defaults(method: str) -> dict[str, Any]:
    return schema(method).flat


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """The configs that would have been trained with, in place of the training."""
    configs: list[Config] = []

    def note(config: Config, **_: object) -> Path:
        configs.append(config)
        return Path(config.run.output)

    monkeypatch.setattr(training, "train", note)
    return configs


@pytest.mark.parametrize("step", [9, pytest.param(1, marks=pytest.mark.slow)])
def test_each_config_is_used_or_refused_in_one_line(
    run_command: Command, tmp_path: Path, trained: list[Config], monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    mark, file = tmp_path / "mark", tmp_path / "experiment.yaml"
    monkeypatch.chdir(tmp_path)
    files = list(config_files(ROOT / "configs", defaults, mark, seed=0))
    assert len(files) >= 500
    outcomes: Counter[tuple[str, str]] = Counter()
    begun, memory = time.monotonic(), peak()
    for made in files[::step]:
        file.write_bytes(made.data)
        trained.clear()
        with no_longer_than(20):
            said = run_command("train", "--config", file)
        if said.code:
            assert_refused(said)
        assert said.code in (0, 2) and bool(trained) == (said.code == 0), made.kind
        verdict = "used" if trained else "refused"
        assert made.verdict == "either" or (made.verdict == "good") == (verdict == "used"), (made.kind, said)
        outcomes[made.kind.split(" of ")[0], verdict] += 1
        assert not mark.exists(), made.kind
    assert {path.name for path in tmp_path.iterdir()} == {"experiment.yaml"}
    assert peak() - memory < GIB / 2
    print(f"{sum(outcomes.values())} configs in {time.monotonic() - begun:.1f} s", *sorted(outcomes.items()), sep="\n")
