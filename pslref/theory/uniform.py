"""The exact law of one UGS batch: the expectation of Δ, and how far it strays. (method.md 4.2)"""

import math
from itertools import combinations_with_replacement

import numpy as np

from pslref import check
from pslref.check import ArrayLike, IntArray
from pslref.theory.hypergeometric import pmf


def expected_uniform_deviation(class_totals: ArrayLike, batch_size: int) -> float:
    """The exact expected deviation of one UGS batch of exactly B samples, in closed form.

    c_m is Hypergeometric(N, N_m, B), so that with j = ⌊B N_m / N⌋ + 1
    E| c_m − B p_m | = 2 j (N − N_m − B + j) / N · P(c_m = j), and E[Δ] is their sum over B.
    [derived] (method.md 4.2)

    Args:
        class_totals: (M,) samples N_m of each class, at all clients together.
        batch_size: B, 1 ≤ B ≤ N.

    Returns:
        E[Δ], from 0 to 2, with a relative error below 1e-9 up to N = 10⁹.

    >>> round(expected_uniform_deviation([5_000] * 10, 128), 4)
    0.2114
    """
    n_m, total, b = pooled(class_totals, batch_size)
    j = b * n_m // total + 1
    weight = j * (total - n_m - b + j) / total
    return float(2 * weight @ pmf(j, total, n_m, b) / b)


def pooled(class_totals: ArrayLike, batch_size: int) -> tuple[IntArray, int, int]:
    """The totals N_m, their sum N, and B, checked."""
    n_m = check.integers("class_totals", class_totals, ndim=1)
    total = check.integer("class_totals summed", sum(n_m.tolist()), 1, check.MOST_SAMPLES)
    return n_m, total, check.integer("batch_size", batch_size, 1, total)


def uniform_deviation_std(class_totals: ArrayLike, batch_size: int) -> float:
    """The exact standard deviation of Δ of one UGS batch of exactly B samples.

    With X_m = c_m − B p_m, Var[Δ] = (Σ_m Var[c_m] + Σ_{m≠l} E|X_m| |X_l|) / B² − E[Δ]².
    [derived] (method.md 4.2)

    Args:
        class_totals: (M,) samples N_m of each class, at all clients together.
        batch_size: B, 1 ≤ B ≤ N, at most 2²⁸.

    Returns:
        The standard deviation. The work is O(B) for each pair of different totals. It is a
        difference of moments: a Δ that never varies (B = 1, equal classes) may give 1e-8.
    """
    n_m, total, b = pooled(class_totals, batch_size)
    check.integer("batch_size", b, 1, check.MOST_NUMBERS)
    variance = second_moment(n_m, total, b) / b**2 - expected_uniform_deviation(n_m, b) ** 2
    return math.sqrt(max(0.0, variance))


def second_moment(n_m: IntArray, total: int, b: int) -> float:
    """E (Σ_m |X_m|)²; each pair of different totals is computed once."""
    totals, repeats = np.unique(n_m[n_m > 0], return_counts=True)
    p = totals / total
    moment = float(repeats @ (p * (1 - p)) * b * ((total - b) / max(total - 1, 1)))
    groups = zip(totals.tolist(), repeats.tolist(), strict=True)
    for (n_1, r_1), (n_2, r_2) in combinations_with_replacement(groups, 2):
        pairs = r_1 * (r_1 - 1) if n_1 == n_2 else 2 * r_1 * r_2
        if pairs:
            moment += pairs * mean_product(total, n_1, n_2, b)
    return moment


def mean_product(total: int, n_m: int, n_l: int, b: int) -> float:
    """E|c_m − B p_m| |c_l − B p_l|, by the value of c_m: its other n = B − c_m draws decide c_l.

    E|c_l − x| = 2 E(x − c_l)⁺ + E[c_l] − x with x = B p_l; one running sum gives P(c_l ≤ ⌊x⌋) for
    all n. (method.md 4.2)
    """
    rest = total - n_m
    n = np.arange(min(b, rest) + 1)
    j = b * n_l // total
    falls = pmf(j, rest, n_l, n[:-1]) * (n_l - j) / (rest - n[:-1])
    at_most_j = 1 - np.append(0.0, np.cumsum(falls))
    mean, x = n * (n_l / rest), b * n_l / total
    step_up = (j + 1) * (rest - n_l - n + j + 1) / rest
    below = (x - mean) * at_most_j + step_up * pmf(j + 1, rest, n_l, n)
    weight = np.abs(b - n - b * n_m / total) * pmf(b - n, total, n_m, b)
    return float(weight @ (2 * below + mean - x))
