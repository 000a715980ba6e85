"""Who holds which samples: the training set split over K clients (method.md 6)."""

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator

from pslref import check
from pslref.check import Array, ArrayLike, IntArray

MOST_CLIENTS = 10_000_000
MOST_DRAWS = 100  # of the classes, until each has a holder
PRESETS = {"mild": (5, 3.0), "severe": (2, 3.0)}  # (C, alpha) of the paper's two splits


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
        _, y, m = _checked(len(indices), labels, num_classes)
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
    """Shuffle the samples and split them evenly: sizes differ by at most one. (method.md 6)

    Args:
        labels: (N,) classes of all samples, whole numbers from 0.
        num_clients: K, at most 10 million; of more than N clients, K - N stay empty.
        rng: draws one permutation of N.
    """
    k, y, _ = _checked(num_clients, labels)
    check.generator("rng", rng)
    return Partition(_grouped(rng.permutation(np.arange(y.size) % k), k), y)


def extended_dirichlet(
    labels: ArrayLike, num_clients: int, classes_per_client: int, alpha: float, rng: Generator
) -> Partition:
    """Extended Dirichlet(C, α): few classes for each client, then unequal shares of each class.

    Clients may end without samples. Which classes a client holds, and how many samples of each,
    does not depend on the order of the samples. [paper] (method.md 6)

    Args:
        labels: (N,) classes of all samples, whole numbers from 0; M is the largest and one.
        num_clients: K, at most 10 million.
        classes_per_client: C, at most M, and such that K · C ≥ M.
        alpha: α, greater than 0; the smaller, the more unequal the shares.
        rng: draws classes, shares and samples.
    """
    k, y, m = _checked(num_clients, labels)
    c = check.integer("classes_per_client", classes_per_client, 1, m)
    if k * c < m:
        allowed = f"must be {-(-m // k)} or more, for {k} clients to hold {m} classes"
        raise check.wrong("classes_per_client", c, allowed)
    alpha = check.real("alpha", alpha, 0, 1e300, low_open=True)  # above, sums of gammas overflow
    check.generator("rng", rng)
    return Partition(_grouped(draw_owners(y, draw_classes(k, m, c, rng), alpha, rng), k), y)


def draw_classes(k: int, m: int, c: int, rng: Generator) -> Array:
    """(K, M) which client holds which class.

    Each client in turn draws C distinct classes one after another, class m with probability
    ∝ exp(−M · clients that held m before), so that classes are spread evenly. [paper] These are
    the C largest of log-weight + Gumbel noise [derived]; the weights themselves underflow. If some
    class has no holder, all clients draw again, at most 100 times. [reading]
    """
    for _ in range(MOST_DRAWS):
        holds, holders = np.zeros((k, m), bool), np.zeros(m)
        for client in range(k):
            keys = rng.gumbel(size=m) - m * holders
            classes = np.argpartition(keys, m - c)[m - c :]
            holds[client, classes] = True
            holders[classes] += 1
        if holders.all():
            return holds
    raise ValueError(f"{MOST_DRAWS} draws of {c} of {m} classes left a class without a client")


def draw_owners(y: IntArray, holds: Array, alpha: float, rng: Generator) -> IntArray:
    """(N,) whose each sample is: of its class's holders, with shares ~ Dirichlet(α, ..., α)."""
    owners = np.empty(y.size, np.int64)
    for samples, holders in zip(_grouped(y, holds.shape[1]), holds.T, strict=True):
        clients = np.flatnonzero(holders)
        shares = rng.dirichlet(np.full(clients.size, alpha))
        owners[samples] = rng.choice(clients, samples.size, p=shares)
    return owners


def by_name(name: str, labels: ArrayLike, num_clients: int, rng: Generator) -> Partition:
    """The paper's splits: iid, mild (C = 5, α = 3) or severe (C = 2, α = 3). [paper]"""
    if check.one_of("partition", name, ["iid", *PRESETS]) == "iid":
        return iid(labels, num_clients, rng)
    classes, alpha = PRESETS[name]
    least = -(-_checked(num_clients, labels)[2] // classes)
    if num_clients < least:
        why = f"each client holds {classes} of the classes, and none may be left over"
        raise check.wrong("clients", num_clients, f"must be {least} or more, if {name}: {why}")
    return extended_dirichlet(labels, num_clients, classes, alpha, rng)


def _grouped(groups: IntArray, number: int) -> list[IntArray]:
    """For each of 0..number-1, the places in `groups` that hold it, ascending."""
    ends = np.cumsum(np.bincount(groups, minlength=number))
    return np.split(np.argsort(groups, kind="stable"), ends[:-1])


def _checked(
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
