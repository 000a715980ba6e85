"""GroupNorm, which treats each sample on its own (docs/method.md, section 7)."""

from math import prod

import numpy as np

from pslref import check
from pslref.check import Array, DTypeLike
from pslref.nn.layers import Flops, Layer, summed
from pslref.nn.windows import check_images


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
        check_images(x, 1, len(weight))
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

    def flops(self, x: tuple[int, ...], y: tuple[int, ...]) -> Flops:
        """7, 8 and 3 for each number, and for each group 5 in the output and 2 in dx.

        The output has an addition for the mean, x - mean, a square and an addition for the
        variance, and z, w z and + b; dx has w dy, an addition for its mean, two for that of z dz,
        and the four signs of its formula; the parameters have z dy and two additions. Of a group
        there are two means, + eps, a root and 1 / root; and the two means of dx.
        """
        numbers, groups = prod(x), self.num_groups
        return 7 * numbers + 5 * groups, 8 * numbers + 2 * groups, 3 * numbers

    def _groups(self, x: Array) -> Array:
        """(N, H, W, C) as (N, H, W, G, C / G)."""
        return x.reshape(*x.shape[:3], self.num_groups, x.shape[3] // self.num_groups)


def _group_mean(groups: Array) -> Array:
    """The mean over pixels and channels of a group: (N, 1, 1, G, 1) float64."""
    mean: Array = groups.mean(axis=(1, 2, 4), dtype=np.float64, keepdims=True)
    return mean
