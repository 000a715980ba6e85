"""The server: one loss over all samples, to each client its own rows, one update of both halves."""

import numpy as np

from pslref.nn import SGD, cross_entropy, mlp
from pslref.split import ClientGradient, Server, SmashedBatch
from pslref.split.server import summed


def test_a_sum_of_gradients_changes_none_of_them() -> None:
    answers = [ClientGradient(k, {"w": np.full(2, 1.0 + k)}) for k in range(3)]
    assert summed(iter(answers))["w"].tolist() == [6, 6]
    assert [answer.gradients["w"].tolist() for answer in answers] == [[1, 1], [2, 2], [3, 3]]


def test_the_loss_is_a_mean_over_the_global_batch_and_each_gets_its_own_rows(rng) -> None:
    """Of two clients with 1 and 3 samples; the server half is the last layer of two."""
    net = mlp([4, 5, 3], rng)
    server = Server(net, 3, SGD(0.1))
    at_cut, labels = rng.normal(size=(4, 5)), np.array([0, 2, 1, 1])
    sent = [SmashedBatch(4, at_cut[:1], labels[:1]), SmashedBatch(1, at_cut[1:], labels[1:])]
    loss, answers = server.step(sent)
    logits, cache = net.layers[3].forward(at_cut)
    expected, dlogits = cross_entropy(logits, labels)
    rows, _ = net.layers[3].backward(dlogits, cache)
    assert loss == expected
    assert [answer.client for answer in answers] == [4, 1]
    assert [answer.gradient.tolist() for answer in answers] == [
        rows[:1].tolist(),
        rows[1:].tolist(),
    ]


def test_nothing_changes_before_the_update_and_then_both_halves_do(rng) -> None:
    net = mlp([4, 5, 3], rng)
    server = Server(net, 3, SGD(0.1))
    before = {name: w.copy() for name, w in net.parameters().items()}
    server.step([SmashedBatch(0, rng.normal(size=(2, 5)), np.array([0, 2]))])
    assert all((w == before[name]).all() for name, w in net.parameters().items())
    total = {name: np.ones_like(w) for name, w in server.client_half.parameters().items()}
    server.update(total)
    for name, w in net.parameters().items():
        assert (w == before[name] - 0.1 * (total | server.gradients)[name]).all()
    sent = server.send().weights
    assert sent.keys() == total.keys()
    assert all((w == net.parameters()[name]).all() for name, w in sent.items())
