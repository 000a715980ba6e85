"""The picture of a sweep: accuracy against the number of clients."""

from collections.abc import Sequence
from itertools import cycle, product
from typing import Any

from matplotlib.figure import Figure

from pslref.pictures import Picture, own_settings
from pslref.plots import STYLES

Row = dict[str, Any]


@own_settings()
def picture(rows: Sequence[Row], varying: Sequence[str]) -> Picture:
    """Test accuracy against K, or the first field that varies: mean and deviation over the seeds.

    Args:
        rows: rows of `summary`. A run that does not heed a field (None) is drawn at each of its
            values; one that failed is not drawn.
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
        for i, (sampler, marker) in enumerate(zip(samplers, cycle("osD^v*X"), strict=False)):
            if points := data[title][sampler]:
                values, accuracy, std = zip(*points, strict=True)
                dodge = 0.3 * ((i + 0.5) / len(samplers) - 0.5)  # or error bars hide each other
                legend[sampler] = axes.errorbar(
                    [ticks.index(value) + dodge for value in values], accuracy, std,
                    marker=marker, capsize=2, **STYLES[sampler],
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
        (tick, 100 * row["test_accuracy"], 100 * (row["std"] or 0))
        for tick in ticks
        for row in rows
        if row["sampler"] == sampler and row["test_accuracy"] is not None
        if all(row[name] in (None, value) for name, value in (chosen | {x: tick}).items())
    ]
