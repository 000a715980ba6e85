"""The linear program of an epoch: how many steps of which deadline, and who brings what to them.

Its solution is a plan, `fluid`; its prices prove what no schedule can do, `least_time`.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from pslref.check import FloatArray, IntArray
from pslref.sampling.deadlines import MOST_CELLS, ROUNDING, deadlines, similar, spread

FEWEST, FIRST, MORE = 24, 64, 16  # deadlines to begin with, and added in each further round
NEAR = 0.005  # no further round where it cannot save more than this share
MOST_VARIABLES = 25_000  # of all rounds but the last


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
    program = _Program(class_counts, batch_size, delays, costs, slack, is_full=True)
    *_, best = program.rounds()
    used = np.flatnonzero(best.steps > 1e-9)[::-1]
    k, m = np.nonzero(class_counts)
    of_cell = np.full(program.counts.shape, -1)
    of_cell[program.k, program.m] = np.arange(program.k.size)
    group = program.of_group[k]
    share_of_pair = class_counts[k, m] / program.counts[group, m]
    supply = best.supply[used][:, of_cell[group, m]] * share_of_pair
    return Fluid(program.grid.times[best.chosen[used]], supply)


def least_time(
    class_counts: IntArray, batch_size: int, delays: FloatArray, costs: FloatArray, slack: float
) -> float:
    """What no schedule with B_t ≤ B and Δ_t ≤ slack takes less than. (method.md 5.1)

    Groups of clients forget who of them is slow, fewer where there are many classes. So of very
    many cells the larger of two bounds is taken, with all classes and with none.
    """
    one_class = class_counts.sum(axis=1, keepdims=True)
    with_classes = [class_counts] if slack < 2 else []
    if slack == 2 or np.count_nonzero(class_counts) > MOST_CELLS:
        with_classes.append(one_class)
    return max(
        _proven(_Program(counts, batch_size, delays, costs, slack, is_full=False))
        for counts in with_classes
    )


def _proven(program: "_Program") -> float:
    """What the prices of all rounds together prove, but for rounding by less than 1e-12."""
    from scipy.optimize import linprog  # here: it takes longer to import than all else together

    earliest, held = program.earliest, program.counts[program.k, program.m]
    is_timed = earliest > 0
    paid, rates = [], []
    for found in program.rounds():
        lost = ROUNDING * float(np.abs(found.prices) @ held)
        paid.append(found.prices @ held - lost + found.of_step * program.least_steps)
        rates.append(found.worth[is_timed] / earliest[is_timed])
    # A sum of prices is a price too, and no step is worth more than the sum of what it is at each.
    rate = np.array(rates)
    solved = linprog(-np.array(paid), A_ub=rate.T, b_ub=np.ones(rate.shape[1]))
    share = np.zeros(len(paid)) if solved.x is None else np.maximum(solved.x, 0)
    most = (share @ rate).max()
    return max(0.0, float(share @ paid / most * program.scale)) if most > 0 else 0.0


class _Solution(NamedTuple):
    """With chosen deadlines: (J,) steps, (J, P) samples; the prices of samples, and of a step.

    And (Z,) what a step of each deadline is worth at most at these prices.
    """

    chosen: IntArray
    steps: FloatArray
    supply: FloatArray
    prices: FloatArray
    of_step: float
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
        *,
        is_full: bool,
    ) -> None:
        self.of_group = similar(class_counts, delays, costs)
        sizes = class_counts.sum(axis=1)
        self.grid = deadlines(sizes, self.of_group, batch_size, delays, costs)
        self.counts = np.zeros((len(self.grid.room), class_counts.shape[1]), np.int64)
        np.add.at(self.counts, self.of_group, class_counts)
        self.k, self.m = np.nonzero(self.counts)
        self.size, self.slack, self.is_full = batch_size, slack, is_full
        self.mix = self.counts.sum(axis=0) / self.counts.sum()
        self.least_steps = -(-int(sizes.sum()) // batch_size)
        self.scale = float(self.grid.times[-1]) or 1.0
        self.times, self.earliest = self.grid.times / self.scale, self.grid.earliest / self.scale

    def rounds(self) -> Iterator[_Solution]:
        """With a few deadlines, then with those more that the prices show to be worth it.

        Until they save little, or the programs get large.
        """
        times = self.times
        first = min(FIRST, max(FEWEST, 2 * MOST_VARIABLES // self.k.size))
        chosen = np.unique(np.append(spread(times, first), [0, times.size - 1]))
        variables = 0
        while True:
            found = self._solve(chosen)
            yield found
            variables += int(np.count_nonzero(self.grid.room[self.k][:, chosen]))
            gain = found.worth - times
            if variables > MOST_VARIABLES or (gain <= NEAR * times).all():
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
        room, size, num_classes = self.grid.room[:, chosen], float(self.size), self.mix.size
        every, of_class = np.arange(chosen.size), np.arange(chosen.size * num_classes)
        j, p = np.nonzero(room[self.k].T > 0)
        linear = _Linear()
        steps = linear.variables(self.times[chosen])
        x = linear.variables(np.zeros(j.size))
        over = linear.variables(np.zeros(of_class.size if 0 < self.slack < 2 else 0))
        full = steps if self.is_full else linear.variables(np.zeros(chosen.size))

        linear.equal("samples", self.counts[self.k, self.m], (p, x, 1.0))
        linear.equal("batches", 0 * every, (j, x, 1.0), (every, full, -size))
        limited = (room > 0) & (room < size)
        number = np.cumsum(limited).reshape(room.shape) - 1
        here = limited[self.k[p], j]
        of_room = number[limited], steps[np.nonzero(limited)[1]], -room[limited]
        linear.at_most("rooms", 0 * of_room[0], (number[self.k[p], j][here], x[here], 1.0), of_room)
        if self.slack < 2:
            fair = of_class, np.repeat(full, num_classes), -size * np.tile(self.mix, chosen.size)
            brought = j * num_classes + self.m[p], x, 1.0
            linear.at_most("mix", 0 * of_class, brought, fair, (of_class[: over.size], over, -1.0))
            together = of_class[: over.size] // num_classes, over, 1.0
            linear.at_most("over", 0 * every, together, (every, full, -self.slack / 2 * size))
        if not self.is_full:
            linear.at_most("full", 0 * every, (every, full, 1.0), (every, steps, -1.0))
            linear.at_most("number", np.array([-self.least_steps]), (0 * every, steps, -1.0))
        values, price = linear.solve()

        supply = np.zeros((chosen.size, self.k.size))
        supply[j, p] = np.maximum(values[x], 0)
        places = -np.repeat(price["batches"][:, np.newaxis], num_classes, axis=1)
        if self.slack < 2:
            places = places - price["mix"].reshape(places.shape)
        prices = price["samples"]
        of_step = 0.0 if self.is_full else max(0.0, -float(price["number"][0]))
        if self.earliest[0] == 0:  # a step without time must be worth nothing, to the bit
            of_step = 0.0
            places[0] -= max(0.0, self._richest(places[0])) + ROUNDING * np.abs(places[0]).max()
            free = room[self.k, 0] > 0
            prices = np.where(free, np.minimum(prices, places[0][self.m]), prices)
        worth = self._worth(prices, places) + of_step
        return _Solution(chosen, values[steps], supply, prices, of_step, worth)

    def _worth(self, prices: FloatArray, places: FloatArray) -> FloatArray:
        """(Z,) the most that a step of each deadline is worth, at prices of its samples.

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
            least = np.minimum(least, of_client @ self.grid.room + self.size * of_batch)
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


Term = tuple[IntArray, IntArray, FloatArray | float]


class _Linear:
    """Minimise a sum of costs over variables of 0 or more, of which some sums are bounded."""

    def __init__(self) -> None:
        self.costs = np.zeros(0)
        self.sums: dict[str, dict[str, tuple[IntArray, tuple[Term, ...]]]] = {"eq": {}, "ub": {}}

    def variables(self, costs: FloatArray) -> IntArray:
        """The numbers of as many variables more."""
        self.costs = np.append(self.costs, costs)
        return np.arange(self.costs.size - costs.size, self.costs.size)

    def equal(self, name: str, needs: IntArray, *terms: Term) -> None:
        """Sums that equal `needs`: each term is rows, variables and factors."""
        self.sums["eq"][name] = needs, terms

    def at_most(self, name: str, needs: IntArray, *terms: Term) -> None:
        """Sums of at most `needs`."""
        self.sums["ub"][name] = needs, terms

    def solve(self) -> tuple[FloatArray, dict[str, FloatArray]]:
        """The variables, and the prices of the sums: what one more costs."""
        # Here, since they take longer to import than all else together.
        from scipy.optimize import linprog
        from scipy.sparse import csr_array, vstack

        given: dict[str, Any] = {}
        for kind, sums in self.sums.items():
            blocks = []
            for needs, terms in sums.values():
                places = [np.concatenate([term[i] for term in terms]) for i in (0, 1)]
                factors = [np.broadcast_to(factor, rows.shape) for rows, _, factor in terms]
                shape = needs.size, self.costs.size
                blocks.append(csr_array((np.concatenate(factors), tuple(places)), shape=shape))
            given[f"A_{kind}"] = vstack(blocks).tocsr()
            given[f"b_{kind}"] = np.concatenate([needs for needs, _ in sums.values()]).astype(float)
        for method in ("highs-ipm", "highs-ds"):
            solved = linprog(self.costs, **given, method=method)
            if solved.x is not None:
                break
        else:
            raise ArithmeticError(f"the linear program of the epoch: {solved.message}")
        price: dict[str, FloatArray] = {}
        for kind, found in (("eq", solved.eqlin), ("ub", solved.ineqlin)):
            ends = np.cumsum([needs.size for needs, _ in self.sums[kind].values()])
            price |= zip(self.sums[kind], np.split(found.marginals, ends[:-1]), strict=True)
        return solved.x, price
