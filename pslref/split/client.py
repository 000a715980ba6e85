"""Client: holds its own samples and a copy of the client half; draws, forward, backward, update."""

import numpy as np

from pslref.check import IntArray
from pslref.nn import SGD, Network
from pslref.split.messages import Array, ClientGradient, CutGradient, SmashedBatch


class Client:
    """One client of parallel split learning. (method.md 1)

    Args:
        client: its number k.
        network: its copy of the client half.
        optimizer: its own optimizer; all clients' start equal and see equal gradients.
        x: (N, ...) images of everybody; the client looks only at its own.
        y: (N,) labels, likewise.
        indices: (n_k,) its own samples, as indices into x and y.
        rng: its own random stream.
    """

    def __init__(
        self,
        client: int,
        network: Network,
        optimizer: SGD,
        x: Array,
        y: IntArray,
        indices: IntArray,
        rng: np.random.Generator,
    ) -> None:
        self.client = client
        self.network = network
        self.optimizer = optimizer
        self.x, self.y, self.indices = x, y, indices
        self.rng = rng
        self.start_epoch()

    def start_epoch(self) -> None:
        """Shuffle the client's samples anew; all of them are unused again."""
        self.order = self.indices[self.rng.permutation(self.indices.size)]
        self.used = 0

    def draw(self, count: int) -> IntArray:
        """The next `count` samples of the shuffled order: never the same one twice in an epoch."""
        if count > self.order.size - self.used:
            raise ValueError(
                f"batch_sizes[{self.client}] = {count}: must be at most "
                f"{self.order.size - self.used}, what the client has left in this epoch"
            )
        drawn = self.order[self.used : self.used + count]
        self.used += count
        return drawn

    def forward(self, count: int) -> SmashedBatch:
        """Draw `count` samples and run them up to the cut."""
        self.batch = self.draw(count)
        activations, self.cache = self.network.forward(self.x[self.batch])
        return SmashedBatch(self.client, activations, self.y[self.batch])

    def backward(self, message: CutGradient) -> ClientGradient:
        """Backpropagate from the cut, through the activations of the forward pass: g_k."""
        _, gradients = self.network.backward(message.gradient, self.cache, input_gradient=False)
        return ClientGradient(self.client, gradients)

    def update(self, total: dict[str, Array]) -> None:
        """Apply Σ_k g_k; every client does, also one that sat the step out."""
        self.optimizer.update(self.network.parameters(), total)
