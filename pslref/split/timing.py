"""How long a step and an epoch take when some clients are slow (docs/method.md, section 5)."""

import numpy as np

from pslref import check
from pslref.check import ArrayLike, FloatArray, IntArray
from pslref.sampling import Schedule, Steps


def straggler_delays(
    num_clients: int,
    rng: np.random.Generator,
    fraction: float = 0.125,
    slowdown: float = 10.0,
    jitter: float = 0.2,
) -> FloatArray:
    """Delays of clients of which some are stragglers: d_k = (slowdown or 1) · U_k.

    Each client is a straggler with probability `fraction`, independently of the others, so their
    number varies, and may be 0. U_k is uniform in [1, 1 + jitter]. The same rng gives the same
    U_k for all fractions, and a larger fraction adds stragglers. [reading] (method.md 5)

    Args:
        num_clients: K, 1 or more.
        rng: the source of randomness.
        fraction: the probability of being a straggler, 0 to 1.
        slowdown: how many times slower a straggler is, 1 or more.
        jitter: how far the clients differ besides, 0 or more.

    Returns:
        (K,) the delays, 1 or more, in units of the fastest possible client.
    """
    k = check.integer("num_clients", num_clients, 1, check.MOST_NUMBERS)
    check.generator("rng", rng)
    is_straggler = rng.random(k) < check.real("fraction", fraction, 0, 1)
    slow = np.where(is_straggler, check.real("slowdown", slowdown, 1), 1.0)
    return slow * (1 + check.real("jitter", jitter, 0) * rng.random(k))


def step_times(
    schedule: Schedule | Steps,
    delays: ArrayLike,
    sample_costs: ArrayLike = 0.0,
    server_time: float = 0.0,
    server_sample_cost: float = 0.0,
) -> FloatArray:
    """A step takes as long as its slowest participant: max over b_tk > 0 of (d_k + b_tk · s_k).

    To this the server's time is added, a constant and B_t times a cost. [reading] (method.md 5)

    Args:
        schedule: who takes part in which step.
        delays: (K,) d_k per step (link and wake-up), finite, 0 or more, in any unit of time.
        sample_costs: (K,) or one for all, s_k per sample, in the same unit.
        server_time: per step, in the same unit.
        server_sample_cost: per sample of the global batch, in the same unit.

    Returns:
        (T,) the time of each step.
    """
    if not isinstance(schedule, Steps):
        check.kind("schedule", schedule, Schedule)
    d = check.per_client("delays", delays, schedule.num_clients)
    s = check.per_client("sample_costs", sample_costs, schedule.num_clients)
    server = check.real("server_time", server_time, 0)
    cost = check.real("server_sample_cost", server_sample_cost, 0)
    times = [(d[k] + b * s[k]).max(initial=0.0) + b.sum() * cost for k, b in schedule.steps()]
    return np.array(times, np.float64) + server


def step_time(
    counts: IntArray,
    delays: FloatArray,
    sample_costs: FloatArray,
    server_sample_cost: float = 0.0,
) -> float:
    """One of `step_times`, for one step's (K,) local batch sizes b_tk."""
    k = np.flatnonzero(counts)
    slowest = (delays[k] + counts[k] * sample_costs[k]).max(initial=0.0)
    return float(slowest + counts.sum() * server_sample_cost)


def epoch_time(
    schedule: Schedule | Steps,
    delays: ArrayLike,
    sample_costs: ArrayLike = 0.0,
    server_time: float = 0.0,
    server_sample_cost: float = 0.0,
) -> float:
    """The sum of `step_times` over the epoch; arguments, unit and errors are the same."""
    times = step_times(schedule, delays, sample_costs, server_time, server_sample_cost)
    return float(times.sum())


def epoch_time_bound(sizes: ArrayLike, delays: ArrayLike, batch_size: int) -> float:
    """The least epoch time of any schedule whose steps hold at most B samples: Σ_i d_(iB + 1).

    d_(1) ≥ d_(2) ≥ ... are the delays of all N samples' clients, one for each sample, and the sum
    takes every B-th: i = 0, 1, ..., ⌈N / B⌉ − 1. `pslref.sampling.slowest_first` attains it. With
    costs per sample pass d_k + s_k for the delays. [derived] (method.md 5)

    Args:
        sizes: (K,) samples n_k of each client, whole numbers.
        delays: (K,) d_k per step, finite, 0 or more.
        batch_size: B, 1 ≤ B ≤ N.

    Returns:
        The bound, in the unit of the delays.
    """
    n = check.client_sizes("sizes", sizes)
    d = check.per_client("delays", delays, n.size)
    b = check.integer("batch_size", batch_size, 1, int(n.sum()))
    order = np.argsort(-d)
    steps = np.diff(-(-np.cumsum(n[order]) // b), prepend=0)  # of which each is the slowest
    return float(steps @ d[order])
