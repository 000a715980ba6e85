"""Real clients: each holds labelled samples, shuffles them, and hands out its next b_tk."""

from collections.abc import Callable, Iterator

import numpy as np

# (labels of one client, number of epochs, rng) -> its local order in each epoch, (epochs, n_k)
LocalOrder = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]


def shuffled(labels: np.ndarray, epochs: int, rng: np.random.Generator) -> np.ndarray:
    return rng.permuted(np.tile(labels, (epochs, 1)), axis=1)


def handed_out(
    batch_sizes: np.ndarray,
    class_counts: np.ndarray,
    rng: np.random.Generator,
    local_order: LocalOrder = shuffled,
) -> np.ndarray:
    """Measured class counts (epochs, T, M) for local batch sizes (epochs, T, K)."""
    epochs, num_classes = len(batch_sizes), class_counts.shape[1]
    counts = np.zeros((*batch_sizes.shape[:2], num_classes), np.int64)
    for k, of_class in enumerate(class_counts):
        order = local_order(np.repeat(np.arange(num_classes), of_class), epochs, rng)
        counts += blocks(order, batch_sizes[:, :, k], num_classes)
    return counts


def blocks(order: np.ndarray, batch_sizes: np.ndarray, num_classes: int) -> np.ndarray:
    """Classes in consecutive runs of each order (R, n): (R, T, M) for sizes (R, T)."""
    so_far = np.zeros((len(order), order.shape[1] + 1, num_classes), np.int64)
    so_far[:, 1:] = (order[:, :, None] == np.arange(num_classes)).cumsum(axis=1)
    at_end = np.take_along_axis(so_far, batch_sizes.cumsum(axis=1)[:, :, None], axis=1)
    return np.diff(at_end, axis=1, prepend=0)


def every_order(counts: list[int]) -> Iterator[tuple[int, ...]]:
    """All different orders of counts[0] zeros, counts[1] ones, ...; each is equally likely."""
    if not any(counts):
        yield ()
    for value, left in enumerate(counts):
        if left:
            rest = [*counts[:value], left - 1, *counts[value + 1 :]]
            yield from ((value, *order) for order in every_order(rest))


def every_outcome(batch_sizes: np.ndarray, class_counts: np.ndarray) -> np.ndarray:
    """(R, T, M): the class counts of a (T, K) schedule for every way that clients may shuffle."""
    num_steps, num_classes = len(batch_sizes), class_counts.shape[1]
    outcomes = np.zeros((1, num_steps, num_classes), np.int64)
    for k, of_class in enumerate(class_counts.tolist()):
        orders = np.array(list(every_order(of_class)), np.int64)
        own = blocks(orders, np.tile(batch_sizes[:, k], (len(orders), 1)), num_classes)
        outcomes = (outcomes[:, None] + own).reshape(-1, num_steps, num_classes)
    return outcomes
