"""Schedule: how many samples every client brings to every step of an epoch, or of which classes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pslref import check
from pslref.check import IntArray

# Step by step: the participants, ascending, and how many samples each brings, 1 or more: (P,) both.
Walk = Iterator[tuple[IntArray, IntArray]]


@dataclass(frozen=True, eq=False)
class Schedule:
    """The plan of one epoch: client k brings b_tk = `batch_sizes[t, k]` samples to step t.

    Args:
        batch_sizes: (T, K) of whole numbers, 0 or more; copied, then read-only int64.
        local_class_counts: None where the clients draw their local batches from all they hold.
            A sampler that prescribes the classes gives (T, K, M): how many of these b_tk samples
            are of class m. They sum to `batch_sizes`. Copied, then read-only int64.

    >>> Schedule([[2, 0, 1], [0, 0, 3]]).sizes
    array([2, 0, 4])
    """

    batch_sizes: IntArray
    local_class_counts: IntArray | None = None

    def __post_init__(self) -> None:
        arrays = {"batch_sizes": check.integers("batch_sizes", self.batch_sizes, ndim=2)}
        if self.local_class_counts is not None:
            local = check.integers("local_class_counts", self.local_class_counts, ndim=3)
            if not np.array_equal(local.sum(axis=2), arrays["batch_sizes"]):
                allowed = "must sum to batch_sizes over the classes"
                raise check.wrong("local_class_counts", local, allowed)
            arrays["local_class_counts"] = local
        for name, array in arrays.items():
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    @classmethod
    def from_steps(cls, walk: Walk, num_steps: int, num_clients: int) -> "Schedule":
        """Write `num_steps` steps into one dense array; above 2 GiB refused, and no step taken."""
        check_dense(num_steps, num_clients)
        batch_sizes = np.zeros((num_steps, num_clients), np.int64)
        for row, (clients, counts) in zip(batch_sizes, walk, strict=True):
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

    def steps(self) -> Walk:
        """Walk the epoch: for each step its participants and their local batch sizes."""
        for row in self.batch_sizes:
            clients = np.flatnonzero(row)
            yield clients, row[clients]

    def demands(self) -> IntArray:
        """What each step asks of each client, (T, K, G): how many samples of each of G groups.

        Group g is class g; the last one is all further classes too. So G = 1 asks for samples of
        any class, and where the classes are prescribed G = M.
        """
        if self.local_class_counts is None:
            return self.batch_sizes[:, :, np.newaxis]
        return self.local_class_counts


def check_dense(num_steps: int, num_clients: int) -> None:
    """Refuse a (T, K) array that takes too much memory, before it is made."""
    name = "steps * clients in one array (ugs_steps and the like need none)"
    check.integer(name, num_steps * num_clients, 0, check.MOST_NUMBERS)


def tallied(line: NDArray[Any], batches: IntArray, num_kinds: int) -> IntArray:
    """(T, num_kinds) how often each number occurs in consecutive runs, of B_t, of a line."""
    cells = np.repeat(np.arange(batches.size) * num_kinds, batches)
    cells += line
    counts = np.bincount(cells, minlength=batches.size * num_kinds)
    return counts.reshape(batches.size, num_kinds)
