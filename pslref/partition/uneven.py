"""Clients that differ: the paper's extended Dirichlet, other papers' splits, and a given one."""

import numpy as np
from numpy.random import Generator

from pslref import check
from pslref.check import Array, ArrayLike, IntArray
from pslref.partition.held import Partition, checked, grouped

MOST_DRAWS = 100  # until each class has a holder, or each client samples enough
MOST_ALPHA = 1e300  # above, sums of gammas overflow


def extended_dirichlet(
    labels: ArrayLike, num_clients: int, classes_per_client: int, alpha: float, rng: Generator
) -> Partition:
    """Extended Dirichlet(C, α): few classes for each client, then unequal shares of each class.

    If a class has no client, all draw again. Clients may end without samples. Which classes a
    client holds, and how many of each, does not depend on the samples' order. [paper] (method.md 9)

    Args:
        labels: (N,) classes of all samples, whole numbers from 0; M is the largest and one.
        num_clients: K, at most 10 million.
        classes_per_client: C, at most M, and such that K · C ≥ M.
        alpha: α, greater than 0; the smaller, the more unequal the shares.
        rng: draws classes, shares and samples.
    """
    k, y, m = checked(num_clients, labels)
    c = check.integer("classes_per_client", classes_per_client, 1, m)
    if k * c < m:
        allowed = f"must be {-(-m // k)} or more, for {k} clients to hold {m} classes"
        raise check.wrong("classes_per_client", c, allowed)
    check.generator("rng", rng)
    alpha = check.real("alpha", alpha, 0, MOST_ALPHA, low_open=True)
    return Partition(grouped(draw_owners(y, draw_classes(k, m, c, rng), alpha, rng), k), y)


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
    for samples, holders in zip(grouped(y, holds.shape[1]), holds.T, strict=True):
        clients = np.flatnonzero(holders)
        shares = rng.dirichlet(np.full(clients.size, alpha))
        owners[samples] = rng.choice(clients, samples.size, p=shares)
    return owners


def dirichlet(
    labels: ArrayLike, num_clients: int, alpha: float, rng: Generator, least: int = 0
) -> Partition:
    """Dirichlet(α): each class is split over all clients, in shares ~ Dirichlet(α, ..., α).

    Called the split of Hsu et al. 2019 (arXiv 1909.06335), who draw the mix of each client; for
    each class over the clients, so that these differ in size too, Yurochkin et al. 2019 (arXiv
    1905.12022) draw. It is `extended_dirichlet` with all classes for everybody. (method.md 9)

    Args:
        labels: (N,) classes of all samples, whole numbers from 0.
        num_clients: K, at most 10 million.
        alpha: α, greater than 0; the smaller, the more unequal the shares.
        rng: draws shares and samples.
        least: the fewest samples that a client may have, at most N / K. Until all have as many,
            everything is drawn again, at most 100 times.
    """
    k, y, m = checked(num_clients, labels)
    check.generator("rng", rng)
    alpha = check.real("alpha", alpha, 0, MOST_ALPHA, low_open=True)
    least = check.integer("least", least, 0, y.size // k)
    for _ in range(MOST_DRAWS):
        owners = draw_owners(y, np.ones((k, m), bool), alpha, rng)
        if np.bincount(owners, minlength=k).min() >= least:
            return Partition(grouped(owners, k), y)
    allowed = f"must be smaller, or alpha larger: {MOST_DRAWS} draws left a client with fewer"
    raise check.wrong("least", least, allowed)


def shards(
    labels: ArrayLike, num_clients: int, shards_per_client: int, rng: Generator
) -> Partition:
    """Sort the samples by class, cut them into K · S shards, and deal S at random to each client.

    Shards differ in size by at most one. McMahan et al. 2017 (arXiv 1602.05629). (method.md 9)

    Args:
        labels: (N,) classes of all samples, whole numbers from 0.
        num_clients: K, at most N.
        shards_per_client: S, 1 to N / K.
        rng: draws one permutation of the shards.
    """
    k, y, _ = checked(num_clients, labels)
    check.integer("num_clients", k, 1, y.size)
    s = check.integer("shards_per_client", shards_per_client, 1, y.size // k)
    check.generator("rng", rng)
    cut = np.array_split(np.argsort(y, kind="stable"), k * s)
    dealt = rng.permutation(k * s).reshape(k, s)
    return Partition([np.concatenate([cut[i] for i in row]) for row in dealt], y)


def from_owners(owners: ArrayLike, labels: ArrayLike) -> Partition:
    """One client for each different owner, in the order of their numbers or names.

    Args:
        owners: (N,) whose each sample is: whole numbers, or names.
        labels: (N,) classes of all samples, whole numbers from 0.

    >>> from_owners(["Bonn", "Aachen", "Bonn"], labels=[0, 1, 1]).sizes.tolist()
    [1, 2]
    """
    allowed = "must be one whole number or name for each label, none masked"
    try:
        given = np.asarray(owners)
    except ValueError:  # rows of different lengths
        raise check.wrong("owners", owners, allowed) from None
    _, y, _ = checked(1, labels)
    if given.dtype.kind not in "iuU" or given.shape != y.shape or np.ma.isMaskedArray(owners):
        raise check.wrong("owners", owners, allowed)
    names, numbers = np.unique(given, return_inverse=True)
    return Partition(grouped(numbers, names.size), y)
