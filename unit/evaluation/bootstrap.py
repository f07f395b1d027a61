"""How far a figure would go with other images: the bootstrap's percentile interval (Efron and Tibshirani 1993, 13.3).

Images are drawn with replacement, as many as there are; the figure is worked out of each such draw, and between the
2.5th and 97.5th percentile of these lies its 95 % interval. It tells how well the test images determine the figure, not
how much another training would change it.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from unit import draws

RESAMPLES = 1000
COVERED = 0.95


def bootstrap(values: Tensor, figures: Callable[[Tensor], Tensor], *, seed: int) -> list[tuple[float, float]]:
    """The 95 % intervals of figures that are functions of the images' mean.

    Args:
        values: (N, K): K numbers of each of N images.
        figures: from the means of (resampled) images, (R, K), to figures (R, F).
        seed: of the resampling.

    Returns:
        F pairs (low, high).
    """
    return percentiles(figures(resampled_means(values, seed)))


def resampled_means(values: Tensor, *key: draws.Key) -> Tensor:
    """The means of RESAMPLES resamplings of (N, K): (RESAMPLES, K)."""
    generator = draws.generator("bootstrap", *key)
    count = len(values)
    return torch.stack([values[torch.randint(count, (count,), generator=generator)].mean(0) for _ in range(RESAMPLES)])


def percentiles(drawn: Tensor) -> list[tuple[float, float]]:
    """The interval of each column of (R, F): from the (1 − COVERED)/2 quantile to the (1 + COVERED)/2 quantile."""
    low, high = torch.quantile(drawn, torch.tensor([(1 - COVERED) / 2, (1 + COVERED) / 2], dtype=drawn.dtype), dim=0)
    return list(zip(low.tolist(), high.tolist(), strict=True))


def mean_interval(values: Tensor, *, seed: int) -> list[tuple[float, float]]:
    """The intervals of the columns' means, of (N, K)."""
    return bootstrap(values, lambda means: means, seed=seed)


def mean_intervals(images: Mapping[str, Mapping[str, float]], *, seed: int) -> dict[str, tuple[float, float]]:
    """The intervals of the means over the images, by column; of `images[name][column]`, which all have all columns.
    None of fewer than two images."""
    if len(images) < 2:
        return {}
    columns = list(next(iter(images.values())))
    values = torch.tensor([[image[name] for name in columns] for image in images.values()], dtype=torch.float64)
    return dict(zip(columns, mean_interval(values, seed=seed), strict=True))
