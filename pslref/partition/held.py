"""Who holds which samples: the training set split over K clients. (method.md 9)"""

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator

from pslref import check
from pslref.check import ArrayLike, IntArray

MOST_CLIENTS = 10_000_000


class Partition:
    """Which of the samples 0..N-1 each of K clients holds: every sample exactly one client.

    Args:
        indices: for each client the whole numbers of its samples, in any order, or none; copied,
            read-only int64.
        labels: (N,) classes of all samples, whole numbers from 0; copied, read-only int64.
        num_classes: M; by default the largest label and one. A class may have no sample.

    >>> Partition([[0, 3], [1, 2]], labels=[0, 1, 1, 1]).class_counts.tolist()
    [[1, 1], [0, 2]]
    """

    def __init__(
        self, indices: Sequence[ArrayLike], labels: ArrayLike, num_classes: int | None = None
    ) -> None:
        check.sequence("indices", indices)
        _, y, m = checked(len(indices), labels, num_classes)
        held = [check.integers(f"indices[{k}]", row, ndim=1) for k, row in enumerate(indices)]
        together = np.concatenate(held)
        check.integer("a sample of indices", together.max(initial=0), 0, y.size - 1)
        times = np.bincount(together, minlength=y.size)
        if (times != 1).any():
            sample = np.argmax(times != 1)
            raise ValueError(
                f"indices hold sample {sample} {times[sample]} times: must hold each of the "
                f"{y.size} samples exactly once"
            )
        for array in (*held, y):
            array.setflags(write=False)
        self.indices, self.labels, self.num_classes = held, y, m

    @property
    def num_clients(self) -> int:
        """K, the clients, with and without samples."""
        return len(self.indices)

    @property
    def sizes(self) -> IntArray:
        """(K,) samples n_k of each client."""
        return np.array([row.size for row in self.indices], np.int64)

    @property
    def class_counts(self) -> IntArray:
        """(K, M) samples n_km of each class at each client."""
        k, m = self.num_clients, self.num_classes
        cells = np.repeat(np.arange(k), self.sizes) * m + self.labels[np.concatenate(self.indices)]
        return np.bincount(cells, minlength=k * m).reshape(k, m)


def iid(labels: ArrayLike, num_clients: int, rng: Generator) -> Partition:
    """Shuffle the samples and split them evenly: sizes differ by at most one. (method.md 9)

    Args:
        labels: (N,) classes of all samples, whole numbers from 0.
        num_clients: K, at most 10 million; of more than N clients, K - N stay empty.
        rng: draws one permutation of N.
    """
    k, y, _ = checked(num_clients, labels)
    check.generator("rng", rng)
    return Partition(grouped(rng.permutation(np.arange(y.size) % k), k), y)


def grouped(groups: IntArray, number: int) -> list[IntArray]:
    """For each of 0..number-1, the places in `groups` that hold it, ascending."""
    ends = np.cumsum(np.bincount(groups, minlength=number))
    return np.split(np.argsort(groups, kind="stable"), ends[:-1])


def checked(
    num_clients: int, labels: ArrayLike, num_classes: int | None = None
) -> tuple[int, IntArray, int]:
    """K, the labels and M, all within their limits."""
    k = check.integer("num_clients", num_clients, 1, MOST_CLIENTS)
    y = check.integers("labels", labels, ndim=1)
    if not y.size:
        raise check.wrong("labels", labels, "must hold at least one label")
    least = int(y.max()) + 1
    m = least if num_classes is None else check.integer("num_classes", num_classes, least)
    check.integer("num_clients * num_classes", k * m, 1, check.MOST_NUMBERS)
    return k, y, m
