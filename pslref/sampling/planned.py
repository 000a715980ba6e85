"""The epoch planned as a whole: deadlines, then who brings what to them, then the steps."""

from typing import Any, NamedTuple

import numpy as np

from pslref.check import FloatArray, IntArray
from pslref.sampling.assign import balanced_steps, dealt_steps, lines_in, slowest_first_order
from pslref.sampling.deadlines import rooms
from pslref.sampling.program import Fluid, fluid
from pslref.sampling.schedule import Walk, tallied

WHOLE = 1e-2  # of a sample: what is whole but for the tolerance of the program


class Pairs(NamedTuple):
    """The clients and classes of which there are samples: (P,) both, and how many there are."""

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

    def table(self, x: IntArray) -> IntArray:
        """(K, M) the same numbers."""
        counts = np.zeros((self.num_clients, self.num_classes), np.int64)
        counts[self.clients, self.classes] = x
        return counts


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
    deadline are a group. Its class totals are rounded, then what each client brings to it, then it
    is halved again and again, so that each step has its share of everything, rounded up or down. If
    `is_drawn`, the labels of a group are shuffled, and its steps balanced. (method.md 3.4)
    """
    clients, classes = np.nonzero(class_counts)
    pairs = Pairs(clients, classes, *class_counts.shape)
    counts = class_counts[pairs.clients, pairs.classes]
    best = fluid(class_counts, int(batches.max()), delays, costs, slack)
    firsts, latest, shares = _cut(best, batches, counts)
    sizes = np.add.reduceat(batches, firsts)
    totals = _rounded(np.array([pairs.by_class(share) for share in shares]), sizes, rng)
    lengths = np.diff(firsts, append=batches.size)
    drawn = []
    for total, size, length in zip(totals, batches[firsts], lengths, strict=True):
        if is_drawn:
            labels = rng.permutation(np.repeat(np.arange(total.size), total))
            drawn.append(tallied(labels, size.repeat(length), total.size))
        elif not costs.any():
            all_ = Pairs(np.zeros_like(total), np.arange(total.size), 1, total.size)
            steps = _halved(all_, total, int(length), rng)
            drawn.append(np.concatenate([now for _, now in steps]))
    if not costs.any():  # then there is room for all, or none
        lines = lines_in(slowest_first_order(class_counts, delays), class_counts)
        yield from dealt_steps(np.concatenate(drawn), len(class_counts), lines)
        return
    room = rooms(latest, delays, costs, int(batches.max())).T
    limits = np.floor(room * (sizes / batches.max())[:, np.newaxis] + 1e-9).astype(np.int64)
    for group, x in enumerate(_supplied(pairs, counts, shares, totals, limits)):
        if is_drawn:
            yield from balanced_steps(drawn[group], pairs.table(x), delays, costs)
        else:
            yield from _halved(pairs, x, int(lengths[group]), rng)


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
            bounds=list(
                zip(ranges.low.ravel().tolist(), ranges.high.ravel().tolist(), strict=True)
            ),
            method="highs-ds",
        )
        if solved.x is not None:
            found: IntArray = np.rint(solved.x).astype(np.int64).reshape(totals.shape)
            return found
    raise ArithmeticError(f"the class totals of the deadlines: {solved.message}")


def _around(x: FloatArray, whole: float = WHOLE) -> Bounds:
    """Rounded down and up; what is nearly whole, to that number."""
    return Bounds(np.floor(x + whole).astype(np.int64), np.ceil(x - whole).astype(np.int64))


def _supplied(
    pairs: Pairs, counts: IntArray, shares: FloatArray, totals: IntArray, limits: IntArray
) -> list[IntArray]:
    """Of each group, (P,) whole samples: class totals are met, and room is kept where it can be.

    First close to the program's shares, and such that no client keeps more than it can still bring;
    then farther and farther from them, also above the room, which makes few steps late.
    """
    left, found = counts.copy(), []
    so_far = shares.cumsum(axis=0)
    later = limits[::-1].cumsum(axis=0)[::-1] - limits
    for group, total in enumerate(totals):
        near = so_far[group] - (counts - left)
        cells, clients = _around(near), _around(pairs.by_client(near))
        held = pairs.by_client(left)
        must = np.maximum(held - later[group], 0)
        exact, limit = Bounds(total, total), limits[group]
        ways = [
            (Bounds(cells.low - i, cells.high + i), np.maximum(clients.low - i, must), limit)
            for i in range(4)
        ]
        ways += [
            (Bounds(cells.low - i, cells.high + i), np.maximum(must - i // 4, 0), limit + i // 4)
            for i in 2 ** np.arange(40)
        ]
        for cell, least, most in ways:
            within = Bounds(np.clip(cell.low, 0, left), np.clip(cell.high, 0, left))
            clients_of = Bounds(least, np.minimum(most, held))
            brought = _flow(pairs, within, clients_of, exact, int(total.sum()))
            if brought is not None:
                found.append(brought)
                left = left - brought
                break
    return found


def _halved(pairs: Pairs, x: IntArray, num_steps: int, rng: np.random.Generator) -> Walk:
    """Cut a group into steps, which all have their share of every pair, client and class.

    Each is rounded up or down. Since the shares in fractions are a flow, there is one in whole
    numbers.
    """
    if num_steps == 1:
        clients = np.unique(pairs.clients[x > 0])
        yield clients, pairs.table(x)[clients]
        return
    first = (num_steps + int(rng.integers(2))) // 2  # of an odd number either part may be larger
    cells, of_client, of_class = (
        Bounds(held * first // num_steps, -(-held * first // num_steps))
        for held in (x, pairs.by_client(x), pairs.by_class(x))
    )
    half = _flow(pairs, cells, of_client, of_class, int(x.sum()) * first // num_steps)
    assert half is not None
    yield from _halved(pairs, half, first, rng)
    yield from _halved(pairs, x - half, num_steps - first, rng)


def _flow(
    pairs: Pairs, cells: Bounds, clients: Bounds, classes: Bounds, total: int
) -> IntArray | None:
    """(P,) whole numbers within the bounds of each pair, client and class; None if there are none.

    A flow from clients to classes, whose least amounts come from the source and go to the sink
    directly, and the rest over one more node at either end.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_flow

    num_clients, num_classes = pairs.num_clients, pairs.num_classes
    given = pairs.by_client(cells.low), pairs.by_class(cells.low)
    least = [np.maximum(b.low - g, 0) for b, g in zip((clients, classes), given, strict=True)]
    spare = [b.high - g - n for b, g, n in zip((clients, classes), given, least, strict=True)]
    rest = total - int(cells.low.sum())
    free = np.flatnonzero(cells.high > cells.low)
    if min(spare[0].min(), spare[1].min(), rest - max(map(np.sum, least))) < 0:
        return None
    if rest == 0:
        return cells.low.copy()
    who, what = np.arange(num_clients), num_clients + np.arange(num_classes)
    source, more, less, sink = range(num_clients + num_classes, num_clients + num_classes + 4)
    arcs = [
        (np.full(num_clients, source), who, least[0]),
        ([source], [more], [rest - least[0].sum()]),
        (np.full(num_clients, more), who, spare[0]),
        (pairs.clients[free], what[pairs.classes[free]], (cells.high - cells.low)[free]),
        (what, np.full(num_classes, sink), least[1]),
        (what, np.full(num_classes, less), spare[1]),
        ([less], [sink], [rest - least[1].sum()]),
    ]
    tails, heads, most = (np.concatenate(each).astype(np.int32) for each in zip(*arcs, strict=True))
    found = maximum_flow(csr_array((most, (tails, heads)), shape=(sink + 1,) * 2), source, sink)
    if found.flow_value < rest:
        return None
    brought = cells.low.copy()
    ends = pairs.clients[free], what[pairs.classes[free]]
    brought[free] += np.asarray(found.flow[ends], np.int64)
    return brought
