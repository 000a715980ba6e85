from fractions import Fraction
from math import comb

import numpy as np
import pytest
from scipy.stats import hypergeom

from pslref.sampling import Schedule
from pslref.theory import (
    class_count_mean,
    class_count_pmf,
    expected_deviation,
    expected_uniform_deviation,
)


def test_scipy_agrees_where_it_has_the_law() -> None:
    """One client: hypergeometric. Two: the convolution of two."""
    counts, schedule = np.array([[60, 40], [5, 25]]), Schedule([[30, 0], [20, 9]])
    first, second = hypergeom(100, 60, 20).pmf(range(21)), hypergeom(30, 5, 9).pmf(range(10))
    pmf = class_count_pmf(schedule, counts, 0, 0)
    np.testing.assert_allclose(pmf, hypergeom(100, 60, 30).pmf(range(31)), rtol=1e-11)
    pmf = class_count_pmf(schedule, counts, 1, 0)
    np.testing.assert_allclose(pmf, np.convolve(first, second), rtol=1e-11)
    assert class_count_mean(schedule, counts)[1, 0] == pytest.approx(20 * 0.6 + 9 / 6)


def test_the_law_of_one_client_of_a_billion_samples() -> None:
    """1e-9 at N = 10⁹, far beyond what log-gammas give."""
    n, n_m, b = 10**9, 3 * 10**8, 50
    pmf = class_count_pmf(Schedule([[b]]), [[n_m, n - n_m]], 0, 0)
    for j in range(b + 1):
        exact = Fraction(comb(n_m, j) * comb(n - n_m, b - j), comb(n, b))
        assert abs(Fraction(pmf[j]) / exact - 1) < Fraction(1, 10**9)
    assert expected_deviation(Schedule([[b]]), [[n_m, n - n_m]])[0] == pytest.approx(
        expected_uniform_deviation([n_m, n - n_m], b), rel=1e-9
    )
