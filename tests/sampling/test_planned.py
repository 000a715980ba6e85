"""The epoch planned as a whole: every sample once, in the room and the mix that was asked for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.sparse import csgraph
from scipy.sparse.csgraph import maximum_flow
from scipy.stats import binomtest

from pslref.partition import extended_dirichlet
from pslref.sampling import global_batch_sizes, targets, targets_steps, ugs
from pslref.sampling.planned import MOST_PLANNED, NEAR, Bounds, Part, Trial, _Epoch, _flow
from pslref.sampling.program import Fluid, fluid
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


def steps_of(counts, size, deadlines, supply, delays, costs, rng, *, is_drawn=False):
    """(T, K, M) the steps of a program's epoch."""
    counts = np.array(counts)
    best = Fluid(np.array(deadlines, float), np.array(supply, float))
    batches = global_batch_sizes(int(counts.sum()), size)
    epoch = _Epoch(counts, batches, np.array(delays), np.array(costs), best, rng, is_drawn)
    steps = np.zeros((batches.size, *counts.shape), np.int64)
    whole = Part(0, batches.size, np.arange(epoch.counts.size), epoch.counts)
    for step, (clients, brought) in zip(steps, epoch.steps(whole), strict=True):
        step[clients] = brought
    return steps


@given(class_counts(clients=4, classes=4, most=9), st.integers(1, 9), seeds)
def test_steps_of_a_group_have_their_share_of_every_class(counts, num_steps, seed) -> None:
    counts[0, 0] += -counts.sum() % num_steps
    size, clients = int(counts.sum()) // num_steps, len(counts)
    steps = steps_of(
        counts, size, [1], [counts[counts > 0]], np.ones(clients), np.zeros(clients),
        np.random.default_rng(seed),
    ).sum(axis=1)  # fmt: skip
    total = counts.sum(axis=0)
    assert (steps >= total // num_steps).all()
    assert (steps <= -(-total // num_steps)).all()


def test_which_steps_have_more_of_a_class_is_random(rng: np.random.Generator) -> None:
    """64 draws of two orders: both occur, but once in 2^63."""
    drawn = [
        steps_of([[1, 1]], 1, [1], [[1, 1]], [1.0], [0.0], rng).sum(axis=1).tolist()
        for _ in range(64)
    ]
    assert [[1, 0], [0, 1]] in drawn
    assert [[0, 1], [1, 0]] in drawn


def test_drawn_class_counts_are_hypergeometric_where_there_is_room(rng, alpha) -> None:
    """Two of two classes, by two: one of each with probability 2/3. Of 2,000, 60 off are found."""
    mixed = 0
    for _ in range(2_000):
        first = targets([[1, 1], [1, 1]], 2, rng, assign="planned").local_class_counts[0]
        mixed += first.sum(axis=0).tolist() == [1, 1]
    assert binomtest(mixed, 2_000, 2 / 3).pvalue > alpha


@given(class_counts(clients=4, classes=3, most=5), seeds)
def test_a_flow_is_found_where_there_is_one(counts, seed) -> None:
    """Against a linear program with the same bounds, whose corners are whole."""
    rng = np.random.default_rng(seed)
    clients, classes = np.nonzero(counts)
    most = counts[clients, classes]
    of_pairs = [
        names == np.arange(number)[:, np.newaxis]
        for names, number in zip((clients, classes), counts.shape, strict=True)
    ]
    size = int(rng.integers(0, most.sum() + 1))
    bounds = []
    for members in of_pairs:
        low = rng.integers(0, members @ most + 1) * rng.integers(0, 2, len(members))
        bounds.append(Bounds(low, rng.integers(low, members @ most + 1)))
    sums, limits = np.concatenate(of_pairs), np.concatenate(bounds, axis=1)
    there_is = linprog(
        np.zeros(most.size), A_ub=np.concatenate([sums, -1 * sums]),
        b_ub=np.concatenate([limits[1], -limits[0]]), A_eq=np.ones((1, most.size)), b_eq=[size],
        bounds=np.stack([0 * most, most], axis=1),
    ).status == 0  # fmt: skip
    found = _flow(clients, classes, Trial(most, *bounds), size, rng)
    assert (found is not None) == there_is
    if found is not None:
        assert found.sum() == size
        assert ((found >= 0) & (found <= most)).all()
        assert ((sums @ found >= limits[0]) & (sums @ found <= limits[1])).all()


def test_scipy_is_handed_indices_of_32_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """1.13 and 1.14 take no others."""
    dtypes = set()

    def watched(network, source, sink):
        dtypes.update((network.indices.dtype, network.indptr.dtype))
        return maximum_flow(network, source, sink)

    monkeypatch.setattr(csgraph, "maximum_flow", watched)
    targets([[2, 0], [0, 1]], 2, np.random.default_rng(0), assign="planned", sample_costs=1.0)
    assert dtypes == {np.dtype(np.int32)}


def test_where_there_is_no_room_few_steps_are_late_by_as_little_as_need_be(rng) -> None:
    """By 1, client 0 has room for one sample a step, but the program gives it four in three."""
    for _ in range(20):
        steps = steps_of([[4], [2]], 2, [1], [[4, 2]], [0.0, 0.0], [1.0, 0.1], rng)
        assert sorted(steps[:, 0, 0].tolist()) == [1, 1, 2]


def test_no_client_keeps_more_than_it_has_room_for_later(rng: np.random.Generator) -> None:
    """Client 0 has one place a step, and must bring a sample to each of seven."""
    for _ in range(20):
        steps = steps_of([[7], [7]], 2, [1], [[7, 7]], [0.0, 0.0], [1.0, 0.1], rng)
        assert (steps == 1).all()


def test_who_holds_more_than_there_is_room_for_is_late_however_near_the_program_is(rng) -> None:
    """Client 0 has two places in two steps each, then one each: six for eight samples."""
    counts, delays, costs = np.array([[8], [8]]), np.zeros(2), np.array([1.0, 0.1])
    best = Fluid(np.array([2.0, 1]), np.array([[4.0, 4], [4, 4]]))
    epoch = _Epoch(counts, np.full(4, 4), delays, costs, best, rng, False)
    whole, both = Part(0, 4, np.arange(2), epoch.counts), np.arange(2)
    trials = [*epoch._trials(whole, 2, 8, both, both)]
    is_full = [bool((each.of_client.low > each.of_client.high).any()) for each in trials]
    assert all(is_full[: len(NEAR) + 1])
    assert not is_full[-1]


def test_more_samples_than_can_be_planned_are_refused() -> None:
    counts = np.array([[MOST_PLANNED], [1]])
    with pytest.raises(ValueError, match="samples to plan for = 1000000000: must be a whole"):
        targets_steps(counts, 10**6, np.random.default_rng(0), assign="planned")


def test_a_client_brings_what_is_due_before_its_time_is_over(rng: np.random.Generator) -> None:
    """Two steps until 3, two until 1: clients 0 and 1 take 3, and the others bring the rest."""
    counts, supply = [[2], [2], [2], [2]], [[2, 2, 0, 0], [0, 0, 2, 2]]
    for _ in range(20):
        steps = steps_of(counts, 2, [3, 1], supply, [3.0, 3, 1, 1], np.zeros(4), rng)
        assert (steps[:2, :2].sum(axis=(1, 2)) == 2).all()
        assert (steps[2:, 2:].sum(axis=(1, 2)) == 2).all()


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
def test_it_is_near_the_program(mild, even, cost, rng) -> None:
    """Above steps and samples that can be divided, 1.5 % of the time of UGS.

    The epoch has 160 steps, so that one more long step is 0.6 %.
    """
    counts, delays, costs = scenario(mild, even, cost)
    of_ugs = epoch_time(ugs(counts.sum(axis=1), 128, rng), delays, costs)
    options = {"delays": delays, "sample_costs": costs, "slack": 0.2, "assign": "planned"}
    best = fluid(counts, 128, delays, costs, 0.2)
    least = best.supply.sum(axis=1) @ best.deadlines / 128
    for draw in ("stratified", "hypergeometric"):
        plan = targets(counts, 128, rng, draw=draw, **options)
        assert epoch_time(plan, delays, costs) < least + 0.015 * of_ugs


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
