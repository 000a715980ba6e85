"""Batch deviation: how far the classes of a batch are from those of all the data."""

import numpy as np

from pslref import check
from pslref.check import ArrayLike, FloatArray, IntArray


def batch_deviation(batch_class_counts: ArrayLike, class_probs: ArrayLike) -> FloatArray:
    """The measured batch deviation of each step, Δ_t = Σ_m | c_tm / B_t − p_m |.

    It is the L1 distance between the class distribution of the global batch and that of all the
    data: 0 for a batch that mirrors the data, and never above 2 (1 − min p). [paper]
    (method.md 2)

    Args:
        batch_class_counts: (T, M) how many samples of class m the batch of step t holds, 0 or
            more, and at least one in each step.
        class_probs: (M,) the pooled class distribution p, summing to 1.

    Returns:
        (T,) float64, from 0 to 2.

    >>> batch_deviation([[2, 2], [4, 0]], [0.5, 0.5])
    array([0., 1.])
    """
    counts = check.integers("batch_class_counts", batch_class_counts, ndim=2)
    p = check.numbers("class_probs", class_probs).astype(np.float64)
    if p.shape != counts.shape[1:]:
        allowed = f"must be one number for each of {counts.shape[1]} classes"
        raise check.wrong("class_probs", class_probs, allowed)
    if not (p >= 0).all() or not abs(p.sum() - 1) < 1e-6:
        raise check.wrong("class_probs", class_probs, "must be 0 or more and sum to 1")
    empty = np.flatnonzero(~counts.any(axis=1))
    if empty.size:
        raise check.wrong(f"batch_class_counts[{empty[0]}].sum()", 0, "must be 1 or more")
    return distance(counts, p)


def distance(class_counts: IntArray | FloatArray, class_probs: FloatArray) -> FloatArray:
    """(T,) Σ_m | c_tm / B_t − p_m |."""
    apart = class_counts / class_counts.sum(axis=1, keepdims=True) - class_probs
    distance: FloatArray = np.abs(apart).sum(axis=1)
    return distance
