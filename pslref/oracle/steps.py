"""The operation that matters: several steps of parallel split learning, and all that they pass."""

from collections.abc import Sequence

import numpy as np

from pslref import nn, split
from pslref.oracle.networks import make_network
from pslref.oracle.operation import (
    STEP,
    Floats,
    Ints,
    Layers,
    Steps,
    Values,
    Weights,
    operation,
)
from pslref.oracle.training import stacked
from pslref.split.server import Server
from pslref.split.step import step


class WatchedClient(split.Client):
    """A client that keeps its last gradients."""

    gradients: Weights

    def backward(self, message: split.CutGradient) -> split.ClientGradient:
        """As of any client."""
        answer = super().backward(message)
        self.gradients = answer.gradients
        return answer


class WatchedServer(Server):
    """A server that keeps what crossed the cut in its last step."""

    def step(self, smashed: Sequence[split.SmashedBatch]) -> tuple[float, list[split.CutGradient]]:
        """As of any server."""
        loss, answers = super().step(smashed)
        self.seen: Values = {
            "smashed": np.concatenate([message.activations for message in smashed]),
            "loss": loss,
            "cut_gradient": np.concatenate([message.gradient for message in answers]),
        }
        return loss, answers

    def update(self, total: Weights) -> None:
        """As of any server."""
        super().update(total)
        self.seen["summed_gradients"] = total


@operation("steps", steps=Steps, logits=Floats)
def split_steps(
    layers: Layers,
    weights: Weights,
    cut: int,
    learning_rate: float,
    momentum: float,
    weight_decay: float,
    batch_sizes: Ints,
    epochs: Ints,
    x: Floats,
    y: Ints,
    eval_x: Floats,
    *,
    execution: str = "clients",
) -> Values:
    """each step is one SGD step on the pooled batch: Σ_k g_k of the mean loss over all B_t.

    `batch_sizes` is (S, K), `epochs` (S,): to which epoch each step belongs. The rows of `x` and
    `y` are in the order of use: those of step 0's client 0, then of its client 1, ..., then of
    step 1's. `client_weights` are what each client would use in the next step. `server_weights`
    also has the running statistics of batch norms, as "1.running_mean", from 0, and
    "1.running_var", from 1.
    """
    net = make_network(layers, weights, x.dtype)
    server = WatchedServer(net, cut, nn.SGD(learning_rate, momentum, weight_decay))
    pooled, half = execution == "pooled", server.client_half
    num_clients = batch_sizes.shape[1]
    owners = np.concatenate([np.repeat(np.arange(num_clients), row) for row in batch_sizes])
    clients, rng = [], np.random.Generator(np.random.PCG64(0))
    for k in range(num_clients):
        own = np.flatnonzero(k == owners)
        clients.append(WatchedClient(k, half if pooled else half.copy(), x, y, own, rng))
        clients[k].left = own  # in the order in which they are given, not shuffled
    steps = []
    for row in batch_sizes:
        if not row.any():
            raise ValueError("a step to which nobody brings a sample has no mean loss")
        for client in clients:
            client.gradients = {name: np.zeros_like(w) for name, w in half.parameters().items()}
        step(clients, server, row[:, None], pooled=pooled)
        if not pooled:  # as in the next step, in which all of them might take part
            for client in clients:
                client.receive(server.send())
            server.seen["client_gradients"] = stacked([client.gradients for client in clients])
        server.seen["client_weights"] = stacked([c.network.parameters() for c in clients])
        rest = server.network
        arrays = rest.parameters() | rest.statistics()
        server.seen["server_weights"] = {name: array.copy() for name, array in arrays.items()}
        steps.append({name: server.seen[name] for name in STEP if name in server.seen})
    return {"steps": steps, "logits": server.net.evaluate(eval_x)}
