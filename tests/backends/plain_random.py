"""Random schedules and shuffles, one draw after the other, with faults to switch on.

It shares no code with pslref. `faults` is the set of the names of mistakes.
"""

from typing import Any

import numpy as np

from tests.backends.plain_samplers import (
    Array,
    Faults,
    batch_sizes,
    fixed,
    from_ids,
    lds_em,
    lds_prior,
)


def sample(
    sampler: str, class_counts: Array, batch_size: int, remainder: str, delays: Array, delta: float,
    num_schedules: int, seed: int, faults: Faults,
) -> Array:  # fmt: skip
    rng = np.random.default_rng(seed)
    sizes = class_counts.sum(axis=1)
    drawn = []
    for _ in range(num_schedules):
        if drawn and "one-schedule" in faults:
            drawn.append(drawn[0])
        elif sampler in ("fls", "fpls"):
            drawn.append(fixed(sizes, batch_size, sampler == "fpls", faults))
        elif sampler == "ugs":
            drawn.append(_ugs(sizes, batch_size, remainder, rng, faults))
        else:
            drawn.append(_lds(class_counts, batch_size, remainder, delays, delta, rng, faults))
    return np.array(drawn)


def _ugs(
    sizes: Array, batch_size: int, remainder: str, rng: np.random.Generator, faults: Faults
) -> Array:
    cuts = batch_sizes(int(sizes.sum()), batch_size, remainder, faults)
    ids = np.repeat(np.arange(len(sizes)), sizes)
    if "with-replacement" in faults:
        return np.array([rng.multinomial(b, sizes / sizes.sum()) for b in cuts])
    if "sorted" in faults:
        return from_ids(list(ids), len(sizes), cuts)
    if "never-the-last" in faults:
        last = int(np.flatnonzero(sizes)[-1])
        ids = ids[ids != last]
        return from_ids(list(rng.permutation(ids)), len(sizes), cuts)
    if "stale-shares" in faults:
        return _draw(sizes / sizes.sum(), sizes, cuts, rng)
    if "clients-not-samples" in faults:  # every client equally likely, whatever it holds
        return _draw((sizes > 0) / (sizes > 0).sum(), sizes, cuts, rng)
    if "half-shuffled" in faults:
        half = len(ids) // 2
        ids = np.concatenate([rng.permutation(ids[::2][:half]), rng.permutation(ids[1::2])])
        return from_ids(list(ids), len(sizes), cuts)
    return from_ids(list(rng.permutation(ids)), len(sizes), cuts)


def _draw(weights: Array, sizes: Array, cuts: list[int], rng: np.random.Generator) -> Array:
    left, rows = sizes.copy(), []
    for b in cuts:
        row = np.zeros_like(left)
        for point in rng.random(b):
            open_ = np.cumsum(np.where(left - row > 0, weights, 0))
            row[np.searchsorted(open_, point * open_[-1], side="right")] += 1
        left, rows = left - row, [*rows, row]
    return np.array(rows)


_WEIGHTS: dict[tuple[Any, ...], Array] = {}


def _lds(
    counts: Array, batch_size: int, remainder: str, delays: Array, delta: float,
    rng: np.random.Generator, faults: Faults,
) -> Array:  # fmt: skip
    sizes = counts.sum(axis=1)
    total = int(sizes.sum())
    s = max(2, min(1000, total // 2))
    alpha = lds_prior(sizes, s, 1.0, 0.0 if "delta-ignored" in faults else delta, delays, faults)
    left, rows = sizes.copy(), []
    for b in batch_sizes(total, batch_size, remainder, faults):
        holders = tuple(np.flatnonzero(left if "no-reestimate" not in faults else sizes))
        key = (holders, tuple(sorted(faults)))
        if key not in _WEIGHTS:
            own = list(holders)
            labels = s * counts.sum(axis=0) / total
            start = alpha[own] / alpha[own].sum()
            _WEIGHTS[key] = lds_em(alpha[own], counts[own], labels, start, 2000, faults)
        weights = np.zeros(len(sizes))
        weights[list(holders)] = _WEIGHTS[key]
        row = _draw(weights, left, [b], rng)[0]
        left, rows = left - row, [*rows, row]
    return np.array(rows)


def local_batches(owners: Array, steps: Array, epochs: int, seed: int, faults: Faults) -> Array:
    rng = np.random.default_rng(seed)
    out: list[Any] = []
    first: dict[int, Array] = {}
    last: dict[int, Array] = {}
    for epoch in range(epochs):
        own = {k: rng.permutation(np.flatnonzero(owners == k)) for k in range(steps.shape[1])}
        if "owners-swapped" in faults:  # two clients with as many samples
            own[0], own[2] = own[2], own[0]
        if "rotated" in faults:
            own = {k: np.roll(np.sort(o), rng.integers(o.size)) for k, o in own.items()}
        if "one-stream-for-all" in faults:
            streams = [np.random.default_rng([seed, epoch]) for _ in own]
            own = {k: streams[k].permutation(np.sort(o)) for k, o in own.items()}
        if "reversed-every-other" in faults and epoch % 2:
            own = {k: o[::-1] for k, o in last.items()}
        last = own
        if "never-shuffled" in faults:
            own = {k: np.sort(order) for k, order in own.items()}
        if "same-every-epoch" in faults:
            own = first = first or own
        start, row = dict.fromkeys(own, 0), []
        for counts in steps:
            for k, b in enumerate(counts):
                place = np.arange(start[k], start[k] + b)
                if "unsplit-indices" in faults:
                    row.extend(place)
                elif "always-the-first" in faults:
                    row.extend(own[k][:b])
                elif "sampled-with-replacement" in faults:
                    row.extend(rng.choice(own[k], b))
                else:
                    row.extend(own[k][place])
                start[k] += b
        out.append(row)
    return np.array(out)
