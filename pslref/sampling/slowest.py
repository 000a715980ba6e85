"""Slowest first: the fastest epoch that any schedule allows, and no sampler to train with."""

import numpy as np

from pslref import check
from pslref.check import ArrayLike
from pslref.sampling.schedule import Schedule, check_dense, tallied
from pslref.sampling.uniform import global_batch_sizes


def slowest_first(sizes: ArrayLike, delays: ArrayLike, batch_size: int) -> Schedule:
    """Line all samples up, those of the slowest client first, and cut the line into batches of B.

    The last batch is the short one. The schedule ignores what class a sample has, so its batches
    are as lopsided as the clients' data: it is no sampler to train with. It is the far end of
    what can be traded, deviation for time: no schedule of steps of at most B samples has a
    shorter epoch (`pslref.split.epoch_time_bound`). [derived] (method.md 5)

    Args:
        sizes: (K,) samples n_k of each client, whole numbers.
        delays: (K,) delay of each client, finite, 0 or more; equal ones keep the clients' order.
        batch_size: the global batch size B, 1 ≤ B ≤ N.
    """
    n = check.client_sizes("sizes", sizes)
    d = check.per_client("delays", delays, n.size)
    total = int(n.sum())
    check_dense(-(-total // check.integer("batch_size", batch_size, 1, total)), n.size)
    order = np.argsort(-d, kind="stable")
    line = np.repeat(order, n[order])
    return Schedule(tallied(line, global_batch_sizes(total, batch_size), n.size))
