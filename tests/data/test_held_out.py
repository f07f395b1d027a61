"""Images set aside: which ones is a function of each name alone, the same on both sides of a pair."""

import pytest
from domain_toys import MUCH, blank, read, write_images

from unit.config.data import TwoDomainsConfig
from unit.data.batches import DataError, Shard
from unit.data.held_out import place, set_aside, spread
from unit.data.sets.recipes import RECIPES, has_pairs
from unit.data.two_domains import PairedBatches, open_split

NAMES = [f"{number:05d}.png" for number in range(1000)]


def chosen(names: list[str], share: float = 0.1) -> set[str]:
    return {name for name in names if place(name) < share}


def test_which_images_are_set_aside_is_a_function_of_each_name() -> None:
    """So more images, fewer, or another order change nothing for those that were there."""
    every = chosen(NAMES)
    assert chosen(NAMES[::-1]) == every and chosen(NAMES[:300]) == every & set(NAMES[:300])
    assert chosen(NAMES, 0.05) < every
    assert all(place(name) == place(name.replace("png", "jpg")) for name in NAMES[:50])
    assert place("x/1.png") != place("y/1.png")


def test_the_share_is_about_what_was_asked_for() -> None:
    for share in (0.1, 0.3, 0.5):
        assert len(chosen(NAMES, share)) / len(NAMES) == pytest.approx(
            share, abs=4 * (share * (1 - share) / 1000) ** 0.5
        )


def test_a_larger_count_keeps_those_of_a_smaller_one() -> None:
    assert spread(NAMES, None) == set(NAMES) and len(spread(NAMES, 7)) == 7
    assert spread(NAMES, 7) < spread(NAMES, 20) and spread(NAMES[::-1], 7) == spread(NAMES, 7)


def test_both_parts_are_the_whole_and_nothing_is_in_both() -> None:
    whole = blank(100)
    kept, aside = (part["images"] for part in set_aside({"images": whole}, 0.2))
    assert sorted([*kept.names, *aside.names], key=int) == whole.names
    assert set(aside.names) == {name for name in whole.names if place(name) < 0.2}
    for part in (kept, aside):
        assert [int(part[i][0, 0, 0]) for i in range(len(part))] == [int(name) for name in part.names]
    assert len({whole.fingerprint, kept.fingerprint, aside.fingerprint}) == 3


def test_what_would_set_aside_none_or_all_is_refused() -> None:
    with pytest.raises(DataError, match=r"validate.share: 1e-09 sets none of the 5 images of domain a aside"):
        set_aside({"a": blank(5)}, 1e-9)
    with pytest.raises(DataError, match=r"sets all of the 5 images aside"):
        set_aside({"images": blank(5)}, 1 - 1e-9)


@pytest.mark.parametrize("budget", [MUCH, 0.0])
def test_pairs_are_set_aside_together(tmp_path, budget: float) -> None:  # type: ignore[no-untyped-def]
    a, b = (read(write_images(tmp_path / side, 30, seed=seed), budget=budget) for seed, side in enumerate("ab"))
    kept, aside = set_aside({"a": a, "b": b}, 0.3)
    assert kept["a"].names == kept["b"].names and aside["a"].names == aside["b"].names
    assert len(PairedBatches(kept["a"], kept["b"], TwoDomainsConfig(size=16), Shard(0, 1)).a) == len(kept["a"])


def test_images_to_validate_on_lie_beside_those_to_train_on(tmp_path) -> None:  # type: ignore[no-untyped-def]
    config = TwoDomainsConfig(root=str(tmp_path), size=16)
    assert open_split(config, "val") == {} and open_split(TwoDomainsConfig(), "val") == {}
    write_images(tmp_path / "valA", 9)
    with pytest.raises(DataError, match="valB; expected valA and valB, or neither"):
        open_split(config, "val")
    write_images(tmp_path / "valB", 7)
    some = open_split(config, "val", lambda names: spread(names, 4))
    assert set(some["a"].names) == spread([f"{n:03}.png" for n in range(9)], 4) and len(some["b"]) == 4
    assert some["a"].names == sorted(some["a"].names)


def test_data_sets_are_known_to_have_pairs_by_their_folders_names() -> None:
    assert {name for name in RECIPES if has_pairs(f"somewhere/{name}")} == {
        "maps", "facades", "cityscapes", "edges2shoes", "edges2handbags", "day2night", "toymaps_paired",
    }  # fmt: skip
    assert not has_pairs(None) and not has_pairs("mine")
