from fractions import Fraction
from itertools import product
from math import comb, prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, multivariate_hypergeom

from pslref.theory import batch_deviation, expected_uniform_deviation, uniform_deviation_std


def rational_moment(totals: list[int], batch_size: int, power: int) -> Fraction:
    """E[Δ^power] over all class counts of a uniform batch, in rationals."""
    n = sum(totals)
    moment = Fraction(0)
    for counts in product(*(range(min(t, batch_size) + 1) for t in totals)):
        if sum(counts) == batch_size:
            ways = prod(comb(t, c) for t, c in zip(totals, counts, strict=True))
            excess = sum(
                abs(Fraction(c, batch_size) - Fraction(t, n))
                for t, c in zip(totals, counts, strict=True)
            )
            moment += ways * excess**power
    return moment / comb(n, batch_size)


@settings(max_examples=150)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=4).filter(any), st.data())
def test_mean_and_variance_under_ugs_in_rationals(totals, data) -> None:
    b = data.draw(st.integers(1, sum(totals)))
    mean, square = rational_moment(totals, b, 1), rational_moment(totals, b, 2)
    assert expected_uniform_deviation(totals, b) == pytest.approx(float(mean), rel=1e-12)
    variance = uniform_deviation_std(totals, b) ** 2
    assert variance == pytest.approx(float(square - mean**2), abs=1e-14)


def test_the_numbers_of_the_method_page() -> None:
    assert round(expected_uniform_deviation([5_000] * 10, 128), 4) == 0.2114
    assert round(uniform_deviation_std([5_000] * 10, 128), 4) == 0.0525


def test_the_standard_deviation_against_scipy() -> None:
    totals, b = [50, 90, 160], 60
    c = np.array([(i, j, b - i - j) for i in range(51) for j in range(b - i + 1)])
    pmf = multivariate_hypergeom(totals, b).pmf(c)
    deviation = batch_deviation(c, np.array(totals) / 300)
    variance = pmf @ deviation**2 - (pmf @ deviation) ** 2
    assert uniform_deviation_std(totals, b) == pytest.approx(variance**0.5, rel=1e-9)


def test_the_standard_deviation_for_many_samples() -> None:
    """Class counts are independent binomials given their sum: moments by adding class by class."""
    totals, b = [40_000, 40_000, 3_000, 10_000, 7_000, 11, 0], 700
    zeroth, first, second = [np.eye(1, b + 1)[0]] + [np.zeros(b + 1)] * 2
    for n_m in totals:
        c = np.arange(b + 1)
        pmf, excess = binom(n_m, b / sum(totals)).pmf(c), np.abs(c - b * n_m / sum(totals))
        (p0, p1, p2), together = (pmf * excess**i for i in range(3)), lambda x, y: np.convolve(x, y)
        second = (together(second, p0) + 2 * together(first, p1) + together(zeroth, p2))[: b + 1]
        first = (together(first, p0) + together(zeroth, p1))[: b + 1]
        zeroth = together(zeroth, p0)[: b + 1]
    mean, square = first[b] / zeroth[b] / b, second[b] / zeroth[b] / b**2
    assert expected_uniform_deviation(totals, b) == pytest.approx(mean, rel=1e-11)
    assert uniform_deviation_std(totals, b) == pytest.approx((square - mean**2) ** 0.5, rel=1e-9)
