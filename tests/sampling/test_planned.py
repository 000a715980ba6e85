"""The epoch planned as a whole: every sample once, in the room and the mix that was asked for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.sparse import csgraph
from scipy.sparse.csgraph import maximum_flow

from pslref.partition import extended_dirichlet
from pslref.sampling import global_batch_sizes, targets, ugs
from pslref.sampling.planned import Bounds, Pairs, _evenly, _supplied, _supply
from pslref.sampling.program import fluid
from pslref.split import epoch_time, straggler_delays
from pslref.theory import least_epoch_time
from tests.sampling.drawn import class_counts

seeds = st.integers(0, 2**32 - 1)


@st.composite
def federations(draw: st.DrawFn, most: int = 12):
    """Empty clients and classes, ties, nothing that costs, and batches from one sample to all."""
    counts = draw(class_counts(clients=6, classes=4, most=most))
    some = st.sampled_from([0.0, 1.0, 1.5]) | st.floats(0, 9)
    delays, costs = (
        np.array(draw(st.lists(some, min_size=len(counts), max_size=len(counts)))) for _ in range(2)
    )
    total = int(counts.sum())
    size = draw(st.sampled_from([1, total]) | st.integers(1, total))
    return counts, delays, costs * draw(st.sampled_from([0, 1])), size


@settings(max_examples=25)
@given(
    federations(),
    st.sampled_from([0, 0.1, 0.5, 2]),
    st.sampled_from(["hypergeometric", "stratified"]),
    st.sampled_from(["short", "even"]),
    seeds,
)
def test_every_sample_is_used_once_and_the_mix_is_kept(case, slack, draw, remainder, seed) -> None:
    counts, delays, costs, size = case
    options = {"delays": delays, "sample_costs": costs, "slack": slack, "draw": draw}
    options |= {"assign": "planned", "remainder": remainder}
    plan = targets(counts, size, np.random.default_rng(seed), **options)
    promised = global_batch_sizes(int(counts.sum()), size, remainder)
    assert (plan.local_class_counts.sum(axis=0) == counts).all()
    assert plan.batch_sizes.sum(axis=1).tolist() == promised.tolist()
    if draw == "stratified":
        of_steps = plan.local_class_counts.sum(axis=1) / promised[:, np.newaxis]
        apart = np.abs(of_steps - counts.sum(axis=0) / counts.sum()).sum(axis=1)
        classes = int(np.count_nonzero(counts.any(axis=0)))
        assert (apart <= slack + 2 * (classes // 2) / promised + 1e-6).all()
    apart = np.abs(plan.local_class_counts.sum(axis=1) / promised[:, np.newaxis]
                   - counts.sum(axis=0) / counts.sum()).sum(axis=1).max()  # fmt: skip
    bound = least_epoch_time(counts, size, delays, costs, min(apart + 1e-9, 2))
    assert epoch_time(plan, delays, costs) >= bound * (1 - 1e-9)
    again = targets(counts, size, np.random.default_rng(seed), **options)
    assert (again.local_class_counts == plan.local_class_counts).all()


@given(st.lists(st.integers(0, 40), min_size=1, max_size=5), st.integers(1, 9), seeds)
def test_steps_of_a_group_have_their_share_of_every_class(classes, num_steps, seed) -> None:
    total = np.array(classes)
    total[0] += -total.sum() % num_steps
    steps = _evenly(total, num_steps, np.random.default_rng(seed))
    assert (steps.sum(axis=0) == total).all()
    assert (steps.sum(axis=1) == total.sum() // num_steps).all()
    assert (steps >= total // num_steps).all()
    assert (steps <= -(-total // num_steps)).all()


def test_which_steps_have_more_of_a_class_is_random(rng: np.random.Generator) -> None:
    """64 draws of two orders: both occur, but once in 2^63."""
    drawn = [_evenly(np.array([1, 1]), 2, rng).tolist() for _ in range(64)]
    assert [[1, 0], [0, 1]] in drawn
    assert [[0, 1], [1, 0]] in drawn


@given(class_counts(clients=4, classes=3, most=5), seeds)
def test_a_step_is_supplied_where_it_can_be(counts, seed) -> None:
    """Against a linear program with the same bounds, whose corners are whole."""
    rng = np.random.default_rng(seed)
    pairs = Pairs(*np.nonzero(counts), *counts.shape)
    left = counts[pairs.clients, pairs.classes]
    due, held = rng.integers(0, left + 1), pairs.by_client(left)
    low = rng.integers(0, held + 1) * rng.integers(0, 2, held.size)
    clients = Bounds(low, rng.integers(low, held + 1))
    wanted = rng.integers(0, pairs.by_class(left) + 1)
    of_client = pairs.clients == np.arange(counts.shape[0])[:, np.newaxis]
    of_class = pairs.classes == np.arange(counts.shape[1])[:, np.newaxis]
    sums = np.concatenate([of_client, -of_client.astype(int)])

    def there_is(most: np.ndarray) -> bool:
        return linprog(
            np.zeros(left.size), A_ub=sums, b_ub=np.concatenate([clients.high, -clients.low]),
            A_eq=of_class, b_eq=wanted, bounds=np.stack([0 * most, most], axis=1),
        ).status == 0  # fmt: skip

    found = _supply(pairs, (due, left), clients, wanted)
    assert (found is not None) == there_is(left)
    if found is not None:
        assert ((found >= 0) & (found <= left)).all()
        assert (pairs.by_class(found) == wanted).all()
        assert (pairs.by_client(found) >= clients.low).all()
        assert (pairs.by_client(found) <= clients.high).all()
        assert (found <= due).all() or not there_is(due)


def test_scipy_is_handed_indices_of_32_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """1.13 and 1.14 take no others."""
    dtypes = set()

    def watched(network, source, sink):
        dtypes.update((network.indices.dtype, network.indptr.dtype))
        return maximum_flow(network, source, sink)

    monkeypatch.setattr(csgraph, "maximum_flow", watched)
    targets([[2, 0], [0, 1]], 2, np.random.default_rng(0), assign="planned", sample_costs=1.0)
    assert dtypes == {np.dtype(np.int32)}


def test_a_step_for_which_there_is_no_room_is_late_by_as_little_as_need_be() -> None:
    """One client has one place and two samples of the class; it has room when that is doubled."""
    pairs = Pairs(np.array([0]), np.array([0]), 1, 1)
    room = np.array([1, 2, 3])[:, np.newaxis, np.newaxis]
    steps = _supplied(
        pairs, np.array([2]), np.array([[2.0]]), np.array([[2]]), np.zeros(1, int), room
    )
    assert [brought.tolist() for _, brought in steps] == [[[2]]]


def test_no_client_keeps_more_than_it_has_room_for_later() -> None:
    """Client 0 has one place a step, and must bring a sample to both, though client 1 is due."""
    pairs = Pairs(np.array([0, 1]), np.array([0, 0]), 2, 1)
    room = np.stack([np.array([[1], [2]]), np.array([[2], [2]])])
    steps = _supplied(
        pairs,
        np.array([2, 2]),
        np.array([[0.0, 4.0]]),
        np.array([[2], [2]]),
        np.zeros(2, int),
        room,
    )
    assert [brought.tolist() for _, brought in steps] == [[[1], [1]]] * 2


def scenario(mild: bool, even: bool, cost: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Some 20,000 samples at 32 clients; stragglers, or delays between 1 and 2."""
    rng = np.random.default_rng(5)
    labels = np.repeat(np.arange(10), 2_048)
    counts = extended_dirichlet(labels, 32, 5 if mild else 2, 3.0, rng).class_counts
    delays = straggler_delays(32, rng, fraction=0, jitter=1.0 if even else 0.2)
    delays[:4] *= 1 if even else 10
    return counts, delays, cost * delays


@pytest.mark.parametrize(
    ("mild", "even", "cost"),
    [(False, False, 0.1), (False, True, 1), (True, False, 1), (True, True, 0)],
)
def test_it_is_near_the_program_and_with_hypergeometric_targets_not_far(
    mild, even, cost, rng
) -> None:
    """Of the time of UGS, above steps and samples that can be divided: 2 %, and 6 %.

    The epoch has 160 steps, so that one more long step is 0.6 %.
    """
    counts, delays, costs = scenario(mild, even, cost)
    of_ugs = epoch_time(ugs(counts.sum(axis=1), 128, rng), delays, costs)
    options = {"delays": delays, "sample_costs": costs, "slack": 0.2, "assign": "planned"}
    best = fluid(counts, 128, delays, costs, 0.2)
    least = best.supply.sum(axis=1) @ best.deadlines / 128
    for draw, above in (("stratified", 0.02), ("hypergeometric", 0.06)):
        plan = targets(counts, 128, rng, draw=draw, **options)
        assert epoch_time(plan, delays, costs) < least + above * of_ugs


def test_many_clients_count_as_fewer_and_each_brings_its_own(rng: np.random.Generator) -> None:
    counts = rng.integers(0, 4, (600, 20))
    delays = straggler_delays(600, rng)
    plan = targets(
        counts, 256, rng, delays=delays, sample_costs=delays, draw="stratified", assign="planned"
    )
    assert (plan.local_class_counts.sum(axis=0) == counts).all()
    bound = least_epoch_time(counts.sum(axis=1)[:, None], 256, delays, delays)
    of_ugs = epoch_time(ugs(counts.sum(axis=1), 256, rng), delays, delays)
    assert bound <= epoch_time(plan, delays, delays) < 0.9 * of_ugs
