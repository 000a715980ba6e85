"""Deadlines that a step can have, and the room that clients have until then (method.md 5.1)."""

from typing import NamedTuple

import numpy as np

from pslref.check import FloatArray, IntArray

MOST_DEADLINES = 4000  # to choose from
MOST_ROOMS = 2**24  # clients times deadlines; of more clients, fewer deadlines
MOST_TIMES = 2**22  # of all clients together, from which deadlines are taken
MOST_CELLS = 1500  # pairs of client and class; of more, clients are put into groups
MOST_GROUPS = 400
ROUNDING = 1e-12  # what is late by this share is on time


class Deadlines(NamedTuple):
    """Deadlines, the room until then, and how soon a step can end that has no room before.

    Attributes:
        times: (Z,) z_j, ascending. Until the last there is room for everything.
        earliest: (Z,) what a step takes at least that the room of the deadline before is too small
            for.
        room: (G, Z) how many samples the clients of each group can bring together.
    """

    times: FloatArray
    earliest: FloatArray
    room: FloatArray


def deadlines(
    sizes: IntArray, of_group: IntArray, batch_size: int, delays: FloatArray, costs: FloatArray
) -> Deadlines:
    """All times that a step can take, or of too many some, for (K,) clients in groups."""
    most = np.minimum(sizes, batch_size)
    times = _times(most, delays, costs)
    room = np.zeros((int(of_group.max()) + 1, times.size))
    earliest = np.full(times.size, np.inf)
    for some in np.array_split(np.arange(sizes.size), 1 + sizes.size * times.size // MOST_ROOMS):
        d, s = delays[some], costs[some]
        own = np.minimum(rooms(times, d, s, batch_size), sizes[some, np.newaxis])
        before = np.concatenate([np.zeros((some.size, 1)), own[:, :-1]], axis=1)
        following = d[:, np.newaxis] + s[:, np.newaxis] * (before + 1)
        following[before >= most[some, np.newaxis]] = np.inf
        earliest = np.minimum(earliest, following.min(axis=0))
        np.add.at(room, of_group[some], own)
    return Deadlines(times, earliest, room)


def rooms(latest: FloatArray, delays: FloatArray, costs: FloatArray, batch_size: int) -> FloatArray:
    """(K, J) how many samples client k can bring to a step with deadline z_j, B at most."""
    left = latest * (1 + ROUNDING) - delays[:, np.newaxis]
    cost = costs[:, np.newaxis]
    several = np.floor(left / np.where(cost > 0, cost, 1.0))
    free = np.where(left >= 0, batch_size, 0)
    room: FloatArray = np.clip(np.where(cost > 0, several, free), 0, batch_size)
    return room


def spread(times: FloatArray, number: int) -> IntArray:
    """Places of some times, evenly spread in their logarithms."""
    least = max(times[0], 1e-9 * times[-1])
    if least == 0 or times.size <= number:
        return np.arange(times.size)
    places = np.searchsorted(times, np.geomspace(least, times[-1], number) * (1 - 1e-12))
    return np.unique(places.clip(0, times.size - 1))


def _times(most: IntArray, delays: FloatArray, costs: FloatArray) -> FloatArray:
    """Times d_k + i s_k that a step can take, ascending, the last among them; of too many some."""
    number = np.where(costs > 0, most, most > 0)
    stride = 1 + int(number.sum()) // MOST_TIMES
    number = -(-number // stride)
    clients = np.repeat(np.arange(most.size), number)
    nth = np.arange(clients.size) - (number.cumsum() - number)[clients] + 1
    nth = np.minimum(nth * stride, most[clients])
    times = np.unique(delays[clients] + nth * costs[clients])
    limit = max(64, min(MOST_DEADLINES, MOST_ROOMS // most.size))
    if times.size <= limit:
        return times
    evenly = np.linspace(0, times.size - 1, limit // 2).round().astype(int)
    some: FloatArray = times[np.union1d(evenly, spread(times, limit // 2))]
    return some


def similar(class_counts: IntArray, delays: FloatArray, costs: FloatArray) -> IntArray:
    """(K,) a number for each group of clients, of which few cells have many, alike in time."""
    num_clients, num_classes = class_counts.shape
    most = max(4, min(MOST_GROUPS, MOST_CELLS // num_classes))
    if num_clients <= most or np.count_nonzero(class_counts) <= MOST_CELLS:
        return np.arange(num_clients)
    times = delays + costs
    place = np.log(np.maximum(times, 1e-9 * times.max() or 1.0))
    edges = np.linspace(place.min(), place.max(), most, endpoint=False)
    groups: IntArray = np.unique(np.searchsorted(edges, place, side="right"), return_inverse=True)[
        1
    ]
    return groups
