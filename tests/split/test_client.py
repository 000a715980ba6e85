"""The client's own shuffle: uniform, anew each epoch, and independent of the other clients'."""

from collections import Counter
from itertools import permutations, product

import numpy as np
import pytest

from pslref.nn import mlp
from pslref.partition import Partition
from pslref.split import Client, Simulation
from tests.law import departures, smallest_shift

LABELS = np.zeros(6, int)
PART = Partition([[0, 1, 2], [3, 4, 5]], LABELS)


def orders(simulation: Simulation) -> tuple[tuple[int, ...], ...]:
    """In which order each client hands out its samples, in this epoch."""
    batches = []
    for _ in range(3):
        simulation.step([1, 1])
        batches.append(simulation.last_batch)
    return tuple(map(tuple, np.array(batches).T.tolist()))


def two_epochs(rng: np.random.Generator, draws: int) -> Counter[object]:
    """Of both clients in one epoch, and of the first in the next."""
    seen: Counter[object] = Counter()
    net = mlp([1, 1], rng=rng)
    for _ in range(draws):
        simulation = Simulation(net, 1, np.zeros((6, 1)), LABELS, PART, 0.1, rng=rng)
        simulation.start_epoch()
        first, second = orders(simulation)
        simulation.start_epoch()
        seen[first, second, orders(simulation)[0]] += 1
    return seen


def law() -> dict[object, float]:
    one, two = list(permutations(range(3))), list(permutations(range(3, 6)))
    return dict.fromkeys(product(one, two, one), 1 / 216)


def test_shuffles_are_uniform_and_independent(rng: np.random.Generator, alpha: float) -> None:
    """All orders of two clients in two epochs, jointly. False alarm: 1e-8.

    4,000 pairs of epochs show an outcome whose probability is 1 / 216 to be off by 0.011.
    """
    assert smallest_shift(1 / 216, 4_000, 216, alpha) < 0.011
    assert not departures(two_epochs(rng, 4_000), law(), alpha)


def stored_order(client: Client) -> None:
    client.left = client.indices


def same_order_every_epoch(client: Client) -> None:
    client.left = client.indices[np.random.default_rng(client.client).permutation(3)]


def one_stream_for_all(client: Client) -> None:
    seed = client.rng.bit_generator.seed_seq.entropy  # what the clients' streams have in common
    epoch = client.epoch = getattr(client, "epoch", -1) + 1
    client.left = client.indices[np.random.default_rng([seed, epoch]).permutation(3)]


@pytest.mark.parametrize("broken", [stored_order, same_order_every_epoch, one_stream_for_all])
def test_broken_shuffles_are_not(broken, rng, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Client, "start_epoch", broken)
    assert departures(two_epochs(rng, 1_000), law(), 1e-8)


def test_a_client_refuses_more_than_it_has(rng: np.random.Generator) -> None:
    simulation = Simulation(mlp([1, 1], rng=rng), 1, np.zeros((6, 1)), LABELS, PART, 0.1, rng=rng)
    with pytest.raises(ValueError, match="what the client has left"):
        simulation.clients[0].draw(np.array([4]))
