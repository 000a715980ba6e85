"""Known mistakes in forward, loss, backward and sum: each replaces one decision of the engine.

The docstring of a mistake is what the diagnosis says.
"""

import numpy as np

from pslref import nn
from pslref.oracle.engine import Array, Arrays, Engine


class AveragedOverParticipants(Engine):
    """Client gradients are averaged over the participants: sum them, the loss is a mean already."""

    def combine(self, gradients: dict[int, Arrays], counts: Array) -> Arrays:
        return self.weighted(gradients, dict.fromkeys(gradients, 1 / len(gradients)))


class AveragedOverAll(Engine):
    """Client gradients are averaged over all K clients: sum them, the loss is a mean already."""

    def combine(self, gradients: dict[int, Arrays], counts: Array) -> Arrays:
        return self.weighted(gradients, dict.fromkeys(gradients, 1 / self.num_clients))


class WeightedByShare(Engine):
    """Client gradients are weighted by b_k / B_t: sum them, the loss is a mean already."""

    def combine(self, gradients: dict[int, Arrays], counts: Array) -> Arrays:
        return self.weighted(gradients, {k: counts[k] / counts.sum() for k in gradients})


class WeightedByPosition(Engine):
    """Client gradients are weighted by the shares of other clients: by position, not by client."""

    def combine(self, gradients: dict[int, Arrays], counts: Array) -> Arrays:
        shares = counts / counts.sum()
        return self.weighted(gradients, {k: shares[i] for i, k in enumerate(gradients)})


class FirstClientOnly(Engine):
    """Only the first participant's gradient is used, instead of the sum."""

    def combine(self, gradients: dict[int, Arrays], counts: Array) -> Arrays:
        return gradients[next(iter(gradients))]


class LastClientOnly(Engine):
    """Only the last participant's gradient is used: each overwrites the one before."""

    def combine(self, gradients: dict[int, Arrays], counts: Array) -> Arrays:
        return gradients[list(gradients)[-1]]


class LastClientLost(Engine):
    """The last participant's gradient is left out of the sum."""

    def combine(self, gradients: dict[int, Arrays], counts: Array) -> Arrays:
        last = list(gradients)[-1]
        return self.weighted(gradients, {k: float(k != last) for k in gradients})


class LocalMeans(Engine):
    """The loss is a mean of the clients' means: take the mean over all samples of the batch."""

    def scale(self, counts: Array) -> Array:
        return np.repeat(1 / (counts * counts.size), counts)

    def loss(self, logits: Array, labels: Array, counts: Array) -> tuple[float, Array]:
        each = [nn.cross_entropy(logits[[i]], labels[[i]]) for i in range(labels.size)]
        scale = self.scale(counts)
        gradient = np.concatenate([gradient for _, gradient in each])
        return float(scale @ [loss for loss, _ in each]), scale[:, np.newaxis] * gradient


class SumOfLocalMeans(LocalMeans):
    """Each client's loss is a mean over its own samples, and these are added up."""

    def scale(self, counts: Array) -> Array:
        return np.repeat(1 / counts, counts)


class SummedLoss(LocalMeans):
    """The loss is summed over the batch, not averaged."""

    def scale(self, counts: Array) -> Array:
        return np.ones(int(counts.sum()))


class LossOverClients(LocalMeans):
    """The loss is divided by the number of participants, not of samples."""

    def scale(self, counts: Array) -> Array:
        return np.full(int(counts.sum()), 1 / counts.size)


class LossOverLargestBatch(LocalMeans):
    """The loss is divided by the size of the largest batch, also in a smaller one."""

    def scale(self, counts: Array) -> Array:
        return np.full(int(counts.sum()), 1 / self.inputs["batch_sizes"].sum(axis=1).max())


class SoftmaxTwice(Engine):
    """A softmax comes before a loss that applies softmax itself."""

    def loss(self, logits: Array, labels: Array, counts: Array) -> tuple[float, Array]:
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        loss, dp = nn.cross_entropy(p, labels)
        return loss, p * (dp - (p * dp).sum(axis=1, keepdims=True))


class ReversedLabels(Engine):
    """The clients' labels are joined in the reverse of the order of their activations."""

    def labels(self, local: list[Array]) -> Array:
        return np.concatenate(local[::-1])


class ReversedAnswers(Engine):
    """Gradients at the cut go back in the reverse order of clients."""

    def answers(self, rows: list[Array]) -> list[Array]:
        return np.split(np.concatenate(rows[::-1]), np.cumsum([len(row) for row in rows])[:-1])


class ReversedSamples(Engine):
    """Each client gets its rows of the gradient at the cut in the reverse order of its samples."""

    def answers(self, rows: list[Array]) -> list[Array]:
        return [row[::-1] for row in rows]


class ScalarSentBack(Engine):
    """The loss itself is sent back in place of its gradient at the cut."""

    def serve(self, smashed: Array, labels: Array, counts: Array) -> tuple[float, Array, Arrays]:
        loss, at_cut, gradients = super().serve(smashed, labels, counts)
        return loss, np.full_like(at_cut, loss), gradients


class BackwardAfterUpdate(Engine):
    """The gradient at the cut is taken at the server's weights after the update."""

    forward_again = False

    def serve(self, smashed: Array, labels: Array, counts: Array) -> tuple[float, Array, Arrays]:
        loss, _, gradients = super().serve(smashed, labels, counts)
        logits, cache = self.server.forward(smashed)
        before, velocity = self.server.copy(), dict(self.server_sgd.velocity)
        self.server_sgd.update(self.server.parameters(), gradients)
        if self.forward_again:
            logits, cache = self.server.forward(smashed)
        at_cut, _ = self.server.backward(self.loss(logits, labels, counts)[1], cache)
        self.server, self.server_sgd.velocity = before, velocity
        return loss, at_cut, gradients


class ForwardAgain(BackwardAfterUpdate):
    """The server runs forward again, at the weights after the update, for the gradient it sends."""

    forward_again = True


FAULTY_STEPS: list[type[Engine]] = [
    AveragedOverParticipants,
    AveragedOverAll,
    WeightedByShare,
    WeightedByPosition,
    FirstClientOnly,
    LastClientOnly,
    LastClientLost,
    LocalMeans,
    SumOfLocalMeans,
    SummedLoss,
    LossOverClients,
    LossOverLargestBatch,
    SoftmaxTwice,
    ReversedLabels,
    ReversedAnswers,
    ReversedSamples,
    ScalarSentBack,
    BackwardAfterUpdate,
    ForwardAgain,
]
