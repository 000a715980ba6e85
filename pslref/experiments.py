"""Runs over samplers and seeds, and what their numbers say."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from pslref import data, files, plots
from pslref.check import FloatArray
from pslref.config import Config
from pslref.runs import Results, Row, run
from pslref.split import Diverged

TELLING = 0.2  # an interval wider than 20 points that holds 0 tells nothing


def compare(
    config: Config, *, out: Path | None = None, after_epoch: Callable[[], object] = lambda: None
) -> Results:
    """Train one network with each sampler; all samplers of one seed share partition and weights.

    Args:
        config: what to run.
        out: a folder for results.csv, epochs.csv, steps.csv, config.json and compare.png; the
            tables are written anew after every run.
        after_epoch: called after every epoch of every run, for a progress bar.

    Raises:
        ValueError: for a config that cannot be run.
        Diverged: if a loss stops being finite; the runs before it are written.
    """
    files.check_folder(out)
    dataset = data.load(config.dataset, config.data_dir, np.dtype(config.dtype))
    results = Results()
    for seed in range(config.seed, config.seed + config.seeds):
        for sampler in config.sampler:
            try:
                results.add(run(config, dataset, sampler, seed, after_epoch))
            except Diverged as error:
                raise Diverged(f"sampler {sampler}, seed {seed}, {error}") from None
            if out is not None:
                files.write_json(out / "config.json", asdict(config))
                files.write_csv(out / "results.csv", results.runs)
                files.write_csv(out / "epochs.csv", results.epochs)
                files.write_csv(out / "steps.csv", results.steps)
    if out is not None:
        plots.save(plots.compare(results.epochs, results.steps), out / "compare.png")
    return results


def summary(runs: Sequence[Row]) -> list[Row]:
    """One row per sampler: means over the seeds, and the paired difference to centralized.

    `difference` is the mean over seeds of accuracy minus that of centralized with the same seed;
    `low` and `high` bound it by Student's t at 95 %. What one seed cannot tell is None.
    """
    by_sampler: dict[str, list[Row]] = {}
    for row in runs:
        by_sampler.setdefault(row["sampler"], []).append(row)
    rows = []
    for sampler, group in by_sampler.items():
        accuracy = np.array([row["test_accuracy"] for row in group])
        row = {
            "sampler": sampler,
            "seeds": len(group),
            "test_accuracy": float(accuracy.mean()),
            "std": float(accuracy.std(ddof=1)) if len(group) > 1 else None,
            "difference": None,
            "low": None,
            "high": None,
            "mean_deviation": float(np.mean([row["mean_deviation"] for row in group])),
            "max_deviation": max(row["max_deviation"] for row in group),
            "num_steps": float(np.mean([row["num_steps"] for row in group])),
            "simulated_time": None
            if sampler == "centralized"
            else float(np.mean([row["simulated_time"] for row in group])),
            "megabytes": float(np.mean([row["megabytes"] for row in group])),
        }
        if sampler != "centralized" and "centralized" in by_sampler:
            centralized = [row["test_accuracy"] for row in by_sampler["centralized"]]
            row |= _paired(accuracy - centralized)
        rows.append(row)
    return rows


def _paired(differences: FloatArray) -> Row:
    from scipy.stats import t  # here, since it takes longer to import than all else together

    mean, count = float(differences.mean()), differences.size
    if count == 1:
        return {"difference": mean}
    half = float(t.ppf(0.975, count - 1) * differences.std(ddof=1) / count**0.5)
    return {"difference": mean, "low": mean - half, "high": mean + half}


def verdict(rows: Sequence[Row]) -> str:
    """One sentence that says what a summary shows about accuracy."""
    compared = [row for row in rows if row["low"] is not None]
    if not compared:
        return "A comparison needs centralized, another sampler, and at least two seeds."
    groups = {
        "no clear difference from centralized training": [
            r for r in compared if _level(r) and _narrow(r)
        ],
        "clearly below it": [row for row in compared if row["high"] < 0],
        "clearly above it": [row for row in compared if row["low"] > 0],
        "too few seeds to tell": [r for r in compared if _level(r) and not _narrow(r)],
    }
    parts = [f"{says}: {', '.join(map(_points, group))}" for says, group in groups.items() if group]
    return f"Accuracy over {compared[0]['seeds']} seeds, {'; '.join(parts)}."


def _level(row: Row) -> bool:
    return bool(row["low"] <= 0 <= row["high"])


def _narrow(row: Row) -> bool:
    return bool(row["high"] - row["low"] <= TELLING)


def _points(row: Row) -> str:
    difference, low, high = (100 * row[key] for key in ("difference", "low", "high"))
    return f"{row['sampler']} {difference:+.1f} points (95 % interval {low:+.1f} to {high:+.1f})"
