"""FLS and FPLS: every client brings the same number of samples until it has none left."""

import numpy as np

from pslref import check
from pslref.check import ArrayLike, IntArray
from pslref.sampling.schedule import Schedule, Walk


def fls(sizes: ArrayLike, batch_size: int) -> Schedule:
    """Fixed local sampling: b_k = max(1, round(B / K)) for every client that has samples.

    A client takes part until it is empty (its last batch may be smaller), so the epoch has
    T = max_k ⌈n_k / b_k⌉ steps and the last ones are drawn from few clients. The effective batch
    Σ_k b_k differs from B by the rounding: K = 128 and B = 64 use 128. [paper] (method.md 3.1)

    Args:
        sizes: (K,) samples n_k of each client, whole numbers; K counts the empty ones too.
        batch_size: the global batch size B that is asked for, 1 ≤ B ≤ N.

    >>> fls([5, 2, 0], batch_size=6).batch_sizes
    array([[2, 2, 0],
           [2, 0, 0],
           [1, 0, 0]])
    """
    return Schedule.from_steps(*walk(sizes, batch_size, proportional=False))


def fpls(sizes: ArrayLike, batch_size: int) -> Schedule:
    """Fixed proportional local sampling: as `fls`, with b_k = max(1, round(B · n_k / N)).

    [paper] (method.md 3.1)
    """
    return Schedule.from_steps(*walk(sizes, batch_size, proportional=True))


def walk(sizes: ArrayLike, batch_size: int, proportional: bool) -> tuple[Walk, int, int]:
    """The steps of `fls` or, if proportional, of `fpls`; how many; of how many clients."""
    n = check.client_sizes("sizes", sizes)
    b = check.integer("batch_size", batch_size, 1, int(n.sum()))
    return used_up(n, local_batch_sizes(n, b, proportional))


def local_batch_sizes(sizes: IntArray, batch_size: int, proportional: bool) -> IntArray:
    """(K,) b_k: B in equal parts or, if proportional, in parts as the sizes are; 1 at least."""
    parts = sizes if proportional else np.ones_like(sizes)
    local: IntArray = np.maximum(1, _rounded(batch_size * parts, int(parts.sum())))
    return np.minimum(sizes, 1) * local


def _rounded(numerator: IntArray, denominator: int) -> IntArray:
    """numerator / denominator to the nearest whole number, half to even, in exact integers."""
    quotient, rest = np.divmod(numerator, denominator)
    up = (2 * rest > denominator) | ((2 * rest == denominator) & (quotient % 2 == 1))
    rounded: IntArray = quotient + up
    return rounded


def used_up(sizes: IntArray, local: IntArray) -> tuple[Walk, int, int]:
    """Every client brings b_k samples to each step, and at last what it has left."""
    return _steps(sizes, local), steps_until_empty(sizes, local), sizes.size


def steps_until_empty(sizes: IntArray, local: IntArray) -> int:
    """T = max_k ⌈n_k / b_k⌉, over the clients that have samples."""
    return int(np.max(-(-sizes // np.maximum(local, 1))))


def _steps(sizes: IntArray, local: IntArray) -> Walk:
    clients = np.flatnonzero(sizes)
    left, local = sizes[clients], local[clients]
    while clients.size:
        counts = np.minimum(local, left)
        yield clients, counts
        left = left - counts
        clients, local, left = clients[left > 0], local[left > 0], left[left > 0]
