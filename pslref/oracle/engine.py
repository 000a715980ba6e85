"""Split learning with every decision in a method of its own, so that a mistake can replace one.

Only for diagnoses: what an implementation must do is in the vectors.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pslref import nn
from pslref.oracle.backends import Values
from pslref.oracle.library import make_network

Array = NDArray[Any]
Arrays = dict[str, Array]


class Engine:
    """One run of `split_steps`, in float64 and without a mistake."""

    def __init__(self, inputs: Values) -> None:
        self.inputs = inputs
        self.num_clients = inputs["batch_sizes"].shape[1]
        net = make_network(inputs["layers"], inputs["weights"], "float64")
        half, self.server = net.cut(inputs["cut"])
        self.clients = [half.copy() for _ in range(self.num_clients)]
        self.initial = half.copy()
        self.server_sgd = self.optimizer(client=False)
        self.client_sgds = [self.optimizer(client=True) for _ in self.clients]

    def run(self) -> Values:
        """The outputs of `split_steps`."""
        rows = self.inputs["batch_sizes"]
        ends = np.cumsum(rows)[:-1]
        x = iter(np.split(self.inputs["x"], ends))
        y = iter(np.split(self.inputs["y"], ends))
        steps = []
        for counts in rows:
            local = [(next(x), next(y)) for _ in counts]
            steps.append(self.step(counts, [a for a, _ in local], [b for _, b in local]))
        logits, _ = self.server.forward(self.evaluated().forward(self.inputs["eval_x"])[0])
        return {"steps": steps, "logits": logits}

    def step(self, counts: Array, x: list[Array], y: list[Array]) -> Values:
        """Forward, loss, backward, sum, update: one step."""
        present = [int(k) for k in np.flatnonzero(counts)]
        outs = {k: self.clients[k].forward(x[k]) for k in present}
        smashed = np.concatenate([outs[k][0] for k in present])
        labels = self.labels([y[k] for k in present])
        loss, cut_gradient, server_gradients = self.serve(smashed, labels, counts[present])
        rows = self.answers(np.split(cut_gradient, np.cumsum(counts[present])[:-1]))
        gradients = {
            k: self.backward(k, row, x[k], outs[k][1]) for k, row in zip(present, rows, strict=True)
        }
        total = self.combine(gradients, counts)
        self.update(total, gradients, server_gradients, counts)
        nothing = {name: np.zeros_like(w) for name, w in self.initial.parameters().items()}
        return {
            "smashed": smashed,
            "loss": loss,
            "cut_gradient": np.concatenate(rows),
            "client_gradients": _stacked(
                [gradients.get(k, nothing) for k in range(self.num_clients)]
            ),
            "summed_gradients": total,
            "client_weights": _stacked([client.parameters() for client in self.clients]),
            "server_weights": {k: w.copy() for k, w in self.server.parameters().items()},
        }

    def labels(self, local: list[Array]) -> Array:
        """The labels, in the order of the smashed data."""
        return np.concatenate(local)

    def serve(self, smashed: Array, labels: Array, counts: Array) -> tuple[float, Array, Arrays]:
        """The loss, the gradient at the cut, and the server's gradients."""
        logits, cache = self.server.forward(smashed)
        loss, gradient = self.loss(logits, labels, counts)
        at_cut, gradients = self.server.backward(gradient, cache)
        return loss, at_cut, gradients

    def loss(self, logits: Array, labels: Array, counts: Array) -> tuple[float, Array]:
        """The mean over the global batch."""
        return nn.cross_entropy(logits, labels)

    def answers(self, rows: list[Array]) -> list[Array]:
        """Who gets which rows of the gradient at the cut."""
        return rows

    def backward(self, client: int, gradient: Array, x: Array, cache: list[Any]) -> Arrays:
        """g_k."""
        return self.clients[client].backward(gradient, cache)[1]

    def combine(self, gradients: dict[int, Arrays], counts: Array) -> Arrays:
        """The sum over the participating clients."""
        return self.weighted(gradients, dict.fromkeys(gradients, 1.0))

    def weighted(self, gradients: dict[int, Arrays], weights: dict[int, float]) -> Arrays:
        """A weighted sum of client gradients."""
        names = self.initial.parameters()
        return {
            name: np.sum([weights[k] * g[name] for k, g in gradients.items()], axis=0)
            for name in names
        }

    def update(
        self, total: Arrays, gradients: dict[int, Arrays], server_gradients: Arrays, counts: Array
    ) -> None:
        """Commit the step: the server and every client."""
        self.server_sgd.update(self.server.parameters(), server_gradients)
        for k in self.updated(counts):
            self.client_sgds[k].update(
                self.clients[k].parameters(), self.applied(k, total, gradients)
            )

    def updated(self, counts: Array) -> list[int]:
        """The clients that apply the update: all."""
        return list(range(self.num_clients))

    def applied(self, client: int, total: Arrays, gradients: dict[int, Arrays]) -> Arrays:
        """What a client applies: the sum."""
        return total

    def optimizer(self, client: bool) -> nn.SGD:
        """An optimizer of the client half or of the server half."""
        i = self.inputs
        return nn.SGD(i["learning_rate"], i["momentum"], i["weight_decay"])

    def evaluated(self) -> nn.Network:
        """The client half that evaluation runs."""
        return self.clients[0]


def _stacked(by_client: list[Arrays]) -> Arrays:
    return {name: np.stack([one[name] for one in by_client]) for name in by_client[0]}
