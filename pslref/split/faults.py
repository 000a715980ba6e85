"""Clients that fail: a step is committed whole or not at all, and the rest is planned again."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pslref import check
from pslref.check import ArrayLike, IntArray
from pslref.nn import Network
from pslref.sampling import Schedule
from pslref.split.client import Client
from pslref.split.messages import Array
from pslref.split.training import Diverged, EpochRecord, Simulation

MOST_PAUSES = 10_000_000  # in the mean

# From the unused samples of the clients that are there, (K, M) by class and 0 for the others, to
# a schedule that uses them up.
Plan = Callable[[IntArray], Schedule]


class Aborted(Exception):
    """A participant's gradient never arrived; the step was not committed."""


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

    Raises:
        ValueError: for an argument outside its range.
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

    def has_begun(self, step: int) -> bool:
        """Whether the client is gone when `step` begins, if it is not back."""
        return self.start < step or (self.start == step and not self.within)

    def is_over(self, step: int) -> bool:
        """Whether it is back when `step` begins."""
        return self.end is not None and self.end <= step


def draw_outages(
    num_clients: int,
    num_steps: int,
    rng: np.random.Generator,
    lost: float = 0.0,
    pause_rate: float = 0.0,
    mean_pause: float = 10.0,
) -> list[Outage]:
    """Outages at random: some clients go for good, and any client may pause.

    round(lost · K) clients, but never all, are gone for good, each from a uniformly drawn step
    on. Besides, every client begins a pause at every step with probability `pause_rate`,
    independently, of a length that is geometric. Half of all begin within their step. The same
    rng gives the same steps of the run, as a share of it, for every `num_steps`, and a larger
    share of lost clients adds to a smaller one. [reading] (method.md 1.1)

    Args:
        num_clients: K, 1 or more.
        num_steps: of the run, 1 or more.
        rng: the source of randomness.
        lost: share of the clients that are gone for good in the end, 0 to 1.
        pause_rate: probability, for each client and step, that a pause begins.
        mean_pause: mean length of a pause in steps, 1 or more.

    Returns:
        The outages, in no order; those of one client may overlap.

    Raises:
        ValueError: for any argument outside its range.
    """
    k = check.integer("num_clients", num_clients, 1, check.MOST_NUMBERS)
    t = check.integer("num_steps", num_steps, 1, check.MOST_NUMBERS)
    check.generator("rng", rng)
    num_lost = min(round(check.real("lost", lost, 0, 1) * k), k - 1)
    clients, starts, within = rng.permutation(k), rng.random(k), rng.random(k) < 0.5
    outages = [
        Outage(int(clients[i]), int(starts[i] * t), None, bool(within[i])) for i in range(num_lost)
    ]
    pauses = rng.binomial(
        k * t, check.real("pause_rate", pause_rate, 0, min(1, MOST_PAUSES / k / t))
    )
    lengths = rng.geometric(1 / check.real("mean_pause", mean_pause, 1), pauses)
    for length in lengths.tolist():
        client, start = int(rng.integers(k)), int(rng.integers(t))
        outages.append(Outage(client, start, start + length, bool(rng.random() < 0.5)))
    return outages


@dataclass(frozen=True)
class FaultyEpoch:
    """What an epoch with outages did.

    Attributes:
        record: the committed steps.
        attempted: who was to bring how many samples to every step that was begun.
        committed: (A,) which of the A attempted steps were committed.
        unreachable: (K,) samples that stayed unused, since their clients are gone for good.
        next_step: the first step of the run after this epoch.
    """

    record: EpochRecord
    attempted: Schedule
    committed: NDArray[np.bool_]
    unreachable: IntArray
    next_step: int


class FaultySimulation(Simulation):
    """A simulation whose clients may go, within a step too, and come back. (method.md 1.1)

    Arguments are those of `Simulation`. `split.state` does not know who is missing.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The server keeps the current client half, for those who return. It is the half of
        # whoever took part in the last committed step.
        self.current = self.clients[0]
        self.missing: set[int] = set()  # those who were not there to the end of the last step

    @property
    def net(self) -> Network:
        """The trained whole: the current client half and the server's, sharing their arrays."""
        return Network([*self.current.network.layers, *self.server.network.layers])

    @property
    def unused(self) -> IntArray:
        """(K, M) samples of each class that each client has left in this epoch."""
        m = self.class_probs.size
        return np.array([np.bincount(self.y[c.left], minlength=m) for c in self.clients])

    def step(
        self,
        batch_sizes: ArrayLike,
        absent: Collection[int] = (),
        failing: Collection[int] = (),
    ) -> float:
        """One step, in two phases: it is committed if all participants' gradients arrive.

        If not, no half changes, no velocity either, and all samples drawn for the step are
        unused again, in the order in which they were. Who was not there to the end of the last
        step and is there now first gets the current weights and velocities.

        Args:
            batch_sizes: as in `Simulation.step`.
            absent: clients that are not there; they miss the update. A step that asks one of
                them for samples is not committed.
            failing: clients that go within the step: a participant's gradient never arrives,
                another one just misses the update.

        Raises:
            ValueError: as `Simulation.step`, and for a client that does not exist.
            Aborted: if a participant was not there to the end.
            Diverged: if the loss is not finite; the step is not committed either.
        """
        for k in (*absent, *failing):
            check.integer("absent or failing client", k, 0, len(self.clients) - 1)
        for k in self.missing.difference(absent):
            self.clients[k].catch_up(self.current)
        self.missing = {*absent, *failing}
        unused = [client.left for client in self.clients]
        try:
            return super().step(batch_sizes)
        except (Aborted, Diverged):
            for client, left in zip(self.clients, unused, strict=True):
                client.left = left
            raise

    def _commit(self, participants: list[Client], total: dict[str, Array]) -> None:
        lost = [client.client for client in participants if client.client in self.missing]
        if lost:
            raise Aborted(f"the gradients of clients {lost} never arrived")
        self.server.update()
        there = [client for client in self.clients if client.client not in self.missing]
        for client in there if self.execution == "clients" else participants[:1]:
            client.update(total)
        self.current = participants[0]

    def run_faulty_epoch(
        self, plan: Plan, outages: Sequence[Outage], first_step: int = 0
    ) -> FaultyEpoch:
        """Reshuffle every client, then walk a plan that is made anew when it no longer holds.

        That is when a client has gone or come back, and after a step that was not committed.
        The epoch ends when all clients that are not gone for good have used their samples.
        While none of those who are there has any left, the server waits: steps go by.

        Args:
            plan: makes a schedule of what can be reached.
            outages: when which client is gone.
            first_step: the step of the run with which the epoch begins.

        Raises:
            ValueError: for an outage of a client that does not exist, or a plan that asks for
                more than can be reached, or for nothing.
            Diverged: with the step and its loss; the steps before it are committed.
        """
        for outage in outages:
            check.integer("outage's client", outage.client, 0, len(self.clients) - 1)
        self.start_epoch()
        attempted, committed = [], []
        planned: list[IntArray] = []  # the steps to come, the next one last
        planned_without: set[int] = set()
        step = first_step
        while True:
            gone = [o for o in outages if o.has_begun(step) and not o.is_over(step)]
            absent = {outage.client for outage in gone}
            if not planned or absent != planned_without:
                unused = self.unused
                for_good = [outage.client for outage in gone if outage.end is None]
                if not np.delete(unused, for_good, axis=0).any():
                    break
                reachable = unused.copy()
                reachable[list(absent)] = 0
                if not reachable.any():
                    step = min(outage.end for outage in gone if outage.end is not None)
                    continue
                planned, planned_without = _rows(plan(reachable), reachable.sum(axis=1)), absent
            counts = planned.pop()
            attempted.append(counts.reshape(len(counts), -1).sum(axis=1))
            failing = {outage.client for outage in outages if outage.start == step}
            try:
                self._take(step, partial(self.step, counts, absent, failing))
                committed.append(True)
            except Aborted:
                committed.append(False)
                planned = []
            step += 1
        no_bytes = np.zeros(0, np.int64)
        nothing = EpochRecord(np.zeros(0), np.zeros(0), no_bytes, no_bytes)
        return FaultyEpoch(
            self.end_epoch() if self.rows else nothing,
            Schedule(np.array(attempted, np.int64).reshape(-1, len(self.clients))),
            np.array(committed, bool),
            unused.sum(axis=1),
            step,
        )


def _rows(schedule: Schedule, reachable: IntArray) -> list[IntArray]:
    """The steps of a plan, by class where it says so, the first one last."""
    local, sizes = schedule.local_class_counts, schedule.sizes
    if sizes.shape != reachable.shape or (sizes > reachable).any() or not sizes.any():
        raise check.wrong("plan's sizes", sizes, f"must be at most {reachable}, and not all 0")
    return list(schedule.batch_sizes if local is None else local)[::-1]
