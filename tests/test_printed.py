"""Rows as they are printed."""

import pytest

from pslref import printed


@pytest.mark.parametrize(
    "shown",
    [
        printed.comparison,
        printed.with_faults,
        printed.deviation,
        printed.straggler,
        lambda row: printed.sweep(row, []),
    ],
)
def test_no_mean_is_rounded_above_its_maximum(shown) -> None:
    row = {"mean_deviation": 0.0248, "max_deviation": 0.0249, "tail_deviation": 0.0248}
    names = (
        *("test_accuracy", "faults", "unreachable", "num_steps", "first_empty"),
        *("simulated_time", "megabytes", "epoch_time", "time_saved", "seeds"),
    )
    none = dict.fromkeys(("std", "low", "delta", "slack", "assign"))
    cells = shown({"sampler": "ugs"} | dict.fromkeys(names, 1) | none | row)
    assert float(cells["mean Δ"]) <= float(cells["max Δ"])
    assert float(cells.get("last tenth", 0)) <= float(cells["max Δ"])


def test_accuracy_is_in_percent_with_its_spread() -> None:
    assert printed._mean_and_std({"test_accuracy": 0.912, "std": 0.0034}) == "91.2 ± 0.3"
    assert printed._mean_and_std({"test_accuracy": 0.5, "std": None}) == "50.0"
