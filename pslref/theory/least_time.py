"""The least epoch time that any schedule can have, also with costs per sample (method.md 5.1)."""

import numpy as np

from pslref import check
from pslref.check import ArrayLike, FloatArray, IntArray
from pslref.sampling import program
from pslref.sampling.deadlines import ROUNDING


def least_epoch_time(
    class_counts: ArrayLike,
    batch_size: int,
    delays: ArrayLike,
    sample_costs: ArrayLike = 0.0,
    slack: float = 2.0,
) -> float:
    """A lower bound: no schedule with B_t ≤ B and Δ_t ≤ slack in every step is sooner done.

    With prices π_km of samples of which no step brings more than λ times its time, no epoch takes
    less than Σ_km π_km n_km / λ. The prices are those of the linear program that `targets` plans
    an epoch with. Never less than max_k (n_k s_k + ⌈n_k / B⌉ d_k) or `split.epoch_time_bound` of
    d + s, but for 1e-12 of them, for rounding. [derived] (method.md 5.1)

    Args:
        class_counts: (K, M) samples n_km of class m at client k, whole numbers.
        batch_size: B, the most samples of a step.
        delays: (K,) d_k per step that client k takes part in, finite, 0 or more, in any unit.
        sample_costs: (K,) or one for all, s_k per sample, in the same unit.
        slack: 0 to 2; 2 allows any mix of classes.

    Returns:
        The bound, in the unit of the delays.
    """
    counts = check.class_counts("class_counts", class_counts)
    b = min(check.integer("batch_size", batch_size, 1), int(counts.sum()))
    d = check.per_client("delays", delays, len(counts))
    s = check.per_client("sample_costs", sample_costs, len(counts))
    slack = check.real("slack", slack, 0, 2)
    held = counts.sum(axis=1) > 0
    return least(counts[held], b, d[held], s[held], slack)


def least(
    class_counts: IntArray, batch_size: int, delays: FloatArray, costs: FloatArray, slack: float
) -> float:
    """The largest of three bounds, of clients that all hold samples."""
    sizes = class_counts.sum(axis=1)
    order = np.argsort(-(delays + costs), kind="stable")
    steps = np.diff(-(-np.cumsum(sizes[order]) // batch_size), prepend=0)
    slowest_first = steps @ (delays + costs)[order]  # a step is at least as long as d_k + s_k
    alone = np.max(sizes * costs + -(-sizes // batch_size) * delays)
    bound = float(max(slowest_first, alone))
    if bound > 0 and (slack < 2 or costs.any()):  # otherwise the first is attained
        bound = max(bound, program.least_time(class_counts, batch_size, delays, costs, slack))
    return bound * (1 - ROUNDING)  # no schedule's time is below it by rounding alone
