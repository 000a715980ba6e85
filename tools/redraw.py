"""Draw a picture of results/ anew from its tables, without training again.

    python -m tools.redraw results/tables/fashion-mlp
    python -m tools.redraw results/to-target OTHER

No committed table has the single steps that `compare` and `deviation` draw. They are taken from
steps.csv or deviation.csv in OTHER, which the same command with one seed and one epoch writes.
"""

import json
import sys
from pathlib import Path

from matplotlib.figure import Figure

from pslref.app import plots
from pslref.app.config import time_unit
from pslref.app.grids import Row
from pslref.app.pictures import save
from pslref.app.plan import planned
from pslref.app.tables import summary
from tests.drawn import table

RESULTS = Path(__file__).parents[1] / "results"
# What older tables do not say. Fashion-MNIST and CIFAR-10 have so many test images.
UNSAID = {"test_images": 10_000}


def pictures() -> list[Path]:
    """All that are committed, one in a folder."""
    return sorted(RESULTS.rglob("*.png"))


def redrawn(folder: Path, tables: dict[str, list[Row]]) -> Figure:
    """The picture of a folder, from its tables by name, and from others."""
    tables = {path.stem: table(path) for path in folder.glob("*.csv")} | tables
    if "deviation" in tables:
        return plots.deviation(tables["deviation"], tables["summary"])
    described = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    unit = time_unit(described.get("links", "none"))
    if "plan" in tables:
        return plots.plan(planned(tables["plan"]), unit)
    runs = [UNSAID | row for row in tables.get("sweep") or tables["results"]]
    names = [name for name in described if name in runs[0] and name != "seed"]
    several = [name for name in names if len({row[name] for row in runs} - {None}) > 1]
    varying = [name for name in several if name != "sampler"]
    if "sweep" in tables or varying:
        return plots.sweep(summary(runs, names, ["test_accuracy"]), varying)
    return plots.compare(timed(tables["epochs"], runs), tables["steps"], unit)


def timed(epochs: list[Row], runs: list[Row]) -> list[Row]:
    """Epochs with the time so far; where a table does not say it, each takes its run's mean."""
    means = {(run["sampler"], run["seed"]): run["simulated_time"] for run in runs}
    return [
        {"time_so_far": mean and mean * (row["epoch"] + 1)} | row
        for row in epochs
        for mean in [means[row["sampler"], row["seed"]]]
    ]


if __name__ == "__main__":
    folder, *others = map(Path, sys.argv[1:])
    more = {path.stem: table(path) for other in others for path in other.glob("[sd]*.csv")}
    (drawn,) = folder.glob("*.png")
    save(redrawn(folder, more), drawn)
