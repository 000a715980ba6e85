"""Samplers and shuffling clients, measured over whole epochs, against the exact laws.

Every check looks at each step alone and at the first t steps together, so that steps which are
right one by one but not in sum are seen too. It compares the frequency of each possible class
count with its exact probability by a binomial test, Bonferroni over all of them.
"""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pslref.sampling import Schedule, fls, fpls, lds, ugs
from pslref.theory import class_count_pmf, hypergeometric_pmf
from tests.law import departures, smallest_shift
from tests.oracle.wrong_samplers import WRONG_UGS, with_replacement
from tests.theory.shuffling import LocalOrder, handed_out

Laws = list[list[np.ndarray]]  # a pmf for each row of `observed` and class
Sampler = Callable[[np.ndarray, int, np.random.Generator], Schedule]

SAMPLERS: dict[str, Sampler] = {
    "fls": lambda class_counts, batch_size, rng: fls(class_counts.sum(axis=1), batch_size),
    "fpls": lambda class_counts, batch_size, rng: fpls(class_counts.sum(axis=1), batch_size),
    "ugs": lambda class_counts, batch_size, rng: ugs(class_counts.sum(axis=1), batch_size, rng),
    "lds": lambda class_counts, batch_size, rng: lds(
        class_counts, batch_size, rng, delays=np.arange(len(class_counts)), delta=1.0
    ),
}


def conditional_laws(schedule: Schedule, class_counts: np.ndarray) -> Laws:
    """Of each step, then of the first t steps together: one big step, as far as the law goes."""
    rows = [*schedule.batch_sizes, *schedule.batch_sizes.cumsum(axis=0)]
    classes = range(class_counts.shape[1])
    return [[class_count_pmf(Schedule([row]), class_counts, 0, m) for m in classes] for row in rows]


def uniform_laws(batches: np.ndarray, totals: np.ndarray) -> Laws:
    """The same for UGS, not knowing the schedule: all hypergeometric."""
    sizes, n = [*batches, *batches.cumsum()], int(totals.sum())
    return [[hypergeometric_pmf(np.arange(b + 1), n, m, b) for m in totals] for b in sizes]


def observed(counts: np.ndarray) -> np.ndarray:
    """(epochs, 2T, M): the class counts of each step, then of the first t steps together."""
    return np.concatenate([counts, counts.cumsum(axis=1)], axis=1)


def accused(counts: np.ndarray, laws: Laws, alpha: float) -> list[tuple[int, int]]:
    """The (row, class) whose frequencies the laws do not explain."""
    rows, found = observed(counts), []
    cells = [(row, m) for row in range(rows.shape[1]) for m in range(rows.shape[2])]
    for row, m in cells:
        law = {j: min(1.0, float(p)) for j, p in enumerate(laws[row][m])}
        seen: Counter[object] = Counter(rows[:, row, m].tolist())
        if departures(seen, law, alpha / len(cells)):
            found.append((row, m))
    return found


def replayed(schedule: Schedule, epochs: int) -> np.ndarray:
    return np.broadcast_to(schedule.batch_sizes, (epochs, *schedule.batch_sizes.shape))


def drawn(sizes: np.ndarray, batch_size: int, epochs: int, rng: np.random.Generator) -> np.ndarray:
    return np.array([ugs(sizes, batch_size, rng).batch_sizes for _ in range(epochs)])


EXAMPLES = 10
federations = st.integers(1, 3).flatmap(
    lambda m: st.lists(
        st.lists(st.integers(0, 5), min_size=m, max_size=m), min_size=1, max_size=5
    ).filter(lambda counts: any(map(any, counts)))
)
by_hypothesis = settings(
    max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@by_hypothesis
@given(class_counts=federations, data=st.data())
def test_any_schedule_of_any_federation(class_counts, data, alpha: float) -> None:
    """FLS, FPLS and one draw of UGS, each replayed 1,000 times. False alarm: 1e-8.

    Shows a probability of 0.3 that is off by 0.16, in every step, also after clients are empty.
    """
    class_counts = np.array(class_counts)
    batch_size = data.draw(st.integers(1, int(class_counts.sum())))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    assert smallest_shift(0.3, 1_000, 10_000, alpha / EXAMPLES / len(SAMPLERS)) < 0.16
    for sampler in SAMPLERS.values():
        schedule = sampler(class_counts, batch_size, rng)
        counts = handed_out(replayed(schedule, 1_000), class_counts, rng)
        assert (counts.sum(axis=1) == class_counts.sum(axis=0)).all()
        laws = conditional_laws(schedule, class_counts)
        assert not accused(counts, laws, alpha / EXAMPLES / len(SAMPLERS))


@by_hypothesis
@given(class_counts=federations, data=st.data())
def test_ugs_of_any_federation(class_counts, data, alpha: float) -> None:
    """1,000 fresh UGS epochs each, against the law of a uniform draw. False alarm: 1e-8.

    Shows a probability of 0.3 that is off by 0.16.
    """
    class_counts = np.array(class_counts)
    totals, sizes = class_counts.sum(axis=0), class_counts.sum(axis=1)
    batch_size = data.draw(st.integers(1, int(sizes.sum())))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    plans = drawn(sizes, batch_size, 1_000, rng)
    counts = handed_out(plans, class_counts, rng)
    assert not accused(counts, uniform_laws(plans[0].sum(axis=1), totals), alpha / EXAMPLES)


# Four clients, two of them of one class only; the last is empty before the others.
CLASS_COUNTS = np.array([[9, 0, 0], [3, 3, 0], [0, 0, 5], [0, 2, 2]])
SIZES, TOTALS = CLASS_COUNTS.sum(axis=1), CLASS_COUNTS.sum(axis=0)
BATCH, BATCHES = 8, np.array([8, 8, 8])


@pytest.mark.parametrize("name", list(SAMPLERS))
def test_every_step_of_one_federation(name: str, rng: np.random.Generator, alpha: float) -> None:
    """20,000 epochs of one schedule, its tail included. False alarm: 1e-8.

    Shows a probability of 0.3 that is off by 0.03.
    """
    assert smallest_shift(0.3, 20_000, 300, alpha) < 0.032
    schedule = SAMPLERS[name](CLASS_COUNTS, BATCH, rng)
    if name != "ugs":  # there are steps after the first client is empty
        assert (schedule.batch_sizes.cumsum(axis=0)[-2] == SIZES).any()
    counts = handed_out(replayed(schedule, 20_000), CLASS_COUNTS, rng)
    assert not accused(counts, conditional_laws(schedule, CLASS_COUNTS), alpha)


def test_every_step_of_ugs(rng: np.random.Generator, alpha: float) -> None:
    """10,000 UGS epochs of one federation. False alarm: 1e-8.

    Shows a probability of 0.3 that is off by 0.045.
    """
    assert smallest_shift(0.3, 10_000, 300, alpha) < 0.045
    counts = handed_out(drawn(SIZES, BATCH, 10_000, rng), CLASS_COUNTS, rng)
    assert not accused(counts, uniform_laws(BATCHES, TOTALS), alpha)


# What the two tests above must see, in half of the epochs or fewer: mistakes that were really made.
EPOCHS = 5_000


def one_client_never_drawn(sizes, batch_size, epochs, rng) -> np.ndarray:
    plans = np.zeros((epochs, 3, 4), np.int64)
    plans[:, :2] = drawn(np.array([9, 6, 0, 4]), batch_size, epochs, rng)[:, :2]
    return plans


@pytest.mark.parametrize(
    "broken",
    [
        with_replacement,
        WRONG_UGS["shares_stay_as_at_first"],
        WRONG_UGS["one_schedule_for_every_epoch"],
        one_client_never_drawn,
    ],
)
def test_broken_samplers_are_caught(broken, rng: np.random.Generator) -> None:
    """By the law alone: with clients that shuffle as they should."""
    plans = np.array(broken(SIZES.tolist(), BATCH, EPOCHS, rng))
    left = SIZES - (plans.cumsum(axis=1) - plans)  # who is drawn too often brings what it has
    counts = handed_out(np.clip(plans, 0, np.maximum(left, 0)), CLASS_COUNTS, rng)
    assert accused(counts, uniform_laws(BATCHES, TOTALS), 1e-8)


def stored_order(labels: np.ndarray, epochs: int, rng: np.random.Generator) -> np.ndarray:
    return np.tile(labels, (epochs, 1))


def same_order_every_epoch(labels: np.ndarray, epochs: int, rng: np.random.Generator) -> np.ndarray:
    return np.tile(rng.permutation(labels), (epochs, 1))


def drawn_with_replacement(labels: np.ndarray, epochs: int, rng: np.random.Generator) -> np.ndarray:
    return rng.choice(labels, (epochs, labels.size))


@pytest.mark.parametrize("broken", [stored_order, same_order_every_epoch, drawn_with_replacement])
@pytest.mark.parametrize("name", list(SAMPLERS))
def test_broken_local_draws_are_caught(
    broken: LocalOrder, name: str, rng: np.random.Generator
) -> None:
    schedule = SAMPLERS[name](CLASS_COUNTS, BATCH, rng)
    counts = handed_out(replayed(schedule, EPOCHS), CLASS_COUNTS, rng, broken)
    assert accused(counts, conditional_laws(schedule, CLASS_COUNTS), 1e-8)


def test_a_shuffle_before_every_step_is_caught_only_in_the_sum(rng: np.random.Generator) -> None:
    """Each step is right by itself, yet samples come twice in an epoch."""
    schedule = fpls(SIZES, BATCH)
    plans = replayed(schedule, EPOCHS)
    steps = [handed_out(plans, CLASS_COUNTS, rng)[:, t] for t in range(schedule.num_steps)]
    found = accused(np.stack(steps, axis=1), conditional_laws(schedule, CLASS_COUNTS), 1e-8)
    assert found
    assert min(row for row, _ in found) > schedule.num_steps  # the first t steps, t > 1
