"""What the judge asks of epochs planned as a whole: of all right ones, and of wrong ones."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from pslref.oracle.bets import FAMILIES
from pslref.oracle.class_targets import judge_targets
from pslref.oracle.planned import Plan
from pslref.oracle.randomness import ROOMS, SLACK
from pslref.oracle.result import Result
from pslref.sampling import global_batch_sizes, targets
from pslref.theory import least_epoch_time
from tests.backends.plain_planned import _program, planned, rooms

LAW = [family.__name__ for family in FAMILIES]


def drawn(number: int, rng: np.random.Generator, largest: int) -> Iterator[dict[str, Any]]:
    """Arguments of class targets: any delays and costs, also equal ones, and empty clients."""
    while number:
        clients, classes = (int(rng.integers(1, most + 1)) for most in (largest, 4))
        held = rng.integers(0, rng.choice([3, 9, 30]), (clients, classes))
        held *= rng.random(held.shape) < rng.choice([0.5, 1])
        if held.sum() < 2:
            continue
        steps = int(rng.integers(1, min(5 * largest, held.sum()) + 1))
        slow = rng.choice([1, 2, 10], clients, p=[0.6, 0.2, 0.2])
        delays = slow * (1 + rng.random(clients) * rng.integers(2))
        yield {
            "class_counts": held,
            "batch_size": -(-int(held.sum()) // steps),
            "delays": delays,
            "sample_costs": rng.choice([0, 0.01, 0.1, 1, 5]) * rng.permutation(delays),
            "slack": float(rng.choice([0, 0, 0.1, 0.4, 2])),
            "draw": str(rng.choice(["hypergeometric", "stratified"])),
            "remainder": str(rng.choice(["short", "even"])),
        }
        number -= 1


def judged(local: list[np.ndarray], given: dict[str, Any], **options: Any) -> list[Result]:
    stated = [epoch.sum(axis=1) for epoch in local]
    return judge_targets(stated, local, assign="planned", **given, **options)


def wrong(results: list[Result]) -> list[str]:
    return [f"{one.check}: {one.detail}" for one in results if one.is_wrong]


def test_right_plans_are_never_accused(rng: np.random.Generator, alpha: float) -> None:
    """100 cases by the library, two epochs each. False alarm: 1e-8. No time is noted either."""
    for given in drawn(100, rng, 9):
        epochs = [targets(rng=rng, assign="planned", **given) for _ in range(2)]
        results = judged([one.local_class_counts for one in epochs], given, alpha=alpha / 100)
        assert not wrong(results), given
        assert "noted" not in {one.verdict for one in results}, given


def test_plans_by_another_program_are_never_accused(rng, alpha: float) -> None:
    """40 small cases by the simplex and an integer program. False alarm: 1e-8."""
    for given in drawn(40, rng, 4):
        n = int(given["class_counts"].sum())
        cuts = global_batch_sizes(n, given["batch_size"], given["remainder"]).tolist()
        options = [given[name] for name in ("delays", "sample_costs", "slack")]
        local = planned(given["draw"], given["class_counts"], cuts, *options, rng, set())
        results = judged([local], given, alpha=alpha / 40)
        assert not wrong(results), given


COUNTS = np.array([[6, 6], [6, 6]])
EVEN: dict[str, Any] = {
    **{"class_counts": COUNTS, "batch_size": 12, "delays": [1.0, 3.0], "draw": "stratified"},
    "sample_costs": [0.5, 0.25],
}


@pytest.mark.parametrize(("slack", "most"), [(0.0, 7), (0.5, 10), (0.7, 11)])
def test_deviation_is_slack_and_rounding(slack: float, most: int) -> None:
    """Two classes, p = 1/2, B = 12: Δ = |c - 6| / 6, and slack + 1/6 at most. [derived]"""
    for first in (most, most + 1):
        one = [[min(first, 6), 12 - first], [first - min(first, 6), 0]]
        local = np.array([one, COUNTS - one])
        checks = {r.check: r for r in judged([local], EVEN | {"slack": slack})}
        assert checks["deviation"].is_wrong == (first > most)
    said = f"epoch 0 has a Δ of {(most - 5) / 6:.2f} in step 0, and at most {slack + 1 / 6:.2f} if "
    assert checks["deviation"].detail.startswith(said)


def test_rounding_and_chance_are_those_of_the_formula() -> None:
    """Three classes: two of them can be off against each other, the third cannot. [derived]"""
    plan = Plan(np.full((2, 3), 20), 24, np.ones(2), np.zeros(2), 0.25)
    batches = np.array([48, 48, 24])
    most = 0.25 + 2 / batches
    np.testing.assert_allclose(plan.most(batches), most)
    eps = np.sqrt(2 * np.log((2**3 - 2) / 1e-6) * (1 - (batches - 1) / 120) / batches)
    np.testing.assert_allclose(plan.most(batches, 1e-6), most + eps)


def test_the_law_is_judged_where_all_steps_are_one_group() -> None:
    """Two steps of 4, or of 5 and 3; of 5 the last is a group of its own."""
    held = np.array([[4, 0], [0, 4]])
    given: dict[str, Any] = {"class_counts": held, "draw": "hypergeometric"}
    rng = np.random.default_rng(0)
    for size, delays, last in ((4, [1, 9], LAW), (5, [1, 9], ["time"]), (4, [9, 9], LAW)):
        given |= {"batch_size": size, "delays": delays}
        local = targets(rng=rng, assign="planned", **given).local_class_counts
        assert [one.check for one in judged([local], given)][-len(last) :] == last
    mixed = {"class_counts": np.array([[2, 2], [2, 2]]), "batch_size": 4, "delays": [1, 9]}
    local = targets(rng=rng, assign="planned", **given | mixed).local_class_counts
    assert judged([local], given | mixed)[-1].check == "time"


def test_a_right_plan_looks_like_no_mistake() -> None:
    plan = Plan(np.array([[6], [6]]), 6, np.ones(2), np.array([1.0, 1.0]), 0.0)
    for costs in (0.0, 1.0):
        local = np.full((2, 2, 1), 3)
        epochs = [(local.sum(axis=1), local)]
        assert plan._replace(sample_costs=costs * np.ones(2)).mistakes(epochs, True) == []


def test_a_drawn_mix_that_is_far_off_is_wrong_in_one_epoch() -> None:
    """Steps of one class each, of 300 samples: no draw within the slack gives that."""
    held = np.array([[300, 0], [0, 300]])
    local = np.array([held * [[1], [0]], held * [[0], [1]]])
    given = {"class_counts": held, "batch_size": 300, "delays": [1, 9], "draw": "hypergeometric"}
    for slack, checks in ((0.0, ["deviation"]), (0.8, [])):
        results = judged([local], given | {"slack": slack, "sample_costs": 1.0})
        assert [one.check for one in results if one.is_wrong] == checks


def test_a_long_time_is_noted_and_its_reason_named() -> None:
    """20 steps of 6 by the client to which a sample costs 5, where 3 and 3 would do."""
    held, given = np.array([[60], [60]]), {"batch_size": 6, "delays": 1.0, "draw": "stratified"}
    given |= {"class_counts": held, "sample_costs": [5.0, 4.0]}
    alone = np.repeat([[[6], [0]], [[0], [6]]], 10, axis=0)
    (last,) = judged([alone], given)[-1:]
    assert (last.check, last.verdict) == ("time", "noted")
    assert last.detail == (
        "epochs take 560 (mean of 1), the least is 320; "
        "this looks like a known mistake: samples take no time"
    )
    assert judged([np.full((20, 2, 1), 3)], given)[-1].verdict == "ok"


@pytest.mark.parametrize(
    ("change", "is_one"),
    [
        ({}, True),
        ({"delays": np.array([5.0, 5.0])}, True),
        ({"delays": np.array([5.0, 1.0])}, False),
        ({"slack": 0.1}, False),
        ({"sample_costs": np.array([0.0, 0.1])}, False),
        ({"class_counts": np.array([[2, 1], [2, 1]])}, False),
    ],
)
def test_one_deadline_is_certain_where_every_step_needs_the_slowest(change, is_one) -> None:
    plan = Plan(np.array([[2, 0], [2, 3]]), 2, np.array([1.0, 5.0]), np.zeros(2), 0.0)
    assert plan._replace(**change).has_one_deadline() == is_one


@pytest.mark.parametrize(
    ("inputs", "steps"), [(ROOMS, {8.0: 4, 3.0: 4}), (SLACK, {10.0: 20, 1.0: 20})]
)
def test_where_the_least_time_is_asked_for_one_plan_alone_has_it(inputs, steps, rng) -> None:
    """Whatever is a little longer or shorter, the program has the same steps of each deadline.

    Then the rooms and the slack are used up, so that who brings what is fixed too.
    """
    counts, size, slack = inputs["class_counts"], inputs["batch_size"], inputs["slack"]
    delays, costs = inputs["delays"], inputs["sample_costs"]
    nth = np.arange(1, size + 1)
    times = np.unique((delays + nth[:, np.newaxis] * costs)[:, counts.any(axis=1)])
    room = rooms(times, delays, costs, size, set()).T
    for _ in range(20):
        moved = times * (1 + 1e-6 * rng.uniform(-1, 1, times.size))
        found, _ = _program(counts, size, moved, room, slack)
        np.testing.assert_allclose(found[::-1], [steps.get(z, 0) for z in times], atol=1e-6)
    least = sum(z * number for z, number in steps.items())
    assert least_epoch_time(counts, size, delays, costs, slack) == pytest.approx(least)
