"""The layers, forward and backward side by side (docs/method.md, section 7).

A layer maps a batch x to y = f(x; θ). Its backward pass takes dy, the gradient of the loss with
respect to y, and gives those with respect to x and to θ. It remembers no samples: what the backward
pass needs is the cache that `forward` returns. All but BatchNorm2d treat the samples of a batch
independently. The layers of images, which are indexed (N, H, W, C), are in `windows` and `norm`.
"""

from abc import ABC, abstractmethod
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator

from pslref import check
from pslref.check import Array, ArrayLike, DTypeLike


class Cache(NamedTuple):
    """What the backward pass needs of a forward pass."""

    shape: tuple[int, ...]  # of y
    dtype: np.dtype[Any]
    kept: Any  # by `Layer.output`

    def checked(self, dy: ArrayLike) -> Array:
        """dy in the dtype of y, if it has the shape of y."""
        array = check.floats("dy", dy, self.dtype)
        if array.shape != self.shape:
            raise check.wrong("dy.shape", array.shape, f"must be y's, {self.shape}")
        return array


class Layer(ABC):
    """One layer: its arrays θ are in `parameters`, by name.

    `forward` and `backward` check what they are given. A kind of layer defines the formulas they
    call: `output`, `input_gradient` and, if it has parameters, `parameter_gradients`.
    """

    def __init__(self, **parameters: Array) -> None:
        self.parameters = parameters
        self.statistics: dict[str, Array] = {}  # running ones, of what `commit` was given

    @property
    def dtype(self) -> np.dtype[Any] | None:
        """Of the parameters; None without any."""
        for name, array in self.parameters.items():
            return check.float_dtype(f"{name}.dtype", array.dtype)
        return None

    def forward(self, x: ArrayLike) -> tuple[Array, Cache]:
        """y for a batch x, (N, ...) both, and the cache that the backward pass needs.

        Float32, float64 and whole numbers are cast to the dtype of the parameters. Without
        parameters x keeps its own, and whole numbers become float64.
        """
        x = check.floats("x", x, self.dtype)
        if not x.ndim:
            raise check.wrong("x.shape", x.shape, "must be (N, ...)")
        y, kept = self.output(x)
        return y, Cache(y.shape, y.dtype, kept)

    def backward(self, dy: ArrayLike, cache: Cache) -> tuple[Array, dict[str, Array]]:
        """dx, and each parameter's gradient, summed over the batch; dy is cast as y was."""
        return self.gradients(cache.checked(dy), cache.kept)

    def evaluate(self, x: ArrayLike) -> Array:
        """y with the running statistics in place of the batch's, if there are any."""
        return self.forward(x)[0]

    def commit(self, cache: Any) -> None:  # noqa: B027
        """Take the statistics of the batch into the running ones, if there are any."""

    def gradients(self, dy: Array, cache: Any, of_x: bool = True) -> tuple[Any, dict[str, Array]]:
        """What `backward` returns; dx is None if it is not wanted."""
        grads = self.parameter_gradients(dy, cache)
        return self.input_gradient(dy, cache) if of_x else None, grads

    @abstractmethod
    def output(self, x: Array) -> tuple[Array, Any]:
        """y, and what the two methods below need as `cache`."""

    @abstractmethod
    def input_gradient(self, dy: Array, cache: Any) -> Array:
        """dx."""

    def parameter_gradients(self, dy: Array, cache: Any) -> dict[str, Array]:
        """The gradient with respect to each parameter."""
        return {}


def summed(terms: Array, axis: int | tuple[int, ...]) -> Array:
    """The sum over some axes, taken in float64 and rounded once to the dtype of the terms."""
    total: Array = terms.sum(axis=axis, dtype=np.float64)
    return total.astype(terms.dtype, copy=False)


def he_normal(shape: tuple[int, ...], rng: Generator, dtype: DTypeLike) -> dict[str, Array]:
    """A "weight", (..., outputs), ~ Normal(0, 2 / fan_in), and a "bias", (outputs,), of 0.

    Before a ReLU they keep the scale of x. [reading] (method.md 7)
    """
    check.generator("rng", rng)
    if prod(shape) > check.MOST_NUMBERS:
        raise check.wrong("weight.shape", shape, f"must be at most {check.MOST_NUMBERS} weights")
    dtype = check.float_dtype("dtype", dtype)
    weight = rng.normal(0, (2 / prod(shape[:-1])) ** 0.5, shape)
    return {"weight": weight.astype(dtype, copy=False), "bias": np.zeros(shape[-1], dtype)}


class Linear(Layer):
    """y = x W + b, from (N, in_features) to (N, out_features). (method.md 7)

    `rng` draws "weight", (in_features, out_features), as `he_normal` says; "bias" starts at 0.
    """

    def __init__(
        self, in_features: int, out_features: int, rng: Generator, dtype: DTypeLike = np.float64
    ) -> None:
        rows = check.integer("in_features", in_features, 1)
        columns = check.integer("out_features", out_features, 1)
        super().__init__(**he_normal((rows, columns), rng, dtype))

    def output(self, x: Array) -> tuple[Array, Array]:
        """y, (N, out_features); the cache is x."""
        weight, bias = self.parameters["weight"], self.parameters["bias"]
        if x.ndim != 2 or x.shape[1] != len(weight):
            raise check.wrong("x.shape", x.shape, f"must be (N, {len(weight)})")
        y = x @ weight
        y += bias
        return y, x

    def input_gradient(self, dy: Array, cache: Array) -> Array:
        """dx = dy Wᵀ."""
        return dy @ self.parameters["weight"].T

    def parameter_gradients(self, dy: Array, cache: Array) -> dict[str, Array]:
        """dW = xᵀ dy, db = Σ_n dy_n."""
        # For a single sample, np.dot is several times faster than @.
        return {"weight": np.dot(cache.T, dy), "bias": summed(dy, 0)}


class ReLU(Layer):
    """y = max(x, 0), with the convention relu'(0) = 0. (method.md 7)"""

    def output(self, x: Array) -> tuple[Array, Array]:
        """y, in the shape of x; the cache is y."""
        y = np.maximum(x, 0)
        return y, y

    def input_gradient(self, dy: Array, cache: Array) -> Array:
        """dx = dy where y > 0, and 0 elsewhere."""
        return dy * (cache > 0)


class Flatten(Layer):
    """(N, ...) to (N, features); the last axis runs fastest."""

    def output(self, x: Array) -> tuple[Array, Array]:
        """y, (N, features); the cache is x, for its shape."""
        if x.ndim < 2:
            raise check.wrong("x.shape", x.shape, "must be (N, ...), with at least two axes")
        return x.reshape(len(x), prod(x.shape[1:])), x

    def input_gradient(self, dy: Array, cache: Array) -> Array:
        """The numbers of dy in the shape of x."""
        dx = np.empty_like(cache)  # lies in memory as x does, which `windows` counts on for speed
        dx[...] = dy.reshape(cache.shape)
        return dx
