"""Runs over samplers and seeds, and what their numbers say."""

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pslref import check, checkpoints, files, versions
from pslref.check import FloatArray
from pslref.config import Config
from pslref.results import Results, Row, grouped, mean, spread
from pslref.runs import Run, run
from pslref.scenario import dataset_of
from pslref.split import Diverged

if TYPE_CHECKING:
    from pslref import plots

TABLES = ("config.json", "results.csv", "epochs.csv", "steps.csv")
MOST_RUNS = 100_000
MEANS = (
    *("test_accuracy", "mean_deviation", "num_steps", "simulated_time", "megabytes"),
    "unreachable",
)


def compare(
    config: Config,
    *,
    out: Path | None = None,
    figures: str = "png",
    after_epoch: Callable[[], object] = lambda: None,
) -> Results:
    """Train one network with each sampler; all samplers of one seed share partition and weights.

    Args:
        config: what to run. With `faults` each run is made once for each share of clients to
            lose (`Run`); its rows name the share, the samples per epoch that were `unreachable`,
            and the steps `aborted`.
        out: a folder for results.csv, epochs.csv, steps.csv, config.json and compare.png, or
            faults.png; the tables are written anew after every run.
        figures: png, pdf or svg.
        after_epoch: called after every epoch of every run, for a progress bar.

    Raises:
        ValueError: for a config that cannot be run.
        Diverged: if a loss stops being finite; the runs before it are written.
    """
    check.one_of("figures", figures, files.FIGURES)
    drawn = f"{'faults' if config.faults else 'compare'}.{figures}"
    files.check_outputs(("out", out, [*TABLES, drawn]))
    if out is not None:  # it takes long; now, since a matplotlibrc may forbid it
        from pslref import plots
    dataset = dataset_of(config)
    results = Results()
    for seed, sampler, lost in runs_of(config):
        try:
            results.add(run(config, dataset, sampler, seed, lost, after_epoch))
        except Diverged as error:
            raise Diverged(f"sampler {sampler}, seed {seed}, {error}") from None
        if out is not None:
            _write(out, config, results)
    if out is not None:
        if config.faults:
            picture = _accuracy_and_deviation(summary(results.runs))
        else:
            picture = plots.compare(results.epochs, results.steps)
        plots.save(picture, out / drawn)
    return results


def runs_of(config: Config) -> list[tuple[int, str, float | None]]:
    """The runs of `compare`: seed, sampler, share of clients lost; centralized has none to lose."""
    faults: Sequence[float | None] = config.faults or [None]
    count = config.seeds * len(config.sampler) * len(faults)
    check.integer("seeds * samplers * faults", count, 1, MOST_RUNS)
    return [
        (seed, sampler, lost)
        for seed in range(config.seed, config.seed + config.seeds)
        for sampler in config.sampler
        for lost in ([0.0] if config.faults and sampler == "centralized" else faults)
    ]


def _accuracy_and_deviation(rows: Sequence[Row]) -> "plots.Picture":
    """Both against the share of lost clients, means over the seeds."""
    from pslref import plots

    shares = sorted({row["faults"] for row in rows})

    def panel(title: str, name: str, unit: float) -> plots.Panel:
        lines: dict[str, tuple[list[float], list[float]]] = {}
        for row in sorted(rows, key=lambda row: row["faults"]):
            places = shares if row["sampler"] == "centralized" else [row["faults"]]
            x, y = lines.setdefault(row["sampler"], ([], []))
            x += [100 * share for share in places]
            y += [unit * row[name]] * len(places)
        return plots.Panel(title, "clients lost by the end, %", "mean over the seeds", lines)

    return plots.curves(
        panel("test accuracy in %", "test_accuracy", 100),
        panel("mean batch deviation Δ", "mean_deviation", 1),
    )


def train(
    config: Config,
    *,
    checkpoint: Path | None = None,
    every: int | None = None,
    resume: bool = False,
    out: Path | None = None,
    after_step: Callable[[Run, float], object] = lambda run, epochs_done: None,
    stop: Callable[[], bool] = lambda: False,
) -> Run:
    """Train with one sampler and one seed; with checkpoints it can be ended and taken up again.

    What it does is to the bit what `compare` does for this sampler and seed, in one piece or in
    many.

    Args:
        config: what to run; of `seeds` only the first.
        checkpoint: a folder for checkpoint.npz, written at the end and after every epoch.
        every: write it after every so many steps instead.
        resume: go on from the checkpoint if there is one; without it, an existing one is an error.
        out: a folder for results.csv, epochs.csv, steps.csv, config.json and, of the trained whole,
            weights.npz; written at the end.
        after_step: called after every step with the run and the epochs done, such as 1.25.
        stop: asked after every step; if true, the checkpoint is written and the run is left.

    Returns:
        The run; `finished`, unless it was left.

    Raises:
        ValueError: for a config that cannot be run or is not that of the checkpoint, and for a
            checkpoint that is damaged; nothing is overwritten.
        Diverged: if a loss stops being finite; the last checkpoint is that of an earlier step.
    """
    if len(config.sampler) != 1:
        raise check.wrong("sampler", config.sampler, "must name one sampler to train with")
    if len(config.faults) > 1:
        raise check.wrong("faults", config.faults, "must be one share to train with")
    config = replace(config, seeds=1)
    if every is not None:
        check.integer("every", every, 1)
    path = None if checkpoint is None else checkpoint / checkpoints.NAME
    if path is None and (resume or every is not None):
        raise check.wrong("checkpoint", path, "must be a folder, if every or resume is given")
    _check_checkpoint(config, path, resume)
    files.check_outputs(
        ("out", out, [*TABLES, "weights.npz"]), ("checkpoint", checkpoint, [checkpoints.NAME])
    )
    dataset = dataset_of(config)
    lost = config.faults[0] if config.faults else None
    run = Run(config, dataset, config.sampler[0], config.seed, lost)
    with files.held(checkpoint, "checkpoint"):
        _take_up(run, path, resume)
        for epochs_done in run.steps():
            stopped = stop()
            due = epochs_done.is_integer() if every is None else run.num_steps % every == 0
            if path is not None and (due or stopped or run.finished):
                checkpoints.write(path, run)
            after_step(run, epochs_done)
            if stopped:
                break
    if out is not None and run.finished:
        _write(out, config, run.results())
        files.write_npz(out / "weights.npz", run.simulation.net.parameters())
    return run


def _check_checkpoint(config: Config, path: Path | None, resume: bool) -> bool:
    """Whether there is a checkpoint at `path`; it must be one to go on from."""
    if path is None or not os.path.lexists(path):
        return False
    if not resume:
        allowed = f"must be a folder without {path.name}, or go on from there with resume"
        raise check.wrong("checkpoint", str(path.parent), allowed)
    checkpoints.check_config(path, config)
    return True


def _take_up(run: Run, path: Path | None, resume: bool) -> None:
    """Put a run where the checkpoint at `path`, if there is one, left it."""
    if path is not None and _check_checkpoint(run.config, path, resume):
        checkpoints.resume(path, run)  # checked again: nobody else can write one now


def _write(out: Path, config: Config, results: Results) -> None:
    files.write_json(out / "config.json", asdict(config) | {"made_by": versions.MADE_BY})
    files.write_csv(out / "results.csv", results.runs)
    files.write_csv(out / "epochs.csv", results.epochs)
    files.write_csv(out / "steps.csv", results.steps)


def summary(runs: Sequence[Row]) -> list[Row]:
    """One row per sampler and share of lost clients: means over the seeds.

    `max_deviation` is the largest Δ measured in any step of any seed. `difference` is the mean
    over seeds of accuracy minus that of centralized with the same seed; `low` and `high` bound it
    at 95 %, as `interval` does. What one seed cannot tell is None.
    """
    centralized = [row["test_accuracy"] for row in runs if row["sampler"] == "centralized"]
    rows = []
    for group in grouped(runs, "sampler", "faults"):
        row: Row = {
            "sampler": group[0]["sampler"],
            "faults": group[0].get("faults"),
            "seeds": len(group),
            "std": spread(group, "test_accuracy"),
            **dict.fromkeys(("difference", "low", "high")),
            **{name: mean(group, name) for name in MEANS},
            "max_deviation": max(row["max_deviation"] for row in group),
        }
        if row["sampler"] != "centralized" and centralized:
            differences = np.array([row["test_accuracy"] for row in group]) - centralized
            row["difference"] = float(differences.mean())
            if len(group) > 1:
                row["low"], row["high"] = interval(differences, group[0]["test_images"])
        rows.append(row)
    return rows


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


def verdict(rows: Sequence[Row]) -> str:
    """One sentence that says what a summary shows about accuracy."""
    compared = [row for row in rows if row["low"] is not None]
    if not compared:
        return "A comparison needs centralized, another sampler, and at least two seeds."
    hidden = "not told apart from it, but a difference of up to so many points could be hidden"
    groups = {
        "clearly below it": [_points(row) for row in compared if row["high"] < 0],
        "clearly above it": [_points(row) for row in compared if row["low"] > 0],
        hidden: [
            f"{row['sampler']} {100 * max(-row['low'], row['high']):.1f}"
            for row in compared
            if row["low"] <= 0 <= row["high"]
        ],
    }
    parts = [f"{says}: {', '.join(found)}" for says, found in groups.items() if found]
    seeds = compared[0]["seeds"]
    return f"Accuracy over {seeds} seeds beside centralized training, {'; '.join(parts)}."


def _points(row: Row) -> str:
    difference, low, high = (100 * row[key] for key in ("difference", "low", "high"))
    return f"{row['sampler']} {difference:+.1f} points (95 % interval {low:+.1f} to {high:+.1f})"
