"""What a config means: its data, its clients, its network, and the schedules of its sampler."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from platform import node
from typing import Any

import numpy as np

from pslref import check, data, datafiles, nn, partition, sampling, versions
from pslref.app.config import Config
from pslref.app.grids import Row, described
from pslref.check import Array, FloatArray, IntArray
from pslref.data import Dataset
from pslref.partition import Partition
from pslref.sampling import Schedule, Steps
from pslref.split import Links, client_costs, draw_links, server_cost, straggler_delays
from pslref.split.clock import SERVER_FLOPS

FIXED, TARGETS = ("fls", "fpls"), ("targets", "stratified")
# What draws the schedule of an epoch, at once and step by step.
DRAWN_BY: dict[str, tuple[Callable[..., Schedule], Callable[..., Steps]]] = {
    **dict.fromkeys(("centralized", "ugs"), (sampling.ugs, sampling.ugs_steps)),
    "fls": (sampling.fls, sampling.fls_steps),
    "fpls": (sampling.fpls, sampling.fpls_steps),
    "lds": (sampling.lds, sampling.lds_steps),
    **dict.fromkeys(TARGETS, (sampling.targets, sampling.targets_steps)),
}
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


def told(configs: Sequence[Config], **more: object) -> Row:
    """What one run is or several are, as a row, with more that is said of it, and what made it."""
    row = described(configs) if len(configs) > 1 else asdict(configs[0])
    return row | more | {"made_by": made_by(configs[0])}


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
        links: from which a network's delays and costs follow (`clocked`), or None.
        server_flops: what the server does in a second; it takes no time if that is None.
        server_cost: what a sample adds to every step there.
    """

    class_counts: IntArray
    delays: FloatArray
    sample_costs: FloatArray
    names: Sequence[object]
    classes: Sequence[object]
    input_shape: tuple[int, ...] | None = None
    links: Links | None = None
    server_flops: float | None = None
    server_cost: float = 0.0

    def times(self) -> dict[str, FloatArray]:
        """What is known of each client's speed, by the names of a table's columns."""
        if self.links is None:
            return {"delay": self.delays, "sample_cost": self.sample_costs}
        return self.links._asdict()

    def pooled(self) -> "Clients":
        """One client that holds everything, and is never waited for."""
        nothing, counts = np.zeros(1), self.class_counts.sum(axis=0, keepdims=True)
        return Clients(counts, nothing, nothing, ["all"], self.classes, self.input_shape)


def scenario(
    config: Config, dataset: Dataset, streams: dict[str, np.random.Generator]
) -> tuple[Partition, Clients]:
    """Who holds which samples, and what is known of them; centralized, one client holds all."""
    shape = dataset.x_train.shape[1:]
    names: Sequence[object]
    if config.sampler == "centralized":
        part = Partition([np.arange(dataset.y_train.size)], dataset.y_train)
        delays, links, names = np.zeros(1), None, ["all"]
    else:
        part = partition_of(config, dataset.y_train, streams["partition"], dataset.owners)
        k, rng = part.num_clients, streams["delays"]
        delays = straggler_delays(k, rng, config.fraction, config.slowdown, config.jitter)
        links = None if config.links == "none" else draw_links(config.links, k, rng)
        owners = dataset.owners if config.partition == "owners" else None
        names = range(k) if owners is None else np.unique(owners).tolist()
    counts, costs = part.class_counts, config.sample_cost * delays
    classes = range(counts.shape[1])
    known = Clients(counts, delays, costs, names, classes, shape, links, SERVER_FLOPS)
    return part, clocked(known, config)


def clocked(clients: Clients, config: Config) -> Clients:
    """These clients with the times, in seconds, that their links give the config's network."""
    if clients.links is None:
        return clients
    if clients.input_shape is None:
        allowed = "must be given, such as 28,28,1: times from links depend on the network"
        raise check.wrong("input_shape", None, allowed)
    shape, weights = clients.input_shape, np.random.default_rng(0)  # which do not matter
    cut = network(config, shape, len(clients.classes), weights), config.cut, shape
    delays, costs = client_costs(*cut, **clients.links._asdict())
    of_server = server_cost(*cut, clients.server_flops) if clients.server_flops else 0.0
    return replace(clients, delays=delays, sample_costs=costs, server_cost=of_server)


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
    classes, there_are = int(numbers[0]), int(y.max()) + 1
    if classes > there_are and name in PRESETS:
        allowed = f"must be another: each client holds {classes} of the classes, of {there_are}"
        raise check.wrong("partition", name, allowed)
    least = -(-there_are // max(classes, 1))
    if k < least:
        why = f"each client holds {classes} of the classes, and none may be left over"
        raise check.wrong("clients", k, f"must be {least} or more, if {name}: {why}")
    return partition.extended_dirichlet(y, k, classes, float(numbers[1]), rng)


def network(
    config: Config, input_shape: Sequence[int], num_classes: int, rng: np.random.Generator
) -> nn.Network:
    """The uncut network that the config asks for, for samples of a shape."""
    dtype = np.dtype(config.dtype)
    if config.model != "mlp":
        if len(input_shape) != 3:
            allowed = f"must be mlp for samples of shape {tuple(input_shape)}: others take images"
            raise check.wrong("model", config.model, allowed)
        of_images = nn.cnn if config.model == "cnn" else nn.resnet
        return of_images(input_shape, num_classes, rng=rng, dtype=dtype)
    widths = [int(np.prod(input_shape)), *config.hidden, num_classes]
    return nn.mlp(widths, rng=rng, dtype=dtype)


def draw_schedule(config: Config, clients: Clients, rng: np.random.Generator) -> Schedule:
    """The schedule of one epoch, drawn anew for each; centralized is UGS with one client."""
    at_once, _ = DRAWN_BY[config.sampler]
    return at_once(**_asked(config, clients, rng))


def draw_steps(config: Config, clients: Clients, rng: np.random.Generator) -> Steps:
    """The same, step by step."""
    _, one_by_one = DRAWN_BY[config.sampler]
    return one_by_one(**_asked(config, clients, rng))


def assigned(config: Config, clients: Clients) -> str:
    """Who brings the samples of class targets: what the config says, or what "auto" means here."""
    if config.assign != "auto":
        return config.assign
    is_planned = config.slack > 0 or bool(clients.sample_costs.any())
    return "planned" if is_planned else "slowest-first"


def _asked(config: Config, clients: Clients, rng: np.random.Generator) -> dict[str, Any]:
    """The arguments of the sampler."""
    counts, batch_size = clients.class_counts, {"batch_size": config.batch_size}
    sizes = {"sizes": counts.sum(axis=1)}
    if config.sampler in FIXED:
        return sizes | batch_size
    drawn = batch_size | {"rng": rng, "remainder": config.remainder}
    if config.sampler == "lds":
        lds = {"delta": config.delta, "concentration": config.concentration}
        return drawn | lds | {"class_counts": counts, "delays": clients.delays}
    if config.sampler in TARGETS:
        draw = "hypergeometric" if config.sampler == "targets" else "stratified"
        assign = assigned(config, clients)
        costs = clients.sample_costs if assign == "planned" else 0.0
        targets = {"draw": draw, "assign": assign, "slack": config.slack}
        known = {"class_counts": counts, "delays": clients.delays, "sample_costs": costs}
        return drawn | targets | known
    return drawn | sizes
