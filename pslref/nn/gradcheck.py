"""Is a layer's backward pass the derivative of its forward pass? (docs/method.md, section 7)."""

from collections.abc import Callable
from copy import deepcopy
from functools import partial

import numpy as np

from pslref import check
from pslref.check import Array
from pslref.nn.layers import Layer


def numerical_derivative(f: Callable[[float], float], step: float = 1e-4) -> float:
    """f'(0) from six values of f.

    f'(0) ≈ (45 (f(h) - f(-h)) - 9 (f(2h) - f(-2h)) + (f(3h) - f(-3h))) / (60 h), which is exact
    for polynomials up to degree 6. [derived] (method.md 7)

    Args:
        f: smooth within 3 steps of 0.
        step: the distance h.
    """
    step = check.real("step", step, 0, low_open=True)
    weights = {1: 45, 2: -9, 3: 1}
    return sum(c * (f(k * step) - f(-k * step)) for k, c in weights.items()) / (60 * step)


def gradient_errors(layer: Layer, x: Array, rng: np.random.Generator) -> dict[str, float]:
    """How far a layer's gradients are from numerical ones, by random projection.

    The layer's output is projected on a random r: L = Σ r y. Then, for x and for each parameter,
    the derivative of L along a random unit direction u is compared with Σ u dL. A gradient with
    any wrong entry shows in the sum, whichever entry it is. Right ones give errors below 1e-7,
    unless x comes within 3e-4 of a kink or a tie. (method.md 7)

    Args:
        layer: with float64 parameters; it is copied.
        x: (N, ...) float64.
        rng: draws r and the directions.

    Returns:
        For "x" and each parameter's name, |numerical - analytic| / max(1, |numerical|).
    """
    check.kind("layer", layer, Layer)
    check.generator("rng", rng)
    layer, x = deepcopy(layer), check.floats("x", x).copy()
    y, cache = layer.forward(x)
    r = rng.standard_normal(y.shape)
    dx, grads = layer.backward(r, cache)
    errors = {}
    for name, array in {"x": x, **layer.parameters}.items():
        if array.dtype != np.float64:
            raise check.wrong(f"{name}.dtype", array.dtype, "must be float64")
        u = rng.standard_normal(array.shape)
        u /= np.linalg.norm(u)
        numerical = numerical_derivative(partial(_projected, layer, x, r, array, u))
        analytic = float(np.sum(u * (dx if name == "x" else grads[name])))
        errors[name] = abs(numerical - analytic) / max(1.0, abs(numerical))
    return errors


def _projected(layer: Layer, x: Array, r: Array, array: Array, u: Array, t: float) -> float:
    """Σ r y, where `array`, which is x or a parameter, is moved by t u."""
    start = array.copy()
    array += t * u
    value = float(np.sum(r * layer.forward(x)[0]))
    array[...] = start
    return value
