"""What a simulation is made of, and how right its network is."""

import numpy as np
import pytest

from pslref.nn import Flatten, Network, ReLU, mlp
from pslref.partition import iid
from pslref.sampling import ugs
from pslref.split import Simulation
from tests.small import CLASSES, setting, small


def test_plain_sgd_unless_said_otherwise(rng: np.random.Generator) -> None:
    """The server half: w ← w - learning_rate · g, in the second step too."""
    x, y, part = setting(rng)
    simulation = Simulation(mlp([6, 5, CLASSES], rng=rng), 3, x, y, part, 0.1, rng=rng)
    for counts in (part.sizes // 2, part.sizes - part.sizes // 2):
        before = {name: w.copy() for name, w in simulation.server_network.parameters().items()}
        simulation.step(counts)
        for name, w in simulation.server_network.parameters().items():
            assert (w == before[name] - 0.1 * simulation.server.gradients[name]).all()


def test_the_callers_network_and_arrays_are_not_touched(rng: np.random.Generator) -> None:
    x, y, part = setting(rng)
    net = mlp([6, 5, CLASSES], rng=rng)
    before = {name: value.copy() for name, value in net.parameters().items()}
    x.setflags(write=False)
    y.setflags(write=False)
    small(rng, net=net, x=x, y=y, partition=part).run_epoch(ugs(part.sizes, 7, rng))
    assert all((net.parameters()[name] == value).all() for name, value in before.items())


def test_images_have_the_networks_dtype_from_the_start(rng: np.random.Generator) -> None:
    """Cut before anything is computed: the images themselves cross the wire."""
    simulation = small(rng, dtype="float32", cut=1)
    simulation.step(simulation.unused)
    assert simulation.last.sent == (60 * 6 * 4, 60 * 8, 60 * 6 * 4, 0, 0)


def test_a_network_without_parameters_runs(rng: np.random.Generator) -> None:
    x, y, part = setting(rng, (3,))
    net = Network([Flatten(), ReLU()])
    simulation = small(rng, net=net, cut=1, x=x, y=y, partition=part)
    simulation.run_epoch(ugs(part.sizes, 7, rng))


def test_evaluate_counts_right_answers_in_slices(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(2500, 6)), rng.integers(0, CLASSES, 2500)
    simulation = small(rng, x=x, y=y, partition=iid(y, 4, rng))
    expected = np.mean(simulation.net.forward(x)[0].argmax(axis=1) == y)
    assert simulation.evaluate(x, y) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
@pytest.mark.filterwarnings("error")
def test_images_that_are_not_finite_in_the_networks_dtype_are_not_evaluated(
    rng: np.random.Generator, bad: float
) -> None:
    simulation = small(rng, dtype="float32")
    x = simulation.x.astype(np.float64)
    x[7, 3] = bad
    with pytest.raises(ValueError, match=r"^x: must be finite, but holds NaN or infinite pixels$"):
        simulation.evaluate(x, simulation.y)
