from collections import Counter
from fractions import Fraction
from itertools import product
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pslref.partition import extended_dirichlet
from pslref.sampling import global_batch_sizes, targets
from pslref.sampling.assign import slowest_first_order, slowest_first_within_classes
from pslref.sampling.schedule import tallied
from pslref.split import epoch_time, epoch_time_bound
from tests.sampling.drawn import class_counts
from tests.sampling.exact import least_epoch_time
from tests.theory.shuffling import every_order


@st.composite
def plans(draw: st.DrawFn):
    """Class counts, the targets of an epoch, and what a step costs each client."""
    counts = draw(class_counts(clients=5, classes=3, most=5))
    num_classes = counts.shape[1]
    labels = np.repeat(np.arange(num_classes), counts.sum(axis=0))
    line = np.array(draw(st.permutations(labels.tolist())))
    batches = global_batch_sizes(line.size, draw(st.integers(1, line.size)))
    cost = st.lists(st.integers(0, 3) | st.floats(0, 3), min_size=len(counts), max_size=len(counts))
    class_targets = tallied(line, batches, num_classes)
    return counts, class_targets, np.array(draw(cost), float)


# --- slowest first


@given(plans(), st.integers(0, 2**32))
def test_slowest_first_is_done_with_every_group_of_slow_clients_at_the_earliest(case, seed) -> None:
    counts, class_targets, delays = case
    local = slowest_first_within_classes(class_targets, counts, delays)
    assert (local.sum(axis=0) == counts).all()
    assert (local.sum(axis=1) == class_targets).all()
    so_far = class_targets.cumsum(axis=0)
    for delay in delays:
        held = counts[delays >= delay].sum(axis=0)
        enough = np.flatnonzero((so_far >= held).all(axis=1))[0]
        assert not local[enough + 1 :, delays >= delay].any()


def test_ties_go_by_the_clients_numbers_and_an_example_by_hand() -> None:
    counts = np.array([[2, 0], [1, 2], [1, 1]])
    local = slowest_first_within_classes(np.array([[2, 1], [2, 2]]), counts, np.array([1.0, 5, 5]))
    assert local.tolist() == [[[0, 0], [1, 1], [1, 0]], [[2, 0], [0, 1], [0, 1]]]


def test_a_hundred_ties_go_by_the_clients_numbers() -> None:
    steps, delays = np.ones((100, 1), int), np.tile([1.0, 2.0], 50)
    local = slowest_first_within_classes(steps, np.ones((100, 1), int), delays)
    assert local[:, :, 0].argmax(axis=1).tolist() == [*range(1, 100, 2), *range(0, 100, 2)]


@given(plans())
def test_an_order_has_every_client_once_and_from_slow_to_fast(case) -> None:
    counts, _, delays = case
    order = slowest_first_order(counts, delays)
    assert sorted(order) == list(range(len(delays)))
    assert (np.diff(delays[order]) <= 0).all()


def test_equally_slow_clients_are_asked_together() -> None:
    """Two who hold a class each serve a step, then one who holds both; the slower before them."""
    counts = np.array([[4, 0], [4, 4], [0, 4], [1, 0]])
    assert slowest_first_order(counts, np.array([1.0, 1, 1, 2])).tolist() == [3, 2, 0, 1]
    counts, rng = counts[:3], np.random.default_rng(0)
    plan = targets(counts, 2, rng, delays=np.ones(3), draw="stratified")
    assert np.count_nonzero(plan.batch_sizes) == 12
    by_number = slowest_first_within_classes(
        plan.local_class_counts.sum(axis=1), counts, np.ones(3)
    )
    assert np.count_nonzero(by_number.sum(axis=2)) == 16


def test_few_clients_a_step_where_all_are_equally_slow() -> None:
    """Severe, 128 clients: 7.4 instead of 8.9; mild: 5.1 instead of 7.7."""
    labels = np.repeat(np.arange(10), 1_000)
    for classes, most in ((2, 0.9), (5, 0.75)):
        rng = np.random.default_rng(classes)
        counts = extended_dirichlet(labels, 128, classes, 3.0, rng).class_counts
        plan = targets(counts, 100, rng, delays=np.ones(128), draw="stratified")
        wanted = plan.local_class_counts.sum(axis=1)
        by_number = slowest_first_within_classes(wanted, counts, np.ones(128)).sum(axis=2)
        assert np.count_nonzero(plan.batch_sizes) < most * np.count_nonzero(by_number)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=6).filter(any), st.data())
def test_for_one_class_nothing_is_faster(sizes, data) -> None:
    delays = data.draw(st.lists(st.floats(0, 9), min_size=len(sizes), max_size=len(sizes)))
    batch_size = data.draw(st.integers(1, sum(sizes)))
    rng = np.random.default_rng(0)
    schedule = targets(np.array(sizes)[:, np.newaxis], batch_size, rng, delays=delays)
    bound = epoch_time_bound(sizes, delays, batch_size)
    assert epoch_time(schedule, delays) == pytest.approx(bound)


def slow_steps(class_targets: np.ndarray, slow: np.ndarray) -> int:
    counts = np.array([slow, class_targets.sum(axis=0) - slow])
    local = slowest_first_within_classes(class_targets, counts, np.array([2.0, 1.0]))
    return int(local[:, 0].any(axis=1).sum())


def slow_steps_of_ugs(total: int, slow: int, batches: np.ndarray) -> Fraction:
    return sum((1 - Fraction(comb(total - slow, b), comb(total, b)) for b in batches), Fraction(0))


def test_for_fixed_targets_slowest_first_can_lose() -> None:
    """One slow client with one sample of each class."""
    slow = np.array([1, 1])
    apart = np.array([[2, 0], [0, 2]])
    assert slow_steps(apart, slow) == 2
    assert slow_steps_of_ugs(4, 2, np.array([2, 2])) == Fraction(5, 3)
    # With these targets dealing at random does better, if both fall into the last step.
    third = np.array([[2, 0], [0, 2], [1, 1]])
    of_class = [(0, 0, 2), (1, 1, 2)]  # the steps of each class's three samples
    at_random = [len({a, b}) for a, b in product(*of_class)]
    assert slow_steps(third, slow) == 2
    assert Fraction(sum(at_random), len(at_random)) == Fraction(17, 9)
    counts, delays = np.array([slow, [2, 2]]), np.array([2.0, 1.0])
    best = least_epoch_time(np.full(3, 2), counts, delays, class_targets=third)
    assert best == pytest.approx(2 + 1 + 1)


def partitions(total: int, most: int) -> list[list[int]]:
    if not total:
        return [[]]
    return [[n, *rest] for n in range(min(total, most), 0, -1) for rest in partitions(total - n, n)]


@pytest.mark.parametrize("total", [2, 3, 4, 5])
def test_on_average_over_targets_slowest_first_never_has_more_slow_steps_than_ugs(total) -> None:
    """Every federation of slow and fast clients with up to 5 samples, every batch size; exactly."""
    gains = 0
    for totals in partitions(total, total):
        orders = [np.array(order) for order in every_order(totals)]
        for batch_size in range(1, total):
            batches = global_batch_sizes(total, batch_size)
            drawn = [tallied(order, batches, len(totals)) for order in orders]
            seen = Counter(rows.tobytes() for rows in drawn)
            for slow in product(*(range(n + 1) for n in totals)):
                steps = sum(
                    seen_times
                    * slow_steps(
                        np.frombuffer(rows, np.int64).reshape(len(batches), -1), np.array(slow)
                    )
                    for rows, seen_times in seen.items()
                )
                of_ugs = slow_steps_of_ugs(total, sum(slow), batches)
                assert Fraction(steps, len(orders)) <= of_ugs
                gains += Fraction(steps, len(orders)) < of_ugs
    assert gains > 0 or total == 2


def test_for_fixed_targets_it_is_near_the_best_assignment() -> None:
    """Against an integer program: the same targets, one straggler in four clients, 14 % on average.

    What it misses are steps that happen to be rich in what the straggler holds. Stratified steps
    are all alike, so that there it misses next to nothing: see slack 0 in test_targets.
    """
    rng, ratios = np.random.default_rng(0), []
    for _ in range(20):
        counts = rng.integers(0, 6, (4, 3)) * rng.integers(0, 2, (4, 3))
        counts[0, 0] += 1
        delays = np.array([10.0, 1, 1, 1]) * (1 + 0.2 * rng.random(4))
        schedule = targets(counts, 5, rng, delays=delays)
        rows = schedule.local_class_counts.sum(axis=1)
        best = least_epoch_time(rows.sum(axis=1), counts, delays, class_targets=rows)
        ratios.append(epoch_time(schedule, delays) / best)
    assert min(ratios) > 1 - 1e-6
    assert np.mean(ratios) < 1.15
