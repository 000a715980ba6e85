"""How far a right result may be off: bounds from the operation's own magnitudes, before it runs.

A sum of n products of numbers that are exact, done in any order with unit roundoff u, is off by
at most γ_n Σ |a_i| |b_i|, with γ_n = n u / (1 − n u) (Higham 2002, section 3.1). So the operation
itself, done on absolute values, gives the bound of each of its numbers. Inputs of all vectors are
exact in float32.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pslref.oracle.backends import Values
from pslref.oracle.library import Library

Array = NDArray[Any]
ROUNDOFF = {"float32": 2.0**-24, "float64": 2.0**-53}
SMALL = {"float32": 2.0**-126, "float64": 2.0**-1022}  # below, a result may be flushed to zero


def bounds(op: str, inputs: Values, expected: Values, dtype: str) -> Values:
    """A bound, number or array, for every output of a single operation.

    `split_steps` has none: errors grow from step to step, and its cases store measured limits.
    """
    u = ROUNDOFF[dtype]
    if op in ("linear", "conv2d", "avg_pool2d", "max_pool2d", "relu"):
        return _multilinear(op, inputs, expected, u)
    if op == "group_norm":
        return _group_norm(inputs, u)
    if op == "cross_entropy":
        return _cross_entropy(inputs, u, SMALL[dtype])
    if op == "sgd":
        return _sgd(inputs, u)
    if op == "lds_prior":
        d = inputs["delays"]
        spread = inputs["delta"] * (np.abs(d - d.mean()) + d.mean()) / max(d.std(), 1e-300)
        return {"alpha": gamma(d.size + 32, u) * (1 + spread * (np.ptp(d) > 0)) * expected["alpha"]}
    if op == "lds_em":
        terms = sum(inputs["class_counts"].shape) + 8
        return {
            "mixing_weights": gamma(terms * inputs["iterations"], u) * expected["mixing_weights"]
        }
    # Sums of a few positive numbers, and probabilities that may come from log-gammas.
    terms = 4096 if op in ("batch_law", "uniform_deviation") else 64
    return {
        name: gamma(terms, u) * (np.abs(value) + 1) * (np.asarray(value).dtype.kind == "f")
        for name, value in expected.items()
    }


def gamma(terms: int, u: float) -> float:
    """γ_n: the relative error of n roundings one after the other."""
    return terms * u / (1 - terms * u)


def _multilinear(op: str, inputs: Values, expected: Values, u: float) -> Values:
    """Layers that only add and multiply, or only choose: the layer on absolute values."""
    if op in ("relu", "max_pool2d"):
        dx = _magnitudes(op, {**inputs, "dy": np.abs(inputs["dy"])})["dx"]
        terms = 0 if op == "relu" else inputs["kernel"] ** 2
        return {"y": 0.0, "dx": gamma(terms, u) * dx}
    positive = {
        name: np.abs(value) if isinstance(value, np.ndarray) else value
        for name, value in inputs.items()
    }
    rows = expected["y"][..., 0].size
    fan_in = inputs["weight"][..., 0].size if "weight" in inputs else inputs["kernel"] ** 2
    fan_out = inputs["weight"].size if "weight" in inputs else inputs["kernel"] ** 2
    terms_of = {"y": fan_in + 2, "dx": fan_out + 2, "dweight": rows + 2, "dbias": rows + 2}
    return {
        name: gamma(terms_of[name], u) * value for name, value in _magnitudes(op, positive).items()
    }


def _magnitudes(op: str, inputs: Values) -> Values:
    return Library().run(op, inputs)


def _group_norm(inputs: Values, u: float) -> Values:
    """First-order propagation through mean, variance and scale, doubled for the higher orders.

    The variance may come from mean(x²) − mean², which costs digits when the mean is large.
    """
    x, w, dy, eps = inputs["x"], inputs["weight"], inputs["dy"], inputs["eps"]

    def groups(a: Array) -> Any:
        return a.reshape(*x.shape[:3], inputs["num_groups"], -1)

    def mean(a: Array) -> Array:
        return np.broadcast_to(a.mean(axis=(1, 2, 4), keepdims=True), a.shape)

    def total(a: Array) -> Any:
        return a.sum(axis=(0, 1, 2))

    xg, dz = groups(x), groups(np.abs(dy * w))
    n = gamma(2 * xg[0, :, :, 0].size + 8, u)
    centred, size = np.abs(xg - mean(xg)), np.abs(xg) + mean(np.abs(xg))
    variance = mean(centred**2) + eps
    scale = 1 / np.sqrt(variance)
    relative = n * mean(xg**2) / (2 * variance) + 4 * u  # of the scale
    z = size * scale  # at least |z|, and as large as the terms that may cancel in it
    error_z = n * z + centred * scale * relative
    terms = dz + mean(dz) + z * mean(z * dz)
    error_dx = scale * ((n + relative) * terms + error_z * mean(z * dz) + z * mean(error_z * dz))
    flat = {name: a.reshape(x.shape) for name, a in [("z", z), ("error_z", error_z)]}
    rows = gamma(x[..., 0].size + 2, u)
    y = np.abs(w) * (flat["error_z"] + 2 * u * flat["z"]) + 2 * u * np.abs(inputs["bias"])
    dweight = total((flat["error_z"] + rows * flat["z"]) * np.abs(dy))
    return {
        "y": 2 * y,
        "dx": 2 * error_dx.reshape(x.shape),
        "dweight": 2 * dweight,
        "dbias": rows * total(np.abs(dy)),
    }


def _cross_entropy(inputs: Values, u: float, small: float) -> Values:
    """exp turns an absolute error u |z| of its argument into a relative one of its result."""
    z = inputs["logits"]
    rows, classes = z.shape
    below = z.max(axis=1, keepdims=True) - z
    p = np.exp(-below)
    p /= p.sum(axis=1, keepdims=True)
    n = gamma(classes + 12, u)
    of_sum = n * (1 + (p * below).sum(axis=1, keepdims=True))
    own = (np.arange(rows), inputs["labels"])
    loss = of_sum[:, 0] + n * (1 + below[own])
    dlogits = p * (n * (1 + below) + of_sum)
    dlogits[own] += 2 * u
    return {"loss": loss.mean() + n * loss.mean(), "dlogits": 2 * dlogits / rows + small}


def _sgd(inputs: Values, u: float) -> Values:
    """The same recursion on absolute values, with the roundings of all steps so far."""
    size, velocity, after = np.abs(inputs["weight"]), np.zeros_like(inputs["weight"]), []
    for t, gradient in enumerate(np.abs(inputs["gradients"])):
        velocity = inputs["momentum"] * velocity + gradient + inputs["weight_decay"] * size
        size = size + inputs["learning_rate"] * velocity
        after.append(gamma(8 * (t + 1), u) * size)
    return {"weights": np.array(after)}
