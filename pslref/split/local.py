"""The samples of each step, for a training loop of another framework."""

from collections.abc import Iterator

import numpy as np

from pslref import check
from pslref.check import IntArray
from pslref.partition import Partition
from pslref.sampling import Schedule, Steps
from pslref.sampling.walks import check_covers, demanded
from pslref.split.client import Samples


def local_batches(
    schedule: Schedule | Steps, partition: Partition, rng: np.random.Generator
) -> Iterator[list[tuple[int, IntArray]]]:
    """One epoch: for each step the participants, ascending, each with the samples it brings.

    Every client shuffles its samples with each call, and hands none out twice; where the schedule
    prescribes classes, the next of each. A `Simulation` draws the same. (method.md 1)

    Args:
        schedule: how many samples each client brings to each step.
        partition: who holds which samples.
        rng: one independent stream is spawned from it for each client's shuffle.

    Returns:
        An iterator of steps, each a list of (client, indices): a number from 0, and (b_tk,) int64
        indices into all N samples.

    >>> from pslref import partition, sampling
    >>> held = partition.Partition([[0, 1, 2], [3]], labels=[0, 0, 1, 1])
    >>> schedule = sampling.Schedule([[2, 0], [1, 1]])
    >>> rng = np.random.Generator(np.random.PCG64(0))
    >>> for step in local_batches(schedule, held, rng):
    ...     print([(client, indices.tolist()) for client, indices in step])
    [(0, [0, 1])]
    [(0, [2]), (1, [3])]
    """
    check.generator("rng", rng)
    check.kind("partition", partition, Partition)
    check_covers(schedule, partition.class_counts)
    streams = rng.spawn(partition.num_clients)
    held = [
        Samples(k, partition.labels, indices, stream)
        for k, (indices, stream) in enumerate(zip(partition.indices, streams, strict=True))
    ]
    return (
        [(k, held[k].draw(asked)) for k, asked in zip(clients.tolist(), counts, strict=True)]
        for clients, counts in demanded(schedule)
    )
