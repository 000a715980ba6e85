"""Rows as they are printed."""

import pytest

from pslref.app import printed

ONES = (
    *("seeds", "faults", "unreachable", "num_steps", "first_empty", "simulated_time"),
    *("megabytes", "megabytes_up", "megabytes_down", "epoch_time", "least_time", "time_saved"),
    *("above_least", "participants", "batch_size"),
)
NONES = (
    *("test_accuracy", "test_accuracy_std", "epoch_time_std", "low"),
    *("delta", "slack", "assign", "pareto"),
)
DEVIATIONS = {"mean_deviation": 0.0248, "max_deviation": 0.0249, "tail_deviation": 0.0248}
ROW = {"sampler": "ugs"} | dict.fromkeys(ONES, 1) | dict.fromkeys(NONES) | DEVIATIONS


@pytest.mark.parametrize("shown", [printed.trained, printed.deviation, printed.plan])
def test_no_mean_is_rounded_above_its_maximum(shown) -> None:
    cells = shown(ROW)
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


@pytest.mark.parametrize(
    ("megabytes", "shown"),
    [(0.0, "0.0"), (0.00123, "0.0012"), (0.5, "0.50"), (9.96, "10.0"), (1234.56, "1234.6")],
)
def test_the_megabytes_of_a_small_network_are_not_rounded_to_none(megabytes, shown: str) -> None:
    assert printed.plan(ROW | {"megabytes": megabytes})["MB"] == shown


def test_of_one_seed_there_is_no_mean(pslref) -> None:
    few = ["--clients", "5", "--sampler", "ugs", "--seeds", "1"]
    assert "All are of one seed.\n" in pslref("plan", *few)[1]


@pytest.mark.parametrize(
    ("number", "shown"),
    [(42.0, "Of the clients 42 are stragglers. "), (6.5, "Of the clients 6.5 are stragglers. ")],
)
def test_clients_are_counted_in_whole_numbers_where_they_are(number: float, shown: str) -> None:
    assert printed.time_unit({"stragglers": number}, "delays") == f"{shown}Times are in delays."
    assert printed.time_unit({"stragglers": None}, "seconds") == "Times are in seconds."
