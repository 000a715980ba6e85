"""One run: one sampler and one seed, from the first step to the last."""

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np

from pslref import sampling, split
from pslref.app.config import Config
from pslref.app.scenario import FIXED, draw_schedule, network, random_streams, scenario
from pslref.app.tables import Results, rows_of
from pslref.check import Array, IntArray
from pslref.data import Dataset
from pslref.sampling import Schedule
from pslref.split import (
    Diverged,
    Epoch,
    Outage,
    Simulation,
    Traffic,
    draw_outages,
    step_time,
)
from pslref.split.epoch import COUNTED

# The columns of what a run keeps of its epochs, and of their committed steps.
EPOCH = [
    *((name, np.int64) for name in ("num_committed", "num_aborted", "num_unused")),
    *((name, np.float64) for name in ("test_accuracy", "time")),
]
STEP = [
    *((name, np.float64) for name in ("loss", "deviation")),
    *((name, np.int64) for name in COUNTED),
]


class Run:
    """Training with one sampler and one seed; it can be left between any two steps.

    A share of the clients that hold samples may be lost for good (method.md 6). It is rounded to
    whole clients, and one always stays. Each goes at a uniformly drawn step of the run, half of
    them within that step; steps are counted as they would be without faults, T to an epoch. A
    larger share adds clients to those of a smaller one, and every sampler loses the same ones,
    after the same share of its run. A centralized run has no client to lose.

    Args:
        config: what to run; `faults` is the share of the clients that goes.
        dataset: the data that it names.
        kind: makes the simulation; `split.Remote`, with its cluster, has the clients there.

    Attributes:
        simulation: the clients and the server.
        epoch: the current one, and the last when the run is finished.
        epochs: a row of `EPOCH` for each that is over: steps committed and not, samples left, test
            accuracy and time.
        history: of each of these its committed steps, as rows of `STEP`.
    """

    def __init__(self, config: Config, dataset: Dataset, kind: Any = Simulation) -> None:
        self.config, self.dataset = config, dataset
        streams = random_streams(config.seed)
        self.part, self.clients = scenario(config, dataset, streams)
        self.stream = streams["schedule"]
        self.simulation = kind(
            network(config, dataset.x_train.shape[1:], dataset.num_classes, streams["weights"]),
            config.cut,
            dataset.x_train,
            dataset.y_train,
            self.part,
            config.learning_rate,
            config.momentum,
            config.weight_decay,
            rng=streams["clients"],
            execution=config.execution,
        )
        self.outages: list[Outage] = []
        self.steps_per_epoch = 0
        if config.sampler in FIXED or config.faults:
            full = draw_schedule(config, self.clients, deepcopy(self.stream))
            self.steps_per_epoch, self.local = full.num_steps, full.batch_sizes[0]
        if config.faults:
            holders, num_steps = np.flatnonzero(self.part.sizes), config.epochs * full.num_steps
            drawn = draw_outages(holders.size, num_steps, streams["faults"], config.faults)
            self.outages = [replace(o, client=int(holders[o.client])) for o in drawn]
        self.num_drawn = len(self.outages)  # others may be met on the way
        self.epochs = np.zeros(0, EPOCH)
        self.history: list[Array] = []
        self._begin_epoch(0)

    def _begin_epoch(self, step: int) -> None:
        """At this step of the run, or at a later one where it would begin without faults."""
        first_step = max(step, len(self.history) * self.steps_per_epoch)
        self.epoch = Epoch(self.simulation, self.outages, first_step)
        self.outages = self.epoch.outages
        self.step_times: list[float] = []  # of the current epoch

    def steps(self) -> Iterator[float]:
        """Train, a step with each iteration, yielding how many epochs are done: 1, 1.04, 1.09, ...

        Raises:
            Diverged: with the epoch, the step and its loss; the steps before it are committed.
        """
        times = self.clients.delays, self.clients.sample_costs, self.clients.server_cost
        while not self.finished:
            try:
                for counts in self.epoch.walk(self.plan):
                    self.step_times.append(step_time(counts, *times))
                    done = 1 - self.simulation.num_unused / len(self.dataset.y_train)
                    if done < 1:
                        yield len(self.history) + done
                accuracy = self.simulation.evaluate(self.dataset.x_test, self.dataset.y_test)
            except Diverged as error:
                raise Diverged(f"epoch {len(self.history)}, {error}") from None
            self._end_epoch(accuracy)
            yield float(len(self.history))

    def _end_epoch(self, accuracy: float) -> None:
        record = self.epoch.record()
        columns, steps = vars(record) | record.traffic._asdict(), np.zeros(len(record.loss), STEP)
        for name, _ in STEP:
            steps[name] = columns[name]
        self.history.append(steps)
        time = np.sum(self.step_times)
        row = (len(steps), record.num_aborted, record.num_unused, accuracy, time)
        self.epochs = np.append(self.epochs, np.array([row], EPOCH))
        self._begin_epoch(self.epoch.next_step)

    def plan(self, reachable: IntArray) -> Schedule:
        """A schedule of what can be reached, (K, M); FLS and FPLS keep their local batches."""
        # A run that is left and taken up again draws the same schedule from it.
        self.drawn_from = deepcopy(self.stream)
        if self.config.sampler in FIXED:
            return sampling.until_empty(reachable.sum(axis=1), self.local)
        config = self.config
        if self.outages:
            config = replace(config, batch_size=min(config.batch_size, int(reachable.sum())))
        clients = replace(self.clients, class_counts=reachable)
        return draw_schedule(config, clients, self.stream)

    @property
    def num_steps(self) -> int:
        """The steps done, over all epochs, with those that were not committed."""
        past = self.epochs["num_committed"].sum() + self.epochs["num_aborted"].sum()
        return int(past) + len(self.epoch.rows)

    @property
    def finished(self) -> bool:
        """Whether all epochs are over."""
        return len(self.history) == self.config.epochs

    def state(self) -> dict[str, Array]:
        """All that a run of the same arguments needs to go on from here to the bit.

        Returns:
            Fresh arrays: those of `split.state`; "schedule.generator", as `split.packed`, before
            it drew the schedule that is being walked; "step_times" of the current epoch;
            "history.epochs" and "history.steps", a row for every epoch that is over and for every
            committed step of these; "outages", as `faults.table`, those that were met.
        """
        stream = self.drawn_from if self.epoch.rows else self.stream
        return split.state(self.epoch) | {
            "schedule.generator": split.packed([stream]),
            "step_times": np.array(self.step_times, np.float64),
            "history.epochs": self.epochs.copy(),
            "history.steps": np.concatenate([np.zeros(0, STEP), *self.history]),
            "outages": split.faults.table(self.outages[self.num_drawn :]),
        }

    def restore(self, arrays: Mapping[str, Array]) -> None:
        """Put a run that has taken no step where one of the same arguments was at `state`."""
        epochs, steps = arrays["history.epochs"], arrays["history.steps"]
        now, clients = int(arrays["next_step"][0]), self.part.num_clients
        self.outages += split.faults.over(arrays["outages"], now, clients)
        split.unpack([self.stream], arrays["schedule.generator"])
        self.drawn_from = deepcopy(self.stream)
        split.restore(self.epoch, arrays)
        self.step_times = arrays["step_times"].tolist()
        self.epochs = epochs.copy()
        self.history = np.split(steps, np.cumsum(epochs["num_committed"]))[:-1]

    def results(self) -> Results:
        """The rows of what has been done, at least one epoch."""
        steps, epochs = np.concatenate(self.history), self.epochs
        alone = self.config.sampler == "centralized"
        sent = [Traffic(*(rows[name] for name in Traffic._fields)) for rows in self.history]
        up, down = (
            0.0 if alone else float(np.mean(of_epochs)) / 1e6
            for of_epochs in ([each.up for each in sent], [each.down for each in sent])
        )
        so_far = np.cumsum([0 if alone else each.total for each in sent]) / 1e6
        row = {
            "test_accuracy": float(epochs["test_accuracy"][-1]),
            "mean_deviation": float(steps["deviation"].mean()),
            "max_deviation": float(steps["deviation"].max()),
            "num_steps": float(epochs["num_committed"].mean()),
            "simulated_time": None if alone else float(epochs["time"].mean()),
            "megabytes": up + down,
            "megabytes_up": up,
            "megabytes_down": down,
            "participants": float(steps["num_participants"].mean()),
            "empty_clients": int(np.sum(self.part.sizes == 0)),
            "test_images": len(self.dataset.y_test),
            "unreachable": float(epochs["num_unused"].mean()),
            "aborted": int(epochs["num_aborted"].sum()),
        }
        times = [None] * len(epochs) if alone else np.cumsum(epochs["time"]).tolist()
        of_epochs = {
            "epoch": range(len(epochs)),
            "loss": [float(rows["loss"].mean()) for rows in self.history],
            "test_accuracy": epochs["test_accuracy"].tolist(),
            "time_so_far": times,
            "megabytes_so_far": so_far.tolist(),
        }
        first = {name: self.history[0][name].tolist() for name in ("loss", "deviation")}
        of_steps = {"step": range(len(self.history[0])), **first}
        return Results([row], rows_of(of_epochs), rows_of(of_steps))


def run(
    config: Config, dataset: Dataset, after_epoch: Callable[[], object] = lambda: None
) -> Results:
    """Train to the end."""
    run = Run(config, dataset)
    for epochs_done in run.steps():
        if epochs_done.is_integer():
            after_epoch()
    return run.results()
