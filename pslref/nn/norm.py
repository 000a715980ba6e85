"""GroupNorm, which treats each sample on its own, and BatchNorm2d (docs/method.md, section 7)."""

from typing import Any

import numpy as np

from pslref import check
from pslref.check import Array, ArrayLike, DTypeLike
from pslref.nn.layers import Layer, summed
from pslref.nn.windows import check_images

Kept = tuple[Array, Array, Array, Array]  # z, 1 / √(var + eps), mean, var


class _Norm(Layer):
    """Sets of numbers, brought to mean 0 and variance 1, then scaled and shifted by channel."""

    axes: tuple[int, ...]  # of (N, H, W, G, C / G), along which the numbers of a set lie

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

    def output(self, x: Array) -> tuple[Array, Kept]:
        """y, in the shape of x; the cache is z, 1 / √(var + eps), mean and variance."""
        return self._normalized(x, self._mean(self._groups(x)))

    def input_gradient(self, dy: Array, cache: Kept) -> Array:
        """dx = (dz - mean(dz) - z · mean(z dz)) / √(var + eps), where dz = w dy. [derived]"""
        z = self._groups(cache[0])
        dz = self._groups(dy * self.parameters["weight"])
        dx: Array = dz - self._mean(dz).astype(dy.dtype)
        dx -= z * self._mean(z * dz).astype(dy.dtype)
        dx *= cache[1]
        return dx.reshape(dy.shape)

    def parameter_gradients(self, dy: Array, cache: Kept) -> dict[str, Array]:
        """dw = Σ z dy, db = Σ dy, over samples and pixels."""
        return {"weight": summed(cache[0] * dy, (0, 1, 2)), "bias": summed(dy, (0, 1, 2))}

    def _normalized(self, x: Array, mean: Array, variance: Any = None) -> tuple[Array, Kept]:
        """What `output` returns, with this mean, and this variance or the one about the mean."""
        leading = mean.astype(x.dtype)  # the mean has more digits than x: it goes in two parts
        centred = self._groups(x) - leading
        centred -= (mean - leading).astype(x.dtype)
        if variance is None:
            variance = self._mean(np.square(centred, dtype=np.float64))
        scale = (1 / np.sqrt(variance + self.eps)).astype(x.dtype)
        centred *= scale
        z = centred.reshape(x.shape)
        y = z * self.parameters["weight"]
        y += self.parameters["bias"]
        return y, (z, scale, mean, variance)

    def _groups(self, x: Array) -> Array:
        """(N, H, W, C) as (N, H, W, G, C / G)."""
        channels = self.parameters["weight"].size
        check_images(x, 1, channels)
        return x.reshape(*x.shape[:3], self.num_groups, channels // self.num_groups)

    def _mean(self, groups: Array) -> Array:
        """The mean of each set, float64, 1 along its axes."""
        mean: Array = groups.mean(axis=self.axes, dtype=np.float64, keepdims=True)
        return mean


class GroupNorm(_Norm):
    """Each sample's groups of channels, brought to mean 0 and variance 1, then scaled and shifted.

    z = (x - mean) / √(var + eps), over the H · W · C / G numbers of a group; y = w z + b, with w
    and b per channel. A group of one number has z = 0, whatever x: its gradient is 0.
    (method.md 7)

    Args:
        num_groups: G; it must divide num_channels.
        num_channels: C of x, (N, H, W, C).
        eps: added to the (population) variance; a normal number of `dtype`.
        dtype: float32 or float64; "weight" (C,) starts at 1, "bias" (C,) at 0. Means and
            variances are float64.
    """

    axes = (1, 2, 4)


class BatchNorm2d(_Norm):
    """Each channel of a batch, brought to mean 0 and variance 1, then scaled and shifted.

    z = (x - mean) / √(var + eps), over the N · H · W numbers of a channel; y = w z + b. So the
    samples of a batch depend on each other: it stands in the server half, which sees the whole
    pooled batch. `forward` takes mean and variance of the batch, `evaluate` the running ones. These
    change in `commit` alone, once for a step that is taken: s ← (1 - momentum) s + momentum · (the
    batch's mean, and its unbiased variance, Σ (x - mean)² / (n - 1)). [paper] (method.md 7)

    Args:
        num_channels: C of x, (N, H, W, C); N · H · W must be 2 or more, but for `evaluate`.
        eps: added to the variance; a normal number of `dtype`.
        momentum: 0 to 1: what a batch counts for.
        dtype: as for GroupNorm. The statistics, "running_mean" (C,), from 0, and "running_var"
            (C,), from 1, are float64.
    """

    axes = (0, 1, 2)

    def __init__(
        self,
        num_channels: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        dtype: DTypeLike = np.float64,
    ) -> None:
        super().__init__(num_channels, num_channels, eps, dtype)
        self.momentum = check.real("momentum", momentum, 0, 1)
        self.statistics = {
            "running_mean": np.zeros(num_channels),
            "running_var": np.ones(num_channels),
        }

    def output(self, x: Array) -> tuple[Array, Kept]:
        """y, in the shape of x; the cache is as that of any norm."""
        if x.size <= self.num_groups:
            allowed = "must have more than one number of a channel: they have no variance"
            raise check.wrong("x.shape", x.shape, allowed)
        return super().output(x)

    def evaluate(self, x: ArrayLike) -> Array:
        """y with the running mean and variance."""
        x = check.floats("x", x, self.dtype)
        return self._normalized(x, *(s[:, np.newaxis] for s in self.statistics.values()))[0]

    def commit(self, cache: Any) -> None:
        """Take the batch's mean and unbiased variance into the running ones."""
        z, _, mean, variance = cache
        count = z.size // z.shape[-1]
        batch = {"running_mean": mean, "running_var": variance * (count / (count - 1))}
        for name, running in self.statistics.items():
            running += self.momentum * (batch[name].ravel() - running)
