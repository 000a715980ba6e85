"""The mixing weights of LDS: they fit the classes, and lean towards the slow clients."""

import math
import warnings
from typing import TypedDict, Unpack

import numpy as np

from pslref import check
from pslref.check import ArrayLike, FloatArray, IntArray

# Of a client that has samples, when a large delta makes its prior or its weight underflow. No
# draw can tell it from 0, but no division is by 0, and its turn comes when the others are empty.
LEAST_WEIGHT = 1e-250

TOO_MANY = 1_000_000_000  # samples, for NumPy's multivariate_hypergeometric
AT_ONCE = 2**16  # places


class LdsOptions(TypedDict, total=False):
    """How the weights are found; `lds` explains each."""

    delays: ArrayLike | None
    delta: float
    concentration: float
    pseudo_samples: int | None
    labels: str
    tol: float
    max_iter: int


def mixing_weights(
    class_counts: ArrayLike, rng: np.random.Generator | None = None, **options: Unpack[LdsOptions]
) -> FloatArray:
    """The weights π from which `lds` draws its first step: (K,), summing to 1, 0 without samples.

    Arguments are those of `lds`; only labels="sampled" needs `rng`. (method.md 3.3)

    >>> mixing_weights([[30, 0], [0, 10]], delays=[1, 5], delta=1).round(3)
    array([0.453, 0.547])
    """
    counts = check.class_counts("class_counts", class_counts)
    weights = np.zeros(len(counts))
    clients = np.flatnonzero(counts.sum(axis=1))
    posterior = Posterior(counts, rng, **options)
    weights[clients] = posterior.weights(clients, posterior.alpha[clients])
    return weights


def prior(
    sizes: IntArray, pseudo_samples: int, concentration: float, delta: float, delays: FloatArray
) -> FloatArray:
    """The parameters of the Dirichlet prior: α_k = c · Z · r_k · exp(δ · z_k), (K,).

    r_k = n_k / N, Z = S (N − 1) / (N − S) − 1, and z_k is the delay's z-score over all K clients,
    0 if all are equal. [paper] (method.md 3.3)
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

    E: γ_mk = π_k β_km / Σ_j π_j β_jm. M: π_k ∝ Σ_m S_m γ_mk + α_k. [reading] (method.md 3.3)

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


class Posterior:
    """What the mixing weights are the mode of: the prior's α, β and the labels' S_m, with EM's end.

    Arguments are those of `lds`; only labels="sampled" draws from `rng`.
    """

    def __init__(
        self,
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
    ) -> None:
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
            self.label_counts = s * class_sizes / total
        elif rng is None:
            raise check.wrong("rng", rng, "must be given when labels are sampled")
        else:
            check.generator("rng", rng)
            sampled = without_replacement(class_sizes, min(s, total), rng)
            self.label_counts = sampled.astype(np.float64)
        self.alpha = prior(sizes, s, c, delta, d)
        self.client_class_probs = class_counts / np.maximum(sizes, 1)[:, np.newaxis]
        self.tol = check.real("tol", tol, 0.0, low_open=True)
        self.max_iter = check.integer("max_iter", max_iter, 1)
        self.warned = False

    def weights(self, clients: IntArray, start: FloatArray) -> FloatArray:
        """π over these clients alone; the first time that EM is stopped early it warns."""
        alpha, beta = self.alpha[clients], self.client_class_probs[clients]
        weights, change = em(alpha, beta, self.label_counts, start, self.tol, self.max_iter)
        if change >= self.tol and not self.warned:
            self.warned = True
            warnings.warn(
                f"EM did not converge: after max_iter = {self.max_iter} iterations the weights "
                f"still change by {change:.1e} (L1), and tol = {self.tol:g}",
                RuntimeWarning,
                stacklevel=2,
            )
        return weights


def without_replacement(class_sizes: IntArray, number: int, rng: np.random.Generator) -> IntArray:
    """How many of each class are among `number` samples drawn without replacement: (M,).

    NumPy has this multivariate hypergeometric law for less than 10⁹ samples. From there on some
    are drawn by their places among all samples, sorted by class, until less are left. [derived]
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
