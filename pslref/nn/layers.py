"""The layers, forward and backward side by side (docs/method.md, section 7).

A layer maps a batch x to y = f(x; θ). Its backward pass takes dy, the gradient of the loss with
respect to y, and gives those with respect to x and to θ. A layer treats the samples of a batch
independently and remembers none of them: what the backward pass needs is the cache that `forward`
returns. Images are indexed (N, H, W, C). The layers that slide a window are in `windows`.

Sums are taken in float64 and rounded once, also those of float32 numbers, which NumPy would add
one after the other along all axes but the last. Matrix products are summed as BLAS sums them.
"""

from abc import ABC, abstractmethod
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pslref import check
from pslref.check import ArrayLike, DTypeLike

Array = NDArray[Any]  # float32 or float64


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

    @property
    def dtype(self) -> np.dtype[Any] | None:
        """Of the parameters; None without any."""
        for name, array in self.parameters.items():
            if array.dtype not in check.FLOATS:
                raise check.wrong(f"{name}.dtype", array.dtype, "must be float32 or float64")
            return array.dtype
        return None

    def forward(self, x: ArrayLike) -> tuple[Array, Cache]:
        """Run a batch through the layer.

        Args:
            x: (N, ...) float32, float64 or whole numbers; cast to the dtype of the parameters.
                Without parameters it keeps its own, and whole numbers become float64.

        Returns:
            y, (N, ...), and the cache that the backward pass needs.

        Raises:
            ValueError: for an x of another shape or dtype.
        """
        x = check.floats("x", x, self.dtype)
        if not x.ndim:
            raise check.wrong("x.shape", x.shape, "must be (N, ...)")
        y, kept = self.output(x)
        return y, Cache(y.shape, y.dtype, kept)

    def backward(self, dy: ArrayLike, cache: Cache) -> tuple[Array, dict[str, Array]]:
        """The gradients with respect to x and to the parameters.

        Args:
            dy: in the shape of y, float32, float64 or whole numbers; cast to the dtype of y.
            cache: what `forward` returned.

        Returns:
            dx, in the shape of x; and a gradient for each parameter, summed over the batch.

        Raises:
            ValueError: for a dy of another shape or dtype.
        """
        dy = cache.checked(dy)
        return self.input_gradient(dy, cache.kept), self.parameter_gradients(dy, cache.kept)

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
    """The sum over some axes, in the dtype of the terms."""
    total: Array = terms.sum(axis=axis, dtype=np.float64)
    return total.astype(terms.dtype, copy=False)


def he_normal(
    shape: tuple[int, ...], fan_in: int, rng: np.random.Generator, dtype: DTypeLike
) -> Array:
    """Weights ~ Normal(0, 2 / fan_in): before a ReLU they keep the scale of x. [reading]"""
    check.generator("rng", rng)
    if prod(shape) > check.MOST_NUMBERS:
        raise check.wrong("weight.shape", shape, f"must be at most {check.MOST_NUMBERS} weights")
    as_asked = check.float_dtype("dtype", dtype)
    return rng.normal(0, (2 / fan_in) ** 0.5, shape).astype(as_asked, copy=False)


class Linear(Layer):
    """y = x W + b. (method.md 7)

    Args:
        in_features: width of x, (N, in_features).
        out_features: width of y, (N, out_features).
        rng: draws "weight", (in_features, out_features), He-normal; "bias" starts at 0. [reading]
        dtype: float32 or float64.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        rng: np.random.Generator,
        dtype: DTypeLike = np.float64,
    ) -> None:
        rows = check.integer("in_features", in_features, 1)
        columns = check.integer("out_features", out_features, 1)
        weight = he_normal((rows, columns), rows, rng, dtype)
        super().__init__(weight=weight, bias=np.zeros(columns, dtype))

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
        return x.reshape(len(x), -1), x

    def input_gradient(self, dy: Array, cache: Array) -> Array:
        """The numbers of dy in the shape of x."""
        dx = np.empty_like(cache)  # lies in memory as x does, which `windows` counts on for speed
        dx[...] = dy.reshape(cache.shape)
        return dx


class GroupNorm(Layer):
    """Each sample's groups of channels, brought to mean 0 and variance 1, then scaled and shifted.

    z = (x - mean) / √(var + eps), over the H · W · C / G numbers of a group; y = w z + b, with w
    and b per channel. A group of one number has z = 0, whatever x: its gradient is 0.
    (method.md 7)

    Args:
        num_groups: G; it must divide num_channels.
        num_channels: C of x, (N, H, W, C).
        eps: added to the (population) variance; a normal number of `dtype`.
        dtype: float32 or float64; "weight" (C,) starts at 1, "bias" (C,) at 0. In between, what
            depends on mean and variance is float64.
    """

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, dtype: DTypeLike = np.float64
    ) -> None:
        channels = check.integer("num_channels", num_channels, 1, check.MOST_NUMBERS)
        self.num_groups = check.integer("num_groups", num_groups, 1, channels)
        if channels % self.num_groups:
            raise check.wrong("num_groups", num_groups, f"must divide num_channels = {channels}")
        weight = np.ones(channels, check.float_dtype("dtype", dtype))
        limits = np.finfo(weight.dtype)
        self.eps = check.real("eps", eps, float(limits.tiny), float(limits.max))
        super().__init__(weight=weight, bias=np.zeros(channels, dtype))

    def output(self, x: Array) -> tuple[Array, tuple[Array, Array]]:
        """y, in the shape of x; the cache is z and 1 / √(var + eps)."""
        weight, bias = self.parameters["weight"], self.parameters["bias"]
        if x.ndim != 4 or x.shape[3] != len(weight) or not min(x.shape[1:3]):
            allowed = f"must be (N, H, W, {len(weight)}), with H and W at least 1"
            raise check.wrong("x.shape", x.shape, allowed)
        groups = self._groups(x)
        centred = groups - _group_mean(groups)
        scale = 1 / np.sqrt(_group_mean(centred**2) + self.eps)
        z = (centred * scale).astype(x.dtype, copy=False).reshape(x.shape)
        return z * weight + bias, (z, scale)

    def input_gradient(self, dy: Array, cache: tuple[Array, Array]) -> Array:
        """dx = (dz - mean(dz) - z · mean(z dz)) / √(var + eps), where dz = w dy. [derived]"""
        z, scale = self._groups(cache[0]), cache[1]
        dz = self._groups(dy * self.parameters["weight"])
        dx: Array = scale * (dz - _group_mean(dz) - z * _group_mean(z * dz))
        return dx.astype(dy.dtype, copy=False).reshape(dy.shape)

    def parameter_gradients(self, dy: Array, cache: tuple[Array, Array]) -> dict[str, Array]:
        """dw = Σ z dy, db = Σ dy, over samples and pixels."""
        return {"weight": summed(cache[0] * dy, (0, 1, 2)), "bias": summed(dy, (0, 1, 2))}

    def _groups(self, x: Array) -> Array:
        """(N, H, W, C) as (N, H, W, G, C / G)."""
        return x.reshape(*x.shape[:3], self.num_groups, -1)


def _group_mean(groups: Array) -> Array:
    """The mean over pixels and channels of a group: (N, 1, 1, G, 1) float64."""
    mean: Array = groups.mean(axis=(1, 2, 4), dtype=np.float64, keepdims=True)
    return mean
