"""What a schedule will do, before anything is trained: its deviation and its time."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from pslref import check, files, sampling, theory, versions
from pslref.check import FloatArray
from pslref.config import Config
from pslref.partition import Partition
from pslref.results import Row, grouped, mean
from pslref.runs import run
from pslref.sampling import Schedule
from pslref.scenario import dataset_of, draw_schedule, random_streams, scenario
from pslref.split import epoch_time

TARGETS = ("targets", "stratified")
NO_BOUNDS: Row = {"serfling": None, "l1_bound": None}
MOST_COMBINATIONS = 10_000
MOST_ROWS = 5_000_000  # a row of a schedule takes some 200 bytes
SIMULATIONS = 20  # of the epoch of each schedule of stragglers
OUTSIDE = 0.05  # what is drawn as a band or a bound holds for a step with probability 0.95


def schedules(config: Config, *, out: Path | None = None) -> list[Row]:
    """Who brings how many samples: a row per sampler, epoch, step and participating client.

    Args:
        config: what to plan.
        out: a folder for schedule.csv.
    """
    files.check_outputs(("out", out, ["schedule.csv"]))
    dataset = dataset_of(config)
    most = MOST_ROWS // (len(config.sampler) * dataset.y_train.size)
    check.integer("epochs", config.epochs, 1, most)
    rows = []
    for sampler in config.sampler:
        streams = random_streams(config.seed)
        part, delays = scenario(config, dataset, streams)
        for epoch in range(config.epochs):
            schedule = draw_schedule(
                config, sampler, part.class_counts, delays, streams["schedule"]
            )
            for step, (clients, counts) in enumerate(schedule.steps()):
                place = {"sampler": sampler, "epoch": epoch, "step": step}
                pairs = zip(clients.tolist(), counts.tolist(), strict=True)
                rows += [place | {"client": client, "samples": count} for client, count in pairs]
    if out is not None:
        files.write_csv(out / "schedule.csv", rows)
    return rows


def deviation(
    config: Config, *, out: Path | None = None, figures: str = "png", num_simulations: int = 200
) -> tuple[list[Row], list[Row]]:
    """Batch deviation over the steps of one epoch per sampler: exact, simulated and bounded.

    Args:
        config: what to plan; its seed draws the split and the schedules.
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
        from pslref import plots
    dataset = dataset_of(config)
    steps: list[Row] = []
    summary: list[Row] = []
    for sampler in config.sampler:
        streams = random_streams(config.seed)
        part, delays = scenario(config, dataset, streams)
        schedule = draw_schedule(config, sampler, part.class_counts, delays, streams["schedule"])
        expected = theory.expected_deviation(schedule, part.class_counts)
        simulated = simulate(schedule, part, streams["clients"], num_simulations)
        low, high = np.quantile(simulated, [OUTSIDE / 2, 1 - OUTSIDE / 2], axis=0)
        columns = {
            "step": range(schedule.num_steps),
            "batch_size": schedule.batch_sizes.sum(axis=1).tolist(),
            "expected": expected.tolist(),
            "low": low.tolist(),
            "high": high.tolist(),
        }
        for values in zip(*columns.values(), strict=True):
            steps.append({"sampler": sampler} | dict(zip(columns, values, strict=True)))
        bounds = _bounds(part, config.batch_size) if sampler == "ugs" else {}
        shape = _shape(schedule, expected, simulated)
        summary.append({"sampler": sampler, **shape, **NO_BOUNDS, **bounds})
    if out is not None:
        files.write_json(out / "config.json", asdict(config) | {"made_by": versions.MADE_BY})
        files.write_csv(out / "deviation.csv", steps)
        files.write_csv(out / "summary.csv", summary)
        plots.save(plots.deviation(steps, summary), out / f"deviation.{figures}")
    return steps, summary


def simulate(
    schedule: Schedule, part: Partition, rng: np.random.Generator, num_simulations: int
) -> FloatArray:
    """Measure Δ of every step in epochs whose clients shuffle honestly: (num_simulations, T)."""
    total, (num_clients, num_classes) = int(part.sizes.sum()), part.class_counts.shape
    num_steps, _, groups = schedule.demands().shape
    owners = np.repeat(np.arange(num_clients), part.sizes)
    classes = np.tile(np.arange(num_classes), num_clients)
    labels = np.repeat(classes, part.class_counts.ravel())  # sorted by owner, as owners are
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
            cells.reshape(-1, num_classes), part.class_counts.sum(axis=0) / total
        )
    return measured


def stragglers(
    config: Config,
    grid: Sequence[tuple[str, Config]],
    *,
    accuracy: bool = False,
    out: Path | None = None,
    figures: str = "png",
    after_row: Callable[[], object] = lambda: None,
) -> list[Row]:
    """Time against deviation: the samplers, LDS for each δ and c, and the bound on the time.

    Args:
        config: what to plan; every seed draws a split, delays and schedules of its own.
        grid: what to run for each seed, from `straggler_grid`.
        accuracy: also train with each schedule, as `compare` does.
        out: a folder for stragglers.csv, config.json and stragglers.png.
        figures: png, pdf or svg.
        after_row: called after every row, for a progress bar.

    Returns:
        A row per seed and schedule with `sampler`; `delta` and `concentration` (None but for
        LDS); `slack` and `assign` (None but for class targets); `seed`; `num_steps`;
        `mean_deviation` and `tail_deviation` (the last tenth of the steps) of the exact
        expectations; `max_deviation`, the largest Δ of an epoch, in the mean over 20 simulations
        of the clients' shuffles; `epoch_time` in units of the fastest possible client's delay;
        `time_saved` against UGS, as a share of its time; and `test_accuracy` (None unless asked
        for). The sampler "bound" is slowest first: no schedule of batches of at most B is faster,
        and nobody should train with it. With costs per sample that is not so, and it is left out.
    """
    check.one_of("figures", figures, files.FIGURES)
    names = ["config.json", "stragglers.csv", f"stragglers.{figures}"]
    files.check_outputs(("out", out, names))
    if out is not None:  # it takes long; now, since a matplotlibrc may forbid it
        from pslref import plots
    dataset = dataset_of(config)
    rows = []
    for seed in range(config.seed, config.seed + config.seeds):
        part, delays = scenario(config, dataset, random_streams(seed))
        time_of_ugs = None
        for sampler, chosen in grid:
            streams = random_streams(seed)
            rng = streams["schedule"]
            if sampler == "bound":
                schedule = sampling.slowest_first(part.sizes, delays, config.batch_size)
            else:
                schedule = draw_schedule(chosen, sampler, part.class_counts, delays, rng)
            expected = theory.expected_deviation(schedule, part.class_counts)
            simulated = simulate(schedule, part, streams["clients"], SIMULATIONS)
            time = epoch_time(schedule, delays, config.sample_cost * delays)
            time_of_ugs = time_of_ugs or time  # the grid begins with UGS
            trained = accuracy and sampler != "bound"
            rows.append(
                {
                    "sampler": sampler,
                    "delta": chosen.delta if sampler == "lds" else None,
                    "concentration": chosen.concentration if sampler == "lds" else None,
                    "slack": chosen.slack if sampler in TARGETS else None,
                    "assign": chosen.assign if sampler in TARGETS else None,
                    "seed": seed,
                    **_shape(schedule, expected, simulated),
                    "epoch_time": time,
                    "time_saved": 1 - time / time_of_ugs,
                    "test_accuracy": run(chosen, dataset, sampler, seed).runs[0]["test_accuracy"]
                    if trained
                    else None,
                }
            )
            after_row()
    if out is not None:
        asked = straggler_config(config, grid)
        files.write_json(out / "config.json", asked | {"made_by": versions.MADE_BY})
        files.write_csv(out / "stragglers.csv", rows)
        plots.save(plots.stragglers(rows), out / f"stragglers.{figures}")
    return rows


def straggler_grid(
    config: Config,
    deltas: Sequence[float],
    concentrations: Sequence[float],
    slacks: Sequence[float],
    assignments: Sequence[str],
) -> list[tuple[str, Config]]:
    """What `stragglers` runs for each seed: of config.sampler, after UGS, each with its config."""
    values = len(deltas) * len(concentrations) + len(slacks) * len(assignments)
    check.integer("combinations of values", values, 0, MOST_COMBINATIONS)
    fixed = [(name, config) for name in ("fls", "fpls") if name in config.sampler]
    lds = [
        ("lds", replace(config, delta=delta, concentration=concentration))
        for concentration in concentrations
        for delta in deltas
        if "lds" in config.sampler
    ]
    targets = [
        (name, replace(config, slack=slack, assign=assign))
        for name in TARGETS
        for assign in assignments
        for slack in slacks
        if name in config.sampler
    ]
    bound = [] if config.sample_cost else [("bound", config)]  # attained without such costs only
    return [("ugs", config), *fixed, *lds, *targets, *bound]


def straggler_config(config: Config, grid: Sequence[tuple[str, Config]]) -> Row:
    """The config of `stragglers`, with all the values of its options that the grid tries."""
    tried = {"delta": ("lds",), "concentration": ("lds",), "slack": TARGETS, "assign": TARGETS}
    return asdict(config) | {
        name: sorted({getattr(chosen, name) for sampler, chosen in grid if sampler in samplers})
        for name, samplers in tried.items()
    }


def mean_over_seeds(rows: Sequence[Row]) -> list[Row]:
    """The rows of `stragglers`, one for each schedule, with the means of their numbers."""
    names = ("mean_deviation", "max_deviation", "tail_deviation", "epoch_time", "time_saved")
    return [
        group[0] | {name: mean(group, name) for name in (*names, "test_accuracy")}
        for group in grouped(rows, "sampler", "delta", "concentration", "slack", "assign")
    ]


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


def _bounds(part: Partition, batch_size: int) -> Row:
    """What Δ of a full UGS batch exceeds with probability 0.05 at most, by two bounds."""
    total, num_classes = int(part.sizes.sum()), part.class_counts.shape[1]
    each = theory.serfling_eps(OUTSIDE / num_classes, batch_size, total)
    return {
        "serfling": num_classes * each,  # every class within its own bound, by the union over them
        "l1_bound": theory.deviation_eps(OUTSIDE, batch_size, total, num_classes),
    }
