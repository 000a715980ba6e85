"""Rows of results as they are printed."""

from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]

MEASURED = "Δ is measured: max Δ is the largest of all steps, epochs and seeds."
EXPECTED = (
    "Δ is expected, given each schedule: mean Δ and the last tenth exactly; max Δ, the largest of "
    "an epoch's steps, by simulating its shuffles."
)
DIGITS = 3  # of every Δ, so that rounding makes no mean larger than its maximum


def comparison(row: Row) -> dict[str, str]:
    """A row of `experiments.summary` as it is printed."""
    return {
        "sampler": row["sampler"],
        "accuracy %": _mean_and_std(row),
        "to centralized, 95 %": _interval(row),
        **_deviations(row),
        "steps": f"{row['num_steps']:.0f}",
        "time": _fixed(row["simulated_time"], 0),
        "MB": f"{row['megabytes']:.1f}",
    }


def with_faults(row: Row) -> dict[str, str]:
    """The same of runs that lose clients."""
    return {
        "sampler": row["sampler"],
        "lost %": f"{100 * row['faults']:g}",
        "accuracy %": _mean_and_std(row),
        "to centralized, 95 %": _interval(row),
        **_deviations(row),
        "unreachable": f"{row['unreachable']:.0f}",
    }


def epoch(row: Row) -> str:
    """A row of `Results.epochs` as it is printed."""
    accuracy = _percent(row["test_accuracy"])
    return f"epoch {row['epoch']}: loss {row['loss']:.4f}, accuracy {accuracy} %"


def deviation(row: Row) -> dict[str, str]:
    """A row of the summary of `planning.deviation` as it is printed."""
    return {
        "sampler": row["sampler"],
        **_deviations(row),
        "last tenth": _fixed(row["tail_deviation"], DIGITS),
        "a client is empty after": f"{row['first_empty']} steps",
        "steps": str(row["num_steps"]),
    }


def straggler(row: Row) -> dict[str, str]:
    """A row of `planning.mean_over_seeds` as it is printed."""
    return {
        "schedule": _schedule_name(row),
        **_deviations(row),
        "last tenth": _fixed(row["tail_deviation"], DIGITS),
        "epoch time": f"{row['epoch_time']:.0f}",
        "time saved": f"{100 * row['time_saved']:.0f} %",
        "accuracy %": "" if row["test_accuracy"] is None else _percent(row["test_accuracy"]),
    }


def sweep(row: Row, varying: Sequence[str]) -> dict[str, str]:
    """A row of `sweep.summary` as it is printed, with the fields that vary."""
    return (
        {"sampler": row["sampler"]}
        | {name: "" if row[name] is None else str(row[name]) for name in varying}
        | {
            "accuracy %": _mean_and_std(row) if row["seeds"] else "failed",
            **_deviations(row),
            "steps": _fixed(row["num_steps"], 0),
            "time": _fixed(row["simulated_time"], 0),
        }
    )


def _deviations(row: Row) -> dict[str, str]:
    return {f"{kind} Δ": _fixed(row[f"{kind}_deviation"], DIGITS) for kind in ("mean", "max")}


def _fixed(number: float | None, digits: int) -> str:
    return "" if number is None else f"{number:.{digits}f}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _mean_and_std(row: Row) -> str:
    std = "" if row["std"] is None else f" ± {_percent(row['std'])}"
    return _percent(row["test_accuracy"]) + std


def _schedule_name(row: Row) -> str:
    if row["delta"] is not None:
        return f"lds c={row['concentration']:g} δ={row['delta']:g}"
    assign = "" if row["assign"] in (None, "slowest-first") else f" {row['assign']}"
    return f"{row['sampler']} slack={row['slack']:g}" if row["slack"] else row["sampler"] + assign


def _interval(row: Row) -> str:
    if row["low"] is None:
        return ""
    low, high = (f"{100 * row[key]:+.1f}" for key in ("low", "high"))
    return f"{100 * row['difference']:+.1f} ({low} to {high})"
