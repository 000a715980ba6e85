"""Does a sampler keep its promises, and does it draw by its law? Its schedules alone tell."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from pslref import check
from pslref.check import ArrayLike, FloatArray, IntArray
from pslref.oracle import bets_on_counts, bets_on_order
from pslref.oracle.bets import Finding, tabulate
from pslref.sampling import LdsOptions, global_batch_sizes, mixing_weights, until_empty
from pslref.sampling.fixed import local_batch_sizes, steps_until_empty
from pslref.sampling.mixing import Posterior
from pslref.sampling.uniform import REMAINDERS

LAWS = ("ugs", "fls", "fpls", "lds")
EXACT = "any difference, in any epoch"
FAMILIES = (
    bets_on_counts.cells,
    bets_on_counts.outcomes,
    bets_on_counts.clients,
    bets_on_counts.spread,
    bets_on_order.within_step,
    bets_on_order.between_steps,
    bets_on_order.between_epochs,
    bets_on_order.repeats,
)

Epoch = NDArray[Any]  # what somebody logged: of any shape and type
Planned = tuple[IntArray, IntArray | None]  # (T,) the B_t; of FLS and FPLS, (T, K) all b_tk


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
) -> list[Finding]:
    """Test schedules, one per epoch in the order drawn, against a sampler's promises and law.

    The promises are checked exactly, on every schedule. FLS and FPLS promise the whole schedule;
    UGS and LDS promise T, the B_t, and that every client gives each of its samples once. If they
    do, eight families of bets on the law follow; each may accuse a right sampler with probability
    alpha / 8. Under UGS b_t is multivariate hypergeometric in what the clients have left. Under
    LDS its samples are drawn from π one at a time, over the clients that have something left;
    which of them run out in a step is taken as given, and not judged. (method.md 3.1 to 3.3)

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
        The findings, in the order to read them; the first broken promise ends the list.

    Raises:
        ValueError: for no schedules, and for arguments that the sampler itself would refuse.
    """
    n = check.client_sizes("sizes", sizes)
    check.one_of("law", law, LAWS)
    check.real("alpha", alpha, 0.0, 1.0, low_open=True)
    total = int(n.sum())
    num_steps = -(-total // check.integer("batch_size", batch_size, 1, total))
    check.one_of("remainder", remainder, REMAINDERS)
    local = posterior = None
    if law in ("fls", "fpls"):
        local = local_batch_sizes(n, batch_size, proportional=law == "fpls")
        num_steps = steps_until_empty(n, local)
    elif law == "lds":
        posterior = _mixing(n, class_counts, weights, reestimate, options)
    check.sequence("schedules", schedules)
    if not len(schedules):
        raise check.wrong("schedules", schedules, "must hold at least one epoch")
    epochs = [_array(schedule) for schedule in schedules]

    @cache
    def planned() -> Planned:
        if local is None:
            return global_batch_sizes(total, batch_size, remainder), None
        plan = until_empty(n, local).batch_sizes
        return plan.sum(axis=1), plan

    findings = promises(epochs, n, num_steps, planned)
    if local is None and findings[-1].passed:
        findings += follow_law(np.stack(epochs), n, alpha, posterior)
    return findings


def follow_law(
    schedules: NDArray[Any],
    sizes: IntArray,
    alpha: float,
    posterior: Callable[[IntArray], FloatArray] | None = None,
) -> list[Finding]:
    """The families of bets on schedules (R, T, K) that keep the promises of UGS; or of LDS."""
    table = tabulate(schedules.astype(np.int64), sizes, posterior)
    return [family(table, alpha / len(FAMILIES)) for family in FAMILIES]


def _mixing(
    sizes: IntArray,
    class_counts: ArrayLike | None,
    weights: ArrayLike | None,
    reestimate: bool,
    options: LdsOptions,
) -> Callable[[IntArray], FloatArray]:
    """π as a function of the clients that have something left."""
    if weights is not None:
        fixed = check.per_client("weights", weights, sizes.size)
        if (fixed[sizes > 0] == 0).any():
            raise check.wrong("weights", weights, "must be above 0 for a client that has samples")
    elif class_counts is not None:
        counts = check.class_counts("class_counts", class_counts)
        if not np.array_equal(counts.sum(axis=1), sizes):
            raise check.wrong("class_counts", class_counts, "must sum to sizes over the classes")
        check.one_of("labels", options.get("labels", "expected"), ["expected"])
        if reestimate:
            em = Posterior(counts, None, **options)
            return lambda clients: em.weights(clients, em.alpha[clients])
        fixed = mixing_weights(counts, **options)
    else:
        raise check.wrong("weights", weights, "must be given, or class_counts, if law = 'lds'")
    return lambda clients: fixed[clients] / fixed[clients].sum()


def _array(schedule: ArrayLike) -> Epoch:
    try:
        return np.asarray(schedule)
    except ValueError:  # rows of different lengths: no shape at all
        return np.zeros(())


def promises(
    epochs: list[Epoch], sizes: IntArray, num_steps: int, planned: Callable[[], Planned]
) -> list[Finding]:
    """One finding per promise, up to the first that is broken in any epoch.

    What is planned is made for an epoch that has as many steps, so it is no larger than the log.
    """
    broken: dict[str, str] = {}
    for r, epoch in enumerate(epochs):
        name, how = _broken(epoch, sizes, num_steps, planned)
        broken.setdefault(name, f"epoch {r} {how}")
    findings = []
    for name in ("form", "num_steps", "batch_sizes", "exhaustion", "plan"):
        if name == "plan" and planned()[1] is None:
            break
        detail = broken.get(name, f"kept in all of {len(epochs)} epochs")
        findings.append(Finding(name, name not in broken, detail, EXACT))
        if name in broken:
            break
    return findings


def _broken(
    epoch: Epoch, sizes: IntArray, num_steps: int, planned: Callable[[], Planned]
) -> tuple[str, str]:
    """The first promise that an epoch breaks, and how; ("", "") if it keeps them all."""
    if epoch.ndim != 2 or epoch.shape[1] != sizes.size:
        return "form", f"has the shape {epoch.shape}, (T, {sizes.size}) expected"
    if epoch.dtype.kind not in "iu":
        return "form", "holds numbers that are not whole"
    for t, k in np.argwhere((epoch < 0) | (epoch > sizes))[:1]:
        return "form", f"takes {epoch[t, k]} of the {sizes[k]} samples of client {k} in step {t}"
    if len(epoch) != num_steps:
        return "num_steps", f"has {len(epoch)} steps, {num_steps} expected"
    batches, plan = planned()
    used = epoch.sum(axis=1)
    for t in np.flatnonzero(used != batches)[:1]:
        return "batch_sizes", f"uses {used[t]} samples in step {t}, {batches[t]} expected"
    given = epoch.sum(axis=0)
    for k in np.flatnonzero(given != sizes)[:1]:
        return "exhaustion", f"takes {given[k]} samples from client {k}, who has {sizes[k]}"
    if plan is not None:
        for t, k in np.argwhere(epoch != plan)[:1]:
            how = f"takes {epoch[t, k]} samples from client {k} in step {t}, not {plan[t, k]}"
            return "plan", how
    return "", ""
