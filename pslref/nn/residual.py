"""Residual: two ways from x, added up, as one layer (docs/method.md, section 7)."""

from collections.abc import Sequence
from typing import Any

from pslref import check
from pslref.check import Array, ArrayLike
from pslref.nn.layers import Cache, Layer
from pslref.nn.network import Network

Caches = tuple[list[Cache], list[Cache]]


class Residual(Layer):
    """y = branch(x) + shortcut(x), as one layer, which a cut cannot open. (method.md 7)

    Its arrays are named "branch.{index}.{name}" and "shortcut.{index}.{name}".

    Args:
        branch: layers, one or more, one after the other.
        shortcut: likewise, to the same shape; without any it is x itself.
    """

    def __init__(self, branch: Sequence[Layer], shortcut: Sequence[Layer] = ()) -> None:
        self.branch, self.shortcut = Network(branch), Network(shortcut)
        if not self.branch.layers:
            raise check.wrong("branch", branch, "must have one layer or more")
        super().__init__(**self._named(self.branch.parameters(), self.shortcut.parameters()))
        self.statistics = self._named(self.branch.statistics(), self.shortcut.statistics())

    def output(self, x: Array) -> tuple[Array, Caches]:
        """y, in the shape that both make; the cache is what both need."""
        (y, of_branch), (other, of_shortcut) = self.branch.forward(x), self.shortcut.forward(x)
        if y.shape != other.shape:
            raise check.wrong("shortcut's y.shape", other.shape, f"must be branch's, {y.shape}")
        return y + other, (of_branch, of_shortcut)

    def evaluate(self, x: ArrayLike) -> Array:
        """y with the running statistics of both."""
        x = check.floats("x", x, self.dtype)
        y: Array = self.branch.evaluate(x) + self.shortcut.evaluate(x)
        return y

    def commit(self, cache: Caches) -> None:
        """Take the batch into the running statistics of both."""
        self.branch.commit(cache[0])
        self.shortcut.commit(cache[1])

    def gradients(
        self, dy: Array, cache: Caches, of_x: bool = True
    ) -> tuple[Any, dict[str, Array]]:
        """dx, the sum of both ways', and the gradients of both ways' parameters."""
        dx, of_branch = self.branch.backward(dy, cache[0], of_x)
        if not self.shortcut.layers:
            return dx + dy if of_x else None, self._named(of_branch, {})
        other, of_shortcut = self.shortcut.backward(dy, cache[1], of_x)
        return dx + other if of_x else None, self._named(of_branch, of_shortcut)

    def input_gradient(self, dy: Array, cache: Caches) -> Array:
        """dx alone."""
        dx: Array = self.gradients(dy, cache)[0]
        return dx

    def parameter_gradients(self, dy: Array, cache: Caches) -> dict[str, Array]:
        """The gradients of the parameters alone."""
        return self.gradients(dy, cache, of_x=False)[1]

    def _named(self, *arrays: dict[str, Array]) -> dict[str, Array]:
        ways = zip(("branch", "shortcut"), arrays, strict=True)
        return {f"{way}.{name}": array for way, named in ways for name, array in named.items()}
