"""Network: a list of layers, and its cut into two halves (docs/method.md, section 7)."""

from collections.abc import Sequence
from copy import deepcopy
from functools import reduce
from typing import Any

from pslref import check
from pslref.check import Array, ArrayLike
from pslref.nn.layers import Cache, Layer


class Network:
    """Layers, one after the other.

    Args:
        layers: the layers, in the order of the forward pass.
        first: the index of the first of them, in the network from which they were cut.
    """

    def __init__(self, layers: Sequence[Layer], first: int = 0) -> None:
        check.sequence("layers", layers)
        for i, layer in enumerate(layers):
            check.kind(f"layers[{i}]", layer, Layer)
        self.layers = list(layers)
        self.first = check.integer("first", first, 0)

    def parameters(self) -> dict[str, Array]:
        """The layers' own arrays, by "{index}.{name}"; a half uses the names of the whole."""
        return self._named([layer.parameters for layer in self.layers])

    def statistics(self) -> dict[str, Array]:
        """The running statistics of the layers that have any, by names of the same kind."""
        return self._named([layer.statistics for layer in self.layers])

    def forward(self, x: ArrayLike) -> tuple[Array, list[Cache]]:
        """y for x, (N, ...) both, and the layers' caches; x as `Layer.forward` takes it."""
        y, caches = check.floats("x", x), []
        for layer in self.layers:
            y, cache = layer.forward(y)
            caches.append(cache)
        return y, caches

    def evaluate(self, x: ArrayLike) -> Array:
        """y for x, each layer's as `Layer.evaluate` says: a sample's does not depend on others."""
        return reduce(lambda y, layer: layer.evaluate(y), self.layers, check.floats("x", x))

    def commit(self, cache: list[Cache]) -> None:
        """Take a batch into the running statistics, from what `forward` returned."""
        for layer, of_layer in zip(self.layers, cache, strict=True):
            layer.commit(of_layer.kept)

    def backward(
        self, dy: ArrayLike, cache: list[Cache], input_gradient: bool = True
    ) -> tuple[Any, dict[str, Array]]:
        """dx and the parameters' gradients by names, from dy, as of a layer, and the caches.

        Without `input_gradient` dx is None, which saves much of the first layer's work.
        """
        trained = [i for i, layer in enumerate(self.layers) if layer.parameters]
        lowest = 0 if input_gradient else min(trained, default=len(self.layers))
        grads: list[dict[str, Array]] = [{} for _ in self.layers]
        gradient = cache[-1].checked(dy)  # the layers' own formulas follow
        for i in reversed(range(lowest, len(self.layers))):
            of_x = input_gradient or i > lowest
            gradient, grads[i] = self.layers[i].gradients(gradient, cache[i].kept, of_x)
        return gradient if input_gradient else None, self._named(grads)

    def cut(self, at: int) -> tuple["Network", "Network"]:
        """The client half, layers[:at], and the server half, layers[at:]; they share the arrays."""
        at = check.integer("cut", at, 1, len(self.layers) - 1)
        most = min((i for i, layer in enumerate(self.layers) if layer.statistics), default=at)
        if at > most:
            allowed = f"must be at most {most}: BatchNorm needs the server's pooled batch"
            raise check.wrong("cut", at, allowed)
        return Network(self.layers[:at], self.first), Network(self.layers[at:], self.first + at)

    copy = deepcopy  # a network with arrays of its own

    def _named(self, by_layer: Sequence[dict[str, Array]]) -> dict[str, Array]:
        return {
            f"{index}.{name}": array
            for index, arrays in enumerate(by_layer, self.first)
            for name, array in arrays.items()
        }
