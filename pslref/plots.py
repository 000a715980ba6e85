"""Each figure a function of a results table (lists of rows, as `experiments` makes them)."""

from collections.abc import Sequence
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
}

MARKERS = {"ugs": "*", "fls": "X", "fpls": "P"}
GREENS = ("#1b5e20", "#66a61e", "#a5d06f")
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
    right.set(xlabel="step of the first epoch", ylabel="batch deviation Δ", ylim=(0, 2))
    return figure


def deviation(steps: Sequence[Row], summary: Sequence[Row]) -> Figure:
    """Batch deviation over the steps of one epoch, a panel for each sampler.

    Args:
        steps: rows with sampler, step, expected, low, high.
        summary: rows with sampler, num_steps, serfling, l1_bound; the bounds may be None.
    """
    figure = Figure(figsize=(3.2 * len(summary), 3.6), layout="constrained")
    panels = figure.subplots(1, len(summary), sharey=True, squeeze=False)[0]
    for panel, row in zip(panels, summary, strict=True):
        rows = [step for step in steps if step["sampler"] == row["sampler"]]
        step = [r["step"] + 1 for r in rows]
        band = [r["low"] for r in rows], [r["high"] for r in rows]
        panel.fill_between(step, *band, color="0.8", linewidth=0, label="95 % of simulations")
        panel.plot(step, [r["expected"] for r in rows], color="black", label="expected, exact")
        for bound, linestyle in [("serfling", "--"), ("l1_bound", ":")]:
            if row[bound] is not None:
                label = f"{BOUNDS[bound]}: {row[bound]:.2f}"
                panel.axhline(row[bound], color="#1b4f9c", linestyle=linestyle, label=label)
        panel.set(title=row["sampler"], xlabel="step of the epoch", ylim=(0, 2))
        panel.legend(loc="upper left", fontsize="small")
    panels[0].set_ylabel("batch deviation Δ")
    return figure


def stragglers(rows: Sequence[Row]) -> Figure:
    """The frontier: mean expected deviation against epoch time, averaged over the seeds.

    Args:
        rows: rows with sampler, delta, concentration, mean_deviation, epoch_time; LDS is drawn
            as a line for each concentration, through its deltas.
    """
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for sampler in dict.fromkeys(row["sampler"] for row in rows):
        group = [row for row in rows if row["sampler"] == sampler]
        for i, concentration in enumerate(dict.fromkeys(row["concentration"] for row in group)):
            line = [row for row in group if row["concentration"] == concentration]
            deltas = list(dict.fromkeys(row["delta"] for row in line))
            points = [_mean_point([row for row in line if row["delta"] == d]) for d in deltas]
            if sampler == "lds":
                style: dict[str, Any] = {
                    "marker": "osD^v"[i % 5],
                    "linestyle": ["-", "--", ":"][i % 3],
                }
                style["color"] = GREENS[i % len(GREENS)]
                axes.plot(*zip(*points, strict=True), label=f"lds, c = {concentration:g}", **style)
                for point, delta in zip(points, deltas, strict=True):
                    offset = (0, 6 if i % 2 else -12)
                    axes.annotate(
                        f"δ={delta:g}", point, offset, textcoords="offset points", ha="center"
                    )
            elif sampler == "bound":
                axes.axvline(
                    points[0][0], color="black", linestyle=":", label="no schedule is faster"
                )
            else:
                color = STYLES[sampler]["color"]
                axes.scatter(*points[0], s=90, marker=MARKERS[sampler], color=color, label=sampler)
    axes.set(xlabel="epoch time, in delays of the fastest possible client")
    axes.set(ylabel="mean expected batch deviation Δ", ylim=(0, None), xlim=(0, None))
    axes.legend()
    return figure


def _mean_point(rows: Sequence[Row]) -> tuple[float, float]:
    time = sum(row["epoch_time"] for row in rows) / len(rows)
    return time, sum(row["mean_deviation"] for row in rows) / len(rows)


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    with files.replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)
