"""Laws that hold whatever the weights and data, on inputs that are drawn fresh. (method.md 1)

Training without a cut says what comes out, however the same batches are split. Errors may be as
large as the growth of rounding errors measured for the drawn inputs (see `growth`), twice.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from pslref import nn
from pslref.oracle import growth
from pslref.oracle.backends import Backend, Unsupported
from pslref.oracle.compare import as_bounds, divergence, field, flatten
from pslref.oracle.library import Library
from pslref.oracle.networks import make_network, split_inputs
from pslref.oracle.operation import Values

# Other inputs that must change nothing, and in words how they differ from those that were drawn.
Splits = Callable[[Values, np.random.Generator], Iterator[tuple[str, Values]]]
NUM_STEPS, NUM_CLIENTS = 4, 4


def every_cut(inputs: Values, rng: np.random.Generator) -> Iterator[tuple[str, Values]]:
    """Split equals unsplit at every cut, with momentum and weight decay. [derived]"""
    for cut in range(1, len(inputs["layers"])):
        yield f"cut after {cut} layers", {"cut": cut}


def client_order(inputs: Values, rng: np.random.Generator) -> Iterator[tuple[str, Values]]:
    """The order of clients, and who brings which of a step's samples, is irrelevant. [derived]"""
    sizes = inputs["batch_sizes"]
    steps = np.repeat(np.arange(NUM_STEPS), sizes.sum(axis=1))
    rows = np.lexsort((rng.random(steps.size), steps))
    other = {name: inputs[name][rows] for name in ("x", "y")}
    other["batch_sizes"] = np.roll(sizes, 1, axis=1)
    yield "with the clients and their samples in another order", other


def pooled_gradient(inputs: Values, rng: np.random.Generator) -> Iterator[tuple[str, Values]]:
    """Unequal local batches make the steps of one client that holds them all. [derived]"""
    total = inputs["batch_sizes"].sum(axis=1, keepdims=True)
    yield "with unequal local batches", {}
    yield "with all samples at one client", {"batch_sizes": total}


def absent_clients(inputs: Values, rng: np.random.Generator) -> Iterator[tuple[str, Values]]:
    """All client halves stay equal, also those of clients that sat a step out. [paper]"""
    yield "with clients that sit steps out", {}


class Law(NamedTuple):
    """A kind of network, and how its training may be split."""

    network: str
    splits: Splits

    def broken(self, backend: Backend, rng: np.random.Generator) -> str | None:
        """One sentence on what is, or None.

        Raises:
            Unsupported: if every split is beyond the backend, such as one cut of several.
        """
        inputs, limits = _fresh(rng, self.network)
        uncut = _centralized(inputs)
        beyond: list[Unsupported] = []
        ran = 0
        for how, change in self.splits(inputs, rng):
            try:
                outputs = backend.run("split_steps", {**inputs, **change})
            except Unsupported as error:
                beyond.append(error)
                continue
            found = _different(uncut, outputs, limits, backend.spec.dtype)
            if found:
                return f"{how}, against training without a cut: {found}"
            ran += 1
        if not ran:
            raise beyond[0]
        return None


STEP_LAWS = {
    "every-cut": Law("deep", every_cut),
    "every-cut-of-images": Law("cnn", every_cut),
    "client-order": Law("mlp", client_order),
    "pooled-gradient": Law("mlp", pooled_gradient),
    "absent-clients": Law("mlp", absent_clients),
}


def _fresh(rng: np.random.Generator, network: str) -> tuple[Values, dict[str, float]]:
    """Inputs of `split_steps` away from every kink, and what rounding may do to its outputs."""
    settings = {"momentum": 0.75, "weight_decay": 0.0625, "epochs": np.arange(NUM_STEPS) // 2}
    while True:
        sizes = rng.integers(0, 5, (NUM_STEPS, NUM_CLIENTS))
        sizes[0] = rng.permutation([0, 1, 3, 4])  # unequal, and somebody sits it out
        sizes[:, 0] = np.maximum(sizes[:, 0], sizes.sum(axis=1) == 0)
        inputs = split_inputs(rng, network, 2, sizes, **settings)
        if growth.margin(inputs) > growth.LEAST_MARGIN:
            expected = flatten(Library().run("split_steps", inputs))
            return inputs, growth.limits(inputs, expected, rng)


def _centralized(inputs: Values) -> list[Values]:
    """SGD on the uncut network and the pooled batches: loss and weights after each step."""
    net = make_network(inputs["layers"], inputs["weights"], np.float64)
    sgd = nn.SGD(inputs["learning_rate"], inputs["momentum"], inputs["weight_decay"])
    steps = []
    ends = np.cumsum(inputs["batch_sizes"].sum(axis=1))[:-1]
    for x, y in zip(np.split(inputs["x"], ends), np.split(inputs["y"], ends), strict=True):
        logits, cache = net.forward(x)
        loss, gradient = nn.cross_entropy(logits, y)
        sgd.update(net.parameters(), net.backward(gradient, cache)[1])
        weights = {name: w.copy() for name, w in net.parameters().items()}
        steps.append({"loss": np.array(loss), **weights})
    return steps


def _different(
    uncut: list[Values], outputs: Values, limits: dict[str, float], dtype: str
) -> str | None:
    """The first loss, or weight of the server's half or any client's, that is not the uncut's."""
    weights = max(limits["client_weights"], limits["server_weights"])
    limits = {"loss": limits["loss"], "client_weights": weights, "server_weights": weights}
    expected: Values = {}
    for name, got in outputs.items():
        if field(name) in limits:
            _, t, kind, *parameter = name.split(".", 3)
            right = uncut[int(t)]["".join(parameter) or kind]
            of_each = (*got.shape[:1], *right.shape) if kind == "client_weights" else right.shape
            expected[name] = np.broadcast_to(right, of_each)
    bounds = as_bounds(expected, {name: 2 * limits[name] for name in limits}, dtype)
    return divergence(expected, {name: outputs[name] for name in expected}, bounds)
