"""Stand-ins for a generator: they give a sampler recorded draws instead of random ones."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pslref.check import FloatArray, IntArray


class InOrder:
    """For `split.Simulation`: no client shuffles."""

    def spawn(self, number: int) -> list["InOrder"]:
        """The same for every client."""
        return [self] * number

    def permutation(self, items: int | IntArray) -> IntArray:
        """The items as they are; for a number, 0, 1, ..., number - 1."""
        return np.arange(items) if isinstance(items, int) else items


class RecordedShuffle:
    """For `sampling.ugs`: its one shuffle is the recorded permutation."""

    def __init__(self, permutation: IntArray) -> None:
        self.recorded = permutation

    def shuffle(self, array: NDArray[Any]) -> None:
        """Put the entries in the recorded order."""
        array[:] = array[self.recorded]


class RecordedClients:
    """For `sampling.dirichlet.draw` with equal weights: its draws name the recorded clients."""

    def __init__(self, clients: Iterable[int], left: IntArray) -> None:
        self.clients = iter(clients)
        self.left = left.copy()

    def random(self, number: int) -> FloatArray:
        """Points in [0, 1) that fall to the next recorded clients that have samples left."""
        has_some = self.left > 0
        drawn: list[int] = []
        while len(drawn) < number:
            client = next(self.clients)
            if has_some[client]:
                drawn.append(client)
        place = np.cumsum(has_some)[drawn] - 0.5
        self.left = np.maximum(self.left - np.bincount(drawn, minlength=self.left.size), 0)
        points: FloatArray = place / has_some.sum()
        return points
