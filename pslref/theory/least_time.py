"""The least epoch time that any schedule can have, also with costs per sample (method.md 5.1)."""

import numpy as np

from pslref import check
from pslref.check import ArrayLike, FloatArray, IntArray
from pslref.sampling.program import rooms

MOST_DEADLINES = 400  # tried; between two of them the bound is a little too low


def least_epoch_time(
    class_counts: ArrayLike,
    batch_size: int,
    delays: ArrayLike,
    sample_costs: ArrayLike = 0.0,
    slack: float = 2.0,
) -> float:
    """A lower bound: no schedule with B_t ≤ B and Δ_t ≤ slack in every step is sooner done.

    A step that is done by z has room for ⌊(z − d_k) / s_k⌋ samples of client k. The bound is the
    least Σ_j r_j z_j over numbers r_j of steps with deadline z_j, such that there is room for what
    each set of slowest clients holds, of all classes and of each: a linear program. [derived]
    (method.md 5.1)

    Args:
        class_counts: (K, M) samples n_km of class m at client k, whole numbers.
        batch_size: B, the most samples of a step.
        delays: (K,) d_k per step that client k takes part in, finite, 0 or more, in any unit.
        sample_costs: (K,) or one for all, s_k per sample, in the same unit.
        slack: 0 to 2; 2 allows any mix of classes.

    Returns:
        The bound, in the unit of the delays.
    """
    counts = check.class_counts("class_counts", class_counts)
    b = check.integer("batch_size", batch_size, 1)
    d = check.per_client("delays", delays, len(counts))
    s = check.per_client("sample_costs", sample_costs, len(counts))
    slack = check.real("slack", slack, 0, 2)
    held = counts.sum(axis=1) > 0
    return least(counts[held], b, d[held], s[held], slack)


def least(
    class_counts: IntArray, batch_size: int, delays: FloatArray, costs: FloatArray, slack: float
) -> float:
    """The largest of three bounds, of clients that all hold samples."""
    sizes = class_counts.sum(axis=1)
    order = np.argsort(-(delays + costs), kind="stable")
    steps = np.diff(-(-np.cumsum(sizes[order]) // batch_size), prepend=0)
    slowest_first = steps @ (delays + costs)[order]  # a step is at least as long as d_k + s_k
    alone = np.max(sizes * costs + -(-sizes // batch_size) * delays)
    bound = float(max(slowest_first, alone))
    if slack == 2 and not costs.any():  # then the first is attained
        return bound
    return max(bound, _program(class_counts, batch_size, delays, costs, slack))


def _program(
    class_counts: IntArray, batch_size: int, delays: FloatArray, costs: FloatArray, slack: float
) -> float:
    """What the dual solution of the linear program proves."""
    from scipy.optimize import linprog  # here: it takes longer to import than all else together

    latest, earliest = deadlines(class_counts.sum(axis=1), batch_size, delays, costs)
    total = class_counts.sum()
    mix = class_counts.sum(axis=0) / total
    most = np.minimum(1, mix + slack / 2) * batch_size  # of a class in a step
    sizes = class_counts.sum(axis=1)
    room = np.minimum(rooms(latest, delays, costs, batch_size), sizes[:, np.newaxis])
    rows, needs = [np.ones(latest.size)], [-(-total // batch_size)]
    order = np.argsort(-(delays + costs * batch_size), kind="stable")
    together = np.cumsum(room[order], axis=0)  # (K, J) of the slowest clients
    held = np.cumsum(class_counts[order], axis=0)
    rows += list(room)  # each client by itself
    needs += list(sizes)
    for space, asked in zip(together, held, strict=True):
        rows.append(np.minimum(space, batch_size))
        needs.append(asked.sum())
        if slack < 2:
            rows += list(np.minimum(space, most[asked > 0, np.newaxis]))
            needs += list(asked[asked > 0])
    matrix, need = np.array(rows, np.float64), np.array(needs, np.float64)
    solved = linprog(earliest, A_ub=-matrix, b_ub=-need, method="highs")
    if solved.x is None:  # as where rounding leaves a class no room
        return 0.0
    # The dual solution, made feasible in exact arithmetic, proves a bound whatever the tolerances.
    dual = np.maximum(-solved.ineqlin.marginals, 0)
    dual[(matrix[:, earliest == 0] > 0).any(axis=1)] = 0
    positive = earliest > 0
    paid = (dual @ matrix[:, positive]) / earliest[positive]
    return float(dual @ need / max(1.0, paid.max(initial=0.0)) * (1 - 1e-12))


def deadlines(
    sizes: IntArray, batch_size: int, delays: FloatArray, costs: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """(J,) deadlines, and (J,) what a step with each takes at least.

    All times d_k + i s_k that a step can take, or of too many some: then a step has the room of the
    next deadline, and takes no less than the first time after the one before it, if all are known.
    """
    most = np.minimum(sizes, batch_size)
    each = np.maximum(1, np.minimum(most, MOST_DEADLINES))
    shares = [
        np.unique(np.linspace(1, n, number).round()) for n, number in zip(most, each, strict=True)
    ]
    each_time = [d + s * i for d, s, i in zip(delays, costs, shares, strict=True)]
    times = np.unique(np.concatenate(each_time))
    complete = bool((most <= MOST_DEADLINES).all()) or not costs.any()
    if complete and times.size <= MOST_DEADLINES:
        return times, times
    places = np.unique(np.linspace(0, times.size - 1, MOST_DEADLINES).round().astype(int))
    latest = times[places]
    before = np.append(times[0], times[places[:-1] + complete])
    return latest, np.maximum(before, (delays + costs).min())
