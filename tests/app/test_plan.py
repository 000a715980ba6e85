import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from pslref import data
from pslref.app import plots
from pslref.app.clients import read
from pslref.app.config import SAMPLERS
from pslref.app.grids import Row, configs
from pslref.app.plan import plan, planned, recommended
from pslref.app.runs import run
from pslref.app.scenario import dataset_of, draw_schedule, random_streams, scenario
from tests.drawn import assert_same, table

PLAN = {"clients": 16, "sampler": SAMPLERS[1:], "seeds": 1}
UNIT = "delays of the fastest possible client"
UGS_AND_TARGETS = PLAN | {"sampler": ["ugs", "targets"], "assign": "random"}


def test_a_plan_saves_time_and_its_table_and_picture_hold_it(
    tmp_path: Path, pictures: dict[str, Figure]
) -> None:
    grid = configs(PLAN | {"delta": [0, 1], "slack": [0, 2], "batch_size": [64, 128], "seeds": 2})
    done = []
    rows = plan(grid, out=tmp_path, after_row=lambda: done.append(1))
    assert len(rows) == len(done) == len(grid) == 2 * 2 * 9
    for row in rows:
        same = {name: row[name] for name in ("batch_size", "seed")}
        (ugs,) = (r for r in rows if r.items() >= (same | {"sampler": "ugs"}).items())
        assert row["time_saved"] == 1 - row["epoch_time"] / ugs["epoch_time"]
    means = planned(rows)
    times = {"lds": 2, "targets": 2, "stratified": 2}  # of delta and of slack; and of batch sizes
    expected = {sampler: 2 * times.get(sampler, 1) for sampler in SAMPLERS[1:]}
    assert Counter(row["sampler"] for row in means) == expected
    saved = {row["delta"]: row["time_saved"] for row in means if row["sampler"] == "lds"}
    assert saved[1.0] > saved[0.0]
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "plan.csv", "plan.png"}
    written = table(tmp_path / "plan.csv")
    assert written == rows
    assert_same(pictures["plan.png"], plots.plan(planned(written), UNIT))


def test_a_plan_trains_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its data are loaded once, for all rows."""
    loaded, load = [], data.load
    monkeypatch.setattr(data, "load", lambda *args: loaded.append(args) or load(*args))
    grid = configs(PLAN | {"epochs": 1, "seed": 3, "hidden": (8,), "concentration": 0.5})
    rows = plan(grid, accuracy=True)
    assert len(loaded) == 1
    for config, row in zip(grid, rows, strict=True):
        assert (row["sampler"], row["seed"]) == (config.sampler, 3)
        assert row["concentration"] == (0.5 if row["sampler"] == "lds" else None)
        (alone,) = run(config, dataset_of(config)).runs
        assert row["test_accuracy"] == alone["test_accuracy"]


def test_sample_costs_reach_the_clock_and_the_assignment() -> None:
    """A sample costs as much as the delay: slowest first overloads, planned does not."""
    assignments = ["slowest-first", "planned", "random"]
    costly = {"clients": 32, "sample_cost": 1, "sampler": ["ugs", "targets", "stratified"]}
    grid = configs(PLAN | costly | {"assign": assignments})
    rows = plan(grid)
    assert [row["sampler"] for row in rows] == ["ugs", *3 * ["targets"], *3 * ["stratified"]]
    assert [row["assign"] for row in rows] == [None, *assignments, *assignments]
    for config, row in zip(grid, rows, strict=True):
        streams = random_streams(0)
        _, clients = scenario(config, dataset_of(config), streams)
        schedule = draw_schedule(config, clients, streams["schedule"])
        steps = list(schedule.steps())
        slowest = [max(clients.delays[who] * (1 + b)) for who, b in steps]
        assert row["epoch_time"] == pytest.approx(sum(slowest))
        assert row["participants"] == pytest.approx(np.mean([len(who) for who, _ in steps]))
    times = {(row["sampler"], row["assign"]): row["epoch_time"] for row in rows}
    for sampler in ("targets", "stratified"):
        slowest_first, planned, random = (times[sampler, assign] for assign in assignments)
        assert planned < 0.95 * min(slowest_first, random)
    assert times["targets", "random"] == pytest.approx(times["ugs", None], rel=0.1)


@pytest.mark.parametrize(
    ("clients", "sample_cost"), [(5, 0.0), (5, 0.5), (20, 0.5), (40, 0.0), (70, 0.0)]
)
def test_nothing_is_faster_than_the_least_time_and_stragglers_are_those_drawn_slow(
    clients: int, sample_cost: float, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever slowdown and jitter make of their delays; and FLS takes more than 64 of 70.

    Class targets have a least time of their own, that of their largest deviation.
    """
    monkeypatch.setattr("pslref.app.plan.SIMULATIONS", 1)  # of which there are none
    for fraction in (0.0, 0.3, 1.0):
        drawn = {"slowdown": rng.choice([1, 10]), "jitter": rng.choice([0, 30])}
        drawn |= {"batch_size": [64, int(rng.integers(1, 1442))], "seed": int(rng.integers(99))}
        fixed = {"clients": clients, "sample_cost": sample_cost, "fraction": fraction}
        rows = plan(configs(PLAN | drawn | fixed | {"assign": ["slowest-first", "planned"]}))
        slow = random_streams(drawn["seed"])["delays"].random(clients) < fraction
        for row in rows:
            assert row["epoch_time"] >= row["least_time"]
            assert row["above_least"] == row["epoch_time"] / row["least_time"] - 1
            assert row["stragglers"] == slow.sum()
            assert row["participants"] <= clients
        free = [row for row in rows if row["sampler"] in ("ugs", "lds")]
        least = {row["batch_size"]: row["least_time"] for row in free}
        assert all(row["least_time"] == least[row["batch_size"]] for row in free)
        fixed = [row for row in rows if row["assign"]]
        assert all(row["least_time"] >= 0.99 * least[row["batch_size"]] for row in fixed)


NUMBERS = (
    *("num_steps", "epoch_time", "least_time", "above_least", "time_saved", "participants"),
    *("mean_deviation", "max_deviation", "tail_deviation", "high_deviation", "stragglers"),
    *("megabytes", "megabytes_up", "megabytes_down"),
)


def a_row(**changed: object) -> Row:
    """One of a plan."""
    settings = ("delta", "concentration", "slack", "assign", "test_accuracy")
    row = dict.fromkeys(settings) | dict.fromkeys(NUMBERS, 1.0) | {"sampler": "ugs", "seed": 0}
    return row | {"batch_size": 64, "cut": 3, "largest_batch": 1, "pareto": True} | changed


def test_only_seeds_are_averaged() -> None:
    """Schedules that differ in one option alone have a row each."""
    same = {"sampler": "lds", "delta": 1.0, "concentration": 1.0, "slack": 0.0, "assign": "random"}
    others = {"sampler": "ugs", "delta": 2.0, "concentration": 0.1, "slack": 1.0, "assign": "x"}
    others["cut"] = 1
    every = [{}, {"batch_size": 8}, *({name: value} for name, value in others.items())]
    rows = [a_row(**same | other, epoch_time=i) for i, other in enumerate(every)]
    later = [row | {"seed": 1, "epoch_time": row["epoch_time"] + 4} for row in rows]
    found = planned([*rows, *later])
    assert [row["epoch_time"] for row in found] == [2 + i for i in range(len(every))]
    assert all(
        row.items() >= (same | other).items() for row, other in zip(found, every, strict=True)
    )
    assert {row["epoch_time_std"] for row in found} == {8**0.5}
    assert {(row["seeds"], row["participants"], row["test_accuracy"]) for row in found} == {
        (2, 1.0, None)
    }


@given(
    st.lists(st.tuples(*4 * [st.integers(1, 3)]), min_size=1, max_size=12, unique=True),
    st.booleans(),
)
def test_nobody_better_are_those_that_no_other_of_the_batch_size_dominates(
    points: list, sent: bool
) -> None:
    """In time, largest deviation and, if they are known, megabytes."""
    rows = [
        a_row(batch_size=size, epoch_time=time, max_deviation=largest, slack=i)
        | {"megabytes": megabytes if sent else None}
        for i, (size, time, largest, megabytes) in enumerate(points)
    ]
    costs = [point if sent else point[:3] for point in points]
    beaten = {
        mine
        for mine in costs
        for other in costs
        if other[0] == mine[0] and other != mine
        if all(theirs <= own for theirs, own in zip(other[1:], mine[1:], strict=True))
    }
    assert [row["pareto"] for row in planned(rows)] == [point not in beaten for point in costs]


def test_two_that_are_equal_do_not_beat_each_other() -> None:
    assert [row["pareto"] for row in planned([a_row(delta=1), a_row(delta=2)])] == [True, True]


def test_recommended_is_the_fastest_that_is_allowed() -> None:
    """By default what UGS of its own batch size stays within; else the same for all."""
    ugs_64, fast_64, small_64, ugs_128, fast_128 = rows = [
        a_row(batch_size=64, epoch_time=9, max_deviation=0.4, high_deviation=0.5),
        a_row(batch_size=64, epoch_time=3, max_deviation=0.6, sampler="lds", high_deviation=9),
        a_row(batch_size=64, epoch_time=8, max_deviation=0.5, sampler="lds", high_deviation=9),
        a_row(batch_size=128, epoch_time=6, max_deviation=0.2, high_deviation=0.3),
        a_row(batch_size=128, epoch_time=5, max_deviation=0.4, sampler="lds", high_deviation=9),
    ]
    assert recommended(rows[:3]) == small_64
    assert recommended(rows[:2]) == ugs_64
    assert recommended(rows) == ugs_128
    assert recommended(rows, 0.4) == fast_128
    assert recommended(rows, 2.0) == fast_64
    assert recommended(rows, 0.1) is None
    assert recommended(rows, 0.0) is None


def test_batches_that_are_rounded_above_their_size_are_never_the_best() -> None:
    rows = [a_row(), a_row(sampler="fls", epoch_time=0.1, max_deviation=0.1, largest_batch=65)]
    assert [row["pareto"] for row in planned(rows)] == [True, False]
    assert recommended(planned(rows))["sampler"] == "ugs"


def test_of_two_that_are_as_fast_the_one_of_less_deviation_is_recommended() -> None:
    """Also where their times differ by rounding, or by less than a thousandth."""
    fast = a_row(sampler="lds", epoch_time=0.5, max_deviation=0.9, delta=1.0)
    even = a_row(sampler="stratified", epoch_time=0.5 * (1 + 1e-15), max_deviation=0.3)
    found = planned([a_row(high_deviation=1.0), fast, even])
    assert recommended(found)["sampler"] == "stratified"
    assert [row["pareto"] for row in found] == [False, False, True]
    late = even | {"epoch_time": 0.5005}
    assert recommended(planned([a_row(high_deviation=1.0), fast, late]))["max_deviation"] == 0.3
    fewer_bytes = planned([a_row(high_deviation=1.0), fast | {"megabytes": 0.5}, even])
    assert [row["pareto"] for row in fewer_bytes] == [False, True, True]
    assert recommended(fewer_bytes)["sampler"] == "stratified"


def test_where_nobody_is_ever_waited_for_nothing_is_saved(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("client,delay,cat,dog\na,0,10,20\nb,0,5,5\n")
    table = read(tmp_path / "t.csv")
    rows = plan(configs(PLAN | {"batch_size": 4}), table)
    assert {(row["epoch_time"], row["least_time"], row["time_saved"]) for row in rows} == {
        (0, 0, 0)
    }


def test_a_table_has_no_samples_to_train_with_and_centralized_no_time(pslref, tmp_path) -> None:
    (tmp_path / "t.csv").write_text("cat,dog\n10,20\n5,5\n")
    given = ["plan", "--table", str(tmp_path / "t.csv"), "--batch-size", "4"]
    for wrong in (["--accuracy"], ["--sampler", "lds,centralized"], ["--input-shape", "0,28"]):
        code, out, err = pslref(*given, *wrong)
        assert (code, out, err.count("\n")) == (2, "", 1)


def test_a_plan_says_of_the_example_in_method_md_what_is_computed_there_by_hand(pslref) -> None:
    links = Path(__file__).parents[2] / "docs" / "examples" / "links.csv"
    network = ["--input-shape", "4", "--hidden", "3", "--server-flops", "380"]
    given = ["--table", str(links), *network, "--batch-size", "5", "--sampler", "fls"]
    found = json.loads(pslref("plan", *given, "--json")[1])["results"]
    (fls,) = (row for row in found if row["sampler"] == "fls")
    assert fls["epoch_time"] == pytest.approx(4.925)
    assert fls["megabytes"] == pytest.approx(2368e-6)
    assert fls["participants"] == pytest.approx(8 / 3)
    out = pslref("plan", *given)[1]
    assert "Times are in seconds." in out
    assert " 4.9 " in next(line for line in out.splitlines() if line.startswith("fls"))


def test_several_cuts_are_compared_and_the_best_is_named(pslref) -> None:
    """At cut 1 no weights cross, and the server does all the work; from cut 2 on, weights do."""
    given = ["--links", "mobile", "--clients", "8", "--sampler", "stratified", "--seeds", "1"]
    found = json.loads(pslref("plan", *given, "--cut", "1,2,3", "--json")[1])
    assert found["config"]["cut"] == [1, 2, 3]
    rows = found["results"]
    assert [(row["sampler"], row["cut"]) for row in rows] == [
        (sampler, cut) for sampler in ("ugs", "stratified") for cut in (1, 2, 3)
    ]
    for row in rows:
        same = (other for other in rows if other["cut"] == row["cut"])
        of_ugs = next(other["epoch_time"] for other in same if other["sampler"] == "ugs")
        assert row["time_saved"] == 1 - row["epoch_time"] / of_ugs
        assert row["epoch_time"] >= row["least_time"]
    best = min(rows, key=lambda row: row["epoch_time"])
    out = pslref("plan", *given, "--cut", "1,2,3")[1]
    assert f"with B = 64 and cut = {best['cut']}. Its epoch" in " ".join(out.split())
    assert "less than ugs with the same B and cut" in " ".join(out.split())
