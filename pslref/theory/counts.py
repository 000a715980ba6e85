"""More of the law given a schedule: the chances of one class count, and what no shuffle removes."""

import numpy as np

from pslref import check
from pslref.check import ArrayLike, FloatArray
from pslref.sampling import Schedule
from pslref.theory.expected import class_count_law, class_shares, urn_law, urns
from pslref.theory.measured import distance


def class_count_pmf(
    schedule: Schedule, class_counts: ArrayLike, step: int, klass: int
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
    b, n = urns(schedule, class_counts)
    row = b[check.integer("step", step, 0, len(b) - 1)]
    size = check.integer("samples in the step", int(row.sum()), 1, check.MOST_NUMBERS)
    m = check.integer("klass", klass, 0, n.shape[1] - 1)
    low, chances = class_count_law(row, n.sum(axis=1), n[:, m], urn_law)
    return np.pad(chances, (low, size - low - chances.size + 1))


def participation_bias(schedule: Schedule, class_counts: ArrayLike) -> FloatArray:
    """What stays of each step's deviation however the clients shuffle: that of the mean batch.

    Σ_m | E[c_tm] / B_t − p_m |, (T,), from 0 to 2: rounded local batches and absent clients shift
    the class mix. Never above the expected deviation; arguments as for `expected_deviation`.
    [derived] (method.md 4.1)
    """
    b, n = urns(schedule, class_counts)
    return distance(b @ class_shares(n), n.sum(axis=0) / n.sum())
