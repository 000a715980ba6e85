"""LDS: clients are drawn from mixing weights, until they have no samples left."""

from typing import Unpack

import numpy as np

from pslref import check
from pslref.check import ArrayLike, FloatArray, IntArray
from pslref.sampling.mixing import LdsOptions, Posterior
from pslref.sampling.schedule import Schedule, Steps
from pslref.sampling.uniform import REMAINDERS, global_batch_sizes


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
    clients (`mixing.prior`), and S labels that pull the class mixture Σ_k π_k β_k to the pooled
    one (`mixing.em`). Each step draws its samples' clients from π (`draw`). T = ⌈N / B⌉. With
    delta = 0 π starts at the shares n_k / N: UGS, but for drawing with fixed instead of remaining
    shares. [paper: idea, prior and constants; reading: the EM step] (method.md 3.3)

    Args:
        class_counts: (K, M) samples n_km of class m at client k, whole numbers.
        batch_size: the global batch size B, 1 ≤ B ≤ N.
        rng: the source of randomness.
        reestimate: whether EM goes on over the clients that are left when some have run out, with
            α, β and S_m of the whole data [reading]; if not, the weights are renormalised.
        remainder: "short" or "even", as in `ugs`.
        **options: any of these, by name.
            delays (None): (K,) delay of each client per step, finite, 0 or more, in any unit.
            delta (0): δ ≥ 0, how strongly the prior leans towards the slow. It acts on z-scores,
            which know no scale: delays 0.1 % apart count like tenfold ones.
            concentration (1): c > 0; the larger, the more the prior counts against the labels.
            pseudo_samples (⌊N / 2⌋, within 2 and 1000): S, 2 ≤ S < N.
            labels ("expected"): S_m = S · p_m [reading]; "sampled": drawn from the pooled data
            without replacement [paper], once per schedule.
            tol (1e-8), max_iter (10,000): EM stops when the weights change by less (L1).

    Warns:
        RuntimeWarning: once per schedule, if EM reaches max_iter: small c and large δ are slow.
    """
    return Schedule.from_steps(
        *walk(class_counts, batch_size, rng, reestimate, remainder, **options)
    )


def walk(
    class_counts: ArrayLike,
    batch_size: int,
    rng: np.random.Generator,
    reestimate: bool,
    remainder: str,
    **options: Unpack[LdsOptions],
) -> tuple[Steps, int, int]:
    """The steps of `lds`; how many; of how many clients."""
    check.generator("rng", rng)
    check.kind("reestimate", reestimate, bool)
    counts = check.class_counts("class_counts", class_counts)
    total = int(counts.sum())
    num_steps = -(-total // check.integer("batch_size", batch_size, 1, total))
    check.one_of("remainder", remainder, REMAINDERS)
    posterior = Posterior(counts, rng, **options)
    steps = _steps(counts.sum(axis=1), batch_size, remainder, posterior, reestimate, rng)
    return steps, num_steps, len(counts)


def _steps(
    sizes: IntArray,
    batch_size: int,
    remainder: str,
    posterior: Posterior,
    reestimate: bool,
    rng: np.random.Generator,
) -> Steps:
    clients = np.flatnonzero(sizes)
    left, weights = sizes[clients], posterior.alpha[clients]
    estimate = True
    for size in global_batch_sizes(int(sizes.sum()), batch_size, remainder):
        if estimate:
            weights = posterior.weights(clients, weights)
        counts = draw(weights, left, int(size), rng)
        yield clients[counts > 0], counts[counts > 0]
        left = left - counts
        stay = left > 0
        estimate = reestimate and not stay.all()
        clients, left, weights = clients[stay], left[stay], weights[stay]


def draw(
    weights: FloatArray, left: IntArray, batch_size: int, rng: np.random.Generator
) -> IntArray:
    """How many of `batch_size` samples each client brings: (K,), at most what it has `left`.

    Each sample's client is drawn from the weights; what exceeds a client's rest is drawn again
    from those that have more. (method.md 3.3)
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
