"""Delays and costs in seconds, from processors and links (docs/method.md, section 5.2)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from pslref import check
from pslref.check import ArrayLike, FloatArray
from pslref.nn import Network
from pslref.nn.flops import of_network
from pslref.split.messages import ClientHalf
from pslref.split.traffic import LABEL, halves

ROUND_TRIPS = 2  # of a step: half and activations; gradient at the cut and client gradient
SERVER_FLOPS = 19.5e12  # of the scenarios: the peak of an A100 in float32


class Links(NamedTuple):
    """What makes a client fast or slow: of each, (K,), or in `SCENARIOS` the least and the most."""

    latency: Any  # seconds, there and back
    flops: Any  # of its processor, a second
    uplink: Any  # bytes a second, client to server
    downlink: Any  # bytes a second, server to client


MBIT = 1e6 / 8
SCENARIOS = {  # where the numbers come from: method.md 5.2
    "datacentre": Links((1e-4, 5e-4), (8.1e12, 19.5e12), (1e4 * MBIT, 1e5 * MBIT),
                        (1e4 * MBIT, 1e5 * MBIT)),
    "home": Links((0.010, 0.021), (37e9, 236e9), (12 * MBIT, 124 * MBIT), (21 * MBIT, 216 * MBIT)),
    "mobile": Links((0.028, 0.083), (0.9e9, 8e9), (5.7 * MBIT, 21 * MBIT), (12 * MBIT, 176 * MBIT)),
}  # fmt: skip


def draw_links(scenario: str, num_clients: int, rng: np.random.Generator) -> Links:
    """Links of clients of one kind: each number log-uniform in its range. [reading] (method.md 5.2)

    Args:
        scenario: datacentre (GPUs in racks), home (PCs behind a household's line) or mobile (phones
            and small boards in a mobile network).
        num_clients: K.
        rng: the source of randomness.
    """
    ranges = SCENARIOS[check.one_of("scenario", scenario, SCENARIOS)]
    k = check.integer("num_clients", num_clients, 1, check.MOST_NUMBERS)
    check.generator("rng", rng)
    return Links(*(low * (high / low) ** rng.random(k) for low, high in ranges))


def client_costs(
    net: Network,
    cut: int,
    input_shape: Sequence[int],
    *,
    flops: ArrayLike,
    uplink: ArrayLike,
    downlink: ArrayLike,
    latency: ArrayLike,
) -> tuple[FloatArray, FloatArray]:
    """The delays d_k of a step and the costs s_k of a sample, in seconds. [derived] (method.md 5.2)

    With F operations for a sample in the client half, forward and backward, A bytes of its
    activations at the cut, L of its label and w_c of the client half:
    d_k = 2 latency + w_c / uplink + w_c / downlink, and
    s_k = F / flops + (A + L) / uplink + A / downlink.

    Args:
        net: the uncut network.
        cut: the number of layers in the client half.
        input_shape: of one sample, such as (28, 28, 1).
        flops: (K,) or one for all, what each client's processor does in a second, 1 or more.
        uplink: the same, bytes a second to the server, 1 or more.
        downlink: the same, from the server.
        latency: the same, seconds from the client to the server and back, 0 or more.

    Returns:
        (K,) d_k and (K,) s_k, for `epoch_time`, the samplers and `theory.least_epoch_time`.
    """
    given = Links(latency, flops, uplink, downlink)._asdict()
    k = max(1, *(check.numbers(name, each).size for name, each in given.items()))
    links = Links(*(check.per_client(name, each, k) for name, each in given.items()))
    for name in ("flops", "uplink", "downlink"):
        if getattr(links, name).min() < 1:
            raise check.wrong(name, given[name], "must be 1 or more a second for each client")
    half, _, activations = halves(net, cut, input_shape)
    weights, at_cut = ClientHalf(half.parameters()).nbytes, activations.nbytes
    work = sum(of_network(half, input_shape, input_gradient=False))
    delays = ROUND_TRIPS * links.latency + weights / links.uplink + weights / links.downlink
    costs = work / links.flops + (at_cut + LABEL) / links.uplink + at_cut / links.downlink
    return delays, costs


def server_cost(net: Network, cut: int, input_shape: Sequence[int], flops: float) -> float:
    """Seconds that a sample takes the server's half, forward and backward. (method.md 5.2)

    Args:
        net: the uncut network.
        cut: the number of layers in the client half.
        input_shape: of one sample, such as (28, 28, 1).
        flops: what the server's processor does in a second, 1 or more.
    """
    _, half, activations = halves(net, cut, input_shape)
    return sum(of_network(half, activations.shape[1:])) / check.real("flops", flops, 1)
