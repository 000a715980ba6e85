"""The law given a schedule: the expected Δ, the moments and chances of class counts."""

from collections.abc import Iterator
from functools import cache
from itertools import islice

import numpy as np

from pslref import check
from pslref.check import ArrayLike, FloatArray, IntArray
from pslref.sampling import Schedule, Steps
from pslref.sampling.walks import check_covers, demanded
from pslref.theory.expected import class_count_laws, step_deviation, urn_law
from pslref.theory.measured import distance


def expected_deviation(schedule: Schedule | Steps, class_counts: ArrayLike) -> FloatArray:
    """The exact expected batch deviation of each step, given the schedule: (T,), from 0 to 2.

    E[Δ_t | b_t] = Σ_m E| c_tm / B_t − p_m |, each term a sum over the law of c_tm. The work is one
    convolution of length up to B_t for each step, each class and each participant that holds this
    class and others. [derived] (method.md 4.1)

    Args:
        schedule: T steps of K clients, each of at least one sample; it need not exhaust them.
            `Steps` are used up by it.
        class_counts: (K, M) samples n_km of class m at client k.

    >>> expected_deviation(Schedule([[1, 1], [2, 0]]), [[2, 2], [0, 4]]).round(3)
    array([0.5  , 0.667])
    """
    n = check.class_counts("class_counts", class_counts)
    p, law = n.sum(axis=0) / n.sum(), cache(urn_law)  # the same urns come back in many steps
    expected: list[float] = []
    before = np.zeros(0, np.int64), n
    for drawn, held in urns(schedule, n):
        same = np.array_equal(drawn, before[0]) and np.array_equal(held, before[1])  # as in FLS
        expected.append(expected[-1] if same else step_deviation(drawn, held, p, law))
        before = drawn, held
    return np.array(expected)


def urns(schedule: Schedule | Steps, class_counts: IntArray) -> Iterator[tuple[IntArray, IntArray]]:
    """What each step draws from each urn, (U,), and the samples of each class in it, (U, M)."""
    classes = np.arange(class_counts.shape[1])
    check_covers(schedule, class_counts)
    for clients, counts in demanded(schedule):
        urn, group = counts.nonzero()
        check.integer("urns * classes of a step", urn.size * classes.size, 1, check.MOST_NUMBERS)
        in_urn = np.minimum(classes, counts.shape[1] - 1) == group[:, np.newaxis]
        drawn, held = counts[urn, group], class_counts[clients[urn]] * in_urn
        if (drawn > held.sum(axis=1)).any():
            raise check.wrong("schedule", drawn, "must ask clients for at most what they have")
        yield drawn, held


def class_count_mean(schedule: Schedule | Steps, class_counts: ArrayLike) -> FloatArray:
    """The expected class counts of each step, E[c_tm] = Σ_k b_tk β_km: (T, M) in samples.

    [derived] (method.md 4.1)

    Args:
        schedule: T steps of K clients, each of at least one sample; it need not exhaust them.
        class_counts: (K, M) samples n_km of class m at client k; β_km = n_km / n_k.
    """
    n = check.class_counts("class_counts", class_counts)
    return np.array([drawn @ shares(held) for drawn, held in urns(schedule, n)])


def class_count_variance(schedule: Schedule | Steps, class_counts: ArrayLike) -> FloatArray:
    """The variance of the class counts of each step, (T, M) in samples².

    Var[c_tm] = Σ_k b_tk β_km (1 − β_km) (n_k − b_tk) / (n_k − 1); arguments as for
    `class_count_mean`. [derived] (method.md 4.1)
    """
    n = check.class_counts("class_counts", class_counts)
    return np.array([step_variance(drawn, held) for drawn, held in urns(schedule, n)])


def step_variance(drawn: IntArray, held: IntArray) -> FloatArray:
    """(M,) of one step, from the urns that take part in it."""
    size, beta = held.sum(axis=1), shares(held)
    variance: FloatArray = drawn * ((size - drawn) / np.maximum(size - 1, 1)) @ (beta * (1 - beta))
    return variance


def shares(held: IntArray) -> FloatArray:
    """(U, M) β, the classes' shares of each urn."""
    beta: FloatArray = held / held.sum(axis=1, keepdims=True)
    return beta


def class_count_pmf(
    schedule: Schedule | Steps, class_counts: ArrayLike, step: int, klass: int
) -> FloatArray:
    """The exact law of one class count: P(c_tm = j) for j = 0..B_t, (B_t + 1,).

    It is the convolution of the clients' Hypergeometric(n_k, n_km, b_tk). [derived]
    (method.md 4.1)

    Args:
        schedule: T steps of K clients; it need not exhaust them.
        class_counts: (K, M) samples n_km of class m at client k.
        step: t, from 0; of at most 2²⁸ samples.
        klass: m, from 0.
    """
    n = check.class_counts("class_counts", class_counts)
    check_covers(schedule, n)
    t = check.integer("step", step, 0, schedule.num_steps - 1)
    drawn, held = next(islice(urns(schedule, n), t, None))
    size = check.integer("samples in the step", int(drawn.sum()), 1, check.MOST_NUMBERS)
    m = check.integer("klass", klass, 0, n.shape[1] - 1)
    least, chances = class_count_laws(drawn, held, urn_law)
    law = np.zeros(size + 1)
    possible = chances[m, : size + 1 - least[m]]
    law[least[m] : least[m] + possible.size] = possible
    return law


def participation_bias(schedule: Schedule | Steps, class_counts: ArrayLike) -> FloatArray:
    """What stays of each step's deviation however the clients shuffle: that of the mean batch.

    Σ_m | E[c_tm] / B_t − p_m |, (T,), from 0 to 2: rounded local batches and absent clients shift
    the class mix. Never above the expected deviation; arguments as for `expected_deviation`.
    [derived] (method.md 4.1)
    """
    n = check.class_counts("class_counts", class_counts)
    return distance(class_count_mean(schedule, n), n.sum(axis=0) / n.sum())
