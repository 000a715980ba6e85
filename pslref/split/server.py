"""Server: runs its half on the concatenated smashed data, and updates both halves."""

from collections.abc import Iterable, Sequence
from functools import reduce

import numpy as np

from pslref.check import Array
from pslref.nn.loss import cross_entropy
from pslref.nn.network import Network
from pslref.nn.sgd import SGD
from pslref.split.messages import ClientGradient, ClientHalf, CutGradient, SmashedBatch


class Server:
    """The server of parallel split learning. (method.md 1)

    It also keeps the current client half, since all clients' are equal, and sends it to who takes
    part next.

    Args:
        net: the uncut network.
        cut: the number of layers in the client half.
        optimizer: updates both halves.
    """

    def __init__(self, net: Network, cut: int, optimizer: SGD) -> None:
        self.net, self.optimizer = net, optimizer
        self.client_half, self.network = net.cut(cut)  # they share the arrays of `net`

    def send(self) -> ClientHalf:
        """The current client half."""
        return ClientHalf(self.client_half.parameters())

    def step(self, smashed: Sequence[SmashedBatch]) -> tuple[float, list[CutGradient]]:
        """The mean loss over all B_t samples, and to each client its rows of the gradient."""
        activations = np.concatenate([message.activations for message in smashed])
        labels = np.concatenate([message.labels for message in smashed])
        logits, self.cache = self.network.forward(activations)
        loss, gradient = cross_entropy(logits, labels)
        at_cut, self.gradients = self.network.backward(gradient, self.cache)
        ends = np.cumsum([message.labels.size for message in smashed])
        rows = np.split(at_cut, ends[:-1])
        clients = [message.client for message in smashed]
        return loss, list(map(CutGradient, clients, rows))

    def update(self, total: dict[str, Array]) -> None:
        """Commit the step: apply Σ_k g_k to the client half, the last gradients to its own."""
        self.network.commit(self.cache)
        del self.cache  # its memory is what the next step takes
        self.optimizer.update(self.net.parameters(), total | self.gradients)


def summed(answers: Iterable[ClientGradient]) -> dict[str, Array]:
    """Σ_k g_k, by parameter name; the loss is a mean over the global batch already. (method.md 1)

    Each is added as it comes, while the CPU's cache still holds it.
    """

    def added(total: dict[str, Array], gradients: dict[str, Array]) -> dict[str, Array]:
        return {name: total[name] + gradient for name, gradient in gradients.items()}

    return reduce(added, (answer.gradients for answer in answers))
