"""Rules that say who brings what to each step of an epoch: the package's own, and others'.

*flow* and *fast* are LB-GPSL's (arXiv 2609.32132) as we read its abstract: the class targets of all
steps are given, and each step is supplied by itself. Quotas are proportional to what is left.
"""

from bisect import bisect_left
from typing import Any

import numpy as np
import scipy.optimize  # noqa: F401 - planned imports it: now, before a clock runs
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow

from pslref.check import FloatArray, IntArray
from pslref.sampling import Schedule, fpls, lds, targets, ugs
from pslref.sampling.targets import Asked

SIZE = 128  # B
Case = tuple[IntArray, FloatArray, FloatArray, str]  # n_km, d_k, s_k, how targets are drawn


def flow(wanted: IntArray, left: IntArray, delays: FloatArray, costs: FloatArray) -> IntArray:
    """(K, M) one step of these class counts that ends as soon as any: [reading] of *flow*.

    A step can end by z if that many samples flow from classes over clients to what each has time
    for by z. Of the flows that can, it is the one that SciPy finds.
    """
    done = delays[:, np.newaxis] + costs[:, np.newaxis] * np.arange(1, wanted.sum() + 1)
    (num_clients, num_classes), (k, m) = left.shape, np.nonzero(np.minimum(left, wanted))
    source, sink = num_clients + num_classes, num_clients + num_classes + 1
    tails = np.concatenate([np.full(num_classes, source), num_clients + m, np.arange(num_clients)])
    heads = np.concatenate([num_clients + np.arange(num_classes), k, np.full(num_clients, sink)])

    def flowing(z: float) -> Any:
        limits = np.concatenate([wanted, np.minimum(left, wanted)[k, m], (done <= z).sum(axis=1)])
        cells = limits.astype(np.int32), (tails.astype(np.int32), heads.astype(np.int32))
        return maximum_flow(csr_array(cells, shape=(sink + 1, sink + 1)), source, sink)

    times = np.unique(done)
    place = bisect_left(times, wanted.sum(), key=lambda z: flowing(z).flow_value)
    brought = np.zeros_like(left)
    brought[k, m] = flowing(times[place]).flow[num_clients + m, k]
    return brought


def fast(wanted: IntArray, left: IntArray, delays: FloatArray, costs: FloatArray) -> IntArray:
    """(K, M) one step, sample by sample from whoever would complete it next: [reading] of *fast*.

    Next is the class of which most are still wanted; ties, also of clients, go by number.
    """
    brought, wanted, completed = np.zeros_like(left), wanted.copy(), delays + costs
    while wanted.any():
        m = int(np.argmax(wanted))
        k = int(np.argmin(np.where(brought[:, m] < left[:, m], completed, np.inf)))
        brought[k, m] += 1
        wanted[m] -= 1
        completed[k] = delays[k] + (brought[k].sum() + 1) * costs[k]
    return brought


def quotas(wanted: IntArray, left: IntArray, delays: FloatArray, costs: FloatArray) -> IntArray:
    """(K, 1) each client brings in proportion to what it has left, by largest remainder."""
    whole = int(left.sum())
    brought: IntArray = wanted.sum() * left // whole
    order = np.argsort(-(wanted.sum() * left % whole)[:, 0], kind="stable")  # ties by number
    brought[order[: wanted.sum() - brought.sum()]] += 1
    return brought


STEP_BY_STEP = {"quotas": quotas, "fast": fast, "flow": flow}
PLANNED = {"planned": 0.0, "planned-0.2": 0.2}  # the slack
RULES = ("fpls", "ugs", "lds", "slowest-first", *STEP_BY_STEP, *PLANNED)


def planned(rule: str, case: Case, rng: np.random.Generator) -> Schedule:
    """An epoch by one of `RULES`."""
    counts, delays, costs, draw = case
    if rule == "fpls":
        return fpls(counts.sum(axis=1), SIZE)
    if rule == "ugs":
        return ugs(counts.sum(axis=1), SIZE, rng)
    if rule == "lds":
        return lds(counts, SIZE, rng, delays=delays, delta=1.0)
    asked: Any = {"delays": delays, "draw": draw}
    if rule in PLANNED:
        asked |= {"assign": "planned", "sample_costs": costs, "slack": PLANNED[rule]}
    if rule not in STEP_BY_STEP:
        return targets(counts, SIZE, rng, **asked)
    wanted, left = Asked(counts, SIZE, rng, **asked).class_targets(), counts.copy()
    if rule == "quotas":  # knows no classes
        wanted, left = wanted.sum(axis=1, keepdims=True), left.sum(axis=1, keepdims=True)
    local = np.zeros((len(wanted), *left.shape), np.int64)
    for of_step, now in zip(wanted, local, strict=True):
        now[:] = STEP_BY_STEP[rule](of_step, left, delays, costs)
        left -= now
    return Schedule(local.sum(axis=2), None if rule == "quotas" else local)
