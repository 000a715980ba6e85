"""The tables of results: what stands in them, and their means over the seeds."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pslref import files
from pslref.app.grids import Row
from pslref.check import FloatArray

# The columns after those that say which run it is; of a run's, what a summary takes over the seeds.
RUN = (
    *("test_accuracy", "mean_deviation", "max_deviation", "num_steps", "simulated_time"),
    *("megabytes", "megabytes_up", "megabytes_down", "participants", "empty_clients"),
    *("test_images", "unreachable", "aborted"),
)
LARGEST = ("max_deviation", "empty_clients")
MEANS = tuple(name for name in RUN if name not in (*LARGEST, "test_images", "aborted"))
EPOCH = ("epoch", "loss", "test_accuracy", "time_so_far", "megabytes_so_far")


@dataclass
class Results:
    """Three tidy tables: a row per run, per epoch of a run, and per step of its first epoch.

    Steps, time, megabytes and unreachable samples of a run are means over its epochs.
    """

    runs: list[Row] = field(default_factory=list)
    epochs: list[Row] = field(default_factory=list)
    steps: list[Row] = field(default_factory=list)

    def add(self, label: Row, other: "Results") -> None:
        """Append another's rows, each with what says which run it is of."""
        for name in ("runs", "epochs", "steps"):
            getattr(self, name).extend(label | row for row in getattr(other, name))


def rows_of(columns: Mapping[str, Iterable[Any]]) -> list[Row]:
    """The rows of a table that is given by its columns."""
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def summary(
    rows: Sequence[Row], names: Sequence[str], means: Sequence[str], largest: Sequence[str] = ()
) -> list[Row]:
    """A row for each combination of the columns `names`, over all others such as seeds.

    Columns in `means` are the mean of what is not None, with the standard deviation of the sample
    as NAME_std; those in `largest` are the largest. `seeds` is how many rows there are without an
    `error`, `failed` how many with one. `difference` is the mean over seeds of accuracy minus that
    of centralized with the same seed, and `low` and `high` its `interval`; a field that is None on
    either side, since it is not heeded, may differ. What the rows cannot tell is None.
    """
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    centralized = [row for row in rows if row["sampler"] == "centralized"]
    found = []
    for group in groups.values():
        label = {name: group[0][name] for name in names}
        done = [row for row in group if row.get("error") is None]
        row = label | {"seeds": len(done), "failed": len(group) - len(done)}
        for name in (*means, *largest):
            values = [each[name] for each in done if each[name] is not None]
            row[name] = float((max if name in largest else np.mean)(values)) if values else None
            if name in means:
                row[f"{name}_std"] = float(np.std(values, ddof=1)) if len(values) > 1 else None
        found.append(row | _difference(label, done, centralized))
    return found


def _difference(label: Row, rows: Sequence[Row], centralized: Sequence[Row]) -> Row:
    """What `summary` says about the accuracy of these rows beside that of centralized."""
    heeded = [name for name in label if name != "sampler"]
    beside = {
        row["seed"]: row["test_accuracy"]
        for row in centralized
        if row.get("error") is None
        if all(row[name] == label[name] or None in (row[name], label[name]) for name in heeded)
    }
    found: Row = dict.fromkeys(("difference", "low", "high"))
    pairs = [(row["test_accuracy"], beside[row["seed"]]) for row in rows if row["seed"] in beside]
    if label["sampler"] != "centralized" and pairs:
        differences = np.subtract(*np.transpose(pairs))
        found["difference"] = float(differences.mean())
        if len(pairs) > 1:
            found["low"], found["high"] = interval(differences, rows[0]["test_images"])
    return found


def interval(differences: FloatArray, num_images: int) -> tuple[float, float]:
    """The 95 % interval of a difference in accuracy that was seen with several seeds.

    Seeds and test images both are samples, so that the squares of two half widths add up:
    Student's for the seeds, and for the images z √(|D| / n + (z / n)²), with D the mean difference
    and z = 1.96. (docs/method.md, 8) [reading]

    Args:
        differences: (S,) one for each of at least two seeds, all on the same test images.
        num_images: n, how many test images there are.

    Returns:
        The ends, within −1 and 1, rounded outwards to a tenth of a point: what is printed is what
        is judged.
    """
    from scipy.stats import norm, t  # here: they take longer to import than all else together

    mean, count = differences.mean(), differences.size
    of_seeds, z = t.ppf(0.975, count - 1), norm.ppf(0.975)
    images = z * np.sqrt(abs(mean) / num_images + (z / num_images) ** 2)
    half = np.hypot(of_seeds * differences.std(ddof=1) / count**0.5, images)
    low, high = np.floor(1000 * (mean - half)) / 1000, np.ceil(1000 * (mean + half)) / 1000
    return max(float(low), -1.0), min(float(high) + 0.0, 1.0)  # + 0.0: never −0.0


def write(out: Path, told: Row, results: Results) -> None:
    """Write the tables to a folder, and what was run and made them."""
    files.write_json(out / "config.json", told)
    files.write_csv(out / "results.csv", results.runs)
    files.write_csv(out / "epochs.csv", results.epochs)
    files.write_csv(out / "steps.csv", results.steps)


def write_latex(path: Path, rows: Iterable[Mapping[str, str]]) -> None:
    """Write rows as they are printed as a LaTeX tabular, less the columns without a text."""
    shown = list(rows)
    names = [name for name in shown[0] if any(row[name] for row in shown)]
    cells = [names, *([row[name] for name in names] for row in shown)]
    lines = [" & ".join(map(_latex, line)) + r" \\" for line in cells]
    columns = "l" + "r" * (len(names) - 1)
    body = "\n".join([lines[0], r"\hline", *lines[1:]])
    with files.replacing(path) as temporary:
        temporary.write_bytes(
            f"\\begin{{tabular}}{{{columns}}}\n{body}\n\\end{{tabular}}\n".encode()
        )


def _latex(text: str) -> str:
    symbols = {"%": r"\%", "_": r"\_", "±": r"$\pm$", "Δ": r"$\Delta$", "δ": r"$\delta$"}
    return "".join(symbols.get(letter, letter) for letter in text)
