"""What is left of a simulation between two steps, and that it is all."""

from collections.abc import Iterator
from copy import deepcopy

import numpy as np
import pytest

from pslref.nn import mlp, resnet
from pslref.partition import Partition
from pslref.sampling import Schedule, targets, ugs
from pslref.split import Aborted, Epoch, Outage, Simulation, packed, restore, state, unpack
from tests.small import SHAPE, setting, small

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


@pytest.mark.parametrize("execution", ["clients", "pooled"])
def test_running_statistics_are_state(execution: str, rng: np.random.Generator) -> None:
    """Evaluation and the commit of a step need them; a step that is not taken leaves them."""

    def a_resnet() -> Simulation:
        return small(
            np.random.default_rng(0),
            net=resnet(SHAPE, CLASSES, np.random.default_rng(1), (1, 1), 2),
            x=x,
            y=y,
            partition=part,
            execution=execution,
        )

    x, y, part = setting(rng, SHAPE)
    one, other = a_resnet(), a_resnet()
    begun, taken_up = Epoch(one), Epoch(other)
    plan = ugs(part.sizes, 7, rng)
    walk = begun.walk(lambda _: plan)
    for _ in range(3):
        next(walk)
    before = everything(begun)
    assert {name for name in before if name.startswith("statistics.")} == {
        f"statistics.{name}" for name in one.net.statistics()
    }
    one.evaluate(x, y)
    with pytest.raises(Aborted):
        one.step(np.minimum(one.unused.sum(axis=1), 1), lost=np.flatnonzero(part.sizes))
    assert everything(begun) == before
    restore(taken_up, state(begun))
    for epoch in (begun, taken_up):
        list(epoch.walk(lambda _: plan))
    assert everything(begun) == everything(taken_up) != before
    logits = [simulation.net.evaluate(x).tobytes() for simulation in (one, other)]
    assert logits[0] == logits[1]


def everything(epoch: Epoch) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in state(epoch).items()}


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
    begun, taken_up = Epoch(one), Epoch(other)
    plan = next(plans)
    walk = begun.walk(lambda _: plan)
    for _ in range(steps):
        next(walk)
    restore(taken_up, state(begun))
    assert everything(taken_up) == everything(begun)
    records = []
    for epoch in (begun, taken_up):
        list(epoch.walk(lambda _: plan))
        records.append(epoch.record())
    for name in ("loss", "deviation", "num_participants"):
        assert getattr(records[0], name).tobytes() == getattr(records[1], name).tobytes()
    assert np.array_equal(records[0].traffic, records[1].traffic)
    plan = next(plans)
    losses = [simulation.run_epoch(plan).loss.tolist() for simulation in (one, other)]
    assert losses[0] == losses[1]
    assert everything(Epoch(one)) == everything(Epoch(other))


@pytest.mark.parametrize("execution", ["clients", "pooled"])
def test_with_clients_away_too(execution) -> None:
    """After each of its steps: plans that are broken off, aborted steps, a client that is back."""
    outages = [Outage(0, 1, within=True), Outage(2, 2, 4), Outage(2, 5, 9, within=True)]
    sizes, streams = COUNTS.sum(axis=1), {}

    def plan_from(name: str):
        def plan(reachable):
            streams[f"before {name}"] = deepcopy(streams[name])
            return ugs(reachable.sum(axis=1), min(2, reachable.sum()), streams[name])

        return plan

    one = Epoch(a_simulation(execution, 0.9), outages)
    streams["one"] = np.random.default_rng(3)
    final, committed = [], []
    for _ in one.walk(plan_from("one")):
        other = Epoch(another(execution, 0.9), outages)
        restore(other, state(one))
        streams["other"] = deepcopy(streams["before one"])
        list(other.walk(plan_from("other")))
        final.append(everything(other))
        committed.append(one.rows[-1][0])
    assert False in committed
    assert one.next_step > len(committed) > 0
    assert sizes.sum() > one.simulation.num_unused > 0
    assert all(state == everything(one) for state in final)


@pytest.mark.parametrize("execution", ["clients", "pooled"])
def test_its_arrays_by_name(execution) -> None:
    epoch = Epoch(a_simulation(execution, 0.9))
    plan = ugs(COUNTS.sum(axis=1), 3, np.random.default_rng(0))
    walk = epoch.walk(lambda _: plan)
    next(walk)
    simulation, arrays = epoch.simulation, state(epoch)
    names = ["1.bias", "1.weight", "3.bias", "3.weight"]
    assert arrays.keys() == {
        *(f"{kind}.{name}" for kind in ("weights", "velocity") for name in names),
        *("client.generators", "client.left"),
        *("walked", "planned_for", "planned_at", "next_step"),
    }
    for name, weights in simulation.net.parameters().items():
        assert (arrays[f"weights.{name}"] == weights).all()
        velocity = simulation.server.optimizer.velocity[name]
        assert (arrays[f"velocity.{name}"] == velocity).all()
    used = plan.batch_sizes[0].tolist()
    rest = [client.left.tolist() for client in simulation.clients]
    left = [i for row, b in zip(rest, used, strict=True) for i in row + [-1] * b]
    assert arrays["client.left"].tolist() == left
    ((committed, loss, participants, *sent, counts),) = arrays["walked"].tolist()
    assert committed is True
    assert np.isfinite(loss)
    half = sum(w.nbytes for w in simulation.server.client_half.parameters().values())
    assert participants == np.count_nonzero(used)
    # Three samples, each three float64 and a label; the half to each, and its gradient back.
    assert sent == [3 * 3 * 8, 3 * 8, 3 * 3 * 8, *[participants * half] * 2]
    assert list(counts) == np.bincount(simulation.y[simulation.last_batch], minlength=3).tolist()
    assert arrays["planned_for"].tolist() == COUNTS.tolist()
    assert (arrays["planned_at"].tolist(), arrays["next_step"].tolist()) == ([0], [1])


def test_before_the_first_step_velocities_are_0_and_without_momentum_there_are_none() -> None:
    velocities = state(Epoch(a_simulation("clients", 0.9)))["velocity.1.weight"]
    assert velocities.tolist() == np.zeros((4, 3)).tolist()
    without = state(Epoch(a_simulation("clients", 0.0)))
    assert not [name for name in without if "velocity" in name]


def test_the_arrays_are_nobody_elses() -> None:
    """Neither those that are given out, nor those that are taken in."""
    one, other = Epoch(a_simulation("clients", 0.9)), Epoch(another("clients", 0.9))
    one.simulation.step([1, 0, 1])
    arrays, before = state(one), everything(one)
    restore(other, arrays)
    for array in arrays.values():
        array.view(np.uint8)[...] = 1
    assert everything(one) == everything(other) == before


def test_samples_of_another_client_are_refused() -> None:
    epoch = Epoch(a_simulation("clients", 0.0))
    arrays = state(epoch)
    arrays["client.left"][[0, -1]] = arrays["client.left"][[-1, 0]]
    with pytest.raises(
        ValueError, match=r"^client.left: must be samples of client 0, each once, in its places$"
    ):
        restore(epoch, arrays)


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
