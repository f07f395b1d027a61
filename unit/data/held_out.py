"""Setting images aside by their names: which ones is a function of each image's name alone.

A name's place is the number in [0, 1) that its hash gives; images whose place is below `share` are set aside. So they
are the same in whatever order or number the images come, wherever they lie and whatever the run's seed; more images
change nothing for those that were there; and the two sides of a pair, which have one name but for the suffix, are set
aside together.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from unit import draws
from unit.data.batches import DataError
from unit.data.domain import Domain

__all__ = ["place", "set_aside", "spread"]


def place(name: str) -> float:
    """A name's place in [0, 1), without regard for its suffix; such places are spread evenly."""
    return draws.derive_seed("held out", Path(name).with_suffix("").as_posix()) / 2**63


def spread(names: Iterable[str], count: int | None) -> set[str]:
    """So many of the names, those of the lowest places, or all of them: with a larger count, more are added."""
    return set(sorted(names, key=lambda name: (place(name), name))[:count])


def set_aside(domains: Mapping[str, Domain], share: float) -> tuple[dict[str, Domain], dict[str, Domain]]:
    """The domains without the images that are set aside, and with those alone.

    Raises DataError where none would be set aside of a domain, or none left.
    """
    kept, aside = {}, {}
    for key, domain in domains.items():
        chosen = {name for name in domain.names if place(name) < share}
        if not 0 < len(chosen) < len(domain):
            whose = f"{len(domain)} images" + ("" if key == "images" else f" of domain {key}")
            which = "all" if chosen else "none"
            raise DataError(f"validate.share: {share} sets {which} of the {whose} aside; expected some of them")
        kept[key] = domain.without(chosen)
        aside[key] = domain.without([name for name in domain.names if name not in chosen])
    return kept, aside
