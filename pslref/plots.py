"""Each figure a function of a results table (lists of rows, as `experiments` makes them)."""

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from pslref import files

Row = dict[str, Any]

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

BOUNDS = {"serfling": "Serfling, all classes", "l1_bound": "bound on Δ itself"}


def compare(epochs: Sequence[Row], steps: Sequence[Row]) -> Figure:
    """Test accuracy over the epochs, and batch deviation over the steps of the first one.

    Args:
        epochs: rows with sampler, seed, epoch, test_accuracy; line and band are the mean and the
            range over the seeds.
        steps: rows with sampler, seed, step, deviation; drawn for the first seed.
    """
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for sampler in dict.fromkeys(row["sampler"] for row in epochs):
        rows = [row for row in epochs if row["sampler"] == sampler]
        seeds = dict.fromkeys(row["seed"] for row in rows)
        curves = np.array(
            [[100 * row["test_accuracy"] for row in rows if row["seed"] == seed] for seed in seeds]
        )
        epoch = np.arange(1, curves.shape[1] + 1)
        style = STYLES[sampler]
        left.plot(epoch, curves.mean(axis=0), label=sampler, **style)
        left.fill_between(epoch, curves.min(axis=0), curves.max(axis=0), alpha=0.15,
                          color=style["color"], linewidth=0)  # fmt: skip
        first = next(iter(seeds))
        deviation = [
            row["deviation"] for row in steps if (row["sampler"], row["seed"]) == (sampler, first)
        ]
        right.plot(np.arange(1, len(deviation) + 1), deviation, label=sampler, **style)
    left.set(xlabel="epoch", ylabel="test accuracy in %, mean and range over seeds")
    left.xaxis.get_major_locator().set_params(integer=True)
    right.legend(loc="upper left")
    right.set(xlabel="step of the first epoch, first seed", ylabel="batch deviation Δ", ylim=(0, 2))
    return figure


def deviation(steps: Sequence[Row], summary: Sequence[Row]) -> Figure:
    """Batch deviation over the steps of one epoch, a panel for each sampler.

    Args:
        steps: rows with sampler, step, batch_size, expected, low, high.
        summary: rows with sampler, num_steps, serfling, l1_bound. The bounds may be None; they are
            drawn over the full batches, for which they hold, unless they allow any Δ.
    """
    columns, lines = min(3, len(summary)), -(-len(summary) // 3)
    figure = Figure(figsize=(3.4 * columns, 3.2 * lines), layout="constrained")
    panels = figure.subplots(lines, columns, sharey=True, squeeze=False)
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
    for panel in panels[:, 0]:
        panel.set_ylabel("batch deviation Δ")
    return figure


def stragglers(rows: Sequence[Row]) -> Figure:
    """The frontier: mean expected deviation against epoch time, averaged over the seeds.

    Args:
        rows: rows with sampler, delta, concentration, slack, mean_deviation, epoch_time. LDS is a
            line through its deltas for each concentration, class targets a line through slacks.
    """
    figure = Figure(figsize=(8, 4.8), layout="constrained")
    axes = figure.subplots()
    lines: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for row in rows:
        sampler = row["sampler"]
        name = sampler if row["concentration"] is None else f"lds, c = {row['concentration']:g}"
        slack = "" if row["slack"] is None else f"slack={row['slack']}"
        varied = slack if row["delta"] is None else f"δ={row['delta']}"
        place = (row["epoch_time"], row["mean_deviation"])
        lines.setdefault(name, {}).setdefault(varied, []).append(place)
    looks = zip(cycle("osD^v*hXP"), cycle(["-", "--", ":", "-."]), strict=False)
    for (name, points), (marker, linestyle) in zip(lines.items(), looks, strict=False):
        places = [np.mean(seeds, axis=0) for seeds in points.values()]
        if name == "bound":
            axes.axvline(places[0][0], color="black", linestyle=":", label="no schedule is faster")
            continue
        color = STYLES[name.split(",")[0]]["color"]
        axes.plot(
            *zip(*places, strict=True), marker=marker, linestyle=linestyle, color=color, label=name
        )
        for text, place in zip(points, places, strict=True):
            if len(places) > 1:
                axes.annotate(text, place, (3, 5), textcoords="offset points", fontsize="x-small")
    axes.set(xlabel="epoch time, in delays of the fastest possible client")
    axes.set(ylabel="mean expected batch deviation Δ", ylim=(0, None), xlim=(0, None))
    axes.legend()
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    with files.replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)
