"""Who brings the samples of each class to each step, when the steps' class counts are given."""

from collections.abc import Iterable

import numpy as np

from pslref.check import FloatArray, IntArray
from pslref.sampling.schedule import tallied


def at_random(
    class_targets: IntArray, class_counts: IntArray, rng: np.random.Generator
) -> IntArray:
    """Deal each class out in an order of its samples that is uniformly random: (T, K, M)."""
    clients = np.arange(len(class_counts))
    lines = (rng.permutation(np.repeat(clients, n_m)) for n_m in class_counts.T)
    return _dealt(class_targets, clients.size, lines)


def slowest_first_within_classes(
    class_targets: IntArray, class_counts: IntArray, delays: FloatArray
) -> IntArray:
    """Deal each class out from its slowest holder to its fastest; ties by number: (T, K, M).

    For every d, no assignment of these targets is sooner done with the clients of delay d or more,
    and yet it need not give the shortest epoch. [derived] (method.md 3.4)
    """
    order = np.argsort(-delays, kind="stable")
    lines = (np.repeat(order, n_m[order]) for n_m in class_counts.T)
    return _dealt(class_targets, order.size, lines)


def _dealt(class_targets: IntArray, num_clients: int, lines: Iterable[IntArray]) -> IntArray:
    """`lines` has a line of clients for each class, one for each sample; steps take in turn."""
    num_steps, num_classes = class_targets.shape
    local = np.empty((num_steps, num_clients, num_classes), np.int64)
    for m, line in enumerate(lines):
        local[:, :, m] = tallied(line, class_targets[:, m], num_clients)
    return local


def balanced(
    class_targets: IntArray, class_counts: IntArray, delays: FloatArray, sample_costs: FloatArray
) -> IntArray:
    """Let each step in turn end as soon as its targets and what is left allow: (T, K, M).

    The least time is the largest, over sets A of classes, of the (Σ_A c_m)-th smallest d_k + j s_k,
    over all k and j ≤ what client k has left of the classes in A. [derived] (method.md 3.4)
    """
    left = class_counts.copy()
    local = np.empty((len(class_targets), *left.shape), np.int64)
    for now, wanted in zip(local, class_targets, strict=True):
        now[:] = _soonest(wanted, left, delays, sample_costs)
        left -= now
    return local


def _soonest(
    wanted: IntArray, left: IntArray, delays: FloatArray, sample_costs: FloatArray
) -> IntArray:
    """(K, M) one step with class counts `wanted` that ends as soon as any.

    Tried first are all classes, and each alone, as A. While the flow from classes over clients to
    what these have time for falls short, its minimum cut names a set A that is worse.
    """
    # Here, since it takes longer to import than all else together.
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import breadth_first_order, maximum_flow

    def finishing_times(classes: IntArray) -> tuple[IntArray, FloatArray]:
        """The client of each sample of these classes, and when it would be done with it."""
        most = np.minimum(left[:, classes].sum(axis=1), wanted[classes].sum())
        clients = np.repeat(np.arange(len(left)), most)
        nth = np.arange(clients.size) - (most.cumsum() - most)[clients] + 1
        return clients, delays[clients] + nth * sample_costs[clients]

    def least_time(classes: IntArray) -> float:
        last = int(wanted[classes].sum()) - 1
        return float(np.partition(finishing_times(classes)[1], last)[last])

    num_clients, num_classes = left.shape
    everyone, times = finishing_times(np.arange(num_classes))
    classes = np.flatnonzero(wanted)
    time = max(map(least_time, [classes, *classes[:, np.newaxis]]))
    source, sink = num_clients + num_classes, num_clients + num_classes + 1
    k, m = np.nonzero(np.minimum(left, wanted))
    tails = np.concatenate([np.full(num_classes, source), num_clients + m, np.arange(num_clients)])
    heads = np.concatenate([num_clients + np.arange(num_classes), k, np.full(num_clients, sink)])
    ends = tails.astype(np.int32), heads.astype(np.int32)  # SciPy 1.14 takes no others
    while True:
        room = np.bincount(everyone[times <= time], minlength=num_clients)
        limits = np.concatenate([wanted, np.minimum(left, wanted)[k, m], room]).astype(np.int32)
        network = csr_array((limits, ends), shape=(sink + 1, sink + 1))
        flow = maximum_flow(network, source, sink)
        if flow.flow_value == wanted.sum():
            brought = np.zeros_like(left)
            brought[k, m] = flow.flow[num_clients + m, k]
            return brought
        residual = csr_array(network - flow.flow)
        residual.eliminate_zeros()
        reached = breadth_first_order(residual, source, return_predecessors=False)
        classes = reached[(reached >= num_clients) & (reached < source)] - num_clients
        time = least_time(classes)
