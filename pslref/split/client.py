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
        self.left = self.indices[self.rng.permutation(self.indices.size)]

    def draw(self, counts: int | IntArray) -> IntArray:
        """The next samples of the shuffled order: never the same one twice in an epoch.

        Args:
            counts: how many; or (M,) how many of each class, then the next ones of each.
        """
        if isinstance(counts, np.ndarray):
            total = int(counts.sum())
            labels, taken = self.y[self.left], np.zeros(self.left.size, bool)
            for m in counts.nonzero()[0]:
                taken[(labels == m).nonzero()[0][: counts[m]]] = True
            # A class gave its foremost samples. Its others would come too late in a later draw
            # from all classes, were the rest not shuffled again.
            drawn, rest = self.left[taken], self.rng.permutation(self.left[~taken])
        else:
            total = int(counts)  # NumPy's integers make slow slices
            drawn, rest = self.left[:total], self.left[total:]
        if drawn.size < total:
            raise ValueError(
                f"batch_sizes[{self.client}] = {counts}: must be at most what the client has left "
                f"in this epoch, {self.left.size} samples"
            )
        self.left = rest
        return drawn

    def forward(self, counts: int | IntArray) -> SmashedBatch:
        """Draw a local batch and run it up to the cut."""
        self.batch = self.draw(counts)
        activations, self.cache = self.network.forward(self.x[self.batch])
        return SmashedBatch(self.client, activations, self.y[self.batch])

    def backward(self, message: CutGradient) -> ClientGradient:
        """Backpropagate from the cut, through the activations of the forward pass: g_k."""
        _, gradients = self.network.backward(message.gradient, self.cache, input_gradient=False)
        return ClientGradient(self.client, gradients)

    def update(self, total: dict[str, Array]) -> None:
        """Apply Σ_k g_k; every client does, also one that sat the step out."""
        self.optimizer.update(self.network.parameters(), total)

    def catch_up(self, current: "Client") -> None:
        """Take over the weights and velocities of a client that missed no update."""
        for name, w in current.network.parameters().items():
            self.network.parameters()[name][...] = w
        self.optimizer.velocity = {name: v.copy() for name, v in current.optimizer.velocity.items()}
