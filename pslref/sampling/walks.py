"""Epochs too large for a dense (T, K) array, step by step: (clients, counts) of each."""

from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from pslref import check
from pslref.check import ArrayLike, IntArray
from pslref.sampling import dirichlet, fixed
from pslref.sampling.mixing import LdsOptions
from pslref.sampling.schedule import Steps
from pslref.sampling.uniform import REMAINDERS, global_batch_sizes, shuffled_clients

AT_ONCE = 2**16  # samples, of many small steps


def fls_steps(sizes: ArrayLike, batch_size: int) -> Steps:
    """The steps of `fls` one by one."""
    return fixed.walk(sizes, batch_size, proportional=False)[0]


def fpls_steps(sizes: ArrayLike, batch_size: int) -> Steps:
    """The steps of `fpls` one by one."""
    return fixed.walk(sizes, batch_size, proportional=True)[0]


def lds_steps(
    class_counts: ArrayLike,
    batch_size: int,
    rng: np.random.Generator,
    *,
    reestimate: bool = True,
    remainder: str = "short",
    **options: Unpack[LdsOptions],
) -> Steps:
    """The steps of `lds` one by one."""
    return dirichlet.walk(class_counts, batch_size, rng, reestimate, remainder, **options)[0]


def ugs_steps(
    sizes: ArrayLike, batch_size: int, rng: np.random.Generator, remainder: str = "short"
) -> Steps:
    """The steps of `ugs` one by one, in four bytes a sample and some for a step."""
    n = check.client_sizes("sizes", sizes)
    check.integer("batch_size", batch_size, 1, int(n.sum()))
    check.one_of("remainder", remainder, REMAINDERS)
    check.generator("rng", rng)
    return _ugs_steps(n, batch_size, rng, remainder)


def _ugs_steps(sizes: IntArray, batch_size: int, rng: np.random.Generator, remainder: str) -> Steps:
    batches = global_batch_sizes(int(sizes.sum()), batch_size, remainder)
    yield from tally(shuffled_clients(sizes, rng), batches)


def tally(line: NDArray[np.int32], batches: IntArray) -> Steps:
    """Cut a line of client numbers, one for each sample, into batches, and count who is in each.

    Args:
        line: (N,) the clients, in the order in which their samples are used.
        batches: (T,) sizes of the batches, which sum to N.
    """
    start = 0
    for equal in np.split(batches, np.flatnonzero(np.diff(batches)) + 1):
        table = line[start : start + equal.sum()].reshape(equal.size, -1)
        start += table.size
        rows_at_once = max(1, AT_ONCE // table.shape[1])
        for first in range(0, equal.size, rows_at_once):
            yield from _tally_rows(np.sort(table[first : first + rows_at_once], axis=1))


def _tally_rows(rows: NDArray[np.int32]) -> Steps:
    """One step for each row of clients in ascending order."""
    is_first = np.ones(rows.shape, bool)  # of its client, in its row
    np.not_equal(rows[:, 1:], rows[:, :-1], out=is_first[:, 1:])
    firsts = np.flatnonzero(is_first)
    clients, counts = rows.ravel()[firsts].astype(np.int64), np.diff(firsts, append=rows.size)
    start = 0
    for stop in is_first.sum(axis=1).cumsum().tolist():
        yield clients[start:stop], counts[start:stop]
        start = stop
