"""The bootstrap's intervals, against what is known of the mean."""

import pytest
import torch

from unit.evaluation.bootstrap import RESAMPLES, bootstrap, mean_intervals, percentiles


def test_percentiles_leave_out_a_fortieth_at_each_end() -> None:
    drawn = torch.stack([torch.arange(1001.0), -torch.arange(1001.0)], dim=1)[torch.randperm(1001)]
    assert percentiles(drawn.double()) == [pytest.approx((25, 975)), pytest.approx((-975, -25))]


def test_the_means_interval_is_that_of_the_normal_distribution() -> None:
    values = torch.randn(400, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    [(low, high)] = bootstrap(values, lambda means: means, seed=0)
    mean, error = float(values.mean()), float(values.std() / 20)
    assert low == pytest.approx(mean - 1.96 * error, abs=0.3 * error)
    assert high == pytest.approx(mean + 1.96 * error, abs=0.3 * error)


def test_figures_are_worked_out_of_each_resampling() -> None:
    values = torch.tensor([[1.0, 2.0], [3.0, 6.0], [5.0, 10.0]])
    seen: list[torch.Size] = []

    def ratio(means: torch.Tensor) -> torch.Tensor:
        seen.append(means.shape)
        return means[:, :1] / means[:, 1:]

    [(low, high)] = bootstrap(values, ratio, seed=0)
    assert low == high == 0.5 and seen == [(RESAMPLES, 2)]


def test_it_is_seeded() -> None:
    values = torch.randn(30, 2, generator=torch.Generator().manual_seed(0))
    first, again, other = (bootstrap(values, lambda means: means, seed=seed) for seed in (0, 0, 1))
    assert first == again != other


def test_intervals_are_by_column_and_one_image_has_none() -> None:
    images = {"1.png": {"x": 0.0, "y": 3.0}, "2.png": {"x": 1.0, "y": 3.0}}
    assert mean_intervals(images, seed=0) == {"x": (0, 1), "y": (3, 3)}
    assert mean_intervals({"1.png": {"x": 0.0}}, seed=0) == {} == mean_intervals({}, seed=0)
