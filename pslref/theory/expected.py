"""The exact law of a step, given the schedule, for every sampler. (method.md 4.1)

What a client is asked for together, it hands out in blocks of a random order, and a later block is
distributed like the first. So, given the schedule, class m's count c_tm is a sum of independent
hypergeometric counts, whatever the sampler.
"""

from collections.abc import Callable

import numpy as np

from pslref import check
from pslref.check import FloatArray, IntArray

Law = tuple[IntArray, FloatArray]  # (M,) the least counts, (M, W) chances from there upwards


def step_deviation(
    drawn: IntArray, held: IntArray, p: FloatArray, law: Callable[[tuple[int, ...], int], Law]
) -> float:
    """E[Δ] of one step, Σ_m Σ_c | c / B − p_m | P(c_m = c). [derived] (method.md 4.1)

    Args:
        drawn: (U,) samples drawn from each urn that takes part; B is their sum.
        held: (U, M) samples of each class in it. An urn is a client; where the classes are
            prescribed, one class of a client.
        p: (M,) class distribution of the pooled data.
        law: `urn_law`, or what remembers its answers: the same urns come back in many steps.
    """
    least, chances = class_count_laws(drawn, held, law)
    share = (least[:, np.newaxis] + np.arange(chances.shape[1])) / drawn.sum()
    return float((np.abs(share - p[:, np.newaxis]) * chances).sum())


def class_count_laws(
    drawn: IntArray, held: IntArray, law: Callable[[tuple[int, ...], int], Law]
) -> Law:
    """The law of each class's count in a step: the convolution of those of its urns."""
    b, n = drawn[:, np.newaxis], held.sum(axis=1, keepdims=True)
    span = np.minimum(b, held) - np.maximum(0, b - (n - held))
    number = held.shape[1] * (int(span.max(axis=1).sum()) + 1)
    check.integer("counts that the classes may have in a step", number, 1, check.MOST_NUMBERS)
    least, chances = np.zeros(held.shape[1], np.int64), np.ones((held.shape[1], 1))
    for n_m, draws in zip(held.tolist(), drawn.tolist(), strict=True):
        of_urn, chances_of_urn = law(tuple(n_m), draws)
        least, chances = least + of_urn, convolved(chances, chances_of_urn)
    return least, chances


def convolved(a: FloatArray, b: FloatArray) -> FloatArray:
    """The convolution of each row of a with that of b."""
    if a.shape[1] < b.shape[1]:
        a, b = b, a
    both = np.zeros((len(a), a.shape[1] + b.shape[1] - 1))
    for j in range(b.shape[1]):
        both[:, j : j + a.shape[1]] += b[:, j : j + 1] * a
    return both


def urn_law(held: tuple[int, ...], b: int) -> Law:
    """The law of each class's count in b of an urn's n = Σ_m n_m samples.

    P(c + 1) / P(c) = (n_m − c) (b − c) / ((c + 1) (n − n_m − b + c + 1)), and they sum to 1; in
    logarithms, since the smallest ones underflow.
    """
    n, n_m = sum(held), np.array(held)[:, np.newaxis]
    least, most = np.maximum(0, b - (n - n_m)), np.minimum(b, n_m)
    c = least + np.arange((most - least).max() + 1)
    up, down = (n_m - c) * (b - c), (c + 1) * (n - n_m - b + c + 1)  # from c to c + 1
    ratios = np.divide(up, down, where=c < most, out=np.ones(c.shape))[:, :-1]
    logs = np.pad(np.log(ratios).cumsum(axis=1), ((0, 0), (1, 0)))
    weights = (c <= most) * np.exp(logs - logs.max(axis=1, keepdims=True))
    return least[:, 0], weights / weights.sum(axis=1, keepdims=True)
