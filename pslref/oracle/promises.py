"""What must hold in every epoch, exactly, before anything is said of chance."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from pslref.check import Array, IntArray
from pslref.oracle.result import Result

Promise = Callable[[Any], str | None]  # how an epoch breaks it, or None


def keeps(op: str, epochs: Iterable[Any], promises: Mapping[str, Promise]) -> list[Result]:
    """One result for each promise, up to the first that is broken in any epoch."""
    results, epochs = [], list(epochs)
    for name, broken in promises.items():
        found = ((r, broken(epoch)) for r, epoch in enumerate(epochs))
        how = next((f"epoch {r} {how}" for r, how in found if how), None)
        kept = f"kept in all of {len(epochs)} epochs"
        results.append(
            Result(name, op, "wrong" if how else "ok", how or kept, detects="any difference")
        )
        if how:
            break
    return results


def exhausting(
    names: Sequence[str], sizes: IntArray, num_steps: int, planned: Callable[[], IntArray]
) -> dict[str, Promise]:
    """The promises of a schedule (T, K) in which every client gives each of its samples once.

    `planned` makes the (T,) batch sizes B_t; it is asked if an epoch has T steps, so that nothing
    is larger than the log.
    """

    def form(epoch: Array | None) -> str | None:
        if epoch is None:
            return "is no table of whole numbers"
        if epoch.ndim != 2 or epoch.shape[1] != sizes.size:
            return f"has the shape {epoch.shape}, (T, {sizes.size}) expected"
        for t, k in np.argwhere((epoch < 0) | (epoch > sizes))[:1]:
            return f"takes {epoch[t, k]} of the {sizes[k]} samples of {names[k]} in step {t}"
        return None

    def steps(epoch: Array) -> str | None:
        return None if len(epoch) == num_steps else f"has {len(epoch)} steps, {num_steps} expected"

    def batches(epoch: Array) -> str | None:
        used, due = epoch.sum(axis=1), planned()
        for t in np.flatnonzero(used != due)[:1]:
            first = ": the short batch comes first" if (used == np.roll(due, 1)).all() else ""
            return f"uses {used[t]} samples in step {t}, {due[t]} expected{first}"
        return None

    def exhaustion(epoch: Array) -> str | None:
        given = epoch.sum(axis=0)
        for k in np.flatnonzero(given != sizes)[:1]:
            return f"takes {given[k]} samples from {names[k]}, who has {sizes[k]}"
        return None

    return {"form": form, "num_steps": steps, "batch_sizes": batches, "exhaustion": exhaustion}


def whole(values: object) -> Array | None:
    """An answer as an array of whole numbers; None for anything else, which is not cast."""
    try:
        array = np.asarray(values)
    except ValueError:  # rows of different lengths: no shape at all
        return None
    return array if array.dtype.kind in "iu" else None
