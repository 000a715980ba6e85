"""LDS: clients are drawn from mixing weights, until they have no samples left. (method.md 3.3)

The weights π are the mode of a posterior: a Dirichlet prior that leans towards slow clients
(`prior`), and S labels that pull the class mixture Σ_k π_k β_k to the pooled one (`em`). Each step
draws its samples' clients from π (`draw`). `mixing.lds` is these formulas with their arguments
checked.
"""

import numpy as np

from pslref.check import FloatArray, IntArray

# Of a client that has samples, when a large delta makes its prior or its weight underflow. No
# draw can tell it from 0, but no division is by 0, and its turn comes when the others are empty.
LEAST_WEIGHT = 1e-250


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
    alpha = precision * (sizes / total) * np.exp(delta * z_scores(delays))
    return np.where(sizes > 0, np.maximum(alpha, LEAST_WEIGHT), 0.0)


def z_scores(delays: FloatArray) -> FloatArray:
    """(K,) z_k = (d_k − mean d) / std d, 0 if all are equal."""
    if delays.min() == delays.max():
        return np.zeros(delays.size)
    scaled = delays / delays.max()  # so that the squares in the deviation cannot overflow
    z: FloatArray = (scaled - scaled.mean()) / scaled.std()
    return z


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


def draw(
    weights: FloatArray,
    left: IntArray,
    batch_size: int,
    rng: np.random.Generator,
    counts: IntArray | None = None,
) -> IntArray:
    """How many of `batch_size` samples each client brings: (K,), at most what it has `left`.

    Each sample's client is drawn from the weights; what exceeds a client's rest is drawn again
    from those that have more. Of them, `counts` (K,) have been drawn before. (method.md 3.3)
    """
    counts = np.zeros_like(left) if counts is None else counts
    while missing := batch_size - int(counts.sum()):
        # Scaled by its own last entry, and to the right of ties, the inverse of the cumulative
        # sum never names a client of weight 0, however the sum is rounded.
        cumulative = np.cumsum(np.where(counts < left, weights, 0.0))
        points = rng.random(missing) * cumulative[-1]
        clients = np.searchsorted(cumulative, points, side="right")
        counts = np.minimum(counts + np.bincount(clients, minlength=left.size), left)
    return counts
