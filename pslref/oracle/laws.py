"""Laws that hold whatever the weights and data: an implementation against itself, drawn fresh.

Each law returns one sentence on what is broken, or None. Errors may be as large as the growth of
rounding errors measured for the drawn inputs (see `growth`), on either side of a comparison.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from pslref import nn
from pslref.oracle import growth
from pslref.oracle.backends import Backend, Unsupported
from pslref.oracle.compare import divergence, field, flatten
from pslref.oracle.library import Library
from pslref.oracle.networks import make_network, split_inputs
from pslref.oracle.operation import Values

Law = Callable[[Backend, np.random.Generator], str | None]
NUM_STEPS, NUM_CLIENTS = 4, 4


class Fresh(NamedTuple):
    """Inputs of `split_steps` away from every kink, and what rounding may do to its outputs."""

    inputs: Values
    limits: dict[str, float]


def every_cut(network: str, backend: Backend, rng: np.random.Generator) -> str | None:
    """Split equals unsplit at every cut, with momentum and weight decay. [derived] (method.md 1)

    Some cuts may be beyond an implementation, such as one that leaves no parameters to a client.
    """
    fresh = _fresh(rng, network)
    centralized = _centralized(fresh.inputs)
    cuts = range(1, len(fresh.inputs["layers"]))
    beyond: list[Unsupported] = []
    for cut in cuts:
        try:
            steps = backend.run("split_steps", {**fresh.inputs, "cut": cut})
        except Unsupported as error:
            beyond.append(error)
            continue
        found = _different(centralized, _wholes(steps), fresh, backend)
        if found:
            return f"cut after {cut} layers, against training without a cut: {found}"
    if len(beyond) == len(cuts):
        raise beyond[0]
    return None


def client_order(backend: Backend, rng: np.random.Generator) -> str | None:
    """The order of the clients, and who brings which of a step's samples, is irrelevant. [derived]

    (method.md 1)
    """
    fresh = _fresh(rng, "mlp")
    sizes = fresh.inputs["batch_sizes"]
    steps = np.repeat(np.arange(NUM_STEPS), sizes.sum(axis=1))
    rows = np.lexsort((rng.random(steps.size), steps))
    other = {name: fresh.inputs[name][rows] for name in ("x", "y")}
    other["batch_sizes"] = np.roll(sizes, 1, axis=1)
    return _same(backend, fresh, other, "with the clients and their samples in another order")


def pooled_gradient(backend: Backend, rng: np.random.Generator) -> str | None:
    """Unequal local batches make the steps of one client that holds them all. [derived]"""
    fresh = _fresh(rng, "mlp")
    total = fresh.inputs["batch_sizes"].sum(axis=1, keepdims=True)
    return _same(backend, fresh, {"batch_sizes": total}, "with all samples at one client")


def absent_clients(backend: Backend, rng: np.random.Generator) -> str | None:
    """All client halves stay equal, also those of clients that sat a step out. [paper]

    A client that only takes over the current half when it takes part again is right too: what
    counts is what it would use next.
    """
    fresh = _fresh(rng, "mlp")
    outputs = backend.run("split_steps", fresh.inputs)
    bounds = growth.as_bounds(outputs, fresh.limits, backend.spec.dtype)
    present = fresh.inputs["batch_sizes"] > 0
    for name, halves in outputs.items():
        if field(name) == "client_weights":
            t = int(name.split(".")[1])
            off = np.abs(halves - halves[np.argmax(present[t])]).reshape(len(halves), -1)
            k = int(np.argmax(off.max(axis=1)))
            if not off[k].max() <= 2 * bounds[name]:
                role = "took part" if present[t, k] else "sat the step out"
                return (
                    f"{name}: what client {k}, which {role}, would use next differs from that of "
                    f"another client by {off[k].max():.2e}"
                )
    return None


STEP_LAWS: dict[str, Law] = {
    "every-cut": partial(every_cut, "deep"),
    "every-cut-of-images": partial(every_cut, "cnn"),
    "client-order": client_order,
    "pooled-gradient": pooled_gradient,
    "absent-clients": absent_clients,
}


def _fresh(rng: np.random.Generator, network: str) -> Fresh:
    settings = {"momentum": 0.75, "weight_decay": 0.0625, "epochs": np.arange(NUM_STEPS) // 2}
    while True:
        sizes = rng.integers(0, 5, (NUM_STEPS, NUM_CLIENTS))
        sizes[0] = rng.permutation([0, 1, 3, 4])  # unequal, and somebody sits it out
        sizes[:, 0] = np.maximum(sizes[:, 0], sizes.sum(axis=1) == 0)
        inputs = split_inputs(rng, network, 2, sizes, **settings)
        if growth.margin(inputs) > growth.LEAST_MARGIN:
            expected = flatten(Library().run("split_steps", inputs))
            return Fresh(inputs, growth.limits(inputs, expected, rng))


def _wholes(outputs: Values) -> Values:
    """The losses, and the weights of a client's half and the server's as of one network."""
    wholes = {}
    for name, array in outputs.items():
        if field(name) == "client_weights":
            wholes[name.replace("client_weights", "weights")] = array[0]
        elif field(name) == "server_weights":
            wholes[name.replace("server_weights", "weights")] = array
        elif field(name) == "loss":
            wholes[name] = array
    return wholes


def _centralized(inputs: Values) -> Values:
    """SGD on the uncut network and the pooled batches."""
    net = make_network(inputs["layers"], inputs["weights"], np.float64)
    sgd = nn.SGD(inputs["learning_rate"], inputs["momentum"], inputs["weight_decay"])
    steps = []
    ends = np.cumsum(inputs["batch_sizes"].sum(axis=1))[:-1]
    for x, y in zip(np.split(inputs["x"], ends), np.split(inputs["y"], ends), strict=True):
        logits, cache = net.forward(x)
        loss, gradient = nn.cross_entropy(logits, y)
        sgd.update(net.parameters(), net.backward(gradient, cache)[1])
        weights = {name: w.copy() for name, w in net.parameters().items()}
        steps.append({"loss": loss, "weights": weights})
    return flatten({"steps": steps})


def _same(backend: Backend, fresh: Fresh, other: Values, how: str) -> str | None:
    one, two = (
        _wholes(backend.run("split_steps", {**fresh.inputs, **change})) for change in ({}, other)
    )
    found = _different(one, two, fresh, backend)
    return f"{how}, compared with before: {found}" if found else None


def _different(one: Values, two: Values, fresh: Fresh, backend: Backend) -> str | None:
    weights = 2 * max(fresh.limits["client_weights"], fresh.limits["server_weights"])
    limits = {"loss": 2 * fresh.limits["loss"], "weights": weights}
    return divergence(one, two, growth.as_bounds(one, limits, backend.spec.dtype))
