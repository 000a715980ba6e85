"""The protocol written a second time: K halves and a server, with faults to switch on.

It shares no code with pslref. `faults` is the set of the names of mistakes.
"""

from copy import deepcopy
from typing import Any

import numpy as np

from tests.backends.plain_layers import SGD, Half, cross_entropy

Array = np.ndarray[Any, Any]


class Training:
    """The protocol with K halves and a server; `faults` switch decisions to wrong ones."""

    def __init__(self, inputs: dict[str, Any], faults: set[str], dtype: str) -> None:
        self.i, self.faults = inputs, faults
        weights = {name: w.astype(dtype) for name, w in inputs["weights"].items()}
        cut, specs = inputs["cut"], list(inputs["layers"])
        blocks = [i for i, spec in enumerate(specs) if spec["type"] == "residual"]
        at_cut = [i for i in blocks if i < cut][-1:]
        for i in blocks if "shortcuts-lost" in faults else at_cut:
            if faults & {"shortcuts-lost", "shortcut-lost-at-cut"}:
                specs[i] = {**specs[i], "lost": True}
            if "last-relu-lost" in faults:
                specs[i + 1] = {"type": "avg_pool2d", "kernel": 1, "stride": 1}
        self.num_clients = inputs["batch_sizes"].shape[1]
        self.clients = [
            Half(specs[:cut], 0, {n: w.copy() for n, w in weights.items()}, faults)
            for _ in range(self.num_clients)
        ]
        self.server = Half(specs[cut:], cut, weights, faults)
        if self.clients[0].statistics() and "norm-at-clients" not in faults:
            raise ValueError("a batch norm would see the samples of one client")
        self.initial = deepcopy(self.clients[0])
        self.shown = [deepcopy(client.weights) for client in self.clients]
        self.reset()

    def sgd(self, client: bool) -> SGD:
        decay = self.i["weight_decay"]
        if "client-decay-lost" in self.faults and client:
            decay = 0.0
        if "server-decay-lost" in self.faults and not client:
            decay = 0.0
        return SGD(self.i["learning_rate"], self.i["momentum"], decay, self.faults)

    def reset(self) -> None:
        self.client_sgds = [self.sgd(True) for _ in self.clients]
        self.server_sgd = self.sgd(False)

    def run(self) -> dict[str, Any]:
        row, steps, epoch = 0, [], None
        epochs = self.i.get("epochs", [0] * len(self.i["batch_sizes"]))
        self.before = self.clients[0]
        for counts, now in zip(self.i["batch_sizes"].tolist(), epochs, strict=True):
            if "epoch-optimizers" in self.faults and now != epoch:
                self.reset()
            epoch = now
            if not any(counts):
                raise ValueError("nobody brings a sample")
            x, y = [], []
            for b in counts:
                x.append(self.i["x"][row : row + b])
                y.append(self.i["y"][row : row + b])
                row += b
            self.before = deepcopy(self.clients[0])
            steps.append(self.step(counts, x, y))
        half = self.clients[0]
        if "stale-evaluation" in self.faults:
            half = self.before
        if "half-not-in-checkpoint" in self.faults:
            half = self.initial
        smashed = half.forward(self.i["eval_x"], evaluating=True)
        return {"steps": steps, "logits": self.server.forward(smashed, evaluating=True)}

    def step(self, counts: list[int], x: list[Array], y: list[Array]) -> dict[str, Any]:
        f = self.faults
        if "fresh-optimizers" in f:
            self.reset()
        if "fresh-client-optimizers" in f:
            self.client_sgds = [self.sgd(True) for _ in self.clients]
        present = [k for k, b in enumerate(counts) if b]
        sent = [self.clients[k].forward(x[k]) for k in present]
        smashed = np.concatenate(sent)
        order = present[::-1] if "labels-reversed" in f else present
        if "labels-by-name" in f:
            order = sorted(present, key=lambda k: f"client-{k}")
        labels = np.concatenate([y[k] for k in order])
        if "server-in-turn" in f:
            loss, at_cut, server_gradients = self.serve_in_turn(sent, [y[k] for k in present])
        else:
            sizes = [counts[k] for k in present]
            loss, at_cut, server_gradients = self.serve(smashed, labels, sizes)
        ends = np.cumsum([counts[k] for k in present])[:-1]
        rows = np.split(at_cut, ends)
        if "answers-reversed" in f:
            rows = np.split(np.concatenate(rows[::-1]), ends)
        if "answers-shifted" in f:
            rows = np.split(np.roll(at_cut, 1, axis=0), ends)
        gradients = {}
        for k, answer in zip(present, rows, strict=True):
            if "client-forward-again" in f:
                self.clients[k].forward(x[k] + 0.01)
            gradients[k] = self.clients[k].backward(answer)[1]
        total = self.combine(gradients, counts)
        summed = {name: g.copy() for name, g in total.items()}
        self.update(total, gradients, server_gradients, counts)
        for k, client in enumerate(self.clients):
            if counts[k] or "lazy-report" not in f:
                self.shown[k] = {name: w.copy() for name, w in client.weights.items()}
        zero = {name: 0 * w for name, w in self.clients[0].weights.items()}
        return {
            "smashed": smashed,
            "loss": loss,
            "cut_gradient": np.concatenate(rows),
            "client_gradients": _stack([gradients.get(k, zero) for k in range(len(counts))]),
            "summed_gradients": summed,
            "client_weights": _stack(self.shown),
            "server_weights": deepcopy(self.server.weights | self.server.statistics()),
        }

    def serve(
        self, smashed: Array, labels: Array, counts: list[int]
    ) -> tuple[float, Array, dict[str, Array]]:
        f = self.faults
        if "server-per-client" in f:
            return self.serve_apart(smashed, labels, counts)
        logits = self.server.forward(smashed)
        loss, gradient = cross_entropy(logits, labels, f)
        if f & {
            *("mean-of-means", "sum-of-means", "divided-by-clients", "nominal-batch"),
            "micro-batches",
        }:
            losses = np.array(
                [cross_entropy(logits[[n]], labels[[n]], set())[0] for n in range(len(labels))]
            )
            weight = np.repeat([1 / b for b in counts], counts)
            if "mean-of-means" in f:
                weight = weight / len(counts)
            if "divided-by-clients" in f:
                weight = np.full(len(labels), 1 / len(counts))
            if "nominal-batch" in f:
                weight = np.full(len(labels), 1 / max(self.i["batch_sizes"].sum(axis=1)))
            if "micro-batches" in f:
                pieces = [weight[n : n + 16] for n in range(0, len(weight), 16)]
                weight = np.concatenate([0 * w + 1 / len(w) / len(pieces) for w in pieces])
            loss = float(np.sum(losses * weight))
            gradient = gradient * len(labels) * weight[:, None].astype(gradient.dtype)
        at_cut, gradients = self.server.backward(gradient)
        if "cut-gradient-after-update" in f:
            moved, sgd = deepcopy(self.server), deepcopy(self.server_sgd)
            sgd.step(moved.weights, gradients)
            at_cut, _ = moved.backward(gradient)
        if "scalar-sent-back" in f:
            at_cut = np.full_like(at_cut, loss)
        if "clipped" in f:
            at_cut = np.clip(at_cut, -0.05, 0.05)
        return loss, at_cut, gradients

    def serve_apart(
        self, smashed: Array, labels: Array, counts: list[int]
    ) -> tuple[float, Array, dict[str, Array]]:
        """A loop over the clients, with one update at its end."""
        loss, rows, total, start = 0.0, [], {}, 0
        for b in counts:
            own = slice(start, start + b)
            part, gradient = cross_entropy(self.server.forward(smashed[own]), labels[own], set())
            share = b / len(labels)
            loss += share * part
            at_cut, gradients = self.server.backward((share * gradient).astype(gradient.dtype))
            rows.append(at_cut)
            total = {n: total.get(n, 0) + g for n, g in gradients.items()}
            start += b
        return loss, np.concatenate(rows), total

    def serve_in_turn(
        self, sent: list[Array], labels: list[Array]
    ) -> tuple[float, Array, dict[str, Array]]:
        """The last client's gradients are still to be applied."""
        total, rows, gradients = 0.0, [], {}
        for one, own in zip(sent, labels, strict=True):
            if rows:
                self.server_sgd.step(self.server.weights, gradients)
            loss, at_cut, gradients = self.serve(one, own, [len(own)])
            total += loss * len(own)
            rows.append(at_cut)
        return total / sum(map(len, labels)), np.concatenate(rows), gradients

    def combine(
        self, gradients: dict[int, dict[str, Array]], counts: list[int]
    ) -> dict[str, Array]:
        f, who = self.faults, list(gradients)
        share = {k: counts[k] / sum(counts) for k in range(len(counts))}
        weight = dict.fromkeys(who, 1.0)
        if "averaged" in f:
            weight = dict.fromkeys(who, 1 / len(who))
        if "averaged-over-all" in f:
            weight = dict.fromkeys(who, 1 / len(counts))
        if "weighted-by-share" in f:
            weight = {k: share[k] for k in who}
        if "weighted-by-position" in f:
            weight = {k: share[position] for position, k in enumerate(who)}
        if "last-overwrites" in f:
            weight = {k: float(k == who[-1]) for k in who}
        if "last-left-out" in f:
            weight = {k: float(k != who[-1]) for k in who}
        if "largest-only" in f:
            largest = max(who, key=lambda k: counts[k])
            weight = {k: float(k == largest) for k in who}
        dtype = self.i["x"].dtype
        if "half-sums" in f:
            half = [{n: g.astype(np.float16) for n, g in gradients[k].items()} for k in who]
            total = half[0]
            for other in half[1:]:
                total = {n: g + other[n] for n, g in total.items()}
            return {n: g.astype(dtype) for n, g in total.items()}
        return {
            name: np.sum([weight[k] * gradients[k][name] for k in who], axis=0).astype(dtype)
            for name in self.clients[0].weights
        }

    def update(
        self, total: dict[str, Array], gradients: dict[int, dict[str, Array]],
        server_gradients: dict[str, Array], counts: list[int],
    ) -> None:  # fmt: skip
        f = self.faults
        if "not-zeroed" in f:
            self.kept = {n: getattr(self, "kept", {}).get(n, 0) + g for n, g in total.items()}
            total = self.kept
        if "clipped-norm" in f:
            total, server_gradients = clipped(total), clipped(server_gradients)
        for sgd in self.client_sgds:
            if "rate-times-participants" in f:
                sgd.rate = self.i["learning_rate"] * len(gradients)
            if "rate-over-participants" in f:
                sgd.rate = self.i["learning_rate"] / len(gradients)
            if "decay-per-participant" in f:
                sgd.decay = self.i["weight_decay"] * len(gradients)
        who = range(len(counts))
        if f & {"velocity-stale", "velocity-lost"}:
            who = [k for k in who if counts[k]]
        if "absent-not-updated" in f or "own-gradient" in f:
            who = [k for k in who if counts[k]]
        if "first-half-updated" in f:
            who = range((len(counts) + 1) // 2)
        if "never-updated" in f:
            who = []
        for k in who:
            mine = gradients[k] if "own-gradient" in f else total
            if "array-shared" in f:
                self.client_sgds[k].step(self.clients[k].weights, mine)
                for g in mine.values():
                    g *= self.i["learning_rate"]
            else:
                self.client_sgds[k].step(self.clients[k].weights, mine)
        if "velocity-averaged" in f and who:
            for sgd in self.client_sgds:
                sgd.velocity = {n: v * 0.9 for n, v in sgd.velocity.items()}
        if f & {"velocity-stale", "velocity-lost"}:
            for k, client in enumerate(self.clients):
                if not counts[k]:
                    for name, w in client.weights.items():
                        w[...] = self.clients[who[0]].weights[name]
                    if "velocity-lost" in f:
                        self.client_sgds[k].velocity = {}
        if "server-not-updated" not in f:
            self.server_sgd.step(self.server.weights, server_gradients)


def clipped(gradients: dict[str, Array], most: float = 5.0) -> dict[str, Array]:
    """As torch.nn.utils.clip_grad_norm_ does."""
    norm = np.sqrt(sum(np.sum(g.astype(np.float64) ** 2) for g in gradients.values()))
    factor = min(1.0, most / (norm + 1e-6))
    return {name: (factor * g).astype(g.dtype) for name, g in gradients.items()}


def _stack(by_client: list[dict[str, Array]]) -> dict[str, Array]:
    return {name: np.stack([one[name] for one in by_client]) for name in by_client[0]}
