"""Class targets of another implementation: do they keep their promises, and follow their law?"""

import re
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pslref.check import FloatArray, IntArray
from pslref.oracle.bets import Finding, Stake, verdict
from pslref.oracle.distribution import EXACT, follow_law, promises
from pslref.sampling import global_batch_sizes
from pslref.sampling.assign import slowest_first_within_classes


def judge_targets(
    targets: NDArray[Any],
    local: NDArray[Any],
    class_counts: IntArray,
    batch_size: int,
    draw: str,
    assign: str,
    delays: FloatArray,
    *,
    alpha: float = 1e-6,
    remainder: str = "short",
) -> list[Finding]:
    """Test schedules with class targets, one per epoch in the order drawn. (method.md 3.4)

    Promises, checked exactly: of each class every client gives each of its samples once, and the
    steps have their sizes; the clients bring what the targets say; stratified, no Δ_t is above
    the bound that is proven; slowest first, no client brings a sample of a class before those
    that are slower have given all of theirs. If these are kept, the law follows. Hypergeometric
    targets are a UGS schedule with the classes for clients; assigned at random, so are the
    classes of the clients, and with them the clients. Of stratified targets every sample is
    equally likely in every step.

    Args:
        targets: (R, T, M) whole numbers c_tm.
        local: (R, T, K, M) what each client brings of each class.
        class_counts: (K, M) samples n_km of class m at client k.
        batch_size: B.
        draw: "hypergeometric" or "stratified".
        assign: "random" or "slowest-first".
        delays: (K,) no two of them equal: how ties are resolved is not judged.
        alpha: the most probability that a right implementation is accused.
        remainder: "short" or "even".

    Returns:
        The findings, in the order to read them; the first broken promise ends the list.
    """
    num_clients, num_classes = class_counts.shape
    batches = global_batch_sizes(int(class_counts.sum()), batch_size, remainder)
    if local.shape[2:] != class_counts.shape or targets.shape != (*local.shape[:2], num_classes):
        expected = f"(R, T, {num_classes}) and (R, T, {num_clients}, {num_classes}) expected"
        return [_broken("form", f"the shapes are {targets.shape} and {local.shape}, {expected}")]
    held, cells = class_counts.ravel(), local.reshape(*local.shape[:2], -1)
    names = [f"class {m} of client {k}" for k, m in np.ndindex(class_counts.shape)]
    findings = _renamed(promises([*cells], held, len(batches), lambda: (batches, None)), names)
    if findings[-1].passed:
        findings.append(_targets_met(targets, local))
    if findings[-1].passed and draw == "stratified":
        findings.append(_deviation_bounded(targets, class_counts.sum(axis=0)))
    if findings[-1].passed and assign == "slowest-first":
        findings.append(_slowest_first(targets, local, class_counts, delays))
    if findings[-1].passed:
        if assign == "slowest-first":  # then nothing but the targets is random
            cells, held = targets, class_counts.sum(axis=0)
            names = [f"class {m}" for m in range(num_classes)]
        law = (
            [means(cells, held, alpha)] if draw == "stratified" else follow_law(cells, held, alpha)
        )
        findings += _renamed(law, names)
    return findings


def means(counts: IntArray, held: IntArray, level: float) -> Finding:
    """The mean of each count in each step, whatever its law: every sample is equally likely.

    A stake of 1 becomes Π_r (1 + λ (b_rt − B_t n / N)), which stays 1 in expectation as long as
    each factor's does, and is above 0. [derived]

    Args:
        counts: (R, T, J) samples b_rt of each of J kinds, in each epoch and step.
        held: (J,) how many there are of each kind.
        level: accused if p is at most that.
    """
    batches = counts[0].sum(axis=1, keepdims=True)
    mean = batches * held / held.sum()
    largest = np.maximum(mean, np.minimum(held, batches) - mean)
    stake = Stake(len(counts), 2 * mean.size, level)
    size = np.minimum(stake.size, 0.9 / np.maximum(largest, 0.5))
    gains = [np.log1p(way * size * (counts - mean)).sum(axis=0) for way in (1, -1)]

    def detail(bet: tuple[int, ...]) -> str:
        _, t, k = bet
        return (
            f"client {k} brings {counts[:, t, k].mean():.3f} samples to step {t} "
            f"(mean of {len(counts)} epochs), {mean[t, k]:.3f} expected"
        )

    least = stake.least(len(counts), float(size.min()))
    detects = f"a mean count in one step that is off by {least:.2f} samples"
    return verdict("means", level, np.array(gains), detail, detects, least)


def _targets_met(targets: IntArray, local: IntArray) -> Finding:
    brought = local.sum(axis=2)
    for r, t, m in np.argwhere(brought != targets)[:1]:
        how = f"samples of class {m} to step {t}, the target is {targets[r, t, m]}"
        return _broken("targets", f"epoch {r}: the clients bring {brought[r, t, m]} {how}")
    return _kept("targets", len(targets))


def _deviation_bounded(targets: IntArray, totals: IntArray) -> Finding:
    """Δ_t B_t ≤ max_A 2 (|A| (1 − P) + (M − |A|) P), in whole numbers. [derived] (method.md 3.4)"""
    total, batches = totals.sum(), targets.sum(axis=2, keepdims=True)
    off = targets * total - batches * totals
    apart = np.abs(off).sum(axis=2)
    most_frequent = np.sort(totals[totals > 0])[::-1]
    size, of_classes = np.arange(most_frequent.size + 1), np.append(0, most_frequent.cumsum())
    bound = 2 * (size * (total - of_classes) + size[::-1] * of_classes).max()
    for r, t in np.argwhere(apart > bound)[:1]:
        m, b = int(np.abs(off[r, t]).argmax()), int(batches[r, t, 0])
        return _broken(
            "deviation",
            f"epoch {r}: Δ is {apart[r, t] / b / total:.2f} in step {t}, and at most "
            f"{bound / b / total:.2f} if stratified; class {m} has {targets[r, t, m]} of {b} "
            f"samples, {b * totals[m] / total:.1f} expected",
        )
    return _kept("deviation", len(targets))


def _slowest_first(
    targets: IntArray, local: IntArray, class_counts: IntArray, delays: FloatArray
) -> Finding:
    for r, (wanted, brought) in enumerate(zip(targets, local, strict=True)):
        plan = slowest_first_within_classes(wanted, class_counts, delays)
        for t, k, m in np.argwhere(brought != plan)[:1]:
            fastest_first = slowest_first_within_classes(wanted, class_counts, -delays)
            looks = ": the fastest come first" if (brought == fastest_first).all() else ""
            how = f"samples of class {m} to step {t}, {plan[t, k, m]} expected{looks}"
            return _broken(
                "slowest_first", f"epoch {r}: client {k} brings {brought[t, k, m]} {how}"
            )
    return _kept("slowest_first", len(targets))


def _broken(name: str, detail: str) -> Finding:
    return Finding(name, False, detail, EXACT)


def _kept(name: str, epochs: int) -> Finding:
    return Finding(name, True, f"kept in all of {epochs} epochs", EXACT)


def _renamed(findings: list[Finding], names: list[str]) -> list[Finding]:
    """Findings on clients that are no clients: call "client 3" by its name."""

    def named(match: re.Match[str]) -> str:
        return names[int(match[1])]

    return [replace(f, detail=re.sub(r"client (\d+)", named, f.detail)) for f in findings]
