"""Questions to samplers and to clients' shuffles, whose answers are random: tier three.

Every test's level is exact or conservative, and all of them together take the alpha they are
given. There is no second try.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from pslref.oracle.backends import Backend, Values, as_arrays
from pslref.oracle.distribution import judge

# (backend, rng, alpha, notes) -> what is wrong; notes get what the tests would have seen
Question = Callable[[Backend, np.random.Generator, float, list[str]], str | None]

CLASS_COUNTS = np.array([[9, 3, 0], [0, 4, 2], [5, 5, 5], [0, 0, 0], [1, 0, 12]])
BATCH_SIZE = 8  # six steps, the last of them short
DELAYS = np.array([1.0, 6.0, 1.5, 2.0, 1.0])
NUM_SCHEDULES = {"ugs": 3000, "lds": 1000, "fls": 20, "fpls": 20}
EPOCHS = 400


def schedules(
    sampler: str,
    remainder: str,
    backend: Backend,
    rng: np.random.Generator,
    alpha: float,
    notes: list[str],
) -> str | None:
    """Schedules by a sampler keep its promises, and follow its law. (method.md 3)"""
    delta = 1.0 if sampler == "lds" else 0.0
    inputs: Values = {
        "sampler": sampler,
        "class_counts": CLASS_COUNTS,
        "batch_size": BATCH_SIZE,
        "remainder": remainder,
        "delays": DELAYS,
        "delta": delta,
        "num_schedules": NUM_SCHEDULES[sampler],
        "seed": int(rng.integers(2**31)),
    }
    drawn = as_arrays(backend.run("sample", inputs)["schedules"])
    if drawn.ndim != 3 or len(drawn) != NUM_SCHEDULES[sampler]:
        return f"schedules has shape {drawn.shape}, expected ({NUM_SCHEDULES[sampler]}, T, K)"
    sizes = CLASS_COUNTS.sum(axis=1)
    given = {"class_counts": CLASS_COUNTS, "delays": DELAYS, "delta": delta}
    options: Any = given if sampler == "lds" else {}
    for finding in judge(
        drawn, sampler, sizes, BATCH_SIZE, alpha=alpha, remainder=remainder, **options
    ):
        if not finding.passed:
            return f"{finding.name}: {finding.detail}"
        notes.append(f"{finding.name} would have seen {finding.detects}")
    return None


OWNERS = np.array([0, 2, 1, 0, 0, 2, 1, 0, 2, 2, 0, 1, 0, 2, 2, 2])
LOCAL = np.array([[2, 0, 3], [1, 2, 1], [3, 1, 0], [0, 0, 3]])  # every sample once in an epoch


def local_batches(
    backend: Backend, rng: np.random.Generator, alpha: float, notes: list[str]
) -> str | None:
    """Every client brings each of its own samples once an epoch, in a fresh uniform order.

    Place i of client k's order is uniform over its n_k samples. So is how far a sample moves, in
    places modulo n_k, from one epoch to the next. Each of these counts is binomial, and takes an
    equal part of alpha. (method.md 4.1)
    """
    seed = int(rng.integers(2**31))
    inputs = {"owners": OWNERS, "batch_sizes": LOCAL, "epochs": EPOCHS, "seed": seed}
    samples = as_arrays(backend.run("local_batches", inputs)["samples"])
    if samples.shape != (EPOCHS, OWNERS.size):
        return f"samples has shape {samples.shape}, expected ({EPOCHS}, {OWNERS.size})"
    clients = np.concatenate([np.repeat(np.arange(3), row) for row in LOCAL])
    for epoch, row in enumerate(samples):
        if not np.isin(row, np.arange(OWNERS.size)).all():
            return f"epoch {epoch}: a sample that is none of 0..{OWNERS.size - 1}"
        foreign = np.flatnonzero(OWNERS[row] != clients)
        if foreign.size:
            i = foreign[0]
            return (
                f"epoch {epoch}: client {clients[i]} brings sample {row[i]}, which is not its own"
            )
        if np.unique(row).size < row.size:
            return f"epoch {epoch}: some sample comes twice, and some not at all"
    cells = 2 * int((np.bincount(OWNERS) ** 2).sum())
    for k in range(3):
        orders = samples[:, clients == k]
        n = orders.shape[1]
        places = np.argsort(orders, axis=1)  # of the client's samples, ascending
        for what, seen in [("is in place", places), ("moves on by", np.diff(places, axis=0) % n)]:
            found = _rare(seen, n, alpha / cells)
            if found:
                sample = np.flatnonzero(k == OWNERS)[found[0]]
                return (
                    f"client {k}: sample {sample} {what} {found[1]} in {found[2]} of {len(seen)} "
                    f"epochs, expected about {len(seen) / n:.0f}"
                )
    shift = binom.isf(alpha / cells / 2, EPOCHS, 1 / 7) / EPOCHS - 1 / 7
    notes.append(f"a place taken {100 * shift:.0f} points too often would have been seen")
    return None


def _rare(seen: NDArray[np.int64], n: int, level: float) -> tuple[int, int, int] | None:
    """(column, value, count) of a count that a uniform value of 0..n-1 would hardly have."""
    for column, values in enumerate(seen.T):
        counts = np.bincount(values, minlength=n)
        low, high = binom.cdf(counts, len(values), 1 / n), binom.sf(counts - 1, len(values), 1 / n)
        rare = np.flatnonzero(2 * np.minimum(low, high) < level)
        if n > 1 and rare.size:
            return column, int(rare[0]), int(counts[rare[0]])
    return None


QUESTIONS: dict[str, tuple[str, Question]] = {
    f"{sampler}-{remainder}": ("sample", partial(schedules, sampler, remainder))
    for sampler, remainder in [
        ("fls", "short"),
        ("fpls", "short"),
        ("ugs", "short"),
        ("ugs", "even"),
        ("lds", "short"),
        ("lds", "even"),
    ]
} | {"local-batches": ("local_batches", local_batches)}
