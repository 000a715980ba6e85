"""The linear program of an epoch: how many steps of which deadline, and who brings what to them.

Its solution is a plan, `fluid`; its prices prove what no schedule can do, `least_time`.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from pslref.check import FloatArray, IntArray
from pslref.sampling.deadlines import ROUNDING, deadlines, rooms, similar, spread
from pslref.sampling.linear import Linear

PLANNED, BOUNDED, MORE = 16, 32, 16  # deadlines to begin with; added in each further round
FEW = 128  # times: all of them are deadlines, as where no sample takes time
BOUNDED_CELLS, PLANNED_CELLS = 1500, 4000  # pairs of client and class, if none are put together
NEAR = 0.005  # no further round where it cannot save more than this share
PLANNED_VARIABLES, BOUNDED_VARIABLES = 25_000, 60_000  # of all rounds but the last
# What a plan pays for a sample that its class mix has too many of, as a share of what a sample
# takes in the fastest line: so a mean Δ of 1 must save 5 % of that time.
PRICE = 0.1


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

    Of very many cells, similar clients count as one, and each brings its share.
    """
    program = _Program(class_counts, batch_size, delays, costs, slack, True)
    *_, best = program.rounds()
    used = np.flatnonzero(best.steps > 1e-9)[::-1]
    k, m = np.nonzero(class_counts)
    of_cell = np.full(program.counts.shape, -1)
    of_cell[program.k, program.m] = np.arange(program.k.size)
    group = program.of_group[k]
    share_of_pair = class_counts[k, m] / program.counts[group, m]
    supply = best.supply[used][:, of_cell[group, m]] * share_of_pair
    return Fluid(program.scale * program.times[best.chosen[used]], supply)


def least_time(
    class_counts: IntArray, batch_size: int, delays: FloatArray, costs: FloatArray, slack: float
) -> float:
    """What no schedule with B_t ≤ B and Δ_t ≤ slack takes less than. (method.md 5.1)

    Groups of clients forget who of them is slow, fewer where there are many classes. So of very
    many cells the larger of two bounds is taken, with all classes and with none.
    """
    tables = [class_counts] if slack < 2 else []
    if slack == 2 or np.count_nonzero(class_counts) > BOUNDED_CELLS:
        tables.append(class_counts.sum(axis=1, keepdims=True))
    return max(_proven(_Program(each, batch_size, delays, costs, slack, False)) for each in tables)


def _proven(program: "_Program") -> float:
    """What the prices of all rounds together prove, but for rounding by less than 1e-12."""
    from scipy.optimize import linprog  # here: it takes longer to import than all else together

    is_timed, rounds = program.earliest > 0, list(program.rounds())
    paid = np.array([found.paid for found in rounds])
    rate = np.array([found.worth[is_timed] for found in rounds]) / program.earliest[is_timed]
    # A sum of prices is a price too, and no step is worth more than the sum of what it is at each.
    solved = linprog(-paid, A_ub=rate.T, b_ub=np.ones(rate.shape[1]))
    share = np.zeros(paid.size) if solved.x is None else np.maximum(solved.x, 0)
    most = (share @ rate).max()
    return max(0.0, float(share @ paid / most * program.scale)) if most > 0 else 0.0


class _Solution(NamedTuple):
    """With (J,) chosen deadlines: (J,) steps, (J, P) samples, and what their prices say.

    That is, what an epoch pays, and (Z,) what a step of each deadline is worth at most.
    """

    chosen: IntArray
    steps: FloatArray
    supply: FloatArray
    paid: float
    worth: FloatArray


class _Program:
    """Minimise Σ_j r_j z_j over numbers of steps r_j and samples x_jkm. (method.md 3.4, 5.1)

    If `is_full`, all batches have B samples; otherwise at most, and there are ⌈N / B⌉ or more.
    """

    def __init__(
        self,
        class_counts: IntArray,
        batch_size: int,
        delays: FloatArray,
        costs: FloatArray,
        slack: float,
        is_full: bool,
    ) -> None:
        sizes = class_counts.sum(axis=1)
        most_cells = PLANNED_CELLS if is_full else BOUNDED_CELLS
        self.of_group = similar(class_counts, delays, costs, most_cells)
        times, earliest, self.room = deadlines(sizes, self.of_group, batch_size, delays, costs)
        self.scale = float(times[-1]) or 1.0
        some = 1e-30 * (earliest > 0)  # what takes any time is not free, however short it is
        self.times, self.earliest = times / self.scale, np.maximum(earliest / self.scale, some)
        self.counts = np.zeros((len(self.room), class_counts.shape[1]), np.int64)
        np.add.at(self.counts, self.of_group, class_counts)
        self.k, self.m = np.nonzero(self.counts)
        self.mix = self.counts.sum(axis=0) / self.counts.sum()
        self.size, self.slack, self.is_full = batch_size, slack, is_full
        self.has_excess = 0 < slack < 2 or (is_full and slack == 2)
        self.price = PRICE * float(sizes @ (delays + costs)) / sizes.sum() / batch_size / self.scale
        self.price *= is_full
        if is_full and len(self.room) < sizes.size:  # each brings its share, and must have room
            own = rooms(times, delays, costs, batch_size) / np.maximum(sizes, 1)[:, np.newaxis]
            self.room = np.ones_like(self.room)
            np.minimum.at(self.room, self.of_group[sizes > 0], own[sizes > 0])
            self.room *= self.counts.sum(axis=1)[:, np.newaxis]
        self.least_steps = -(-int(sizes.sum()) // batch_size)

    def rounds(self) -> Iterator[_Solution]:
        """With some deadlines, then with those more that the prices show to be worth it.

        Until they save little, or the programs get large.
        """
        times, limit = self.times, PLANNED_VARIABLES if self.is_full else BOUNDED_VARIABLES
        most = max(MORE, 2 * limit // self.k.size)
        number = min(PLANNED if self.is_full else BOUNDED, most)
        chosen = spread(times, FEW if times.size <= FEW else number)
        if self.is_full:  # as many in their order: where most clients are alike, so are their times
            in_order = np.linspace(0, times.size - 1, min(PLANNED, most)).astype(np.int64)
            chosen = np.union1d(chosen, in_order)
        variables = 0
        while True:
            found = self._solve(chosen)
            yield found
            variables += int(np.count_nonzero(self.room[self.k][:, chosen]))
            gain = found.worth - times
            if variables > limit or (gain <= NEAR * times).all():
                return
            after, before = np.append(gain[1:], -np.inf), np.append(-np.inf, gain[:-1])
            is_peak = (gain >= after) & (gain >= before)
            peaks = np.flatnonzero(is_peak & (gain > 1e-6 * found.worth))
            share = gain[peaks] / np.maximum(times[peaks], 1e-12)
            kept = chosen[(found.steps > 1e-9) | (gain[chosen] >= -0.02 * times[chosen])]
            more = np.union1d(kept, peaks[np.argsort(-share, kind="stable")[:MORE]])
            if np.isin(more, chosen).all():
                return
            chosen = more

    def _solve(self, chosen: IntArray) -> _Solution:
        room, size, num_classes = self.room[:, chosen], float(self.size), self.mix.size
        every, of_class = np.arange(chosen.size), np.arange(chosen.size * num_classes)
        j, p = np.nonzero(room[self.k].T > 0)
        linear = Linear()
        steps = linear.variables(chosen.size, self.times[chosen])
        x = linear.variables(j.size)
        over = linear.variables(of_class.size if self.has_excess else 0, self.price)
        full = steps if self.is_full else linear.variables(chosen.size)  # as many full batches

        linear.sums("samples", self.counts[self.k, self.m], (p, x, 1.0), equal=True)
        linear.sums("batches", 0 * every, (j, x, 1.0), (every, full, -size), equal=True)
        is_tight = (room > 0) & (room < size)  # otherwise there is room for a batch, or none
        row = np.cumsum(is_tight).reshape(room.shape) - 1
        here = is_tight[self.k[p], j]
        until = row[is_tight], steps[np.nonzero(is_tight)[1]], -room[is_tight]
        linear.sums("rooms", 0 * until[0], (row[self.k[p], j][here], x[here], 1.0), until)
        if self.slack < 2 or self.has_excess:
            fair = of_class, np.repeat(full, num_classes), -size * np.tile(self.mix, chosen.size)
            brought, above = (j * num_classes + self.m[p], x, 1.0), of_class[: over.size]
            linear.sums("mix", 0 * of_class, brought, fair, (above, over, -1.0))
            allowed = every, full, -self.slack / 2 * size
            linear.sums("slack", 0 * every, (above // num_classes, over, 1.0), allowed)
        if not self.is_full:
            linear.sums("full", 0 * every, (every, full, 1.0), (every, steps, -1.0))
            linear.sums("number", np.array([-self.least_steps]), (0 * every, steps, -1.0))
        values, price = linear.solve()

        supply = np.zeros((chosen.size, self.k.size))
        supply[j, p] = np.maximum(values[x], 0)
        prices, of_step = price["samples"], 0.0
        places = np.tile(-price["batches"], (num_classes, 1)).T
        if self.slack < 2 or self.has_excess:
            places -= price["mix"].reshape(places.shape)
        if not self.is_full and self.earliest[0] > 0:
            of_step = max(0.0, -float(price["number"][0]))
        elif not self.is_full:  # a step without time must be worth nothing, to the bit
            places[0] -= max(0.0, self._richest(places[0])) + ROUNDING * np.abs(places[0]).max()
            prices = np.where(room[self.k, 0] > 0, np.minimum(prices, places[0][self.m]), prices)
        held, worth = self.counts[self.k, self.m], self._worth(prices, places) + of_step
        paid = float((prices - ROUNDING * np.abs(prices)) @ held) + of_step * self.least_steps
        return _Solution(chosen, values[steps], supply, paid, worth)

    def _worth(self, prices: FloatArray, places: FloatArray) -> FloatArray:
        """(Z,) the most that the samples of a step are worth until each deadline.

        Whatever the prices b_m of places for a class, a sample of client k is worth no more than
        b_m + max_m (π_km − b_m)⁺: a bound for each of the rows `places`, of which the least counts.
        """
        of_pair = np.full(self.counts.shape, -np.inf)
        of_pair[self.k, self.m] = prices
        least = np.full(self.times.size, np.inf)
        for b in places:
            of_client = np.maximum(of_pair - b, 0).max(axis=1)
            # A batch need not be full; the last term is for the rounding of mix and slack.
            of_batch = self._richest(b) if self.is_full else max(0.0, self._richest(b))
            of_batch += ROUNDING * np.abs(b).max()
            least = np.minimum(least, of_client @ self.room + self.size * of_batch)
        return least

    def _richest(self, b: FloatArray) -> float:
        """The largest Σ_m q_m b_m of a class mix q within the slack."""
        present = np.flatnonzero(self.mix)
        order = present[np.argsort(b[present])]
        mix, moved = self.mix[order].copy(), 0.0
        for i in np.flatnonzero(b[order[-1]] - b[order] > self.price):
            given = min(mix[i], self.slack / 2 - moved)
            mix[i], moved = mix[i] - given, moved + given
        mix[-1] += moved
        return float(mix @ b[order] - self.price * moved)
