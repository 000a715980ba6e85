"""Batch deviation: how far the classes of a batch are from those of all the data."""

import numpy as np

from pslref import check
from pslref.check import ArrayLike, FloatArray


def batch_deviation(batch_class_counts: ArrayLike, class_probs: ArrayLike) -> FloatArray:
    """The measured batch deviation of each step, Δ_t = Σ_m | c_tm / B_t − p_m |.

    It is the L1 distance between the class distribution of the global batch and that of all the
    data: 0 for a batch that mirrors the data, and never above 2 (1 − min p). [paper]
    (method.md 2)

    Args:
        batch_class_counts: (T, M) how many samples of class m the batch of step t holds.
        class_probs: (M,) the pooled class distribution p, summing to 1.

    Returns:
        (T,) float64, from 0 to 2.

    Raises:
        ValueError: for counts that are not whole or negative, for a step without a sample, for
            another number of classes, and for probabilities that are none.
    """
    counts = check.integers("batch_class_counts", batch_class_counts, ndim=2)
    probs = check.numbers("class_probs", class_probs).astype(np.float64)
    if probs.shape != counts.shape[1:]:
        raise check.wrong(
            "class_probs", class_probs, f"must be one number for each of {counts.shape[1]} classes"
        )
    if not (probs >= 0).all() or not abs(probs.sum() - 1) < 1e-6:
        raise check.wrong("class_probs", class_probs, "must be 0 or more and sum to 1")
    batch_sizes = counts.sum(axis=1, keepdims=True)
    empty = np.flatnonzero(batch_sizes == 0)
    if empty.size:
        raise check.wrong(f"batch_class_counts[{empty[0]}].sum()", 0, "must be 1 or more")
    deviation: FloatArray = np.abs(counts / batch_sizes - probs).sum(axis=1)
    return deviation
