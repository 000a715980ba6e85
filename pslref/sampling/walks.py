"""Epochs too large for a dense (T, K) array, step by step; and one of given local batch sizes."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pslref import check
from pslref.check import ArrayLike, IntArray
from pslref.sampling import fixed
from pslref.sampling.schedule import Schedule, Walk
from pslref.sampling.uniform import global_batch_sizes, shuffled_clients

AT_ONCE = 2**16  # samples, of many small steps


@dataclass(frozen=True)
class Steps:
    """The steps of an epoch one by one, without a dense (T, K) array: walked once, unless `kept`.

    A step is its participants, ascending (P,), and how many samples each brings: (P,), or (P, G)
    by groups of classes as in `Schedule.demands`.
    """

    walk: Iterable[tuple[IntArray, IntArray]]
    num_steps: int
    num_clients: int

    def __iter__(self) -> Walk:
        return iter(self.walk)

    def kept(self) -> "Steps":
        """The same steps, taken now, to be walked any number of times."""
        return Steps(list(self.walk), self.num_steps, self.num_clients)

    def steps(self) -> Walk:
        """The participants of each step, and how many samples each brings: (P,) both."""
        return ((clients, counts.sum(axis=1)) for clients, counts in demanded(self))

    def schedule(self) -> Schedule:
        """All steps in one dense array; above 2 GiB refused, and no step taken."""
        return Schedule.from_steps(iter(self), self.num_steps, self.num_clients)


def demanded(schedule: Schedule | Steps) -> Walk:
    """The participants of each step, (P,), and what it asks of them, (P, G)."""
    if isinstance(schedule, Steps):
        for clients, counts in schedule:
            yield clients, counts.reshape(clients.size, -1)
    else:
        for step in schedule.demands():
            clients = step.any(axis=1).nonzero()[0]
            yield clients, step[clients]


def check_covers(schedule: Schedule | Steps, class_counts: IntArray) -> None:
    """Refuse a schedule that asks for more than clients have, (K, M), or has an empty step.

    `Steps` cannot be looked at before they are walked: they must be of as many clients.
    """
    if isinstance(schedule, Steps):
        k = len(class_counts)
        check.integer("schedule.num_clients", schedule.num_clients, k, k)
        return
    check.kind("schedule", schedule, Schedule)
    asked = schedule.demands().sum(axis=0, dtype=np.float64)  # no sum of int64 may wrap
    check.demand("schedule.sizes", asked, class_counts)
    empty = np.flatnonzero(~schedule.batch_sizes.any(axis=1))
    if empty.size:
        raise check.wrong(f"schedule.batch_sizes[{empty[0]}].sum()", 0, "must be 1 or more")


def fls_steps(sizes: ArrayLike, batch_size: int) -> Steps:
    """The steps of `fls` one by one."""
    return Steps(*fixed.walk(sizes, batch_size, proportional=False))


def fpls_steps(sizes: ArrayLike, batch_size: int) -> Steps:
    """The steps of `fpls` one by one."""
    return Steps(*fixed.walk(sizes, batch_size, proportional=True))


def until_empty(sizes: ArrayLike, local: ArrayLike) -> Schedule:
    """Every client brings b_k samples to each step, and at last what it has left.

    Args:
        sizes: (K,) samples of each client, whole numbers.
        local: (K,) b_k, 1 or more for a client that has samples.
    """
    n = check.client_sizes("sizes", sizes)
    b = check.integers("local", local, ndim=1)
    if b.size != n.size or ((b == 0) & (n > 0)).any():
        raise check.wrong("local", local, "must be 1 or more for each client that has samples")
    return Schedule.from_steps(*fixed.used_up(n, b))


def ugs_steps(
    sizes: ArrayLike, batch_size: int, rng: np.random.Generator, remainder: str = "short"
) -> Steps:
    """The steps of `ugs` one by one, in four bytes a sample and some for a step."""
    n = check.client_sizes("sizes", sizes)
    batches = global_batch_sizes(int(n.sum()), batch_size, remainder)
    check.generator("rng", rng)

    def walk() -> Walk:  # which shuffles when it begins
        yield from tally(shuffled_clients(n, rng), batches)

    return Steps(walk(), batches.size, n.size)


def tally(line: NDArray[np.int32], batches: IntArray) -> Walk:
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


def _tally_rows(rows: NDArray[np.int32]) -> Walk:
    """One step for each row of clients in ascending order."""
    is_first = np.ones(rows.shape, bool)  # of its client, in its row
    np.not_equal(rows[:, 1:], rows[:, :-1], out=is_first[:, 1:])
    firsts = np.flatnonzero(is_first)
    clients, counts = rows.ravel()[firsts].astype(np.int64), np.diff(firsts, append=rows.size)
    start = 0
    for stop in is_first.sum(axis=1).cumsum().tolist():
        yield clients[start:stop], counts[start:stop]
        start = stop
