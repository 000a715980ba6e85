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
from pslref.oracle.bets import Finding
from pslref.oracle.class_targets import judge_targets
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
NUM_SCHEDULES = {"ugs": 3000, "lds": 1000, "fls": 20, "fpls": 20, "targets": 500}
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
    return _answer(
        judge(drawn, sampler, sizes, BATCH_SIZE, alpha=alpha, remainder=remainder, **options)
    )


HELD = np.array([[9, 3, 0, 1], [0, 4, 2, 0], [5, 5, 5, 0], [0, 0, 0, 0], [1, 0, 12, 1]])
APART = np.array([1.0, 6.0, 1.5, 2.0, 3.0])  # delays without ties
TARGETS_BATCH = 9  # six steps, the last of them short; 3/8 of a sample of the rarest class


def class_targets(
    draw: str, assign: str, remainder: str, backend: Backend, rng: np.random.Generator, alpha: float
) -> Answer:
    """Class targets keep their promises, and follow their law. (method.md 3.4)"""
    inputs: Values = {
        "draw": draw,
        "assign": assign,
        "class_counts": HELD,
        "batch_size": TARGETS_BATCH,
        "remainder": remainder,
        "delays": APART,
        "num_schedules": NUM_SCHEDULES["targets"],
        "seed": int(rng.integers(2**31)),
    }
    out = as_arrays(backend.run("class_targets", inputs))
    targets, local = out["targets"], out["local_class_counts"]
    if not local.ndim or len(local) != NUM_SCHEDULES["targets"]:
        shape = f"({NUM_SCHEDULES['targets']}, T, K, M)"
        return Answer(f"local_class_counts has shape {local.shape}, expected {shape}")
    return _answer(
        judge_targets(
            targets,
            local,
            HELD,
            TARGETS_BATCH,
            draw,
            assign,
            APART,
            alpha=alpha,
            remainder=remainder,
        )
    )


def _answer(findings: list[Finding]) -> Answer:
    failures = [f"{one.name}: {one.detail}" for one in findings if not one.passed]
    p_values = {one.name: float(p) for one in findings for p in P_VALUE.findall(one.detail)}
    detects = [f"{one.name} sees {one.detects}" for one in findings if one.name in p_values]
    return Answer(failures[0] if failures else None, detects, p_values)


OWNERS = np.array([0, 2, 1, 0, 0, 2, 1, 0, 2, 2, 0, 1, 0, 2, 1, 2])  # 6, 4 and 6 samples
LABELS = np.array([0, 0, 0, 1, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0])
LOCAL_CLASSES = np.array(  # every sample once in an epoch
    [
        [[1, 1], [0, 1], [1, 1]],
        [[1, 0], [2, 0], [0, 1]],
        [[2, 1], [0, 1], [0, 0]],
        [[0, 0], [0, 0], [2, 1]],
    ]
)
LOCAL = LOCAL_CLASSES.sum(axis=2)


def local_batches(backend: Backend, rng: np.random.Generator, alpha: float) -> Answer:
    """Every client brings each of its own samples once an epoch, in a fresh uniform order."""
    seed = int(rng.integers(2**31))
    inputs = {"owners": OWNERS, "batch_sizes": LOCAL, "epochs": EPOCHS, "seed": seed}
    samples = as_arrays(backend.run("local_batches", inputs)["samples"])
    names = [f"client {k}" for k in range(LOCAL.shape[1])]
    return _shuffles(samples, OWNERS, LOCAL, names, alpha)


def local_class_batches(backend: Backend, rng: np.random.Generator, alpha: float) -> Answer:
    """The same of every class, where a step asks for so many samples of each."""
    num_clients, num_classes = LOCAL_CLASSES.shape[1:]
    inputs = {
        "owners": OWNERS,
        "labels": LABELS,
        "local_class_counts": LOCAL_CLASSES,
        "epochs": EPOCHS,
        "seed": int(rng.integers(2**31)),
    }
    samples = as_arrays(backend.run("local_class_batches", inputs)["samples"])
    if samples.shape == (EPOCHS, OWNERS.size) and np.isin(samples, np.arange(OWNERS.size)).all():
        # A local batch may mix its classes; what counts is the order within each.
        batch = np.repeat(np.arange(LOCAL.size), LOCAL.ravel())
        order = np.argsort(batch * num_classes + LABELS[samples], axis=1, kind="stable")
        samples = np.take_along_axis(samples, order, axis=1)
    names = [f"class {m} of client {k}" for k, m in np.ndindex(num_clients, num_classes)]
    steps = LOCAL_CLASSES.reshape(len(LOCAL_CLASSES), -1)
    return _shuffles(samples, OWNERS * num_classes + LABELS, steps, names, alpha)


def _shuffles(
    samples: NDArray[Any], owners: IntArray, steps: IntArray, names: Sequence[str], alpha: float
) -> Answer:
    """Each owner brings each of its samples once an epoch, in a fresh uniform order.

    Uniform, over n places, are: the place of a sample; how far it moves from one epoch to the
    next, modulo n; how far two samples of owners of the same size are apart, modulo n, where 0
    is left out for one owner's. Each of the counts is binomial, and takes an equal part of
    alpha. (method.md 4.1)

    Args:
        samples: (E, N) in the order of use, step by step, within a step owner by owner.
        owners: (N,) of each sample.
        steps: (S, owners) how many samples each brings.
        names: of the owners.
        alpha: the most probability that right shuffles are accused.
    """
    due = np.concatenate([np.repeat(np.arange(len(names)), row) for row in steps])
    broken = _broken_promise(samples, owners, due, names)
    if broken:
        return Answer(broken)
    tests = list(_uniform_values(samples, owners, due, names))
    cells = sum(values for _, _, values in tests)
    rarest = min((*_rarest(seen, values), what) for what, seen, values in tests)
    p, value, count, expected, what = rarest
    p = min(1.0, cells * p)
    failure = f"{what} is {value} in {count} epochs, {expected:.0f} expected" if p < alpha else None
    most = int(np.bincount(owners).max())
    least = float(binom.isf(alpha / cells / 2, EPOCHS, 1 / most) / EPOCHS - 1 / most)
    seen = f"one of {most} that is taken {100 * least:.0f} % of the epochs too often"
    return Answer(failure, [f"places sees {seen}"], {"places": p})


def _uniform_values(
    samples: IntArray, owners: IntArray, due: IntArray, names: Sequence[str]
) -> Iterator[tuple[str, IntArray, int]]:
    """(what, its value in each epoch, the number of values), all uniform from 0 or 1 on."""
    sizes = np.bincount(owners)
    place = np.empty_like(samples)
    for k in range(sizes.size):
        own = np.flatnonzero(k == owners)
        place[:, own] = np.argsort(samples[:, due == k], axis=1)
    for i, k in enumerate(owners):
        n = int(sizes[k])
        yield f"the place of sample {i} of {names[k]}", place[:, i], n
        moves = np.diff(place[:, i]) % n
        yield f"how far sample {i} of {names[k]} moves to the next epoch", moves, n
        for j in range(i):
            if sizes[owners[j]] == n:
                apart = (place[:, i] - place[:, j]) % n
                same = int(owners[j] == k)
                yield f"the distance of samples {j} and {i}", apart - same, n - same


def _broken_promise(
    samples: NDArray[Any], owners: IntArray, due: IntArray, names: Sequence[str]
) -> str | None:
    if samples.shape != (EPOCHS, owners.size):
        return f"samples has shape {samples.shape}, expected ({EPOCHS}, {owners.size})"
    for epoch, row in enumerate(samples):
        if not np.isin(row, np.arange(owners.size)).all():
            return f"epoch {epoch}: a sample that is none of 0..{owners.size - 1}"
        foreign = np.flatnonzero(due != owners[row])
        if foreign.size:
            k, sample = due[foreign[0]], row[foreign[0]]
            return (
                f"epoch {epoch}: where one of {names[k]} is due comes sample {sample}, of "
                f"{names[owners[sample]]}"
            )
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
}
QUESTIONS |= {
    f"{draw}-{assign}": ("class_targets", partial(class_targets, draw, assign, remainder))
    for draw, assign, remainder in [
        ("hypergeometric", "random", "short"),
        ("hypergeometric", "slowest-first", "even"),
        ("stratified", "random", "even"),
        ("stratified", "slowest-first", "short"),
    ]
}
QUESTIONS |= {
    "local-batches": ("local_batches", local_batches),
    "local-class-batches": ("local_class_batches", local_class_batches),
}
