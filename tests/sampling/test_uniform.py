from collections import Counter
from collections.abc import Iterable
from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import hypergeom

from pslref.sampling import global_batch_sizes, ugs
from tests.law import departures, smallest_shift
from tests.oracle.wrong_samplers import WRONG_UGS, Sampler, with_replacement

sizes_and_batch = (
    st.lists(st.integers(0, 40), min_size=1, max_size=12)
    .filter(any)
    .flatmap(lambda sizes: st.tuples(st.just(sizes), st.integers(1, sum(sizes))))
)
remainders = st.sampled_from(["short", "even"])


@given(sizes_and_batch, remainders, st.integers(0, 2**32))
def test_every_client_is_exhausted_in_batches_of_the_promised_size(case, remainder, seed) -> None:
    sizes, batch_size = case
    rng = np.random.default_rng(seed)
    schedule = ugs(sizes, batch_size, rng, remainder)
    n, batches = sum(sizes), schedule.batch_sizes.sum(axis=1)
    assert schedule.sizes.tolist() == sizes
    assert schedule.num_steps == -(-n // batch_size)
    if remainder == "short":
        assert all(batches[:-1] == batch_size)
        assert 1 <= batches[-1] <= batch_size
    else:
        assert batches.tolist() == [len(part) for part in np.array_split(range(n), len(batches))]


def test_the_authors_example_of_even_batches() -> None:
    batches = global_batch_sizes(50_000, 128, "even")
    assert Counter(batches.tolist()) == {128: 343, 127: 48}
    assert global_batch_sizes(50_000, 128).tolist() == [128] * 390 + [80]


def test_nothing_touches_the_arguments_or_the_global_generator(rng: np.random.Generator) -> None:
    sizes = np.array([3, 0, 4], np.int32)
    before = np.random.get_state()[1].copy()  # type: ignore[union-attr]  # noqa: NPY002
    ugs(sizes, 2, rng)
    assert sizes.tolist() == [3, 0, 4]
    assert (np.random.get_state()[1] == before).all()  # type: ignore[union-attr]  # noqa: NPY002


def test_one_sample_makes_one_batch() -> None:
    assert global_batch_sizes(1, 1).tolist() == global_batch_sizes(1, 1, "even").tolist() == [1]


SIZES, BATCH = (3, 2, 1), 2


def law_of_whole_schedules() -> dict[object, float]:
    """Every order of the six samples is equally likely: count the schedules they make."""
    ids = [0, 0, 0, 1, 1, 2]
    counts: Counter[object] = Counter(
        tuple(
            tuple(sum(ids[i] == k for i in order[t : t + 2]) for k in range(3)) for t in (0, 2, 4)
        )
        for order in permutations(range(6))
    )
    return {schedule: float(Fraction(n, 720)) for schedule, n in counts.items()}


def drawn(epochs: Iterable[np.ndarray]) -> Counter[object]:
    return Counter(tuple(map(tuple, epoch.tolist())) for epoch in epochs)


def test_whole_schedules_follow_the_law(rng: np.random.Generator, alpha: float) -> None:
    """All steps jointly, on three clients. False alarm: 1e-8.

    20,000 schedules show an outcome of probability 0.1 that is off by 0.02.
    """
    law = law_of_whole_schedules()
    assert smallest_shift(0.1, 20_000, len(law), alpha) < 0.021
    assert not departures(
        drawn(ugs(SIZES, BATCH, rng).batch_sizes for _ in range(20_000)), law, alpha
    )


@pytest.mark.parametrize(
    "broken",
    [
        with_replacement,
        WRONG_UGS["shares_stay_as_at_first"],
        WRONG_UGS["one_schedule_for_every_epoch"],
    ],
)
def test_broken_samplers_do_not(broken: Sampler, rng: np.random.Generator) -> None:
    seen = drawn(broken([*SIZES], BATCH, 5_000, rng))
    assert departures(seen, law_of_whole_schedules(), 1e-8)


def test_first_middle_and_last_batch_are_hypergeometric(
    rng: np.random.Generator, alpha: float
) -> None:
    """Client k's count in any one batch is Hypergeometric(N, n_k, B_t). False alarm: 1e-8.

    4,000 schedules of 13 batches show a probability of 0.3 that is off by 0.07.
    """
    sizes, batch_size, draws = [17, 1, 0, 40, 9], 5, 4_000
    assert smallest_shift(0.3, draws, 100, alpha) < 0.07
    schedules = np.array([ugs(sizes, batch_size, rng).batch_sizes for _ in range(draws)])
    for step, size in [(0, 5), (6, 5), (13, 2)]:
        for client, n in enumerate(sizes):
            law = dict(enumerate(hypergeom(sum(sizes), n, size).pmf(range(size + 1))))
            seen: Counter[object] = Counter(schedules[:, step, client].tolist())
            assert not departures(seen, law, alpha / 15)
