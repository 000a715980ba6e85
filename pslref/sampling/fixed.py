"""FLS and FPLS: every client brings the same number of samples until it has none left."""

import numpy as np

from pslref import check
from pslref.check import ArrayLike, IntArray
from pslref.sampling.schedule import Schedule, Steps


def fls(sizes: ArrayLike, batch_size: int) -> Schedule:
    """Fixed local sampling: b_k = max(1, round(B / K)) for every client that has samples.

    A client takes part until it is empty (its last batch may be smaller), so the epoch has
    T = max_k ⌈n_k / b_k⌉ steps and the last ones are drawn from few clients. The effective batch
    Σ_k b_k differs from B by the rounding: K = 128 and B = 64 use 128. [paper] (method.md 3.1)

    Args:
        sizes: (K,) samples n_k of each client, whole numbers; K counts the empty ones too.
        batch_size: the global batch size B that is asked for, 1 ≤ B ≤ N.

    Returns:
        The schedule; it is deterministic.

    Raises:
        ValueError: for sizes that are negative or all zero, or B outside 1..N.
    """
    return until_empty(*_fls_local(sizes, batch_size))


def fpls(sizes: ArrayLike, batch_size: int) -> Schedule:
    """Fixed proportional local sampling: b_k = max(1, round(B · n_k / N)), 0 for an empty client.

    As `fls`, with local batches in proportion to the client's share. [paper] (method.md 3.1)
    """
    return until_empty(*_fpls_local(sizes, batch_size))


def until_empty(sizes: ArrayLike, local: ArrayLike) -> Schedule:
    """Every client brings b_k samples to each step, and at last what it has left.

    Args:
        sizes: (K,) samples of each client, whole numbers.
        local: (K,) b_k, 1 or more for a client that has samples.

    Returns:
        The schedule, of T = max_k ⌈n_k / b_k⌉ steps.

    Raises:
        ValueError: for sizes that are negative or all zero, or other local batch sizes.
    """
    n = check.client_sizes("sizes", sizes)
    b = check.integers("local", local, ndim=1)
    if b.size != n.size or ((b == 0) & (n > 0)).any():
        raise check.wrong("local", local, "must be 1 or more for each client that has samples")
    return Schedule.from_steps(_steps(n, b), steps_until_empty(n, b), n.size)


def steps_until_empty(sizes: IntArray, local: IntArray) -> int:
    """T = max_k ⌈n_k / b_k⌉, over the clients that have samples."""
    return int(np.max(-(-sizes // np.maximum(local, 1))))


def fls_steps(sizes: ArrayLike, batch_size: int) -> Steps:
    """The steps of `fls` one by one: (clients, counts), without the dense (T, K) array."""
    return _steps(*_fls_local(sizes, batch_size))


def fpls_steps(sizes: ArrayLike, batch_size: int) -> Steps:
    """The steps of `fpls` one by one: (clients, counts), without the dense (T, K) array."""
    return _steps(*_fpls_local(sizes, batch_size))


def _fls_local(sizes: ArrayLike, batch_size: int) -> tuple[IntArray, IntArray]:
    n = check.client_sizes("sizes", sizes)
    b = check.integer("batch_size", batch_size, 1, int(n.sum()))
    return n, np.minimum(n, 1) * np.maximum(1, _rounded(np.int64(b), n.size))


def _fpls_local(sizes: ArrayLike, batch_size: int) -> tuple[IntArray, IntArray]:
    n = check.client_sizes("sizes", sizes)
    b = check.integer("batch_size", batch_size, 1, int(n.sum()))
    return n, np.minimum(n, 1) * np.maximum(1, _rounded(b * n, int(n.sum())))


def _rounded(numerator: IntArray | np.int64, denominator: int) -> IntArray:
    """numerator / denominator to the nearest whole number, half to even, in exact integers."""
    quotient, rest = np.divmod(numerator, denominator)
    up = (2 * rest > denominator) | ((2 * rest == denominator) & (quotient % 2 == 1))
    return np.asarray(quotient + up, np.int64)


def _steps(sizes: IntArray, local: IntArray) -> Steps:
    clients = np.flatnonzero(sizes)
    left, local = sizes[clients], local[clients]
    while clients.size:
        counts = np.minimum(local, left)
        yield clients, counts
        left = left - counts
        clients, local, left = clients[left > 0], local[left > 0], left[left > 0]
