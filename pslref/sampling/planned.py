"""The epoch planned as a whole: deadlines, the classes of its steps, then who brings them."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from pslref.check import FloatArray, IntArray
from pslref.sampling.deadlines import rooms
from pslref.sampling.program import Fluid, fluid
from pslref.sampling.schedule import Walk

MOST_PLANNED = 10**9 - 1  # samples, of which NumPy draws
WHOLE, EXACT = 1e-2, 1e-6  # of a sample: tolerances of the program, and of arithmetic
DRAWN = (1.0, 0.5, 0.25)  # of the way from the mix to what was drawn, tried in turn
NEAR = tuple(2**i - 1 for i in range(12))  # samples away from the program, tried in turn
LATE = tuple(0.003 * 1.5**i for i in range(18))  # shares of a deadline, tried in turn


class Bounds(NamedTuple):
    """Of whole numbers: the least and the most of each."""

    low: IntArray
    high: IntArray


class Part(NamedTuple):
    """Steps from `first` until before `last`, and what they use up, (P,) of some pairs."""

    first: int
    last: int
    pairs: IntArray
    held: IntArray


class Trial(NamedTuple):
    """What a flow may bring: (P,) at most of each pair, and of each client and class in all."""

    most: IntArray
    of_client: Bounds
    of_class: Bounds


def planned_steps(
    class_counts: IntArray,
    batches: IntArray,
    delays: FloatArray,
    costs: FloatArray,
    slack: float,
    rng: np.random.Generator,
    *,
    is_drawn: bool,
) -> Walk:
    """The steps of an epoch planned as a whole: participants, and what they bring by class, (P, M).

    The linear program has steps and samples that can be divided. Cut into whole steps, those of one
    deadline are a group. The epoch is parted in two, between groups if there are several, and each
    part again, until all are steps. A flow says what comes to the first part. (method.md 3.4)
    """
    best = fluid(class_counts, int(batches.max()), delays, costs, slack)
    epoch = _Epoch(class_counts, batches, delays, costs, best, rng, is_drawn)
    yield from epoch.steps(Part(0, batches.size, np.arange(epoch.counts.size), epoch.counts))


class _Epoch:
    """T steps in G groups of one deadline each, and the pairs of client and class with samples."""

    def __init__(
        self,
        class_counts: IntArray,
        batches: IntArray,
        delays: FloatArray,
        costs: FloatArray,
        best: Fluid,
        rng: np.random.Generator,
        is_drawn: bool,
    ) -> None:
        self.clients, self.classes = np.nonzero(class_counts)
        self.counts = class_counts[self.clients, self.classes]
        self.num_classes = class_counts.shape[1]
        self.batches, self.delays, self.costs = batches, delays, costs
        self.rng, self.is_drawn = rng, is_drawn
        self.firsts, self.deadlines, self.shares = _cut(best, batches, self.counts)
        of_class = [np.bincount(self.classes, share, self.num_classes) for share in self.shares]
        self.totals = _rounded(np.array(of_class), np.add.reduceat(batches, self.firsts), rng)
        self.of_step = np.searchsorted(self.firsts, np.arange(batches.size), side="right") - 1

    def steps(self, part: Part) -> Walk:
        """The steps of a part of the epoch."""
        first, last, pairs, held = part
        who, clients = np.unique(self.clients[pairs], return_inverse=True)
        classes = self.classes[pairs]
        if last - first == 1:
            table = np.zeros((who.size, self.num_classes), np.int64)
            table[clients, classes] = held
            yield who, table
            return
        middle = (first + last + int(self.rng.integers(2))) // 2  # either part may be the longer
        between = self.firsts[(self.firsts > first) & (self.firsts < last)]
        if between.size:
            middle = int(between[np.argmin(np.abs(between - middle))])
        size = int(self.batches[first:middle].sum())
        trials = self._trials(part, middle, size, who, clients)
        flows = (_flow(clients, classes, trial, size, self.rng) for trial in trials)
        now = next(flow for flow in flows if flow is not None)
        for start, end, brought in (first, middle, now), (middle, last, held - now):
            used = np.flatnonzero(brought)
            yield from self.steps(Part(start, end, pairs[used], brought[used]))

    def _trials(
        self, part: Part, middle: int, size: int, who: IntArray, clients: IntArray
    ) -> Iterator[Trial]:
        """Bounds of what comes before `middle`, of which the last always has a flow.

        Near the program, or the draw, with room on time; less near; with late steps; with any room.
        """
        first, last, pairs, held = part
        groups = np.arange(self.of_step[first], self.of_step[last - 1] + 1)
        of_client = np.bincount(clients, held).astype(np.int64)
        of_class = np.bincount(self.classes[pairs], held, self.num_classes).astype(np.int64)
        lengths = [  # of the groups before and after `middle`, in steps
            np.bincount(self.of_step[start:end] - groups[0], minlength=groups.size)
            for start, end in ((first, middle), (middle, last))
        ]

        def with_room(late: float) -> Bounds:
            """Of each client, for this now, the rest later, if it may be so late once in each."""
            z, d, s = self.deadlines[groups], self.delays[who], self.costs[who]
            room, longer = (rooms(z * (1 + by), d, s, self.batches.max()) for by in (0, late))
            now, later = (room @ n + (longer - room)[:, n > 0].max(axis=1) for n in lengths)
            low, high = np.maximum(of_client - later, 0), np.minimum(of_client, now)
            return Bounds(low.astype(np.int64), high.astype(np.int64))

        on_time = with_room(0)
        if groups.size > 1:
            before = groups[lengths[0] > 0]
            wanted = self.totals[before].sum(axis=0)
            allowed = Bounds(wanted, wanted)
            share = self.shares[before][:, pairs].sum(axis=0)
            due = held * share / np.maximum(self.shares[groups][:, pairs].sum(axis=0), 1e-9)
            around = _around(np.bincount(clients, due))
            for far in NEAR:
                low = np.maximum(around.low - far, on_time.low)
                near = Bounds(low, np.minimum(around.high + far, on_time.high))
                yield Trial(np.minimum(_around(due).high + far, held), near, allowed)
        else:
            fair = of_class * ((middle - first) / (last - first))
            allowed = _around(fair, EXACT)
            if self.is_drawn:
                drawn = self.rng.multivariate_hypergeometric(of_class, size)
                for way in DRAWN:
                    yield Trial(held, on_time, _around(fair + way * (drawn - fair), EXACT))
        yield Trial(held, on_time, allowed)
        for late in LATE:
            yield Trial(held, with_room(late), allowed)
        yield Trial(held, Bounds(np.zeros_like(of_client), of_client), allowed)


def _cut(
    best: Fluid, batches: IntArray, counts: IntArray
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Whole steps: the first of each group, (G,) their deadlines, (G, P) what comes to them.

    A step that spans several deadlines has the longest, so that there is room for all that comes.
    """
    ends = best.supply.sum(axis=1).cumsum()
    edges = np.append(0.0, ends * (batches.sum() / ends[-1]))
    places = np.append(0, batches.cumsum())
    of_step = np.searchsorted(edges[1:-1], places[:-1] + WHOLE / 10, side="right")
    changes = (np.diff(of_step) != 0) | (np.diff(batches) != 0)
    firsts = np.append(0, np.flatnonzero(changes) + 1)
    so_far = np.concatenate([np.zeros((1, counts.size)), best.supply.cumsum(axis=0)])
    at = np.append(places[firsts], places[-1])
    left = np.clip(np.searchsorted(edges, at, side="right") - 1, 0, edges.size - 2)
    part = ((at - edges[left]) / np.diff(edges)[left])[:, np.newaxis]
    shares = np.diff(so_far[left] + part * (so_far[left + 1] - so_far[left]), axis=0)
    return firsts, best.deadlines[of_step[firsts]], shares * (counts / shares.sum(axis=0))


def _rounded(totals: FloatArray, sizes: IntArray, rng: np.random.Generator) -> IntArray:
    """(G, M) whole class totals: each, and each sum of the first groups, rounded up or down.

    The sets that are bounded form two nested families, so the program has whole corners; which one
    is found is random.
    """
    from scipy.optimize import linprog  # here: it takes longer to import than all else together
    from scipy.sparse import csr_array, eye_array, kron, vstack

    groups, classes = totals.shape
    rows: Any = kron(eye_array(groups), np.ones((1, classes)))
    first: Any = kron(csr_array(np.tril(np.ones((groups, groups)))), eye_array(classes))
    both: Any = vstack([first, -first])
    costs = rng.random(totals.size)
    for whole in (WHOLE, 1e-4, 1e-7):  # with many classes the first may leave no room
        ranges, sums = _around(totals, whole), _around(totals.cumsum(axis=0), whole)
        solved = linprog(
            costs,
            A_ub=both.tocsr(),
            b_ub=np.concatenate([sums.high.ravel(), -sums.low.ravel()]).astype(np.float64),
            A_eq=rows.tocsr(),
            b_eq=sizes.astype(np.float64),
            bounds=list(zip(ranges.low.flat, ranges.high.flat, strict=True)),
            method="highs-ds",
        )
        if solved.x is not None:
            found: IntArray = np.rint(solved.x).astype(np.int64).reshape(totals.shape)
            return found
    raise ArithmeticError(f"the class totals of the deadlines: {solved.message}")


def _around(x: Any, whole: float = WHOLE) -> Bounds:
    """Rounded down and up; what is nearly whole, to that number."""
    return Bounds(np.floor(x + whole).astype(np.int64), np.ceil(x - whole).astype(np.int64))


def _flow(
    clients: IntArray, classes: IntArray, trial: Trial, size: int, rng: np.random.Generator
) -> IntArray | None:
    """(P,) so many samples in all, within bounds; None if no flow has them.

    From a source over the clients and the classes of the pairs to a sink: what is the least of each
    directly, and the rest over one more node. Which of many flows is found is random.
    """
    from scipy.sparse import csr_array  # here: they take longer to import than all else together
    from scipy.sparse.csgraph import maximum_flow

    by_client, by_class = trial.of_client, trial.of_class
    rests = size - by_client.low.sum(), size - by_class.low.sum()
    if min(rests) < 0 or (by_client.low > by_client.high).any():
        return None
    nodes = rng.permutation(by_client.low.size + by_class.low.size + 4).astype(np.int32)
    source, sink, more, rest = np.split(nodes[:4], 4)
    who, what = np.split(nodes[4:], [by_client.low.size])
    arcs: list[tuple[Any, Any, Any]] = [
        (source, who, by_client.low),
        (source, more, rests[0]),
        (more, who, by_client.high - by_client.low),
        (who[clients], what[classes], trial.most),
        (what, sink, by_class.low),
        (what, rest, by_class.high - by_class.low),
        (rest, sink, rests[1]),
    ]
    each = zip(*(np.broadcast_arrays(*arc) for arc in arcs), strict=True)
    start, end, limits = (np.concatenate(part).astype(np.int32) for part in each)
    network = csr_array((limits, (start, end)), shape=(nodes.size, nodes.size))
    found = maximum_flow(network, int(source[0]), int(sink[0]))
    if found.flow_value < size:
        return None
    brought: IntArray = found.flow[who[clients], what[classes]].astype(np.int64)
    return brought
