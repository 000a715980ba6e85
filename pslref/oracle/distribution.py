"""Does a sampler keep its promises, and does it draw by its law? Its schedules alone tell."""

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial
from typing import Any, Unpack

import numpy as np

from pslref import check
from pslref.check import Array, ArrayLike, FloatArray, IntArray
from pslref.oracle.bets import Log, follow_law, log
from pslref.oracle.draws import latent_urns, uniform_urns
from pslref.oracle.promises import exhausting, keeps, whole
from pslref.oracle.result import Result
from pslref.sampling import LdsOptions, global_batch_sizes, mixing_weights, until_empty
from pslref.sampling.fixed import local_batch_sizes, steps_until_empty
from pslref.sampling.mixing import Posterior
from pslref.sampling.uniform import REMAINDERS

LAWS = ("ugs", "fls", "fpls", "lds")
SUSPECT = ("wrong", "noted")
EXPLAINED = 0.1  # a mistake is named if no test of its law has a p below

Weights = Callable[[IntArray], FloatArray]  # π of the clients that have something left
Mistakes = dict[str, Callable[[], Weights | None]]  # by name, their laws; None for UGS


def judge(
    schedules: Sequence[ArrayLike],
    law: str,
    sizes: ArrayLike,
    batch_size: int,
    *,
    alpha: float = 1e-6,
    remainder: str = "short",
    class_counts: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    reestimate: bool = True,
    **options: Unpack[LdsOptions],
) -> list[Result]:
    """Test schedules, one per epoch in the order drawn, against a sampler's promises and law.

    The promises are checked exactly, on every schedule. FLS and FPLS promise the whole schedule;
    UGS and LDS promise T, the B_t, and that every client gives each of its samples once. If they
    do, four families of bets on the law follow, on all counts of all epochs; each may accuse a
    right sampler with probability alpha / 4. A mistake in LDS is named if its law explains all.
    Under LDS, which clients run out in a step is taken as given, and not judged. (method.md 3.1
    to 3.3)

    Args:
        schedules: R arrays (T, K) of whole numbers b_tk.
        law: "ugs", "fls", "fpls" or "lds".
        sizes: (K,) samples n_k of each client.
        batch_size: B.
        alpha: the most probability that all tests together accuse a right sampler, to 1.
        remainder: "short" or "even", as in `ugs`.
        class_counts: (K, M) for LDS, with the options of `lds`: they give π. Its labels must be
            "expected": sampled ones would give another π, unknown here, in every epoch.
        weights: (K,) for LDS, instead of class_counts: π, renormalised when clients run out.
        reestimate: for LDS with class_counts, as in `lds`.
        **options: for LDS with class_counts, as in `lds`.

    Returns:
        The results, in the order to read them; the first broken promise ends the list. A test is
        "unsupported" if these epochs are too few for it to see anything.

    Raises:
        ValueError: for no schedules, and for arguments that the sampler itself would refuse.
    """
    n = check.client_sizes("sizes", sizes)
    check.one_of("law", law, LAWS)
    check.real("alpha", alpha, 0.0, 1.0, low_open=True)
    total = int(n.sum())
    num_steps = -(-total // check.integer("batch_size", batch_size, 1, total))
    check.one_of("remainder", remainder, REMAINDERS)
    law_of: Weights | None = None  # of UGS
    mistakes: Mistakes = {}
    local = local_batch_sizes(n, batch_size, proportional=law == "fpls")
    if law == "lds" and weights is not None:
        fixed = check.per_client("weights", weights, n.size)
        if (fixed[n > 0] == 0).any():
            raise check.wrong("weights", weights, "must be above 0 for a client that has samples")
        law_of = _fixed(fixed)
    elif law == "lds" and class_counts is not None:
        counts = check.class_counts("class_counts", class_counts)
        if not np.array_equal(counts.sum(axis=1), n):
            raise check.wrong("class_counts", class_counts, "must sum to sizes over the classes")
        check.one_of("labels", options.get("labels", "expected"), ["expected"])
        law_of = _estimated(counts, reestimate, options)
        mistakes = _mistakes(counts, reestimate, options)
    elif law == "lds":
        raise check.wrong("weights", weights, "must be given, or class_counts, if law = 'lds'")
    check.sequence("schedules", schedules)
    if not len(schedules):
        raise check.wrong("schedules", schedules, "must hold at least one epoch")
    names = [f"client {k}" for k in range(n.size)]
    epochs = [whole(schedule) for schedule in schedules]
    if law in ("fls", "fpls"):
        plan = cache(lambda: until_empty(n, local).batch_sizes)
        promises = exhausting(names, n, steps_until_empty(n, local), lambda: plan().sum(axis=1))
        return keeps("sample", epochs, {**promises, "plan": lambda epoch: _unlike(epoch, plan())})
    planned = cache(lambda: global_batch_sizes(total, batch_size, remainder))
    results = keeps("sample", epochs, exhausting(names, n, num_steps, planned))
    if results[-1].is_wrong:
        return results
    drawn = np.array(epochs, np.int64)

    def under(weights: Weights | None) -> list[Result]:
        return follow_law(drawn_log("sample", names, drawn, n, weights), alpha)

    def known() -> list[str]:
        explaining = []
        for name, law in mistakes.items():
            with suppress(ValueError):  # no float holds the prior that the mistake would have
                if all((one.p_value or 0) > EXPLAINED for one in under(law())):
                    explaining.append(name)
        return explaining

    return results + named(under(law_of), known)


def _unlike(epoch: Array, plan: IntArray) -> str | None:
    for t, k in np.argwhere(epoch != plan)[:1]:
        return f"takes {epoch[t, k]} samples from client {k} in step {t}, not {plan[t, k]}"
    return None


def drawn_log(
    op: str, names: Sequence[str], counts: IntArray, sizes: IntArray, weights: Weights | None = None
) -> Log:
    """Counts (R, T, K) that keep the promises, with the law of LDS by its weights, or of UGS."""
    left = sizes - (np.cumsum(counts, axis=1) - counts)
    if weights is None:
        return log(op, names, counts, left, *uniform_urns(left, counts))
    who, which = np.unique((left > 0).reshape(-1, sizes.size), axis=0, return_inverse=True)
    pi = np.zeros(who.shape)
    for row, has_some in zip(pi, who, strict=True):
        row[has_some] = weights(np.flatnonzero(has_some))
    return log(op, names, counts, left, *latent_urns(left, counts, pi[which].reshape(left.shape)))


def _fixed(weights: Array) -> Weights:
    return lambda clients: weights[clients] / weights[clients].sum()


def _estimated(class_counts: IntArray, reestimate: bool, options: LdsOptions) -> Weights:
    """π of LDS: estimated anew for the clients that are left, or once."""
    if not reestimate:
        return _fixed(mixing_weights(class_counts, **options))
    posterior = Posterior(class_counts, None, **options)
    return lambda clients: posterior.weights(clients, posterior.alpha[clients])


def _mistakes(class_counts: IntArray, reestimate: bool, options: LdsOptions) -> Mistakes:
    """Known mistakes in LDS, each as the options with which it would be right."""
    num_clients, total = len(class_counts), int(class_counts.sum())
    given: Any = {"delta": 0.0, "concentration": 1.0, "delays": None, "pseudo_samples": None}
    given |= options
    s = given["pseudo_samples"] or max(2, min(1000, total // 2))
    pool = max(total, s + 1)
    z = s * (pool - 1) / (pool - s) - 1
    delays = np.zeros(num_clients) if given["delays"] is None else np.asarray(given["delays"])
    changed: dict[str, Any] = {
        "Z lacks its - 1": {"concentration": given["concentration"] * (z + 1) / z},
        "the delays' standard deviation is that of a sample, over K - 1": {
            "delta": given["delta"] * math.sqrt(1 - 1 / num_clients)
        },
        "the delays have the wrong sign": {"delays": delays.max() - delays},
        "the delays do not count": {"delta": 0.0},
    }
    again = "estimated only once" if reestimate else "estimated again when clients ran out"
    return {
        "clients are drawn as by UGS": lambda: None,
        f"the weights are {again}": lambda: _estimated(class_counts, not reestimate, options),
    } | {
        name: partial(_estimated, class_counts, reestimate, {**options, **other})
        for name, other in changed.items()
    }


def named(results: list[Result], known: Callable[[], list[str]]) -> list[Result]:
    """The first suspect result with the mistake that explains it, if exactly one does."""
    wrong = next((i for i, one in enumerate(results) if one.verdict in SUSPECT), None)
    if wrong is not None and len(mistakes := known()) == 1:
        detail = f"{results[wrong].detail}; this looks like a known mistake: {mistakes[0]}"
        results[wrong] = replace(results[wrong], detail=detail)
    return results
