"""Rows of results as they are printed."""

from collections.abc import Sequence
from math import floor, log10
from typing import TYPE_CHECKING

import numpy as np

from pslref.app.grids import Row

if TYPE_CHECKING:
    from pslref.app.scenario import Clients

MEASURED = "Δ is measured: max Δ is the largest of all steps, epochs and seeds."
PER_EPOCH = (
    "Steps, time (in {}) and MB are per epoch. MB count all that crosses, also gradients and "
    "weights of the client half."
)
EXPECTED = (
    "Δ is expected, given each schedule: mean Δ and the last tenth exactly; max Δ, the largest of "
    "an epoch's steps, by simulating its shuffles."
)
MOST_CLIENTS = 50  # of whom each has a row
DIGITS = 3  # of every Δ, so that rounding makes no mean larger than its maximum


def trained(row: Row, varying: Sequence[str] = ()) -> dict[str, str]:
    """A row of `compare.summarized` or `sweep.summarized`, with the fields that vary."""
    named = {name: "" if row[name] is None else str(row[name]) for name in varying}
    failed = "" if row["seeds"] else "failed"
    return {
        "sampler": row["sampler"],
        **named,
        "accuracy %": failed or _mean_and_std(row, "test_accuracy", 100, 1),
        "to centralized, 95 %": _interval(row),
        **_deviations(row),
        "steps": _fixed(row["num_steps"], 0),
        "time": _time(row["simulated_time"]),
        "clients a step": "" if row["sampler"] == "centralized" else _fixed(row["participants"], 1),
        "MB up": _megabytes(row["megabytes_up"]),
        "MB down": _megabytes(row["megabytes_down"]),
        "unreachable": _fixed(row["unreachable"], 0) if row["faults"] or row["unreachable"] else "",
        "time to target": _time(row.get("time_to_target")),
        "MB to target": _megabytes(row.get("megabytes_to_target")),
    }


def epoch(row: Row) -> str:
    """A row of `Results.epochs`."""
    accuracy = _percent(row["test_accuracy"])
    return f"epoch {row['epoch']}: loss {row['loss']:.4f}, accuracy {accuracy} %"


def deviation(row: Row) -> dict[str, str]:
    """A row of the summary of `deviation.deviation`."""
    return {
        "sampler": row["sampler"],
        **_deviations(row),
        "last tenth": _fixed(row["tail_deviation"], DIGITS),
        "a client is empty after": f"{row['first_empty']} steps",
        "steps": str(row["num_steps"]),
    }


def clients(known: "Clients") -> list[dict[str, str]]:
    """A row for each client or, of many, for the least, the median and the most of each column."""
    columns = {
        "samples": known.class_counts.sum(axis=1),
        "classes": (known.class_counts > 0).sum(axis=1),
        **{name.replace("_", " "): column for name, column in known.times().items()},
    }
    names, number = list(known.names), len(known.names)
    if number > MOST_CLIENTS:
        middle = number // 2
        columns = {name: np.sort(column)[[0, middle, -1]] for name, column in columns.items()}
        names = [f"least of {number}", "median", "most"]
    return [
        {"client": str(name)} | {name: f"{column[i]:.4g}" for name, column in columns.items()}
        for i, name in enumerate(names)
    ]


def plan(row: Row, varying: Sequence[str] = ()) -> dict[str, str]:
    """A row of `plan.planned`, with the cut if it varies."""
    return {
        "schedule": schedule_name(row),
        "B": str(row["batch_size"]),
        **{name: str(row[name]) for name in varying},
        **_deviations(row),
        "last tenth": _fixed(row["tail_deviation"], DIGITS),
        "steps": _fixed(row["num_steps"], 0),
        "clients a step": _fixed(row["participants"], 1),
        "epoch time": _mean_and_std(row, "epoch_time", 1, _digits(row["epoch_time"])),
        "least": _time(row["least_time"]),
        "above least": _share(row["above_least"]),
        "MB": _megabytes(row["megabytes"]),
        "time saved": _share(row["time_saved"]),
        "accuracy %": _mean_and_std(row, "test_accuracy", 100, 1),
        "nobody better": "*" if row["pareto"] else "",
    }


def time_unit(row: Row, unit: str) -> str:
    """What the times of a plan are in, and how many stragglers were drawn, if any are."""
    number = row["stragglers"]
    slow = "" if number is None else f"Of the clients {number:.4g} are stragglers. "
    return f"{slow}Times are in {unit}."


def recommendation(
    row: Row | None, max_deviation: float | None, varying: Sequence[str] = ()
) -> str:
    """One sentence about the row of `plan.recommended`."""
    limit = "what an epoch of ugs stays within in 95 of 100 cases"
    limit = limit if max_deviation is None else f"{max_deviation:g}"
    if row is None:
        return f"No schedule's largest Δ is at most {limit}."
    of_cut = "".join(f" and {name} = {row[name]}" for name in varying)
    above = _share(row["above_least"])
    kept = " that deviates no more" if row["assign"] else ""
    return (
        f"The fastest whose largest Δ is at most {limit}: {schedule_name(row)} with "
        f"B = {row['batch_size']}{of_cut}. Its epoch takes {_time(row['epoch_time'])}: "
        f"{_share(row['time_saved'])} less than ugs with the same B{' and cut' if varying else ''}"
        f"{above and f', and {above} more than the least of any schedule{kept}'}."
    )


def rounded_up(rows: Sequence[Row]) -> str:
    """One sentence about the schedules of a plan whose batches are above their size, if any."""
    names = {schedule_name(row) for row in rows if row["largest_batch"] > row["batch_size"]}
    if not names:
        return ""
    return f"Steps of {' and '.join(sorted(names))} hold more than B samples; they are not marked."


def _digits(number: float) -> int:
    """How many decimals show two digits of a number, if it has no more before the point."""
    return max(0, 1 - floor(log10(number))) if number > 0 else 0


def _deviations(row: Row) -> dict[str, str]:
    return {f"{kind} Δ": _fixed(row[f"{kind}_deviation"], DIGITS) for kind in ("mean", "max")}


def _fixed(number: float | None, digits: int) -> str:
    return "" if number is None else f"{number:.{digits}f}"


def _time(number: float | None) -> str:
    return _fixed(number, _digits(number or 0))


def _share(number: float | None) -> str:
    return "" if number is None else f"{100 * number:.0f} %"


def _megabytes(number: float | None) -> str:
    return _fixed(number, max(1, _digits(number or 0)))


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _mean_and_std(row: Row, name: str, unit: float, digits: int) -> str:
    mean, std = row[name], row[f"{name}_std"]
    if mean is None:
        return ""
    return f"{unit * mean:.{digits}f}" + ("" if std is None else f" ± {unit * std:.{digits}f}")


def schedule_name(row: Row) -> str:
    """How a schedule of a plan is called."""
    if row["delta"] is not None:
        return f"lds c={row['concentration']:g} δ={row['delta']:g}"
    slack = f" slack={row['slack']:g}" if row["slack"] else ""
    assign = "" if row["assign"] in (None, "slowest-first") else f" {row['assign']}"
    return f"{row['sampler']}{assign}{slack}"


def _interval(row: Row) -> str:
    if row["low"] is None:
        return ""
    low, high = (f"{100 * row[key]:+.1f}" for key in ("low", "high"))
    return f"{100 * row['difference']:+.1f} ({low} to {high})"
