"""The slack of class targets: an epoch cut into parts that have class mixes of their own."""

from bisect import bisect_left
from typing import NamedTuple

import numpy as np

from pslref.check import FloatArray, IntArray

# An epoch is cut in two only where this saves at least that share of its time: finer cuts would
# sort clients of nearly equal delay, and pay for it with deviation in every step. [reading]
LEAST_SAVING = 0.01


class Part(NamedTuple):
    """Some steps of an epoch and the samples they use up.

    Attributes:
        batches: (T_i,) their sizes B_t.
        totals: (M,) the samples of each class, as many as the steps hold.
        held: (K, M) how many of them the j slowest clients hold together, j = 1..K.
    """

    batches: IntArray
    totals: IntArray
    held: IntArray

    def time(self, drops: FloatArray) -> float:
        """Expected: a part of t steps is done with a set of clients after max_m A_m / Q_m of it."""
        done = (self.held / np.maximum(self.totals, 1)).max(axis=1)
        return float(self.batches.size * (drops @ done))

    def cut(self, num_steps: int, needed: IntArray) -> tuple["Part", "Part"]:
        """The first steps, with all that is `needed` if they have room for it, and the rest."""
        size = self.batches[:num_steps].sum()
        fair = self.totals * (size / self.totals.sum())
        lacking, spare = np.maximum(needed - fair, 0), np.maximum(fair - needed, 0)
        exact = fair + lacking - spare * min(1.0, lacking.sum() / max(spare.sum(), 1e-9))
        first = np.maximum(np.floor(exact), needed).astype(np.int64)
        first[np.argsort(first - exact, kind="stable")[: size - first.sum()]] += 1
        of_first = np.minimum(self.held, first)
        return (
            Part(self.batches[:num_steps], first, of_first),
            Part(self.batches[num_steps:], self.totals - first, self.held - of_first),
        )


def parts(
    batches: IntArray, class_counts: IntArray, delays: FloatArray, slack: float
) -> list[Part]:
    """Cut an epoch into parts with class mixes of their own, to be done with slow clients sooner.

    Every set of slowest clients is tried, each with the least number of steps that holds all its
    data and leaves both sides within `slack`. The cut that saves most expected time is made; then
    both sides are cut again, until no cut saves `LEAST_SAVING` of the epoch. [reading]
    (method.md 3.4)
    """
    slowest = np.argsort(-delays, kind="stable")
    drops = -np.diff(delays[slowest], append=0.0)  # how much shorter a step is without each
    held = class_counts[slowest].cumsum(axis=0)
    epoch = Part(batches, held[-1], held)
    least_saving = LEAST_SAVING * epoch.time(drops)

    def is_within_slack(part: Part) -> bool:
        total, size = int(epoch.totals.sum()), int(part.totals.sum())
        apart = np.abs(part.totals * total - size * epoch.totals).sum()
        return bool(apart <= slack * size * total)

    def soonest(part: Part, needed: IntArray) -> tuple[Part, Part] | None:
        steps = range(
            int(np.searchsorted(part.batches.cumsum(), needed.sum())) + 1, len(part.batches)
        )
        i = bisect_left(steps, True, key=lambda t: all(map(is_within_slack, part.cut(t, needed))))
        return part.cut(steps[i], needed) if i < len(steps) else None

    def cut_again(part: Part) -> list[Part]:
        least_time, best = part.time(drops) - least_saving, None
        for needed in np.unique(part.held, axis=0):
            sides = soonest(part, needed)
            if sides and sides[0].time(drops) + sides[1].time(drops) < least_time:
                least_time, best = sides[0].time(drops) + sides[1].time(drops), sides
        return [*cut_again(best[0]), *cut_again(best[1])] if best else [part]

    return cut_again(epoch) if slack > 0 else [epoch]
