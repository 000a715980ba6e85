import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from pslref.app import plots
from pslref.app.compare import compare, reached, summarized, verdict
from pslref.app.config import SAMPLERS, Config
from pslref.app.grids import Row, configs
from pslref.app.pictures import STYLES
from pslref.split import Diverged
from tests.drawn import assert_same, drawn, table

UNIT = "delays of the fastest possible client"
SMALL = {"clients": 8, "epochs": 2, "seeds": 2, "hidden": (8,)}
TABLES = {"config.json", "epochs.csv", "results.tex", "results.csv", "steps.csv"}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_results_do_not_depend_on_which_samplers_and_seeds_run_or_in_what_order() -> None:
    def rows(chosen: list[Config]) -> list[Row]:
        return sorted(compare(chosen).runs, key=lambda row: (row["sampler"], row["seed"]))

    every = rows(configs(SMALL))
    assert rows(configs(SMALL)[::-1]) == every
    alone = rows(configs(SMALL | {"sampler": "lds", "seed": 1, "seeds": 1}))
    assert alone == [row for row in every if (row["sampler"], row["seed"]) == ("lds", 1)]


def test_tables_and_picture_are_written_and_agree_with_the_results(
    tmp_path: Path, pictures: dict[str, Figure]
) -> None:
    epochs_done = []
    results = compare(configs(SMALL), out=tmp_path, after_epoch=lambda: epochs_done.append(1))
    assert len(epochs_done) == len(SAMPLERS) * 2 * 2
    assert contents(tmp_path).keys() == {"compare.png", *TABLES}
    runs, epochs, steps = (
        table(tmp_path / f"{name}.csv") for name in ("results", "epochs", "steps")
    )
    assert (runs, epochs, steps) == (results.runs, results.epochs, results.steps)
    asked = json.loads((tmp_path / "config.json").read_text())
    assert (asked["clients"], asked["seed"]) == (8, [0, 1])
    assert_same(pictures["compare.png"], plots.compare(epochs, steps, UNIT))


def test_faults_give_every_sampler_a_row_for_each_share_and_centralized_one(
    tmp_path: Path, pictures: dict[str, Figure]
) -> None:
    few = SMALL | {"epochs": 1, "sampler": ["centralized", "fls", "ugs"]}
    found = compare(configs(few | {"faults": [0.5, 0.0, 0.25]}), out=tmp_path)
    alone = compare(configs(few))
    for rows, same in [(found.runs, alone.runs), (found.epochs, alone.epochs)]:
        assert [row for row in rows if not row["faults"]] == same
    rows = summarized(found)
    assert [(row["sampler"], row["faults"], row["seeds"]) for row in rows] == [
        ("centralized", None, 2),
        *((sampler, share, 2) for sampler in ("fls", "ugs") for share in (0.5, 0.0, 0.25)),
    ]
    assert [row["unreachable"] > 0 for row in rows] == [False, *2 * [True, False, True]]
    assert contents(tmp_path).keys() == {"faults.png", *TABLES}
    assert json.loads((tmp_path / "config.json").read_text())["faults"] == [0.5, 0.0, 0.25]
    for name in ("results", "epochs", "steps"):
        shares = {row["faults"] for row in table(tmp_path / f"{name}.csv")}
        assert shares == {None, 0.0, 0.25, 0.5}
    assert_faults_are_drawn(pictures["faults.png"], table(tmp_path / "results.csv"))


def assert_faults_are_drawn(figure: Figure, rows: list[Row]) -> None:
    """Mean and deviation over the seeds by share; centralized, which loses none, at each."""
    (panel,) = drawn(figure)
    assert panel.ylabel == "test accuracy in %, mean ± std"
    assert panel.xlabel == "share of the clients that is lost"
    assert panel.xticks == {0: "0", 1: "0.25", 2: "0.5"}
    assert panel.bars.keys() == {row["sampler"] for row in rows}
    for sampler, bars in panel.bars.items():
        for (_, mean, low, high), lost in zip(bars.T, (0, 0.25, 0.5), strict=True):
            run = sampler, (None if sampler == "centralized" else lost)
            values = [
                100 * row["test_accuracy"] for row in rows if (row["sampler"], row["faults"]) == run
            ]
            assert len(values) == 2
            assert mean == pytest.approx(sum(values) / 2)
            assert (high - low) / 2 == pytest.approx(abs(np.subtract(*values)) / np.sqrt(2))
        assert panel.looks[sampler][0] == to_hex(STYLES[sampler]["color"])
    assert panel.all_is_seen()


def test_only_sampler_seed_and_faults_may_differ_and_all_can_run_before_one_does() -> None:
    def nothing_runs() -> None:
        raise AssertionError

    with pytest.raises(ValueError, match=r"differ in = \['batch_size', 'clients'\]: must differ"):
        compare(configs(SMALL | {"clients": [8, 9], "batch_size": [8, 9]}))
    with pytest.raises(ValueError, match="clients = 2: must be 5 or more"):
        compare(configs(SMALL | {"clients": 2}), after_epoch=nothing_runs)


def test_a_run_that_diverges_names_itself_and_keeps_what_was_written(tmp_path: Path) -> None:
    one = SMALL | {"sampler": "ugs"}
    compare(configs(one), out=tmp_path)
    before = contents(tmp_path)
    with pytest.raises(Diverged, match=r"sampler ugs, seed 0, epoch \d, step \d+: the loss is"):
        compare(configs(one | {"learning_rate": 1e200}), out=tmp_path)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("faults", [0, 0.1])
def test_a_run_whose_last_step_leaves_no_usable_weights_has_diverged(faults: float) -> None:
    """Every loss was finite; only the evaluation shows it."""
    config = Config(clients=8, batch_size=1442, learning_rate=1e308, epochs=1, hidden=(8,))
    sentence = "seed 0, epoch 0, the sum of all images' largest logits is"
    with pytest.raises(Diverged, match=sentence):
        compare([replace(config, faults=faults)])


def over_three_seeds(sampler: str, difference: float, low: float | None, high: float) -> Row:
    return {"sampler": sampler, "seeds": 3, "difference": difference, "low": low, "high": high}


def test_the_verdict_follows_the_numbers() -> None:
    rows = [
        over_three_seeds("centralized", 0.0, None, 0.0),
        over_three_seeds("fls", -0.397, -0.465, -0.328),
        over_three_seeds("ugs", 0.0, -0.028, 0.028),
        over_three_seeds("lds", 0.05, 0.024, 0.076),
        over_three_seeds("targets", 0.05, 0.0, 0.1),  # one that ends at 0 tells nothing apart
        over_three_seeds("stratified", -0.05, -0.11, 0.0),
        over_three_seeds("fpls", -0.5, -1.0, 0.3),
    ]
    assert verdict(rows) == (
        "Accuracy over 3 seeds beside centralized training, "
        "clearly below it: fls -39.7 points (95 % interval -46.5 to -32.8); "
        "clearly above it: lds +5.0 points (95 % interval +2.4 to +7.6); "
        "not told apart (time, MB and max Δ decide; up to so many points could be hidden): "
        "ugs 2.8, targets 10.0, stratified 11.0, fpls 100.0."
    )
    sentence = "A comparison needs centralized, another sampler, and at least two seeds."
    assert verdict(rows[:1]) == sentence


def test_time_and_megabytes_to_an_accuracy_are_of_the_first_epoch_that_has_it() -> None:
    found = compare(configs({**SMALL, "sampler": ["ugs", "centralized"], "seeds": 2}), target=0.3)
    for row in found.runs:
        which = row["sampler"], row["seed"]
        run = [epoch for epoch in found.epochs if (epoch["sampler"], epoch["seed"]) == which]
        there = [epoch for epoch in run if epoch["test_accuracy"] >= 0.3]
        first = there[0] if there else dict.fromkeys(run[0])
        assert row["time_to_target"] == first["time_so_far"]
        assert row["megabytes_to_target"] == first["megabytes_so_far"]
        assert run[-1]["megabytes_so_far"] == pytest.approx(len(run) * row["megabytes"])
    rows = {row["sampler"]: row for row in summarized(found)}
    assert rows["centralized"]["time_to_target"] is None
    assert reached([*found.runs, {"sampler": "fls", "megabytes_to_target": None}]).startswith(
        "Seeds that reached the target: ugs 2 of 2, centralized 2 of 2, fls 0 of 1."
    )
    assert rows["ugs"]["time_to_target"] > 0
