"""Client: holds its own samples and a copy of the client half; draws, forward, backward."""

import numpy as np
from numpy.random import Generator

from pslref.check import Array, IntArray
from pslref.nn.network import Network
from pslref.split.messages import ClientGradient, ClientHalf, CutGradient, SmashedBatch


class Samples:
    """What one client holds, in an order of its own that is shuffled anew for each epoch.

    Args:
        client: its number k.
        y: (N,) labels of everybody; the client looks only at its own.
        indices: (n_k,) its own samples, as indices into y.
        rng: its own random stream.
    """

    def __init__(self, client: int, y: IntArray, indices: IntArray, rng: Generator) -> None:
        self.client, self.y, self.indices, self.rng = client, y, indices, rng
        self.start_epoch()

    def start_epoch(self) -> None:
        """Shuffle the client's samples anew; all of them are unused again."""
        self.left = self.left_before = self.indices[self.rng.permutation(self.indices.size)]

    def draw(self, counts: IntArray) -> IntArray:
        """The next samples of the shuffled order: never the same one twice in an epoch.

        Args:
            counts: (G,) how many of each group of classes (`Schedule.demands`); the next of each.
        """
        total = sum(counts.tolist())
        if counts.size == 1:
            drawn, rest = self.left[:total], self.left[total:]
        else:
            groups = np.minimum(self.y[self.left], counts.size - 1)
            taken = np.zeros(self.left.size, bool)
            for g in counts.nonzero()[0]:
                taken[(groups == g).nonzero()[0][: counts[g]]] = True
            # A class gave its foremost samples. Its others would come too late in a later draw
            # from all classes, were the rest not shuffled again.
            drawn, rest = self.left[taken], self.rng.permutation(self.left[~taken])
        if drawn.size < total:
            raise ValueError(
                f"batch_sizes[{self.client}] = {counts.tolist()}: must be at most what the client "
                f"has left in this epoch, {self.left.size} samples"
            )
        self.left_before, self.left = self.left, rest
        return drawn

    def put_back(self) -> None:
        """What the last draw took is unused again, in the order in which it was."""
        self.left = self.left_before


class Client(Samples):
    """One client of parallel split learning. (method.md 1)

    Args:
        client, y, indices, rng: as for `Samples`.
        network: its copy of the client half.
        x: (N, ...) images of everybody; the client looks only at its own.
    """

    def __init__(
        self,
        client: int,
        network: Network,
        x: Array,
        y: IntArray,
        indices: IntArray,
        rng: Generator,
    ) -> None:
        super().__init__(client, y, indices, rng)
        self.network, self.x = network, x

    def receive(self, message: ClientHalf) -> None:
        """Take over the current weights."""
        for name, w in self.network.parameters().items():
            w[...] = message.weights[name]

    def forward(self, batch: IntArray) -> SmashedBatch:
        """Run these samples up to the cut."""
        activations, self.cache = self.network.forward(self.x[batch])
        return SmashedBatch(self.client, activations, self.y[batch])

    def backward(self, message: CutGradient) -> ClientGradient:
        """Backpropagate from the cut, through the activations of the forward pass: g_k."""
        _, gradients = self.network.backward(message.gradient, self.cache, input_gradient=False)
        return ClientGradient(self.client, gradients)
