"""Was the training really unpaired? Pairs of one name meet by chance alone."""

from pathlib import Path

import pytest
from conftest import Command, Tiny
from inverters import Keeper, set_of

import unit
from unit.data.batches import Shard
from unit.evaluation.evaluate import measure
from unit.evaluation.pairing import EPOCHS, count_pairs, measure_pairing


def test_pairs_meet_by_chance_alone() -> None:
    """In each epoch one of n pairs does on average: a Poisson number of mean EPOCHS."""
    names = [f"{number}" for number in range(300)]
    for seed in range(5):
        found = count_pairs(names, names, Shard(seed, batch_size=7))
        assert found.drawn == EPOCHS * 300 and found.chance == pytest.approx(EPOCHS)
        assert abs(found.same - EPOCHS) < 4 * EPOCHS**0.5
    none = count_pairs(names, ["x", *names[:2]], Shard(0, batch_size=7))
    assert none.chance == pytest.approx(EPOCHS * 300 * 2 / 900)


def test_domains_that_share_one_order_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: both loaders seeded alike, as Accelerate's seedable sampler seeds them."""
    indices = Shard.indices
    monkeypatch.setattr(Shard, "indices", lambda self, count, domain, *rest: indices(self, count, "both", *rest))
    names = [f"{number}" for number in range(50)]
    found = count_pairs(names, names, Shard(0, batch_size=7))
    assert found.same == found.drawn == EPOCHS * 50


def test_evaluate_counts_the_pairs_of_a_run(tiny: Tiny, run_command: Command, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert run_command("train", *tiny(run, "--train.steps", "1")).code == 0
    said = run_command("main", "evaluate", "--model", run, "--metrics", "pairing")
    assert said.code == 0, said.err
    found = measure_pairing(run)
    assert found is not None and found.drawn == 6 * EPOCHS
    row = {"drawn": float(found.drawn), "of one name": float(found.same), "by chance": found.chance}
    assert unit.evaluate(run, metrics=["pairing"])["pairing"].rows == {"training": row}
    shown = [line.split() for line in said.out.splitlines() if line.startswith("training")]
    assert shown == [["training", *(f"{value:.1f}" for value in row.values())]]
    (run / "config.yaml").unlink()
    assert measure_pairing(run) is None


def test_a_model_without_a_run_has_no_pairs_to_count(toys: Path) -> None:
    assert measure_pairing(None) is None
    with pytest.raises(ValueError, match="training folders are not at hand"):
        measure(set_of(Keeper(), toys), ["pairing"])
