"""One run in which clients are lost for good, and the rest of every epoch is planned again."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace

import numpy as np

from pslref import sampling
from pslref.check import IntArray
from pslref.config import Config
from pslref.data import Dataset
from pslref.results import Results
from pslref.runs import Run, draw_schedule, random_streams
from pslref.sampling import Schedule
from pslref.split import Diverged, FaultySimulation, draw_outages


class FaultyRun(Run):
    """A run in which a share of the clients that hold samples goes for good. (method.md 1.1)

    It is rounded to whole clients, and one always stays. Each goes at a uniformly drawn step of
    the run, half of them within that step; steps are counted as they would be without faults, T
    to an epoch. A larger share adds clients to those of a smaller one, and every sampler loses
    the same ones, after the same share of its run. A centralized run has no client to lose.

    Args:
        config, dataset, sampler, seed: as of `Run`.
        lost: the share, 0 to 1.

    Attributes:
        unreachable: samples that stayed unused, in each epoch that is over.
        num_aborted: steps that were not committed.
    """

    simulation: FaultySimulation
    simulation_class = FaultySimulation

    def __init__(
        self, config: Config, dataset: Dataset, sampler: str, seed: int, lost: float
    ) -> None:
        super().__init__(config, dataset, sampler, seed)
        self.labels["faults"] = lost
        stream = deepcopy(self.schedule_stream)
        full = draw_schedule(config, sampler, self.part.class_counts, self.delays, stream)
        self.steps_per_epoch, self.local = full.num_steps, full.batch_sizes[0]
        holders = np.flatnonzero(self.part.sizes).tolist()
        num_steps, rng = config.epochs * full.num_steps, random_streams(seed)["faults"]
        drawn = draw_outages(len(holders), num_steps, rng, lost)
        self.outages = [replace(outage, client=holders[outage.client]) for outage in drawn]
        self.unreachable: list[int] = []
        self.num_aborted = 0

    def steps(self) -> Iterator[float]:
        """Train, an epoch with each iteration, yielding how many are done."""
        step = 0
        for epoch in range(self.config.epochs):
            step = max(step, epoch * self.steps_per_epoch)
            try:
                done = self.simulation.run_faulty_epoch(self.plan, self.outages, step)
                self.keep(done.record, done.attempted)
            except Diverged as error:
                raise Diverged(f"epoch {epoch}, {error}") from None
            step = done.next_step
            self.unreachable.append(int(done.unreachable.sum()))
            self.num_aborted += int(np.sum(~done.committed))
            yield epoch + 1.0

    def plan(self, reachable: IntArray) -> Schedule:
        """A schedule of what can be reached, (K, M); FLS and FPLS keep their local batches."""
        sizes = reachable.sum(axis=1)
        if self.sampler in ("fls", "fpls"):
            return sampling.until_empty(sizes, self.local)
        config = replace(self.config, batch_size=min(self.config.batch_size, int(sizes.sum())))
        return draw_schedule(config, self.sampler, reachable, self.delays, self.schedule_stream)

    def results(self) -> Results:
        """As of a run, with means over the epochs, which differ, and what was lost."""
        results = super().results()
        if self.sampler != "centralized":
            sent = [record.bytes_up + record.bytes_down for record in self.records]
            results.runs[0]["megabytes"] = float(np.mean(sent)) / 1e6
        results.runs[0] |= {
            "num_steps": float(np.mean([len(record.loss) for record in self.records])),
            "unreachable": float(np.mean(self.unreachable)),
            "aborted": self.num_aborted,
        }
        return results
