"""LDS: clients are drawn from mixing weights that fit the classes and lean towards the slow."""

import math
import warnings
from typing import NamedTuple, TypedDict, Unpack

import numpy as np

from pslref import check
from pslref.check import ArrayLike, FloatArray, IntArray
from pslref.sampling.schedule import AT_ONCE, Schedule, Steps
from pslref.sampling.uniform import REMAINDERS, global_batch_sizes

# Of a client that has samples, when a large delta makes its prior or its weight underflow. No
# draw can tell it from 0, but no division is by 0, and its turn comes when the others are empty.
LEAST_WEIGHT = 1e-250

TOO_MANY = 1_000_000_000  # samples, for NumPy's multivariate_hypergeometric


class LdsOptions(TypedDict, total=False):
    """What `lds`, `lds_steps` and `mixing_weights` share; `lds` explains them."""

    delays: ArrayLike | None
    delta: float
    concentration: float
    pseudo_samples: int | None
    labels: str
    tol: float
    max_iter: int


def lds(
    class_counts: ArrayLike,
    batch_size: int,
    rng: np.random.Generator,
    *,
    reestimate: bool = True,
    remainder: str = "short",
    **options: Unpack[LdsOptions],
) -> Schedule:
    """Latent Dirichlet sampling: stragglers run out of data early, the rest runs without them.

    The mixing weights π are the mode of a posterior: a Dirichlet prior that leans towards slow
    clients (`prior`), and S labels that pull the class mixture Σ_k π_k β_k to the pooled one
    (`em`). Each step draws its samples' clients from π (`draw`). T = ⌈N / B⌉. With delta = 0 π
    starts at the shares n_k / N: UGS, but for drawing with fixed instead of remaining shares.
    [paper: idea, prior and constants; reading: the EM step] (method.md 3.3)

    Args:
        class_counts: (K, M) samples n_km of class m at client k, whole numbers.
        batch_size: the global batch size B, 1 ≤ B ≤ N.
        rng: the source of randomness.
        reestimate: True: after a step in which clients ran out, EM goes on over those left, with
            α, β and S_m of the whole data [reading]. False: the weights are renormalised.
        remainder: "short" or "even", as in `ugs`.
        **options: any of these, by name.
            delays (None): (K,) delay of each client per step, finite, 0 or more, in any unit.
            delta (0): δ ≥ 0, how strongly the prior leans towards the slow. It acts on z-scores,
            which know no scale: delays 0.1 % apart count like tenfold ones. A negative δ is
            refused: it would keep the stragglers for the end of the epoch.
            concentration (1): c > 0; the larger, the more the prior counts against the labels.
            pseudo_samples (⌊N / 2⌋, within 2 and 1000): S, 2 ≤ S < N.
            labels ("expected"): S_m = S · p_m [reading]; "sampled": drawn from the pooled data
            without replacement [paper], once per schedule.
            tol (1e-8), max_iter (10,000): EM stops when the weights change by less (L1).

    Returns:
        The schedule.

    Raises:
        ValueError: for any argument outside the range given for it.

    Warns:
        RuntimeWarning: once per schedule, if EM reaches max_iter: small c and large δ are slow.
    """
    counts = check.class_counts("class_counts", class_counts)
    steps = lds_steps(
        counts, batch_size, rng, reestimate=reestimate, remainder=remainder, **options
    )
    return Schedule.from_steps(steps, -(-int(counts.sum()) // int(batch_size)), len(counts))


def lds_steps(
    class_counts: ArrayLike,
    batch_size: int,
    rng: np.random.Generator,
    *,
    reestimate: bool = True,
    remainder: str = "short",
    **options: Unpack[LdsOptions],
) -> Steps:
    """The steps of `lds` one by one: (clients, counts), without the dense (T, K) array."""
    check.generator("rng", rng)
    check.kind("reestimate", reestimate, bool)
    counts = check.class_counts("class_counts", class_counts)
    check.integer("batch_size", batch_size, 1, int(counts.sum()))
    check.one_of("remainder", remainder, REMAINDERS)
    posterior = _posterior(counts, rng, **options)
    return _steps(counts.sum(axis=1), batch_size, remainder, posterior, reestimate, rng)


def mixing_weights(
    class_counts: ArrayLike, rng: np.random.Generator | None = None, **options: Unpack[LdsOptions]
) -> FloatArray:
    """The weights π from which `lds` draws its first step: (K,), summing to 1.

    Arguments and errors are those of `lds`; only labels="sampled" needs `rng`. A client with no
    samples weighs 0. (method.md 3.3)
    """
    counts = check.class_counts("class_counts", class_counts)
    sizes = counts.sum(axis=1)
    posterior = _posterior(counts, rng, **options)
    weights = np.zeros(sizes.size)
    clients = np.flatnonzero(sizes)
    weights[clients], change = posterior.weights(clients, posterior.alpha[clients])
    posterior.warn_unless_converged(change)
    return weights


def prior(
    sizes: IntArray, pseudo_samples: int, concentration: float, delta: float, delays: FloatArray
) -> FloatArray:
    """The parameters of the Dirichlet prior: α_k = c · Z · r_k · exp(δ · z_k), (K,).

    r_k = n_k / N, Z = S (N − 1) / (N − S) − 1, and z_k is the delay's z-score over all K clients
    (0 if all are equal) [paper]. At c = 1, δ = 0 the variance of π_k is that of client k's share
    in S samples drawn without replacement, r_k (1 − r_k) (N − S) / (S (N − 1)) [derived].
    (method.md 3.3)
    """
    total, s = int(sizes.sum()), pseudo_samples
    pool = max(total, s + 1)  # with N = 1 or 2 no S is between 2 and N - 1: the pool counts as 3
    precision = concentration * (s * (pool - 1) / (pool - s) - 1)
    z = np.zeros(sizes.size)
    if delta > 0 and delays.min() < delays.max():
        scaled = delays / delays.max()  # so that the squares in the deviation cannot overflow
        z = (scaled - scaled.mean()) / scaled.std()
    steepest = delta * float(z.max())
    if steepest > 700 or math.isinf(precision * math.exp(steepest)):
        allowed = f"times the largest z-score, {z.max():g}, must be at most 700, the prior finite"
        raise check.wrong("delta", delta, f"{allowed} (concentration = {concentration:g})")
    alpha = precision * (sizes / total) * np.exp(delta * z)
    return np.where(sizes > 0, np.maximum(alpha, LEAST_WEIGHT), 0.0)


def em(
    alpha: FloatArray,
    client_class_probs: FloatArray,
    label_counts: FloatArray,
    start: FloatArray,
    tol: float,
    max_iter: int,
) -> tuple[FloatArray, float]:
    """The weights π with the largest Σ_m S_m log Σ_k π_k β_km + Σ_k α_k log π_k, by EM.

    E: γ_mk = π_k β_km / Σ_j π_j β_jm. M: π_k ∝ Σ_m S_m γ_mk + α_k: the mode under
    Dirichlet(α + 1) [reading]. The objective never falls, and is strictly concave: the start
    does not matter [derived]. (method.md 3.3)

    `start` (K,), positive and of any sum, is where it starts; β (K, M) are the class distributions
    of clients that have samples; labels S_m (M,) of a class that none of them holds are dropped.
    Returns π, (K,), summing to 1, and its last L1 change, which is below `tol` or, after
    `max_iter` iterations, is not.
    """
    held = client_class_probs.any(axis=0)
    beta, labels = client_class_probs[:, held], label_counts[held]
    weights = np.maximum(start / start.sum(), LEAST_WEIGHT)
    for _ in range(max_iter):
        mixture = weights @ beta  # Σ_j π_j β_jm
        updated = weights * (beta @ (labels / mixture)) + alpha  # Σ_m S_m γ_mk + α_k
        updated = np.maximum(updated / updated.sum(), LEAST_WEIGHT)
        change = float(np.abs(updated - weights).sum())
        weights = updated
        if change < tol:
            break
    return weights, change


def draw(
    weights: FloatArray, left: IntArray, batch_size: int, rng: np.random.Generator
) -> IntArray:
    """How many of `batch_size` samples each client brings: (K,), at most what it has `left`.

    Each sample's client is drawn from the weights; what exceeds a client's rest is drawn again
    from those that have more. That is, one at a time: Categorical(π) over the clients that have
    not given all [derived]. (method.md 3.3)
    """
    counts = np.zeros_like(left)
    while missing := batch_size - int(counts.sum()):
        # Scaled by its own last entry, and to the right of ties, the inverse of the cumulative
        # sum never names a client of weight 0, however the sum is rounded.
        cumulative = np.cumsum(np.where(counts < left, weights, 0.0))
        points = rng.random(missing) * cumulative[-1]
        clients = np.searchsorted(cumulative, points, side="right")
        counts = np.minimum(counts + np.bincount(clients, minlength=left.size), left)
    return counts


def without_replacement(class_sizes: IntArray, number: int, rng: np.random.Generator) -> IntArray:
    """How many of each class are among `number` samples drawn without replacement: (M,).

    This is the multivariate hypergeometric law, which NumPy has for less than 10⁹ samples. From
    there on some are drawn by their places among all samples, sorted by class; the rest is a
    draw from the samples that are left [derived].
    """
    counts = np.zeros_like(class_sizes)
    while (left := class_sizes - counts).sum() >= TOO_MANY and counts.sum() < number:
        some = min(number - int(counts.sum()), AT_ONCE)
        places = rng.choice(left.sum(), some, replace=False, shuffle=False)
        classes = np.searchsorted(left.cumsum(), places, side="right")
        counts += np.bincount(classes, minlength=left.size)
    if left.sum() < TOO_MANY:
        counts += rng.multivariate_hypergeometric(left, number - int(counts.sum()))
    return counts


class _Posterior(NamedTuple):
    alpha: FloatArray  # (K,)
    client_class_probs: FloatArray  # (K, M), 0 for a client with no samples
    label_counts: FloatArray  # (M,)
    tol: float
    max_iter: int

    def weights(self, clients: IntArray, start: FloatArray) -> tuple[FloatArray, float]:
        """π over these clients alone, and the last change of EM."""
        alpha, beta = self.alpha[clients], self.client_class_probs[clients]
        return em(alpha, beta, self.label_counts, start, self.tol, self.max_iter)

    def warn_unless_converged(self, change: float) -> bool:
        if change >= self.tol:
            warnings.warn(
                f"EM did not converge: after max_iter = {self.max_iter} iterations the weights "
                f"still change by {change:.1e} (L1), and tol = {self.tol:g}",
                RuntimeWarning,
                stacklevel=2,
            )
        return change >= self.tol


def _posterior(
    class_counts: IntArray,
    rng: np.random.Generator | None,
    *,
    delays: ArrayLike | None = None,
    delta: float = 0.0,
    concentration: float = 1.0,
    pseudo_samples: int | None = None,
    labels: str = "expected",
    tol: float = 1e-8,
    max_iter: int = 10_000,
) -> _Posterior:
    sizes, class_sizes = class_counts.sum(axis=1), class_counts.sum(axis=0)
    total = int(sizes.sum())
    delta = check.real("delta", delta, 0.0)
    if delta > 0 and delays is None:
        raise check.wrong("delays", delays, "must be given when delta is greater than 0")
    d = check.per_client("delays", 0.0 if delays is None else delays, sizes.size)
    c = check.real("concentration", concentration, 0.0, low_open=True)
    s = max(2, min(1000, total // 2))
    if pseudo_samples is not None:
        s = check.integer("pseudo_samples", pseudo_samples, 2, total - 1)
    if check.one_of("labels", labels, ["expected", "sampled"]) == "expected":
        label_counts = s * class_sizes / total
    elif rng is None:
        raise check.wrong("rng", rng, "must be given when labels are sampled")
    else:
        check.generator("rng", rng)
        label_counts = without_replacement(class_sizes, min(s, total), rng).astype(np.float64)
    return _Posterior(
        prior(sizes, s, c, delta, d),
        class_counts / np.maximum(sizes, 1)[:, np.newaxis],
        label_counts,
        check.real("tol", tol, 0.0, low_open=True),
        check.integer("max_iter", max_iter, 1),
    )


def _steps(
    sizes: IntArray,
    batch_size: int,
    remainder: str,
    posterior: _Posterior,
    reestimate: bool,
    rng: np.random.Generator,
) -> Steps:
    clients = np.flatnonzero(sizes)
    left, weights = sizes[clients], posterior.alpha[clients]
    estimate, warned = True, False
    for size in global_batch_sizes(int(sizes.sum()), batch_size, remainder):
        if estimate:
            weights, change = posterior.weights(clients, weights)
            warned = warned or posterior.warn_unless_converged(change)
        counts = draw(weights, left, int(size), rng)
        yield clients[counts > 0], counts[counts > 0]
        left = left - counts
        stay = left > 0
        estimate = reestimate and not stay.all()
        clients, left, weights = clients[stay], left[stay], weights[stay]
