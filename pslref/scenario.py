"""What a config means: its data, its clients, its network, and the schedules of its sampler."""

import numpy as np

from pslref import data, nn, partition, sampling
from pslref.check import FloatArray, IntArray
from pslref.config import Config
from pslref.data import Dataset
from pslref.partition import Partition
from pslref.sampling import Schedule
from pslref.split import straggler_delays

# One random stream each; a new purpose comes last, so that the others' streams stay.
PURPOSES = ("partition", "weights", "schedule", "clients", "delays", "faults")


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
