"""How many steps of which deadline an epoch has, and who brings what to them: a linear program."""

from typing import Any, NamedTuple

import numpy as np

from pslref.check import FloatArray, IntArray

MOST_DEADLINES = 4000  # to choose from
FIRST, MORE = 24, 16  # deadlines to begin with, and added in each further round
NEAR = 0.005  # no further round where it cannot save more than this share
MOST_VARIABLES = 25_000  # of all rounds but the last
MOST_CELLS = 1500  # clients times classes; of more, similar clients are one


class Fluid(NamedTuple):
    """An epoch whose steps and samples can be divided, in the order of its deadlines.

    Attributes:
        deadlines: (J,) z_j, the longest first.
        supply: (J, P) how many samples of each pair of client and class come until z_j.
    """

    deadlines: FloatArray
    supply: FloatArray


def fluid(
    class_counts: IntArray, batch_size: int, delays: FloatArray, costs: FloatArray, slack: float
) -> Fluid:
    """The fastest epoch of full batches whose class mix is within `slack`. (method.md 3.4)

    It begins with a few deadlines, and adds those that the prices of the samples show to be worth
    it, until they save little. Of very many cells, similar clients count as one, and each brings
    its share.
    """
    k, m = np.nonzero(class_counts)
    of_group = _similar(class_counts, delays, costs)
    num_groups = int(of_group.max()) + 1
    counts = np.zeros((num_groups, class_counts.shape[1]), np.int64)
    np.add.at(counts, of_group, class_counts)
    times = _times(class_counts.sum(axis=1), batch_size, delays, costs)
    own = np.minimum(rooms(times, delays, costs, batch_size), class_counts.sum(axis=1)[:, None])
    room = np.zeros((num_groups, times.size))
    np.add.at(room, of_group, own)
    scale = float(times[-1]) or 1.0
    program = _Program(counts, batch_size, times / scale, room, slack)
    chosen = np.unique(np.append(_spread(times, FIRST), [0, times.size - 1]))
    variables = 0
    while True:
        steps, supply, value = program.solve(chosen)
        variables += int(np.count_nonzero(room[program.k][:, chosen]))
        gain = value - times / scale
        if variables > MOST_VARIABLES or (gain <= NEAR * times / scale).all():
            break
        is_peak = (gain >= np.append(gain[1:], -np.inf)) & (gain >= np.append(-np.inf, gain[:-1]))
        worth = np.flatnonzero(is_peak & (gain > 1e-6 * value))
        share = gain[worth] / np.maximum(times[worth] / scale, 1e-12)
        kept = chosen[(steps > 1e-9) | (gain[chosen] > -0.02 * times[chosen] / scale)]
        more = np.union1d(kept, worth[np.argsort(-share, kind="stable")[:MORE]])
        if np.isin(more, chosen).all():
            break
        chosen = more
    used = np.flatnonzero(steps > 1e-9)[::-1]
    cell = np.full(counts.shape, -1)
    cell[np.nonzero(counts)] = np.arange(np.count_nonzero(counts))
    share_of_pair = class_counts[k, m] / counts[of_group[k], m]
    return Fluid(times[chosen[used]], supply[used][:, cell[of_group[k], m]] * share_of_pair)


def rooms(latest: FloatArray, delays: FloatArray, costs: FloatArray, batch_size: int) -> FloatArray:
    """(K, J) how many samples client k can bring to a step with deadline z_j, B at most."""
    left = latest - delays[:, np.newaxis]
    slow = np.where(costs > 0, costs, 1.0)[:, np.newaxis]
    # What is on time but for rounding counts.
    several = np.floor(left / slow * (1 + 1e-9) + 1e-9)
    free = np.where(left >= -1e-12 * latest, batch_size, 0)
    room: FloatArray = np.where(costs[:, np.newaxis] > 0, several, free)
    return np.clip(room, 0, batch_size)


def _times(sizes: IntArray, batch_size: int, delays: FloatArray, costs: FloatArray) -> FloatArray:
    """Times d_k + i s_k that a step can take, ascending; of too many some."""
    most = np.where(costs > 0, np.minimum(sizes, batch_size), 1) * (sizes > 0)
    clients = np.repeat(np.arange(sizes.size), most)
    nth = np.arange(clients.size) - (most.cumsum() - most)[clients] + 1
    times = np.unique(delays[clients] + nth * costs[clients])
    if times.size <= MOST_DEADLINES:
        return times
    evenly = np.linspace(0, times.size - 1, MOST_DEADLINES // 2).round().astype(int)
    some: FloatArray = times[np.union1d(evenly, _spread(times, MOST_DEADLINES // 2))]
    return some


def _spread(times: FloatArray, number: int) -> IntArray:
    """Places of some times, evenly spread in their logarithms and, one in two, in their order."""
    least = max(times[0], 1e-9 * times[-1])
    if least == 0 or times.size <= number:
        return np.arange(times.size)
    places = np.searchsorted(times, np.geomspace(least, times[-1], number) * (1 - 1e-12))
    return np.unique(places.clip(0, times.size - 1))


def _similar(class_counts: IntArray, delays: FloatArray, costs: FloatArray) -> IntArray:
    """(K,) a number for each group of clients that are alike in time and in size."""
    num_clients, num_classes = class_counts.shape
    most = max(4, MOST_CELLS // num_classes)
    if num_clients <= most or np.count_nonzero(class_counts) <= MOST_CELLS:
        return np.arange(num_clients)
    sizes = class_counts.sum(axis=1)
    by_size = int(np.ceil(most**0.5 / 2))
    by_time = most // by_size
    order = np.argsort(delays + costs, kind="stable")
    groups = np.empty(num_clients, np.int64)
    for i, some in enumerate(np.array_split(order, by_time)):
        ordered = some[np.argsort(sizes[some], kind="stable")]
        for j, alike in enumerate(np.array_split(ordered, by_size)):
            groups[alike] = i * by_size + j
    return groups


class _Program:
    """Minimise Σ_j r_j z_j over steps r_j and samples x_jkm of full batches. (method.md 3.4)"""

    def __init__(
        self, counts: IntArray, batch_size: int, times: FloatArray, room: FloatArray, slack: float
    ) -> None:
        self.counts, self.size, self.times, self.room = counts, batch_size, times, room
        self.slack, self.mix = slack, counts.sum(axis=0) / counts.sum()
        self.k, self.m = np.nonzero(counts)

    def solve(self, chosen: IntArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """With these deadlines: (J,) steps, (J, P) samples; (Z,) what a step is worth."""
        # Here, since they take longer to import than all else together.
        from scipy.optimize import linprog
        from scipy.sparse import csr_array, vstack

        num_classes, size = self.mix.size, self.size
        room, num = self.room[:, chosen], chosen.size
        j, p = np.nonzero(room[self.k].T > 0)
        x = num + np.arange(j.size)  # the numbers of the variables; those of r_j are 0 ... J − 1
        of_class = np.arange(num * num_classes)  # the rows of deadline and class
        excess = x.size + num + of_class[: of_class.size if 0 < self.slack < 2 else 0]
        width = num + x.size + excess.size

        def rows(*terms: tuple[IntArray, IntArray, FloatArray | float], number: int) -> Any:
            row, column, value = zip(*terms, strict=True)
            ends = [np.concatenate(each).astype(np.int32) for each in (row, column)]
            values = [np.broadcast_to(v, r.shape) for v, r in zip(value, row, strict=True)]
            return csr_array((np.concatenate(values), tuple(ends)), shape=(number, width))

        every = np.arange(num)
        tight = (room > 0) & (room < size)
        number = np.full(room.shape, -1)
        number[tight] = np.arange(np.count_nonzero(tight))
        in_room = number[self.k[p], j]
        held = in_room >= 0
        equal: Any = vstack([
            rows((p, x, 1.0), number=self.k.size),  # every sample once
            rows((j, x, 1.0), (every, every, -float(size)), number=num),  # full batches
        ])  # fmt: skip
        below = [
            rows(
                (in_room[held], x[held], 1.0),
                (number[tight], np.nonzero(tight)[1], -room[tight]),
                number=int(np.count_nonzero(tight)),
            )
        ]
        if self.slack < 2:
            fair = np.tile(-size * self.mix, num)
            brought = (j * num_classes + self.m[p], x, 1.0)
            over = (of_class[: excess.size], excess, -1.0)
            allowed = (of_class, of_class // num_classes, fair)
            below.append(rows(brought, allowed, over, number=of_class.size))
        if excess.size:
            half = -self.slack / 2 * size
            together = (of_class // num_classes, excess, 1.0), (every, every, half)
            below.append(rows(*together, number=num))
        limits: Any = vstack(below)
        costs = np.zeros(width)
        costs[:num] = self.times[chosen]
        needs = np.append(self.counts[self.k, self.m], np.zeros(num)).astype(np.float64)
        solved = linprog(
            costs,
            A_ub=limits.tocsr(),
            b_ub=np.zeros(limits.shape[0]),
            A_eq=equal.tocsr(),
            b_eq=needs,
            method="highs-ipm",
        )
        if solved.x is None:
            raise ArithmeticError(f"the linear program of the epoch: {solved.message}")
        supply = np.zeros((num, self.k.size))
        supply[j, p] = np.maximum(solved.x[x], 0)
        prices, of_batch = np.split(solved.eqlin.marginals, [self.k.size])
        wanted = np.repeat(-of_batch[:, np.newaxis], num_classes, axis=1)
        if self.slack < 2:
            first = np.count_nonzero(tight)
            of_mix = solved.ineqlin.marginals[first : first + of_class.size]
            wanted = wanted - of_mix.reshape(num, num_classes)
        return solved.x[:num], supply, self._value(prices, wanted)

    def _value(self, prices: FloatArray, wanted: FloatArray) -> FloatArray:
        """(Z,) the most that a full step of each deadline is worth, at prices of its samples.

        Whatever the prices b_m of places for a class, a sample of client k is worth no more than
        b_m + max_m (π_km − b_m)⁺: a bound for each of the rows `wanted`, of which the least counts.
        """
        of_pair = np.full(self.counts.shape, -np.inf)
        of_pair[self.k, self.m] = prices
        least = np.full(self.times.size, np.inf)
        for b in wanted:
            of_client = np.maximum(of_pair - b, 0).max(axis=1)
            least = np.minimum(least, of_client @ self.room + self.size * self._richest(b))
        return least

    def _richest(self, b: FloatArray) -> float:
        """The largest Σ_m q_m b_m of a class mix q within the slack."""
        present = np.flatnonzero(self.mix)
        order = present[np.argsort(b[present])]
        mix, moved = self.mix[order].copy(), 0.0
        for i in range(order.size - 1):
            given = min(mix[i], self.slack / 2 - moved)
            mix[i], moved = mix[i] - given, moved + given
        mix[-1] += moved
        return float(mix @ b[order])
