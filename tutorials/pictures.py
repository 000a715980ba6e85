"""The pictures of the notebooks: lines over a common x, and tables as grey cells."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from itertools import cycle
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from pslref.app.pictures import FEW, STYLES, look, own_settings, shade, write
from pslref.check import ArrayLike, FloatArray

Values = ArrayLike | tuple[ArrayLike, ArrayLike]  # y over x = 1, 2, ..., or (x, y)

# For lines that are no sampler's.
LOOKS: list[dict[str, Any]] = [
    {"color": "black", "linestyle": "-"},
    {"color": "0.45", "linestyle": "--"},
    {"color": "black", "linestyle": ":", "linewidth": 2.2},
    {"color": "0.6", "linestyle": "-", "linewidth": 3},
    {"color": "black", "linestyle": "-."},
]


@dataclass(frozen=True, eq=False)
class Picture:
    """A figure that a notebook displays."""

    figure: Figure = field(repr=False)

    def _repr_png_(self) -> bytes:
        file = BytesIO()
        write(self.figure, file, "png", dpi=90)
        return file.getvalue()


class Panel(NamedTuple):
    """One of the panels of `curves`.

    Attributes:
        title: over the panel.
        xlabel: what x is, and its unit.
        ylabel: what y is, and its unit.
        lines: by label, y over x = 1, 2, ..., or a tuple (x, y).
        points: the same, drawn as grey marks behind the lines.
        xscale: "linear" or "log".
        yscale: "linear" or "log".
        ylim: the least and the largest y shown; None for as much as there is.
    """

    title: str
    xlabel: str
    ylabel: str
    lines: Mapping[str, Values]
    points: Mapping[str, Values] = {}
    xscale: str = "linear"
    yscale: str = "linear"
    ylim: tuple[float | None, float | None] | None = None


@own_settings()
def curves(*panels: Panel) -> Picture:
    """Lines over a common x, a panel beside the other; a sampler's line looks as everywhere."""
    names = max(len(panel.lines) + len(panel.points) for panel in panels)  # two in a row
    figure = Figure(figsize=(1.6 + 3.2 * len(panels), 3.6 + 0.1 * names), layout="constrained")
    for axes, panel in zip(
        figure.subplots(1, len(panels), squeeze=False).flat, panels, strict=True
    ):
        points = {label: _xy(values) for label, values in panel.points.items()}
        lines = {label: _xy(values) for label, values in panel.lines.items()}
        for (label, (x, y)), marker in zip(points.items(), cycle(".x+"), strict=False):
            axes.plot(x, y, marker, color="0.5", markersize=5, label=label)
        looks = cycle(LOOKS)
        for label, (x, y) in lines.items():
            other = {"marker": "o" if x.size <= FEW else "", "markersize": 4}
            style = look(label, x.size) if label in STYLES else next(looks) | other
            axes.plot(x, y, label=label, **style)
        axes.set(title=panel.title, xlabel=panel.xlabel, ylabel=panel.ylabel)
        axes.set(xscale=panel.xscale, yscale=panel.yscale, ylim=panel.ylim)
        x_shown = np.concatenate([x for x, _ in (points | lines).values()])
        if panel.xscale == "linear" and (x_shown == x_shown.round()).all():
            axes.xaxis.get_major_locator().set_params(integer=True)
        if len(points) + len(lines) > 1:
            place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.17)}
            axes.legend(**place, ncols=2, columnspacing=1, fontsize="small", frameon=False)
    return Picture(figure)


def _xy(values: Values) -> tuple[FloatArray, FloatArray]:
    if isinstance(values, tuple):
        return np.asarray(values[0], np.float64), np.asarray(values[1], np.float64)
    y = np.asarray(values, np.float64)
    return np.arange(1.0, y.size + 1), y


@own_settings()
def shades(tables: Mapping[str, ArrayLike], xlabel: str, ylabel: str, unit: str) -> Picture:
    """Tables as grey cells, a panel beside the other: white is 0, black the largest of them all.

    A shade goes with the square root, so that small numbers are seen beside large ones.

    Args:
        tables: by title, (rows, columns) numbers, 0 or more. Columns are counted from 1 and rows
            from 0, as steps and clients are; a table with more columns is drawn wider.
        xlabel: what a column is.
        ylabel: what a row is.
        unit: what a shade is.
    """
    data = {title: np.asarray(table, np.float64) for title, table in tables.items()}
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    widths = [table.shape[1] for table in data.values()]
    panels = figure.subplots(1, len(data), width_ratios=widths, squeeze=False)[0]
    largest = max(table.max() for table in data.values())
    for axes, (title, table) in zip(panels, data.items(), strict=True):
        rows, columns = table.shape
        image = shade(axes, table, largest, (0.5, columns + 0.5, rows - 0.5, -0.5))
        axes.set(title=title, xlabel=xlabel)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.yaxis.get_major_locator().set_params(integer=True)
    panels[0].set_ylabel(ylabel)
    figure.colorbar(image, ax=panels, label=f"{unit} (0 is white; grey by its root)")
    return Picture(figure)
