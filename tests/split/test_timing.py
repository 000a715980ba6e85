from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, kstest

from pslref.sampling import Schedule, fpls, lds, slowest_first, ugs
from pslref.split.timing import epoch_time, epoch_time_bound, step_times, straggler_delays


@st.composite
def cases(draw: st.DrawFn, max_clients: int = 8, max_size: int = 12):
    """Sizes, delays with ties, and a batch size."""
    sizes = draw(st.lists(st.integers(0, max_size), min_size=1, max_size=max_clients).filter(any))
    delay = st.integers(0, 5) | st.floats(0, 100)
    delays = draw(st.lists(delay, min_size=len(sizes), max_size=len(sizes)))
    return sizes, delays, draw(st.integers(1, sum(sizes)))


# --- delays


def test_stragglers_come_at_random_and_jitter_is_uniform(
    rng: np.random.Generator, alpha: float
) -> None:
    """Stragglers are Binomial(K, fraction), jitter is uniform. False alarm: 1e-8.

    20,000 clients show a fraction that is off by 0.022, and a distribution function of
    the jitter that is off by 0.04.
    """
    delays = straggler_delays(20_000, rng, fraction=0.125, slowdown=10.0, jitter=0.2)
    slow = delays > 5
    assert binomtest(int(slow.sum()), slow.size, 0.125).pvalue > alpha / 3
    for group in (delays[slow] / 10, delays[~slow]):
        assert kstest((group - 1) / 0.2, "uniform").pvalue > alpha / 3


@given(st.integers(0, 2**32), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_fraction_adds_stragglers_and_changes_nobody_else(seed, one, other) -> None:
    few, many = (
        straggler_delays(40, np.random.default_rng(seed), fraction, slowdown=3.0, jitter=0.5)
        for fraction in sorted([one, other])
    )
    assert all((many == few) | (many == 3 * few))
    assert few.dtype == np.float64
    assert all((few >= 1) & (few <= 4.5))


def test_one_client_in_eight_is_ten_times_slower_unless_said_otherwise() -> None:
    delays = straggler_delays(400, np.random.default_rng(3))
    same = straggler_delays(400, np.random.default_rng(3), 0.125, 10.0, 0.2)
    assert delays.tolist() == same.tolist()


def test_extreme_scenarios(rng: np.random.Generator) -> None:
    assert straggler_delays(3, rng, fraction=0, jitter=0).tolist() == [1, 1, 1]
    assert straggler_delays(3, rng, fraction=1, slowdown=7, jitter=0).tolist() == [7, 7, 7]


# --- the time of a schedule

entries = st.integers(0, 3)


@given(st.data(), st.integers(1, 5), st.integers(0, 5))
def test_a_step_lasts_as_long_as_its_slowest_participant(data, num_clients, num_steps) -> None:
    def numbers(low: int) -> list[float]:
        numbers = st.floats(low, 10)
        return data.draw(st.lists(numbers, min_size=num_clients, max_size=num_clients))

    row = st.lists(entries, min_size=num_clients, max_size=num_clients)
    rows = data.draw(st.lists(row, min_size=num_steps, max_size=num_steps))
    delays, costs, server = numbers(0), numbers(0), data.draw(st.floats(0, 10))
    schedule = Schedule(np.array(rows, np.int64).reshape(num_steps, num_clients))
    plain = [
        max([d + b * s for b, d, s in zip(row, delays, costs, strict=True) if b], default=0)
        + server
        for row in rows
    ]
    assert step_times(schedule, delays, costs, server) == pytest.approx(plain)
    assert epoch_time(schedule, delays, costs, server) == pytest.approx(sum(plain))
    assert epoch_time(schedule, delays) == pytest.approx(step_times(schedule, delays).sum())
    assert step_times(schedule, delays, 2.0).tolist() == (
        step_times(schedule, delays, [2.0] * num_clients).tolist()
    )


def test_an_example_by_hand() -> None:
    schedule = Schedule(np.array([[2, 0, 1], [0, 4, 0], [3, 1, 0]]))
    delays = [1, 2, 10]
    assert step_times(schedule, delays).tolist() == [10, 2, 2]
    assert step_times(schedule, delays, [0.5, 0.25, 0], 0.5).tolist() == [10.5, 3.5, 3]
    assert epoch_time(schedule, delays, [0.5, 0.25, 0], 0.5) == 17


# --- the bound


def fastest(sizes: list[int], delays: list[float], batch_size: int) -> float:
    """The shortest of all epochs: every next step that holds at most B samples is tried."""

    @cache
    def rest(left: tuple[int, ...]) -> float:
        if not any(left):
            return 0
        return min(
            max(d for b, d in zip(step, delays, strict=True) if b)
            + rest(tuple(n - b for n, b in zip(left, step, strict=True)))
            for step in np.ndindex(*(n + 1 for n in left))
            if 1 <= sum(step) <= batch_size
        )

    return rest(tuple(sizes))


@given(cases(max_clients=3, max_size=3))
def test_the_bound_is_the_fastest_of_all_schedules(case) -> None:
    assert epoch_time_bound(*case) == pytest.approx(fastest(*case))


@given(cases())
def test_slowest_first_attains_the_bound(case) -> None:
    schedule = slowest_first(*case)
    assert schedule.batch_sizes.sum(axis=1).max() == case[2]
    assert epoch_time(schedule, case[1]) == pytest.approx(epoch_time_bound(*case))


@given(cases(), st.floats(0, 5), st.floats(0, 5), st.integers(0, 2**32))
def test_no_schedule_of_such_steps_beats_the_bound(case, cost, server, seed) -> None:
    sizes, delays, batch_size = case
    rng = np.random.default_rng(seed)
    schedules = [
        ugs(sizes, batch_size, rng),
        ugs(sizes, batch_size, rng, "even"),
        lds(np.array([sizes]).T, batch_size, rng, delays=delays, delta=1.0),
    ]
    for schedule in schedules:
        at_least = (sizes, np.array(delays) + cost, batch_size)  # everyone brings one sample
        bound = epoch_time_bound(*at_least) + server * schedule.num_steps
        assert epoch_time(schedule, delays, cost, server) >= bound * (1 - 1e-12)
        for d in delays:  # the counting behind it
            slow = np.array(delays) >= d
            num_slow = int(np.array(sizes)[slow].sum())
            assert (step_times(schedule, delays) >= d).sum() >= -(-num_slow // batch_size)


def test_larger_steps_may_beat_the_bound() -> None:
    """FPLS rounds up to one sample each: its steps hold more than B."""
    sizes, delays = [2] * 8, [1.0] * 8
    assert fpls(sizes, 2).batch_sizes.sum(axis=1).max() == 8
    assert epoch_time(fpls(sizes, 2), delays) == 2 < epoch_time_bound(sizes, delays, 2) == 8


def test_the_bound_by_hand() -> None:
    assert epoch_time_bound([3, 2, 0, 4], [1, 5, 9, 5], 4) == 5 + 5 + 1
