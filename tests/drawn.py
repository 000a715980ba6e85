"""What a reader of a figure sees: lines, bands, bars and greys as drawn, and all that is written.

It is read from matplotlib's artists after they were laid out, never from what a picture says that
it drew.
"""

import csv
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection, PolyCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

Values = NDArray[np.float64]


@dataclass
class Panel:
    """One panel as it is drawn, each thing by the name that the legend gives to its look.

    Attributes:
        lines: (2, n): x and y.
        looks: of each line its colour, line style, width and marker.
        bands: (3, n): x, the lower and the upper edge, by x.
        bars: (4, n): x, y, and the ends of the error bar.
        rings: (2, n): x and y.
        walls: the x of lines from bottom to top.
        greys: (rows, columns), 0 white and 1 black, the first row on top.
        centres: the x of the columns and the y of the rows of `greys`.
        notes: texts in the panel, with the x and y that they are about.
    """

    title: str
    xlabel: str
    ylabel: str
    xscale: str
    yscale: str
    xlim: tuple[float, float]
    ylim: tuple[float, float]
    xticks: dict[float, str]
    yticks: dict[float, str]
    legend: list[str]
    lines: dict[str, Values] = field(default_factory=dict)
    looks: dict[str, tuple[str, str, float, str]] = field(default_factory=dict)
    bands: dict[str, Values] = field(default_factory=dict)
    bars: dict[str, Values] = field(default_factory=dict)
    rings: dict[str, Values] = field(default_factory=dict)
    walls: dict[str, list[float]] = field(default_factory=dict)
    greys: Values | None = None
    centres: tuple[Values, Values] | None = None
    notes: list[tuple[str, float, float]] = field(default_factory=list)

    def all_is_seen(self) -> bool:
        """Whether no part of a line, band or bar is beyond the limits."""
        curves = [*self.lines.values(), *self.bands.values(), *self.bars.values()]
        x = np.concatenate([curve[0] for curve in curves])
        y = np.concatenate([curve[1:].ravel() for curve in curves])
        return all(
            min(limits) <= values.min() and values.max() <= max(limits)
            for values, limits in ((x, self.xlim), (y, self.ylim))
        )


def drawn(figure: Figure) -> list[Panel]:
    """The panels of a figure, from left to right and from top to bottom.

    Nothing is cut off, no text lies over another, and no legend lies over a panel.
    """
    figure.draw_without_rendering()
    (left, bottom, right, top), (width, height) = (
        figure.get_tightbbox().extents,
        figure.get_size_inches(),
    )
    assert min(left, bottom) >= -0.01
    assert right <= width + 0.01
    assert top <= height + 0.01
    panels = figure.axes
    legends = [each for each in (*figure.legends, *map(Axes.get_legend, panels)) if each]
    boxes = [legend.get_window_extent() for legend in legends]
    assert not any(box.overlaps(axes.bbox) for box in boxes for axes in panels)
    assert_apart(figure)
    everywhere = {**_entries(figure.legends), **_entries(axes.get_legend() for axes in panels)}
    return [_panel(axes, _entries([axes.get_legend()]) or everywhere) for axes in panels]


def assert_apart(figure: Figure) -> None:
    """No two of the texts of a figure overlap."""
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
    unseen = {id(text) for axes in figure.axes for text in outside(axes)}
    boxes = [(Text.get_window_extent(text), text) for text in texts if id(text) not in unseen]
    for (box, text), (other, another) in combinations(boxes, 2):
        over = Bbox.intersection(box, other)
        small = over is None or min(over.width, over.height) < 1
        assert small, f"{text.get_text()!r} over {another.get_text()!r}"


def outside(axes: Axes) -> list[Text]:
    """The labels of ticks that are beyond the limits, which are not drawn."""
    found = []
    for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
            if not min(limits) <= tick.get_loc() <= max(limits):
                found += [tick.label1, tick.label2]
    return found


def assert_same(figure: Figure, other: Figure) -> None:
    """Two figures show the same."""
    one, two = ([asdict(panel) for panel in drawn(each)] for each in (figure, other))
    np.testing.assert_equal(one, two)


def table(path: Path) -> list[dict[str, Any]]:
    """The rows of a CSV file; numbers are numbers again, and an empty cell is None."""
    with path.open() as file:
        return [{name: _cell(text) for name, text in row.items()} for row in csv.DictReader(file)]


def _cell(text: str) -> int | float | str | None:
    for number in (int, float):
        with suppress(ValueError):
            return number(text)
    return text or None


def _entries(legends) -> dict[str, Artist]:
    return {
        text.get_text(): handle
        for legend in legends
        if legend is not None
        for text, handle in zip(legend.get_texts(), legend.legend_handles, strict=True)
    }


def _panel(axes: Axes, legend: dict[str, Artist]) -> Panel:
    panel = Panel(
        *(axes.get_title(), axes.get_xlabel(), axes.get_ylabel()),
        *(axes.get_xscale(), axes.get_yscale(), axes.get_xlim(), axes.get_ylim()),
        *(_ticks(axes.xaxis, axes.get_xlim()), _ticks(axes.yaxis, axes.get_ylim())),
        legend=list(_entries([axes.get_legend()])),
    )
    for bar in axes.containers:
        (segments,) = (lines.get_segments() for lines in bar[2])
        ends = np.array([[low, high] for (_, low), (_, high) in segments])
        panel.bars[_name(bar[2][0], legend)] = np.vstack([bar[0].get_xydata().T, ends.T])
        panel.looks[_name(bar[2][0], legend)] = _look(bar[0])
    in_bars = {line for bar in axes.containers for line in (bar[0], *bar[1])}
    for line in axes.lines:
        if line not in in_bars:
            name = _name(line, legend)
            panel.looks[name] = _look(line)
            if not line.get_transform().contains_branch_seperately(axes.transData)[1]:
                panel.walls.setdefault(name, []).append(line.get_xdata()[0])
                continue
            assert name not in panel.lines, f"two lines look like {name}"
            panel.lines[name] = line.get_xydata().T
    for collection in axes.collections:
        if isinstance(collection, PolyCollection):
            panel.bands[_name(collection, legend)] = _edges(collection)
        elif isinstance(collection, PathCollection):
            panel.rings[collection.get_label()] = collection.get_offsets().T
    for image in axes.images:
        shown = image.to_rgba(image.get_array())
        panel.greys = 1 - shown[..., 0]
        left, right, bottom, top = image.get_extent()
        rows, columns = panel.greys.shape
        x = left + (np.arange(columns) + 0.5) * (right - left) / columns
        y = top + (np.arange(rows) + 0.5) * (bottom - top) / rows
        panel.centres = x, y if image.origin == "upper" else y[::-1]
    panel.notes = [
        (note.get_text(), *note.xy) for note in axes.texts if isinstance(note, Annotation)
    ]
    return panel


def _ticks(axis, limits: tuple[float, float]) -> dict[float, str]:
    inside = [tick for tick in axis.get_major_ticks() if tick.label1.get_visible()]
    places = {float(tick.get_loc()): tick.label1.get_text() for tick in inside}
    return {at: text for at, text in places.items() if min(limits) <= at <= max(limits)}


def _name(artist: Artist, legend: dict[str, Artist]) -> str:
    """What the legend calls an artist; what has no name there itself is named by its colour."""
    label = str(artist.get_label())
    if label in legend and isinstance(artist, Line2D):
        assert _look(artist) == _look(legend[label])
    if not label.startswith("_"):  # with which matplotlib's own names begin
        return label
    (name,) = (text for text, handle in legend.items() if _colour(handle) == _colour(artist))
    return name


def _look(line: Line2D) -> tuple[str, str, float, str]:
    return _colour(line), line.get_linestyle(), line.get_linewidth(), str(line.get_marker())


def _colour(artist: Artist) -> str:
    if isinstance(artist, PolyCollection):
        return to_hex(artist.get_facecolor()[0])
    if isinstance(artist, LineCollection):
        return to_hex(artist.get_color()[0])
    return to_hex(artist.get_color() if isinstance(artist, Line2D) else artist.get_facecolor())


def _edges(band: PolyCollection) -> Values:
    (path,) = band.get_paths()
    edges: dict[float, list[float]] = {}
    for x, y in path.vertices:
        edges.setdefault(float(x), []).append(float(y))
    return np.array([(x, min(ys), max(ys)) for x, ys in sorted(edges.items())]).T
