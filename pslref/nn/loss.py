"""Softmax cross-entropy (docs/method.md, section 7)."""

import numpy as np

from pslref import check
from pslref.check import ArrayLike
from pslref.nn.layers import Array


def cross_entropy(logits: ArrayLike, labels: ArrayLike) -> tuple[float, Array]:
    """The mean cross-entropy of a batch, in nats, and its gradient with respect to the logits.

    loss = 1/N Σ_n (log Σ_m exp z_nm - z_n,y_n), and dz_nm = (softmax(z_n)_m - [m = y_n]) / N.
    The largest logit is subtracted first, so that exp cannot overflow. (method.md 7)

    Args:
        logits: (N, M) float32, float64 or whole numbers, z; computed in float64.
        labels: (N,) whole numbers 0..M-1, y.

    Returns:
        The loss, and dz in the shape and dtype of the logits (float64 for whole numbers).

    Raises:
        ValueError: for logits of another shape, or labels of another number or range.
    """
    logits = check.floats("logits", logits)
    if logits.ndim != 2 or not logits.size:
        raise check.wrong("logits.shape", logits.shape, "must be (N, M), both 1 or more")
    rows, classes = logits.shape
    y = check.integers("labels", labels, ndim=1)
    if y.size != rows or y.max() >= classes:
        raise check.wrong("labels", labels, f"must be {rows} labels from 0 to {classes - 1}")
    z = logits - logits.max(axis=1, keepdims=True).astype(np.float64)
    exponentials = np.exp(z)
    sums = exponentials.sum(axis=1, keepdims=True)
    own = (np.arange(rows), y)
    loss = np.mean(np.log(sums[:, 0]) - z[own])
    dz = exponentials / sums
    dz[own] -= 1
    return float(loss), (dz / rows).astype(logits.dtype, copy=False)
