"""What Newton's method finds is what EM finds, of all clients and of fewer and fewer."""

from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pslref.sampling import lds, mixing
from pslref.sampling.dirichlet import em
from pslref.sampling.mixing import Posterior
from pslref.sampling.newton import Newton
from tests.sampling.drawn import class_counts

tables = class_counts(clients=9, classes=5, most=9, total=3)


def posterior_of(counts: np.ndarray, delta: float, concentration: float) -> Posterior:
    delays = np.arange(len(counts)) % 4
    return Posterior(counts, None, delays=delays, delta=delta, concentration=concentration)


@given(tables, st.sampled_from([0.0, 1.0]), st.sampled_from([0.1, 1.0, 10.0]), st.data())
def test_weights_are_those_of_em_while_clients_run_out(counts, delta, c, data) -> None:
    posterior = posterior_of(counts, delta, c)
    newton = Newton(posterior)
    clients = np.flatnonzero(counts.any(axis=1))
    weights = newton.weights(clients, posterior.alpha[clients])
    while clients.size > 1:
        gone = data.draw(st.integers(0, clients.size - 1))
        clients, weights = np.delete(clients, gone), np.delete(weights, gone)
        weights = newton.weights(clients, weights)
        arguments = posterior.alpha[clients], posterior.client_class_probs[clients]
        expected, _ = em(*arguments, posterior.label_counts, weights, 1e-14, 100_000)
        assert weights.sum() == pytest.approx(1)
        np.testing.assert_allclose(weights, expected, atol=1e-6)


@given(tables, st.integers(0, 2**32))
def test_a_schedule_is_the_same_by_either_way(counts, seed) -> None:
    """A weight that is off by 1e-8 changes a draw once in 10^8 draws, roughly."""
    delays = np.arange(len(counts))
    schedules = []
    for many in (0, 2**16):
        with mock.patch.object(mixing, "MANY", many):
            rng = np.random.default_rng(seed)
            schedules.append(lds(counts, 2, rng, delays=delays, delta=0.5).batch_sizes.tolist())
    assert schedules[0] == schedules[1]


def test_em_is_asked_only_at_the_beginning(rng: np.random.Generator) -> None:
    """And the last clients of a class may leave on the way."""
    counts = rng.multinomial(500, np.full(12, 1 / 12), size=60)
    counts[:, 0] = [3, *np.zeros(59, int)]
    posterior = posterior_of(counts, 1.0, 1.0)
    posterior.weights = mock.Mock(side_effect=posterior.weights)
    newton, weights = Newton(posterior), posterior.alpha
    for first in range(40):
        clients = np.arange(first, 60)
        weights = newton.weights(clients, weights)
        expected = posterior_of(counts, 1.0, 1.0).weights(clients, weights)
        np.testing.assert_allclose(weights, expected, atol=1e-6)
        weights = weights[1:]
    assert [call.args[0].size for call in posterior.weights.call_args_list] == [60]
