"""Delays and costs in seconds, by hand; and what is true of them at every cut."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pslref import nn
from pslref.app.config import LINKS
from pslref.nn.flops import of_network
from pslref.sampling import Schedule
from pslref.split import client_costs, draw_links, epoch_time, server_cost, step_time
from pslref.split.clock import SCENARIOS
from tests.small import SHAPE, every_layer

FIVE = {
    "latency": [0.05, 0.05, 0.1, 0.05, 0.05],
    "flops": [5700, 570, 570, 5700, 5700],
    "uplink": [3200, 3200, 320, 3200, 3200],
    "downlink": [2400, 2400, 240, 2400, 2400],
}


def test_the_example_of_method_md_by_hand() -> None:
    """An MLP 4-3-2 of float64, cut after its ReLU: F = 57, A = 24, L = 8, w_c = 120."""
    net = nn.mlp([4, 3, 2], np.random.default_rng(0))
    delays, costs = client_costs(net, 3, (4,), **FIVE)
    np.testing.assert_allclose(delays, [0.1875, 0.1875, 1.075, 0.1875, 0.1875])
    np.testing.assert_allclose(costs, [0.03, 0.12, 0.3, 0.03, 0.03])
    of_server = server_cost(net, 3, (4,), flops=380)
    assert of_server == pytest.approx(0.1)
    fls = Schedule([[1, 1, 1, 1, 1], [1, 0, 1, 0, 0], [0, 0, 1, 0, 0]])
    time = epoch_time(fls, delays, costs, server_sample_cost=of_server)
    assert time == pytest.approx(3 * 1.375 + 0.8)
    each = [step_time(row, delays, costs, of_server) for row in fls.batch_sizes]
    assert sum(each) == pytest.approx(time)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_operation_is_at_the_client_or_at_the_server_but_one_gradient(dtype: str) -> None:
    """Both halves have what the whole has, wherever it is cut, if the server does not wait."""
    net = every_layer(np.random.default_rng(0), dtype)
    whole = sum(of_network(net, SHAPE, input_gradient=False))
    for cut in range(1, len(net.layers)):
        fast = {"uplink": 1e30, "downlink": 1e30, "latency": 0}
        delays, costs = client_costs(net, cut, SHAPE, flops=1, **fast)
        assert delays == pytest.approx(0)
        assert costs + server_cost(net, cut, SHAPE, 1) == pytest.approx(whole)


def test_a_client_half_without_weights_has_only_its_round_trips() -> None:
    net = nn.mlp([4, 3, 2], np.random.default_rng(0), np.float32)
    delays, costs = client_costs(net, 1, (4,), latency=0.5, flops=1, uplink=8, downlink=4)
    assert delays.tolist() == [1.0]
    assert costs.tolist() == [(16 + 8) / 8 + 16 / 4]  # Flatten computes nothing


RATES = ("flops", "uplink", "downlink")
NUMBERS = (0, -1, 0.5, np.nan, np.inf, -np.inf, "x", None, True, [1, 2], [[1] * 5], [])
WRONG = [*((name, number) for name in RATES for number in NUMBERS)]
WRONG += [("latency", number) for number in (-1e-9, *NUMBERS[3:])]


@pytest.mark.parametrize(("name", "number"), WRONG)
def test_what_is_no_rate_is_one_sentence(name: str, number: object) -> None:
    net = nn.mlp([4, 3, 2], np.random.default_rng(0))
    with pytest.raises(ValueError, match=f"^{name}.*: must be ") as caught:
        client_costs(net, 3, (4,), **FIVE | {name: number})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("flops", [0, -1, np.nan, np.inf, "x", [1, 2]])
def test_a_servers_speed_is_one_number(flops: object) -> None:
    net = nn.mlp([4, 3, 2], np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"^flops = .*: must be "):
        server_cost(net, 3, (4,), flops)


@pytest.mark.parametrize("cut", [0, 4, -1, 1.5])
def test_a_cut_outside_the_network_is_refused(cut: object) -> None:
    net = nn.mlp([4, 3, 2], np.random.default_rng(0))
    for costs in (
        lambda: client_costs(net, cut, (4,), **FIVE),
        lambda: server_cost(net, cut, (4,), 1),
    ):
        with pytest.raises(ValueError, match=r"^cut = .*: must be "):
            costs()


@given(st.sampled_from(LINKS[1:]), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_links_are_drawn_within_their_ranges(scenario: str, k: int, seed: int) -> None:
    found = draw_links(scenario, k, np.random.default_rng(seed))
    again = draw_links(scenario, k, np.random.default_rng(seed))
    for numbers, same, (low, high) in zip(found, again, SCENARIOS[scenario], strict=True):
        assert numbers.shape == (k,)
        assert ((numbers >= low * (1 - 1e-12)) & (numbers <= high * (1 + 1e-12))).all()
        assert (numbers == same).all()


def test_links_are_log_uniform(rng: np.random.Generator, alpha: float) -> None:
    """And independent of each other: the four parts of the square of two ranks. False alarm: alpha.

    20,000 clients show a distribution function that is off by 0.04, and a quarter by 0.03.
    """
    from scipy.stats import chisquare, kstest

    links = draw_links("mobile", 20_000, rng)
    ranges = SCENARIOS["mobile"]
    parts = [
        np.log(n / low) / np.log(high / low) for n, (low, high) in zip(links, ranges, strict=True)
    ]
    assert min(kstest(part, "uniform").pvalue for part in parts) > alpha / 8
    signs = np.array(parts) > 0.5
    for i, j in ((0, 1), (1, 2), (2, 3), (0, 3)):
        quarters = np.bincount(2 * signs[i] + signs[j], minlength=4)
        assert chisquare(quarters).pvalue > alpha / 8


def test_a_scenario_is_one_of_those_there_are(rng: np.random.Generator) -> None:
    assert set(SCENARIOS) == set(LINKS[1:])
    with pytest.raises(
        ValueError, match="scenario = 'wifi': must be one of datacentre, home, mobile"
    ):
        draw_links("wifi", 3, rng)
