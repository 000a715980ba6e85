"""The exact law of a batch: given the schedule, for every sampler; and of one UGS batch.

What a client is asked for together, it hands out in blocks of a random order, and a later block is
distributed like the first. So, given the schedule, class m's count c_tm is a sum of independent
hypergeometric counts, whatever the sampler. (method.md 4.1)
"""

from collections.abc import Callable
from functools import cache

import numpy as np

from pslref import check
from pslref.check import ArrayLike, FloatArray, IntArray
from pslref.sampling import Schedule
from pslref.sampling.schedule import check_covers
from pslref.theory.hypergeometric import pmf


def class_count_mean(schedule: Schedule, class_counts: ArrayLike) -> FloatArray:
    """The expected class counts of each step, E[c_tm] = Σ_k b_tk β_km: (T, M) in samples.

    [derived] (method.md 4.1)

    Args:
        schedule: T steps of K clients, each of at least one sample; it need not exhaust them.
        class_counts: (K, M) samples n_km of class m at client k; β_km = n_km / n_k.
    """
    b, n = urns(schedule, class_counts)
    return b @ class_shares(n)


def class_count_variance(schedule: Schedule, class_counts: ArrayLike) -> FloatArray:
    """The variance of the class counts of each step, (T, M) in samples².

    Var[c_tm] = Σ_k b_tk β_km (1 − β_km) (n_k − b_tk) / (n_k − 1); arguments as for
    `class_count_mean`. [derived] (method.md 4.1)
    """
    b, n = urns(schedule, class_counts)
    n_k, beta = n.sum(axis=1), class_shares(n)
    variance: FloatArray = b * ((n_k - b) / np.maximum(n_k - 1, 1)) @ (beta * (1 - beta))
    return variance


def expected_deviation(schedule: Schedule, class_counts: ArrayLike) -> FloatArray:
    """The exact expected batch deviation of each step, given the schedule: (T,), from 0 to 2.

    E[Δ_t | b_t] = Σ_m E| c_tm / B_t − p_m |, each term a sum over the law of c_tm; arguments as for
    `class_count_mean`. The work is one convolution of length up to B_t for each different step,
    each class and each participant that holds this class and others. [derived] (method.md 4.1)

    >>> expected_deviation(Schedule([[1, 1], [2, 0]]), [[2, 2], [0, 4]]).round(3)
    array([0.5  , 0.667])
    """
    b, n = urns(schedule, class_counts)
    law = cache(urn_law)  # the same n_k, n_km and b_tk come back in many steps
    distinct, step_of = np.unique(b, axis=0, return_inverse=True)
    p = n.sum(axis=0) / n.sum()
    expected = np.array([step_deviation(row[row > 0], n[row > 0], p, law) for row in distinct])
    return expected[step_of.reshape(-1)]


UrnLaw = Callable[[int, int, int], FloatArray]


def step_deviation(b: IntArray, n: IntArray, p: FloatArray, law: UrnLaw) -> float:
    """Σ_m Σ_c | c / B − p_m | P(c_m = c), of one step, from the urns that take part in it."""
    expected, sizes, batch_size = 0.0, n.sum(axis=1), b.sum()
    for n_m, p_m in zip(n.T, p, strict=True):
        low, chances = class_count_law(b, sizes, n_m, law)
        share = (low + np.arange(chances.size)) / batch_size
        expected += np.abs(share - p_m) @ chances
    return expected


def class_count_law(b: IntArray, n: IntArray, n_m: IntArray, law: UrnLaw) -> tuple[int, FloatArray]:
    """The least count of a class in a step, and the chances from there upwards: a convolution."""
    low, high = np.maximum(0, b - (n - n_m)), np.minimum(b, n_m)
    number = int((high - low).sum()) + 1
    check.integer("counts that a class may have in a step", number, 1, check.MOST_NUMBERS)
    chances = np.ones(1)
    for u in np.flatnonzero(low < high):  # the other urns have no choice
        chances = np.convolve(chances, law(int(n[u]), int(n_m[u]), int(b[u])))
    return int(low.sum()), chances


def urn_law(n: int, n_m: int, b: int) -> FloatArray:
    """The chances of all counts of a class in b of n samples, if n_m are of that class."""
    return pmf(np.arange(max(0, b - (n - n_m)), min(b, n_m) + 1), n, n_m, b)


def class_shares(n: IntArray) -> FloatArray:
    """(K, M) β, 0 for an empty client."""
    shares: FloatArray = n / np.maximum(n.sum(axis=1, keepdims=True), 1)
    return shares


def urns(schedule: Schedule, class_counts: ArrayLike) -> tuple[IntArray, IntArray]:
    """What is drawn from each urn, (T, U), and the samples of each class in it, (U, M).

    An urn is a client; where the classes are prescribed, one class of a client.
    """
    check.kind("schedule", schedule, Schedule)
    n, demands = check.class_counts("class_counts", class_counts), schedule.demands()
    check_covers(schedule, n)
    num_steps, _, groups = demands.shape
    check.integer("urns * classes", groups * n.size, 1, check.MOST_NUMBERS)
    of_class = np.minimum(np.arange(n.shape[1]), groups - 1)
    in_urn = n[:, np.newaxis] * (of_class == np.arange(groups)[:, np.newaxis])
    return demands.reshape(num_steps, -1), in_urn.reshape(-1, n.shape[1])


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
