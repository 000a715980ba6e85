"""The hypergeometric law, accurate to a billion samples: every count here follows from it."""

import math

import numpy as np

from pslref import check
from pslref.check import ArrayLike, FloatArray, IntArray

# s(n) below: from n! itself up to 15, a series above.
SMALL = np.array([math.log(math.factorial(n) / n**n) + n for n in range(16)])


def hypergeometric_pmf(
    count: ArrayLike, population: ArrayLike, marked: ArrayLike, draws: ArrayLike
) -> FloatArray:
    """The chance that `draws` of a `population`, taken without replacement, hold `count` marked.

    [derived] (method.md 4.2)

    Args:
        count: j, 0 or more; for an impossible count the probability is 0.
        population: N, up to 3·10⁹, so that all products fit into 64 bits.
        marked: K, 0 ≤ K ≤ N.
        draws: n, 0 ≤ n ≤ N. The four arguments broadcast, to 2²⁸ numbers at most.

    Returns:
        P(j), float64, with a relative error below 1e-9 up to N = 10⁹ as long as P > 1e-290.

    >>> hypergeometric_pmf([0, 1, 2], population=5, marked=2, draws=3)
    array([0.1, 0.6, 0.3])
    """
    j = check.integers("count", count, ndim=None)
    total = check.integers("population", population, ndim=None)
    marked = check.integers("marked", marked, ndim=None)
    drawn = check.integers("draws", draws, ndim=None)
    shape = np.broadcast_shapes(j.shape, total.shape, marked.shape, drawn.shape)
    check.integer("numbers in all four together", math.prod(shape), 0, check.MOST_NUMBERS)
    if (total < np.maximum(marked, drawn)).any() or (total > check.MOST_SAMPLES).any():
        allowed = f"must be at least marked and draws, and at most {check.MOST_SAMPLES}"
        raise check.wrong("population", population, allowed)
    return pmf(j, total, marked, drawn)


def pmf(
    j: IntArray | int, total: IntArray | int, marked: IntArray | int, drawn: IntArray | int
) -> FloatArray:
    """P(j) by Loader's deviance form, for a table of four cells. (method.md 4.2)

    log P = Σ_edges s(edge) − s(N) − Σ_cells s(cell) − Σ_cells cell · log1p(±d / expected)
    """
    j, total, marked, drawn = np.broadcast_arrays(j, total, marked, drawn)
    unmarked, left = total - marked, total - drawn
    possible = np.clip(j, np.maximum(0, drawn - unmarked), np.minimum(drawn, marked))
    cell = np.stack([possible, marked - possible, drawn - possible, left - marked + possible])
    row = np.stack([marked, marked, unmarked, unmarked])
    column = np.stack([drawn, left, drawn, left])
    expected = np.maximum(row * column, 1) / np.maximum(total, 1)  # an empty cell may expect 0
    d = (possible * total - marked * drawn) / np.maximum(total, 1)
    surplus = np.where(cell > 0, np.stack([d, -d, -d, d]) / expected, 0)  # 0 · log 0 is 0
    edges = _s(np.stack([marked, unmarked, drawn, left])).sum(axis=0)
    cells = (_s(cell) + cell * np.log1p(surplus)).sum(axis=0)
    return np.where(j == possible, np.exp(edges - _s(total) - cells), 0.0)


def _s(n: IntArray) -> FloatArray:
    """s(n) = log(n! e^n / n^n), from Stirling's series: its first left-out term is below 2e-16."""
    x = np.maximum(n, SMALL.size).astype(np.float64)
    y = x**-2
    tail = (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680 - 1 / 1188 * y) * y) * y) * y) / x
    return np.where(n < SMALL.size, SMALL[np.minimum(n, 15)], np.log(2 * np.pi * x) / 2 + tail)
