"""What each schedule would cost: time against deviation, and bytes, before anything is trained."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from pslref import check, files, theory
from pslref.app.clients import Table, planned_for, time_unit_of, told_with
from pslref.app.config import Config
from pslref.app.deviation import OUTSIDE, SIMULATIONS, shape, simulate
from pslref.app.grids import SETTINGS, Row, labels
from pslref.app.runs import run
from pslref.app.scenario import (
    Clients,
    assigned,
    dataset_of,
    draw_steps,
    network,
    random_streams,
)
from pslref.app.tables import summary
from pslref.data import Dataset
from pslref.sampling import Steps
from pslref.split import epoch_time, straggler_delays, traffic

FEW_SIMULATIONS = 20  # where a mean is all that is asked
PLANNED = (
    *("num_steps", "epoch_time", "least_time", "above_least", "time_saved", "participants"),
    *("mean_deviation", "max_deviation", "tail_deviation", "high_deviation", "largest_batch"),
    *("megabytes", "megabytes_up", "megabytes_down", "stragglers", "test_accuracy"),
)
FRONTIER = ("epoch_time", "max_deviation", "megabytes")  # the less of each, the better


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
            seed, batch size and cut there is one of UGS, with which the others are compared.
        table: for whom, instead of the clients that the configs draw.
        accuracy: also train with each, as `compare` does; not with a table.
        out: a folder for plan.csv, config.json and plan.png.
        figures: png, pdf or svg.
        after_row: called after every row, for a progress bar.

    Returns:
        A row per config with what it is, as `SETTINGS` and `seed`; `stragglers`, how many clients
        are; `num_steps`; `largest_batch`, which FLS and FPLS may round above B; `participants` per
        step; `megabytes` that cross, also up and down, None if a table does not say what the
        network takes; `mean_deviation` and `tail_deviation` (the last tenth of the steps) of the
        exact expectations; `max_deviation`, the largest Δ of an epoch, in the mean over
        simulations of the clients' shuffles, and `high_deviation`, which it exceeds in 5 % of them;
        `epoch_time` in the unit of `clients.time_unit_of`; `least_time`, below which no schedule of
        such batches is that keeps to the largest Δ of this one, or to none where classes are drawn
        freely; `above_least`, by which share it is above that (None if that is 0);
        `time_saved` against UGS with the same batch size and cut, as a share of its time; and
        `test_accuracy` (None unless asked for).
    """
    if table is not None and accuracy:
        raise check.wrong("accuracy", accuracy, "must not be given beside table: it has no samples")
    if any(config.sampler == "centralized" for config in configs):
        raise check.wrong("sampler", "centralized", "must be another: it waits for nobody")
    check.one_of("figures", figures, files.FIGURES)
    files.check_outputs(("out", out, ["config.json", "plan.csv", f"plan.{figures}"]))
    if out is not None:  # it takes long; now, since a matplotlibrc may forbid it
        from pslref.app import pictures, plots
    rows, known = [], table or dataset_of(configs[0])
    least: dict[tuple[float, ...], float] = {}
    for config, clients, streams in planned_for(configs, known):
        of_run = labels(config)
        of_run["assign"] = of_run["assign"] and assigned(config, clients)
        label = {name: of_run[name] for name in (*SETTINGS, "seed")}
        found = _planned(config, clients, streams, least)
        drawn = table is None and config.links == "none"
        found["stragglers"] = _stragglers(config, len(clients.delays)) if drawn else None
        found["test_accuracy"] = None
        if accuracy and isinstance(known, Dataset):
            found["test_accuracy"] = run(config, known).runs[0]["test_accuracy"]
        rows.append(label | found)
        after_row()
    ugs = {_beside(row): row["epoch_time"] for row in rows if row["sampler"] == "ugs"}
    for row in rows:
        of_ugs = ugs[_beside(row)]
        row["time_saved"] = 1 - row["epoch_time"] / of_ugs if of_ugs else 0.0
    if out is not None:
        files.write_json(out / "config.json", told_with(configs, table))
        files.write_csv(out / "plan.csv", rows)
        picture = plots.plan(planned(rows), time_unit_of(configs[0].links, table))
        pictures.save(picture, out / f"plan.{figures}")
    return rows


def _beside(row: Row) -> tuple[int, ...]:
    """With which row of UGS one is compared."""
    return row["batch_size"], row["cut"], row["seed"]


def _planned(
    config: Config,
    clients: Clients,
    streams: dict[str, np.random.Generator],
    least: dict[tuple[float, ...], float],
) -> Row:
    """What one schedule costs; `least` keeps the least times by seed, cut, batch size and slack."""
    schedule = draw_steps(config, clients, streams["schedule"]).kept()
    expected = theory.expected_deviation(schedule, clients.class_counts)
    times = SIMULATIONS if config.sampler == "ugs" else FEW_SIMULATIONS
    simulated = simulate(schedule, clients.class_counts, streams["clients"], times)
    delays, costs = clients.delays, clients.sample_costs
    # FLS and FPLS may round it up, above B.
    largest = max(int(counts.sum()) for _, counts in schedule)
    size = max(largest, config.batch_size)
    slack = 2.0 if labels(config)["assign"] is None else min(2.0, float(simulated.max()))
    place = config.seed, config.cut, size, slack
    if place not in least:
        least[place] = theory.least_epoch_time(clients.class_counts, size, delays, costs, slack)
    of_server = float(clients.class_counts.sum() * clients.server_cost)  # for whatever schedule
    time, least_time = epoch_time(schedule, delays, costs) + of_server, least[place] + of_server
    return {
        "largest_batch": largest,
        "participants": float(np.mean([who.size for who, _ in schedule])),
        **_megabytes(schedule, config, clients, streams["weights"]),
        **shape(schedule, expected, simulated[:FEW_SIMULATIONS]),
        "high_deviation": float(np.quantile(simulated.max(axis=1), 1 - OUTSIDE)),
        "epoch_time": time,
        "least_time": least_time,
        "above_least": time / least_time - 1 if least_time > 0 else None,
    }


def _megabytes(schedule: Steps, config: Config, clients: Clients, rng: np.random.Generator) -> Row:
    """What crosses in an epoch, if it is known what the network takes."""
    if clients.input_shape is None:
        return dict.fromkeys(("megabytes", "megabytes_up", "megabytes_down"))
    net = network(config, clients.input_shape, len(clients.classes), rng)
    sent = traffic(schedule, net, config.cut, clients.input_shape)
    up, down = sent.up / 1e6, sent.down / 1e6
    return {"megabytes": up + down, "megabytes_up": up, "megabytes_down": down}


def _stragglers(config: Config, num_clients: int) -> int:
    """How many of the clients drawn are stragglers: the same draws, with nothing else to them."""
    rng = random_streams(config.seed)["delays"]
    return int(np.sum(straggler_delays(num_clients, rng, config.fraction, 2.0, 0.0) > 1))


def planned(rows: Sequence[Row]) -> list[Row]:
    """The rows of `plan`, one for each schedule over its seeds, and who is `pareto`.

    That is a row if no other of the same batch size is as good in epoch time, in max_deviation and,
    if they are known, in megabytes, and better in one of them, rounding apart. A row with batches
    above its batch size is none.
    """
    found = summary(rows, SETTINGS, PLANNED)
    for row in found:
        fair = [
            other
            for other in found
            if other["batch_size"] == row["batch_size"] >= other["largest_batch"]
        ]
        row["pareto"] = row in fair and not any(_is_better(other, row) for other in fair)
    return found


def _is_better(other: Row, row: Row) -> bool:
    """Whether another row is as good in all, and better in one."""
    costs = [(other[name], row[name]) for name in FRONTIER if row[name] is not None]
    as_good = all(theirs <= mine * (1 + 1e-9) for theirs, mine in costs)
    return as_good and any(theirs < mine * (1 - 1e-9) for theirs, mine in costs)


def recommended(rows: Sequence[Row], max_deviation: float | None = None) -> Row | None:
    """Of the rows of `planned` that are `pareto`, the fastest whose largest deviation is allowed.

    Of several that are as fast, to a thousandth, it is the one of the least deviation.

    Args:
        rows: with one of UGS for each batch size and cut.
        max_deviation: the largest Δ allowed; by default what an epoch of UGS with the same batch
            size exceeds with probability 0.05.

    Returns:
        The row, or None.
    """
    most = {row["batch_size"]: row["high_deviation"] for row in rows if row["sampler"] == "ugs"}
    if max_deviation is not None:
        most = dict.fromkeys(most, max_deviation)
    allowed = [
        row for row in rows if row["pareto"] and row["max_deviation"] <= most[row["batch_size"]]
    ]
    fastest = min((row["epoch_time"] for row in allowed), default=0.0)
    as_fast = [row for row in allowed if row["epoch_time"] <= fastest * 1.001]
    return min(as_fast, key=lambda row: row["max_deviation"], default=None)
