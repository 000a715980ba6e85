"""Split learning as one function with every decision an argument.

A known mistake, or another protocol, is other values of `Decisions` (`protocols` lists them). With
the values here it is the protocol of method.md, section 1. Only for naming: what an implementation
must do is in the vectors.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pslref import nn
from pslref.oracle.networks import make_network
from pslref.oracle.operation import Values

Array = NDArray[Any]
Arrays = dict[str, Array]
Rows = dict[int, Array]  # of clients
Order = Callable[[list[int]], list[int]]  # of the participants
CLIENT, SERVER = "client", "server"  # the sides of the cut


@dataclass(frozen=True)
class Decisions:
    """What an implementation decides; counts are b_tk, (K,), and a period is "step" or "epoch"."""

    changed: Callable[[nn.Network, int], Any] = lambda net, cut: net  # the network, cut there
    # what crosses the cut
    activations: Order = list  # in which they are joined
    labels: Order = list
    answers: Order = list  # rows of the gradient are joined, and given out in the order of clients
    reversed_samples: bool = False  # each client gets its rows of the gradient in reverse
    loss_sent: bool = False  # in place of the gradient
    own_means: bool = False  # rows times B_t / b_k: the gradient of a client's own mean loss
    common_gradient: bool = False  # the first half of the participants get the mean of their rows
    # the server
    server: str = "pooled"  # or "in turn": an update for each client; "copies": a half for each
    scale: Callable[[Array, Values], Any] = lambda counts, inputs: 1 / counts.sum()  # of losses
    softmax_first: bool = False
    smoothing: float = 0.0  # of the labels
    after_update: str = ""  # "backward", or "forward" again: for the gradient that is sent
    frozen: bool = False
    apart: bool = False  # it runs once for each client's samples; the gradients are added up
    # the clients
    share: Callable[[Array], Array] = np.ones_like  # of each gradient in the sum
    summed_in: Any = np.float64
    updated: Callable[[Array], Any] = lambda counts: range(counts.size)  # which clients
    own_gradient: bool = False  # each applies its own, not the sum
    shared_array: bool = False  # every update scales the sum by the learning rate, in place
    averaged: dict[str, str] = field(default_factory=dict)  # the period of a side's averages
    caught_up: str = ""  # who is not updated gets the weights: velocities are "stale" or "lost"
    stale_report: bool = False  # who is absent shows the weights it had
    # the optimizer
    sgd: str = ""  # or "nesterov", "dampened", "decoupled"
    client_rate: Callable[[int], float] = lambda participants: 1.0  # times the learning rate
    client_decay: Callable[[int], float] = lambda participants: 1.0  # times the weight decay
    clip: tuple[float, float] = (np.inf, 0.0)  # the largest norm of a half's gradient, and epsilon
    fresh: dict[str, str] = field(default_factory=dict)  # the period of a side's velocity
    without_decay: tuple[str, ...] = ()  # sides
    not_zeroed: tuple[str, ...] = ()  # sides whose gradients add up
    # the end
    evaluated: str = "now"  # or "before" the last step, or "initial": the client half


class SGD:
    """The optimizer of one half."""

    def __init__(self, inputs: Values, side: str, decide: Decisions) -> None:
        self.rate, self.momentum = inputs["learning_rate"], inputs["momentum"]
        self.decay = 0.0 if side in decide.without_decay else inputs["weight_decay"]
        self.adds_up, self.decide = side in decide.not_zeroed, decide
        self.velocity: Arrays = {}
        self.seen: Arrays = {}

    def update(self, weights: Arrays, grads: Arrays, rate: float = 1.0, decay: float = 1.0) -> None:
        """One step, in place; with `rate` times the learning rate and `decay` times the decay."""
        variant, (largest, epsilon) = self.decide.sgd, self.decide.clip
        if self.adds_up:
            grads = self.seen = {name: self.seen.get(name, 0) + g for name, g in grads.items()}
        norm = np.sqrt(sum((g**2).sum() for g in grads.values()))
        shrink = largest / (norm + epsilon) if norm > largest else 1.0
        for name, w in weights.items():
            pull = decay * self.decay * w
            g = shrink * grads[name] + (0 if variant == "decoupled" else pull)
            gain = 1 - self.momentum if variant == "dampened" and name in self.velocity else 1.0
            v = self.velocity[name] = self.momentum * self.velocity.get(name, 0) + gain * g
            if variant == "nesterov":
                v = g + self.momentum * v
            w -= rate * self.rate * (v + pull if variant == "decoupled" else v)


class Half(NamedTuple):
    """A holder's side of the network."""

    net: nn.Network
    sgd: SGD

    def forward(self, pieces: list[Array]) -> tuple[Array, list[Any]]:
        """y of all, and the cache of each, which is taken into the running statistics."""
        runs = [self.net.forward(piece) for piece in pieces]
        for _, cache in runs:
            self.net.commit(cache)
        return np.concatenate([y for y, _ in runs]), [cache for _, cache in runs]

    def backward(self, dy: Array, caches: list[Any]) -> tuple[Array, Values]:
        """dx of all, and the sums of the gradients."""
        own = np.split(dy, np.cumsum([cache[-1].shape[0] for cache in caches])[:-1])
        runs = [self.net.backward(*pair) for pair in zip(own, caches, strict=True)]
        grads = {name: sum(g[name] for _, g in runs) for name in runs[0][1]}
        return np.concatenate([dx for dx, _ in runs]), grads


class Training:
    """One run of `split_steps`, in float64."""

    def __init__(self, inputs: Values, decide: Decisions) -> None:
        self.inputs, self.decide, self.batch_sizes = inputs, decide, inputs["batch_sizes"]
        steps, num_clients = self.batch_sizes.shape
        epochs = inputs["epochs"]
        self.samples = np.array([self.batch_sizes[epochs == e].sum(axis=0) for e in epochs])  # n_k
        ends = np.append(np.flatnonzero(np.diff(epochs)), steps - 1)
        self.last = {"step": np.arange(steps), "epoch": ends}  # steps of a period
        net = make_network(inputs["layers"], inputs["weights"], "float64")
        decide.changed(net, inputs["cut"])
        self.initial, rest = net.cut(inputs["cut"])
        copies = num_clients if decide.server == "copies" else 1
        servers = [Half(rest.copy(), SGD(inputs, SERVER, decide)) for _ in range(copies)]
        self.halves = {
            CLIENT: [
                Half(self.initial.copy(), SGD(inputs, CLIENT, decide)) for _ in range(num_clients)
            ],
            SERVER: servers * (num_clients // copies),
        }
        self.shown = [self.initial.parameters()] * num_clients

    def run(self) -> Values:
        """The outputs of all steps, and of the evaluation after them."""
        ends = np.cumsum(self.batch_sizes)[:-1]
        x, y = (iter(np.split(self.inputs[name], ends)) for name in ("x", "y"))
        steps = []
        for t, counts in enumerate(self.batch_sizes):
            before = self.halves[CLIENT][0].net.copy()
            steps.append(self.step(t, [next(x) for _ in counts], [next(y) for _ in counts]))
        halves = {"now": self.halves[CLIENT][0].net, "before": before, "initial": self.initial}
        smashed = halves[self.decide.evaluated].evaluate(self.inputs["eval_x"])
        return {"steps": steps, "logits": self.halves[SERVER][0].net.evaluate(smashed)}

    def step(self, t: int, x: list[Array], y: list[Array]) -> Values:
        """Forward, loss, backward, sum, update: one step."""
        decide, counts, clients = self.decide, self.batch_sizes[t], self.halves[CLIENT]
        present = [int(k) for k in np.flatnonzero(counts)]
        for side, period in decide.fresh.items():
            for half in self.halves[side] if t - 1 in self.last[period] else []:
                half.sgd.velocity.clear()
        outs = {k: clients[k].net.forward(x[k]) for k in present}
        loss, rows = 0.0, Rows()
        for group in [present] if decide.server == "pooled" else [[k] for k in present]:
            sent = {k: outs[k][0] for k in decide.activations(group)}
            labels = np.concatenate([y[k] for k in decide.labels(group)])
            mean, answers = self.serve(self.halves[SERVER][group[0]], sent, labels)
            loss, rows = loss + mean * labels.size / counts.sum(), rows | answers
        rows = self.answered(t, {k: rows[k] for k in present})
        grads = {k: clients[k].net.backward(rows[k], outs[k][1])[1] for k in present}
        total = self.total(grads, decide.share(counts))
        self.update_clients(grads, total, counts)
        self.average(t)
        for k, half in enumerate(clients):
            if counts[k] or not decide.stale_report:
                self.shown[k] = {name: w.copy() for name, w in half.net.parameters().items()}
        nothing = {name: np.zeros_like(w) for name, w in self.initial.parameters().items()}
        rests = [half.net for half in self.halves[SERVER]]
        servers = stacked([net.parameters() | net.statistics() for net in rests])
        apart = decide.server == "copies" and decide.averaged[SERVER] == "epoch"
        return {
            "smashed": np.concatenate([outs[k][0] for k in present]),
            "loss": loss,
            "cut_gradient": np.concatenate([rows[k] for k in present]),
            "client_gradients": stacked([grads.get(k, nothing) for k in range(counts.size)]),
            "summed_gradients": total,
            "client_weights": stacked(self.shown),
            "server_weights": {name: w if apart else w[0] for name, w in servers.items()},
        }

    def serve(self, server: Half, sent: Rows, labels: Array) -> tuple[float, Rows]:
        """The loss, and each client's rows of the gradient at the cut; the server is updated."""
        decide, counts = self.decide, np.array([len(rows) for rows in sent.values()])
        pieces = list(sent.values())
        pieces = pieces if decide.apart else [np.concatenate(pieces)]
        scale = np.broadcast_to(decide.scale(counts, self.inputs), labels.shape)
        logits, caches = server.forward(pieces)
        loss, dlogits = cross_entropy(logits, labels, scale, decide)
        at_cut, grads = server.backward(dlogits, caches)
        if not decide.frozen:
            server.sgd.update(server.net.parameters(), grads)
        if decide.after_update == "forward":
            logits, caches = server.forward(pieces)
            _, dlogits = cross_entropy(logits, labels, scale, decide)
        if decide.after_update:
            at_cut, _ = server.backward(dlogits, caches)
        if decide.loss_sent:
            at_cut = np.full_like(at_cut, loss)
        rows = dict(zip(sent, np.split(at_cut, np.cumsum(counts)[:-1]), strict=True))
        if decide.own_means:
            rows = {k: own * (labels.size / len(own)) for k, own in rows.items()}
        return loss, rows

    def answered(self, t: int, rows: Rows) -> Rows:
        """What each client gets."""
        decide, clients = self.decide, list(rows)
        active = clients[: len(clients) // 2] if decide.common_gradient else []
        if active:
            weight = self.samples[t]
            total = sum(weight[k] * rows[k].sum(axis=0) for k in active)
            mean = total / sum(weight[k] * len(rows[k]) for k in active)
            rows |= {k: np.broadcast_to(mean, rows[k].shape) for k in active}
        joined = np.concatenate([rows[k] for k in decide.answers(clients)])
        cut = np.split(joined, np.cumsum([len(rows[k]) for k in clients])[:-1])
        turn = slice(None, None, -1 if decide.reversed_samples else 1)
        return {k: own[turn] for k, own in zip(clients, cut, strict=True)}

    def total(self, grads: dict[int, Arrays], share: Array) -> Arrays:
        """The sum over the participating clients."""
        total = {}
        for name in self.initial.parameters():
            parts = [(share[k] * g[name]).astype(self.decide.summed_in) for k, g in grads.items()]
            total[name] = sum(parts[1:], start=parts[0])
        return total

    def update_clients(self, grads: dict[int, Arrays], total: Arrays, counts: Array) -> None:
        """Every client's update, also of those that sat the step out."""
        decide, clients = self.decide, self.halves[CLIENT]
        factors = decide.client_rate(len(grads)), decide.client_decay(len(grads))
        for k in decide.updated(counts):
            own = grads[k] if decide.own_gradient else total
            in_place = self.inputs["learning_rate"] ** k if decide.shared_array else 1.0
            scaled = {name: in_place * g for name, g in own.items()}
            clients[k].sgd.update(clients[k].net.parameters(), scaled, *factors)
        for k in np.flatnonzero(counts == 0) if decide.caught_up else []:
            give(clients[k], clients[next(iter(grads))].net.parameters())
            if decide.caught_up == "lost":
                clients[k].sgd.velocity.clear()

    def average(self, t: int) -> None:
        """Averages over those that took part in the period, by n_k."""
        for side, period in self.decide.averaged.items():
            if t in self.last[period]:
                weight = self.samples[t] * (self.batch_sizes[t] > 0 if period == "step" else 1)
                share = weight / weight.sum()
                every = stacked([half.net.parameters() for half in self.halves[side]])
                mean = {name: np.tensordot(share, w, 1) for name, w in every.items()}
                for half in self.halves[side]:
                    give(half, mean)


def split_steps(inputs: Values, **decisions: Any) -> Values:
    """The outputs of `split_steps`, if these are decided otherwise."""
    return Training(inputs, Decisions(**decisions)).run()


def cross_entropy(
    logits: Array, labels: Array, scale: Array, decide: Decisions
) -> tuple[float, Array]:
    """Σ_n scale_n Σ_m target_nm (log Σ_j exp z_nj - z_nm), and its gradient."""
    z = np.exp(log_softmax(logits)) if decide.softmax_first else logits
    classes, log_p = z.shape[1], log_softmax(z)
    target = (1 - decide.smoothing) * np.eye(classes)[labels] + decide.smoothing / classes
    dz = scale[:, np.newaxis] * (np.exp(log_p) - target)
    if decide.softmax_first:
        dz = z * (dz - (z * dz).sum(axis=1, keepdims=True))
    return -float(scale @ (target * log_p).sum(axis=1)), dz


def log_softmax(z: Array) -> Array:
    """log (exp z_m / Σ_j exp z_j) of every row."""
    z = z - z.max(axis=1, keepdims=True)
    log_p: Array = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    return log_p


def give(half: Half, weights: Arrays) -> None:
    """Put these weights into a half."""
    for name, w in half.net.parameters().items():
        w[...] = weights[name]


def stacked(by_client: list[Arrays]) -> Arrays:
    """Every client's arrays, (K, ...)."""
    return {name: np.stack([one[name] for one in by_client]) for name in by_client[0]}
