"""Laws that hold whatever the weights and data: an implementation against itself, drawn fresh.

Each law returns one sentence on what is broken, or None. Errors may be as large as the growth of
rounding errors measured for the drawn inputs (see `growth`), on either side of a comparison.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from pslref import nn
from pslref.oracle import growth
from pslref.oracle.backends import Backend, Values, as_arrays
from pslref.oracle.bounds import ROUNDOFF
from pslref.oracle.compare import divergence
from pslref.oracle.library import Library, make_network
from pslref.oracle.networks import split_inputs

Law = Callable[[Backend, np.random.Generator], str | None]
NUM_STEPS, NUM_CLIENTS = 4, 4


class Fresh(NamedTuple):
    """Inputs of `split_steps` away from every kink, and what rounding may do to its outputs."""

    inputs: Values
    limits: dict[str, float]


def every_cut(backend: Backend, rng: np.random.Generator, network: str = "deep") -> str | None:
    """Split equals unsplit at every cut, with momentum and weight decay. [derived] (method.md 1)"""
    fresh = _fresh(rng, network)
    centralized = _centralized(fresh.inputs)
    for cut in range(1, len(fresh.inputs["layers"])):
        steps = _steps(backend, {**fresh.inputs, "cut": cut})
        found = _different(centralized, [_whole(step) for step in steps], fresh, backend)
        if found:
            return f"cut after {cut} layers, against training without a cut: {found}"
    return None


def every_cut_of_images(backend: Backend, rng: np.random.Generator) -> str | None:
    """The same for a network with convolutions, GroupNorm and pooling. [derived] (method.md 1)"""
    return every_cut(backend, rng, "cnn")


def client_order(backend: Backend, rng: np.random.Generator) -> str | None:
    """The order of the clients, and who brings which of a step's samples, is irrelevant. [derived]

    (method.md 1)
    """
    fresh = _fresh(rng, "mlp")
    sizes = fresh.inputs["batch_sizes"]
    steps = np.repeat(np.arange(NUM_STEPS), sizes.sum(axis=1))
    rows = np.lexsort((rng.random(steps.size), steps))
    other = {
        **fresh.inputs,
        "batch_sizes": np.roll(sizes, 1, axis=1),
        "x": fresh.inputs["x"][rows],
        "y": fresh.inputs["y"][rows],
    }
    return _same(backend, fresh, other, "with the clients and their samples in another order")


def pooled_gradient(backend: Backend, rng: np.random.Generator) -> str | None:
    """Unequal local batches make the steps of one client that holds them all. [derived]"""
    fresh = _fresh(rng, "mlp")
    total = fresh.inputs["batch_sizes"].sum(axis=1, keepdims=True)
    other = {**fresh.inputs, "batch_sizes": total}
    return _same(backend, fresh, other, "with all samples at one client")


def absent_clients(backend: Backend, rng: np.random.Generator) -> str | None:
    """All client halves stay equal, also those of clients that sat a step out. [paper]"""
    fresh = _fresh(rng, "mlp")
    bound = 2 * fresh.limits["client_weights"] * ROUNDOFF[backend.spec.dtype]
    present = fresh.inputs["batch_sizes"] > 0
    for t, step in enumerate(_steps(backend, fresh.inputs)):
        for name, halves in step["client_weights"].items():
            off = np.abs(halves - halves[np.argmax(present[t])]).reshape(len(halves), -1)
            k = int(np.argmax(off.max(axis=1)))
            if not off[k].max() <= bound:
                role = "took part" if present[t, k] else "sat the step out"
                return (
                    f"step {t}: {name} of client {k}, which {role}, differs from that of another "
                    f"client by {off[k].max():.2e}"
                )
    return None


STEP_LAWS: dict[str, Law] = {
    "every-cut": every_cut,
    "every-cut-of-images": every_cut_of_images,
    "client-order": client_order,
    "pooled-gradient": pooled_gradient,
    "absent-clients": absent_clients,
}


def _fresh(rng: np.random.Generator, network: str) -> Fresh:
    settings = {"momentum": 0.75, "weight_decay": 0.0625}
    while True:
        sizes = rng.integers(0, 5, (NUM_STEPS, NUM_CLIENTS))
        sizes[0] = rng.permutation([0, 1, 3, 4])  # unequal, and somebody sits it out
        sizes[:, 0] = np.maximum(sizes[:, 0], sizes.sum(axis=1) == 0)
        inputs = split_inputs(rng, network, 2, sizes, settings)
        if growth.margin(inputs) > growth.LEAST_MARGIN:
            expected = as_arrays(Library().run("split_steps", inputs))
            return Fresh(inputs, growth.limits(inputs, expected, rng))


def _steps(backend: Backend, inputs: Values) -> list[Values]:
    steps: list[Values] = as_arrays(backend.run("split_steps", inputs))["steps"]
    return steps


def _whole(step: Values) -> Values:
    """The loss and the weights of a client's half and the server's, as one network."""
    halves = {name: w[0] for name, w in step["client_weights"].items()}
    return {"loss": step["loss"], "weights": {**halves, **step["server_weights"]}}


def _centralized(inputs: Values) -> list[Values]:
    """SGD on the uncut network and the pooled batches."""
    net = make_network(inputs["layers"], inputs["weights"], "float64")
    sgd = nn.SGD(inputs["learning_rate"], inputs["momentum"], inputs["weight_decay"])
    steps = []
    ends = np.cumsum(inputs["batch_sizes"].sum(axis=1))
    for x, y in zip(np.split(inputs["x"], ends), np.split(inputs["y"], ends), strict=True):
        if not y.size:
            break
        logits, cache = net.forward(x)
        loss, gradient = nn.cross_entropy(logits, y)
        sgd.update(net.parameters(), net.backward(gradient, cache)[1])
        weights = {name: w.copy() for name, w in net.parameters().items()}
        steps.append({"loss": loss, "weights": weights})
    return steps


def _same(backend: Backend, fresh: Fresh, other: Values, how: str) -> str | None:
    one, two = _steps(backend, fresh.inputs), _steps(backend, other)
    found = _different([_whole(s) for s in one], [_whole(s) for s in two], fresh, backend)
    return f"{how}, compared with before: {found}" if found else None


def _different(one: list[Values], two: list[Values], fresh: Fresh, backend: Backend) -> str | None:
    u = 2 * ROUNDOFF[backend.spec.dtype]
    weights = max(fresh.limits["client_weights"], fresh.limits["server_weights"])
    limits = {"loss": fresh.limits["loss"], "weights": weights}
    return divergence({"steps": one}, {"steps": two}, growth.as_bounds({"steps": one}, limits, u))
