"""Bounds are never below the exact tail, and their inverses invert."""

from fractions import Fraction
from itertools import product
from math import comb, exp, log, prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pslref.theory import (
    deviation_bound,
    deviation_eps,
    hoeffding,
    hoeffding_batch_size,
    hoeffding_eps,
    serfling,
    serfling_batch_size,
    serfling_eps,
)

ROUNDING = 1 + 1e-12


def exact_tails(totals: list[int], batch_size: int) -> dict[Fraction, Fraction]:
    """{ε: P(Δ ≥ ε)} for every value ε that Δ takes, in rationals."""
    n, pmf = sum(totals), {}
    for counts in product(*(range(min(t, batch_size) + 1) for t in totals)):
        if sum(counts) == batch_size:
            pairs = list(zip(totals, counts, strict=True))
            deviation = sum(abs(Fraction(c, batch_size) - Fraction(t, n)) for t, c in pairs)
            ways = Fraction(prod(comb(t, c) for t, c in pairs), comb(n, batch_size))
            pmf[deviation] = pmf.get(deviation, Fraction(0)) + ways
    return {eps: sum(p for d, p in pmf.items() if d >= eps) for eps in pmf}


def test_no_class_share_beats_hoeffding_or_serfling() -> None:
    """Exact two-sided tails at every value of |c/B − p|, for all N ≤ 14, N_m and B."""
    for n in range(1, 15):
        for n_m, b in product(range(n + 1), range(1, n + 1)):
            for doubled, tail in exact_tails([n_m, n - n_m], b).items():
                eps = float(doubled / 2)  # two classes are off by the same
                bound = serfling(eps, b, n)
                assert float(tail) <= bound * ROUNDING
                assert bound <= hoeffding(eps, b)


@pytest.mark.parametrize(
    "totals", [[1], [9], [0, 4], [3, 3, 3], [1, 2, 6], [1, 1, 1, 1, 1], [4, 4, 2, 1], [7, 0, 7]]
)
def test_no_deviation_beats_its_bound(totals) -> None:
    """The exact tail at every value of Δ, for every B. (A class nobody holds may be counted.)"""
    n = sum(totals)
    for b in range(1, n + 1):
        for eps, tail in exact_tails(totals, b).items():
            assert float(tail) <= deviation_bound(float(eps), b, n, len(totals)) * ROUNDING


def test_the_bounds_say_something_where_they_can() -> None:
    """They are not the trivial 1, and the population matters: three values by hand."""
    assert hoeffding(0.25, batch_size=64) == pytest.approx(2 * exp(-8))
    assert serfling(0.25, batch_size=64, population=126) == pytest.approx(2 * exp(-16))
    bound = deviation_bound(0.5, batch_size=64, population=126, num_classes=3)
    assert bound == pytest.approx(6 * exp(-16))
    assert deviation_bound(1.5, batch_size=64, population=64, num_classes=10) < 1e-300


def test_degenerate_arguments() -> None:
    assert hoeffding(0, 64) == serfling(0, 64, 640) == deviation_bound(0, 64, 640, 10) == 1
    assert hoeffding(1e200, 64) == serfling(1e200, 64, 640) == 0
    assert deviation_bound(0.1, 64, 640, num_classes=5_000) == 1  # 2^5000 is no float
    assert deviation_bound(0.1, 64, 640, num_classes=1) == 0
    assert deviation_bound(0, 64, 640, num_classes=1) == 1


batches = st.integers(1, 10**9).flatmap(lambda n: st.tuples(st.integers(1, n), st.just(n)))
probabilities = st.floats(1e-300, 0.999)


@given(batches, st.floats(0, 2))
def test_serfling_is_never_above_hoeffding(batch, eps) -> None:
    assert serfling(eps, *batch) <= hoeffding(eps, batch[0]) * ROUNDING


@given(batches, probabilities, st.integers(2, 2_000))
def test_the_eps_of_a_probability_gives_it_back(batch, probability, num_classes) -> None:
    expected = pytest.approx(log(probability), rel=1e-9, abs=1e-9)
    assert np.log(hoeffding(hoeffding_eps(probability, batch[0]), batch[0])) == expected
    assert np.log(serfling(serfling_eps(probability, *batch), *batch)) == expected
    eps = deviation_eps(probability, *batch, num_classes)
    assert np.log(deviation_bound(eps, *batch, num_classes)) == expected


@given(st.floats(1e-4, 1), probabilities, st.integers(1, 10**9))
def test_the_batch_size_of_an_eps_is_the_least(eps, probability, population) -> None:
    b = hoeffding_batch_size(eps, probability)
    assert hoeffding(eps, b) <= probability * ROUNDING
    assert b == 1 or hoeffding(eps, b - 1) > probability / ROUNDING
    b = serfling_batch_size(eps, probability, population)
    assert b == population or serfling(eps, b, population) <= probability * ROUNDING
    assert b == 1 or serfling(eps, b - 1, population) > probability / ROUNDING
    assert 1 <= b <= population


def test_an_eps_of_nothing_needs_all_the_data() -> None:
    assert serfling_batch_size(0, 0.01, 50_000) == 50_000
    assert serfling_batch_size(1e-300, 0.01, 50_000) == 50_000
    assert hoeffding_batch_size(1e-100, 0.01) > 10**199


@pytest.mark.parametrize("call", [serfling, serfling_eps])
def test_a_batch_larger_than_the_population_is_refused(call) -> None:
    with pytest.raises(ValueError, match=r"^batch_size = 65: must be a whole number from 1 to 64$"):
        call(0.1, 65, 64)
