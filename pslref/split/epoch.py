"""An epoch: a schedule walked step by step, planned again when a client goes or comes back."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pslref import check
from pslref.check import Array, FloatArray, IntArray
from pslref.sampling import Schedule
from pslref.sampling.walks import check_covers
from pslref.split.faults import Outage, away, next_return
from pslref.split.step import Aborted, Diverged, Step
from pslref.split.traffic import Traffic
from pslref.theory import batch_deviation

if TYPE_CHECKING:
    from pslref.split.simulation import Simulation

COUNTED = ("num_participants", *Traffic._fields)  # of each step
NOTHING_DONE = Step(0.0, np.zeros(0, np.int64), 0, (0,) * len(Traffic._fields))

# From the unused samples of the clients that are there, (K, M) by class and 0 for the others, to
# a schedule that uses them up.
Plan = Callable[[IntArray], Schedule]


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch did in its T committed steps.

    Attributes:
        loss: (T,) mean cross-entropy over each global batch, in nats, before the update.
        deviation: (T,) batch deviation Δ_t, measured. (method.md 2)
        num_participants: (T,) clients that took part, P_t.
        traffic: (T,) bytes of each kind that crossed.
        num_aborted: steps that were begun and not committed.
        num_unused: samples that stayed unused.
    """

    loss: FloatArray
    deviation: FloatArray
    num_participants: IntArray
    traffic: Traffic
    num_aborted: int
    num_unused: int

    @property
    def bytes_up(self) -> int:
        """All bytes up, over the epoch."""
        return self.traffic.up

    @property
    def bytes_down(self) -> int:
        """All bytes down, over the epoch."""
        return self.traffic.down


class Epoch:
    """One epoch of a simulation, which can be left between any two steps. (method.md 6)

    Args:
        simulation: the clients and the server.
        outages: when which client is gone; one that goes and is not among them is added.
        first_step: the step of the run with which the epoch begins.

    Attributes:
        rows: what each step did, one that was not committed too: whether it was, its loss, its
            participants, the bytes of each kind, and the class counts of its batch.
        next_step: of the run; steps go by while all who have samples are away.
        planned_for: (K, M) what could be reached when the last plan was made.
        planned_at: after how many steps that was.
    """

    def __init__(
        self, simulation: "Simulation", outages: Sequence[Outage] = (), first_step: int = 0
    ) -> None:
        for outage in outages:
            check.integer("outage's client", outage.client, 0, len(simulation.clients) - 1)
        self.simulation, self.outages = simulation, list(outages)
        self.rows: list[tuple[Any, ...]] = []
        self.next_step, self.planned_at = first_step, 0
        self.planned_for = np.zeros((len(simulation.clients), simulation.num_classes), np.int64)

    def walk(self, plan: Plan) -> Iterator[IntArray]:
        """Take the steps that have not been taken, each with an iteration.

        It begins with a shuffle of every client. The plan is made anew when a client has gone or
        come back, and after a step that was not committed. The epoch ends when the last plan has
        been walked, and no client that was away then and may come back has samples left. While
        none of those who are there has any, the server waits: steps go by. (method.md 6)

        Args:
            plan: makes a schedule of what can be reached. An epoch that goes on asks it first for
                the schedule that it made last.

        Yields:
            (K,) what every client was to bring to the step; `rows[-1]` says what came of it.

        Raises:
            ValueError: for a plan that asks for more than can be reached, or for nothing.
            Diverged: with the step and its loss; the steps before it are committed.
        """
        planned: IntArray | None = None  # the steps to come
        absent: frozenset[int] = frozenset()  # when they were planned
        if self.rows:
            taken = len(self.rows) - self.planned_at
            planned = self._steps_of(plan(self.planned_for))[taken:]
            absent, _ = away(self.outages, self.next_step - taken)
            if not self.rows[-1][0]:
                planned = None
        else:
            self.simulation.start_epoch()
        while True:
            now, for_good = away(self.outages, self.next_step)
            if planned is None or not len(planned) or now != absent:
                unused = self.simulation.unused
                wanted = set(range(len(unused))) if planned is None or len(planned) else absent
                if not unused[list(wanted - for_good)].any():
                    return
                unused[list(now)] = 0
                if not unused.any():
                    self.next_step = next_return(self.outages, self.next_step)
                    continue
                self.planned_at, self.planned_for = len(self.rows), unused
                planned, absent = self._steps_of(plan(unused)), now
            counts, planned = planned[0], planned[1:]
            going = {outage.client for outage in self.outages if outage.start == self.next_step}
            try:
                self._keep(self.simulation.take(counts, now | going))
            except Diverged as error:
                raise Diverged(f"step {len(self.rows)}: {error}") from None
            except Aborted as aborted:
                self.outages += [Outage(k, self.next_step, within=True) for k in aborted.gone]
                self._keep(NOTHING_DONE, is_committed=False)
                planned = None
            self.next_step += 1
            yield counts.sum(axis=1)

    def _steps_of(self, schedule: Schedule) -> IntArray:
        """The steps of a plan for `planned_for`, if they are what can be reached: (T, K, G)."""
        check.kind("schedule", schedule, Schedule)
        check_covers(schedule, self.planned_for)
        return schedule.demands()

    def _keep(self, step: Step, is_committed: bool = True) -> None:
        """Keep what a step did as a row."""
        y, num_classes = self.simulation.y, self.simulation.num_classes
        class_counts = np.bincount(y[step.batch], minlength=num_classes)
        row = (is_committed, step.loss, step.num_participants, *step.sent, class_counts)
        self.rows.append(row)

    def record(self) -> EpochRecord:
        """What the steps did."""
        rows = self.walked
        done = rows[rows["committed"]]
        y, num_classes = self.simulation.y, self.simulation.num_classes
        class_probs = np.bincount(y, minlength=num_classes) / y.size
        return EpochRecord(
            done["loss"],
            batch_deviation(done["class_counts"], class_probs),
            done["num_participants"],
            Traffic(*(done[name] for name in Traffic._fields)),
            len(rows) - len(done),
            self.simulation.num_unused,
        )

    @property
    def walked(self) -> Array:
        """The rows as a structured array."""
        columns: list[Any] = [
            *(("committed", bool), ("loss", np.float64)),
            *((name, np.int64) for name in COUNTED),
            ("class_counts", np.int64, (self.simulation.num_classes,)),
        ]
        return np.array(self.rows, columns)
