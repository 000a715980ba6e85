"""Each picture a function of the numbers it shows: results tables, or arrays by name."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.colors import ListedColormap, PowerNorm
from matplotlib.figure import Figure

from pslref.check import ArrayLike, FloatArray
from pslref.pictures import Picture as Picture
from pslref.pictures import own_settings
from pslref.pictures import save as save

Row = dict[str, Any]
Values = ArrayLike | tuple[ArrayLike, ArrayLike]  # y over x = 1, 2, ..., or (x, y)

# Told apart by line style and grey value as well as by colour.
STYLES: dict[str, dict[str, Any]] = {
    "centralized": {"color": "black", "linestyle": ":", "linewidth": 2.2},
    "fls": {"color": "#d95f02", "linestyle": "--"},
    "fpls": {"color": "#e6ab02", "linestyle": "-."},
    "ugs": {"color": "#1b4f9c", "linestyle": "-"},
    "lds": {"color": "#66a61e", "linestyle": (0, (5, 1, 1, 1, 1, 1))},
    "targets": {"color": "#7b3294", "linestyle": (0, (1, 1))},
    "stratified": {"color": "#b279c9", "linestyle": (0, (7, 2))},
}

# For lines that are no sampler's.
LOOKS: list[dict[str, Any]] = [
    {"color": "black", "linestyle": "-"},
    {"color": "0.45", "linestyle": "--"},
    {"color": "black", "linestyle": ":", "linewidth": 2.2},
    {"color": "0.6", "linestyle": "-", "linewidth": 3},
    {"color": "black", "linestyle": "-."},
]
FEW = 15  # a line through so few values shows where they are

BOUNDS = {"serfling": "Serfling, all classes", "l1_bound": "bound on Δ itself"}


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
    """Lines over a common x, a panel beside the other; a sampler's line looks as everywhere.

    Returns:
        The picture; its data are x and y by title and label.
    """
    figure = Figure(figsize=(1.6 + 3.2 * len(panels), 3.9), layout="constrained")
    data: dict[str, Any] = {}
    for axes, panel in zip(
        figure.subplots(1, len(panels), squeeze=False).flat, panels, strict=True
    ):
        points = {label: _xy(values) for label, values in panel.points.items()}
        lines = {label: _xy(values) for label, values in panel.lines.items()}
        for (label, (x, y)), marker in zip(points.items(), cycle(".x+"), strict=False):
            axes.plot(x, y, marker, color="0.5", markersize=5, label=label)
        looks = cycle(LOOKS)
        for label, (x, y) in lines.items():
            marker = "o" if x.size <= FEW else ""
            look = STYLES[label] if label in STYLES else next(looks)
            axes.plot(x, y, marker=marker, markersize=4, label=label, **look)
        axes.set(title=panel.title, xlabel=panel.xlabel, ylabel=panel.ylabel)
        axes.set(xscale=panel.xscale, yscale=panel.yscale, ylim=panel.ylim)
        x_shown = np.concatenate([x for x, _ in (points | lines).values()])
        if panel.xscale == "linear" and (x_shown == x_shown.round()).all():
            axes.xaxis.get_major_locator().set_params(integer=True)
        if len(points) + len(lines) > 1:
            place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.17)}
            axes.legend(**place, ncols=2, columnspacing=1, fontsize="small", frameon=False)
        data[panel.title] = points | lines
    return Picture(figure, data)


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

    Returns:
        The picture; its data are the tables by title.
    """
    data = {title: np.asarray(table, np.float64) for title, table in tables.items()}
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    widths = [table.shape[1] for table in data.values()]
    panels = figure.subplots(1, len(data), width_ratios=widths, squeeze=False)[0]
    # The least number is light grey, and only 0 is white.
    greys = ListedColormap(mpl.colormaps["Greys"](np.linspace(0.25, 1, 256))).with_extremes(bad="1")
    largest = max(table.max() for table in data.values())
    for axes, (title, table) in zip(panels, data.items(), strict=True):
        rows, columns = table.shape
        edges = (0.5, columns + 0.5, rows - 0.5, -0.5)
        cells = np.ma.masked_equal(table, 0)
        norm = PowerNorm(0.5, 0, largest)
        image = axes.imshow(cells, greys, norm, aspect="auto", extent=edges)
        axes.set(title=title, xlabel=xlabel)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.yaxis.get_major_locator().set_params(integer=True)
    panels[0].set_ylabel(ylabel)
    figure.colorbar(image, ax=panels, label=f"{unit} (0 is white)")
    return Picture(figure, data)


@own_settings()
def compare(epochs: Sequence[Row], steps: Sequence[Row]) -> Picture:
    """Test accuracy over the epochs, and batch deviation over the steps of the first one.

    Args:
        epochs: rows with sampler, seed, epoch, test_accuracy; line and band are the mean and the
            range over the seeds.
        steps: rows with sampler, seed, step, deviation; drawn for the first seed.

    Returns:
        The picture; its data are, by sampler, the accuracies (seeds, epochs) and deviations (T,).
    """
    figure = Figure(figsize=(10, 4), layout="constrained")
    data = {}
    left, right = figure.subplots(1, 2)
    for sampler in dict.fromkeys(row["sampler"] for row in epochs):
        rows = [row for row in epochs if row["sampler"] == sampler]
        seeds = dict.fromkeys(row["seed"] for row in rows)
        accuracy = np.array(
            [[100 * row["test_accuracy"] for row in rows if row["seed"] == seed] for seed in seeds]
        )
        epoch = np.arange(1, accuracy.shape[1] + 1)
        style = STYLES[sampler]
        left.plot(epoch, accuracy.mean(axis=0), label=sampler, **style)
        left.fill_between(epoch, accuracy.min(axis=0), accuracy.max(axis=0), alpha=0.15,
                          color=style["color"], linewidth=0)  # fmt: skip
        first = next(iter(seeds))
        deviation = [
            row["deviation"] for row in steps if (row["sampler"], row["seed"]) == (sampler, first)
        ]
        right.plot(np.arange(1, len(deviation) + 1), deviation, label=sampler, **style)
        data[sampler] = accuracy, np.array(deviation)
    left.set(xlabel="epoch", ylabel="test accuracy in %, mean and range over seeds")
    left.xaxis.get_major_locator().set_params(integer=True)
    right.legend(loc="upper left")
    right.set(xlabel="step of the first epoch, first seed", ylabel="batch deviation Δ", ylim=(0, 2))
    return Picture(figure, data)


@own_settings()
def deviation(steps: Sequence[Row], summary: Sequence[Row]) -> Picture:
    """Batch deviation over the steps of one epoch, a panel for each sampler.

    Args:
        steps: rows with sampler, step, batch_size, expected, low, high.
        summary: rows with sampler, num_steps, serfling, l1_bound. The bounds may be None; they are
            drawn over the full batches, for which they hold, unless they allow any Δ.

    Returns:
        The picture; its data are the expected deviations (T,) by sampler.
    """
    columns, lines = min(3, len(summary)), -(-len(summary) // 3)
    figure = Figure(figsize=(3.4 * columns, 3.2 * lines), layout="constrained")
    panels = figure.subplots(lines, columns, sharey=True, squeeze=False)
    data = {}
    for panel in panels.ravel()[len(summary) :]:
        panel.set_axis_off()
    for panel, row in zip(panels.flat, summary, strict=False):
        rows = [step for step in steps if step["sampler"] == row["sampler"]]
        step = [r["step"] + 1 for r in rows]
        band = [r["low"] for r in rows], [r["high"] for r in rows]
        panel.fill_between(step, *band, color="0.8", linewidth=0, label="95 % of simulations")
        panel.plot(step, [r["expected"] for r in rows], color="black", label="expected, exact")
        for bound, linestyle in [("serfling", "--"), ("l1_bound", ":")]:
            if row[bound] is not None and row[bound] < 2:  # above, it would say nothing
                label = f"{BOUNDS[bound]}: {row[bound]:.2f}"
                full = [r["step"] + 1 for r in rows if r["batch_size"] == rows[0]["batch_size"]]
                panel.hlines(row[bound], 1, full[-1], "#1b4f9c", linestyle, label=label)
        panel.set(title=row["sampler"], xlabel="step of the epoch", ylim=(0, 2))
        panel.legend(loc="upper left", fontsize="small")
        data[row["sampler"]] = np.array([r["expected"] for r in rows])
    for panel in panels[:, 0]:
        panel.set_ylabel("batch deviation Δ")
    return Picture(figure, data)


@own_settings()
def stragglers(rows: Sequence[Row]) -> Picture:
    """The frontier: mean expected deviation against epoch time, averaged over the seeds.

    Args:
        rows: rows with sampler, delta, concentration, slack, assign, mean_deviation, epoch_time.
            LDS is a line through its deltas for each concentration, class targets a line through
            slacks for each assignment.

    Returns:
        The picture; its data are (time, deviation) of each point, by line.
    """
    figure = Figure(figsize=(8, 4.8), layout="constrained")
    axes = figure.subplots()
    lines: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for row in rows:
        sampler = row["sampler"]
        name = (
            sampler if row["assign"] in (None, "slowest-first") else f"{sampler}, {row['assign']}"
        )
        name = name if row["concentration"] is None else f"lds, c = {row['concentration']:g}"
        slack = "" if row["slack"] is None else f"slack={row['slack']}"
        varied = slack if row["delta"] is None else f"δ={row['delta']}"
        place = (row["epoch_time"], row["mean_deviation"])
        lines.setdefault(name, {}).setdefault(varied, []).append(place)
    looks = zip(cycle("osD^v*hXP"), cycle(["-", "--", ":", "-."]), strict=False)
    data = {}
    for (name, points), (marker, linestyle) in zip(lines.items(), looks, strict=False):
        data[name] = places = np.array([np.mean(seeds, axis=0) for seeds in points.values()])
        if name == "bound":
            axes.axvline(places[0][0], color="black", linestyle=":", label="no schedule is faster")
            continue
        color = STYLES[name.split(",")[0]]["color"]
        axes.plot(*places.T, marker=marker, linestyle=linestyle, color=color, label=name)
        # Neighbours on different sides, for where they are close.
        sides = cycle([((5, -1), "left", "bottom"), ((-5, 1), "right", "top")])
        for text, place, (offset, ha, va) in zip(points, places, sides, strict=False):
            if len(places) > 1:
                axes.annotate(text, place, offset, textcoords="offset points", ha=ha, va=va,
                              fontsize="x-small")  # fmt: skip
    axes.set(xlabel="epoch time, in delays of the fastest possible client")
    axes.set(ylabel="mean expected batch deviation Δ", ylim=(0, None), xlim=(0, None))
    axes.set_ylim(top=1.1 * axes.get_ylim()[1])  # room for the labels
    axes.set_xlim(right=1.05 * axes.get_xlim()[1])
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    return Picture(figure, data)
