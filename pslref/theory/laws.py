"""The exact law of a batch: given the schedule, and under UGS on average over all schedules.

Given how many samples b_tk each client brings to step t, the sampler is out of the picture. A
client's t-th block of its shuffled data is distributed like its first, so class m's count c_tm
is a sum over clients of independent Hypergeometric(n_k, n_km, b_tk) counts, for every schedule.
A schedule that prescribes local class counts leaves nothing to chance: its counts are the law.
"""

import math
from collections.abc import Callable
from functools import cache
from itertools import combinations_with_replacement

import numpy as np

from pslref import check
from pslref.check import ArrayLike, FloatArray, IntArray
from pslref.sampling import Schedule
from pslref.theory.hypergeometric import hypergeometric_pmf


def class_count_mean(schedule: Schedule, class_counts: ArrayLike) -> FloatArray:
    """The expected class counts of each step.

    E[c_tm] = Σ_k b_tk β_km. [derived] (method.md 4.1)

    Args:
        schedule: T steps of K clients; it need not exhaust them.
        class_counts: (K, M) samples n_km of class m at client k; β_km = n_km / n_k.

    Returns:
        (T, M) float64, in samples.

    Raises:
        ValueError: for a step without a sample, and for a schedule of another number of clients
            or in which a client brings more samples than it has.
    """
    b, n = _matched(schedule, class_counts)
    return b @ _class_shares(n)


def class_count_variance(schedule: Schedule, class_counts: ArrayLike) -> FloatArray:
    """The variance of the class counts of each step, (T, M) in samples².

    Var[c_tm] = Σ_k b_tk β_km (1 − β_km) (n_k − b_tk) / (n_k − 1); arguments and errors as for
    `class_count_mean`. [derived] (method.md 4.1)
    """
    b, n = _matched(schedule, class_counts)
    n_k, beta = n.sum(axis=1), _class_shares(n)
    weights = b * ((n_k - b) / np.maximum(n_k - 1, 1))
    variance: FloatArray = weights @ (beta * (1 - beta))
    return variance


def class_count_pmf(
    schedule: Schedule, class_counts: ArrayLike, step: int, klass: int
) -> FloatArray:
    """The exact law of one class count: P(c_tm = j) for j = 0..B_t.

    It is the convolution of the clients' Hypergeometric(n_k, n_km, b_tk). [derived]
    (method.md 4.1)

    Args:
        schedule: T steps of K clients; it need not exhaust them.
        class_counts: (K, M) samples n_km of class m at client k.
        step: t, from 0.
        klass: m, from 0.

    Returns:
        (B_t + 1,) float64.

    Raises:
        ValueError: as `class_count_mean`, and for a step or class that does not exist, or a step
            of more than 2²⁸ samples.
    """
    b, n = _matched(schedule, class_counts)
    row = b[check.integer("step", step, 0, len(b) - 1)]
    check.integer("samples in the step", int(row.sum()), 1, check.MOST_NUMBERS)
    m = check.integer("klass", klass, 0, n.shape[1] - 1)
    low, pmf = _class_count_law(row, n.sum(axis=1), n[:, m], _client_pmf)
    return np.pad(pmf, (low, int(row.sum()) - low - pmf.size + 1))


def participation_bias(schedule: Schedule, class_counts: ArrayLike) -> FloatArray:
    """What stays of each step's deviation however the clients shuffle: that of the mean batch.

    Σ_m | Σ_k (b_tk / B_t − r_k) β_km | = Σ_m | E[c_tm] / B_t − p_m |: rounded local batches and
    absent clients shift the class mix. Never above the expected deviation. Arguments and
    errors as for `class_count_mean`. [derived] (method.md 4.1)

    Returns:
        (T,) float64, from 0 to 2.
    """
    b, n = _matched(schedule, class_counts)
    mix = b / b.sum(axis=1, keepdims=True) @ _class_shares(n)
    bias: FloatArray = np.abs(mix - n.sum(axis=0) / n.sum()).sum(axis=1)
    return bias


def expected_deviation(schedule: Schedule, class_counts: ArrayLike) -> FloatArray:
    """The exact expected batch deviation of each step, given the schedule, for any sampler.

    E[Δ_t | b_t] = Σ_m E| c_tm / B_t − p_m |, each term a sum over the law of c_tm. Steps with
    the same local batch sizes have the same expectation. [derived] (method.md 4.1)

    Args:
        schedule: T steps of K clients; it need not exhaust them.
        class_counts: (K, M) samples n_km of class m at client k.

    Returns:
        (T,) float64, from 0 to 2. The work is one convolution of length up to B_t for each step,
        class and participant that holds this class and others.

    Raises:
        ValueError: as `class_count_mean`, and where a class may have more than 2²⁸ counts in a
            step.
    """
    b, n = _matched(schedule, class_counts)
    n_k, p = n.sum(axis=1), n.sum(axis=0) / n.sum()
    client_pmf = cache(_client_pmf)  # the same n_k, n_km and b_tk come back in many steps
    distinct, step_of = np.unique(b, axis=0, return_inverse=True)
    expected = np.zeros(len(distinct))
    for i, row in enumerate(distinct):
        for m in range(p.size):
            low, pmf = _class_count_law(row, n_k, n[:, m], client_pmf)
            share = (low + np.arange(pmf.size)) / row.sum()
            expected[i] += np.abs(share - p[m]) @ pmf
    return expected[step_of.reshape(-1)]


def expected_uniform_deviation(class_totals: ArrayLike, batch_size: int) -> float:
    """The exact expected deviation of one UGS batch of exactly B samples, in closed form.

    On average over schedules such a batch is a uniform draw from the pooled data, so c_m is
    Hypergeometric(N, N_m, B). Going up in j, Σ_{c<j} (B p_m − c) P(c) telescopes, and with
    j = ⌊B N_m / N⌋ + 1, the first count above the mean,

        E| c_m − B p_m | = 2 j (N − N_m − B + j) / N · P(c_m = j).

    E[Δ] is their sum over B; at B = N it is exactly 0. [derived] (method.md 4.2)

    Args:
        class_totals: (M,) samples N_m of each class, at all clients together.
        batch_size: B, 1 ≤ B ≤ N.

    Returns:
        E[Δ], from 0 to 2, with a relative error below 1e-9 up to N = 10⁹.

    Raises:
        ValueError: for totals that are negative or all zero, and B outside 1..N.
    """
    n_m, total, b = _pooled(class_totals, batch_size)
    j = b * n_m // total + 1
    weight = j * (total - n_m - b + j) / total
    return float(2 * weight @ hypergeometric_pmf(j, total, n_m, b) / b)


def uniform_deviation_std(class_totals: ArrayLike, batch_size: int) -> float:
    """The exact standard deviation of Δ of one UGS batch of exactly B samples.

    With X_m = c_m − B p_m, Var[Δ] = (Σ_m Var[c_m] + Σ_{m≠l} E|X_m| |X_l|) / B² − E[Δ]², where
    Var[c_m] = B p_m (1 − p_m) (N − B) / (N − 1) and every pair (c_m, c_l) is multivariate
    hypergeometric. Pairs of the same totals are computed once. [derived] (method.md 4.2)

    Args:
        class_totals: (M,) samples N_m of each class, at all clients together.
        batch_size: B, 1 ≤ B ≤ N, at most 2²⁸.

    Returns:
        The standard deviation. The work is O(B) for each pair of different totals. It is a
        difference of moments: a Δ that never varies (B = 1, equal classes) may give 1e-8.

    Raises:
        ValueError: for totals that are negative or all zero, and B outside 1..N.
    """
    n_m, total, b = _pooled(class_totals, batch_size)
    check.integer("batch_size", b, 1, check.MOST_NUMBERS)
    totals, repeats = np.unique(n_m[n_m > 0], return_counts=True)
    p = totals / total
    second_moment = float(repeats @ (p * (1 - p)) * b * ((total - b) / max(total - 1, 1)))
    pooled = zip(totals.tolist(), repeats.tolist(), strict=True)
    for (n_1, r_1), (n_2, r_2) in combinations_with_replacement(pooled, 2):
        pairs = r_1 * (r_1 - 1) if n_1 == n_2 else 2 * r_1 * r_2
        if pairs:
            second_moment += pairs * _mean_product(total, n_1, n_2, b)
    variance = second_moment / b**2 - expected_uniform_deviation(n_m, b) ** 2
    return math.sqrt(max(0.0, variance))


def _mean_product(total: int, n_m: int, n_l: int, b: int) -> float:
    """E|c_m − B p_m| |c_l − B p_l|, by the value of c_m: its other n = B − c_m draws decide c_l.

    Those come from R = N − N_m samples, so that c_l is Hypergeometric(R, N_l, n). Write x for
    B p_l and j = ⌊x⌋. Then E|c_l − x| = 2 E(x − c_l)⁺ + E[c_l] − x, and by the telescoping sum
    of `expected_uniform_deviation` E(x − c_l)⁺ = (x − E[c_l]) F + (j + 1) (R − N_l − n + j + 1)
    / R · P(j + 1), with F = P(c_l ≤ j). One more draw leaves the event c_l ≤ j only if it is
    the (j + 1)-th of class l: F falls by P(j) (N_l − j) / (R − n). One running sum gives all F.
    """
    rest = total - n_m
    n = np.arange(min(b, rest) + 1)
    j = b * n_l // total
    falls = hypergeometric_pmf(j, rest, n_l, n[:-1]) * (n_l - j) / (rest - n[:-1])
    at_most_j = 1 - np.append(0.0, np.cumsum(falls))
    mean, x = n * (n_l / rest), b * n_l / total
    step_up = (j + 1) * (rest - n_l - n + j + 1) / rest
    below = (x - mean) * at_most_j + step_up * hypergeometric_pmf(j + 1, rest, n_l, n)
    weight = np.abs(b - n - b * n_m / total) * hypergeometric_pmf(b - n, total, n_m, b)
    return float(weight @ (2 * below + mean - x))


def _class_count_law(
    b: IntArray, n_k: IntArray, n_km: IntArray, client_pmf: Callable[[int, int, int], FloatArray]
) -> tuple[int, FloatArray]:
    """The least possible count of a class, and the probabilities from there upwards."""
    low, high = np.maximum(0, b - (n_k - n_km)), np.minimum(b, n_km)
    number = int((high - low).sum()) + 1
    check.integer("counts that a class may have in a step", number, 1, check.MOST_NUMBERS)
    pmf = np.ones(1)
    for k in np.flatnonzero(low < high):  # the other clients have no choice
        pmf = np.convolve(pmf, client_pmf(int(n_k[k]), int(n_km[k]), int(b[k])))
    return int(low.sum()), pmf


def _client_pmf(n_k: int, n_km: int, b: int) -> FloatArray:
    counts = np.arange(max(0, b - (n_k - n_km)), min(b, n_km) + 1)
    return hypergeometric_pmf(counts, n_k, n_km, b)


def _class_shares(n: IntArray) -> FloatArray:
    shares: FloatArray = n / np.maximum(n.sum(axis=1, keepdims=True), 1)
    return shares


def _pooled(class_totals: ArrayLike, batch_size: int) -> tuple[IntArray, int, int]:
    n_m = check.integers("class_totals", class_totals, ndim=1)
    total = check.integer("class_totals summed", sum(n_m.tolist()), 1, check.MOST_SAMPLES)
    return n_m, total, check.integer("batch_size", batch_size, 1, total)


def _matched(schedule: Schedule, class_counts: ArrayLike) -> tuple[IntArray, IntArray]:
    """The local batch sizes (T, K) and class counts (K, M), if they can belong together.

    Where classes are prescribed, every class is one client that brings c_tm of its N_m samples.
    """
    check.kind("schedule", schedule, Schedule)
    n, b = check.class_counts("class_counts", class_counts), schedule.batch_sizes
    if len(n) != schedule.num_clients:
        allowed = f"must have one row for each of the schedule's {schedule.num_clients} clients"
        raise check.wrong("class_counts.shape", n.shape, allowed)
    brought, n_k = b.sum(axis=0, dtype=np.float64), n.sum(axis=1)  # no sum of int64 may wrap
    if (brought > n_k).any():
        k = int(np.argmax(brought > n_k))
        name, allowed = f"schedule.sizes[{k}]", f"must be at most n_{k} = {n_k[k]}"
        raise check.wrong(name, int(brought[k]), allowed)
    empty = np.flatnonzero(b.sum(axis=1) == 0)
    if empty.size:
        raise check.wrong(f"schedule.batch_sizes[{empty[0]}].sum()", 0, "must be 1 or more")
    if schedule.local_class_counts is None:
        return b, n
    asked = schedule.local_class_counts.sum(axis=0)
    if asked.shape != n.shape or (asked > n).any():
        name, allowed = "schedule.local_class_counts summed", f"must be at most class_counts {n}"
        raise check.wrong(name, asked, allowed)
    check.integer("classes * classes", n.shape[1] ** 2, 1, check.MOST_NUMBERS)
    return schedule.local_class_counts.sum(axis=1), np.diag(n.sum(axis=0))
