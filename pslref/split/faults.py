"""Clients that fail: who is away when (docs/method.md, section 6)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pslref import check
from pslref.check import IntArray


@dataclass(frozen=True)
class Outage:
    """Client `client` goes at step `start` and is back from step `end` on.

    Args:
        client: its number k.
        start: the step, counted from 0 over the run; those that are not committed count too.
        end: later than `start`; None if the client is gone for good.
        within: False: it is gone before the step begins, and the server knows. True: it goes
            within the step, after it has sent its activations or after it has computed its
            gradient: either way, the gradient never arrives.
    """

    client: int
    start: int
    end: int | None = None
    within: bool = False

    def __post_init__(self) -> None:
        check.kind("within", self.within, bool)
        check.integer("client", self.client, 0)
        check.integer("start", self.start, 0)
        if self.end is not None:
            check.integer("end", self.end, self.start + 1)

    def is_on(self, step: int) -> bool:
        """Whether the client is away when `step` begins."""
        has_begun = self.start < step or (self.start == step and not self.within)
        return has_begun and (self.end is None or self.end > step)


def draw_outages(
    num_clients: int, num_steps: int, rng: np.random.Generator, lost: float = 0.0
) -> list[Outage]:
    """Clients at random that go for good: round(lost · K) of them, but never all.

    Each goes at a uniformly drawn step, half of them within it. The same rng gives the same steps
    of the run, as a share of it, for every `num_steps`, and a larger share of lost clients adds to
    a smaller one. [reading] (method.md 6)

    Args:
        num_clients: K, 1 or more.
        num_steps: of the run, 1 or more.
        rng: the source of randomness.
        lost: share of the clients that are gone for good in the end, 0 to 1.

    Returns:
        The outages, in no order.
    """
    k = check.integer("num_clients", num_clients, 1, check.MOST_NUMBERS)
    t = check.integer("num_steps", num_steps, 1, check.MOST_NUMBERS)
    check.generator("rng", rng)
    num_lost = min(round(check.real("lost", lost, 0, 1) * k), k - 1)
    clients, starts, within = rng.permutation(k), rng.random(k), rng.random(k) < 0.5
    return [
        Outage(int(clients[i]), int(starts[i] * t), None, bool(within[i])) for i in range(num_lost)
    ]


def away(outages: Sequence[Outage], step: int) -> tuple[frozenset[int], frozenset[int]]:
    """The clients that are away when `step` begins, and those of them that are gone for good."""
    now = [outage for outage in outages if outage.is_on(step)]
    for_good = frozenset(outage.client for outage in now if outage.end is None)
    return frozenset(outage.client for outage in now), for_good


def next_return(outages: Sequence[Outage], step: int) -> int:
    """The first step after this one at which an outage that is on now is over."""
    return min(o.end for o in outages if o.end is not None and o.is_on(step))


def table(outages: Sequence[Outage]) -> IntArray:
    """(n, 3) client, start, and end or -1 of outages within a step."""
    rows = [(o.client, o.start, -1 if o.end is None else o.end) for o in outages]
    return np.array(rows, np.int64).reshape(-1, 3)


def over(rows: IntArray, now: int, num_clients: int) -> list[Outage]:
    """The outages of a `table`, of which those without an end are over at step `now`."""
    for client in rows[:, 0].tolist():
        check.integer("outage's client", client, 0, num_clients - 1)
    return [
        Outage(client, start, now if end < 0 else end, within=True)
        for client, start, end in rows.tolist()
    ]
