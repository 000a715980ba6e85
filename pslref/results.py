"""The tables of results: what stands in them, and what cannot."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pslref import check
from pslref.config import Config

Row = dict[str, Any]

TIME = "simulated_time"  # a run that is not split has none
TABLES = {  # the columns of each, after those that say which run it is
    "runs": (
        *("test_accuracy", "mean_deviation", "max_deviation", "num_steps", TIME),
        *("megabytes", "empty_clients", "test_images"),
    ),
    "epochs": ("epoch", "loss", "test_accuracy"),
    "steps": ("step", "loss", "deviation"),
}
REAL = (float, 0, sys.float_info.max)
RANGES: dict[str, tuple[type, float, float]] = {  # of the columns, and of those in checkpoints
    "test_accuracy": (float, 0, 1),
    **dict.fromkeys(("deviation", "mean_deviation", "max_deviation"), (float, 0, 2)),
    **dict.fromkeys(("loss", "megabytes", "time", TIME), REAL),
    **dict.fromkeys(("epoch", "step", "empty_clients"), (int, 0, check.MOST_SAMPLES)),
    **dict.fromkeys(("bytes_up", "bytes_down"), (int, 0, 2**63 - 1)),
    **dict.fromkeys(("step_bytes_up", "step_bytes_down"), (int, 0, 2**63 - 1)),
    **dict.fromkeys(("num_aborted", "num_unused"), (int, 0, check.MOST_SAMPLES)),
    **dict.fromkeys(("num_steps", "test_images"), (int, 1, check.MOST_SAMPLES)),
}


@dataclass
class Results:
    """Three tidy tables: a row per run, per epoch of a run, and per step of its first epoch."""

    runs: list[Row] = field(default_factory=list)
    epochs: list[Row] = field(default_factory=list)
    steps: list[Row] = field(default_factory=list)

    def add(self, other: "Results") -> None:
        """Append another's rows."""
        self.runs += other.runs
        self.epochs += other.epochs
        self.steps += other.steps


def grouped(rows: Iterable[Row], *names: str) -> list[list[Row]]:
    """The rows that agree in these columns together, in the order of their first."""
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row.get(name) for name in names), []).append(row)
    return list(groups.values())


def mean(rows: Sequence[Row], name: str) -> float | None:
    """Of the values that are not None; None without any."""
    values = [row[name] for row in rows if row.get(name) is not None]
    return float(np.mean(values)) if values else None


def spread(rows: Sequence[Row], name: str) -> float | None:
    """The standard deviation of a sample; None of fewer than two rows."""
    return float(np.std([row[name] for row in rows], ddof=1)) if len(rows) > 1 else None


def check_column(table: str, name: str, values: Iterable[Any]) -> None:
    """Refuse a value that cannot stand in the column `name`, wherever that is."""
    kind, low, high = RANGES[name]
    for value in values:
        of_kind = type(value) is kind  # a bool is no int here
        if not (of_kind and low <= value <= high) or str(value) == "-0.0":
            allowed = f"must be of type {kind.__name__}, from {low:g} to {high:g}"
            raise check.wrong(f"{table}.{name}", value, allowed)


def check_possible(config: Config, results: Results) -> None:
    """Refuse tables that the one run of a config with one sampler and one seed cannot have.

    Raises:
        ValueError: naming the table and the column.
    """
    alone = config.sampler == ("centralized",)
    label = {"sampler": config.sampler[0], "seed": config.seed}
    for table, columns in TABLES.items():
        rows = getattr(results, table)
        for row in rows:
            if row.keys() != {*label, *columns}:
                raise check.wrong(table, sorted(row), f"must have {', '.join(columns)}")
            check.same(f"{table} has", {name: row[name] for name in label}, label, "must be so")
        for name in columns:
            if name != TIME or not alone:
                check_column(table, name, [row[name] for row in rows])
    epochs, steps = results.epochs, results.steps
    if len(results.runs) != 1 or [row["epoch"] for row in epochs] != list(range(config.epochs)):
        raise ValueError(f"runs and epochs must have 1 and {config.epochs} rows, in order")
    (run,) = results.runs
    if not (
        [row["step"] for row in steps] == list(range(len(steps)))
        and run["num_steps"] == len(steps)
        and run["test_accuracy"] == epochs[-1]["test_accuracy"]
        and run["max_deviation"] >= max(row["deviation"] for row in steps)
        and run["mean_deviation"] <= run["max_deviation"] * (1 + 1e-9)  # a mean is rounded
        and all(is_share(row["test_accuracy"], run["test_images"]) for row in epochs)
        and epochs[0]["loss"] == float(np.mean([row["loss"] for row in steps]))
        and run["empty_clients"] < config.clients
        and (run[TIME] is None) == alone
    ):
        raise ValueError("runs must agree with epochs, steps and the options")


def is_share(accuracy: float, images: int) -> bool:
    """Whether some number of right images of so many gives it, to the bit."""
    return round(accuracy * images) / images == accuracy
