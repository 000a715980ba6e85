"""The best there is, by integer and linear programs: too slow for anything but tests."""

from itertools import product

import numpy as np
from scipy.optimize import LinearConstraint, milp
from scipy.sparse import csr_array


class Program:
    """A sum of costs to be minimised over variables of at least 0."""

    def __init__(self) -> None:
        self.costs: list[float] = []
        self.highs: list[float] = []
        self.whole: list[int] = []
        self.cells: list[tuple[int, int, float]] = []
        self.bounds: list[tuple[float, float]] = []

    def variable(self, cost: float = 0.0, high: float = np.inf, whole: int = 1) -> int:
        self.costs.append(cost)
        self.highs.append(high)
        self.whole.append(whole)
        return len(self.costs) - 1

    def constrain(self, low: float, terms: list[tuple[float, int]], high: float) -> None:
        self.cells += [(len(self.bounds), variable, factor) for factor, variable in terms]
        self.bounds.append((low, high))

    def least(self) -> float:
        rows, columns, factors = zip(*self.cells, strict=True)
        ends = np.array([rows, columns], np.int32)  # SciPy 1.14 takes no others
        shape = (len(self.bounds), len(self.costs))
        matrix = csr_array((factors, (ends[0], ends[1])), shape=shape)
        found = milp(
            self.costs,
            constraints=LinearConstraint(matrix, *np.array(self.bounds).T),
            integrality=self.whole,
            bounds=(0, np.array(self.highs)),
        )
        assert found.success, found.message
        return float(found.fun)


def least_epoch_time(
    batches: np.ndarray,
    class_counts: np.ndarray,
    delays: np.ndarray,
    *,
    class_targets: np.ndarray | None = None,
    deviation: float = 2.0,
) -> float:
    """Of all schedules with these targets, or else with Δ of at most `deviation` in every step."""
    order = np.argsort(-delays, kind="stable")
    n, drops = class_counts[order], -np.diff(delays[order], append=0.0)
    p, classes = n.sum(axis=0) / n.sum(), range(n.shape[1])
    program = Program()
    brought: dict[tuple[int, int, int], int] = {}
    for t, size in enumerate(batches.tolist()):
        # 1 if any of the j slowest takes part: then the step lasts so much longer
        slow = [program.variable(cost, 1) for cost in drops]
        for j in range(1, len(slow)):
            program.constrain(0, [(1, slow[j]), (-1, slow[j - 1])], np.inf)
        for j, m in np.ndindex(n.shape):
            brought[t, j, m] = program.variable(0, min(size, n[j, m]))
            program.constrain(0, [(min(size, n[j, m]), slow[j]), (-1, brought[t, j, m])], np.inf)
        all_of = [[(1.0, brought[t, j, m]) for j in range(len(n))] for m in classes]
        program.constrain(size, [term for terms in all_of for term in terms], size)
        if class_targets is not None:
            for m in classes:
                program.constrain(class_targets[t, m], all_of[m], class_targets[t, m])
            continue
        apart = [program.variable(0, whole=0) for _ in classes]
        for m in classes:
            program.constrain(-size * p[m], [*((-1, v) for _, v in all_of[m]), (1, apart[m])], 1e9)
            program.constrain(size * p[m], [*all_of[m], (1, apart[m])], 1e9)
        program.constrain(0, [(1, v) for v in apart], deviation * size + 1e-9)
    for j, m in np.ndindex(n.shape):
        program.constrain(n[j, m], [(1, brought[t, j, m]) for t in range(len(batches))], n[j, m])
    return program.least()


def least_fluid_time(
    batch_size: int, class_counts: np.ndarray, delays: np.ndarray, slack: float
) -> float:
    """Of all schedules with Δ of at most `slack`, were samples and steps divisible.

    In the j-th of K phases the j-th slowest client is the slowest that takes part. The steps of a
    phase may as well be equal: to average them leaves the time as it is, and Δ is convex.
    """
    order = np.argsort(-delays, kind="stable")
    n = class_counts[order]
    p, classes = n.sum(axis=0) / n.sum(), range(n.shape[1])
    program, phases = Program(), []
    for d, held in zip(delays[order], n.cumsum(axis=0), strict=True):
        steps = program.variable(d, whole=0)
        phases.append([program.variable(0, whole=0) for _ in classes])
        over = [program.variable(0, whole=0) for _ in classes]
        program.constrain(0, [(1, v) for v in phases[-1]] + [(-batch_size, steps)], 0)
        program.constrain(-np.inf, [(1, v) for v in over] + [(-slack / 2 * batch_size, steps)], 0)
        for m in classes:
            fair = batch_size * p[m]
            program.constrain(-np.inf, [(1, phases[-1][m]), (-fair, steps), (-1, over[m])], 0)
            program.constrain(held[m], [(1, phase[m]) for phase in phases], np.inf)
    for m in classes:
        program.constrain(-np.inf, [(1, phase[m]) for phase in phases], n[:, m].sum())
    return program.least()


def least_divided_time(
    counts: np.ndarray, size: int, delays: np.ndarray, costs: np.ndarray, slack: float
) -> float:
    """Of all schedules with B_t ≤ B and Δ_t ≤ slack, were samples and steps divisible.

    But for the number of steps, ⌈N / B⌉ at least: the program of method.md 5.1, with all deadlines.
    """
    n, p = counts.sum(axis=1), counts.sum(axis=0) / counts.sum()
    nth = np.arange(1, size + 1)
    times = delays[:, np.newaxis] + np.outer(costs, nth)
    times[nth > n[:, np.newaxis]] = np.inf
    program, steps, brought = Program(), [], []
    for z in np.unique(times[times < np.inf]):
        steps.append(program.variable(z, whole=0))
        brought.append(np.reshape([program.variable(whole=0) for _ in counts.flat], counts.shape))
        of_client, of_class = brought[-1].tolist(), brought[-1].T.tolist()
        every = brought[-1].ravel().tolist()
        for own, room in zip(of_client, np.sum(times <= z * (1 + 1e-12), axis=1), strict=True):
            program.constrain(-np.inf, [(1, v) for v in own] + [(-room, steps[-1])], 0)
        program.constrain(-np.inf, [(1, v) for v in every] + [(-size, steps[-1])], 0)
        over = [program.variable(whole=0) for _ in p]
        for own, above, share in zip(of_class, over, p, strict=True):
            fair = [(-share, v) for v in every]
            program.constrain(-np.inf, [(1, v) for v in own] + fair + [(-1, above)], 0)
        allowed = [(-slack / 2, v) for v in every]
        program.constrain(-np.inf, [(1, v) for v in over] + allowed, 0)
    for k, m in np.ndindex(counts.shape):
        program.constrain(counts[k, m], [(1, cells[k, m]) for cells in brought], counts[k, m])
    program.constrain(-(-counts.sum() // size), [(1, v) for v in steps], np.inf)
    return program.least()


def least_time_of_any(
    counts: np.ndarray, size: int, delays: np.ndarray, costs: np.ndarray, slack: float
) -> np.ndarray:
    """Of all schedules with B_t ≤ B and Δ_t ≤ slack, by trying every step from every state.

    Since steps have no order, the next one can be one that has a sample of the first cell left.
    Infinite if no samples make such steps. Of (K,) delays and costs, or of each of (K, C).
    """
    shape, whole = counts.shape, counts.ravel()
    steps = np.array(list(product(*(range(n + 1) for n in whole.tolist()))))
    weights = np.append(np.cumprod((whole + 1)[:0:-1])[::-1], 1)
    held = steps.sum(axis=1)
    brought = steps.reshape(-1, *shape)
    mixes = brought.sum(axis=1) / np.maximum(held, 1)[:, np.newaxis]
    apart = np.abs(mixes - counts.sum(axis=0) / counts.sum()).sum(axis=1)
    local = brought.sum(axis=2).reshape(len(steps), -1, *(1,) * (delays.ndim - 1))
    times = np.where(local > 0, delays + local * costs, 0).max(axis=1)
    allowed = np.flatnonzero((held > 0) & (held <= size) & (apart <= slack + 1e-12))
    rest = np.zeros(times.shape)
    for i, left in enumerate(steps[1:], 1):
        next_ = allowed[(steps[allowed, np.flatnonzero(left)[0]] > 0)]
        next_ = next_[(steps[next_] <= left).all(axis=1)]
        rest[i] = (times[next_] + rest[i - steps[next_] @ weights]).min(axis=0, initial=np.inf)
    best: np.ndarray = rest[-1]
    return best
