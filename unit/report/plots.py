"""Points in the plane, in panels side by side."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from unit.data.grid import Grid


class Cloud(NamedTuple):
    """Points (N, 2), and their labels (N,), if they have any."""

    title: str
    points: Tensor
    labels: Tensor | None


def scatter(*clouds: Cloud, names: Sequence[str]) -> Figure:
    """The clouds side by side, on the same axes; `names` are those of the labels."""
    every = torch.cat([cloud.points for cloud in clouds])
    low, high = every.amin(0), every.amax(0)
    reach = 0.53 * max(float((high - low).max()), 1e-6)
    (left, bottom), (right, top) = ((low + high) / 2 - reach).tolist(), ((low + high) / 2 + reach).tolist()
    colors = colormaps["tab10"](np.arange(len(names)) % 10)
    figure = Figure(figsize=(5 * len(clouds) + 0.7, 5.3), dpi=130, layout="compressed")
    panels = figure.subplots(1, len(clouds), squeeze=False, sharex=True, sharey=True)[0]
    for axes, (title, at, labels) in zip(panels, clouds, strict=True):
        x, y = at.T.numpy()
        axes.scatter(x, y, s=3, c="black" if labels is None else colors[labels.numpy()], linewidths=0)
        axes.set(title=title, aspect="equal", xlim=(left, right), ylim=(bottom, top))
        axes.title.set_fontsize(10)
        axes.tick_params(labelsize=8, length=2)
    marks = [
        Line2D([], [], marker="o", ls="", ms=5, color=color, label=name)
        for name, color in zip(names, colors, strict=True)
    ]
    figure.legend(handles=marks, loc="outside right center", frameon=False, handletextpad=0.1)
    return figure


def raster(figure: Figure) -> Grid:
    """The figure as one picture in color."""
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    rgb = np.asarray(canvas.buffer_rgba())[..., :3]
    return Grid(torch.from_numpy(rgb.transpose(2, 0, 1).copy())[None], 1)
