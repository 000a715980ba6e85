"""Each picture a function of the numbers it shows: rows of results tables."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pslref.app.grids import Row
from pslref.app.pictures import STYLES, annotate, look, own_settings, shade
from pslref.app.scenario import Clients
from pslref.check import ArrayLike, FloatArray

MOST_NAMES = 50  # that have room on an axis
MOST_POINTS = 100  # of a line; more would be a blur
NAMES = {"clients": "clients K", "batch_size": "batch size B", "delta": "δ", "concentration": "c"}
NAMES |= {"faults": "share of the clients that is lost"}
UNITS = {"latency": "s", "flops": "1/s", "uplink": "bytes/s", "downlink": "bytes/s"}
BOUNDS = {"serfling": ("Serfling, all classes", "--"), "l1_bound": ("bound on Δ itself", ":")}


@own_settings()
def compare(epochs: Sequence[Row], steps: Sequence[Row], unit: str) -> Figure:
    """Test accuracy over the epochs and over time, and batch deviation over the first epoch.

    Args:
        epochs: rows with sampler, seed, epoch, test_accuracy, time_so_far; line and band are the
            mean and the range over the seeds. Over time what is not split has no line.
        steps: rows with sampler, seed, step, deviation; line and band are the mean and the range
            over the seeds and, if there are more than `MOST_POINTS`, of several steps at a time.
        unit: of the times.
    """
    figure = Figure(figsize=(14.2, 4), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    middle.sharey(left)
    together = -(-max(row["step"] + 1 for row in steps) // MOST_POINTS)
    for sampler in _values(sorted(epochs, key=_place), "sampler"):
        rows = [row for row in epochs if row["sampler"] == sampler]
        seeds = _values(rows, "seed")
        accuracy, times = (
            np.array([row[name] for row in rows], np.float64).reshape(len(seeds), -1)
            for name in ("test_accuracy", "time_so_far")
        )
        own = [(row["step"], row["deviation"]) for row in steps if row["sampler"] == sampler]
        step, deviation = np.transpose(own)
        groups = [step // together == group for group in np.unique(step // together)]
        centres = [1 + step[group].mean() for group in groups]
        _mean_and_range(left, sampler, range(1, accuracy.shape[1] + 1), 100 * accuracy.T)
        if np.isfinite(times).all():
            _mean_and_range(middle, sampler, times.mean(axis=0), 100 * accuracy.T)
        _mean_and_range(right, sampler, centres, [deviation[group] for group in groups])
    left.set(xlabel="epoch", ylabel="test accuracy in %, mean and range over seeds")
    left.xaxis.get_major_locator().set_params(integer=True)
    middle.set(xlabel=f"time, in {unit}\nmean over seeds", xlim=(0, None))
    over = ["seeds"] * (len(_values(steps, "seed")) > 1)
    over += [f"{together} steps at a time"] * (together > 1)
    of_what = f"\nmean and range over {' and '.join(over)}" if over else ""
    right.set(xlabel=f"step of the first epoch{of_what}", ylabel="batch deviation Δ", ylim=(0, 2))
    _legend(figure)
    return figure


def _mean_and_range(axes: Axes, sampler: str, x: ArrayLike, values: Iterable[FloatArray]) -> None:
    """Over each x the mean of its values, in a band from the least to the largest of them."""
    mean, least, largest = ([f(each) for each in values] for f in (np.mean, np.min, np.max))
    style = look(sampler, len(mean))
    axes.plot(x, mean, label=sampler, **style)
    axes.fill_between(x, least, largest, alpha=0.15, color=style["color"],
                      linewidth=3 * (len(mean) == 1))  # fmt: skip


@own_settings()
def deviation(steps: Sequence[Row], summary: Sequence[Row]) -> Figure:
    """Batch deviation over the steps of one epoch, a panel for each sampler.

    Args:
        steps: rows with sampler, step, batch_size, expected, low, high.
        summary: rows with sampler, num_steps, serfling, l1_bound. The bounds may be None; they are
            drawn over the full batches, for which they hold, unless they allow any Δ.
    """
    summary = sorted(summary, key=_place)
    figure, panels = _grid([row["sampler"] for row in summary], "batch deviation Δ")
    for panel, row in zip(panels, summary, strict=True):
        rows = [step for step in steps if step["sampler"] == row["sampler"]]
        step = [r["step"] + 1 for r in rows]
        band = [r["low"] for r in rows], [r["high"] for r in rows]
        panel.fill_between(step, *band, color="0.8", linewidth=0, label="95 % of simulations")
        panel.plot(step, [r["expected"] for r in rows], color="black", label="expected, exact")
        for bound, (name, linestyle) in BOUNDS.items():
            if row[bound] is not None and row[bound] < 2:  # above, it would say nothing
                label = f"{name}: {row[bound]:.2f}"
                full = [r["step"] + 1 for r in rows if r["batch_size"] == rows[0]["batch_size"]]
                panel.plot([1, full[-1]], 2 * [row[bound]], linestyle, color="#1b4f9c", label=label)
        panel.set(xlabel="step of the epoch", ylim=(0, 2))
    _legend(figure)
    return figure


@own_settings()
def clients(known: Clients) -> Figure:
    """Who holds how many samples of which class, and the size and the speed of each client."""
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
    return figure


@own_settings()
def plan(rows: Sequence[Row], unit: str) -> Figure:
    """The largest expected deviation of an epoch against its time and, if known, its megabytes.

    Args:
        rows: rows of `plan.planned`. LDS is a line through its deltas for each concentration, class
            targets one through slacks for each assignment, batch size and cut; each has a number.
        unit: of the times.
    """
    costs = {"epoch_time": f"epoch time, in {unit}", "megabytes": "megabytes sent in an epoch"}
    shown = [name for name in costs if rows[0][name] is not None]
    figure = Figure(figsize=(3 + 5 * len(shown), 4.8), layout="constrained")
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    lines: dict[str, list[Row]] = {}
    sizes, cuts = (sorted({row[name] for row in rows}) for name in ("batch_size", "cut"))
    several = {n: f for n, f, v in (("B", "batch_size", sizes), ("cut", "cut", cuts)) if len(v) > 1}
    for row in sorted(rows, key=_place):
        lines.setdefault(_line(row, several), []).append(row)
    texts, drawn = [], dict.fromkeys(STYLES, 0)
    for number, (name, points) in enumerate(lines.items(), 1):
        sampler = points[0]["sampler"]
        style = look(sampler, 1) | {"linestyle": ("-", "--", ":", "-.")[drawn[sampler] % 4]}
        style["markersize"] = 4 + 9 * sizes.index(points[0]["batch_size"]) / len(sizes)
        style["fillstyle"] = ("full", "none", "left", "top")[cuts.index(points[0]["cut"]) % 4]
        for axes, cost in zip(panels, shown, strict=True):
            places = [(row[cost], row["max_deviation"]) for row in points]
            axes.plot(*np.transpose(places), label=f"{number}: {name}", **style)
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
    figure.set_figheight(max(4.8, 0.3 + 0.22 * _legend(figure)))
    for axes, cost in zip(panels, shown, strict=True):
        annotate(figure, axes, [(text, (row[cost], row["max_deviation"])) for text, row in texts])
    return figure


def _line(row: Row, several: Mapping[str, str]) -> str:
    """The name of the line that a row of a plan is on, with the fields that have several values."""
    parts = [row["sampler"]]
    if row["concentration"] is not None:
        parts.append(f"c = {row['concentration']:g}")
    if row["assign"] not in (None, "slowest-first"):
        parts.append(row["assign"])
    return ", ".join([*parts, *(f"{name} = {row[field]}" for name, field in several.items())])


@own_settings()
def sweep(rows: Sequence[Row], varying: Sequence[str]) -> Figure:
    """Test accuracy against K, or the first field that varies: mean and deviation over the seeds.

    Args:
        rows: rows of `sweep.summarized`. A run that does not heed a field (None) is drawn at each
            of its values; one that failed is not drawn.
        varying: the fields that vary besides the sampler. Those that are not on the axis make
            the panels, one for each combination of their values.
    """
    x = "clients" if "clients" in varying or not varying else varying[0]
    others = [name for name in varying if name != x]
    ticks, *choices = [_values(rows, name) for name in (x, *others)]
    ticks.sort(key=lambda tick: tick if isinstance(tick, int | float) else 0)
    chosen = [dict(zip(others, values, strict=True)) for values in product(*choices)]
    titles = ["\n".join(f"{n} = {_text(v)}" for n, v in one.items()) for one in chosen]
    figure, panels = _grid(titles, "test accuracy in %, mean ± std")
    samplers = _values(sorted(rows, key=_place), "sampler")
    for axes, fixed in zip(panels, chosen, strict=True):
        for i, sampler in enumerate(samplers):
            points = [
                (tick, 100 * row["test_accuracy"], 100 * (row["test_accuracy_std"] or 0.0))
                for tick in ticks
                for row in rows
                if row["sampler"] == sampler and row["test_accuracy"] is not None
                if all(row[name] in (None, value) for name, value in (fixed | {x: tick}).items())
            ]
            if points:
                values, accuracy, std = zip(*points, strict=True)
                dodge = 0.3 * ((i + 0.5) / len(samplers) - 0.5)  # or error bars hide each other
                place = [ticks.index(value) + dodge for value in values]
                axes.errorbar(place, accuracy, std, label=sampler, **look(sampler, len(place)))
        axes.set(xlabel=NAMES.get(x, x), xlim=(-0.5, len(ticks) - 0.5))
        axes.set_xticks(range(len(ticks)), map(_text, ticks))
    _legend(figure)
    return figure


def _text(value: object) -> str:
    return "" if value is None else str(value).removesuffix(".0")


def _grid(titles: Sequence[str], ylabel: str) -> tuple[Figure, list[Axes]]:
    """A panel for each title, three in a row, of one y; beside them is room for a legend."""
    columns, lines = min(3, len(titles)), -(-len(titles) // 3)
    figure = Figure(figsize=(3.6 * columns + 2, 3.4 * lines), layout="constrained")
    panels = figure.subplots(lines, columns, sharey=True, squeeze=False)
    for axes in panels[:, 0]:
        axes.set_ylabel(ylabel)
    for axes, title in zip(panels.flat, titles, strict=False):
        axes.set_title(title)
    for axes in panels.flat[len(titles) :]:
        axes.remove()
    return figure, list(panels.flat[: len(titles)])


def _legend(figure: Figure) -> int:
    """Everything that has a name, beside all panels; how many names there are."""
    names: dict[str, Any] = {}
    for axes in figure.axes:
        names |= dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
    figure.legend(list(names.values()), list(names), loc="outside right upper", frameon=False)
    return len(names)


def _place(row: Row) -> int:
    """Of the row's sampler among all, whose order is the same in every picture."""
    return list(STYLES).index(row["sampler"])


def _values(rows: Sequence[Row], name: str) -> list[Any]:
    """The values of a column, each once; None if it has no other."""
    return list(dict.fromkeys(row[name] for row in rows if row[name] is not None)) or [None]
