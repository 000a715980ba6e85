"""Class targets of another implementation: do they keep their promises, and follow their law?"""

from functools import partial

import numpy as np

from pslref.check import FloatArray, IntArray
from pslref.oracle.bets import follow_law, means
from pslref.oracle.distribution import drawn_log
from pslref.oracle.promises import Promise, exhausting, keeps
from pslref.oracle.result import Result
from pslref.sampling import global_batch_sizes
from pslref.sampling.assign import slowest_first_within_classes

OP = "class_targets"

Epoch = tuple[IntArray, IntArray]  # (T, M) its targets, (T, K, M) what each client brings


def judge_targets(
    targets: IntArray,
    local: IntArray,
    class_counts: IntArray,
    batch_size: int,
    draw: str,
    assign: str,
    delays: FloatArray,
    *,
    alpha: float = 1e-6,
    remainder: str = "short",
) -> list[Result]:
    """Test schedules with class targets, one per epoch in the order drawn. (method.md 3.4)

    Promises: of each class every client gives each of its samples once, and the steps have their
    sizes; the clients bring what the targets say; stratified, no Δ_t is above the bound that is
    proven; slowest first, no client brings a sample of a class before those that are slower have
    given all of theirs. Then the law. Hypergeometric targets are a UGS schedule with the classes
    for clients; assigned at random, so are the classes of the clients. Of stratified targets
    every sample is equally likely in every step.

    `targets` (R, T, M) are the c_tm, `local` (R, T, K, M) what each client brings of each class.
    No two `delays` (K,) may be equal: how ties are resolved is not judged.
    """
    num_clients, num_classes = class_counts.shape
    batches = global_batch_sizes(int(class_counts.sum()), batch_size, remainder)
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
    if draw == "stratified":
        promises["deviation"] = lambda epoch: _too_large(epoch, totals)
    if assign == "slowest-first":
        promises["slowest_first"] = lambda epoch: _not_the_slowest(epoch, class_counts, delays)
    results = keeps(OP, zip(targets, local, strict=True), promises)
    if results[-1].is_wrong:
        return results
    counts = local.reshape(*local.shape[:2], -1).astype(np.int64)
    if assign == "slowest-first":  # then nothing but the targets is random
        counts, held, names = targets, totals, [f"class {m}" for m in range(num_classes)]
    if draw == "stratified":
        return [*results, means(OP, names, counts, held, alpha)]
    return results + follow_law(drawn_log(OP, names, counts, held), alpha)


def _of_cells(promise: Promise, epoch: Epoch) -> str | None:
    return promise(epoch[1].reshape(len(epoch[1]), -1))


def _unmet(epoch: Epoch) -> str | None:
    targets, local = epoch
    brought = local.sum(axis=1)
    for t, m in np.argwhere(brought != targets)[:1]:
        how = f"samples of class {m} to step {t}, the target is {targets[t, m]}"
        return f"brings {brought[t, m]} {how}"
    return None


def _too_large(epoch: Epoch, totals: IntArray) -> str | None:
    """Δ_t B_t ≤ max_A 2 (|A| (1 − P) + (M − |A|) P), in whole numbers. [derived] (method.md 3.4)"""
    targets, total = epoch[0], totals.sum()
    batches = targets.sum(axis=1, keepdims=True)
    off = targets * total - batches * totals
    apart = np.abs(off).sum(axis=1)
    most_frequent = np.sort(totals[totals > 0])[::-1]
    size, of_classes = np.arange(most_frequent.size + 1), np.append(0, most_frequent.cumsum())
    bound = 2 * (size * (total - of_classes) + size[::-1] * of_classes).max()
    for t in np.flatnonzero(apart > bound)[:1]:
        m, b = int(np.abs(off[t]).argmax()), int(batches[t, 0])
        return (
            f"has a Δ of {apart[t] / b / total:.2f} in step {t}, and at most "
            f"{bound / b / total:.2f} if stratified; class {m} has {targets[t, m]} of {b} "
            f"samples, {b * totals[m] / total:.1f} expected"
        )
    return None


def _not_the_slowest(epoch: Epoch, class_counts: IntArray, delays: FloatArray) -> str | None:
    targets, local = epoch
    plan = slowest_first_within_classes(targets, class_counts, delays)
    for t, k, m in np.argwhere(local != plan)[:1]:
        fastest_first = slowest_first_within_classes(targets, class_counts, -delays)
        looks = ": the fastest come first" if (local == fastest_first).all() else ""
        how = f"samples of class {m} to step {t} from client {k}, {plan[t, k, m]} expected{looks}"
        return f"brings {local[t, k, m]} {how}"
    return None
