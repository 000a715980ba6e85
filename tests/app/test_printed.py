"""Rows as they are printed."""

import pytest

from pslref.app import printed


@pytest.mark.parametrize("shown", [printed.trained, printed.deviation, printed.plan])
def test_no_mean_is_rounded_above_its_maximum(shown) -> None:
    row = {"mean_deviation": 0.0248, "max_deviation": 0.0249, "tail_deviation": 0.0248}
    ones = (
        *("seeds", "faults", "unreachable", "num_steps", "first_empty", "simulated_time"),
        *(
            "megabytes",
            "megabytes_up",
            "megabytes_down",
            "epoch_time",
            "least_time",
            "above_least",
            "time_saved",
            "participants",
            "batch_size",
        ),
    )
    nones = (
        *("test_accuracy", "test_accuracy_std", "epoch_time_std", "low"),
        *("delta", "slack", "assign", "pareto"),
    )
    cells = shown({"sampler": "ugs"} | dict.fromkeys(ones, 1) | dict.fromkeys(nones) | row)
    assert float(cells["mean Δ"]) <= float(cells["max Δ"])
    assert float(cells.get("last tenth", 0)) <= float(cells["max Δ"])


PLANNED = {
    **{"sampler": "ugs", "batch_size": 64, "delta": None, "concentration": None, "slack": None},
    **{"assign": None, "epoch_time": 60.0, "least_time": 40.0, "above_least": 0.5},
    "time_saved": 0.25,
}


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({}, "ugs"),
        ({"sampler": "lds", "delta": 0.5, "concentration": 1.0}, "lds c=1 δ=0.5"),
        ({"sampler": "targets", "slack": 0.0, "assign": "slowest-first"}, "targets"),
        ({"sampler": "targets", "slack": 0.2, "assign": "planned"}, "targets planned slack=0.2"),
        ({"sampler": "stratified", "slack": 0.0, "assign": "random"}, "stratified random"),
    ],
)
def test_a_recommendation_says_what_it_is_saves_and_leaves(changed: dict, name: str) -> None:
    assert printed.recommendation(PLANNED | changed, 0.25) == (
        f"The fastest whose largest Δ is at most 0.25: {name} with B = 64. Its epoch takes 60: "
        "25 % less than ugs with the same B, and 50 % more than the least of any schedule"
        f"{' that deviates no more' if name.startswith(('targets', 'stratified')) else ''}."
    )
    no_least = printed.recommendation(PLANNED | changed | {"above_least": None}, 0.25)
    assert no_least.endswith("25 % less than ugs with the same B.")


def test_without_a_recommendation_the_limit_is_named() -> None:
    limit = "what an epoch of ugs stays within in 95 of 100 cases"
    assert printed.recommendation(None, None) == f"No schedule's largest Δ is at most {limit}."
    assert printed.recommendation(None, 0.0) == "No schedule's largest Δ is at most 0."
