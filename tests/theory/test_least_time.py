"""No schedule is sooner done than the bound says, by search and by simulation."""

from functools import cache
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pslref import sampling
from pslref.partition import extended_dirichlet
from pslref.split import epoch_time, epoch_time_bound, straggler_delays
from pslref.theory import least_epoch_time

seeds = st.integers(0, 2**32 - 1)


def drawn(seed: int, clients: int, classes: int, most: int) -> tuple[np.ndarray, ...]:
    """Counts, delays and costs of clients, with ties, zeros and empty clients among them."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, most + 1, (clients, classes))
    if not counts.any():
        counts[0, 0] = 1
    delays = rng.choice([0.0, 1.0, 1.5, rng.random() * 9], clients)
    costs = rng.choice([0.0, 0.1, 1.0, rng.random()], clients) * rng.integers(0, 2)
    return counts, delays, costs


def optimum(
    counts: np.ndarray, size: int, delays: np.ndarray, costs: np.ndarray, slack: float
) -> float:
    """The least time of all schedules, by trying every step from every state."""
    mix = counts.sum(axis=0) / counts.sum()
    shape = counts.shape

    @cache
    def rest(left: tuple[int, ...]) -> float:
        if not any(left):
            return 0.0
        best = np.inf
        for step in product(*(range(n + 1) for n in left)):
            if 0 < sum(step) <= size:
                brought = np.reshape(step, shape)
                of_class = brought.sum(axis=0)
                if np.abs(of_class / sum(step) - mix).sum() <= slack + 1e-12:
                    local = brought.sum(axis=1)
                    time = max(delays[k] + local[k] * costs[k] for k in np.flatnonzero(local))
                    left_over = tuple(a - b for a, b in zip(left, step, strict=True))
                    best = min(best, time + rest(left_over))
        return float(best)

    return rest(tuple(counts.ravel().tolist()))


@settings(max_examples=300)
@given(seeds, st.integers(1, 3), st.integers(1, 2), st.integers(1, 5), st.sampled_from([0.4, 1, 2]))
def test_it_is_never_above_the_optimum_of_small_cases(
    seed: int, clients: int, classes: int, size: int, slack: float
) -> None:
    counts, delays, costs = drawn(seed, clients, classes, 2 if clients * classes > 3 else 3)
    best = optimum(counts, size, delays, costs, slack)
    found = least_epoch_time(counts, size, delays, costs, slack)
    assert found <= best * (1 + 1e-9)
    sizes = counts.sum(axis=1)
    alone = max(n * s + -(-n // size) * d for n, d, s in zip(sizes, delays, costs, strict=True))
    of_bound = epoch_time_bound(sizes, delays + costs, min(size, int(sizes.sum())))
    assert found >= max(alone, of_bound) * (1 - 1e-12)


@settings(max_examples=60)
@given(seeds, st.integers(1, 12), st.integers(1, 4))
def test_no_schedule_of_any_sampler_is_sooner_done(seed: int, clients: int, classes: int) -> None:
    counts, delays, costs = drawn(seed, clients, classes, 12)
    rng, sizes = np.random.default_rng(seed), counts.sum(axis=1)
    size = int(rng.integers(1, sizes.sum() + 1))
    given = {"delays": delays}
    schedules = [
        sampling.ugs(sizes, size, rng),
        sampling.lds(counts, size, rng, **given),
        sampling.slowest_first(sizes, delays, size),
        sampling.targets(counts, size, rng, **given),
        sampling.targets(counts, size, rng, **given, assign="planned", sample_costs=costs),
        sampling.fpls(sizes, size),
    ]
    mix = counts.sum(axis=0) / counts.sum()
    for schedule in schedules:
        time = epoch_time(schedule, delays, costs)
        largest = max(size, int(schedule.batch_sizes.sum(axis=1).max()))
        assert least_epoch_time(counts, largest, delays, costs) <= time * (1 + 1e-9)
        if schedule.local_class_counts is not None:
            of_steps = schedule.local_class_counts.sum(axis=1)
            apart = np.abs(of_steps / of_steps.sum(axis=1, keepdims=True) - mix).sum(axis=1).max()
            found = least_epoch_time(counts, largest, delays, costs, min(apart + 1e-9, 2))
            assert found <= time * (1 + 1e-9)


@given(seeds, st.integers(1, 12), st.integers(1, 4))
def test_without_costs_any_mix_is_slowest_first_and_less_slack_takes_no_less(
    seed: int, clients: int, classes: int
) -> None:
    counts, delays, _ = drawn(seed, clients, classes, 12)
    size = int(np.random.default_rng(seed).integers(1, counts.sum() + 1))
    bounds = [least_epoch_time(counts, size, delays, slack=slack) for slack in (2, 1, 0.4, 0)]
    assert bounds[0] == pytest.approx(epoch_time_bound(counts.sum(axis=1), delays, size))
    assert all(b >= a * (1 - 1e-9) for a, b in pairwise(bounds))


def test_it_says_something_where_samples_cost_as_much_as_delays(rng: np.random.Generator) -> None:
    """One partition as in the paper's severe split: between slowest first and what UGS takes."""
    counts = rng.multinomial(5000, np.full(64 * 2, 1 / 128)).reshape(64, 2)
    delays = np.where(np.arange(64) % 8, 1.0, 10.0)
    ugs = epoch_time(sampling.ugs(counts.sum(axis=1), 128, rng), delays, delays)
    planned = epoch_time(
        sampling.targets(counts, 128, rng, delays=delays, sample_costs=delays, assign="planned"),
        delays, delays,
    )  # fmt: skip
    bound = least_epoch_time(counts, 128, delays, delays)
    assert 0.4 * ugs < bound < planned < ugs


def test_costs_make_nothing_faster_also_where_there_are_too_many_times_to_try_all() -> None:
    """Severe, K = 16: between fast and slow clients' times is a gap, which a step cannot end in."""
    rng = np.random.default_rng([16, 0, 0, 0])
    counts = extended_dirichlet(np.repeat(np.arange(10), 5000), 16, 2, 3.0, rng).class_counts
    delays = straggler_delays(16, rng)
    free = least_epoch_time(counts, 128, delays, slack=0)
    assert least_epoch_time(counts, 128, delays, 0.01 * delays, slack=0) >= free
