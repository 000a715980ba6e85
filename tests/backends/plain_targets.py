"""Class targets and clients that heed them, sample by sample, with faults to switch on.

It shares no code with pslref. `faults` is the set of the names of mistakes.
"""

from fractions import Fraction

import numpy as np

from tests.backends.plain_planned import planned
from tests.backends.plain_samplers import Array, Faults, batch_sizes

Piles = dict[int, list[int]]  # of each class, the clients of its samples, in the order of use


def class_targets(
    draw: str, assign: str, class_counts: Array, batch_size: int, remainder: str, delays: Array,
    sample_costs: Array, slack: float, num_schedules: int, seed: int, faults: Faults,
) -> tuple[Array, Array]:  # fmt: skip
    rng = np.random.default_rng(seed)
    totals, cuts = (
        class_counts.sum(axis=0),
        batch_sizes(int(class_counts.sum()), batch_size, remainder, faults),
    )
    all_targets, all_local = [], []
    for _ in range(num_schedules):
        if assign == "planned" and "dealt-slowest-first" not in faults:
            if not ("same-targets-every-epoch" in faults and all_targets):
                local = planned(draw, class_counts, cuts, delays, sample_costs, slack, rng, faults)
                targets = local.sum(axis=1)
            if "class-counts-ignored" in faults:
                local = _whatever(local.sum(axis=2), class_counts, rng)
            all_targets.append(targets)
            all_local.append(local)
            continue
        if not ("same-targets-every-epoch" in faults and all_targets):
            targets = _targets(draw, totals, cuts, rng, faults)
        piles = _piles(assign, class_counts, delays, rng, faults)
        local = np.zeros((len(cuts), *class_counts.shape), int)
        for t, wanted in enumerate(targets):
            for m, count in enumerate(wanted):
                for _ in range(count):
                    local[t, piles[m].pop(0), m] += 1
        if "own-mix" in faults:
            local = _own_mix(local.sum(axis=2), class_counts, rng)
            targets = local.sum(axis=1)
        if "class-counts-ignored" in faults:
            local = _whatever(local.sum(axis=2), class_counts, rng)
        all_targets.append(targets)
        all_local.append(local)
    return np.array(all_targets), np.array(all_local)


def _targets(
    draw: str, totals: Array, cuts: list[int], rng: np.random.Generator, faults: Faults
) -> Array:
    n, classes = [int(x) for x in totals], range(len(totals))
    if draw == "hypergeometric":
        line = list(rng.permutation([m for m in classes for _ in range(n[m])]))
    elif "targets-rounded-each-step" in faults:
        return _rounded_each_step(n, cuts)
    else:
        first = [rng.random() for _ in classes]
        if "one-offset" in faults:
            first = [first[0]] * len(n)
        points = sorted((((i + first[m]) / n[m]), m) for m in classes for i in range(n[m]))
        start = int(rng.integers(sum(n)))
        line = [m for _, m in points[start:] + points[:start]]
    rows, start = [], 0
    for b in cuts:
        rows.append([line[start : start + b].count(m) for m in classes])
        start += b
    return np.array(rows)


def _rounded_each_step(n: list[int], cuts: list[int]) -> Array:
    """Each step's quota by itself; what is missing comes from the class with most left."""
    left, rows, total = list(n), [], sum(n)
    for b in cuts:
        row = [min(round(Fraction(b * size, total)), x) for size, x in zip(n, left, strict=True)]
        while sum(row) != b:
            rest = [x - c for x, c in zip(left, row, strict=True)]
            if sum(row) < b:
                row[rest.index(max(rest))] += 1
            else:
                row[row.index(max(row))] -= 1
        left = [x - c for x, c in zip(left, row, strict=True)]
        rows.append(row)
    return np.array(rows)


def _piles(
    assign: str, class_counts: Array, delays: Array, rng: np.random.Generator, faults: Faults
) -> Piles:
    sign = 1 if "fastest-first" in faults else -1
    order = sorted(range(len(delays)), key=lambda k: (sign * delays[k], k))
    if "slowest-by-number" in faults:
        order = list(range(len(delays)))
    piles = {}
    for m, held in enumerate(class_counts.T):
        pile = [k for k in order for _ in range(held[k])]
        if assign == "random" and "dealt-in-order" not in faults:
            pile = [int(k) for k in rng.permutation(pile)]
        if "drawn-with-replacement" in faults:
            pile = [int(k) for k in rng.choice(pile, len(pile))]
        piles[m] = pile
    return piles


def _own_mix(steps: Array, class_counts: Array, rng: np.random.Generator) -> Array:
    """Every client spreads its own classes evenly over what it brings, whatever the targets."""
    lines = []
    for held in class_counts:
        points = [((i + rng.random()) / x, m) for m, x in enumerate(held) for i in range(x)]
        lines.append([m for _, m in sorted(points)])
    return _dealt(steps, lines, class_counts.shape[1])


def _whatever(steps: Array, class_counts: Array, rng: np.random.Generator) -> Array:
    """Every client draws from all that it has left, as without targets."""
    lines = [
        list(rng.permutation([m for m, x in enumerate(held) for _ in range(x)]))
        for held in class_counts
    ]
    return _dealt(steps, lines, class_counts.shape[1])


def _dealt(steps: Array, lines: list[list[int]], num_classes: int) -> Array:
    local = np.zeros((*steps.shape, num_classes), int)
    for t, row in enumerate(steps):
        for k, b in enumerate(row):
            for m in lines[k][:b]:
                local[t, k, m] += 1
            lines[k] = lines[k][b:]
    return local


def local_class_batches(
    owners: Array, labels: Array, local_class_counts: Array, epochs: int, seed: int, faults: Faults
) -> Array:
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(epochs):
        own = [list(rng.permutation(np.flatnonzero(owners == k))) for k in range(owners.max() + 1)]
        if "classes-never-shuffled" in faults:
            own = [sorted(samples) for samples in own]
        row: list[int] = []
        for step in local_class_counts:
            for k, wanted in enumerate(step):
                if "class-counts-ignored" in faults:
                    taken = own[k][: wanted.sum()]
                else:
                    of_class = [[i for i in own[k] if labels[i] == m] for m in range(len(wanted))]
                    taken = [i for m, c in enumerate(wanted) for i in of_class[m][:c]]
                own[k] = [i for i in own[k] if i not in taken]
                row += taken
        out.append(row)
    return np.array(out)
