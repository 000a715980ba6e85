"""Both executions take the same steps, in the precision that was asked for."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pslref.nn import (
    AvgPool2d,
    Conv2d,
    Flatten,
    GroupNorm,
    Linear,
    MaxPool2d,
    Network,
    ReLU,
    cnn,
    cross_entropy,
)
from pslref.partition import Partition, iid
from pslref.sampling import Schedule, fls, fpls, lds, slowest_first, targets, ugs
from pslref.split import ClientGradient, Simulation
from pslref.split.server import summed

SETTINGS = {"learning_rate": 0.005, "momentum": 0.9, "weight_decay": 0.01}
SHAPE, CLASSES = (6, 6, 2), 3


def every_layer(rng: np.random.Generator, dtype: str) -> Network:
    return Network(
        [
            Conv2d(2, 4, 3, padding=1, rng=rng, dtype=dtype),
            GroupNorm(2, 4, dtype=dtype),
            ReLU(),
            MaxPool2d(2, 1),
            AvgPool2d(2, 1),
            MaxPool2d(2),
            Conv2d(4, 3, 2, rng=rng, dtype=dtype),
            Flatten(),
            Linear(3, 5, rng, dtype),
            ReLU(),
            Linear(5, CLASSES, rng, dtype),
        ]
    )


def setting(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, Partition]:
    """60 images of five clients, of which some hold few or none."""
    owner = rng.integers(0, 5, 60) // rng.integers(1, 3)
    y = rng.integers(0, CLASSES, 60)
    held = [np.flatnonzero(owner == k) for k in range(5)]
    return rng.normal(size=(60, *SHAPE)), y, Partition(held, y, CLASSES)


def schedules(part: Partition, rng: np.random.Generator) -> dict[str, Schedule]:
    counts, delays = part.class_counts, np.array([3.0, 1, 4, 1, 5])
    return {
        "everybody, everything": Schedule(part.sizes[np.newaxis]),
        "one sample a step": ugs(part.sizes, 1, rng),
        "short last step": ugs(part.sizes, 7, rng),
        "even steps": ugs(part.sizes, 7, rng, remainder="even"),
        "fls": fls(part.sizes, 7),
        "fpls": fpls(part.sizes, 7),
        "lds": lds(counts, 7, rng, delays=delays, delta=1.0),
        "slowest first": slowest_first(part.sizes, delays, 7),
        "by class, at random": targets(counts, 7, rng, assign="random"),
        "by class, slowest first": targets(counts, 7, rng, delays=delays, draw="stratified"),
    }


@settings(max_examples=4)
@given(st.sampled_from(["every layer", "cnn"]), st.integers(0, 2**32))
def test_pooled_is_clients_at_every_cut_for_every_schedule(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y, part = setting(rng)
    net = every_layer(rng, "float64") if kind == "every layer" else cnn(SHAPE, CLASSES, rng)
    for name, schedule in schedules(part, rng).items():
        cut = int(rng.integers(1, len(net.layers)))
        clients, pooled = (
            Simulation(
                net, cut, x, y, part, rng=np.random.default_rng(seed), execution=e, **SETTINGS
            )
            for e in ("clients", "pooled")
        )
        one, other = clients.run_epoch(schedule), pooled.run_epoch(schedule)
        assert (clients.last_batch == pooled.last_batch).all(), name
        assert other.loss == pytest.approx(one.loss, rel=1e-10), name
        assert (one.deviation == other.deviation).all()
        assert (one.step_bytes_up == other.step_bytes_up).all()
        assert (one.step_bytes_down == other.step_bytes_down).all()
        expected = clients.net.parameters()
        for parameter, value in pooled.net.parameters().items():
            error = np.abs(value - expected[parameter]).max()
            assert error <= 1e-10 * np.abs(expected[parameter]).max(), (name, cut, parameter)


class Float32Only(np.ndarray):
    """An array that cannot become one of float64; nor can anything that is computed from it."""

    def __array_finalize__(self, source: object) -> None:
        assert self.ndim == 0 or self.dtype != np.float64

    def sum(self, **how: Any) -> np.ndarray:
        return self.view(np.ndarray).sum(**how)  # in float64, on purpose


@pytest.mark.parametrize("execution", ["clients", "pooled"])
def test_float32_meets_no_float64_on_the_way(execution: str, rng: np.random.Generator) -> None:
    x, y, part = setting(rng)
    net = every_layer(rng, "float32")
    simulation = Simulation(net, 3, x, y, part, rng=rng, execution=execution, **SETTINGS)
    for holder in (simulation, *simulation.clients):
        holder.x = holder.x.view(Float32Only)
    for half in (*simulation.client_networks, simulation.server_network):
        for layer in half.layers:
            if not isinstance(layer, GroupNorm):  # its mean and variance are float64
                watched = {name: w.view(Float32Only) for name, w in layer.parameters.items()}
                layer.parameters = watched
    simulation.run_epoch(ugs(part.sizes, 7, rng))
    simulation.run_epoch(targets(part.class_counts, 7, rng, assign="random"))
    velocity = simulation.server.optimizer.velocity.values()
    arrays = [*simulation.net.parameters().values(), *simulation.server.gradients.values()]
    assert {array.dtype for array in [*arrays, *velocity]} == {np.dtype(np.float32)}


def test_every_layer_keeps_float32(rng: np.random.Generator) -> None:
    net = every_layer(rng, "float32")
    y = rng.standard_normal((7, *SHAPE), np.float32)
    caches, made = [], []
    for layer in net.layers:
        y, cache = layer.forward(y)
        caches.append(cache)
        made.append(y)
    _, dy = cross_entropy(y, rng.integers(0, CLASSES, 7))
    for layer, cache in zip(reversed(net.layers), reversed(caches), strict=True):
        made.append(dy)
        dy, grads = layer.backward(dy, cache)
        made += grads.values()
    assert {array.dtype for array in [*made, dy]} == {np.dtype(np.float32)}


def test_a_sum_of_gradients_changes_none_of_them() -> None:
    answers = [ClientGradient(k, {"w": np.full(2, 1.0 + k)}) for k in range(3)]
    assert summed(iter(answers))["w"].tolist() == [6, 6]
    assert [answer.gradients["w"].tolist() for answer in answers] == [[1, 1], [2, 2], [3, 3]]


def test_many_clients_and_single_samples(rng: np.random.Generator) -> None:
    """Outer products of single samples, which Linear takes by another way than batches."""
    x, y = rng.normal(size=(40, *SHAPE)), rng.integers(0, CLASSES, 40)
    part = iid(y, 40, rng)
    net = Network([Flatten(), Linear(72, 4, rng), ReLU(), Linear(4, CLASSES, rng)])
    clients, pooled = (
        Simulation(net, 2, x, y, part, rng=np.random.default_rng(0), execution=e, **SETTINGS)
        for e in ("clients", "pooled")
    )
    for simulation in (clients, pooled):
        simulation.run_epoch(Schedule(np.ones((1, 40), int)))
    for name, value in pooled.net.parameters().items():
        expected = clients.net.parameters()[name]
        np.testing.assert_allclose(value, expected, rtol=0, atol=1e-10 * np.abs(expected).max())
