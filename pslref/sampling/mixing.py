"""LDS with its options: the mixing weights fit the classes, and lean towards the slow clients."""

import warnings
from typing import TypedDict, Unpack

import numpy as np

from pslref import check
from pslref.check import ArrayLike, FloatArray, IntArray
from pslref.sampling.dirichlet import draw, em, prior, z_scores
from pslref.sampling.newton import Newton
from pslref.sampling.schedule import Schedule, Walk
from pslref.sampling.uniform import global_batch_sizes
from pslref.sampling.walks import Steps

TOO_MANY = 1_000_000_000  # samples, for NumPy's multivariate_hypergeometric
AT_ONCE = 2**16  # places
MANY = 2**16  # clients times classes


class LdsOptions(TypedDict, total=False):
    """How the weights are found; `lds` explains each."""

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

    Each step draws its samples' clients from mixing weights. T = ⌈N / B⌉. With delta = 0 these
    start at the shares n_k / N: UGS, but for drawing with fixed instead of remaining shares.
    [paper: idea, prior and constants; reading: the EM step] (method.md 3.3)

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
    return lds_steps(
        class_counts, batch_size, rng, reestimate=reestimate, remainder=remainder, **options
    ).schedule()


def lds_steps(
    class_counts: ArrayLike,
    batch_size: int,
    rng: np.random.Generator,
    *,
    reestimate: bool = True,
    remainder: str = "short",
    **options: Unpack[LdsOptions],
) -> Steps:
    """The steps of `lds` one by one."""
    check.generator("rng", rng)
    check.kind("reestimate", reestimate, bool)
    counts = check.class_counts("class_counts", class_counts)
    sizes = counts.sum(axis=1)
    batches = global_batch_sizes(int(sizes.sum()), batch_size, remainder)
    posterior = Posterior(counts, rng, **options)
    walk = drawn_steps(batches, sizes, posterior, reestimate, rng)
    return Steps(walk, batches.size, sizes.size)


def drawn_steps(
    batches: IntArray,
    sizes: IntArray,
    posterior: "Posterior",
    reestimate: bool,
    rng: np.random.Generator,
) -> Walk:
    """Draw, let those go who have no samples left, and weigh the others anew."""
    weigh = posterior.weights
    if reestimate and posterior.client_class_probs.size > MANY:
        weigh = Newton(posterior).weights  # the same sooner
    clients = np.flatnonzero(sizes)
    left, weights = sizes[clients], weigh(clients, posterior.alpha[clients])
    cumulative = weights.cumsum()
    for size in batches.tolist():
        # The first round of `draw`, which looks only at the clients that it draws.
        points = rng.random(size) * cumulative[-1]
        drawn = np.searchsorted(cumulative, points, side="right")
        who, counts = np.unique(drawn, return_counts=True)
        if (counts > left[who]).any():
            first = np.zeros_like(left)
            first[who] = np.minimum(counts, left[who])
            total = draw(weights, left, size, rng, first)
            who, counts = np.flatnonzero(total), total[total > 0]
        yield clients[who], counts
        left[who] -= counts
        if left[who].all():
            continue
        stay = left > 0
        clients, left, weights = clients[stay], left[stay], weights[stay]
        if reestimate and clients.size:
            weights = weigh(clients, weights)
        cumulative = weights.cumsum()


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
        z = float(z_scores(d).max())
        with np.errstate(all="ignore"):
            self.alpha = prior(sizes, s, c, delta, d)
        if delta * z > 700 or not np.isfinite(self.alpha.sum()):
            allowed = f"times the largest z-score, {z:g}, must be at most 700, the prior finite"
            raise check.wrong("delta", delta, f"{allowed} (concentration = {c:g})")
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
