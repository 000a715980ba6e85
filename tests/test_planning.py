from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.stats import ttest_ind

from pslref import data, planning, plots, theory
from pslref.config import SAMPLERS, Config
from pslref.partition import extended_dirichlet
from pslref.runs import run
from pslref.sampling import Schedule, fls
from pslref.scenario import dataset_of
from tests.drawn import assert_same, table

SLOWEST_FIRST = ["slowest-first"]
PLAN = Config(clients=16, batch_size=64, sampler=SAMPLERS[1:], seeds=2)


def test_deviation_rows_are_exact_and_tables_and_picture_hold_them(
    tmp_path: Path, pictures: dict[str, Figure]
) -> None:
    steps, summary = planning.deviation(PLAN, out=tmp_path)
    assert [row["sampler"] for row in summary] == list(SAMPLERS[1:])
    for row in summary:
        mine = [step for step in steps if step["sampler"] == row["sampler"]]
        assert [step["step"] for step in mine] == list(range(row["num_steps"]))
        assert sum(step["batch_size"] for step in mine) == 1442
        expected = np.array([step["expected"] for step in mine])
        assert row["mean_deviation"] == expected.mean()
        assert row["max_deviation"] >= expected.max()
        assert all(step["low"] <= step["expected"] + 1e-9 for step in mine)
        assert all(step["high"] >= step["expected"] - 1e-9 for step in mine)
    ugs = summary[2]
    assert ugs["mean_deviation"] < ugs["l1_bound"] < ugs["serfling"]
    assert {path.name for path in tmp_path.iterdir()} == {
        "config.json", "deviation.csv", "deviation.png", "summary.csv",
    }  # fmt: skip
    written = table(tmp_path / "deviation.csv"), table(tmp_path / "summary.csv")
    assert written == (steps, summary)
    assert_same(pictures["deviation.png"], plots.deviation(*written).figure)


@pytest.mark.parametrize("sampler", SAMPLERS[1:])
def test_the_band_leaves_out_one_simulation_in_forty_on_either_side(sampler: str) -> None:
    steps, _ = planning.deviation(replace(PLAN, sampler=(sampler,)))
    streams = planning.random_streams(0)
    part, delays = planning.scenario(PLAN, data.load("digits"), streams)
    schedule = planning.draw_schedule(PLAN, sampler, part.class_counts, delays, streams["schedule"])
    simulated = planning.simulate(schedule, part, streams["clients"], 200)
    assert len(simulated) == 200
    for step, values in zip(steps, simulated.T, strict=True):
        assert (values < step["low"]).sum() <= 5 <= (values <= step["low"]).sum()
        assert (values > step["high"]).sum() <= 5 <= (values >= step["high"]).sum()


def test_simulated_deviation_agrees_with_the_exact_one(
    rng: np.random.Generator, alpha: float
) -> None:
    """The mean of R = 2,000 values in [0, 2] against the law. False alarm: 1e-8 (Hoeffding).

    It shows an expected deviation that is off by 0.25 in any step; right code is off by 0.03.
    """
    part = extended_dirichlet(np.arange(400) % 5, 6, 2, 3.0, rng)
    schedule = fls(part.sizes, 30)
    expected = theory.expected_deviation(schedule, part.class_counts)
    simulated = planning.simulate(schedule, part, rng, 2_000)
    allowed = 2 * np.sqrt(np.log(2 * schedule.num_steps / alpha) / (2 * 2_000))
    assert np.abs(simulated.mean(axis=0) - expected).max() < allowed


def test_the_largest_deviation_is_of_the_same_kind_for_ugs_and_class_targets(alpha: float) -> None:
    """Their batches have one law, so that the largest Δ of an epoch has one too: Welch's t-test.

    With IID clients the largest expected Δ of UGS, 0.3, is far below, and is shown as different.
    """
    config = replace(PLAN, partition="iid", clients=4, remainder="even", seeds=16)
    config = replace(config, sampler=("ugs", "targets"))
    rows = planning.stragglers(config, planning.straggler_grid(config, [], [], [0.0], ["random"]))
    ugs, targets = (
        [row["max_deviation"] for row in rows if row["sampler"] == sampler]
        for sampler in config.sampler
    )
    assert ttest_ind(ugs, targets, equal_var=False).pvalue > alpha


def test_the_largest_deviation_is_the_mean_over_shuffles_and_no_less_than_what_is_expected() -> (
    None
):
    schedule = Schedule([[1, 2], [2, 1]])
    simulated = np.array([[0.4, 0.2], [0.3, 0.9]])
    shape = planning._shape(schedule, np.array([0.3, 0.6]), simulated)
    assert (shape["mean_deviation"], shape["max_deviation"]) == pytest.approx((0.45, 0.65))
    shape = planning._shape(schedule, np.array([0.8, 0.1]), simulated)
    assert shape["max_deviation"] == 0.8


def test_an_epoch_of_two_steps_has_no_mean_above_its_maximum() -> None:
    """Then both steps deviate alike, and simulations differ from what is expected either way."""
    config = replace(PLAN, batch_size=721, seeds=1, sampler=("ugs", "targets", "stratified"))
    rows = planning.stragglers(config, planning.straggler_grid(config, [], [], [0.0], ["random"]))
    _, summary = planning.deviation(config, num_simulations=3)
    for row in rows + summary:
        assert row["max_deviation"] >= row["mean_deviation"]


def test_the_first_empty_client_and_the_tail() -> None:
    _, (row,) = planning.deviation(replace(PLAN, sampler=("fls",)), num_simulations=1)
    part, _ = planning.scenario(PLAN, planning.dataset_of(PLAN), planning.random_streams(0))
    assert row["first_empty"] == np.min(-(-part.sizes[part.sizes > 0] // 4))
    assert row["tail_deviation"] > row["mean_deviation"]


def test_stragglers_save_time_and_nothing_beats_the_bound(
    tmp_path: Path, pictures: dict[str, Figure]
) -> None:
    grid = planning.straggler_grid(PLAN, [0.0, 1.0], [1.0], [0.0, 2.0], SLOWEST_FIRST)
    done = []
    rows = planning.stragglers(PLAN, grid, out=tmp_path, after_row=lambda: done.append(1))
    assert len(rows) == len(done) == len(grid) * 2
    for seed in (0, 1):
        mine = [row for row in rows if row["seed"] == seed]
        times = {row["sampler"]: row["epoch_time"] for row in mine}
        assert all(row["epoch_time"] >= times["bound"] for row in mine)
        ugs = times["ugs"]
        assert [row["time_saved"] for row in mine] == [1 - row["epoch_time"] / ugs for row in mine]
    means = planning.mean_over_seeds(rows)
    assert [row["sampler"] for row in means] == [
        "ugs", "fls", "fpls", "lds", "lds",
        "targets", "targets", "stratified", "stratified", "bound",
    ]  # fmt: skip
    saved = {row["delta"]: row["time_saved"] for row in means if row["sampler"] == "lds"}
    assert saved[1.0] > saved[0.0]
    written = table(tmp_path / "stragglers.csv")
    assert written == rows
    assert_same(pictures["stragglers.png"], plots.stragglers(written).figure)


def test_only_seeds_are_averaged() -> None:
    """Schedules that differ in one option alone have a row each."""
    same = {
        **{"sampler": "lds", "delta": 1.0, "concentration": 1.0, "slack": 0.0, "assign": "random"},
        **dict.fromkeys(("mean_deviation", "max_deviation", "tail_deviation"), 0.5),
        **{"epoch_time": 2.0, "time_saved": 0.5, "test_accuracy": None},
    }
    others = {"sampler": "ugs", "delta": 2.0, "concentration": 0.1, "slack": 1.0, "assign": "x"}
    rows = [same, *({**same, name: value} for name, value in others.items())]
    later = [row | {"epoch_time": 4.0} for row in rows]
    assert planning.mean_over_seeds([*rows, *later]) == [row | {"epoch_time": 3.0} for row in rows]


def test_stragglers_train_when_asked() -> None:
    config = replace(PLAN, epochs=1, seed=3, seeds=1, hidden=(8,))
    grid = planning.straggler_grid(config, [1.0], [1.0], [0.0], SLOWEST_FIRST)
    rows = planning.stragglers(config, grid, accuracy=True)
    assert {row["seed"] for row in rows} == {3}
    for (sampler, chosen), row in zip(grid, rows, strict=True):
        assert row["concentration"] == (chosen.concentration if sampler == "lds" else None)
        if sampler != "bound":
            (alone,) = run(chosen, dataset_of(config), sampler, 3).runs
            assert row["test_accuracy"] == alone["test_accuracy"]
    trained = {row["sampler"]: row["test_accuracy"] for row in rows}
    assert trained.pop("bound") is None
    assert all(0 < accuracy < 1 for accuracy in trained.values())


@pytest.mark.parametrize("delta", [-1.0, float("nan")])
def test_a_delta_outside_its_range_is_refused(delta: float) -> None:
    with pytest.raises(ValueError, match=r"delta = .*must be a finite number, 0 or more"):
        planning.stragglers(
            PLAN, planning.straggler_grid(PLAN, [delta], [1.0], [0.0], SLOWEST_FIRST)
        )


def test_the_tail_is_the_last_tenth_and_never_empty() -> None:
    for num_steps, last in [(1, 1), (9, 1), (10, 1), (11, 2), (20, 2), (21, 3)]:
        expected = np.arange(num_steps, dtype=float)
        shape = planning._shape(Schedule(np.ones((num_steps, 1), int)), expected, expected[None])
        assert shape["tail_deviation"] == expected[num_steps - last :].mean()


def test_the_bounds_are_for_all_classes_and_five_percent() -> None:
    _, (row,) = planning.deviation(replace(PLAN, sampler=("ugs",)), num_simulations=1)
    each = theory.serfling_eps(0.05 / 10, 64, 1442)
    assert row["serfling"] == pytest.approx(10 * each)
    assert theory.deviation_bound(row["l1_bound"], 64, 1442, 10) == pytest.approx(0.05)


def test_the_remainder_reaches_every_sampler_that_knows_it() -> None:
    config = replace(PLAN, remainder="even", sampler=("ugs", "lds", "targets", "stratified"))
    rows = planning.schedules(replace(config, epochs=1))
    for sampler in config.sampler:
        sizes = np.zeros(23, int)
        for row in rows:
            if row["sampler"] == sampler:
                sizes[row["step"]] += row["samples"]
        assert sizes.tolist() == [63] * 16 + [62] * 7


def test_the_config_of_stragglers_names_all_it_tried() -> None:
    grid = planning.straggler_grid(PLAN, [1.0, 0.0], [0.1], [0.5, 0.0], SLOWEST_FIRST)
    config = planning.straggler_config(PLAN, grid)
    assert (config["delta"], config["concentration"]) == ([0.0, 1.0], [0.1])
    assert config["slack"] == [0.0, 0.5]
    assert config["assign"] == SLOWEST_FIRST


def test_sample_costs_reach_the_clock_and_the_assignment() -> None:
    """A sample costs as much as the delay: slowest first overloads, balanced does not."""
    config = replace(PLAN, clients=32, sample_cost=1.0, sampler=("targets", "stratified"), seeds=1)
    assignments = ["slowest-first", "balanced", "random"]
    rows = planning.stragglers(config, planning.straggler_grid(config, [], [], [0.0], assignments))
    assert [row["sampler"] for row in rows] == ["ugs", *3 * ["targets"], *3 * ["stratified"]]
    assert [row["assign"] for row in rows] == [None, *assignments, *assignments]
    part, delays = planning.scenario(config, planning.dataset_of(PLAN), planning.random_streams(0))
    for row in rows:
        chosen = replace(config, assign=row["assign"] or "random")
        rng = planning.random_streams(0)["schedule"]
        schedule = planning.draw_schedule(chosen, row["sampler"], part.class_counts, delays, rng)
        slowest = [
            max(delays[k] * (1 + b) for k, b in zip(*step, strict=True))
            for step in schedule.steps()
        ]
        assert row["epoch_time"] == pytest.approx(sum(slowest))
    times = {(row["sampler"], row["assign"]): row["epoch_time"] for row in rows}
    for sampler in ("targets", "stratified"):
        slowest_first, balanced, random = (times[sampler, assign] for assign in assignments)
        assert balanced < 0.95 * min(slowest_first, random)
    assert times["targets", "random"] == pytest.approx(times["ugs", None], rel=0.1)
