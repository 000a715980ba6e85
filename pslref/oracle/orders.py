"""The orders in which clients hand out their samples: do they keep promises, and are they fresh?"""

from collections.abc import Sequence

import numpy as np

from pslref.check import Array, IntArray
from pslref.oracle.bets import follow_law, log
from pslref.oracle.distribution import named
from pslref.oracle.draws import Urns, uniform_urns
from pslref.oracle.promises import Promise, keeps
from pslref.oracle.result import Result


def judge_orders(
    op: str, samples: IntArray, owners: IntArray, steps: IntArray, names: Sequence[str],
    alpha: float,
) -> list[Result]:  # fmt: skip
    """Each owner brings each of its samples once an epoch, in a fresh uniform order.

    A shuffle is a UGS schedule of clients with one sample each; its steps are the local batches,
    in which the order does not matter. [derived] (method.md 4.1)

    `samples` (E, N) are in the order of use: step by step, within a step owner by owner; `owners`
    (N,) is whose each sample is; `steps` (S, owners), how many samples each brings.
    """
    due = np.concatenate([np.repeat(np.arange(len(names)), row) for row in steps])
    results = keeps(op, samples, _promises(owners, due, names))
    if results[-1].is_wrong:
        return results
    place = np.argsort(samples, axis=1)
    step = np.repeat(np.arange(len(steps)), steps.sum(axis=1))[place]
    shuffles, are_sorted = [], True
    for k in np.flatnonzero(steps.sum(axis=0) > 1).tolist():
        own = np.flatnonzero(owners == k)
        taken = (step[:, np.newaxis, own] == np.arange(len(steps))[:, np.newaxis]).astype(np.int64)
        shuffles.append(([f"sample {i} of {names[k]}" for i in own], taken))
        are_sorted = are_sorted and bool((np.diff(place[:, own], axis=1) > 0).all())
    known = ["samples are handed out in the order of their numbers"] if are_sorted else []
    return results + named(_follow(op, shuffles, alpha), lambda: known)


def _promises(owners: IntArray, due: IntArray, names: Sequence[str]) -> dict[str, Promise]:
    """What must hold of the samples (N,) of an epoch, where those of owners `due` (N,) come."""

    def form(row: Array) -> str | None:
        if row.shape != owners.shape:
            return f"has {row.size} samples, {owners.size} expected"
        if ((row < 0) | (row >= owners.size)).any():
            return f"has a sample that is none of 0..{owners.size - 1}"
        return None

    def own(row: IntArray) -> str | None:
        for i in np.flatnonzero(due != owners[row])[:1]:
            comes = f"comes sample {row[i]}, of {names[owners[row[i]]]}"
            return f"has a wrong owner: where one of {names[due[i]]} is due {comes}"
        return None

    def once(row: IntArray) -> str | None:
        again = "brings some sample twice, and some not at all"
        return again if np.unique(row).size < row.size else None

    return {"form": form, "owners": own, "exhaustion": once}


def _follow(op: str, shuffles: list[tuple[list[str], IntArray]], alpha: float) -> list[Result]:
    """What the law says of (names, counts) of each owner, whose samples (E, S, n) are clients."""
    if not shuffles:
        return []
    counts = np.concatenate([taken for _, taken in shuffles], axis=-1)
    left = 1 - (np.cumsum(counts, axis=1) - counts)
    ends = np.cumsum([taken.shape[-1] for _, taken in shuffles])[:-1]
    parts = [
        uniform_urns(*part)
        for part in zip(*(np.split(array, ends, axis=-1) for array in (left, counts)), strict=True)
    ]
    urns = (
        Urns(*(np.concatenate(arrays, axis=-1) for arrays in zip(*each, strict=True)))
        for each in zip(*parts, strict=True)
    )
    names = [name for titles, _ in shuffles for name in titles]
    return follow_law(log(op, names, counts, left, *urns), alpha)
