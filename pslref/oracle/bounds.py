"""How far a right result may be off: bounds from the operation's own magnitudes, before it runs.

A sum of n products of numbers that are exact, done in any order with unit roundoff u, is off by
at most γ_n Σ |a_i| |b_i|, with γ_n = n u / (1 − n u) (Higham 2002, section 3.1). So the operation
itself, done on absolute values, gives the bound of each of its numbers. Inputs of all vectors are
exact in float32. `split_steps` has no bound here: see `growth`.
"""

from collections.abc import Callable
from math import lgamma
from typing import Any

import numpy as np

from pslref.check import Array
from pslref.oracle.operation import ROUNDOFF, Values

Reference = Callable[..., Values]
FUNCTION = 4  # roundings that an exp, a log, a root or a power stands for: two units in last place


def gamma(roundings: float, u: float) -> float:
    """γ_n: the relative error of n roundings one after the other."""
    return roundings * u / (1 - roundings * u)


def sums(reference: Reference, i: Values, u: float) -> Values:
    """Layers that only add and multiply: the layer on absolute values."""
    arrays = {name: np.abs(value) for name, value in i.items() if isinstance(value, np.ndarray)}
    magnitudes = reference(**{**i, **arrays})
    window = i["kernel"] ** 2 if "kernel" in i else 0  # of a mean
    fan_in = i["weight"][..., 0].size if "weight" in i else window
    fan_out = i["weight"].size if "weight" in i else window
    rows = magnitudes["y"][..., 0].size
    # One more: the bias, or the division of a mean.
    terms = {"y": fan_in + 1, "dx": fan_out + 1, "dweight": rows, "dbias": rows}
    return {name: gamma(terms[name], u) * value for name, value in magnitudes.items()}


def choices(reference: Reference, i: Values, u: float) -> Values:
    """Layers that only choose: a pixel may get the sum of a window's worth of gradients."""
    dx = reference(**{**i, "dy": np.abs(i["dy"])})["dx"]
    return {"dx": gamma(i["kernel"] ** 2, u) * dx if "kernel" in i else 0.0}


def group_norm(reference: Reference, i: Values, u: float) -> Values:
    """First-order propagation through mean, variance and scale, doubled for the higher orders.

    The variance may come from mean(x²) − mean², which costs digits when the mean is large.
    """
    x, w, dy, eps = i["x"], i["weight"], i["dy"], i["eps"]

    def groups(a: Array) -> Array:
        return a.reshape(*x.shape[:3], i["num_groups"], -1)

    def mean(a: Array) -> Array:
        return np.broadcast_to(a.mean(axis=(1, 2, 4), keepdims=True), a.shape)

    def total(a: Array) -> Any:
        return a.reshape(x.shape).sum(axis=(0, 1, 2))

    xg, dz = groups(x), groups(np.abs(dy * w))
    # Of x² and of mean²: two sums and divisions, two products, a difference, and eps.
    n = gamma(2 * xg[0, :, :, 0].size + 6, u)
    centred, size = np.abs(xg - mean(xg)), np.abs(xg) + mean(np.abs(xg))
    variance = mean(centred**2) + eps
    scale = 1 / np.sqrt(variance)
    relative = n * mean(xg**2) / (2 * variance) + FUNCTION * u  # of the scale
    z = size * scale  # at least |z|, and as large as the terms that may cancel in it
    error_z = n * z + centred * scale * relative
    terms = dz + mean(dz) + z * mean(z * dz)
    error_dx = scale * ((n + relative) * terms + error_z * mean(z * dz) + z * mean(error_z * dz))
    rows = gamma(x[..., 0].size + 1, u)
    y = np.abs(w) * (error_z + 2 * u * z).reshape(x.shape) + 2 * u * np.abs(i["bias"])
    dweight = total((error_z + rows * z) * groups(np.abs(dy)))
    found = {"y": y, "dx": error_dx.reshape(x.shape), "dweight": dweight}
    return {**{name: 2 * a for name, a in found.items()}, "dbias": rows * total(np.abs(dy))}


def batch_norm(reference: Reference, i: Values, u: float) -> Values:
    """A batch is one sample with all rows of pixels, and a channel a group; then two means."""
    size, channels = i["x"][..., 0].size, i["x"].shape[3]
    one = {name: i[name].reshape(1, 1, size, channels) for name in ("x", "dy")}
    found = group_norm(reference, {**i, **one, "num_groups": channels}, u)
    found |= {name: found[name].reshape(i["x"].shape) for name in ("y", "dx")}
    moments = {"running_mean": np.abs(i["x"]), "running_var": 2 * i["x"] ** 2 * size / (size - 1)}
    for name, moment in moments.items():
        after = np.abs(i[name]) + i["momentum"] * moment.mean(axis=(0, 1, 2))
        found[name] = gamma(2 * size + 8, u) * after
    return found


def cross_entropy(reference: Reference, i: Values, u: float) -> Values:
    """exp turns an absolute error u |z| of its argument into a relative one of its result."""
    z = i["logits"]
    rows, classes = z.shape
    below = z.max(axis=1, keepdims=True) - z
    p = np.exp(-below)
    p /= p.sum(axis=1, keepdims=True)
    n = gamma(classes + 2 * FUNCTION + 3, u)  # exp, sum, log; two differences and a quotient
    of_sum = n * (1 + (p * below).sum(axis=1, keepdims=True))
    own = (np.arange(rows), i["labels"])
    loss = of_sum[:, 0] + n * (1 + below[own])
    dlogits = p * (n * (1 + below) + of_sum)
    dlogits[own] += 2 * u
    mean = loss.mean() + gamma(rows, u) * reference(**i)["loss"]
    smallest = np.finfo(np.float32 if u == ROUNDOFF["float32"] else np.float64).tiny
    return {"loss": mean, "dlogits": 2 * dlogits / rows + smallest}  # below it, flushed to 0


def sgd(reference: Reference, i: Values, u: float) -> Values:
    """The same recursion on absolute values: six roundings a step, of all steps so far."""
    size, velocity, after = np.abs(i["weight"]), np.zeros_like(i["weight"]), []
    for t, gradient in enumerate(np.abs(i["gradients"]), 1):
        velocity = i["momentum"] * velocity + gradient + i["weight_decay"] * size
        size = size + i["learning_rate"] * velocity
        after.append(gamma(6 * t, u) * size)
    return {"weights": np.array(after)}


def prior(reference: Reference, i: Values, u: float) -> Values:
    """A z-score is as uncertain as mean and variance; its error is relative after exp."""
    d, s, total = i["delays"], i["pseudo_samples"], int(i["sizes"].sum())
    pool = s * (total - 1) / (total - s)  # Z + 1: the difference may cancel
    relative = (FUNCTION + 6) * u + 2 * u * pool / (pool - 1)
    if np.ptp(d):
        n, z = gamma(2 * d.size + 5, u), (d - d.mean()) / d.std()
        of_std = n * (d**2).mean() / (2 * d.var()) + FUNCTION * u
        relative = relative + i["delta"] * (n * (d + d.mean()) / d.std() + of_std * np.abs(z))
    return {"alpha": relative * reference(**i)["alpha"]}


def em(reference: Reference, i: Values, u: float) -> Values:
    """Each update's own roundings, and what the later updates make of them, to first order.

    An update takes the relative errors e of π to J e, with J from the derivatives of log γ_mk,
    of the sum over m, and of the normalization.
    """
    counts, pi = i["class_counts"], i["start"] / i["start"].sum()
    held = counts.any(axis=0)
    beta, labels = (counts / counts.sum(axis=1, keepdims=True))[:, held], i["label_counts"][held]
    clients, classes = beta.shape
    own = gamma(2 * clients + classes + 6, u)
    errors = np.eye(clients)[None] * own  # of each update so far, what has become of its errors
    for _ in range(i["iterations"]):
        gammas = pi[:, None] * beta / (pi @ beta)
        given = labels * gammas
        updated = given.sum(axis=1) + i["alpha"]
        of_given = np.diag(given.sum(axis=1)) - given @ gammas.T
        jacobian = (np.eye(clients) - updated / updated.sum()) @ (of_given / updated[:, None])
        errors = np.concatenate([jacobian @ errors, np.eye(clients)[None] * own])
        pi = updated / updated.sum()
    return {"mixing_weights": np.abs(errors).sum(axis=(0, 2)) * pi}


def positive(roundings: int) -> Callable[[Reference, Values, float], Values]:
    """Sums, products and quotients of numbers that are not negative."""
    return lambda reference, i, u: {
        name: gamma(roundings, u) * value for name, value in reference(**i).items()
    }


def deviation(reference: Reference, i: Values, u: float) -> Values:
    """Σ_m (c_m / B + p_m) is 2, whatever cancels."""
    return {"deviation": 2 * gamma(i["class_probs"].size + 2, u)}


def law(reference: Reference, i: Values, u: float) -> Values:
    """Chances are sums of products, and so is what comes of them."""
    counts = i["class_counts"] if "class_counts" in i else i["class_totals"][None]
    batch = np.max(i["batch_sizes"].sum(axis=1)) if "batch_sizes" in i else i["batch_size"]
    clients, classes = counts.shape
    # A hypergeometric chance by factors, one for each sample drawn, or by nine log-factorials,
    # for which float32 has too few digits; then each client is convolved.
    factors = 4 * batch + clients * (batch + 2) + classes + 4
    logs = 9 * FUNCTION * lgamma(counts.sum() + 1) * ROUNDOFF["float64"]
    of_chances = gamma(float(factors), u) + logs
    answer = reference(**i)
    of_distances = {"expected_deviation": 2 * gamma(3, u)}  # of c / B − p, whose terms sum to 2
    return {
        name: of_chances * value + of_distances.get(name, 0.0) for name, value in answer.items()
    }
