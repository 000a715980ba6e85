"""What is left of a simulation between two steps, and that it is all."""

from collections.abc import Iterator

import numpy as np
import pytest

from pslref.nn import mlp
from pslref.partition import Partition
from pslref.sampling import Schedule, targets, ugs
from pslref.split import Simulation, packed, restore, state, unpack

CLASSES = 3
COUNTS = np.array([[3, 0, 2], [0, 0, 0], [1, 6, 1]])


def a_simulation(execution: str, momentum: float) -> Simulation:
    """The same every time: which streams its generators are is not in its state."""
    rng = np.random.default_rng(0)
    y = np.concatenate([np.repeat(np.arange(CLASSES), row) for row in COUNTS])
    ends = COUNTS.sum(axis=1).cumsum()
    part = Partition(np.split(np.arange(y.size), ends[:-1]), y, CLASSES)
    x = rng.standard_normal((y.size, 4))
    net = mlp([4, 3, CLASSES], rng)
    return Simulation(net, 2, x, y, part, 0.1, momentum, rng=rng, execution=execution)


def another(execution: str, momentum: float) -> Simulation:
    """Of the same arguments, and then with other weights and shuffles."""
    simulation = a_simulation(execution, momentum)
    simulation.start_epoch()
    for array in simulation.net.parameters().values():
        array += 1
    return simulation


def everything(simulation: Simulation) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in state(simulation).items()}


def schedules() -> Iterator[Schedule]:
    """Without classes and by class in turn: by class, clients shuffle in mid-epoch too."""
    rng = np.random.default_rng(1)
    while True:
        yield ugs(COUNTS.sum(axis=1), 3, rng)
        yield targets(COUNTS, 3, rng, assign="random")


@pytest.mark.parametrize("execution", ["clients", "pooled"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("steps", [0, 1, 4, 5])
def test_another_simulation_goes_on_from_it_to_the_bit(execution, momentum, steps) -> None:
    """After an epoch and `steps` of the next; 5 are all of them."""
    plans = schedules()
    one, other = a_simulation(execution, momentum), another(execution, momentum)
    one.run_epoch(next(plans))
    one.start_epoch()
    plan = next(plans)
    walk = one.walk(plan)
    for _ in range(steps):
        next(walk)
    restore(other, state(one))
    assert everything(other) == everything(one)
    records = []
    for simulation in (one, other):
        for _ in simulation.walk(plan) if steps < plan.num_steps else ():
            pass
        records.append(simulation.end_epoch())
    for name in ("loss", "deviation", "step_bytes_up", "step_bytes_down"):
        assert getattr(records[0], name).tobytes() == getattr(records[1], name).tobytes()
    plan = next(plans)
    losses = [simulation.run_epoch(plan).loss.tolist() for simulation in (one, other)]
    assert losses[0] == losses[1]
    assert everything(other) == everything(one)


@pytest.mark.parametrize(("execution", "halves"), [("clients", 3), ("pooled", 1)])
def test_its_arrays_by_name(execution, halves) -> None:
    simulation = a_simulation(execution, 0.9)
    rest = [client.left.tolist() for client in simulation.clients]
    plan = ugs(COUNTS.sum(axis=1), 3, np.random.default_rng(0))
    next(simulation.walk(plan))
    arrays = state(simulation)
    names = ["weights.1.bias", "weights.1.weight", "velocity.1.bias", "velocity.1.weight"]
    assert arrays.keys() == {
        *(f"client.{name}" for name in names),
        *(f"server.{name.replace('1', '3')}" for name in names),
        *("client.generators", "client.left", "walked"),
    }
    assert arrays["server.weights.3.weight"].shape == (1, 3, CLASSES)
    assert arrays["client.weights.1.weight"].shape == (halves, 4, 3)
    for client, weights in zip(simulation.clients, arrays["client.weights.1.weight"], strict=False):
        assert (weights == client.network.parameters()["1.weight"]).all()
    velocity = simulation.server.optimizer.velocity["3.bias"]
    assert arrays["server.velocity.3.bias"].tolist() == [velocity.tolist()]
    used = plan.batch_sizes[0]
    left = [i for row, b in zip(rest, used, strict=True) for i in row[b:] + [-1] * b]
    assert arrays["client.left"].tolist() == left
    (loss, up, down, counts) = arrays["walked"][0].tolist()
    assert arrays["walked"].dtype.names == ("loss", "bytes_up", "bytes_down", "class_counts")
    assert arrays["walked"].shape == (1,)
    assert np.isfinite(loss)
    assert (up, down) == (3 * 3 * 8 + 3 * 8, 3 * 3 * 8)  # three samples, three float64, a label
    assert list(counts) == np.bincount(simulation.y[simulation.last_batch], minlength=3).tolist()


def test_before_the_first_step_velocities_are_0_and_without_momentum_there_are_none() -> None:
    velocities = state(a_simulation("clients", 0.9))["client.velocity.1.weight"]
    assert velocities.tolist() == np.zeros((3, 4, 3)).tolist()
    assert not [name for name in state(a_simulation("clients", 0.0)) if "velocity" in name]


def test_the_arrays_are_nobody_elses() -> None:
    """Neither those that are given out, nor those that are taken in."""
    one, other = a_simulation("clients", 0.9), another("clients", 0.9)
    one.step([1, 0, 1])
    arrays, before = state(one), everything(one)
    restore(other, arrays)
    for array in arrays.values():
        array.view(np.uint8)[...] = 1
    assert everything(one) == everything(other) == before


def test_samples_of_another_client_are_refused() -> None:
    simulation = a_simulation("clients", 0.0)
    arrays = state(simulation)
    arrays["client.left"][[0, -1]] = arrays["client.left"][[-1, 0]]
    with pytest.raises(
        ValueError, match=r"^client.left: must be samples of client 0, each once, in its places$"
    ):
        restore(simulation, arrays)


def test_walked_steps_with_negative_counts_are_refused() -> None:
    """In their sum they are the samples that are used."""
    simulation = a_simulation("clients", 0.0)
    walk = simulation.walk(next(schedules()))
    next(walk), next(walk)
    arrays = state(simulation)
    arrays["walked"]["class_counts"] += np.array([[9, 0, 0], [-9, 0, 0]])
    with pytest.raises(ValueError, match=r"^walked: must have the 6 samples that are used, by cl"):
        restore(a_simulation("clients", 0.0), arrays)


def test_a_packed_generator_is_its_state_in_three_words() -> None:
    fresh, halfway = np.random.default_rng(5), np.random.default_rng(6)
    halfway.integers(2**32, dtype=np.uint32)  # of 64 bits, half are left over
    rows = packed([fresh, halfway])
    assert rows.dtype == np.uint64
    for generator, (upper, lower, rest) in zip([fresh, halfway], rows.tolist(), strict=True):
        inner = generator.bit_generator.state
        assert upper * 2**64 + lower == inner["state"]["state"]
        assert rest == inner["has_uint32"] * 2**32 + inner["uinteger"]
    assert rows[1, 2] > 2**32 > rows[0, 2] == 0
    others = [np.random.default_rng(5), np.random.default_rng(6)]  # which stream, the seed says
    for generator in others:
        generator.random(7)
    unpack(others, rows)
    for one, other in zip([fresh, halfway], others, strict=True):
        assert one.integers(2**32, size=5, dtype=np.uint32).tolist() == (
            other.integers(2**32, size=5, dtype=np.uint32).tolist()
        )
        assert one.bit_generator.state == other.bit_generator.state
