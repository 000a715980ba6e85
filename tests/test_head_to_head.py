"""The rules of others, with which planned epochs are compared."""

from itertools import product

import numpy as np
import pytest

from pslref.split.timing import step_time
from tools import head_to_head
from tools.head_to_head import RULES, fast, flow, planned, quotas


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("draw", ["stratified", "hypergeometric"])
def test_every_rule_exhausts_every_client_in_batches_of_one_size(
    rule: str, draw: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head_to_head, "SIZE", 8)
    counts = rng.integers(0, 9, (7, 3))
    counts[0] = 0
    delays = 1 + rng.random(7)
    for cost in (0.0, 0.3):
        plan = planned(rule, (counts, delays, cost * delays, draw), rng)
        assert (plan.sizes == counts.sum(axis=1)).all()
        assert set(plan.batch_sizes[:-1].sum(axis=1)) <= {8}
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


def test_fast_and_quotas_by_hand() -> None:
    """The second client begins late, and brings the third sample; remainders of 8 / 9 go up."""
    brought = fast(
        np.array([3, 1]), np.array([[3, 1], [2, 2]]), np.array([0.0, 1.5]), np.array([1, 1])
    )
    assert brought.tolist() == [[2, 1], [1, 0]]
    brought = quotas(np.array([4]), np.array([[5], [2], [2], [0]]), np.zeros(4), np.zeros(4))
    assert brought[:, 0].tolist() == [2, 1, 1, 0]
