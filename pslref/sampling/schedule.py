"""Schedule: how many samples every client brings to every step of an epoch, or of which classes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pslref import check
from pslref.check import IntArray

# One step: the participating clients, ascending, and how many samples each brings (all > 0).
Steps = Iterator[tuple[IntArray, IntArray]]

AT_ONCE = 2**16  # samples, of many small steps


@dataclass(frozen=True, eq=False)
class Schedule:
    """The plan of one epoch: client k brings b_tk = `batch_sizes[t, k]` samples to step t.

    Args:
        batch_sizes: (T, K) of whole numbers, 0 or more; copied, then read-only int64.
        local_class_counts: None where the clients draw their local batches from all they hold.
            A sampler that prescribes the classes gives (T, K, M): how many of these b_tk samples
            are of class m. Copied, then read-only int64.

    Raises:
        ValueError: for another shape, for entries that are negative or not whole, or for class
            counts that do not sum to the batch sizes.
    """

    batch_sizes: IntArray
    local_class_counts: IntArray | None = None

    def __post_init__(self) -> None:
        batch_sizes = check.integers("batch_sizes", self.batch_sizes, ndim=2)
        batch_sizes.setflags(write=False)
        object.__setattr__(self, "batch_sizes", batch_sizes)
        if self.local_class_counts is None:
            return
        local = check.integers("local_class_counts", self.local_class_counts, ndim=3)
        if not np.array_equal(local.sum(axis=2), batch_sizes):
            allowed = "must sum to batch_sizes over the classes"
            raise check.wrong("local_class_counts", local, allowed)
        local.setflags(write=False)
        object.__setattr__(self, "local_class_counts", local)

    @classmethod
    def from_steps(
        cls, steps: Iterable[tuple[IntArray, IntArray]], num_steps: int, num_clients: int
    ) -> "Schedule":
        """Write `num_steps` steps into one dense array; above 2 GiB refused, and no step taken."""
        name = "steps * clients in one array (ugs_steps and the like need none)"
        check.integer(name, num_steps * num_clients, 0, check.MOST_NUMBERS)
        batch_sizes = np.zeros((num_steps, num_clients), np.int64)
        for row, (clients, counts) in zip(batch_sizes, steps, strict=True):
            row[clients] = counts
        return cls(batch_sizes)

    @property
    def num_steps(self) -> int:
        """T, the steps of the epoch."""
        return len(self.batch_sizes)

    @property
    def num_clients(self) -> int:
        """K, the clients, with and without samples."""
        return int(self.batch_sizes.shape[1])

    @property
    def sizes(self) -> IntArray:
        """(K,) the samples each client brings over the whole epoch: n_k."""
        sizes: IntArray = self.batch_sizes.sum(axis=0)
        return sizes

    def steps(self) -> Steps:
        """Walk the epoch: for each step its participants and their local batch sizes."""
        for row in self.batch_sizes:
            clients = np.flatnonzero(row)
            yield clients, row[clients]


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
