"""All that the future of an epoch depends on, between two steps, as named arrays."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pslref.check import Array, IntArray
from pslref.split.client import Client
from pslref.split.epoch import Epoch
from pslref.split.server import Server
from pslref.split.simulation import Simulation

USED = -1  # in the place of a sample that its client has used in the current epoch


def state(epoch: Epoch) -> dict[str, Array]:
    """Everything that an epoch of a simulation of the same arguments needs to go on to the bit.

    Returns:
        Fresh arrays. "weights.NAME" for every parameter of the whole network, and with momentum
        "velocity.NAME"; "statistics.NAME" for every running one of the layers.
        "client.generators", as `packed`. "client.left", (N,): client after client its unused
        samples in their order, then -1 for every used one. "walked": a row for every step of the
        current epoch; "planned_for" and "planned_at": what could be reached when its last plan was
        made, and after how many steps that was; "next_step": of the run.
    """
    simulation = epoch.simulation
    arrays = {name: array.copy() for name, array in _trained(simulation.server).items()}
    arrays["client.generators"] = packed([client.rng for client in simulation.clients])
    left = arrays["client.left"] = np.full(simulation.y.size, USED, np.int64)
    for client, places in _places(simulation, left):
        places[: client.left.size] = client.left
    arrays["walked"] = epoch.walked
    arrays["planned_for"] = epoch.planned_for.copy()
    arrays["planned_at"] = np.array([epoch.planned_at])
    arrays["next_step"] = np.array([epoch.next_step])
    return arrays


def restore(epoch: Epoch, arrays: Mapping[str, Array]) -> None:
    """Put an epoch, and its simulation, where others of the same arguments were at `state`.

    Args:
        epoch: one that has not begun.
        arrays: what `state` returned, in the same types and shapes.

    Raises:
        ValueError: if the unused samples of a client are not its own, each once.
    """
    simulation = epoch.simulation
    for name, array in _trained(simulation.server).items():
        array[...] = arrays[name]
    unpack([client.rng for client in simulation.clients], arrays["client.generators"])
    for client, places in _places(simulation, arrays["client.left"]):
        client.left = places[places != USED]
        distinct = np.unique(client.left)
        if distinct.size < client.left.size or not np.isin(distinct, client.indices).all():
            raise ValueError(
                f"client.left: must be samples of client {client.client}, each once, in its places"
            )
    epoch.rows = [tuple(row) for row in arrays["walked"].tolist()]
    epoch.planned_for = arrays["planned_for"].copy()
    epoch.planned_at, epoch.next_step = (
        int(arrays[name][0]) for name in ("planned_at", "next_step")
    )


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


def _trained(server: Server) -> dict[str, Array]:
    """All that steps change at the server, the arrays themselves."""
    net, velocity = server.net, server.optimizer.velocity
    trained = {f"weights.{name}": weights for name, weights in net.parameters().items()}
    trained |= {f"statistics.{name}": running for name, running in net.statistics().items()}
    if server.optimizer.momentum:
        for name, weights in net.parameters().items():
            trained[f"velocity.{name}"] = velocity.setdefault(name, np.zeros_like(weights))
    return trained


def _places(simulation: Simulation, left: IntArray) -> list[tuple[Client, IntArray]]:
    """Every client with its part of `left`, as a view."""
    ends = np.cumsum([client.indices.size for client in simulation.clients])[:-1]
    return list(zip(simulation.clients, np.split(left, ends), strict=True))
