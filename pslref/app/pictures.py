"""How pictures look and are written: under pslref's own settings, the same bytes every time."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from textwrap import fill
from typing import Any, BinaryIO

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, PowerNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.transforms import Bbox

from pslref import check, files
from pslref.check import FloatArray

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
MARKERS = dict(zip(STYLES, "osD^v*X", strict=True))

FEW = 15  # a line through so few values shows where they are; a longer one has so many marks
# How far a text is from its place, in pixels, the nearest first, beyond a mark with a ring.
NEAR = sorted(product(range(-120, 121, 10), repeat=2), key=np.linalg.norm)[1:]

# The same bytes for the same figure: what of its metadata is left out, versions and dates.
LEFT_OUT = {
    "png": ("Software",),
    "pdf": ("Creator", "Producer", "CreationDate"),
    "svg": ("Creator", "Date"),
}


def look(sampler: str, count: int) -> dict[str, Any]:
    """How a sampler's line through so many values looks, wherever it is drawn."""
    every = -(-count // FEW)
    first = list(STYLES).index(sampler) % every  # or marks would hide each other
    marks = {"marker": MARKERS[sampler], "markersize": 5, "markevery": (first, every)}
    return STYLES[sampler] | marks


@contextmanager
def own_settings() -> Iterator[None]:
    """Matplotlib's defaults, whatever a matplotlibrc or a notebook has set; the backend stays."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams["svg.hashsalt"] = "pslref"  # else its names are random
        yield


def save(figure: Figure, path: Path) -> None:
    """Write the figure, whole or not at all, as its suffix says: .png, .pdf or .svg."""
    check.one_of("suffix of the picture", path.suffix, [f".{name}" for name in LEFT_OUT])
    with files.replacing(path) as temporary, temporary.open("wb") as file:
        write(figure, file, path.suffix[1:])


@own_settings()
def write(figure: Figure, file: BinaryIO, form: str, dpi: int = 100) -> None:
    """Write the figure to an open file as png, pdf or svg."""
    figure.savefig(file, format=form, dpi=dpi, metadata=dict.fromkeys(LEFT_OUT[form]))


def shade(
    axes: Axes, table: FloatArray, largest: float, edges: tuple[float, float, float, float]
) -> AxesImage:
    """Draw a table as grey cells: only 0 is white, and the least number light grey."""
    greys = ListedColormap(mpl.colormaps["Greys"](np.linspace(0.25, 1, 256))).with_extremes(bad="1")
    cells, norm = np.ma.masked_equal(table, 0), PowerNorm(0.5, 0, largest)
    return axes.imshow(cells, greys, norm, aspect="auto", extent=edges)


def annotate(figure: Figure, axes: Axes, texts: Sequence[tuple[str, tuple[float, float]]]) -> None:
    """Write texts near their places (x, y), those of one place together, with a thin line to it.

    They are inside, over no other, no place and no line, their lines over no other and no place.
    Where there is no room, they are left out.
    """
    figure.draw_without_rendering()  # or nothing has its place yet
    lines = [line.get_transform().transform_path(line.get_path()) for line in axes.lines]
    places = axes.transData.transform([place for _, place in texts])
    taken = [Bbox.from_bounds(x - 9, y - 9, 18, 18) for x, y in places]
    together: dict[tuple[int, ...], list[int]] = {}
    for i, pixel in enumerate(places):
        together.setdefault(tuple(pixel // 4), []).append(i)
    for first, *more in together.values():
        written = axes.annotate(
            fill(", ".join(texts[i][0] for i in (first, *more)), 20), texts[first][1], (0, 0),
            textcoords="offset points", fontsize="x-small", ha="center", va="center",
            arrowprops={"arrowstyle": "-", "linewidth": 0.4, "shrinkB": 2}, in_layout=False,
        )  # fmt: skip
        there = written.get_window_extent().padded(3)
        for away in NEAR:
            offset = np.add(away, np.sign(away) * there.size / 2)
            box, to_it = there.translated(*offset), mpl.path.Path(places[first] + [[0, 0], offset])
            free = axes.bbox.count_contains(box.corners()) == 4 and not box.count_overlaps(taken)
            others = [one for one in taken if not one.contains(*places[first])]
            clear = not any(to_it.intersects_bbox(one) for one in others)
            if free and clear and not any(one.intersects_bbox(box, filled=False) for one in lines):
                written.set(position=offset * 72 / figure.dpi)
                taken.append(box)
                lines.append(to_it)
                break
        else:
            written.remove()
