"""The client's own shuffle: uniform, anew each epoch, and independent of the other clients'."""

from collections import Counter
from itertools import permutations, product

import numpy as np
import pytest

from pslref.nn import Linear, Network, mlp
from pslref.partition import Partition
from pslref.split import Client, ClientHalf, CutGradient, Simulation
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


def test_draws_with_and_without_classes_mix_in_one_epoch(
    rng: np.random.Generator, alpha: float
) -> None:
    """One of two samples of class 0, then any one, then the rest, at one client of three samples.

    Each sample of class 0 comes first with probability 1 / 2, and then that of class 1 comes
    second with probability 1 / 2, all of them independent. False alarm: 1e-8. 3,000 epochs show a
    probability of 1 / 4 that is off by 0.08.
    """
    client = a_client([0, 1, 0], rng)
    seen: Counter[object] = Counter()
    for _ in range(3_000):
        client.start_epoch()
        draws = [
            client.draw(np.array([1, 0])),
            client.draw(np.array([1])),
            client.draw(np.array([1])),
        ]
        seen[tuple(np.concatenate(draws).tolist())] += 1
    law = {(0, 1, 2): 0.25, (0, 2, 1): 0.25, (2, 1, 0): 0.25, (2, 0, 1): 0.25}
    assert smallest_shift(0.25, 3_000, 4, alpha) < 0.08
    assert not departures(seen, law, alpha)


def a_client(labels: list[int], rng: np.random.Generator) -> Client:
    """All samples are its own; they are their own numbers, and weights are 1."""
    net = Network([Linear(1, 2, rng)])
    net.parameters()["0.weight"][...] = 1
    numbers = np.arange(len(labels))
    return Client(0, net, numbers[:, np.newaxis] * 1.0, np.array(labels), numbers, rng)


@pytest.mark.parametrize("counts", [np.array([4]), np.array([1, 2]), np.array([3, 0])])
def test_a_client_refuses_more_than_it_has(counts, rng: np.random.Generator) -> None:
    with pytest.raises(
        ValueError, match=r"^batch_sizes\[0\] = .*: must be at most what the client"
    ):
        a_client([0, 1, 0], rng).draw(counts)


def test_what_was_drawn_is_put_back_in_its_order(rng: np.random.Generator) -> None:
    client = a_client([0, 1, 0, 1], rng)
    client.draw(np.array([1]))
    for counts in (np.array([2]), np.array([1, 0])):
        left = client.left.tolist()
        client.draw(counts)
        assert client.left.tolist() != left
        client.put_back()
        assert client.left.tolist() == left


def test_a_message_is_of_the_samples_drawn_through_the_half_received(rng) -> None:
    client = a_client([1, 0, 1], rng)
    own = {name: 2 * w + 1 for name, w in client.network.parameters().items()}
    client.receive(ClientHalf(own))
    own["0.weight"][...] = 7  # the client has a copy
    batch = client.draw(np.array([2]))
    sent = client.forward(batch)
    assert (sent.client, sent.labels.tolist()) == (0, [[1, 0, 1][i] for i in batch])
    assert sent.activations.tolist() == [[3 * i + 1] * 2 for i in batch]
    answer = client.backward(CutGradient(0, np.ones((2, 2)))).gradients
    assert answer["0.weight"].tolist() == [[batch.sum()] * 2]
    assert answer["0.bias"].tolist() == [2, 2]


def test_a_client_asked_by_groups_of_classes_takes_the_foremost_of_each(rng) -> None:
    """The last group is all further classes."""
    y = np.array([0, 1, 2, 2, 0, 1])
    client = Client(0, mlp([1, 3], rng=rng), np.zeros((6, 1)), y, np.arange(6), rng)
    order = client.left.copy()
    first, others = order[y[order] == 0][:1], order[y[order] > 0][:3]
    drawn = client.draw(np.array([1, 3]))
    assert drawn.tolist() == [i for i in order if i in {*first, *others}]
    assert sorted([*drawn, *client.draw(np.array([2]))]) == list(range(6))
