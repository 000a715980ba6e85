"""Each picture a function of the numbers it shows: rows of results tables."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from pslref.app.grids import Row
from pslref.app.pictures import (
    MARKERS,
    STYLES,
    Panel,
    Picture,
    annotate,
    curves,
    own_settings,
    shade,
)
from pslref.app.scenario import Clients

MOST_NAMES = 50  # that have room on an axis
UNITS = {"latency": "s", "flops": "1/s", "uplink": "bytes/s", "downlink": "bytes/s"}
BOUNDS = {"serfling": "Serfling, all classes", "l1_bound": "bound on Δ itself"}


@own_settings()
def compare(epochs: Sequence[Row], steps: Sequence[Row], unit: str) -> Picture:
    """Test accuracy over the epochs and over time, and batch deviation over the first epoch.

    Args:
        epochs: rows with sampler, seed, epoch, test_accuracy, time_so_far; line and band are the
            mean and the range over the seeds. Over time what is not split has no line.
        steps: rows with sampler, seed, step, deviation; drawn for the first seed.
        unit: of the times.

    Returns:
        The picture; its data are, by sampler, the accuracies (seeds, epochs) and deviations (T,).
    """
    figure = Figure(figsize=(13, 4), layout="constrained")
    data = {}
    left, middle, right = figure.subplots(1, 3)
    middle.sharey(left)
    for sampler in dict.fromkeys(row["sampler"] for row in epochs):
        rows = [row for row in epochs if row["sampler"] == sampler]
        seeds = dict.fromkeys(row["seed"] for row in rows)
        accuracy = np.array(
            [[100 * row["test_accuracy"] for row in rows if row["seed"] == seed] for seed in seeds]
        )
        epoch = np.arange(1, accuracy.shape[1] + 1)
        first = next(iter(seeds))
        deviation = [
            row["deviation"] for row in steps if (row["sampler"], row["seed"]) == (sampler, first)
        ]
        style = STYLES[sampler] | {"label": sampler, "markevery": max(1, len(deviation) // 10)}
        style["marker"] = MARKERS[sampler] if 1 in (epoch.size, len(deviation)) else ""
        left.plot(epoch, accuracy.mean(axis=0), **style)
        left.fill_between(epoch, accuracy.min(axis=0), accuracy.max(axis=0), alpha=0.15,
                          color=style["color"], linewidth=3 * (epoch.size == 1))  # fmt: skip
        times = np.array([row["time_so_far"] for row in rows if row["time_so_far"] is not None])
        if times.size:
            middle.plot(times.reshape(accuracy.shape).mean(axis=0), accuracy.mean(axis=0), **style)
        right.plot(range(1, len(deviation) + 1), deviation, **style)
        data[sampler] = accuracy, np.array(deviation)
    left.set(xlabel="epoch", ylabel="test accuracy in %, mean and range over seeds")
    left.xaxis.get_major_locator().set_params(integer=True)
    middle.set(xlabel=f"time, in {unit}", xlim=(0, None))
    right.legend(loc="upper left")
    right.set(xlabel="step of the first epoch, first seed", ylabel="batch deviation Δ", ylim=(0, 2))
    return Picture(figure, data)


def faults(rows: Sequence[Row]) -> Picture:
    """Test accuracy and batch deviation against the share of lost clients.

    Args:
        rows: rows of `compare.summarized`; those that do not heed faults are drawn at each share.
    """
    shares = sorted({row["faults"] for row in rows} - {None})

    def panel(title: str, name: str, unit: float) -> Panel:
        lines: dict[str, tuple[list[float], list[float]]] = {}
        for share in shares:
            for row in rows:
                if row["faults"] in (None, share):
                    x, y = lines.setdefault(row["sampler"], ([], []))
                    x.append(100 * share)
                    y.append(unit * row[name])
        return Panel(title, "clients lost by the end, %", "mean over the seeds", lines)

    return curves(
        panel("test accuracy in %", "test_accuracy", 100),
        panel("mean batch deviation Δ", "mean_deviation", 1),
    )


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
def clients(known: Clients) -> Picture:
    """Who holds how many samples of which class, and the size and the speed of each client.

    Returns:
        The picture; its data are (K, M) classes, and (K,) samples and each of `Clients.times`.
    """
    table = known.class_counts.astype(np.float64)
    number, num_classes = table.shape
    bars = {"samples": table.sum(axis=1)} | known.times()
    size = (6.5 + 1.75 * len(bars), max(3.6, 0.16 * min(number, MOST_NAMES)))
    figure = Figure(figsize=size, layout="constrained")
    ratios = [2] + [1] * len(bars)
    left, *panels = figure.subplots(1, len(ratios), sharey=True, width_ratios=ratios)
    image = shade(left, table, table.max(), (-0.5, num_classes - 0.5, number - 0.5, -0.5))
    left.set(title="samples of each class", xlabel="class", ylabel="client")
    if num_classes <= MOST_NAMES:
        left.set_xticks(range(num_classes), [str(name) for name in known.classes])
    if number <= MOST_NAMES:
        left.set_yticks(range(number), [str(name) for name in known.names], fontsize="x-small")
    else:
        left.yaxis.get_major_locator().set_params(integer=True)
    for axes, (name, column) in zip(panels, bars.items(), strict=True):
        axes.barh(range(number), column, color="0.4", height=1 if number > MOST_NAMES else 0.8)
        axes.set(title=name.replace("_", " "), xlabel=UNITS.get(name, ""))
    figure.colorbar(image, ax=left, label="samples (0 is white; grey by its root)")
    return Picture(figure, {"classes": table} | bars)


@own_settings()
def plan(rows: Sequence[Row], unit: str) -> Picture:
    """The largest expected deviation of an epoch against its time and, if known, its megabytes.

    Args:
        rows: rows of `plan.planned`. LDS is a line through its deltas for each concentration, class
            targets one through slacks for each assignment, batch size and cut; each has a number.
        unit: of the times.

    Returns:
        The picture; its data are (time, deviation[, megabytes]) of each point, by line.
    """
    costs = {"epoch_time": f"epoch time, in {unit}", "megabytes": "megabytes sent in an epoch"}
    shown = [name for name in costs if rows[0][name] is not None]
    figure = Figure(figsize=(3 + 5 * len(shown), 4.8), layout="constrained")
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    lines: dict[str, list[Row]] = {}
    sizes, cuts = (sorted({row[name] for row in rows}) for name in ("batch_size", "cut"))
    several = {n: f for n, f, v in (("B", "batch_size", sizes), ("cut", "cut", cuts)) if len(v) > 1}
    for row in rows:
        lines.setdefault(_line(row, several), []).append(row)
    data, texts, drawn = {}, [], dict.fromkeys(STYLES, 0)
    columns = [shown[0], "max_deviation", *shown[1:]]
    for number, (name, points) in enumerate(lines.items(), 1):
        sampler = points[0]["sampler"]
        data[name] = np.array([[row[column] for column in columns] for row in points])
        linestyle = ("-", "--", ":", "-.")[drawn[sampler] % 4]
        look = {"color": STYLES[sampler]["color"], "marker": MARKERS[sampler]}
        look["markersize"] = 4 + 9 * sizes.index(points[0]["batch_size"]) / len(sizes)
        look["fillstyle"] = ("full", "none", "left", "top")[cuts.index(points[0]["cut"]) % 4]
        for axes, x in zip(panels, (0, 2), strict=False):
            axes.plot(*data[name].T[[x, 1]], linestyle=linestyle, label=f"{number}: {name}", **look)
        drawn[sampler] += 1
        for row in points:
            setting = f"δ={row['delta']:g}" if sampler == "lds" else f"slack={row['slack'] or 0:g}"
            texts.append((f"{number}:{setting}" if len(points) > 1 else str(number), row))
    in_all = f"no other of its B is as good in {'both' if len(shown) == 1 else 'all three'}"
    for axes, cost in zip(panels, shown, strict=True):
        best = [(row[cost], row["max_deviation"]) for row in rows if row["pareto"]]
        axes.scatter(*np.transpose(best), 130, "none", edgecolors="black", label=in_all)
        axes.set(xlabel=costs[cost], xlim=(0, 1.05 * axes.get_xlim()[1]))
    for row in rows:
        if row["sampler"] == "ugs":  # whose batches have the size that is asked for
            which = " and ".join(f"{name} = {row[field]}" for name, field in several.items())
            label = f"no schedule{which and ' with '}{which} is faster"
            dots = (0, (1, 1.5 + 2 * (sizes.index(row["batch_size"]) + cuts.index(row["cut"]))))
            panels[0].axvline(row["least_time"], color="black", linestyle=dots, label=label)
    top = 1.1 * panels[0].get_ylim()[1]
    panels[0].set(ylabel="largest expected batch deviation Δ of an epoch", ylim=(0, top))
    names = dict(zip(*panels[0].get_legend_handles_labels()[::-1], strict=True))
    figure.set_figheight(max(4.8, 0.3 + 0.22 * len(names)))
    panels[-1].legend(names.values(), names, loc=2, bbox_to_anchor=(1.01, 1), frameon=False)
    for axes, cost in zip(panels, shown, strict=True):
        annotate(figure, axes, [(text, (row[cost], row["max_deviation"])) for text, row in texts])
    return Picture(figure, data)


def _line(row: Row, several: Mapping[str, str]) -> str:
    """The name of the line that a row of a plan is on, with the fields that have several values."""
    parts = [row["sampler"]]
    if row["concentration"] is not None:
        parts.append(f"c = {row['concentration']:g}")
    if row["assign"] not in (None, "slowest-first"):
        parts.append(row["assign"])
    return ", ".join([*parts, *(f"{name} = {row[field]}" for name, field in several.items())])


@own_settings()
def sweep(rows: Sequence[Row], varying: Sequence[str]) -> Picture:
    """Test accuracy against K, or the first field that varies: mean and deviation over the seeds.

    Args:
        rows: rows of `sweep.summarized`. A run that does not heed a field (None) is drawn at each
            of its values; one that failed is not drawn.
        varying: the fields that vary besides the sampler. Those that are not on the axis make
            the panels, one for each combination of their values.

    Returns:
        The picture; its data are (value, mean, deviation) of each point, by panel and sampler.
    """
    x = "clients" if "clients" in varying or not varying else varying[0]
    others = [name for name in varying if name != x]
    ticks, *choices = [_values(rows, name) for name in (x, *others)]
    combinations = [dict(zip(others, values, strict=True)) for values in product(*choices)]
    columns, lines = min(3, len(combinations)), -(-len(combinations) // 3)
    figure = Figure(figsize=(3.6 * columns + 1.4, 3.4 * lines), layout="constrained")
    panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    for axes in panels.ravel()[len(combinations) :]:
        axes.set_axis_off()
    samplers = _values(rows, "sampler")
    data, legend = {}, {}
    for axes, chosen in zip(panels.flat, combinations, strict=False):
        title = "\n".join(f"{name} = {value}" for name, value in chosen.items())
        data[title] = {sampler: _points(rows, sampler, x, ticks, chosen) for sampler in samplers}
        for i, sampler in enumerate(samplers):
            if points := data[title][sampler]:
                values, accuracy, std = zip(*points, strict=True)
                dodge = 0.3 * ((i + 0.5) / len(samplers) - 0.5)  # or error bars hide each other
                legend[sampler] = axes.errorbar(
                    [ticks.index(value) + dodge for value in values], accuracy, std,
                    marker=MARKERS[sampler], capsize=2, **STYLES[sampler],
                )  # fmt: skip
        axes.set(title=title, xlabel="clients K" if x == "clients" else x)
        axes.set_xticks(range(len(ticks)), ["" if tick is None else str(tick) for tick in ticks])
        axes.tick_params(labelbottom=True)  # where no panel is below, too
        axes.set_xlim(-0.5, len(ticks) - 0.5)
    for axes in panels[:, 0]:
        axes.set_ylabel("test accuracy in %, mean ± std")
    figure.legend(legend.values(), legend.keys(), loc="outside right upper")
    return Picture(figure, data)


def _values(rows: Sequence[Row], name: str) -> list[Any]:
    """The values of a column, each once; None if it has no other."""
    return list(dict.fromkeys(row[name] for row in rows if row[name] is not None)) or [None]


def _points(
    rows: Sequence[Row], sampler: str, x: str, ticks: Sequence[Any], chosen: Row
) -> list[tuple[Any, float, float]]:
    return [
        (tick, 100 * row["test_accuracy"], 100 * (row["test_accuracy_std"] or 0))
        for tick in ticks
        for row in rows
        if row["sampler"] == sampler and row["test_accuracy"] is not None
        if all(row[name] in (None, value) for name, value in (chosen | {x: tick}).items())
    ]
