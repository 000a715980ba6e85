"""Runs over samplers and seeds, and what their numbers say."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pslref import data, files, nn, partition, plots, sampling
from pslref.check import FloatArray
from pslref.config import Config
from pslref.data import Dataset
from pslref.partition import Partition
from pslref.sampling import Schedule
from pslref.split import Diverged, Simulation, epoch_time, straggler_delays

Row = dict[str, Any]

TELLING = 0.2  # an interval wider than 20 points that holds 0 tells nothing
PURPOSES = ("partition", "weights", "schedule", "clients", "delays")  # one random stream each


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


def run(
    config: Config,
    dataset: Dataset,
    sampler: str,
    seed: int,
    after_epoch: Callable[[], object] = lambda: None,
) -> Results:
    """Train with one sampler and one seed."""
    results = Results()
    streams = random_streams(seed)
    part, delays = scenario(config, dataset, streams)
    empty_clients = int(np.sum(part.sizes == 0))
    if sampler == "centralized":  # one client that holds everything
        part = Partition([np.arange(len(dataset.y_train))], dataset.y_train)
        delays = np.zeros(1)
    simulation = Simulation(
        network(config, dataset, streams["weights"]),
        config.cut,
        dataset.x_train,
        dataset.y_train,
        part,
        config.learning_rate,
        config.momentum,
        config.weight_decay,
        rng=streams["clients"],
        execution="pooled",
    )
    labels = {"sampler": sampler, "seed": seed}
    records, times = [], []
    for epoch in range(config.epochs):
        schedule = draw_schedule(config, sampler, part, delays, streams["schedule"])
        try:
            records.append(simulation.run_epoch(schedule))
            times.append(epoch_time(schedule, delays))
        except Diverged as error:
            raise Diverged(f"epoch {epoch}, {error}") from None
        accuracy = simulation.evaluate(dataset.x_test, dataset.y_test)
        loss = float(records[-1].loss.mean())
        results.epochs.append(labels | {"epoch": epoch, "loss": loss, "test_accuracy": accuracy})
        after_epoch()
    first = zip(records[0].loss.tolist(), records[0].deviation.tolist(), strict=True)
    results.steps += [
        labels | {"step": step, "loss": loss, "deviation": deviation}
        for step, (loss, deviation) in enumerate(first)
    ]
    deviation = np.concatenate([record.deviation for record in records])
    bytes_per_epoch = records[0].bytes_up + records[0].bytes_down
    results.runs.append(
        labels
        | {
            "test_accuracy": results.epochs[-1]["test_accuracy"],
            "mean_deviation": float(deviation.mean()),
            "max_deviation": float(deviation.max()),
            "num_steps": len(records[0].loss),
            "simulated_time": None if sampler == "centralized" else float(np.mean(times)),
            "megabytes": 0.0 if sampler == "centralized" else bytes_per_epoch / 1e6,
            "empty_clients": empty_clients,
        }
    )
    return results


def random_streams(seed: int) -> dict[str, np.random.Generator]:
    """An independent stream for each purpose: another sampler never changes the partition."""
    children = np.random.SeedSequence(seed).spawn(len(PURPOSES))
    return dict(zip(PURPOSES, map(np.random.default_rng, children), strict=True))


def scenario(
    config: Config, dataset: Dataset, streams: dict[str, np.random.Generator]
) -> tuple[Partition, FloatArray]:
    """Who holds which samples, and the (K,) delays of the clients."""
    rng = streams["partition"]
    part = partition.by_name(config.partition, dataset.y_train, config.clients, rng)
    delays = straggler_delays(
        config.clients, streams["delays"], config.fraction, config.slowdown, config.jitter
    )
    return part, delays


def network(config: Config, dataset: Dataset, rng: np.random.Generator) -> nn.Network:
    """The uncut network that the config asks for."""
    shape, dtype = dataset.x_train.shape[1:], np.dtype(config.dtype)
    if config.model == "cnn":
        return nn.cnn(shape, dataset.num_classes, rng=rng, dtype=dtype)
    widths = [int(np.prod(shape)), *config.hidden, dataset.num_classes]
    return nn.mlp(widths, rng=rng, dtype=dtype)


def draw_schedule(
    config: Config, sampler: str, part: Partition, delays: FloatArray, rng: np.random.Generator
) -> Schedule:
    """The schedule of one epoch, drawn anew for each; centralized is UGS with one client."""
    if sampler == "fls":
        return sampling.fls(part.sizes, config.batch_size)
    if sampler == "fpls":
        return sampling.fpls(part.sizes, config.batch_size)
    if sampler == "lds":
        return sampling.lds(
            part.class_counts,
            config.batch_size,
            rng,
            remainder=config.remainder,
            delays=delays,
            delta=config.delta,
            concentration=config.concentration,
        )
    if sampler in ("targets", "stratified"):
        return sampling.targets(
            part.class_counts,
            config.batch_size,
            rng,
            delays=delays,
            draw="hypergeometric" if sampler == "targets" else "stratified",
            slack=config.slack,
            remainder=config.remainder,
        )
    return sampling.ugs(part.sizes, config.batch_size, rng, config.remainder)


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
