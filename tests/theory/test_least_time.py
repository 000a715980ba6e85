"""No schedule is sooner done than the bound says, by search and by simulation."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from pslref import sampling
from pslref.partition import extended_dirichlet
from pslref.sampling import Schedule, deadlines, program
from pslref.sampling.linear import Linear
from pslref.split import epoch_time, epoch_time_bound, straggler_delays
from pslref.theory import least_epoch_time
from tests.sampling.exact import least_divided_time, least_time_of_any

seeds = st.integers(0, 2**32 - 1)
SLACKS = (0, 0.2, 0.4, 1, 2)


def drawn(seed: int, clients: int, classes: int, most: int) -> tuple[np.ndarray, ...]:
    """Counts, delays and costs, with ties, zeros, empty clients and times far apart among them."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, most + 1, (clients, classes))
    if not counts.any():
        counts[0, 0] = 1
    far = 10.0 ** rng.integers(-9, 9)
    delays = rng.choice([0.0, 1.0, 1.5, rng.random() * 9, far], clients)
    costs = rng.choice([0.0, 0.1, 1.0, rng.random(), far * 0.1], clients) * rng.integers(0, 2)
    return counts, delays, costs


def simple_bound(sizes: np.ndarray, size: int, delays: np.ndarray, costs: np.ndarray) -> float:
    """What a line of the slowest first takes, and what a client takes alone."""
    alone = max(n * s + -(-n // size) * d for n, d, s in zip(sizes, delays, costs, strict=True))
    return max(float(alone), epoch_time_bound(sizes, delays + costs, min(size, int(sizes.sum()))))


def coarse(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Of all times only some are deadlines, of some clients at a time, in groups."""
    spread = deadlines.spread
    monkeypatch.setattr(deadlines, "spread", lambda times, _: spread(times, number))
    for name, most in (("MOST_TIMES", 4), ("MOST_ROOMS", 16)):
        monkeypatch.setattr(deadlines, name, most)
    monkeypatch.setattr(program, "BOUNDED_CELLS", 4)


def noisy(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator, size: float) -> None:
    """The solver is off by so much in every price."""
    solve = Linear.solve

    def altered(self: Linear) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        values, prices = solve(self)
        return values, {name: p + size * rng.normal(size=p.size) for name, p in prices.items()}

    monkeypatch.setattr(Linear, "solve", altered)


small = (seeds, st.integers(1, 3), st.integers(1, 2), st.integers(1, 5), st.sampled_from(SLACKS))


@settings(max_examples=150)
@given(*small, st.sampled_from([None, 2, 3]), st.sampled_from([0, 1e-6, 0.1]))
def test_it_is_never_above_the_optimum_of_small_cases(
    seed: int, clients: int, classes: int, size: int, slack: float, few: int | None, noise: float
) -> None:
    """With all deadlines or few, and whatever the prices are."""
    counts, delays, costs = drawn(seed, clients, classes, 2 if clients * classes > 3 else 3)
    with pytest.MonkeyPatch.context() as monkeypatch:
        if few:
            coarse(monkeypatch, few)
        noisy(monkeypatch, np.random.default_rng(seed), noise)
        found = least_epoch_time(counts, size, delays, costs, slack)
    assert found <= least_time_of_any(counts, size, delays, costs, slack)
    assert found >= simple_bound(counts.sum(axis=1), size, delays, costs) * (1 - 2e-12)


@settings(max_examples=50)
@given(seeds, st.integers(1, 4), st.integers(1, 4), st.sampled_from(SLACKS))
def test_no_step_is_worth_more_than_it_says_whatever_the_prices(
    seed: int, clients: int, classes: int, slack: float
) -> None:
    """Against the linear program of one step."""
    counts, delays, costs = drawn(seed, clients, classes, 6)
    held = counts.sum(axis=1) > 0
    rng, counts = np.random.default_rng(seed), counts[held]
    size = int(rng.integers(1, counts.sum() + 1))
    found = program._Program(counts, size, delays[held], costs[held], slack, is_full=False)
    prices, places = rng.normal(size=found.k.size), rng.normal(size=(3, classes))
    of_client = (found.k == np.arange(len(counts))[:, np.newaxis]).astype(float)
    of_class = (found.m == np.arange(classes)[:, np.newaxis]).astype(float)
    over = np.vstack([-np.eye(classes), np.ones(classes)])
    mix = np.vstack([of_class - found.mix[:, np.newaxis], np.full(found.k.size, -slack / 2)])
    all_ = np.append(np.ones(found.k.size), np.zeros(classes))
    rows = [np.hstack([of_client, np.zeros((len(counts), classes))]), all_, np.hstack([mix, over])]
    for worth, room in zip(found._worth(prices, places), found.room.T, strict=True):
        limits = np.concatenate([room, [size], np.zeros(classes + 1)])
        best = linprog(np.append(-prices, 0 * over[-1]), A_ub=np.vstack(rows), b_ub=limits)
        assert worth >= -best.fun * (1 - 1e-9)


@settings(max_examples=60)
@given(seeds, st.integers(1, 5), st.integers(1, 3), st.sampled_from(SLACKS), st.booleans())
def test_its_prices_are_those_of_the_program_with_all_deadlines(
    seed: int, clients: int, classes: int, slack: float, are_off: bool
) -> None:
    """Of times not too far apart for the solver; other prices prove less."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 5, (clients, classes))
    counts[0, 0] += 1
    counts = counts[counts.any(axis=1)]
    delays, costs = (rng.choice([0, 1.0, 1.5, rng.random()], len(counts)) for _ in range(2))
    costs *= rng.integers(0, 2)
    delays[0] += 0.5
    size = int(rng.integers(1, counts.sum() + 1))
    whole = least_divided_time(counts, size, delays, costs, slack)
    with pytest.MonkeyPatch.context() as monkeypatch:
        noisy(monkeypatch, rng, 0.05 * are_off)
        found = program.least_time(counts, size, delays, costs, slack)
    assert found <= whole * (1 + 1e-6)
    assert are_off or found >= whole * (1 - 1e-6)


def test_clients_some_at_a_time_have_the_same_rooms(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes, of_group = rng.integers(1, 6, 9), np.arange(9) // 2
    delays, costs = rng.choice([0.0, 1.0, 1.5], (2, 9))
    all_at_once = deadlines.deadlines(sizes, of_group, 4, delays, costs)
    monkeypatch.setattr(deadlines, "MOST_ROOMS", 16)
    some = deadlines.deadlines(sizes, of_group, 4, delays, costs)
    assert all((one == other).all() for one, other in zip(all_at_once, some, strict=True))


@pytest.mark.parametrize("is_free", [False, True])
def test_prices_that_nearly_cancel_prove_no_more_by_rounding(
    is_free: bool, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without slack, in fractions; the prices are of the size 1e9, their sums of 1e-6."""
    counts, size, delays = np.full((2, 3), 3), 6, np.array([1 - is_free, 1.0])
    seen: list[tuple[np.ndarray, ...]] = []  # prices of samples and places, worths
    worth_of = program._Program._worth

    def worth(self: program._Program, *prices: np.ndarray) -> np.ndarray:
        seen.append((*prices, worth_of(self, *prices)))
        return seen[-1][-1]

    def solve(self: Linear) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        prices = {name: np.zeros(rows.stop - rows.start) for name, rows in self.named.items()}
        for name in ("samples", "mix"):
            some = rng.normal(0, 1e9, prices[name].size).reshape(-1, 3)
            some[:, 2] = rng.normal(0, 1e-6, len(some)) - some[:, 0] - some[:, 1]
            prices[name] = some.ravel()
        return np.zeros(self.costs.size), prices

    monkeypatch.setattr(program._Program, "_worth", worth)
    monkeypatch.setattr(Linear, "solve", solve)
    for _ in range(50):
        planned = program._Program(counts, size, delays, np.zeros(2), 0.0, is_full=False)
        found = planned._solve(np.arange(planned.times.size))
        pi, rows = (np.vectorize(Fraction)(each.reshape(-1, 3)) for each in seen[-1][:2])
        assert Fraction(found.paid) <= 3 * pi.sum()
        for room, most in zip(planned.room.T.astype(int), seen[-1][2], strict=True):
            of_mix = [size * max(0, b.sum() / 3) for b in rows]
            of_clients = [room @ np.maximum(pi - b, 0).max(axis=1) for b in rows]
            assert most >= min(np.add(of_mix, of_clients))
        assert not is_free or (rows[0].sum() <= 0 and (pi[0] <= rows[0]).all())


def largest_deviation(schedule: Schedule, counts: np.ndarray, rng: np.random.Generator) -> float:
    """Of all steps, if every client hands out its samples in random order."""
    local = schedule.local_class_counts
    if local is None:
        local = np.zeros((schedule.num_steps, *counts.shape))
        for k, held in enumerate(counts):
            labels = rng.permutation(np.repeat(np.arange(held.size), held))
            steps = np.repeat(np.arange(schedule.num_steps), schedule.batch_sizes[:, k])
            np.add.at(local, (steps, k, labels), 1)
    of_steps = local.sum(axis=1)
    mixes = of_steps / of_steps.sum(axis=1, keepdims=True)
    return float(np.abs(mixes - counts.sum(axis=0) / counts.sum()).sum(axis=1).max())


@settings(max_examples=40)
@given(seeds, st.integers(1, 12), st.integers(1, 4), st.sampled_from(SLACKS), st.booleans())
def test_no_schedule_of_any_sampler_is_sooner_done(
    seed: int, clients: int, classes: int, slack: float, is_coarse: bool
) -> None:
    """At any mix and at the schedule's own largest deviation, and never below simple bounds."""
    counts, delays, costs = drawn(seed, clients, classes, 12)
    rng, sizes = np.random.default_rng(seed), counts.sum(axis=1)
    size = int(rng.choice([1, sizes.sum(), rng.integers(1, sizes.sum() + 1)]))
    options = {"delays": delays, "draw": str(rng.choice(["hypergeometric", "stratified"]))}
    planned = options | {"sample_costs": costs, "assign": "planned", "slack": slack}
    schedules = [
        sampling.ugs(sizes, size, rng),
        sampling.ugs(sizes, size, rng, remainder="even"),
        sampling.lds(counts, size, rng, delays=delays, delta=1.0),
        sampling.slowest_first(sizes, delays + costs, size),
        sampling.targets(counts, size, rng, **options),
        sampling.targets(counts, size, rng, **options, assign="random"),
        sampling.targets(counts, size, rng, **planned),
        sampling.fls(sizes, size),
        sampling.fpls(sizes, size),
    ]
    with pytest.MonkeyPatch.context() as monkeypatch:
        if is_coarse:
            coarse(monkeypatch, 5)
        for schedule in schedules:
            time = epoch_time(schedule, delays, costs)
            largest = max(size, int(schedule.batch_sizes.sum(axis=1).max()))
            for apart in (2.0, min(2.0, largest_deviation(schedule, counts, rng))):
                found = least_epoch_time(counts, largest, delays, costs, apart)
                assert found <= time
                assert found >= simple_bound(sizes, largest, delays, costs) * (1 - 2e-12)


@given(seeds, st.integers(1, 12), st.integers(1, 4))
def test_without_costs_any_mix_is_slowest_first_and_less_slack_takes_no_less(
    seed: int, clients: int, classes: int
) -> None:
    counts, delays, _ = drawn(seed, clients, classes, 12)
    size = int(np.random.default_rng(seed).integers(1, counts.sum() + 1))
    bounds = [least_epoch_time(counts, size, delays, slack=slack) for slack in (2, 1, 0.4, 0)]
    assert bounds[0] == pytest.approx(epoch_time_bound(counts.sum(axis=1), delays, size))
    assert all(b >= a * (1 - 1e-2) for a, b in pairwise(bounds))


def test_what_takes_any_time_is_not_free_whatever_the_prices() -> None:
    """Times of 1e-390 of the longest, which is 0 in floats."""
    counts, delays = np.array([[1, 1], [0, 2], [2, 0]]), np.array([1e200, 1e-200, 1e-190])
    for seed in range(20):
        with pytest.MonkeyPatch.context() as monkeypatch:
            noisy(monkeypatch, np.random.default_rng(seed), 0.01)
            found = least_epoch_time(counts, 2, delays, slack=0.5)
        assert found <= least_time_of_any(counts, 2, delays, 0 * delays, 0.5)


def severe(num_clients: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([num_clients, 0, 0, 0])
    labels = np.repeat(np.arange(10), 5000)
    part = extended_dirichlet(labels, num_clients, 2, 3.0, rng)
    return part.class_counts, straggler_delays(num_clients, rng)


@pytest.mark.parametrize(("cost", "slack"), [(0, 0.2), (0.01, 0), (0.01, 0.2), (1, 0.2), (1, 2)])
def test_it_is_what_steps_and_samples_that_can_be_divided_take(cost: float, slack: float) -> None:
    """But for 0.7 %, and for 0.1 % above: the last step has too few samples."""
    counts, delays = severe(16)
    best = program.fluid(counts, 128, delays, cost * delays, slack)
    divided = best.supply.sum(axis=1) @ best.deadlines / 128
    bound = least_epoch_time(counts, 128, delays, cost * delays, slack)
    assert 0.993 * divided < bound < 391 / (50_000 / 128) * divided


@pytest.mark.parametrize(("slack", "fast"), [(0, 20), (0.2, 25), (0.5, 40)])
def test_two_classes_by_hand(slack: float, fast: int) -> None:
    """So many samples in fast steps of 8, the others in steps that take 3.

    A slow client has 30 samples of one class, fast ones ten of it and 40 of the other. In fast
    steps the first class has a share of ½ − slack / 2 at least, and there are ten of it for them.
    """
    counts, delays = np.array([[30, 0], [10, 0], [0, 40]]), np.array([3.0, 1.0, 1.0])
    least = (3 * (80 - fast) + fast) / 8
    assert least * (1 - 1e-9) < least_epoch_time(counts, 8, delays, slack=slack) < least
    free = np.array([3.0, 0.0, 0.0])  # the fast steps take no time, whatever the prices are
    for seed in range(3):
        with pytest.MonkeyPatch.context() as monkeypatch:
            noisy(monkeypatch, np.random.default_rng(seed), 0.01)
            assert least_epoch_time(counts, 8, free, slack=slack) < 3 * (80 - fast) / 8


def test_costs_make_nothing_faster_also_where_there_are_too_many_times_to_try_all() -> None:
    """Severe, K = 16: between fast and slow clients' times is a gap, which a step cannot end in."""
    counts, delays = severe(16)
    free = least_epoch_time(counts, 128, delays, slack=0)
    assert least_epoch_time(counts, 128, delays, 0.01 * delays, slack=0) >= free


def test_of_very_many_cells_clients_are_in_groups_and_classes_one(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """60 clients of four classes: far above the line, for which samples cost nothing."""
    monkeypatch.setattr(program, "BOUNDED_CELLS", 100)
    counts = rng.integers(0, 40, (60, 4))
    delays = rng.lognormal(0, 1, 60)
    costs = 0.05 * delays
    line = epoch_time_bound(counts.sum(axis=1), delays + costs, 256)
    ugs = epoch_time(sampling.ugs(counts.sum(axis=1), 256, rng), delays, costs)
    bound = least_epoch_time(counts, 256, delays, costs, slack=0.2)
    assert 1.5 * line < bound < ugs
    grouped = program._Program(counts, 256, delays, costs, 0.2, is_full=False)
    assert len(grouped.counts) < 30
    assert 1.5 * line < program._proven(grouped) <= bound
