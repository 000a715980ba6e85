"""Deadlines that a step can have, and the room that clients have until then (method.md 5.1)."""

import numpy as np

from pslref.check import FloatArray, IntArray

MOST_DEADLINES = 4000  # to choose from
MOST_ROOMS = 2**24  # clients times deadlines; of more clients, fewer deadlines
MOST_TIMES = 2**22  # of all clients together, of which some are deadlines
MOST_GROUPS = 400  # of clients, where there are too many pairs of client and class
ROUNDING = 1e-12  # what is late by this share is on time


def deadlines(
    sizes: IntArray, of_group: IntArray, batch_size: int, delays: FloatArray, costs: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """All times that a step can take, or of too many some.

    Returns:
        (Z,) z_j, ascending; until the last there is room for everything. (Z,) what a step takes at
        least that has not enough room until z_(j − 1). (G, Z) the room of each group's clients.
    """
    most = np.minimum(sizes, batch_size)
    times = _times(most, delays, costs)
    room = np.zeros((int(of_group.max()) + 1, times.size))
    earliest = np.full(times.size, np.inf)
    for some in np.array_split(np.arange(sizes.size), 1 + sizes.size * times.size // MOST_ROOMS):
        d, s = delays[some], costs[some]
        own = np.minimum(rooms(times, d, s, batch_size), sizes[some, np.newaxis])
        np.add.at(room, of_group[some], own)
        before = np.concatenate([np.zeros((some.size, 1)), own[:, :-1]], axis=1)
        one_more = d[:, np.newaxis] + s[:, np.newaxis] * (before + 1)
        one_more[before >= most[some, np.newaxis]] = np.inf
        earliest = np.minimum(earliest, one_more.min(axis=0))
    return times, earliest, room


def rooms(latest: FloatArray, delays: FloatArray, costs: FloatArray, batch_size: int) -> FloatArray:
    """(K, J) how many samples client k can bring to a step with deadline z_j, B at most."""
    left = latest * (1 + ROUNDING) - delays[:, np.newaxis]
    cost = costs[:, np.newaxis]
    several = np.floor(left / np.where(cost > 0, cost, 1.0))
    free = np.where(left >= 0, batch_size, 0)
    room: FloatArray = np.clip(np.where(cost > 0, several, free), 0, batch_size)
    return room


def spread(times: FloatArray, number: int) -> IntArray:
    """Places of some times, evenly spread in their logarithms, with the first and the last."""
    if times.size <= number:
        return np.arange(times.size)
    wanted = np.geomspace(max(times[0], 1e-9 * times[-1]), times[-1], number)
    return np.unique(np.append(np.searchsorted(times, wanted[:-1]), [0, times.size - 1]))


def similar(
    class_counts: IntArray, delays: FloatArray, costs: FloatArray, most_cells: int
) -> IntArray:
    """(K,) the number of each client's group; one for each, or groups of clients alike in time."""
    num_clients, num_classes = class_counts.shape
    most = max(4, min(MOST_GROUPS, most_cells // num_classes))
    if num_clients <= most or np.count_nonzero(class_counts) <= most_cells:
        return np.arange(num_clients)
    times = delays + costs
    place = np.log(np.maximum(times, 1e-9 * times.max() or 1.0))
    half = np.linspace(0, 1, most // 2, endpoint=False)  # of the edges, by time and by rank
    edges = [place.min() + half * np.ptp(place), np.quantile(place, half)]
    of_edge = np.searchsorted(np.unique(edges), place, side="right")
    groups: IntArray = np.unique(of_edge, return_inverse=True)[1]
    return groups


def _times(most: IntArray, delays: FloatArray, costs: FloatArray) -> FloatArray:
    """Times d_k + i s_k that a step can take, ascending, the last among them; of too many some."""
    number = np.where(costs > 0, most, most > 0)
    stride = 1 + int(number.sum()) // MOST_TIMES
    number = -(-number // stride)
    clients = np.repeat(np.arange(most.size), number)
    nth = stride * (np.arange(clients.size) - (number.cumsum() - number)[clients] + 1)
    times = np.unique(delays[clients] + np.minimum(nth, most[clients]) * costs[clients])
    some: FloatArray = times[spread(times, max(64, min(MOST_DEADLINES, MOST_ROOMS // most.size)))]
    return some
