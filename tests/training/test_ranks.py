"""Processes that were started differently are refused before the first step, on all of them."""

from typing import Any

import pytest

from unit.config import ConfigError
from unit.training import distributed


class Processes:
    """Stands in for Accelerate's: gathering gives what each of them was started with."""

    num_processes = 2


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"optim.lr": 2e-4, "train.steps": 4}, "optim.lr is 0.0001, 0.0002"),
        ({"optim.lr": 1e-4, "train.steps": 9}, "train.steps is 4, 9"),
        ({"optim.lr": 1e-4}, "train.steps is 4, None"),
    ],
)
def test_another_value_is_named_with_both(other: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "gather_object", lambda mine: [*mine, other])
    with pytest.raises(ConfigError, match=f"started with different configs: {said}") as caught:
        distributed.check_agreement(Processes(), {"optim.lr": 1e-4, "train.steps": 4}, "configs")  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_the_same_values_pass_and_one_process_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = {"a": "0f", "b": "1e"}
    monkeypatch.setattr(distributed, "gather_object", lambda given: given * 2)
    distributed.check_agreement(Processes(), mine, "data")  # type: ignore[arg-type]
    monkeypatch.setattr(distributed, "gather_object", lambda given: pytest.fail("asked"))
    alone = type("Alone", (), {"num_processes": 1})()
    distributed.check_agreement(alone, mine, "data")
