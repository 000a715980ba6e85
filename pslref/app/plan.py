"""What a schedule will do, before anything is trained: its deviation and its time."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from pslref import check, files, theory
from pslref.app.clients import Table, described_with, planned_for
from pslref.app.config import Config
from pslref.app.grids import Row, labels
from pslref.app.runs import run
from pslref.app.scenario import (
    Clients,
    dataset_of,
    draw_schedule,
    made_by,
    network,
    random_streams,
)
from pslref.app.tables import summary
from pslref.check import FloatArray, IntArray
from pslref.sampling import Schedule
from pslref.split import epoch_time, straggler_delays, traffic

NO_BOUNDS: Row = {"serfling": None, "l1_bound": None}
SIMULATIONS, FEW_SIMULATIONS = 200, 20  # of a schedule's epoch: for its quantiles, for its mean
OUTSIDE = 0.05  # what is drawn as a band or a bound holds for a step with probability 0.95
SETTINGS = ("sampler", "batch_size", "delta", "concentration", "slack", "assign")
PLANNED = (
    *("num_steps", "epoch_time", "least_time", "time_saved", "participants"),
    *("mean_deviation", "max_deviation", "tail_deviation", "high_deviation"),
    *("megabytes", "megabytes_up", "megabytes_down", "stragglers", "test_accuracy"),
)


def deviation(
    configs: Sequence[Config],
    table: Table | None = None,
    *,
    out: Path | None = None,
    figures: str = "png",
    num_simulations: int = SIMULATIONS,
) -> tuple[list[Row], list[Row]]:
    """Batch deviation over the steps of one epoch per sampler: exact, simulated and bounded.

    Args:
        configs: what to plan, one for each sampler.
        table: for whom, instead of the clients that the configs draw.
        out: a folder for deviation.csv, summary.csv, config.json and deviation.png.
        figures: png, pdf or svg.
        num_simulations: how often all clients shuffle their samples for the simulated band.

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
    for config, clients, streams in planned_for(configs, table):
        schedule = draw_schedule(config, clients, streams["schedule"])
        expected = theory.expected_deviation(schedule, clients.class_counts)
        simulated = simulate(schedule, clients.class_counts, streams["clients"], num_simulations)
        low, high = np.quantile(simulated, [OUTSIDE / 2, 1 - OUTSIDE / 2], axis=0)
        columns = {
            "step": range(schedule.num_steps),
            "batch_size": schedule.batch_sizes.sum(axis=1).tolist(),
            "expected": expected.tolist(),
            "low": low.tolist(),
            "high": high.tolist(),
        }
        for values in zip(*columns.values(), strict=True):
            steps.append({"sampler": config.sampler} | dict(zip(columns, values, strict=True)))
        bounds = _bounds(clients.class_counts, config.batch_size)
        found = _shape(schedule, expected, simulated)
        rows.append(
            {"sampler": config.sampler, **found}
            | (bounds if config.sampler == "ugs" else NO_BOUNDS)
        )
    if out is not None:
        asked = described_with(configs, table) | {"made_by": made_by(configs[0])}
        files.write_json(out / "config.json", asked)
        files.write_csv(out / "deviation.csv", steps)
        files.write_csv(out / "summary.csv", rows)
        pictures.save(plots.deviation(steps, rows), out / f"deviation.{figures}")
    return steps, rows


def simulate(
    schedule: Schedule, class_counts: IntArray, rng: np.random.Generator, num_simulations: int
) -> FloatArray:
    """Measure Δ of every step in epochs whose clients shuffle honestly: (num_simulations, T)."""
    total, (num_clients, num_classes) = int(class_counts.sum()), class_counts.shape
    num_steps, _, groups = schedule.demands().shape
    owners = np.repeat(np.arange(num_clients), schedule.sizes)
    classes = np.tile(np.arange(num_classes), num_clients)
    labels = np.repeat(classes, class_counts.ravel())  # sorted by owner, as owners are
    asked_together = owners * groups + np.minimum(labels, groups - 1)
    taken_in = np.tile(np.arange(num_steps), num_clients * groups)
    step_of_place = np.repeat(taken_in, schedule.demands().reshape(num_steps, -1).T.ravel())
    measured = np.empty((num_simulations, num_steps))
    for row in measured:
        # Each client shuffles its own, or those of each class, where it is asked for these.
        shuffled = labels[np.argsort(asked_together + rng.random(total))]
        cells = np.bincount(
            step_of_place * num_classes + shuffled, minlength=num_steps * num_classes
        )
        row[:] = theory.batch_deviation(
            cells.reshape(-1, num_classes), class_counts.sum(axis=0) / total
        )
    return measured


def plan(
    configs: Sequence[Config],
    table: Table | None = None,
    *,
    accuracy: bool = False,
    out: Path | None = None,
    figures: str = "png",
    after_row: Callable[[], object] = lambda: None,
) -> list[Row]:
    """Time against deviation of every schedule, beside the least time that any could take.

    Args:
        configs: what to plan; every seed draws a split, delays and schedules of its own. For each
            seed and batch size there is one of UGS, with which the others are compared.
        table: for whom, instead of the clients that the configs draw.
        accuracy: also train with each, as `compare` does; not with a table.
        out: a folder for plan.csv, config.json and plan.png.
        figures: png, pdf or svg.
        after_row: called after every row, for a progress bar.

    Returns:
        A row per config with what it is, as `SETTINGS` and `seed`; `stragglers`, how many clients
        are; `num_steps`; `participants` per step; `megabytes` that cross, also up and down, None if
        a table does not say what the network takes; `mean_deviation` and `tail_deviation` (the last
        tenth of the steps) of the exact expectations; `max_deviation`, the largest Δ of an epoch,
        in the mean over simulations of the clients' shuffles, and `high_deviation`, which it
        exceeds in 5 % of them; `epoch_time` in units of the fastest possible client's delay;
        `least_time`, below which no schedule of such batches is; `time_saved` against UGS with the
        same batch size, as a share of its time; and `test_accuracy` (None unless asked for).
    """
    check.one_of("figures", figures, files.FIGURES)
    files.check_outputs(("out", out, ["config.json", "plan.csv", f"plan.{figures}"]))
    if out is not None:  # it takes long; now, since a matplotlibrc may forbid it
        from pslref.app import pictures, plots
    rows = []
    least: dict[tuple[int, int], float] = {}
    for config, clients, streams in planned_for(configs, table):
        label = {name: labels(config)[name] for name in (*SETTINGS, "seed")}
        found = _planned(config, clients, streams, least)
        found["stragglers"] = None if table else _stragglers(config)
        trained = run(config, dataset_of(config)).runs[0]["test_accuracy"] if accuracy else None
        rows.append(label | found | {"test_accuracy": trained})
        after_row()
    ugs = {(r["batch_size"], r["seed"]): r["epoch_time"] for r in rows if r["sampler"] == "ugs"}
    for row in rows:
        row["time_saved"] = 1 - row["epoch_time"] / ugs[row["batch_size"], row["seed"]]
    if out is not None:
        asked = described_with(configs, table) | {"made_by": made_by(configs[0])}
        files.write_json(out / "config.json", asked)
        files.write_csv(out / "plan.csv", rows)
        pictures.save(plots.plan(planned(rows)), out / f"plan.{figures}")
    return rows


def _planned(
    config: Config,
    clients: Clients,
    streams: dict[str, np.random.Generator],
    least: dict[tuple[int, int], float],
) -> Row:
    """What one schedule costs; `least` keeps the least times by seed and batch size."""
    schedule = draw_schedule(config, clients, streams["schedule"])
    expected = theory.expected_deviation(schedule, clients.class_counts)
    times = SIMULATIONS if config.sampler == "ugs" else FEW_SIMULATIONS
    simulated = simulate(schedule, clients.class_counts, streams["clients"], times)
    delays, costs = clients.delays, clients.sample_costs
    largest = int(schedule.batch_sizes.sum(axis=1).max())  # FLS and FPLS may round it up, above B
    place = config.seed, max(largest, config.batch_size)
    if place not in least:
        least[place] = theory.least_epoch_time(clients.class_counts, place[1], delays, costs)
    return {
        "participants": float(np.mean(np.sum(schedule.batch_sizes > 0, axis=1))),
        **_megabytes(schedule, config, clients, streams["weights"]),
        **_shape(schedule, expected, simulated[:FEW_SIMULATIONS]),
        "high_deviation": float(np.quantile(simulated.max(axis=1), 1 - OUTSIDE)),
        "epoch_time": epoch_time(schedule, delays, costs),
        "least_time": least[place],
    }


def _megabytes(
    schedule: Schedule, config: Config, clients: Clients, rng: np.random.Generator
) -> Row:
    """What crosses in an epoch, if it is known what the network takes."""
    if clients.input_shape is None:
        return dict.fromkeys(("megabytes", "megabytes_up", "megabytes_down"))
    net = network(config, clients.input_shape, len(clients.classes), rng)
    sent = traffic(schedule, net, config.cut, clients.input_shape)
    up, down = sent.up / 1e6, sent.down / 1e6
    return {"megabytes": up + down, "megabytes_up": up, "megabytes_down": down}


def _stragglers(config: Config) -> int:
    """How many of the clients drawn are stragglers: the same draws, with nothing else to them."""
    rng = random_streams(config.seed)["delays"]
    return int(np.sum(straggler_delays(config.clients, rng, config.fraction, 2.0, 0.0) > 1))


def planned(rows: Sequence[Row]) -> list[Row]:
    """The rows of `plan`, one for each schedule over its seeds, and who is `pareto`.

    That is a row if no other of the same batch size is as good in epoch time and in max_deviation,
    and better in one of them.
    """
    found = summary(rows, SETTINGS, PLANNED)

    def cost(row: Row) -> tuple[float, float]:
        return row["epoch_time"], row["max_deviation"]

    for row in found:
        others = [cost(other) for other in found if other["batch_size"] == row["batch_size"]]
        time, deviation = cost(row)
        row["pareto"] = not any(
            other != (time, deviation) and other[0] <= time and other[1] <= deviation
            for other in others
        )
    return found


def recommended(rows: Sequence[Row], max_deviation: float | None = None) -> Row | None:
    """Of the rows of `planned` the fastest whose largest deviation is allowed, or None.

    Args:
        rows: with one of UGS for each batch size.
        max_deviation: the largest Δ allowed; by default what an epoch of UGS with the same batch
            size exceeds with probability 0.05.
    """
    most = {row["batch_size"]: row["high_deviation"] for row in rows if row["sampler"] == "ugs"}
    if max_deviation is not None:
        most = dict.fromkeys(most, max_deviation)
    allowed = [row for row in rows if row["max_deviation"] <= most[row["batch_size"]]]
    return min(allowed, key=lambda row: row["epoch_time"], default=None)


def _shape(schedule: Schedule, expected: FloatArray, simulated: FloatArray) -> Row:
    """The length of an epoch, and its deviation in the mean, at worst, and at the end.

    The largest is E max_t Δ_t. With class targets it is known, since no shuffle changes a class
    count; with other schedules max_t E Δ_t would be smaller, and not be comparable with it.
    """
    left = schedule.sizes - np.cumsum(schedule.batch_sizes, axis=0)
    last_tenth = -(-schedule.num_steps // 10)
    ran_out = np.flatnonzero(((left == 0) & (schedule.sizes > 0)).any(axis=1))
    return {
        "num_steps": schedule.num_steps,
        "mean_deviation": float(expected.mean()),
        # Simulated, but E max_t Δ_t is never less than max_t E Δ_t, which is exact.
        "max_deviation": max(float(simulated.max(axis=1).mean()), float(expected.max())),
        "tail_deviation": float(expected[-last_tenth:].mean()),
        "first_empty": int(ran_out[0]) + 1,
    }


def _bounds(class_counts: IntArray, batch_size: int) -> Row:
    """What Δ of a full UGS batch exceeds with probability 0.05 at most, by two bounds."""
    total, num_classes = int(class_counts.sum()), class_counts.shape[1]
    each = theory.serfling_eps(OUTSIDE / num_classes, batch_size, total)
    return {
        "serfling": num_classes * each,  # every class within its own bound, by the union over them
        "l1_bound": theory.deviation_eps(OUTSIDE, batch_size, total, num_classes),
    }
