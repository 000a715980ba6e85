"""The README's first figure: accuracy, time and traffic of a run. python -m tools.claim CSV PNG

CSV is results.csv of `pslref compare --links` (results/to-target). Bars are means over its seeds,
a line in a bar the range; times are in seconds, and bytes count all that crosses.
"""

import csv
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from pslref.app.config import SAMPLERS
from pslref.app.pictures import own_settings, save

NAMES = {
    "centralized": "centralized: all data in one place",
    "fls": "FLS: the same number from everybody",
    "fpls": "FPLS: in proportion to what one has",
    "ugs": "UGS: drawn as from one pool",
    "lds": "LDS: more from slow clients at first",
    "targets": "class targets: first classes, then who",
    "stratified": "stratified class targets: steps alike",
}
PANELS = {  # column: what it is, its unit, decimals
    "test_accuracy": ("test accuracy, %", 0.01, 1),
    "simulated_time": ("seconds for an epoch", 1, 0),
    "megabytes": ("GB sent in an epoch", 1000, 1),
}
FILLS = {"centralized": "1", "targets": "0.5", "stratified": "0.5"}  # others are light grey


@own_settings()
def claim(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """A row for each sampler, a panel for each column."""
    figure = Figure(figsize=(10.5, 2.9), layout="constrained")
    shown = [name for name in SAMPLERS if any(row["sampler"] == name for row in rows)]
    for axes, (column, (title, unit, digits)) in zip(
        figure.subplots(1, len(PANELS), sharey=True), PANELS.items(), strict=True
    ):
        for y, name in enumerate(shown):
            texts = [row[column] for row in rows if row["sampler"] == name]
            if column != "test_accuracy" and name == "centralized":
                continue  # nobody is waited for and nothing is sent
            values = np.array(texts, float) / unit
            axes.barh(y, values.mean(), color=FILLS.get(name, "0.8"), edgecolor="0.3")
            axes.plot([values.min(), values.max()], [y, y], color="black", linewidth=1.5)
            text = f"{values.mean():,.{digits}f}"
            axes.annotate(text, (values.max(), y), (5, 0), textcoords="offset points", va="center")
        axes.set(title=title, xlim=(0, 1.2 * axes.get_xlim()[1]))
        axes.set_yticks(range(len(shown)), [NAMES[name] for name in shown])
        axes.tick_params(length=0)
        axes.set_xticks([])
        axes.spines[["top", "right", "bottom"]].set_visible(False)
    figure.axes[0].invert_yaxis()
    return figure


def main(table: Path, path: Path) -> None:
    with table.open(encoding="utf-8", newline="") as file:
        save(claim([*csv.DictReader(file)]), path)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
