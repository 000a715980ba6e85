"""The hypergeometric law, accurate to a billion samples: every count here follows from it."""

import math

import numpy as np
from scipy.special import xlog1py

from pslref import check
from pslref.check import ArrayLike, FloatArray, IntArray

# s(n) below: from n! itself up to 15, a series above.
SMALL = np.array([math.log(math.factorial(n) / n**n) + n for n in range(16)])


def hypergeometric_pmf(
    count: ArrayLike, population: ArrayLike, marked: ArrayLike, draws: ArrayLike
) -> FloatArray:
    """The chance that `draws` of a `population`, taken without replacement, hold `count` marked.

    The draws split the population into a table of four cells,

                     drawn      left            sum
        marked       j          K − j           K
        unmarked     n − j      N − K − n + j   N − K
        sum          n          N − n           N

    and P(j) is the product of the factorials of the sums at the edges over those of N and of the
    cells. Put n! = n^n e^(−n) e^s(n), with s(0) = 0 and s(n) ≈ ½ log(2πn) + 1/(12n). The powers
    of e cancel, and the others collect into

        log P = Σ_edges s(edge) − s(N) − Σ_cells s(cell) − Σ_cells cell · log(cell / expected)

    where expected = row · column / N. All four cells are off their expected value by the same
    ±d = ±(j − nK / N), which exact integers give without loss, so the last logarithm is
    log1p(±d / expected). No term is much larger than log N or d, and d is some √N wherever P is
    not negligible; log n! itself is 2·10¹⁰ at n = 10⁹, and its rounding errors would spoil the
    sixth digit of P. This is the deviance form of Loader, 'Fast and accurate computation of
    binomial probabilities' (2000), for four cells instead of two. [derived] (method.md 4.1)

    Args:
        count: j, 0 or more; for an impossible count the probability is 0.
        population: N, up to 3·10⁹, so that all products fit into 64 bits.
        marked: K, 0 ≤ K ≤ N.
        draws: n, 0 ≤ n ≤ N. The four arguments broadcast.

    Returns:
        P(j), float64, with a relative error below 1e-9 up to N = 10⁹ as long as P > 1e-290.

    Raises:
        ValueError: for arguments that are negative or not whole, and K, n or N too large, or more
            than 2²⁸ probabilities.
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
    j, total, marked, drawn = np.broadcast_arrays(j, total, marked, drawn)
    unmarked, left = total - marked, total - drawn
    possible = np.clip(j, np.maximum(0, drawn - unmarked), np.minimum(drawn, marked))
    cell = np.stack([possible, marked - possible, drawn - possible, left - marked + possible])
    row = np.stack([marked, marked, unmarked, unmarked])
    column = np.stack([drawn, left, drawn, left])
    expected = np.maximum(row * column, 1) / np.maximum(total, 1)  # an empty cell may expect 0
    d = (possible * total - marked * drawn) / np.maximum(total, 1)
    surplus = np.stack([d, -d, -d, d])
    edges = _s(np.stack([marked, unmarked, drawn, left])).sum(axis=0)
    cells = (_s(cell) + xlog1py(cell, surplus / expected)).sum(axis=0)
    return np.where(j == possible, np.exp(edges - _s(total) - cells), 0.0)


def _s(n: IntArray) -> FloatArray:
    """s(n) = log(n! e^n / n^n), from Stirling's series: its first left-out term is below 2e-16."""
    x = np.maximum(n, SMALL.size).astype(np.float64)
    y = x**-2
    tail = (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680 - 1 / 1188 * y) * y) * y) * y) / x
    return np.where(n < SMALL.size, SMALL[np.minimum(n, 15)], np.log(2 * np.pi * x) / 2 + tail)
