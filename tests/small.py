"""Small data, networks and simulations, and what training in one place makes of them."""

from typing import Any

import numpy as np

from pslref.nn import (
    AvgPool2d,
    Conv2d,
    Flatten,
    GroupNorm,
    Linear,
    MaxPool2d,
    Network,
    ReLU,
    cross_entropy,
    mlp,
)
from pslref.partition import Partition
from pslref.split import Simulation

CLASSES = 3
SHAPE = (6, 6, 2)  # of what `every_layer` takes
SGD = {"learning_rate": 0.05, "momentum": 0.9, "weight_decay": 0.01}


def setting(
    rng: np.random.Generator, shape: tuple[int, ...] = (6,), num_clients: int = 5
) -> tuple[np.ndarray, np.ndarray, Partition]:
    """60 samples of clients, of which some hold few or none."""
    x, y = rng.normal(size=(60, *shape)), rng.integers(0, CLASSES, 60)
    owner = rng.integers(0, num_clients, 60) // rng.integers(1, 3)
    part = Partition([np.flatnonzero(owner == k) for k in range(num_clients)], y, CLASSES)
    return x, y, part


def small(
    rng: np.random.Generator,
    kind: type[Simulation] = Simulation,
    num_clients: int = 5,
    dtype: str = "float64",
    **changed: Any,
) -> Simulation:
    """An MLP on such samples, cut after its ReLU; what is given is instead."""
    x, y, part = setting(rng, num_clients=num_clients)
    net = mlp([6, 5, CLASSES], rng, dtype)
    given = {"net": net, "cut": 3, "x": x, "y": y, "partition": part, "rng": rng} | SGD
    return kind(**given | changed)


def every_layer(rng: np.random.Generator, dtype: str = "float64") -> Network:
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


class Centralized:
    """SGD on one network, written out again: PyTorch's convention, one parameter at a time."""

    def __init__(self, net: Network) -> None:
        self.net = net.copy()
        self.velocity: dict[str, np.ndarray] = {}

    def step(self, x: np.ndarray, y: np.ndarray) -> float:
        logits, cache = self.net.forward(x)
        loss, gradient = cross_entropy(logits, y)
        _, gradients = self.net.backward(gradient, cache)
        self.net.commit(cache)
        for name, parameter in self.net.parameters().items():
            g = gradients[name] + SGD["weight_decay"] * parameter
            v = g if name not in self.velocity else SGD["momentum"] * self.velocity[name] + g
            self.velocity[name] = v
            parameter -= SGD["learning_rate"] * v
        return loss


def assert_equal(
    found: dict[str, np.ndarray], expected: dict[str, np.ndarray], least: float = 1e-6
) -> None:
    """To rounding, by name, of numbers that are at least so large."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        error = np.max(np.abs(found[name] - value), initial=0)
        assert error <= 1e-10 * np.max(np.abs(value), initial=least), name


def weights_of(simulation: Simulation) -> dict[str, bytes]:
    """Every weight, velocity and running statistic, to the bit."""
    arrays = simulation.net.parameters() | simulation.net.statistics()
    arrays |= {f"velocity of {name}": v for name, v in simulation.server.optimizer.velocity.items()}
    return {name: array.tobytes() for name, array in arrays.items()}
