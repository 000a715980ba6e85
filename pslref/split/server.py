"""Server: runs its half on the concatenated smashed data, and updates it when a step commits."""

from collections.abc import Iterable, Sequence

import numpy as np

from pslref.nn import SGD, Network, cross_entropy
from pslref.split.messages import Array, ClientGradient, CutGradient, SmashedBatch


class Server:
    """The server of parallel split learning. (method.md 1)

    Args:
        network: the server half.
        optimizer: its optimizer.
    """

    def __init__(self, network: Network, optimizer: SGD) -> None:
        self.network = network
        self.optimizer = optimizer

    def step(self, smashed: Sequence[SmashedBatch]) -> tuple[float, list[CutGradient]]:
        """The mean loss over all B_t samples, and to each client its rows of the gradient."""
        activations = np.concatenate([message.activations for message in smashed])
        labels = np.concatenate([message.labels for message in smashed])
        loss, gradient = self.loss_and_gradient(activations, labels)
        ends = np.cumsum([message.labels.size for message in smashed])
        rows = np.split(gradient, ends[:-1])
        return loss, [
            CutGradient(message.client, row) for message, row in zip(smashed, rows, strict=True)
        ]

    def loss_and_gradient(self, activations: Array, labels: Array) -> tuple[float, Array]:
        """Forward, mean cross-entropy, backward; the update waits for `update`."""
        logits, cache = self.network.forward(activations)
        loss, gradient = cross_entropy(logits, labels)
        gradient, self.gradients = self.network.backward(gradient, cache)
        return loss, gradient

    def update(self) -> None:
        """Commit the step: apply the gradients of the last forward pass to the server half."""
        self.optimizer.update(self.network.parameters(), self.gradients)


def summed(answers: Iterable[ClientGradient]) -> dict[str, Array]:
    """Σ_k g_k, by parameter name; the loss is a mean over the global batch already. (method.md 1)

    Each is added as it comes, while the CPU's cache still holds it.
    """
    total: dict[str, Array] = {}
    for answer in answers:
        for name, gradient in answer.gradients.items():
            if name in total:
                total[name] += gradient
            else:
                total[name] = gradient.copy()
    return total
