"""Batch deviation over an epoch, before anything is trained: exact, simulated, bounded."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pslref import check, files, theory
from pslref.app.clients import Table, planned_for, told_with
from pslref.app.config import Config
from pslref.app.grids import Row
from pslref.app.scenario import dataset_of, draw_steps
from pslref.app.tables import rows_of
from pslref.check import FloatArray, IntArray
from pslref.sampling import Steps
from pslref.sampling.walks import demanded

NO_BOUNDS: Row = {"serfling": None, "l1_bound": None}
SIMULATIONS = 200  # of the epoch of each schedule
OUTSIDE = 0.05  # what is drawn as a band or a bound holds for a step with probability 0.95


def deviation(
    configs: Sequence[Config],
    table: Table | None = None,
    *,
    out: Path | None = None,
    figures: str = "png",
) -> tuple[list[Row], list[Row]]:
    """Batch deviation over the steps of one epoch per sampler: exact, simulated and bounded.

    Args:
        configs: what to plan, one for each sampler.
        table: for whom, instead of the clients that the configs draw.
        out: a folder for deviation.csv, summary.csv, config.json and deviation.png.
        figures: png, pdf or svg.

    Returns:
        A row per sampler and step with `batch_size`, `expected` (exact, given the schedule),
        `low` and `high` (2.5 and 97.5 % of the simulations). And a row per sampler with
        `num_steps`; `mean_deviation` and `tail_deviation` (the last tenth of the steps) of the
        expected ones; `max_deviation`, the largest Δ of an epoch, in the mean over the simulations;
        `first_empty`, how many steps it takes until the first client has no samples left; and for
        UGS `serfling` and `l1_bound`, which a full batch's Δ exceeds with probability 0.05 at most.
    """
    check.one_of("figures", figures, files.FIGURES)
    names = ["config.json", "deviation.csv", "summary.csv", f"deviation.{figures}"]
    files.check_outputs(("out", out, names))
    if out is not None:  # it takes long; now, since a matplotlibrc may forbid it
        from pslref.app import pictures, plots
    steps: list[Row] = []
    rows: list[Row] = []
    for config, clients, streams in planned_for(configs, table or dataset_of(configs[0])):
        schedule = draw_steps(config, clients, streams["schedule"]).kept()
        expected = theory.expected_deviation(schedule, clients.class_counts)
        simulated = simulate(schedule, clients.class_counts, streams["clients"], SIMULATIONS)
        low, high = np.quantile(simulated, [OUTSIDE / 2, 1 - OUTSIDE / 2], axis=0)
        columns = {
            "sampler": [config.sampler] * schedule.num_steps,
            "step": range(schedule.num_steps),
            "batch_size": [int(counts.sum()) for _, counts in schedule],
            "expected": expected.tolist(),
            "low": low.tolist(),
            "high": high.tolist(),
        }
        steps += rows_of(columns)
        found = shape(schedule, expected, simulated)
        bounded = config.sampler == "ugs" and len(clients.classes) > 1
        rows.append(
            {"sampler": config.sampler, **found}
            | (_bounds(clients.class_counts, config.batch_size) if bounded else NO_BOUNDS)
        )
    if out is not None:
        files.write_json(out / "config.json", told_with(configs, table))
        files.write_csv(out / "deviation.csv", steps)
        files.write_csv(out / "summary.csv", rows)
        pictures.save(plots.deviation(steps, rows), out / f"deviation.{figures}")
    return steps, rows


def simulate(
    schedule: Steps, class_counts: IntArray, rng: np.random.Generator, num_simulations: int
) -> FloatArray:
    """Measure Δ of every step in epochs whose clients shuffle honestly: (num_simulations, T).

    Where the classes are prescribed no shuffle changes anything, and all rows are the same.
    """
    asked, num_classes = list(demanded(schedule)), class_counts.shape[1]
    mix = class_counts.sum(axis=0) / class_counts.sum()
    if asked[0][1].shape[1] == num_classes:
        brought = np.array([counts.sum(axis=0) for _, counts in asked])
        return np.tile(theory.batch_deviation(brought, mix), (num_simulations, 1))
    # Samples and places, client by client: each shuffles its own, and uses them in this order.
    clients = np.concatenate([clients for clients, _ in asked])
    counts = np.concatenate([counts[:, 0] for _, counts in asked])
    steps = np.repeat(np.arange(len(asked)), [clients.size for clients, _ in asked])
    order = np.argsort(clients, kind="stable")
    step_of_place = np.repeat(steps[order], counts[order])
    owners = np.repeat(np.arange(len(class_counts)), class_counts.sum(axis=1))
    labels = np.repeat(np.tile(np.arange(num_classes), len(class_counts)), class_counts.ravel())
    measured = np.empty((num_simulations, len(asked)))
    for row in measured:
        shuffled = labels[np.argsort(owners + rng.random(labels.size))]
        cells = step_of_place * num_classes + shuffled
        brought = np.bincount(cells, minlength=measured.shape[1] * num_classes)
        row[:] = theory.batch_deviation(brought.reshape(-1, num_classes), mix)
    return measured


def shape(schedule: Steps, expected: FloatArray, simulated: FloatArray) -> Row:
    """The length of an epoch, and its deviation in the mean, at worst, and at the end.

    The largest is E max_t Δ_t. With class targets it is known, since no shuffle changes a class
    count; with other schedules max_t E Δ_t would be smaller, and not be comparable with it.
    """
    num_steps = schedule.num_steps
    tail = -(-num_steps // 10)
    last = {k: step for step, (clients, _) in enumerate(schedule) for k in clients.tolist()}
    return {
        "num_steps": num_steps,
        "mean_deviation": float(expected.mean()),
        # Simulated, but E max_t Δ_t is never less than max_t E Δ_t, which is exact.
        "max_deviation": max(float(simulated.max(axis=1).mean()), float(expected.max())),
        "tail_deviation": float(expected[-tail:].mean()),
        "first_empty": min(last.values()) + 1,
    }


def _bounds(class_counts: IntArray, batch_size: int) -> Row:
    """What Δ of a full UGS batch exceeds with probability 0.05 at most, by two bounds."""
    total, num_classes = int(class_counts.sum()), class_counts.shape[1]
    each = theory.serfling_eps(OUTSIDE / num_classes, batch_size, total)
    return {
        "serfling": num_classes * each,  # every class within its own bound, by the union over them
        "l1_bound": theory.deviation_eps(OUTSIDE, batch_size, total, num_classes),
    }
