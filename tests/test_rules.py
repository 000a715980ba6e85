"""The rules of others, with which planned epochs are compared."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from pslref.split.timing import step_time
from tools import rules
from tools.rules import RULES, fast, flow, planned, quotas


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("draw", ["stratified", "hypergeometric"])
def test_every_rule_exhausts_every_client_in_batches_of_one_size(
    rule: str, draw: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "SIZE", 8)
    counts = rng.integers(0, 9, (7, 3))
    counts[0] = 0
    delays = 1 + rng.random(7)
    for cost in (0.0, 0.3):
        plan = planned(rule, (counts, delays, cost * delays, draw), rng)
        assert (plan.sizes == counts.sum(axis=1)).all()
        assert rule == "fpls" or set(plan.batch_sizes[:-1].sum(axis=1)) <= {8}
        if plan.local_class_counts is not None:
            assert (plan.local_class_counts.sum(axis=0) == counts).all()


def test_flow_ends_a_step_as_soon_as_any_assignment_and_fast_ends_no_sooner(
    rng: np.random.Generator,
) -> None:
    for _ in range(60):
        left = rng.integers(0, 3, (3, 2))
        wanted = rng.binomial(left.sum(axis=0), 0.6)
        delays, costs = rng.integers(0, 4, 3) / 2, rng.integers(0, 3, 3) / 2
        if not wanted.any():
            continue
        cells = product(*(range(n + 1) for n in left.ravel()))
        every = [np.reshape(cell, left.shape) for cell in cells]
        times = [
            step_time(brought.sum(axis=1), delays, costs)
            for brought in every
            if (brought.sum(axis=0) == wanted).all()
        ]
        found = {rule: rule(wanted, left, delays, costs) for rule in (flow, fast)}
        for brought in found.values():
            assert (brought <= left).all()
            assert (brought.sum(axis=0) == wanted).all()
        time = {rule: step_time(b.sum(axis=1), delays, costs) for rule, b in found.items()}
        assert time[flow] == min(times) <= time[fast]


def test_greedy_is_not_always_best() -> None:
    """The first client could leave class 0 to the second, which has nothing else."""
    case = np.array([1, 1]), np.array([[1, 1], [1, 0]]), np.zeros(2), np.ones(2)
    assert fast(*case).tolist() == [[1, 1], [0, 0]]
    assert flow(*case).tolist() == [[0, 1], [1, 0]]


def test_fast_is_greedy_and_ties_go_by_number(rng: np.random.Generator) -> None:
    """Written a second time, sample by sample, with times of which many are equal."""
    for _ in range(300):
        left = rng.integers(0, 4, (4, 3))
        wanted = rng.binomial(left.sum(axis=0), 0.7)
        delays, costs = rng.integers(0, 3, 4), rng.integers(0, 2, 4)
        by_hand = np.zeros_like(left)
        for _ in range(wanted.sum()):
            missing = wanted - by_hand.sum(axis=0)
            m = min(range(3), key=lambda m: (-missing[m], m))
            _, k = min(
                (delays[k] + (by_hand[k].sum() + 1) * costs[k], k)
                for k in range(4)
                if by_hand[k, m] < left[k, m]
            )
            by_hand[k, m] += 1
        assert (fast(wanted, left, delays.astype(float), costs.astype(float)) == by_hand).all()


def test_quotas_go_up_where_most_is_cut_off_and_ties_go_by_number(
    rng: np.random.Generator,
) -> None:
    for _ in range(300):
        left = rng.integers(0, 6, 5)
        if not left.any():
            continue
        size = int(rng.integers(1, left.sum() + 1))
        due = [Fraction(size * int(n), int(left.sum())) for n in left]
        cut_off = [share - int(share) for share in due]
        first = sorted(range(5), key=lambda k: (-cut_off[k], k))[: int(sum(cut_off))]
        by_hand = [int(due[k]) + (k in first) for k in range(5)]
        brought = quotas(np.array([size]), left[:, np.newaxis], np.zeros(5), np.zeros(5))
        assert brought[:, 0].tolist() == by_hand
        assert (brought[:, 0] <= left).all()


def test_fast_and_quotas_by_hand() -> None:
    """The second client begins late, and brings the third sample; remainders of 8 / 9 go up."""
    brought = fast(
        np.array([3, 1]), np.array([[3, 1], [2, 2]]), np.array([0.0, 1.5]), np.array([1, 1])
    )
    assert brought.tolist() == [[2, 1], [1, 0]]
    brought = quotas(np.array([4]), np.array([[5], [2], [2], [0]]), np.zeros(4), np.zeros(4))
    assert brought[:, 0].tolist() == [2, 1, 1, 0]
