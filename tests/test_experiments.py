import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ttest_rel

from pslref import experiments
from pslref.config import SAMPLERS, Config
from pslref.split import Diverged

SMALL = Config(clients=8, epochs=2, seeds=2, hidden=(8,))


def test_results_do_not_depend_on_which_samplers_and_seeds_run_or_in_what_order() -> None:
    def rows(config: Config) -> list[dict]:
        return sorted(experiments.compare(config).runs, key=lambda r: (r["sampler"], r["seed"]))

    every = rows(SMALL)
    assert rows(replace(SMALL, sampler=SAMPLERS[::-1])) == every
    alone = rows(replace(SMALL, sampler=("lds",), seed=1, seeds=1))
    assert alone == [row for row in every if (row["sampler"], row["seed"]) == ("lds", 1)]


def test_the_tables_are_written_and_agree_with_the_results(tmp_path: Path) -> None:
    epochs_done = []
    results = experiments.compare(SMALL, out=tmp_path, after_epoch=lambda: epochs_done.append(1))
    assert len(epochs_done) == len(SAMPLERS) * 2 * 2
    assert {path.name for path in tmp_path.iterdir()} == {
        "compare.png", "config.json", "epochs.csv", "results.csv", "steps.csv",
    }  # fmt: skip
    with (tmp_path / "results.csv").open() as file:
        written = list(csv.DictReader(file))
    assert [float(row["test_accuracy"]) for row in written] == [
        row["test_accuracy"] for row in results.runs
    ]
    assert json.loads((tmp_path / "config.json").read_text())["clients"] == 8
    assert (tmp_path / "compare.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_that_diverges_names_itself_and_keeps_what_was_written(tmp_path: Path) -> None:
    experiments.compare(replace(SMALL, sampler=("ugs",)), out=tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(Diverged, match=r"sampler ugs, seed 0, epoch \d, step \d+: the loss is"):
        experiments.compare(replace(SMALL, sampler=("ugs",), learning_rate=1e200), out=tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def fake_runs(accuracies: dict[str, list[float]]) -> list[dict]:
    rest = {"mean_deviation": 0.2, "max_deviation": 0.4, "num_steps": 9, "megabytes": 1.0,
            "simulated_time": 5.0}  # fmt: skip
    return [
        {"sampler": sampler, "seed": seed, "test_accuracy": accuracy, **rest}
        for sampler, values in accuracies.items()
        for seed, accuracy in enumerate(values)
    ]


def test_the_interval_is_students_for_paired_differences() -> None:
    centralized, ugs = [0.90, 0.92, 0.94], [0.89, 0.93, 0.92]
    row = experiments.summary(fake_runs({"centralized": centralized, "ugs": ugs}))[1]
    expected = ttest_rel(ugs, centralized).confidence_interval(0.95)
    assert (row["low"], row["high"]) == pytest.approx((expected.low, expected.high))
    assert row["std"] == pytest.approx(np.std(ugs, ddof=1))


def test_the_verdict_follows_the_numbers() -> None:
    runs = {
        "centralized": [0.90, 0.92, 0.94],
        "fls": [0.50, 0.52, 0.55],
        "ugs": [0.91, 0.91, 0.94],
        "lds": [0.95, 0.97, 0.99],
    }
    sentence = experiments.verdict(experiments.summary(fake_runs(runs)))
    assert sentence.startswith(
        "Accuracy over 3 seeds, no clear difference from centralized training: ugs +0.0 points ("
    )
    assert "; clearly below it: fls -39.7 points (95 % interval " in sentence
    assert "; clearly above it: lds +5.0 points (95 % interval " in sentence


def test_an_interval_that_holds_nearly_everything_is_called_that() -> None:
    runs = {"centralized": [0.9, 0.9], "fls": [0.2, 0.6]}
    sentence = experiments.verdict(experiments.summary(fake_runs(runs)))
    assert "too few seeds to tell: fls -50.0 points" in sentence


def test_one_seed_or_no_baseline_gives_no_interval() -> None:
    one = experiments.summary(fake_runs({"centralized": [0.9], "ugs": [0.8]}))
    assert one[1]["difference"] == pytest.approx(-0.1)
    assert (one[1]["low"], one[1]["std"]) == (None, None)
    alone = experiments.summary(fake_runs({"ugs": [0.8, 0.9]}))
    assert alone[0]["difference"] is None
    for rows in (one, alone):
        assert "needs centralized, another sampler, and at least two seeds" in (
            experiments.verdict(rows)
        )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"sampler": ("ugs", "uggs")}, r"sampler = 'uggs': .*did you mean 'ugs'"),
        ({"epochs": 0}, "epochs = 0: must be"),
        ({"seeds": 0}, "seeds = 0: must be"),
        ({"seed": -1}, "seed = -1: must be"),
        ({"hidden": (8, 0)}, "hidden = 0: must be"),
        ({"model": "cnnn"}, "model = 'cnnn': .*did you mean 'cnn'"),
        ({"assign": "slowest"}, "assign = 'slowest': .*did you mean 'slowest-first'"),
        ({"slack": 0.1, "assign": "balanced"}, "slack = 0.1: must be 0 unless assign = 'slowest-f"),
        ({"sample_cost": -1.0}, "sample_cost = -1.0: must be"),
        ({"dtype": "float16"}, "dtype = 'float16': must be one of float32, float64"),
    ],
)
def test_a_config_that_cannot_be_run_is_refused(change: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        replace(SMALL, **change)
