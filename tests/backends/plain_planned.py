"""Epochs planned as a whole, written a second time: one program for all, with faults to switch on.

It shares no code with pslref, nor does it choose alike: HiGHS's simplex finds the deadlines among
all times that a step can take, and an integer program at once who brings what to all steps.
"""

from typing import Any

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, linprog, milp

from tests.backends.plain_samplers import Array, Faults

Sums = list[tuple[list[tuple[int, float]], float, float]]  # terms, the least, the most


def planned(
    draw: str, class_counts: Array, cuts: list[int], delays: Array, costs: Array, slack: float,
    rng: np.random.Generator, faults: Faults,
) -> Array:  # fmt: skip
    """(T, K, M) what each client brings to each step of one epoch."""
    if "costs-ignored" in faults:
        costs = 0 * costs
    slack *= 2 * ("slack-doubled" in faults) or 0.5 ** ("slack-halved" in faults)
    slack *= "slack-ignored" not in faults
    if "everybody-every-step" in faults:
        shares = np.outer(cuts, class_counts.ravel() / class_counts.sum())
        return _whole(shares, cuts, rng).reshape(-1, *class_counts.shape)
    size, held = max(cuts), class_counts.sum(axis=1)
    times = sorted(
        {float(d + i * s) for d, s, n in zip(delays, costs, held, strict=True)
         for i in range(1, min(n, size) + 1)}
    )  # fmt: skip
    room = rooms(np.array(times), delays, costs, size, faults).T
    steps, mixes = _program(class_counts, size, np.array(times), room, slack)
    ends = np.append(0, np.cumsum(steps) * sum(cuts) / steps.sum())  # the longest deadline first
    places = np.append(0, np.cumsum(cuts))
    of_step = np.searchsorted(ends[1:-1], places[:-1] + 1e-3, side="right")
    line = np.cumsum(np.diff(ends)[:, None] * mixes, axis=0)  # cut anywhere
    line = np.array([np.interp(places, ends, np.append(0, of_class)) for of_class in line.T]).T
    if "fractions-dropped" in faults:
        targets = np.floor(np.diff(line, axis=0) + 1e-6).astype(int)
        return _supplied(class_counts, targets, room[::-1][of_step], delays + costs, 0)
    groups = dict.fromkeys(zip(of_step, cuts, strict=True))
    members = [[t for t, g in enumerate(zip(of_step, cuts, strict=True)) if g == h] for h in groups]
    shares = np.array([np.diff(line, axis=0)[own].sum(axis=0) for own in members])
    totals = _whole(shares, [sum(cuts[t] for t in own) for own in members], rng)
    targets = np.zeros((len(cuts), class_counts.shape[1]), int)
    for own, total in zip(members, totals, strict=True):
        own_cuts = [cuts[t] for t in own]
        if draw == "hypergeometric" and "drawn-evenly" not in faults:
            line = rng.permutation(np.repeat(np.arange(total.size), total))
            parts = np.split(line, np.cumsum(own_cuts)[:-1])
            targets[own] = [np.bincount(part, minlength=total.size) for part in parts]
        else:
            targets[own] = _whole(np.outer(own_cuts, total / sum(own_cuts)), own_cuts, rng)
    return _supplied(class_counts, targets, room[::-1][of_step], delays + costs)


def rooms(deadlines: Array, delays: Array, costs: Array, size: int, faults: Faults) -> Array:
    """(K, J) what client k can bring until each deadline."""
    found = np.zeros((len(delays), len(deadlines)), int)
    for k, j in np.ndindex(found.shape):
        z, d, s = deadlines[j], delays[k], costs[k]
        if "delays-ignored" in faults:
            d = 0
        if z < d - 1e-9:
            continue
        fit = size
        if s and "costs-ignored" not in faults:
            fit = int(np.floor((z - d) / s + 1e-9))
            if "room-rounded-up" in faults:
                fit = int(np.ceil((z - d) / s - 1e-9))
            fit += ("room-one-more" in faults) - ("room-one-less" in faults)
        found[k, j] = max(0, min(size, fit))
    return found


def _program(
    class_counts: Array, size: int, times: Array, room: Array, slack: float
) -> tuple[Array, Array]:
    """Steps of each deadline, the longest first, and their class mixes."""
    (clients, classes), n = class_counts.shape, class_counts.sum()
    shape = (len(times), clients, classes)
    steps = np.arange(len(times))
    x = len(times) + np.arange(np.prod(shape)).reshape(shape)
    over = x.max() + 1 + np.arange(len(times) * classes).reshape(len(times), classes)
    rows: Sums = []
    for k, m in np.ndindex(clients, classes):
        rows.append(([(i, 1.0) for i in x[:, k, m]], *2 * (class_counts[k, m],)))
    for j in steps:
        rows.append(([(i, 1.0) for i in x[j].ravel()] + [(j, -size)], 0, 0))
        for k in range(clients):
            rows.append(([(i, 1.0) for i in x[j, k]] + [(j, -room[j, k])], -np.inf, 0))
        for m in range(classes):
            mean = size * class_counts[:, m].sum() / n
            terms = [(i, 1.0) for i in x[j, :, m]] + [(over[j, m], -1.0), (j, -mean)]
            rows.append((terms, -np.inf, 0))
        rows.append(([(i, 1.0) for i in over[j]] + [(j, -slack / 2 * size)], -np.inf, 0))
    matrix, low, high = _matrix(rows, over.max() + 1)
    equal = low == high
    found = linprog(
        np.concatenate([times, np.zeros(over.max() + 1 - len(times))]),
        A_ub=matrix[~equal], b_ub=high[~equal], A_eq=matrix[equal], b_eq=high[equal],
        method="highs-ds",
    )  # fmt: skip
    supply = np.maximum(found.x[x].sum(axis=1), 0)[::-1]
    return found.x[steps][::-1], supply / np.maximum(supply.sum(axis=1, keepdims=True), 1e-9)


def _matrix(rows: Sums, number: int) -> tuple[Array, Array, Array]:
    matrix = np.zeros((len(rows), number))
    for row, (terms, _, _) in zip(matrix, rows, strict=True):
        for i, factor in terms:
            row[i] = factor
    return matrix, np.array([row[1] for row in rows]), np.array([row[2] for row in rows])


def _whole(shares: Array, row_sums: list[int], rng: np.random.Generator) -> Array:
    """Each share rounded up or down, with these sums of rows, and those of columns kept."""
    rows: Sums = []
    number = np.arange(shares.size).reshape(shares.shape)
    for own, total in zip(number, row_sums, strict=True):
        rows.append(([(i, 1.0) for i in own], total, total))
    for own, total in zip(number.T, np.rint(shares.sum(axis=0)), strict=True):
        rows.append(([(i, 1.0) for i in own], total, total))
    low, high = np.floor(shares.ravel() + 1e-6), np.ceil(shares.ravel() - 1e-6)
    return _solved(rng.random(shares.size), rows, low, high).reshape(shares.shape)


def _supplied(
    class_counts: Array, targets: Array, room: Array, weights: Array, share: int = 1
) -> Array:
    """Who brings what: as little as possible beyond the rooms."""
    shape = (len(targets), *class_counts.shape)
    x = np.arange(np.prod(shape)).reshape(shape)
    late = x.max() + 1 + np.arange(room.size).reshape(room.shape)
    rows: Sums = []
    for t, m in np.ndindex(targets.shape):
        rows.append(([(i, 1.0) for i in x[t, :, m]], *2 * (targets[t, m],)))
    for k, m in np.ndindex(class_counts.shape):
        least = share * class_counts[k, m]
        rows.append(([(i, 1.0) for i in x[:, k, m]], least, class_counts[k, m]))
    for t, k in np.ndindex(room.shape):
        rows.append(([(i, 1.0) for i in x[t, k]] + [(late[t, k], -1.0)], -np.inf, room[t, k]))
    costs = np.concatenate([np.zeros(x.size), np.tile(weights, len(targets)) + 1e-3])
    most = np.concatenate([np.tile(class_counts.ravel(), len(targets)), np.full(late.size, np.inf)])
    return _solved(costs, rows, 0 * costs, most)[: x.size].reshape(shape)


def _solved(costs: Any, rows: Sums, low: Array, high: Array) -> Array:
    found = milp(
        costs, constraints=LinearConstraint(*_matrix(rows, costs.size)), bounds=Bounds(low, high),
        integrality=np.ones(costs.size),
    )  # fmt: skip
    return np.rint(found.x).astype(int)
