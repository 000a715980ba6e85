"""Other protocols than PSL, each written down from its description. They share no code with pslref.

A client's half learns from its own gradient in all of them; what differs is what the server does,
and which halves are averaged when.
"""

from collections.abc import Collection
from typing import Any

import numpy as np

from pslref.oracle import Spec
from tests.backends.plain_layers import SGD, cross_entropy
from tests.backends.plain_training import Half, _stack

Array = np.ndarray[Any, Any]
PROTOCOLS = ("aggregation-free", "splitfed-v1", "splitfed-v2", "splitfed-v1-batch",
             "splitfed-v2-batch", "averaged-server", "mergesfl", "cyclesl", "sglr")  # fmt: skip


class Trained(Half):
    """A half with an optimizer."""

    def start(self, inputs: dict[str, Any]) -> "Trained":
        self.sgd = SGD(inputs["learning_rate"], inputs["momentum"], inputs["weight_decay"], set())
        return self


class OtherProtocol:
    """A backend of one of `PROTOCOLS`.

    Its velocities may be "fresh" in every epoch; its server halves may be "frozen", a mistake.
    """

    def __init__(self, protocol: str, dtype: str = "float64", variant: str = "") -> None:
        self.spec, self.variant = Spec(protocol, dtype), variant
        self.one_step = getattr(self, f"_{protocol.replace('-', '_')}")

    def capabilities(self) -> Collection[str]:
        return ["split_steps"]

    def run(self, op: str, inputs: dict[str, Any]) -> dict[str, Any]:
        rows = inputs["batch_sizes"]
        epochs = inputs.get("epochs", np.zeros(len(rows)))
        cut, layers, num_clients = inputs["cut"], inputs["layers"], rows.shape[1]

        def half(specs: list[dict[str, Any]], first: int) -> Trained:
            own = {n: w.astype(self.spec.dtype) for n, w in inputs["weights"].items()}
            return Trained(specs, first, own, set()).start(inputs)

        self.clients = [half(layers[:cut], 0) for _ in range(num_clients)]
        self.servers = [half(layers[cut:], cut) for _ in range(num_clients)]
        steps, used = [], 0
        for t, counts in enumerate(rows):
            if not counts.any():
                raise ValueError("nobody brings a sample")
            batches = {}
            for k in np.flatnonzero(counts):
                rows_of_k = slice(used, used + counts[k])
                x = inputs["x"][rows_of_k].astype(self.spec.dtype)
                batches[int(k)] = (x, inputs["y"][rows_of_k])
                used += counts[k]
            self.n_k = rows[epochs == epochs[t]].sum(axis=0)
            if self.variant == "fresh" and (t == 0 or epochs[t] != epochs[t - 1]):
                for trained in self.clients + self.servers:
                    trained.start(inputs)
            self.last_of_epoch = t + 1 == len(rows) or epochs[t + 1] != epochs[t]
            self.sent, self.cut, self.gradients = {}, {}, {}
            losses = self.one_step(batches)
            zero = {n: 0 * w for n, w in self.clients[0].weights.items()}
            own_gradients = [self.gradients.get(k, zero) for k in range(num_clients)]
            brought = sum(losses[k] * counts[k] for k in losses)
            own = self.spec.name == "splitfed-v1"
            server = _stack([s.weights for s in self.servers])
            steps.append(
                {
                    "smashed": np.concatenate([self.sent[k] for k in batches]),
                    "loss": brought / counts.sum(),
                    "cut_gradient": np.concatenate([self.cut[k] for k in batches]),
                    "client_gradients": _stack(own_gradients),
                    "client_weights": _stack([c.weights for c in self.clients]),
                    "server_weights": {n: w if own else w[0] for n, w in server.items()},
                }
            )
        smashed = self.clients[0].forward(inputs["eval_x"].astype(self.spec.dtype))
        return {"steps": steps, "logits": self.servers[0].forward(smashed)}

    def _alone(self, k: int, server: Trained, x: Array, y: Array) -> tuple[float, Array]:
        """The loss of one client's batch and its gradient at the cut; the server has learnt."""
        self.sent[k] = self.clients[k].forward(x)
        loss, gradient = cross_entropy(server.forward(self.sent[k]), y, set())
        at_cut, gradients = server.backward(gradient)
        if self.variant != "frozen":
            server.sgd.step(server.weights, gradients)
        return loss, at_cut

    def _pooled(self, batches: dict[int, Any]) -> tuple[float, list[Array]]:
        """The same of all at once."""
        self.sent = {k: self.clients[k].forward(x) for k, (x, _) in batches.items()}
        smashed = np.concatenate(list(self.sent.values()))
        labels = np.concatenate([y for _, y in batches.values()])
        server = self.servers[0]
        loss, gradient = cross_entropy(server.forward(smashed), labels, set())
        at_cut, gradients = server.backward(gradient)
        if self.variant != "frozen":
            server.sgd.step(server.weights, gradients)
        return loss, np.split(at_cut, np.cumsum([len(y) for _, y in batches.values()])[:-1])

    def _learn(self, k: int, at_cut: Array) -> None:
        client = self.clients[k]
        self.cut[k], self.gradients[k] = at_cut, client.backward(at_cut)[1]
        client.sgd.step(client.weights, self.gradients[k])

    def _average(self, halves: list[Trained], over: Collection[int]) -> None:
        weight = np.array([n if k in over else 0 for k, n in enumerate(self.n_k)])
        share = weight / weight.sum()
        for name in halves[0].weights:
            mean = sum(r * h.weights[name] for r, h in zip(share, halves, strict=True))
            for h in halves:
                h.weights[name][...] = mean

    def _aggregation_free(self, batches: dict[int, Any]) -> dict[int, float]:
        loss, rows = self._pooled(batches)
        for k, own in zip(batches, rows, strict=True):
            self._learn(k, own)
        return dict.fromkeys(batches, loss)

    def _splitfed_v1(self, batches: dict[int, Any]) -> dict[int, float]:
        losses = {}
        for k, (x, y) in batches.items():
            losses[k], at_cut = self._alone(k, self.servers[k], x, y)
            self._learn(k, at_cut)
        if self.last_of_epoch:
            self._average(self.clients, range(len(self.n_k)))
            self._average(self.servers, range(len(self.n_k)))
        return losses

    def _splitfed_v2(self, batches: dict[int, Any]) -> dict[int, float]:
        losses = {}
        for k, (x, y) in batches.items():
            losses[k], at_cut = self._alone(k, self.servers[0], x, y)
            self._learn(k, at_cut)
        if self.last_of_epoch:
            self._average(self.clients, range(len(self.n_k)))
        return losses

    def _splitfed_v1_batch(self, batches: dict[int, Any]) -> dict[int, float]:
        losses = self._averaged_server(batches)
        self._average(self.clients, batches)
        return losses

    def _splitfed_v2_batch(self, batches: dict[int, Any]) -> dict[int, float]:
        self.last_of_epoch = False
        losses = self._splitfed_v2(batches)
        self._average(self.clients, batches)
        return losses

    def _averaged_server(self, batches: dict[int, Any]) -> dict[int, float]:
        losses = {}
        for k, (x, y) in batches.items():
            losses[k], at_cut = self._alone(k, self.servers[k], x, y)
            self._learn(k, at_cut)
        self._average(self.servers, batches)
        return losses

    def _mergesfl(self, batches: dict[int, Any]) -> dict[int, float]:
        loss, rows = self._pooled(batches)
        for k, own in zip(batches, rows, strict=True):
            self._learn(k, own * (sum(map(len, rows)) / len(own)))
        if self.last_of_epoch:
            self._average(self.clients, range(len(self.n_k)))
        return dict.fromkeys(batches, loss)

    def _cyclesl(self, batches: dict[int, Any]) -> dict[int, float]:
        loss, _ = self._pooled(batches)
        for k, (x, y) in batches.items():
            logits = self.servers[0].forward(self.clients[k].forward(x))
            self._learn(k, self.servers[0].backward(cross_entropy(logits, y, set())[1])[0])
        return dict.fromkeys(batches, loss)

    def _sglr(self, batches: dict[int, Any]) -> dict[int, float]:
        losses, at_cut = {}, {}
        for k, (x, y) in batches.items():
            losses[k], at_cut[k] = self._alone(k, self.servers[k], x, y)
        active = list(batches)[: len(batches) // 2]
        if active:
            samples = [(self.n_k[k], row) for k in active for row in at_cut[k]]
            mean = sum(n * row for n, row in samples) / sum(n for n, _ in samples)
            for k in active:
                at_cut[k] = np.array([mean] * len(at_cut[k]), at_cut[k].dtype)
        for k, own in at_cut.items():
            self._learn(k, own)
        self._average(self.servers, batches)
        return losses
