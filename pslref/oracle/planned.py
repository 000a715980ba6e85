"""An epoch planned as a whole: what holds whichever solver and rounding have planned it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pslref.check import FloatArray, IntArray
from pslref.oracle.result import Result
from pslref.sampling import Schedule
from pslref.split import step_times
from pslref.theory import deviation_eps, least_epoch_time
from pslref.theory.measured import distance

CLOSE = 0.05  # a share above the least time: of a plan that attains it
USUAL, LONGEST = 0.1, 3  # elsewhere: a share, and so many of the longest steps. Measured
ROUNDING = 1e-6  # in Δ: of a linear program

Epoch = tuple[IntArray, IntArray]  # (T, M) its targets, (T, K, M) what each client brings


class Plan(NamedTuple):
    """What epochs are planned for: the arguments of `least_epoch_time`."""

    class_counts: IntArray
    batch_size: int
    delays: FloatArray
    sample_costs: FloatArray
    slack: float

    def deviations(self, targets: IntArray) -> FloatArray:
        """(T,) Δ_t."""
        totals = self.class_counts.sum(axis=0)
        return distance(targets, totals / totals.sum())

    def most(self, batches: IntArray, chance: float = 0.0) -> FloatArray:
        """(T,) the most that Δ_t is; of drawn targets, but for this chance. [derived]

        slack + 2 ⌊M / 2⌋ / B_t, and the ε with P(Δ_t ≥ ε) of the draw. (method.md 3.4)
        """
        num_classes, total = int(self.class_counts.any(axis=0).sum()), int(batches.sum())
        most = self.slack + 2 * (num_classes // 2) / batches
        for b in np.unique(batches) if chance > 0 and num_classes > 1 else ():
            most[batches == b] += deviation_eps(chance, int(b), total, num_classes)
        return np.asarray(most)

    def has_one_deadline(self) -> bool:
        """Whether no class mix within the slack can do without the slowest, and time is delays."""
        held = self.class_counts.any(axis=1)
        faster = self.class_counts[self.delays < self.delays[held].max()].sum(axis=0)
        needed = (faster == 0) & self.class_counts.any(axis=0)
        return bool(needed.any()) and self.slack == 0 and not self.sample_costs[held].any()

    def time(self, epochs: Sequence[Epoch]) -> tuple[float, float]:
        """The mean time of the epochs, and their longest step."""
        schedules = (Schedule(local.sum(axis=2)) for _, local in epochs)
        times = np.array([step_times(one, self.delays, self.sample_costs) for one in schedules])
        return float(times.sum(axis=1).mean()), float(times.max())

    def judge_time(self, op: str, epochs: Sequence[Epoch], is_attained: bool) -> Result:
        """Wrong if it is above the least, where that `is_attained`; else a long time is noted."""
        (mean, longest), least = self.time(epochs), least_epoch_time(*self)
        said = f"epochs take {mean:.4g} (mean of {len(epochs)}), the least is {least:.4g}"
        most = (1 + CLOSE) * least if is_attained else (1 + USUAL) * least + LONGEST * longest
        detects = f"{100 * CLOSE:.0f} % more time" if is_attained else "nothing: it is only noted"
        if mean <= most:
            return Result("time", op, "ok", said, detects=detects)
        return Result("time", op, "wrong" if is_attained else "noted", said, detects=detects)

    def explains(self, epochs: Sequence[Epoch], is_stratified: bool) -> bool:
        """Whether these epochs are like ones planned for this."""
        least = least_epoch_time(*self)
        if is_stratified and any(
            (self.deviations(c) > self.most(c.sum(axis=1)) + ROUNDING).any() for c, _ in epochs
        ):
            return False
        return abs(self.time(epochs)[0] - least) < CLOSE * least  # no time at all tells nothing

    def mistakes(self, epochs: Sequence[Epoch], is_stratified: bool) -> list[str]:
        """Known mistakes, by what epochs that are not planned for this would be planned for."""
        delays, costs, slack = self.delays, self.sample_costs, self.slack
        others = {
            "samples take no time": self._replace(sample_costs=0 * costs),
            "delays do not count": self._replace(delays=0 * delays),
            "there is room for one sample less": self._replace(delays=delays + costs),
            "Δ is counted half, above the pooled mix": self._replace(slack=min(2, 2 * slack)),
            "Δ is counted twice": self._replace(slack=slack / 2),
            "the slack is not used": self._replace(slack=0.0),
        }
        if self.explains(epochs, is_stratified):
            return []
        found = [name for name, plan in others.items() if plan.explains(epochs, is_stratified)]
        held = self.class_counts.any(axis=1)
        if all(local[:, held].any(axis=2).all() for _, local in epochs):
            found.append("every client takes part in every step")
        return found
