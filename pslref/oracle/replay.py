"""Generators that give a sampler recorded draws instead of random ones."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from pslref.check import IntArray


class Recorded(np.random.Generator):
    """A generator of which some method does not draw."""

    def __init__(self) -> None:
        super().__init__(np.random.PCG64(0))


class RecordedShuffle(Recorded):
    """For `sampling.ugs`: its one shuffle is the recorded permutation."""

    def __init__(self, permutation: IntArray) -> None:
        super().__init__()
        self.recorded = permutation

    def shuffle(self, x: Any, axis: int = 0) -> None:
        """Put the entries in the recorded order."""
        x[:] = x[self.recorded]


class RecordedClients(Recorded):
    """For `sampling.dirichlet.draw` with equal weights: its draws name the recorded clients."""

    def __init__(self, clients: Iterable[int], left: IntArray) -> None:
        super().__init__()
        self.clients = iter(clients)
        self.left = left.copy()

    def random(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        """Points in [0, 1) that fall to the next recorded clients that have samples left."""
        has_some = self.left > 0
        drawn: list[int] = []
        while len(drawn) < size:
            client = next(self.clients)
            if has_some[client]:
                drawn.append(client)
        place = np.cumsum(has_some)[drawn] - 0.5
        self.left = np.maximum(self.left - np.bincount(drawn, minlength=self.left.size), 0)
        return place / has_some.sum()
