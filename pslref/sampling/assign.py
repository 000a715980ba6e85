"""Who brings the samples of each class to each step, when the steps' class counts are given."""

from collections.abc import Iterable, Iterator

import numpy as np

from pslref.check import FloatArray, IntArray
from pslref.sampling.schedule import Walk, tallied

AT_ONCE = 2**20  # cells of steps, clients and classes
AHEAD = 64  # clients among whom the next of a line is chosen, so that time grows with K, not K²


def shuffled(totals: IntArray, rng: np.random.Generator) -> IntArray:
    """(N,) each number from 0 as often as its total says, in a uniformly random order."""
    return rng.permutation(np.repeat(np.arange(totals.size), totals))


def lines_in(order: IntArray, class_counts: IntArray) -> Iterator[IntArray]:
    """For each class its holders, once for each sample, in this order of the clients."""
    return (np.repeat(order, n_m[order]) for n_m in class_counts.T)


def slowest_first_order(class_counts: IntArray, delays: FloatArray) -> IntArray:
    """Clients from slowest to fastest; of those as slow, such that they bring classes together.

    A client brings a class while its part of that class's line is dealt out. So next is, of the
    first `AHEAD` by number, the one whose latest part would begin first: then the lines are used up
    evenly, and fewer clients serve a step. (method.md 3.4)
    """
    order = np.argsort(-delays, kind="stable")
    held, shares = class_counts > 0, class_counts / np.maximum(class_counts.sum(axis=0), 1)
    used = np.zeros(class_counts.shape[1])  # of each line
    for first in range(len(order)):
        tied = order[first : first + AHEAD]
        tied = tied[delays[tied] == delays[order[first]]]
        place = first + int(np.argmin((used * held[tied]).max(axis=1)))
        order[first : place + 1] = np.roll(order[first : place + 1], 1)
        used += shares[order[first]]
    return order


def slowest_first_within_classes(
    class_targets: IntArray, class_counts: IntArray, delays: FloatArray
) -> IntArray:
    """Deal each class out from its slowest holder to its fastest; ties by number: (T, K, M).

    For every d, no assignment of these targets is sooner done with the clients of delay d or more,
    and yet it need not give the shortest epoch. [derived] (method.md 3.4)
    """
    order = np.argsort(-delays, kind="stable")
    return dealt(class_targets, len(delays), lines_in(order, class_counts))


def dealt(class_targets: IntArray, num_clients: int, lines: Iterable[IntArray]) -> IntArray:
    """Each step in turn takes its targets (T, M) from the front of each class's line: (T, K, M)."""
    num_steps, num_classes = class_targets.shape
    local = np.empty((num_steps, num_clients, num_classes), np.int64)
    for m, line in enumerate(lines):
        local[:, :, m] = tallied(line, class_targets[:, m], num_clients)
    return local


def dealt_steps(class_targets: IntArray, num_clients: int, lines: Iterable[IntArray]) -> Walk:
    """`dealt` step by step: the participants, and how many of each class they bring, (P, M)."""
    line, num_classes = np.concatenate([*lines]), class_targets.shape[1]  # class after class
    totals = class_targets.sum(axis=0)
    front, classes = totals.cumsum() - totals, np.arange(num_classes)
    rows_at_once = max(1, AT_ONCE // (int(class_targets[0].sum()) * num_classes))
    for first in range(0, len(class_targets), rows_at_once):
        wanted = class_targets[first : first + rows_at_once]
        taken, rows = wanted.sum(axis=0), np.arange(len(wanted))
        places = np.repeat(front - (taken.cumsum() - taken), taken) + np.arange(taken.sum())
        front = front + taken
        step = np.repeat(np.tile(rows, num_classes), wanted.T.ravel())  # of each place
        bringer, of_place = np.unique(step * num_clients + line[places], return_inverse=True)
        cells = of_place * num_classes + np.repeat(classes, taken)
        counts = np.bincount(cells, minlength=bringer.size * num_classes)
        clients, counts = bringer % num_clients, counts.reshape(-1, num_classes)
        ends = np.searchsorted(bringer, (rows + 1) * num_clients)
        yield from zip(np.split(clients, ends[:-1]), np.split(counts, ends[:-1]), strict=True)
