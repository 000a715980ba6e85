"""Layers with a known mistake, and how they come into a network, in place of the right ones."""

from collections.abc import Callable
from typing import Any

import numpy as np

from pslref import nn
from pslref.check import Array, ArrayLike
from pslref.nn.layers import Layer

Change = Callable[[nn.Network, int], None]  # of a network that is cut there


class BiasedRunning(nn.BatchNorm2d):
    """Its running variance takes the batch's over n."""

    def commit(self, cache: Any) -> None:
        """As of any, but for the divisor."""
        z, scale, mean, variance = cache
        count = z.size // z.shape[-1]
        super().commit((z, scale, mean, variance * (count - 1) / count))


class AlwaysEvaluating(nn.BatchNorm2d):
    """Its running statistics stay as they are, and it trains with them."""

    def output(self, x: Array) -> tuple[Array, Any]:
        """y with the running statistics."""
        return self._normalized(x, *(s[:, np.newaxis] for s in self.statistics.values()))

    def input_gradient(self, dy: Array, cache: Any) -> Array:
        """They do not depend on x."""
        dx: Array = dy * self.parameters["weight"] * cache[1].ravel()
        return dx

    def commit(self, cache: Any) -> None:
        """Nothing."""


class NeverEvaluating(nn.BatchNorm2d):
    """It evaluates with the statistics of what it is given."""

    def evaluate(self, x: ArrayLike) -> Array:
        """As in training."""
        return self.forward(x)[0]


class Scaled(Layer):
    """y = factor · x: with 1, a layer that is not there; with 0, one from which nothing comes."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def output(self, x: Array) -> tuple[Array, Any]:
        """y."""
        return self.factor * x, None

    def input_gradient(self, dy: Array, cache: Any) -> Array:
        """dx."""
        return self.factor * dy


def norms(kind: type[nn.BatchNorm2d]) -> Change:
    """Every BatchNorm becomes one of this kind."""

    def change(net: nn.Network, cut: int) -> None:
        for layer in net.layers:
            if isinstance(layer, nn.BatchNorm2d):
                layer.__class__ = kind
            if isinstance(layer, nn.Residual):
                change(layer.branch, cut)
                change(layer.shortcut, cut)

    return change


BLOCKS: dict[str, Callable[[list[int], int], list[int]]] = {
    "the last block before the cut": lambda all, cut: [i for i in all if i < cut][-1:],
    "the first block after the cut": lambda all, cut: [i for i in all if i >= cut][:1],
    "every block": lambda all, cut: all,
}


def blocks(where: str, lose: Callable[[list[Any], int], None]) -> Change:
    """Some residual blocks lose something."""

    def change(net: nn.Network, cut: int) -> None:
        found = [i for i, layer in enumerate(net.layers) if isinstance(layer, nn.Residual)]
        for i in BLOCKS[where](found, cut):
            lose(net.layers, i)

    return change


def shortcut(layers: list[Any], block: int) -> None:
    """What goes past the branch."""
    layers[block].shortcut.layers.append(Scaled(0.0))


def last_relu(layers: list[Any], block: int) -> None:
    """The layer after the block."""
    layers[block + 1] = Scaled(1.0)
