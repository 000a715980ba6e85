"""Questions to samplers and to clients' shuffles, whose answers are random: tier three.

Every test's level is exact or conservative, and all of them together take the alpha they are
given. There is no second try.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
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


OWNERS = np.array([0, 2, 1, 0, 0, 2, 1, 0, 2, 2, 0, 1, 0, 2, 1, 2])  # 6, 4 and 6 samples
LOCAL = np.array([[2, 1, 2], [1, 2, 1], [3, 1, 0], [0, 0, 3]])  # every sample once in an epoch


def local_batches(backend: Backend, rng: np.random.Generator, alpha: float) -> Answer:
    """Every client brings each of its own samples once an epoch, in a fresh uniform order.

    Uniform, over n places, are: the place of a sample; how far it moves from one epoch to the
    next, modulo n; how far two samples of clients of the same size are apart, modulo n, where 0
    is left out for one client's. Each of the counts is binomial, and takes an equal part of
    alpha. (method.md 4.1)
    """
    seed = int(rng.integers(2**31))
    inputs = {"owners": OWNERS, "batch_sizes": LOCAL, "epochs": EPOCHS, "seed": seed}
    samples = as_arrays(backend.run("local_batches", inputs)["samples"])
    clients = np.concatenate([np.repeat(np.arange(3), row) for row in LOCAL])
    broken = _broken_promise(samples, clients)
    if broken:
        return Answer(broken)
    tests = list(_uniform_values(samples, clients))
    cells = sum(values for _, _, values in tests)
    rarest = min((*_rarest(seen, values), what) for what, seen, values in tests)
    p, value, count, expected, what = rarest
    p = min(1.0, cells * p)
    failure = f"{what} is {value} in {count} epochs, {expected:.0f} expected" if p < alpha else None
    least = float(binom.isf(alpha / cells / 2, EPOCHS, 1 / 6) / EPOCHS - 1 / 6)
    detects = [f"places sees one of 6 that is taken {100 * least:.0f} % of the epochs too often"]
    return Answer(failure, detects, {"places": p})


def _uniform_values(samples: IntArray, clients: IntArray) -> Iterator[tuple[str, IntArray, int]]:
    """(what, its value in each epoch, the number of values), all uniform from 0 or 1 on."""
    sizes = np.bincount(OWNERS)
    place = np.empty_like(samples)
    for k in range(sizes.size):
        own = np.flatnonzero(k == OWNERS)
        place[:, own] = np.argsort(samples[:, clients == k], axis=1)
    for i, k in enumerate(OWNERS):
        n = int(sizes[k])
        yield f"the place of sample {i} of client {k}", place[:, i], n
        moves = np.diff(place[:, i]) % n
        yield f"how far sample {i} of client {k} moves to the next epoch", moves, n
        for j in range(i):
            if sizes[OWNERS[j]] == n:
                apart = (place[:, i] - place[:, j]) % n
                same = int(OWNERS[j] == k)
                yield f"the distance of samples {j} and {i}", apart - same, n - same


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


def _rarest(values: IntArray, n: int) -> tuple[float, int, int, float]:
    """(two-sided p, value, count, expected count) of the value least like a uniform 0..n-1."""
    counts = np.bincount(values, minlength=n)
    low, high = binom.cdf(counts, values.size, 1 / n), binom.sf(counts - 1, values.size, 1 / n)
    p = np.minimum(1.0, 2 * np.minimum(low, high))
    value = int(p.argmin())
    return float(p[value]), value, int(counts[value]), values.size / n


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
