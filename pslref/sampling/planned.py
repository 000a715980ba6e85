"""The epoch planned as a whole: deadlines, the classes of its steps, then who brings them."""

from bisect import bisect_left
from typing import Any, NamedTuple

import numpy as np

from pslref.check import FloatArray, IntArray
from pslref.sampling.assign import dealt_steps, lines_in, shuffled, slowest_first_order
from pslref.sampling.deadlines import rooms
from pslref.sampling.program import Fluid, fluid
from pslref.sampling.schedule import Walk, tallied

WHOLE = 1e-2  # of a sample: what is whole but for the tolerance of the program
LATE = np.array([0, *(0.003 * 1.5 ** np.arange(18))])  # shares of a deadline, tried in turn


class Pairs(NamedTuple):
    """The clients and classes of which there are samples: (P,) both."""

    clients: IntArray
    classes: IntArray
    num_clients: int
    num_classes: int

    def by_client(self, x: Any) -> Any:
        """(K,) the samples of each client."""
        return np.bincount(self.clients, x, self.num_clients).astype(x.dtype)

    def by_class(self, x: Any) -> Any:
        """(M,) the samples of each class."""
        return np.bincount(self.classes, x, self.num_classes).astype(x.dtype)


class Bounds(NamedTuple):
    """Of whole numbers: the least and the most of each."""

    low: IntArray
    high: IntArray


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
    deadline are a group. Its class totals are rounded, and spread over its steps, evenly or, if
    `is_drawn`, at random. Then a flow supplies each step, near the program. (method.md 3.4)
    """
    clients, classes = np.nonzero(class_counts)
    pairs = Pairs(clients, classes, *class_counts.shape)
    counts = class_counts[clients, classes]
    size = int(batches.max())
    best = fluid(class_counts, size, delays, costs, slack)
    firsts, latest, shares = _cut(best, batches, counts)
    totals = _rounded(
        np.array([pairs.by_class(share) for share in shares]),
        np.add.reduceat(batches, firsts),
        rng,
    )
    drawn = []
    for total, group in zip(totals, np.split(batches, firsts[1:]), strict=True):
        if is_drawn:
            drawn.append(tallied(shuffled(total, rng), group, total.size))
        else:
            drawn.append(_evenly(total, group.size, rng))
    wanted = np.concatenate(drawn)
    if not costs.any():  # then there is room for all of a client's samples, or for none
        lines = lines_in(slowest_first_order(class_counts, delays), class_counts)
        yield from dealt_steps(wanted, len(class_counts), lines)
        return
    of_step = np.repeat(np.arange(firsts.size), np.diff(firsts, append=batches.size))
    room = np.full((LATE.size + 1, len(class_counts), firsts.size), size)  # at last, for all
    for late, longer in enumerate(LATE):
        room[late] = rooms(latest * (1 + longer), delays, costs, size)
    yield from _supplied(pairs, counts, shares, wanted, of_step, room)


def _cut(
    best: Fluid, batches: IntArray, counts: IntArray
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Whole steps: the first of each group, (G,) their deadlines, (G, P) what comes to them.

    A step that begins with one deadline keeps it, so that there is room for all that comes.
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


def _around(x: FloatArray, whole: float = WHOLE) -> Bounds:
    """Rounded down and up; what is nearly whole, to that number."""
    return Bounds(np.floor(x + whole).astype(np.int64), np.ceil(x - whole).astype(np.int64))


def _evenly(total: IntArray, num_steps: int, rng: np.random.Generator) -> IntArray:
    """(T, M) class counts of steps of one size: each its share of every class, up or down.

    The steps are halved again and again; which classes a half has more of is random.
    """
    if num_steps == 1:
        return total[np.newaxis]
    first = (num_steps + int(rng.integers(2))) // 2  # of an odd number either part may be larger
    half, over = np.divmod(total * first, num_steps)
    lacking = int(total.sum()) * first // num_steps - int(half.sum())
    half[rng.choice(np.flatnonzero(over), lacking, replace=False)] += 1
    rest = _evenly(total - half, num_steps - first, rng)
    return np.concatenate([_evenly(half, first, rng), rest])


def _supplied(
    pairs: Pairs,
    counts: IntArray,
    shares: FloatArray,
    wanted: IntArray,
    of_step: IntArray,
    room: IntArray,
) -> Walk:
    """The steps, each with its class counts, from clients that have room.

    A client's part of a class comes as that class does, so that what is due follows the program.
    No client brings more than its room, (L, K, G) by the deadline of the group, nor keeps more than
    it has room for later. If that cannot be, all deadlines from here on are missed by one share of
    them, as small as possible; with the last there is room for all.
    """
    left, so_far = counts.copy(), np.zeros(counts.size)
    later = room @ np.bincount(of_step)
    rates = [share / np.maximum(pairs.by_class(share), 1e-9)[pairs.classes] for share in shares]
    for now, group in zip(wanted, of_step, strict=True):
        so_far += rates[group] * now[pairs.classes]
        later -= room[:, :, group]
        due = np.ceil(so_far - (counts - left) - WHOLE).astype(np.int64).clip(0, left)
        held = pairs.by_client(left)
        clients = [
            Bounds(np.maximum(held - keep, 0), np.minimum(most, held))
            for keep, most in zip(later, room[:, :, group], strict=True)
        ]
        x = _supply(pairs, (due, left), clients[0], now)
        if x is None:
            late = bisect_left(
                clients, True, 1, key=lambda c: _supply(pairs, (left,), c, now) is not None
            )
            x = _supply(pairs, (due, left), clients[late], now)
        assert x is not None
        left = left - x
        brought = np.flatnonzero(x)
        who, row = np.unique(pairs.clients[brought], return_inverse=True)
        table = np.zeros((who.size, pairs.num_classes), np.int64)
        table[row, pairs.classes[brought]] = x[brought]
        yield who, table


def _supply(
    pairs: Pairs, most: tuple[IntArray, ...], clients: Bounds, wanted: IntArray
) -> IntArray | None:
    """(P,) whole numbers of these class counts, within the bounds of the clients; None if none are.

    No pair has more than the first of `most` if that is enough; else more up to the next, wherever
    a flow that begins with what there is finds it.
    """
    rest = int(wanted.sum() - clients.low.sum())
    if rest < 0 or (clients.low > clients.high).any():
        return None
    x = np.zeros_like(most[0])
    for cells in most:
        x = x + _more(pairs, x, cells, clients, wanted)
        if x.sum() == wanted.sum():
            return x
    return None


def _more(pairs: Pairs, x: IntArray, most: IntArray, clients: Bounds, wanted: IntArray) -> IntArray:
    """(P,) what a flow from the clients to the classes that lack samples adds to x, and takes back.

    Clients' least amounts come from the source directly, and the rest over one more node.
    """
    from scipy.sparse import csr_array  # here: they take longer to import than all else together
    from scipy.sparse.csgraph import maximum_flow

    brought = pairs.by_client(x)
    must = np.minimum(brought, clients.low)
    may = brought - must
    who, what = np.arange(brought.size), brought.size + np.arange(wanted.size)
    source, rest, sink = brought.size + wanted.size + np.arange(3)
    used = np.flatnonzero(most)
    tails, heads = pairs.clients[used], what[pairs.classes[used]]
    spare = int(wanted.sum() - clients.low.sum() - may.sum())
    arcs = [
        (np.full(who.size, source), who, clients.low - must),
        (np.array([source]), np.array([rest]), np.array([spare])),
        (np.full(who.size, rest), who, clients.high - clients.low - may),
        (who, np.full(who.size, rest), may),
        (tails, heads, (most - x)[used]),
        (heads, tails, x[used]),
        (what, np.full(what.size, sink), wanted - pairs.by_class(x)),
    ]
    start, end, limits = (np.concatenate(each).astype(np.int32) for each in zip(*arcs, strict=True))
    network = csr_array((limits, (start, end)), shape=(sink + 1, sink + 1))
    flow = maximum_flow(network, source, sink).flow
    added = np.zeros_like(x)
    if used.size:  # without any, SciPy's answer is no array
        added[used] = flow[tails, heads]
    return added
