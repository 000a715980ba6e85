"""The gradient check, and that it rejects wrong gradients."""

from copy import copy
from typing import Any

import numpy as np
import pytest

from pslref.check import Array
from pslref.nn import (
    AvgPool2d,
    Conv2d,
    GroupNorm,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    gradient_errors,
    numerical_derivative,
)


@pytest.mark.parametrize("degree", range(9))
def test_it_is_exact_for_polynomials_up_to_degree_6(degree: int) -> None:
    error = numerical_derivative(lambda t: (1 + t) ** degree, step=0.1) - degree
    assert (abs(error) < 1e-12) == (degree <= 6)


@pytest.mark.parametrize(("f", "slope"), [(np.exp, 1.0), (np.sin, 1.0), (np.cos, 0.0)])
def test_it_is_far_closer_than_the_layers_tests_ask(f: Any, slope: float) -> None:
    assert numerical_derivative(f) == pytest.approx(slope, abs=1e-11)


def test_it_leaves_layer_and_input_as_they_are(rng: np.random.Generator) -> None:
    layer, x = Linear(3, 2, rng), rng.standard_normal((4, 3))
    before = [a.copy() for a in (x, *layer.parameters.values())]
    for array in (x, *layer.parameters.values()):
        array.setflags(write=False)
    gradient_errors(layer, x, rng)
    after = [x, *layer.parameters.values()]
    assert all((a == b).all() for a, b in zip(after, before, strict=True))


def test_float32_is_refused(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match=r"x.dtype = .*float32.*: must be float64$"):
        gradient_errors(ReLU(), np.ones((1, 2), np.float32), rng)
    with pytest.raises(ValueError, match=r"weight.dtype = .*float32.*: must be float64$"):
        gradient_errors(Linear(2, 1, rng, "float32"), np.ones((1, 2)), rng)


class MeanBias(Linear):
    def parameter_gradients(self, dy: Array, cache: Array) -> dict[str, Array]:
        return {"weight": cache.T @ dy, "bias": dy.mean(axis=0)}


class OneWrongEntry(Linear):
    def parameter_gradients(self, dy: Array, cache: Array) -> dict[str, Array]:
        weight = cache.T @ dy
        weight[1, 1] *= 1.001
        return {"weight": weight, "bias": dy.sum(axis=0)}


class Leaky(ReLU):
    def input_gradient(self, dy: Array, cache: Array) -> Array:
        return dy * np.where(cache > 0, 1, 0.01)


class UnflippedConv2d(Conv2d):
    def input_gradient(self, dy: Array, cache: Array) -> Array:
        layer = copy(self)
        layer.parameters = {"weight": self.parameters["weight"][::-1, ::-1]}
        return Conv2d.input_gradient(layer, dy, cache)


class PaddedDown(Conv2d):
    def input_gradient(self, dy: Array, cache: Array) -> Array:
        return np.roll(super().input_gradient(dy, cache), 1, axis=1)


class ConstantScale(GroupNorm):
    """Takes the standard deviation for a constant."""

    def input_gradient(self, dy: Array, cache: tuple[Array, ...]) -> Array:
        z, *others = cache
        return super().input_gradient(dy, (np.zeros_like(z), *others))


class MaxToAll(MaxPool2d):
    def input_gradient(self, dy: Array, cache: tuple[Array, Array]) -> Array:
        return AvgPool2d(self.kernel[0], self.stride).input_gradient(dy, cache[0])


class LastWindowLost(AvgPool2d):
    def input_gradient(self, dy: Array, cache: Array) -> Array:
        dy = dy.copy()
        dy[:, -1] = 0
        return super().input_gradient(dy, cache)


CONV = {"in_channels": 2, "out_channels": 3, "kernel": 3, "padding": 1}
WRONG: dict[type[Layer], tuple[dict[str, int], tuple[int, ...], str]] = {
    MeanBias: ({"in_features": 4, "out_features": 2}, (3, 4), "bias"),
    OneWrongEntry: ({"in_features": 4, "out_features": 2}, (3, 4), "weight"),
    Leaky: ({}, (3, 4), "x"),
    UnflippedConv2d: (CONV, (2, 5, 5, 2), "x"),
    PaddedDown: (CONV, (2, 5, 5, 2), "x"),
    ConstantScale: ({"num_groups": 2, "num_channels": 4}, (2, 3, 3, 4), "x"),
    MaxToAll: ({"kernel": 2}, (2, 4, 4, 2), "x"),
    LastWindowLost: ({"kernel": 2}, (2, 4, 4, 2), "x"),
}


@pytest.mark.parametrize("kind", WRONG, ids=lambda kind: kind.__name__)
def test_a_wrong_gradient_is_found_and_named(kind: type[Layer], rng: np.random.Generator) -> None:
    arguments, shape, where = WRONG[kind]
    right = kind.__bases__[0]
    drawn = {"rng": rng} if right in (Linear, Conv2d) else {}
    x = rng.permutation(np.prod(shape)).reshape(shape) * 0.02 - 0.31
    errors = gradient_errors(kind(**arguments, **drawn), x, rng)
    assert [name for name, error in errors.items() if error > 1e-7] == [where]
    assert max(gradient_errors(right(**arguments, **drawn), x, rng).values()) <= 1e-7
