"""The exact law of a step, given the schedule, for every sampler. (method.md 4.1)

What a client is asked for together, it hands out in blocks of a random order, and a later block is
distributed like the first. So, given the schedule, class m's count c_tm is a sum of independent
hypergeometric counts, whatever the sampler.
"""

from collections.abc import Callable

import numpy as np

from pslref import check
from pslref.check import FloatArray, IntArray

UrnLaw = Callable[[int, int, int], FloatArray]  # of n, n_m and b


def step_deviation(drawn: IntArray, held: IntArray, p: FloatArray, law: UrnLaw) -> float:
    """E[Δ] of one step, Σ_m Σ_c | c / B − p_m | P(c_m = c). [derived] (method.md 4.1)

    Args:
        drawn: (U,) samples drawn from each urn that takes part; B is their sum.
        held: (U, M) samples of each class in it. An urn is a client; where the classes are
            prescribed, one class of a client.
        p: (M,) class distribution of the pooled data.
        law: `urn_law`, or what remembers its answers: the same urns come back in many steps.
    """
    expected, sizes, batch_size = 0.0, held.sum(axis=1), drawn.sum()
    for n_m, p_m in zip(held.T, p, strict=True):
        low, chances = class_count_law(drawn, sizes, n_m, law)
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
    """The chances of all counts of a class in b of n samples, if n_m are of that class.

    P(c + 1) / P(c) = (n_m − c) (b − c) / ((c + 1) (n − n_m − b + c + 1)), and they sum to 1; in
    logarithms, since the smallest ones underflow.
    """
    c = np.arange(max(0, b - (n - n_m)), min(b, n_m))
    ratios = (n_m - c) * (b - c) / ((c + 1) * (n - n_m - b + c + 1))
    logs = np.append(0.0, np.log(ratios).cumsum())
    weights = np.exp(logs - logs.max())
    chances: FloatArray = weights / weights.sum()
    return chances
