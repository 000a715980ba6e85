"""One run: one sampler and one seed, from the first step to the last."""

from collections.abc import Callable, Iterator
from copy import deepcopy

import numpy as np

from pslref import data, nn, partition, sampling, split
from pslref.check import FloatArray, IntArray
from pslref.config import Config
from pslref.data import Dataset
from pslref.partition import Partition
from pslref.results import RANGES, Results, Row, check_column
from pslref.sampling import Schedule
from pslref.split import Diverged, EpochRecord, Simulation, epoch_time, straggler_delays
from pslref.split.messages import Array

EPOCH = [("num_steps", np.int64), ("test_accuracy", np.float64), ("time", np.float64)]
STEP = [
    *(("loss", np.float64), ("deviation", np.float64)),
    *(("step_bytes_up", np.int64), ("step_bytes_down", np.int64)),
]
# One random stream each; a new purpose comes last, so that the others' streams stay.
PURPOSES = ("partition", "weights", "schedule", "clients", "delays", "faults")


class Run:
    """Training with one sampler and one seed; it can be left between any two steps.

    Args:
        config: what to run.
        dataset: the data that it names.
        sampler: what forms the batches, one of `config.SAMPLERS`.
        seed: of all its random streams.

    Attributes:
        simulation: the clients and the server.
        records: what each epoch that is over did, with its `accuracies` on the test set and its
            `times`.
    """

    simulation_class = Simulation

    def __init__(self, config: Config, dataset: Dataset, sampler: str, seed: int) -> None:
        self.config, self.dataset, self.sampler, self.seed = config, dataset, sampler, seed
        self.labels: Row = {"sampler": sampler, "seed": seed}  # of every row of the results
        streams = random_streams(seed)
        self.part, self.delays = scenario(config, dataset, streams)
        if sampler == "centralized":  # one client that holds everything
            self.part = Partition([np.arange(len(dataset.y_train))], dataset.y_train)
            self.delays = np.zeros(1)
        self.empty_clients = int(np.sum(self.part.sizes == 0))
        self.schedule_stream = streams["schedule"]
        self.simulation = self.simulation_class(
            network(config, dataset, streams["weights"]),
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
        self.records: list[EpochRecord] = []
        self.accuracies: list[float] = []
        self.times: list[float] = []

    def steps(self) -> Iterator[float]:
        """Train, a step with each iteration, yielding how many epochs are done: 1, 1.04, 1.09, ...

        Raises:
            Diverged: with the epoch, the step and its loss; the steps before it are committed.
        """
        while len(self.records) < self.config.epochs:
            # The stream moves on when the epoch is over. Until then a run that is left and taken
            # up again draws the same schedule from it.
            stream = deepcopy(self.schedule_stream)
            counts = self.part.class_counts
            schedule = draw_schedule(self.config, self.sampler, counts, self.delays, stream)
            if not self.simulation.rows:
                self.simulation.start_epoch()
            try:
                for done in self.simulation.walk(schedule):
                    if done < schedule.num_steps:
                        yield len(self.records) + done / schedule.num_steps
                self.keep(self.simulation.end_epoch(), schedule)
            except Diverged as error:
                raise Diverged(f"epoch {len(self.records)}, {error}") from None
            self.schedule_stream = stream
            yield float(len(self.records))

    def keep(self, record: EpochRecord, schedule: Schedule) -> None:
        """Keep what an epoch did, the time that its schedule takes, and the accuracy after it."""
        costs = self.config.sample_cost * self.delays
        accuracy = self.simulation.evaluate(self.dataset.x_test, self.dataset.y_test)
        self.records.append(record)
        self.times.append(epoch_time(schedule, self.delays, costs))
        self.accuracies.append(accuracy)

    @property
    def num_steps(self) -> int:
        """The steps done, over all epochs."""
        return sum(len(record.loss) for record in self.records) + len(self.simulation.rows)

    @property
    def finished(self) -> bool:
        """Whether all epochs are over."""
        return len(self.records) == self.config.epochs

    def state(self) -> dict[str, Array]:
        """All that a run of the same arguments needs to go on from here to the bit.

        Returns:
            Fresh arrays: those of `split.state`; "schedule.generator", as `split.packed`, before
            it drew the schedule of the current epoch; "history.epochs" and "history.steps", a row
            for every epoch that is over and for every step of these.
        """
        lengths = [len(record.loss) for record in self.records]
        steps = np.zeros(sum(lengths), STEP)
        for name, kind in STEP:
            parts = [getattr(record, name) for record in self.records]
            steps[name] = np.concatenate([np.zeros(0, kind), *parts])
        return split.state(self.simulation) | {
            "schedule.generator": split.packed([self.schedule_stream]),
            "history.epochs": np.array(
                list(zip(lengths, self.accuracies, self.times, strict=True)), EPOCH
            ),
            "history.steps": steps,
        }

    def restore(self, arrays: dict[str, Array]) -> None:
        """Put a run that has taken no step where another was when it returned `state`.

        Raises:
            ValueError: for arrays that no run of these arguments can have returned.
        """
        epochs, steps, walked = (
            arrays[name] for name in ("history.epochs", "history.steps", "walked")
        )
        if len(epochs) + (len(walked) > 0) > self.config.epochs:
            allowed = f"must be at most {self.config.epochs}, with the current one"
            raise ValueError(f"history.epochs: {allowed}")
        for table in ("history.epochs", "history.steps", "walked"):
            for name in set(arrays[table].dtype.names or ()) & RANGES.keys():
                check_column(table, name, arrays[table][name].tolist())
        split.unpack([self.schedule_stream], arrays["schedule.generator"])
        stream, counts = deepcopy(self.schedule_stream), self.part.class_counts
        current = draw_schedule(self.config, self.sampler, counts, self.delays, stream)
        lengths = epochs["num_steps"].tolist()  # of one sampler, all epochs have as many steps
        if {*lengths} - {current.num_steps} or sum(lengths) != len(steps):
            allowed = f"must have {current.num_steps} steps each, those of history.steps"
            raise ValueError(f"history.epochs: {allowed}")
        sizes = walked["class_counts"].sum(axis=1)
        if sizes.tolist() != current.batch_sizes.sum(axis=1)[: len(sizes)].tolist():
            raise ValueError("walked: must have the batch sizes of the schedule")
        split.restore(self.simulation, arrays)
        self.records = [
            EpochRecord(*(rows[name].copy() for name, _ in STEP))
            for rows in np.split(steps, np.cumsum(lengths, dtype=int))[:-1]
        ]
        self.accuracies = epochs["test_accuracy"].tolist()
        self.times = epochs["time"].tolist()

    def results(self) -> Results:
        """The rows of what has been done, at least one epoch."""
        losses = [float(record.loss.mean()) for record in self.records]
        epochs = [
            self.labels | {"epoch": epoch, "loss": loss, "test_accuracy": accuracy}
            for epoch, (loss, accuracy) in enumerate(zip(losses, self.accuracies, strict=True))
        ]
        first = self.records[0]
        pairs = zip(first.loss.tolist(), first.deviation.tolist(), strict=True)
        steps = [
            self.labels | {"step": step, "loss": loss, "deviation": deviation}
            for step, (loss, deviation) in enumerate(pairs)
        ]
        deviation = np.concatenate([record.deviation for record in self.records])
        alone = self.sampler == "centralized"
        row = self.labels | {
            "test_accuracy": self.accuracies[-1],
            "mean_deviation": float(deviation.mean()),
            "max_deviation": float(deviation.max()),
            "num_steps": len(first.loss),
            "simulated_time": None if alone else float(np.mean(self.times)),
            "megabytes": 0.0 if alone else (first.bytes_up + first.bytes_down) / 1e6,
            "empty_clients": self.empty_clients,
            "test_images": len(self.dataset.y_test),
        }
        return Results([row], epochs, steps)


def run(
    config: Config,
    dataset: Dataset,
    sampler: str,
    seed: int,
    after_epoch: Callable[[], object] = lambda: None,
) -> Results:
    """Train with one sampler and one seed."""
    return finished(Run(config, dataset, sampler, seed), after_epoch)


def finished(run: Run, after_epoch: Callable[[], object] = lambda: None) -> Results:
    """Train to the end."""
    for epochs_done in run.steps():
        if epochs_done.is_integer():
            after_epoch()
    return run.results()


def dataset_of(config: Config) -> Dataset:
    """The data set that the config names."""
    return data.load(config.dataset, config.data_dir, np.dtype(config.dtype), config.files)


def random_streams(seed: int) -> dict[str, np.random.Generator]:
    """An independent stream for each purpose: another sampler never changes the partition."""
    children = np.random.SeedSequence(seed).spawn(len(PURPOSES))
    return dict(zip(PURPOSES, map(np.random.default_rng, children), strict=True))


def scenario(
    config: Config, dataset: Dataset, streams: dict[str, np.random.Generator]
) -> tuple[Partition, FloatArray]:
    """Who holds which samples, and the (K,) delays of the clients."""
    rng = streams["partition"]
    part = partition.by_name(config.partition, dataset.y_train, config.clients, rng)
    delays = straggler_delays(
        config.clients, streams["delays"], config.fraction, config.slowdown, config.jitter
    )
    return part, delays


def network(config: Config, dataset: Dataset, rng: np.random.Generator) -> nn.Network:
    """The uncut network that the config asks for."""
    shape, dtype = dataset.x_train.shape[1:], np.dtype(config.dtype)
    if config.model == "cnn":
        return nn.cnn(shape, dataset.num_classes, rng=rng, dtype=dtype)
    widths = [int(np.prod(shape)), *config.hidden, dataset.num_classes]
    return nn.mlp(widths, rng=rng, dtype=dtype)


def draw_schedule(
    config: Config,
    sampler: str,
    class_counts: IntArray,
    delays: FloatArray,
    rng: np.random.Generator,
) -> Schedule:
    """The schedule of one epoch, drawn anew for each; centralized is UGS with one client."""
    sizes = class_counts.sum(axis=1)
    if sampler == "fls":
        return sampling.fls(sizes, config.batch_size)
    if sampler == "fpls":
        return sampling.fpls(sizes, config.batch_size)
    if sampler == "lds":
        return sampling.lds(
            class_counts,
            config.batch_size,
            rng,
            remainder=config.remainder,
            delays=delays,
            delta=config.delta,
            concentration=config.concentration,
        )
    if sampler in ("targets", "stratified"):
        return sampling.targets(
            class_counts,
            config.batch_size,
            rng,
            delays=delays,
            draw="hypergeometric" if sampler == "targets" else "stratified",
            assign=config.assign,
            sample_costs=config.sample_cost * delays if config.assign == "balanced" else None,
            slack=config.slack,
            remainder=config.remainder,
        )
    return sampling.ugs(sizes, config.batch_size, rng, config.remainder)
