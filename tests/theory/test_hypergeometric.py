from fractions import Fraction
from math import comb

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import gammaln
from scipy.stats import hypergeom

from pslref.theory import hypergeometric_pmf


def mpmath_pmf(j: int, population: int, marked: int, draws: int) -> mpmath.mpf:
    """The largest log-gamma is 6e10, so 50 digits leave 39 for the probability."""
    with mpmath.workdps(50):

        def log_comb(n: int, k: int) -> mpmath.mpf:
            return mpmath.loggamma(n + 1) - mpmath.loggamma(k + 1) - mpmath.loggamma(n - k + 1)

        log_ways = log_comb(marked, j) + log_comb(population - marked, draws - j)
        return mpmath.exp(log_ways - log_comb(population, draws))


@pytest.mark.parametrize("population", range(17))
def test_small_populations_exactly(population: int) -> None:
    """All marked, draws and counts, the impossible ones too, against integer binomials."""
    size = range(population + 1)
    pmf = hypergeometric_pmf(*np.ix_(range(population + 2), [population], size, size))
    for marked in size:
        for draws in size:
            for j in range(population + 2):
                ways = comb(marked, j) * comb(population - marked, draws - j) if j <= draws else 0
                exact = Fraction(ways, comb(population, draws))
                assert abs(Fraction(pmf[j, 0, marked, draws]) - exact) <= exact / 10**12


def a_possible_count(population: int, marked: int, draws: int, z: float) -> int:
    """The count z standard deviations above the mean, or the nearest possible one."""
    p, q = marked / population, draws / population
    j = round(draws * p + z * (population * p * (1 - p) * q * (1 - q)) ** 0.5)
    return min(max(j, 0, draws + marked - population), marked, draws)


populations = st.one_of(
    st.sampled_from([10**6, 10**9]), st.floats(1, 9).map(lambda digits: int(10**digits))
)


@settings(max_examples=500)
@given(populations, st.floats(0, 1), st.floats(0, 1), st.floats(-36, 36))
def test_nine_digits_up_to_a_billion_samples(population, marked_share, drawn_share, z) -> None:
    """From the centre out to probabilities of 1e-280."""
    marked, draws = round(population * marked_share), round(population * drawn_share)
    j = a_possible_count(population, marked, draws, z)
    exact = mpmath_pmf(j, population, marked, draws)
    if exact > 1e-290:  # below, float64 has fewer digits
        assert abs(float(hypergeometric_pmf(j, population, marked, draws)) / exact - 1) <= 1e-9


def test_log_gammas_would_not_do() -> None:
    """What the deviance form is for: the textbook formula loses half of its digits."""
    n, k, draws, j = 10**9, 3 * 10**8, 10**6, 3 * 10**5

    def log_comb(n: int, k: int) -> float:
        return float(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1))

    exact = mpmath_pmf(j, n, k, draws)
    textbook = np.exp(log_comb(k, j) + log_comb(n - k, draws - j) - log_comb(n, draws))
    assert abs(textbook / exact - 1) > 1e-7
    assert abs(float(hypergeometric_pmf(j, n, k, draws)) / exact - 1) < 1e-10


@given(st.integers(1, 400), st.data())
def test_scipy_agrees(population, data) -> None:
    marked, draws = data.draw(st.integers(0, population)), data.draw(st.integers(0, population))
    counts = np.arange(population + 1)
    ours = hypergeometric_pmf(counts, population, marked, draws)
    np.testing.assert_allclose(
        ours, hypergeom(population, marked, draws).pmf(counts), rtol=1e-11, atol=1e-300
    )
    assert ours.sum() == pytest.approx(1, rel=1e-12)


def test_the_sum_is_one_for_a_billion_samples() -> None:
    counts = np.arange(100_000)
    assert hypergeometric_pmf(counts, 10**9, 3 * 10**8, 10**5).sum() == pytest.approx(1, rel=1e-9)


def test_the_largest_population_does_not_overflow() -> None:
    n = 3 * 10**9
    exact = mpmath_pmf(n // 4, n, n // 2, n // 2)
    assert float(hypergeometric_pmf(n // 4, n, n // 2, n // 2)) == pytest.approx(float(exact))
    assert hypergeometric_pmf([n, 2**62], n, n, n).tolist() == [1.0, 0.0]
