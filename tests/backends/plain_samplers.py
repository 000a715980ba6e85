"""Samplers and laws from their definitions: fractions, sorting, and sums over all outcomes.

It shares no code with pslref. `faults` is the set of the names of mistakes.
"""

import math
from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Faults = set[str]


def local_batch(exact: Fraction, faults: Faults) -> int:
    if "round-half-up" in faults:
        return max(1, math.floor(exact + Fraction(1, 2)))
    if "round-down" in faults:
        return max(1, math.floor(exact))
    return max(1, round(exact))  # Python rounds halves of fractions to even


def fixed(sizes: Array, batch_size: int, proportional: bool, faults: Faults) -> Array:
    n = [int(size) for size in sizes]
    if not 1 <= batch_size <= sum(n):
        raise ValueError("B outside 1..N")
    holders = sum(size > 0 for size in n) if "k-of-holders" in faults else len(n)
    local = [
        local_batch(
            Fraction(batch_size * size, sum(n)) if proportional else Fraction(batch_size, holders),
            faults,
        )
        for size in n
    ]
    rows = []
    while any(n):
        rows.append([min(b, left) for b, left in zip(local, n, strict=True)])
        n = [left - given for left, given in zip(n, rows[-1], strict=True)]
        if "stop-at-first-empty" in faults and not all(
            left or not size for left, size in zip(n, sizes, strict=True)
        ):
            break
    if "last-batch-dropped" in faults:
        rows = [row for row in rows if sum(row) == sum(rows[0])]
    return np.array(rows)


def batch_sizes(total: int, batch_size: int, remainder: str, faults: Faults) -> list[int]:
    if not 1 <= batch_size <= total:
        raise ValueError("B outside 1..N")
    steps = math.ceil(total / batch_size)
    if "remainder-swapped" in faults:
        remainder = {"short": "even", "even": "short"}[remainder]
    if remainder == "even":
        sizes = [total // steps + (t < total % steps) for t in range(steps)]
    else:
        sizes = [min(batch_size, total - t * batch_size) for t in range(steps)]
    return [b for b in sizes if b == sizes[0]] if "last-batch-dropped" in faults else sizes


def from_ids(ids: list[int], num_clients: int, sizes: list[int]) -> Array:
    rows, start = [], 0
    for size in sizes:
        seen = Counter(ids[start : start + size])
        rows.append([seen[k] for k in range(num_clients)])
        start += size
    return np.array(rows)


def ugs_replay(
    sizes: Array, batch_size: int, remainder: str, permutation: Array, faults: Faults
) -> Array:
    ids = [k for k, size in enumerate(sizes) for _ in range(size)]
    cuts = batch_sizes(len(ids), batch_size, remainder, faults)
    if "short-first" in faults:
        cuts = sorted(cuts)
    return from_ids([ids[i] for i in permutation], len(sizes), cuts)


def lds_replay(
    sizes: Array, batch_size: int, remainder: str, draws: Array, faults: Faults
) -> Array:
    left, taken = [int(size) for size in sizes], []
    for k in draws:
        if left[k] or "no-cap" in faults:
            left[k] -= 1
            taken.append(int(k))
    cuts = batch_sizes(int(sizes.sum()), batch_size, remainder, faults)
    return from_ids(taken, len(left), cuts)


def lds_prior(
    sizes: Array,
    pseudo_samples: int,
    concentration: float,
    delta: float,
    delays: Array,
    faults: Faults,
) -> Array:
    total, s, k = int(sizes.sum()), pseudo_samples, len(sizes)
    z = Fraction(s * (total - 1), total - s) - ("z-plus-one" not in faults)
    mean = math.fsum(delays) / k
    ddof = 1 if "sample-std" in faults else 0
    std = math.sqrt(math.fsum((d - mean) ** 2 for d in delays) / (k - ddof))
    sign = -1 if "wrong-sign" in faults else 1
    alpha = []
    for size, delay in zip(sizes, delays, strict=True):
        lean = sign * delta * (delay - mean) / std if std else 0.0
        alpha.append(concentration * float(z) * size / total * math.exp(lean))
    return np.array(alpha)


def lds_em(
    alpha: Array,
    class_counts: Array,
    label_counts: Array,
    start: Array,
    iterations: int,
    faults: Faults,
) -> Array:
    n, pi = class_counts.tolist(), list(start)
    beta = [[cell / sum(row) for cell in row] for row in n]
    classes = [m for m in range(len(label_counts)) if any(row[m] for row in n)]
    for _ in range(iterations):
        new = [0.0 if "prior-dropped" in faults else a for a in alpha]
        if "alpha-minus-one" in faults:
            new = [a - 1 for a in alpha]
        for m in classes:
            mixture = sum(p * b[m] for p, b in zip(pi, beta, strict=True))
            for k in range(len(pi)):
                new[k] += label_counts[m] * pi[k] * beta[k][m] / mixture
        new = [max(a, 0.0) for a in new]
        pi = [a / sum(new) for a in new]
    return np.array(pi)


def hypergeometric(population: int, marked: int, draws: int) -> dict[int, Fraction]:
    ways = math.comb(population, draws)
    return {
        j: Fraction(math.comb(marked, j) * math.comb(population - marked, draws - j), ways)
        for j in range(min(marked, draws) + 1)
        if draws - j <= population - marked
    }


def batch_law(steps: Array, class_counts: Array, faults: Faults) -> dict[str, Array]:
    n = class_counts.tolist()
    totals = [sum(row[m] for row in n) for m in range(len(n[0]))]
    out: dict[str, list[Any]] = {"mean": [], "variance": [], "expected_deviation": []}
    for row in steps.tolist():
        means, variances, deviation = [], [], Fraction(0)
        for m, total in enumerate(totals):
            law = {0: Fraction(1)}
            for b, own in zip(row, n, strict=True):
                part = hypergeometric(sum(own), own[m], b)
                new: dict[int, Fraction] = {}
                for i, p in law.items():
                    for j, q in part.items():
                        new[i + j] = new.get(i + j, Fraction(0)) + p * q
                law = new
            mean = sum(j * p for j, p in law.items())
            share = Fraction(total, sum(totals))
            means.append(float(mean))
            variances.append(float(sum((j - mean) ** 2 * p for j, p in law.items())))
            deviation += sum(abs(Fraction(j, sum(row)) - share) * p for j, p in law.items())
        out["mean"].append(means)
        out["variance"].append(variances)
        out["expected_deviation"].append(float(deviation))
    return {name: np.array(rows) for name, rows in out.items()}


def uniform_deviation(class_totals: Array, batch_size: int) -> float:
    n = [int(total) for total in class_totals]
    return float(
        sum(
            abs(Fraction(j, batch_size) - Fraction(total, sum(n))) * p
            for total in n
            for j, p in hypergeometric(sum(n), total, batch_size).items()
        )
    )


def batch_deviation(counts: Array, class_probs: Array, faults: Faults) -> Array:
    rows = []
    for row in counts.tolist():
        gaps = [
            abs(Fraction(c, sum(row)) - Fraction(float(p)))
            for c, p in zip(row, class_probs, strict=True)
        ]
        rows.append(float(sum(gaps)) / (2 if "total-variation" in faults else 1))
    return np.array(rows)


def step_times(
    steps: Array, delays: Array, sample_costs: Array, server_time: float, faults: Faults
) -> Array:
    times = []
    for row in steps.tolist():
        each = [
            d + b * s
            for b, d, s in zip(row, delays, sample_costs, strict=True)
            if b or "everybody-waits" in faults
        ]
        slowest = sum(each) / len(each) if "mean-time" in faults else max(each)
        times.append(slowest + server_time)
    return np.array(times)
