"""Every schedule of a small problem, and its exact chance, one draw after the other."""

from collections.abc import Iterator
from itertools import combinations_with_replacement
from math import comb, prod

import numpy as np

Plan = tuple[tuple[int, ...], ...]
WEIGHTS = np.array([0.5, 0.2, 0.3])  # π of LDS, before any client has run out


def all_schedules(sizes: tuple[int, ...], batches: list[int]) -> Iterator[Plan]:
    """Every schedule that exhausts these sizes in these batches."""
    if not batches:
        yield ()
        return
    for chosen in combinations_with_replacement(range(len(sizes)), batches[0]):
        row = tuple(chosen.count(k) for k in range(len(sizes)))
        if all(b <= n for b, n in zip(row, sizes, strict=True)):
            left = tuple(n - b for b, n in zip(row, sizes, strict=True))
            yield from ((row, *rest) for rest in all_schedules(left, batches[1:]))


def chance_of(schedule: Plan, sizes: tuple[int, ...], law: str) -> float:
    left, chance = sizes, 1.0
    for row in schedule:
        if law == "ugs":
            chance *= prod(map(comb, left, row)) / comb(sum(left), sum(row))
        else:
            chance *= _latent(row, left)
        left = tuple(n - b for b, n in zip(row, left, strict=True))
    return chance


def _latent(row: tuple[int, ...], left: tuple[int, ...]) -> float:
    """Draw one at a time from the clients that have something left: sum over all orders."""
    if not any(row):
        return 1.0
    total = sum(w for w, n in zip(WEIGHTS, left, strict=True) if n)
    chance = 0.0
    for k, b in enumerate(row):
        if b:
            fewer = tuple(x - (i == k) for i, x in enumerate(row))
            rest = tuple(x - (i == k) for i, x in enumerate(left))
            chance += WEIGHTS[k] / total * _latent(fewer, rest)
    return chance
