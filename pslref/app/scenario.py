"""What a config means: its data, its clients, its network, and the schedules of its sampler."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from platform import node
from typing import Any

import numpy as np

from pslref import check, data, datafiles, nn, partition, sampling, versions
from pslref.app.config import Config
from pslref.check import Array, FloatArray, IntArray
from pslref.data import Dataset
from pslref.partition import Partition
from pslref.sampling import Schedule, Steps
from pslref.split import straggler_delays

TARGETS = ("targets", "stratified")
PRESETS = {"mild": "extended:5:3", "severe": "extended:2:3"}  # the paper's two splits

# One random stream each; a new purpose comes last, so that the others' streams stay.
PURPOSES = ("partition", "weights", "schedule", "clients", "delays", "faults")


def dataset_of(config: Config) -> Dataset:
    """The data set that the config names."""
    return data.load(config.dataset, config.data_dir, np.dtype(config.dtype), config.files)


def made_by(config: Config) -> dict[str, str]:
    """What results depend on beside their config: versions, and the file of somebody's own data."""
    if not datafiles.is_own(config.dataset):
        return versions.MADE_BY
    return versions.MADE_BY | {"dataset": datafiles.digest(Path(config.dataset))}


def made_here(config: Config, wanted: Mapping[str, str]) -> dict[str, str]:
    """`made_by` on a worker, which must be what asks it; Mixed otherwise."""
    mine, allowed = made_by(config), "must be the same on all machines"
    versions.check_same(f"what asked the worker on {node()}", wanted, allowed, mine)
    return mine


def images(config: Config, wanted: Mapping[str, str], indices: IntArray) -> Array:
    """(n, ...) images of training samples, from the files of a worker."""
    made_here(config, wanted)
    return dataset_of(config).x_train[indices]


def random_streams(seed: int) -> dict[str, np.random.Generator]:
    """An independent stream for each purpose: another sampler never changes the partition."""
    children = np.random.SeedSequence(seed).spawn(len(PURPOSES))
    return dict(zip(PURPOSES, map(np.random.default_rng, children), strict=True))


@dataclass(frozen=True, eq=False)
class Clients:
    """What a server that plans knows of its clients.

    Attributes:
        class_counts: (K, M) samples of each class at each client.
        delays: (K,) what a step takes a client that takes part in it.
        sample_costs: (K,) what each of its samples adds to that, in the same unit.
        names: what each client is called.
        classes: what each class is called.
        input_shape: of one of their samples; None if it is not known.
    """

    class_counts: IntArray
    delays: FloatArray
    sample_costs: FloatArray
    names: Sequence[object]
    classes: Sequence[object]
    input_shape: tuple[int, ...] | None = None

    def pooled(self) -> "Clients":
        """One client that holds everything, and is never waited for."""
        nothing, counts = np.zeros(1), self.class_counts.sum(axis=0, keepdims=True)
        return Clients(counts, nothing, nothing, ["all"], self.classes, self.input_shape)


def scenario(
    config: Config, dataset: Dataset, streams: dict[str, np.random.Generator]
) -> tuple[Partition, Clients]:
    """Who holds which samples, and what is known of them; centralized, one client holds all."""
    part = partition_of(config, dataset.y_train, streams["partition"], dataset.owners)
    k, m = part.class_counts.shape
    delays = straggler_delays(k, streams["delays"], config.fraction, config.slowdown, config.jitter)
    costs = config.sample_cost * delays
    shape = dataset.x_train.shape[1:]
    names: Sequence[object] = range(k)
    if config.partition == "owners" and dataset.owners is not None:
        names = np.unique(dataset.owners).tolist()
    clients = Clients(part.class_counts, delays, costs, names, range(m), shape)
    if config.sampler == "centralized":
        return Partition([np.arange(dataset.y_train.size)], dataset.y_train), clients.pooled()
    return part, clients


def partition_of(
    config: Config, y: IntArray, rng: np.random.Generator, owners: Array | None = None
) -> Partition:
    """Who holds which samples: mild is extended:5:3, severe extended:2:3. [paper]"""
    try:
        return _partition(config, y, rng, owners)
    except ValueError as error:
        if ":" not in config.partition:
            raise
        raise ValueError(f"partition = {config.partition!r}: {error}") from None


def _partition(
    config: Config, y: IntArray, rng: np.random.Generator, owners: Array | None
) -> Partition:
    name, k = config.partition, config.clients
    kind, *numbers = PRESETS.get(name, name).split(":")
    if kind == "iid":
        return partition.iid(y, k, rng)
    if kind == "owners":
        if owners is None:
            allowed = "must be another: no owners_train are in the data set"
            raise check.wrong("partition", name, f"{allowed} {config.dataset}")
        return partition.from_owners(owners, y)
    if kind == "dirichlet":
        return partition.dirichlet(y, k, float(numbers[0]), rng, config.least)
    if kind == "shards":
        return partition.shards(y, k, int(numbers[0]), rng)
    classes, least = int(numbers[0]), -(-(int(y.max()) + 1) // max(int(numbers[0]), 1))
    if k < least:
        why = f"each client holds {classes} of the classes, and none may be left over"
        raise check.wrong("clients", k, f"must be {least} or more, if {name}: {why}")
    return partition.extended_dirichlet(y, k, classes, float(numbers[1]), rng)


def network(
    config: Config, input_shape: Sequence[int], num_classes: int, rng: np.random.Generator
) -> nn.Network:
    """The uncut network that the config asks for, for samples of a shape."""
    dtype = np.dtype(config.dtype)
    if config.model == "cnn":
        if len(input_shape) != 3:
            allowed = f"must be mlp for samples of shape {tuple(input_shape)}: a CNN takes images"
            raise check.wrong("model", config.model, allowed)
        return nn.cnn(input_shape, num_classes, rng=rng, dtype=dtype)
    widths = [int(np.prod(input_shape)), *config.hidden, num_classes]
    return nn.mlp(widths, rng=rng, dtype=dtype)


def draw_schedule(config: Config, clients: Clients, rng: np.random.Generator) -> Schedule:
    """The schedule of one epoch, drawn anew for each; centralized is UGS with one client."""
    if config.sampler in TARGETS:
        return sampling.targets(
            clients.class_counts, config.batch_size, rng, **_options(config, clients)
        )
    return draw_steps(config, clients, rng).schedule()


def draw_steps(config: Config, clients: Clients, rng: np.random.Generator) -> Steps:
    """The same, step by step."""
    counts, size = clients.class_counts, config.batch_size
    if config.sampler == "fls":
        return sampling.fls_steps(counts.sum(axis=1), size)
    if config.sampler == "fpls":
        return sampling.fpls_steps(counts.sum(axis=1), size)
    if config.sampler == "lds":
        return sampling.lds_steps(
            counts,
            size,
            rng,
            remainder=config.remainder,
            delays=clients.delays,
            delta=config.delta,
            concentration=config.concentration,
        )
    if config.sampler in TARGETS:
        return sampling.targets_steps(counts, size, rng, **_options(config, clients))
    return sampling.ugs_steps(counts.sum(axis=1), size, rng, config.remainder)


def _options(config: Config, clients: Clients) -> dict[str, Any]:
    """Of class targets."""
    return {
        "delays": clients.delays,
        "draw": "hypergeometric" if config.sampler == "targets" else "stratified",
        "assign": config.assign,
        "sample_costs": clients.sample_costs if config.assign == "balanced" else None,
        "slack": config.slack,
        "remainder": config.remainder,
    }
