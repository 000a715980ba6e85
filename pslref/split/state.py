"""All that the future of a simulation depends on, between two steps, as named arrays."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pslref.check import IntArray
from pslref.split.client import Client
from pslref.split.messages import Array
from pslref.split.server import Server
from pslref.split.training import Simulation

USED = -1  # in the place of a sample that its client has used in the current epoch


def state(simulation: Simulation) -> dict[str, Array]:
    """Everything that a simulation of the same arguments needs to go on to the bit.

    Returns:
        Fresh arrays. "server.weights.NAME", (1, ...), for every parameter of the server, and
        "client.weights.NAME", (H, ...), of the clients: H = K if they have a half each, H = 1 if
        they share one; with momentum also "...velocity.NAME". "client.generators", as `packed`.
        "client.left", (N,): client after client its unused samples in their order, then -1 for
        every used one. "walked": a row for every step walked in the current epoch.
    """
    arrays: dict[str, Array] = {}
    for side, owners in _halves(simulation).items():
        for name, weights in owners[0].network.parameters().items():
            arrays[f"{side}.weights.{name}"] = np.array(
                [o.network.parameters()[name] for o in owners]
            )
            if owners[0].optimizer.momentum:
                zero = np.zeros_like(weights)
                arrays[f"{side}.velocity.{name}"] = np.array(
                    [owner.optimizer.velocity.get(name, zero) for owner in owners]
                )
    arrays["client.generators"] = packed([client.rng for client in simulation.clients])
    left = arrays["client.left"] = np.full(simulation.y.size, USED, np.int64)
    for client, places in _places(simulation, left):
        places[: client.left.size] = client.left
    counts = ("class_counts", np.int64, simulation.class_probs.shape)
    columns = [("loss", np.float64), ("bytes_up", np.int64), ("bytes_down", np.int64), counts]
    arrays["walked"] = np.array(simulation.rows, columns)
    return arrays


def restore(simulation: Simulation, arrays: dict[str, Array]) -> None:
    """Put a simulation where another of the same arguments was when `state` was called.

    Args:
        simulation: one that has taken no step.
        arrays: what `state` returned, in the same types and shapes.

    Raises:
        ValueError: if the unused samples of a client are not its own, each once, or others than
            those that the steps walked have left.
    """
    for side, owners in _halves(simulation).items():
        for row, owner in enumerate(owners):
            for name, weights in owner.network.parameters().items():
                weights[...] = arrays[f"{side}.weights.{name}"][row]
                if owner.optimizer.momentum:
                    velocity = arrays[f"{side}.velocity.{name}"][row]
                    owner.optimizer.velocity[name] = velocity.copy()
    unpack([client.rng for client in simulation.clients], arrays["client.generators"])
    for client, places in _places(simulation, arrays["client.left"]):
        client.left = places[places != USED]
        distinct = np.unique(client.left)
        if distinct.size < client.left.size or not np.isin(distinct, client.indices).all():
            raise ValueError(
                f"client.left: must be samples of client {client.client}, each once, in its places"
            )
    walked, left = arrays["walked"], np.concatenate([client.left for client in simulation.clients])
    used = np.delete(simulation.y, left)
    by_class = np.bincount(used, minlength=simulation.class_probs.size)
    counts = walked["class_counts"]
    if len(walked) and ((counts < 0).any() or (counts.sum(axis=0) != by_class).any()):
        raise ValueError(f"walked: must have the {used.size} samples that are used, by class")
    simulation.rows = [tuple(row) for row in walked]


def packed(generators: Sequence[np.random.Generator]) -> Array:
    """(G, 3) uint64, what each of G generators draws next; which stream it is, the seed says.

    The upper and the lower half of PCG64's state; and what is left over from its last draw of 32
    bits, with 2³² added if something is.
    """
    states = [generator.bit_generator.state for generator in generators]
    rows = [
        (*divmod(state["state"]["state"], 2**64), state["has_uint32"] << 32 | state["uinteger"])
        for state in states
    ]
    return np.array(rows, np.uint64)


def unpack(generators: Sequence[np.random.Generator], rows: Array) -> None:
    """Set each generator to its row of what `packed` returned."""
    for generator, (upper, lower, rest) in zip(generators, rows.tolist(), strict=True):
        state: Any = generator.bit_generator.state
        state["state"]["state"] = upper << 64 | lower
        state["has_uint32"], state["uinteger"] = rest >> 32 & 1, rest % 2**32
        generator.bit_generator.state = state


def _halves(simulation: Simulation) -> dict[str, Sequence[Client | Server]]:
    each = simulation.execution == "clients"
    return {
        "server": [simulation.server],
        "client": simulation.clients if each else simulation.clients[:1],
    }


def _places(simulation: Simulation, left: IntArray) -> list[tuple[Client, IntArray]]:
    """Every client with its part of `left`, as a view."""
    ends = np.cumsum([client.indices.size for client in simulation.clients])[:-1]
    return list(zip(simulation.clients, np.split(left, ends), strict=True))
