"""Softmax cross-entropy (docs/method.md, section 7)."""

import numpy as np

from pslref import check
from pslref.check import Array, ArrayLike, IntArray


def cross_entropy(logits: ArrayLike, labels: ArrayLike) -> tuple[float, Array]:
    """The mean cross-entropy of a batch, in nats, and its gradient with respect to the logits.

    Args:
        logits: (N, M) float32, float64 or whole numbers, z; computed in float64. The gradient has
            their shape and dtype, float64 for whole numbers.
        labels: (N,) whole numbers 0..M-1, y.

    >>> cross_entropy([[0, 0]], [1])
    (0.6931471805599453, array([[ 0.5, -0.5]]))
    """
    z = check.floats("logits", logits)
    if z.ndim != 2 or not z.size:
        raise check.wrong("logits.shape", z.shape, "must be (N, M), both 1 or more")
    y = check.integers("labels", labels, ndim=1)
    if y.size != len(z) or y.max() >= z.shape[1]:
        raise check.wrong("labels", labels, f"must be {len(z)} labels from 0 to {z.shape[1] - 1}")
    loss, dz = loss_and_gradient(z, y)
    return loss, dz.astype(z.dtype, copy=False)


def loss_and_gradient(z: Array, y: IntArray) -> tuple[float, Array]:
    """1/N Σ_n (log Σ_m exp z_nm - z_n,y_n), and dz_nm = (softmax(z_n)_m - [m = y_n]) / N."""
    z = z - z.max(axis=1, keepdims=True).astype(np.float64)  # so that exp cannot overflow
    exponentials = np.exp(z)
    sums = exponentials.sum(axis=1, keepdims=True)
    own = (np.arange(len(z)), y)
    loss = np.mean(np.log(sums[:, 0]) - z[own])
    dz = exponentials / sums
    dz[own] -= 1
    return float(loss), dz / len(z)
