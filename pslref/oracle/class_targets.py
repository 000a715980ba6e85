"""Class targets of another implementation: do they keep their promises, and follow their law?"""

from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np

from pslref.check import ArrayLike, FloatArray, IntArray
from pslref.oracle.bets import follow_law, means
from pslref.oracle.distribution import drawn_log, named
from pslref.oracle.planned import ROUNDING, Epoch, Plan
from pslref.oracle.promises import Promise, exhausting, keeps
from pslref.oracle.replay import Recorded
from pslref.oracle.result import Result
from pslref.sampling.assign import slowest_first_within_classes
from pslref.sampling.targets import Asked

OP = "class_targets"


def judge_targets(
    targets: Iterable[IntArray],
    local: Iterable[IntArray],
    class_counts: ArrayLike,
    batch_size: int,
    draw: str,
    assign: str,
    delays: ArrayLike | None,
    *,
    alpha: float = 1e-6,
    is_attained: bool = False,
    **options: Any,
) -> list[Result]:
    """Test schedules with class targets, one per epoch in the order drawn. (method.md 3.4)

    Promises: of each class every client gives each of its samples once, and the steps have their
    sizes; the clients bring what the targets say; stratified or planned, no Δ_t is above the bound
    that is proven; slowest first, no client brings a sample of a class before those that are slower
    have given all of theirs; planned, the epochs take the least time, if `is_attained` says that a
    right plan does, and else a long time is noted. Then the law. Hypergeometric targets are a UGS
    schedule with the classes for clients, but planned only within a deadline; assigned at random,
    so are the classes of the clients. Of stratified targets that are not planned every sample is
    equally likely in every step; with one sample of each class they are a shuffle.

    `targets`, R of (T, M), are the c_tm, `local`, R of (T, K, M), what each client brings of each
    class; `options` and the other arguments are those of `sampling.targets`.
    """
    options |= {"draw": draw, "assign": assign, "delays": delays}
    asked = Asked(class_counts, batch_size, Recorded(), **options)
    class_counts, batches, size = asked.counts, asked.batches, int(asked.batches.max())
    plan = Plan(class_counts, size, asked.delays, asked.sample_costs, asked.slack)
    num_clients, num_classes = class_counts.shape
    totals, held = class_counts.sum(axis=0), class_counts.ravel()
    names = [f"class {m} of client {k}" for k, m in np.ndindex(class_counts.shape)]

    def shapes(epoch: Epoch) -> str | None:
        c, b = epoch
        if b.shape[1:] == class_counts.shape and c.shape == (len(b), num_classes):
            return None
        expected = f"(T, {num_classes}) and (T, {num_clients}, {num_classes}) expected"
        return f"has the shapes {c.shape} and {b.shape}, {expected}"

    promises: dict[str, Promise] = {"shapes": shapes}
    of_cells = exhausting(names, held, len(batches), lambda: batches)
    promises |= {name: partial(_of_cells, promise) for name, promise in of_cells.items()}
    promises["targets"] = _unmet
    is_stratified, is_planned = draw == "stratified", assign == "planned"
    epochs = list(zip(targets, local, strict=True))
    most = _rounding(totals) / batches
    if is_planned:
        chance = 0.0 if is_stratified else alpha / 2 / len(epochs) / batches.size
        most = plan.most(batches, chance)
    if is_planned or is_stratified:
        promises["deviation"] = lambda epoch: _too_large(epoch, plan, most, draw)
    if assign == "slowest-first":
        promises["slowest_first"] = lambda epoch: _not_the_slowest(epoch, plan)
    results = keeps(OP, epochs, promises)
    if is_planned and not results[-1].is_wrong:
        results.append(plan.judge_time(OP, epochs, is_attained))
    if is_planned and results[-1].check in ("deviation", "time"):
        results = named(results, lambda: plan.mistakes(epochs, is_stratified))
    if results[-1].is_wrong:
        return results
    drawn, brought = (np.array(part, np.int64) for part in zip(*epochs, strict=True))
    counts = brought.reshape(*drawn.shape[:2], -1)
    if assign != "random":  # then nothing but the targets is random
        counts, held, names = drawn, totals, [f"class {m}" for m in range(num_classes)]
    if is_planned and (is_stratified or np.ptp(batches) or not plan.has_one_deadline()):
        return results  # the law depends on deadlines that nobody sees
    if is_stratified and totals.max() > 1:  # or else they are a shuffle
        return [*results, means(OP, names, counts, held, alpha)]
    results += follow_law(drawn_log(OP, names, counts, held), alpha / (1 + is_planned))
    turned = (drawn.argmax(axis=2) - drawn[0].argmax(axis=1)) % num_classes  # from epoch 0
    is_one = is_stratified and turned.any() and (turned == turned[:, :1]).all()
    return named(results, lambda: ["all classes have one offset"] if is_one else [])


def _of_cells(promise: Promise, epoch: Epoch) -> str | None:
    return promise(epoch[1].reshape(len(epoch[1]), -1))


def _unmet(epoch: Epoch) -> str | None:
    targets, local = epoch
    brought = local.sum(axis=1)
    for t, m in np.argwhere(brought != targets)[:1]:
        how = f"samples of class {m} to step {t}, the target is {targets[t, m]}"
        return f"brings {brought[t, m]} {how}"
    return None


def _rounding(totals: IntArray) -> float:
    """Δ_t B_t ≤ max_A 2 (|A| (1 − P) + (M − |A|) P) if stratified. [derived] (method.md 3.4)"""
    most_frequent, total = np.sort(totals[totals > 0])[::-1], totals.sum()
    size, of_classes = np.arange(most_frequent.size + 1), np.append(0, most_frequent.cumsum())
    return float(2 * (size * (total - of_classes) + size[::-1] * of_classes).max() / total)


def _too_large(epoch: Epoch, plan: Plan, most: FloatArray, draw: str) -> str | None:
    targets, totals = epoch[0], plan.class_counts.sum(axis=0)
    apart = plan.deviations(targets)
    for t in np.flatnonzero(apart > most + ROUNDING)[:1]:
        b, expected = int(targets[t].sum()), targets[t].sum() * totals / totals.sum()
        m = int(np.abs(targets[t] - expected).argmax())
        return (
            f"has a Δ of {apart[t]:.2f} in step {t}, and at most {most[t]:.2f} if {draw}; "
            f"class {m} has {targets[t, m]} of {b} samples, {expected[m]:.1f} expected"
        )
    return None


def _not_the_slowest(epoch: Epoch, plan: Plan) -> str | None:
    """Of clients that are as slow, what they bring together."""
    order = np.argsort(-plan.delays, kind="stable")
    slower = np.flatnonzero(np.diff(plan.delays[order], prepend=np.inf))

    def dealt(delays: FloatArray) -> IntArray:
        by_client = slowest_first_within_classes(epoch[0], plan.class_counts, delays)
        return np.add.reduceat(by_client[:, order], slower, axis=1)

    given, due = np.add.reduceat(epoch[1][:, order], slower, axis=1), dealt(plan.delays)
    for t, i, m in np.argwhere(given != due)[:1]:
        looks = ": the fastest come first" if (given == dealt(-plan.delays)).all() else ""
        how = f"samples of class {m} to step {t} from client {order[slower[i]]}"
        return f"brings {given[t, i, m]} {how}, {due[t, i, m]} expected{looks}"
    return None
