"""Questions to samplers and to clients' shuffles, whose answers are random: tier three.

Every test's level is exact or conservative, and all of them together take the alpha they are
given. There is no second try.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from pslref.check import IntArray
from pslref.oracle.backends import Backend, Values, as_arrays
from pslref.oracle.distribution import judge


class Answer(NamedTuple):
    """What tests found: nothing wrong if `failure` is None; else or besides, what they can see."""

    failure: str | None
    detects: Sequence[str] = ()
    p_values: Mapping[str, float] = MappingProxyType({})


Question = Callable[[Backend, np.random.Generator, float], Answer]

CLASS_COUNTS = np.array([[9, 3, 0], [0, 4, 2], [5, 5, 5], [0, 0, 0], [1, 0, 12]])
BATCH_SIZE = 8  # six steps, the last of them short
DELAYS = np.array([1.0, 6.0, 1.5, 2.0, 1.0])
NUM_SCHEDULES = {"ugs": 3000, "lds": 1000, "fls": 20, "fpls": 20}
EPOCHS = 400
P_VALUE = re.compile(r"p = ([\d.e+-]*\d)")  # in the detail of a finding


def schedules(
    sampler: str,
    remainder: str,
    backend: Backend,
    rng: np.random.Generator,
    alpha: float,
) -> Answer:
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
        shape = f"({NUM_SCHEDULES[sampler]}, T, K)"
        return Answer(f"schedules has shape {drawn.shape}, expected {shape}")
    sizes = CLASS_COUNTS.sum(axis=1)
    given = {"class_counts": CLASS_COUNTS, "delays": DELAYS, "delta": delta}
    options: Any = given if sampler == "lds" else {}
    findings = judge(drawn, sampler, sizes, BATCH_SIZE, alpha=alpha, remainder=remainder, **options)
    failures = [f"{one.name}: {one.detail}" for one in findings if not one.passed]
    p_values = {one.name: float(p) for one in findings for p in P_VALUE.findall(one.detail)}
    detects = [f"{one.name} sees {one.detects}" for one in findings if one.name in p_values]
    return Answer(failures[0] if failures else None, detects, p_values)


OWNERS = np.array([0, 2, 1, 0, 0, 2, 1, 0, 2, 2, 0, 1, 0, 2, 2, 2])
LOCAL = np.array([[2, 0, 3], [1, 2, 1], [3, 1, 0], [0, 0, 3]])  # every sample once in an epoch


def local_batches(backend: Backend, rng: np.random.Generator, alpha: float) -> Answer:
    """Every client brings each of its own samples once an epoch, in a fresh uniform order.

    A sample's place in its client's order is uniform over the n_k places. So is, modulo n_k, how
    far it moves from one epoch to the next. Each of these counts is binomial, and takes an equal
    part of alpha. (method.md 4.1)
    """
    seed = int(rng.integers(2**31))
    inputs = {"owners": OWNERS, "batch_sizes": LOCAL, "epochs": EPOCHS, "seed": seed}
    samples = as_arrays(backend.run("local_batches", inputs)["samples"])
    clients = np.concatenate([np.repeat(np.arange(3), row) for row in LOCAL])
    broken = _broken_promise(samples, clients)
    if broken:
        return Answer(broken)
    rarest = (1.0, "")
    cells = 2 * int((np.bincount(OWNERS) ** 2).sum())
    for k in range(3):
        orders = samples[:, clients == k]
        places = np.argsort(orders, axis=1)  # of the client's samples, ascending
        moves = np.diff(places, axis=0) % orders.shape[1]
        for what, seen in [("in place", places), ("moved on by", moves)]:
            p, column, value, count = _rarest(seen, orders.shape[1])
            sample = np.flatnonzero(k == OWNERS)[column]
            often = f"in {count} of {len(seen)} epochs, {len(seen) / orders.shape[1]:.0f} expected"
            rarest = min(rarest, (p, f"client {k}: sample {sample} is {what} {value} {often}"))
    p = min(1.0, cells * rarest[0])
    seen_from = float(binom.isf(alpha / cells / 2, EPOCHS, 1 / 7) / EPOCHS - 1 / 7)
    detects = [f"a place of 7 taken {100 * seen_from:.0f} % of the epochs too often"]
    return Answer(rarest[1] if p < alpha else None, detects, {"places": p})


def _broken_promise(samples: NDArray[Any], clients: IntArray) -> str | None:
    if samples.shape != (EPOCHS, OWNERS.size):
        return f"samples has shape {samples.shape}, expected ({EPOCHS}, {OWNERS.size})"
    for epoch, row in enumerate(samples):
        if not np.isin(row, np.arange(OWNERS.size)).all():
            return f"epoch {epoch}: a sample that is none of 0..{OWNERS.size - 1}"
        foreign = np.flatnonzero(clients != OWNERS[row])
        if foreign.size:
            k, sample = clients[foreign[0]], row[foreign[0]]
            return f"epoch {epoch}: client {k} brings sample {sample}, which is not its own"
        if np.unique(row).size < row.size:
            return f"epoch {epoch}: some sample comes twice, and some not at all"
    return None


def _rarest(seen: IntArray, n: int) -> tuple[float, int, int, int]:
    """(two-sided p, column, value, count) of the count least like a uniform value of 0..n-1."""
    found = (1.0, 0, 0, 0)
    for column, values in enumerate(seen.T):
        counts = np.bincount(values, minlength=n)
        low, high = binom.cdf(counts, len(values), 1 / n), binom.sf(counts - 1, len(values), 1 / n)
        p = np.minimum(1.0, 2 * np.minimum(low, high))
        value = int(p.argmin())
        found = min(found, (float(p[value]), column, value, int(counts[value])))
    return found


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
