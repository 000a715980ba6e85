from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import hypergeom

from pslref.sampling import global_batch_sizes, ugs, ugs_steps
from tests.law import departures, smallest_shift

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


@given(sizes_and_batch, remainders, st.integers(0, 2**32))
def test_the_steps_are_the_schedule(case, remainder, seed) -> None:
    sizes, batch_size = case
    schedule = ugs(sizes, batch_size, np.random.default_rng(seed), remainder)
    steps = ugs_steps(sizes, batch_size, np.random.default_rng(seed), remainder)
    for (clients, counts), (expected_clients, expected) in zip(
        steps, schedule.steps(), strict=True
    ):
        assert clients.tolist() == expected_clients.tolist()
        assert counts.tolist() == expected.tolist()


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


def test_an_unknown_remainder_is_refused_with_the_nearest(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match=r"remainder = 'shrt': .*did you mean 'short'\?"):
        ugs([3, 4], 2, rng, "shrt")


@pytest.mark.parametrize("sampler", [ugs, ugs_steps])
def test_other_batch_sizes_and_sizes_are_refused(sampler, rng) -> None:
    for batch_size in (0, 8, 2.0):
        with pytest.raises(
            ValueError, match=rf"^batch_size = {batch_size}: must be .* from 1 to 7$"
        ):
            sampler([3, 4], batch_size, rng)
    with pytest.raises(ValueError, match=r"^sizes = \[3, -1\]: must be 1-dimensional"):
        sampler([3, -1], 1, rng)


@pytest.mark.parametrize("sampler", [ugs, ugs_steps])
def test_a_seed_is_no_generator(sampler) -> None:
    with pytest.raises(ValueError, match=r"^rng = 0: must be a numpy.random.Generator, not a seed"):
        sampler([3, 4], 2, 0)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((0, 1), r"^num_samples = 0: must be a whole number from 1 to 3000000000$"),
        ((3_000_000_001, 1), r"^num_samples = 3000000001: must be a whole number from 1 to"),
        ((7, 0), r"^batch_size = 0: must be a whole number from 1 to 7$"),
        ((7, 8), r"^batch_size = 8: must be a whole number from 1 to 7$"),
        ((7, 3, "evn"), r"^remainder = 'evn': must be one of short, even \(did you mean 'even'\?"),
    ],
)
def test_batches_that_cannot_be_are_refused(arguments, sentence) -> None:
    with pytest.raises(ValueError, match=sentence):
        global_batch_sizes(*arguments)


def test_one_sample_makes_one_batch() -> None:
    assert global_batch_sizes(1, 1).tolist() == global_batch_sizes(1, 1, "even").tolist() == [1]


SIZES, BATCH = (3, 2, 1), 2
Sampler = Callable[[np.random.Generator], Iterator[list[int]]]


def honest(rng: np.random.Generator) -> Iterator[list[int]]:
    yield from ugs(SIZES, BATCH, rng).batch_sizes.tolist()


def with_replacement(rng: np.random.Generator) -> Iterator[list[int]]:
    for _ in range(3):
        yield np.bincount(rng.choice(3, BATCH, p=[1 / 2, 1 / 3, 1 / 6]), minlength=3).tolist()


def stale_shares(rng: np.random.Generator) -> Iterator[list[int]]:
    """Shares stay at their initial values while clients empty; empty ones are drawn again."""
    left = np.array(SIZES)
    for _ in range(3):
        row = np.zeros(3, int)
        while row.sum() < BATCH:
            k = rng.choice(3, p=[1 / 2, 1 / 3, 1 / 6])
            row[k] += left[k] > row[k]
        left -= row
        yield row.tolist()


def always_the_same(rng: np.random.Generator) -> Iterator[list[int]]:
    yield from ugs(SIZES, BATCH, np.random.default_rng(1)).batch_sizes.tolist()


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


def drawn(sampler: Sampler, rng: np.random.Generator, draws: int) -> Counter[object]:
    return Counter(tuple(map(tuple, sampler(rng))) for _ in range(draws))


def test_whole_schedules_follow_the_law(rng: np.random.Generator, alpha: float) -> None:
    """All steps jointly, on three clients. False alarm: 1e-8.

    20,000 schedules show an outcome of probability 0.1 that is off by 0.02.
    """
    law = law_of_whole_schedules()
    assert smallest_shift(0.1, 20_000, len(law), alpha) < 0.021
    assert not departures(drawn(honest, rng, 20_000), law, alpha)


@pytest.mark.parametrize("broken", [with_replacement, stale_shares, always_the_same])
def test_broken_samplers_do_not(broken: Sampler, rng: np.random.Generator) -> None:
    assert departures(drawn(broken, rng, 5_000), law_of_whole_schedules(), 1e-8)


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
