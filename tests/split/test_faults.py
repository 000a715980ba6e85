"""Clients that fail: whatever happens, nothing is lost, doubled, or half updated."""

from collections import Counter
from fractions import Fraction
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import hypergeom

from pslref.nn import Flatten, Network, ReLU, cross_entropy, mlp
from pslref.partition import Partition
from pslref.sampling import Schedule, lds, targets, ugs, until_empty
from pslref.split import (
    Aborted,
    Client,
    ClientGradient,
    Diverged,
    Epoch,
    EpochRecord,
    Outage,
    Server,
    Simulation,
    draw_outages,
)
from pslref.split.faults import away
from pslref.theory import class_count_pmf
from tests.law import departures, smallest_shift

CLASSES = 3
SGD = {"learning_rate": 0.05, "momentum": 0.9, "weight_decay": 0.01}
PLANS = ["ugs", "lds", "fixed", "targets", "stratified"]


def planner(sampler: str, batch_size: int, rng: np.random.Generator):
    """What is reachable, (K, M), to a schedule; its batches keep their size, but for fixed."""

    def plan(reachable: np.ndarray) -> Schedule:
        size, delays = min(batch_size, int(reachable.sum())), np.arange(len(reachable))
        if sampler == "ugs":
            return ugs(reachable.sum(axis=1), size, rng)
        if sampler == "lds":
            return lds(reachable, size, rng, delays=delays, delta=0.5, tol=1e-3)
        if sampler == "fixed":
            return until_empty(reachable.sum(axis=1), np.arange(len(reachable)) % 3 + 1)
        draw = "stratified" if sampler == "stratified" else "hypergeometric"
        return targets(reachable, size, rng, delays=delays, draw=draw)

    return plan


def state(network: Network, velocity: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Copies of weights and velocities."""
    both = network.parameters() | {f"v {name}": v for name, v in velocity.items()}
    return {name: array.copy() for name, array in both.items()}


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    """Whether they are equal to the bit."""
    return one.keys() == other.keys() and all((one[k] == other[k]).all() for k in one)


def centralized(before: dict[str, np.ndarray], net: Network, x, y) -> dict[str, np.ndarray]:
    """One SGD step on the whole network, from the state `before`, written out again."""
    net = net.copy()
    for name, parameter in net.parameters().items():
        parameter[...] = before[name]
    logits, cache = net.forward(x)
    _, gradients = net.backward(cross_entropy(logits, y)[1], cache)
    after = {}
    for name, w in net.parameters().items():
        v = gradients[name] + SGD["weight_decay"] * w
        v = v + SGD["momentum"] * before.get(f"v {name}", 0)
        after |= {name: w - SGD["learning_rate"] * v, f"v {name}": v}
    return after


class Watched(Simulation):
    """Asserts, around every step, all that must hold whoever fails when."""

    def start_epoch(self) -> None:
        super().start_epoch()
        self.used: list[int] = []

    def whole(self) -> dict[str, np.ndarray]:
        return state(self.net, self.server.optimizer.velocity)

    def take(self, counts, lost=()) -> float:
        participants = set(np.flatnonzero(np.reshape(counts, (len(self.clients), -1)).any(1)))
        before, unused = self.whole(), [client.left.tolist() for client in self.clients]
        last = self.last_batch
        try:
            loss = super().take(counts, lost)
        except Aborted:
            assert participants & {*lost}
            assert same(self.whole(), before)
            assert [client.left.tolist() for client in self.clients] == unused
            assert self.last_batch is last
            raise
        assert not participants & {*lost}
        batch = self.last_batch.tolist()
        assert batch == [i for k in sorted(participants) for i in self.taken(unused, k)]
        self.used += batch
        assert np.isfinite(loss)
        expected = centralized(before, self.net, self.x[batch], self.y[batch])
        for name, value in self.whole().items():
            np.testing.assert_allclose(value, expected[name], rtol=1e-10, atol=1e-13)
        everything = self.used + [i for client in self.clients for i in client.left.tolist()]
        assert sorted(everything) == list(range(len(self.y)))
        return loss

    def taken(self, unused: list[list[int]], k: int) -> list[int]:
        """What client k had and has no more, in the order in which it had it."""
        return [i for i in unused[k] if i not in set(self.clients[k].left.tolist())]


class Done(NamedTuple):
    """What an epoch with outages did."""

    record: EpochRecord
    attempted: Schedule
    committed: np.ndarray
    unreachable: np.ndarray
    next_step: int


def faulty_epoch(simulation, plan, outages, first_step: int = 0) -> Done:
    """Walk it, and assert that every step is the next one of a plan for what can be reached."""
    epoch, planned, attempted = Epoch(simulation, outages, first_step), [], []

    def watched(reachable: np.ndarray) -> Schedule:
        there = simulation.unused
        there[list(away(outages, epoch.next_step)[0])] = 0
        assert (reachable == there).all()
        schedule = plan(reachable)
        planned[:] = schedule.batch_sizes.tolist()
        return schedule

    for counts in epoch.walk(watched):
        assert counts.tolist() == planned.pop(0)
        attempted.append(counts)
    return Done(
        epoch.record(),
        Schedule(np.array(attempted, np.int64).reshape(-1, len(simulation.clients))),
        epoch.walked["committed"],
        simulation.unused.sum(axis=1),
        epoch.next_step,
    )


def setting(num_clients: int, num_samples: int, seed: int):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(num_samples, 4)), rng.integers(0, CLASSES, num_samples)
    owner = rng.integers(0, num_clients, num_samples)  # some clients may hold nothing
    part = Partition([np.flatnonzero(owner == k) for k in range(num_clients)], y, CLASSES)
    return rng, x, y, part


def run(
    simulation_class, sampler, execution, num_clients, batch_size, outages, seed, num_samples=60
):
    """Two epochs; the simulation, what they did, and how many steps were attempted."""
    rng, x, y, part = setting(num_clients, num_samples, seed)
    net = mlp([4, 3, CLASSES], rng=rng)
    simulation = simulation_class(net, 3, x, y, part, rng=rng, execution=execution, **SGD)
    plan, step, epochs = planner(sampler, batch_size, rng), 0, []
    for _ in range(2):
        epoch = faulty_epoch(simulation, plan, outages, step)
        for_good = {o.client for o in outages if o.end is None and o.has_begun(epoch.next_step)}
        assert set(np.flatnonzero(epoch.unreachable)) <= for_good
        committed = epoch.attempted.batch_sizes[epoch.committed]
        assert committed.sum() == len(simulation.used) == num_samples - epoch.unreachable.sum()
        assert len(epoch.record.loss) == len(epoch.record.deviation) == len(committed)
        assert epoch.next_step >= step + epoch.attempted.num_steps
        step = epoch.next_step
        epochs.append(epoch)
    return simulation, epochs


@st.composite
def fault_plans(draw: st.DrawFn) -> tuple[int, list[Outage]]:
    """Up to 20 clients; outages of any of them, overlapping, one by one and from rates."""
    num_clients = draw(st.integers(1, 20))
    start = st.integers(0, 20)
    outages = st.one_of(
        st.builds(Outage, st.integers(0, num_clients - 1), start, st.none(), st.booleans()),
        st.builds(Outage, st.integers(0, num_clients - 1), start, st.integers(21, 30)),
    )
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    lost, pause_rate = draw(st.sampled_from([0, 0.3, 0.9])), draw(st.sampled_from([0, 0.05, 0.2]))
    from_rates = draw_outages(num_clients, 25, rng, lost, pause_rate, mean_pause=2)
    return num_clients, from_rates + draw(st.lists(outages, max_size=3))


@pytest.mark.parametrize("execution", ["clients", "pooled"])
@settings(max_examples=35)
@given(fault_plans(), st.sampled_from(PLANS), st.integers(2, 9), st.integers(0, 2**32))
def test_nothing_is_lost_doubled_or_half_updated(execution, plan, sampler, batch_size, seed):
    num_clients, outages = plan
    run(Watched, sampler, execution, num_clients, batch_size, outages, seed)


# 12 clients, of which 3 are gone for good and others pause: every kind of failure happens.
OUTAGES = [
    *(Outage(0, 2, within=True), Outage(1, 3, 6), Outage(1, 7, 9), Outage(2, 4, 8, within=True)),
    *(Outage(3, 5, 6, within=True), Outage(4, 3), Outage(5, 9, within=True), Outage(6, 2, 13)),
]


def both(sampler, outages):
    return [run(Watched, sampler, how, 12, 7, outages, 5) for how in ("clients", "pooled")]


@pytest.mark.parametrize("sampler", PLANS)
def test_pooled_and_clients_execution_agree(sampler) -> None:
    (by_clients, one), (pooled, two) = both(sampler, OUTAGES)
    assert not one[0].committed.all()
    for first, second in zip(one, two, strict=True):
        assert first.committed.tolist() == second.committed.tolist()
        assert first.attempted.batch_sizes.tolist() == second.attempted.batch_sizes.tolist()
        assert first.unreachable.tolist() == second.unreachable.tolist()
        np.testing.assert_allclose(first.record.loss, second.record.loss, rtol=1e-10)
        assert first.record.deviation.tolist() == second.record.deviation.tolist()
    for name, value in by_clients.net.parameters().items():
        np.testing.assert_allclose(value, pooled.net.parameters()[name], rtol=1e-10, atol=1e-13)


class ForgetsWeights(Simulation):
    """Of those who sat the last step out."""

    def take(self, counts, lost=()):
        took_part = getattr(self, "took_part", range(len(self.clients)))
        for k, client in enumerate(self.clients):
            vars(client).pop("receive", None)
            if k not in took_part:
                client.receive = lambda half: None
        self.took_part = np.flatnonzero(np.reshape(counts, (len(counts), -1)).any(axis=1))
        return super().take(counts, lost)


class ForgetsVelocities(Simulation):
    def take(self, counts, lost=()):
        if lost:
            self.server.optimizer.velocity = {}
        return super().take(counts, lost)


class CommitsPartialGradients(Simulation):
    def take(self, counts, lost=()):
        for k in lost:
            zeros = {n: 0 * w for n, w in self.clients[k].network.parameters().items()}
            nothing = ClientGradient(k, zeros)
            self.clients[k].backward = lambda _, nothing=nothing: nothing
        return super().take(counts)


class TakesTheMean(Simulation):
    def take(self, counts, lost=()):
        number = np.reshape(counts, (len(counts), -1)).any(axis=1).sum()
        self.server.update = lambda total: Server.update(
            self.server, {name: g / number for name, g in total.items()}
        )
        return super().take(counts, lost)


class UpdatesTheServerAnyway(Simulation):
    def take(self, counts, lost=()):
        try:
            return super().take(counts, lost)
        except Aborted:
            for name, w in self.server_network.parameters().items():
                w -= SGD["learning_rate"] * self.server.gradients[name]
            raise


class CommitsWithoutTheLost(Simulation):
    def take(self, counts, lost=()):
        return super().take(counts)


class LosesSamples(Simulation):
    """Of those who survive a step that is not committed."""

    def put_back(self, client: Client) -> np.ndarray:
        return client.left

    def take(self, counts, lost=()):
        for client in self.clients:
            if client.client not in lost:
                client.put_back = lambda own=client: setattr(own, "left", self.put_back(own))
        return super().take(counts, lost)


class DoublesSamples(LosesSamples):
    def put_back(self, client: Client) -> np.ndarray:
        return np.concatenate([client.left_before, client.left_before])


class ShufflesAgain(LosesSamples):
    def put_back(self, client: Client) -> np.ndarray:
        return client.left_before[::-1]


BROKEN = [
    *(ForgetsWeights, ForgetsVelocities, CommitsPartialGradients, TakesTheMean),
    *(UpdatesTheServerAnyway, CommitsWithoutTheLost, LosesSamples, DoublesSamples, ShufflesAgain),
]


@pytest.mark.parametrize("broken", BROKEN)
def test_every_way_to_break_it_is_seen(broken) -> None:
    watched = type("Broken", (Watched, broken), {})
    with pytest.raises(AssertionError):
        run(watched, "ugs", "clients", 12, 7, OUTAGES, 5)


def test_those_outages_break_nothing_that_is_right() -> None:
    run(Watched, "ugs", "clients", 12, 7, OUTAGES, 5)


@pytest.mark.parametrize("execution", ["clients", "pooled"])
@pytest.mark.parametrize("sampler", PLANS)
def test_without_outages_it_is_a_plain_epoch(execution, sampler) -> None:
    results = []
    for plain in (True, False):
        rng, x, y, part = setting(6, 60, 1)
        net = mlp([4, 3, CLASSES], rng=rng)
        simulation = Simulation(net, 3, x, y, part, rng=rng, execution=execution, **SGD)
        plan = planner(sampler, 7, rng)
        for _ in range(2):
            if plain:
                record = simulation.run_epoch(plan(part.class_counts))
            else:
                record = faulty_epoch(simulation, plan, []).record
        assert record.num_aborted == record.num_unused == 0
        results.append((state(simulation.net, {}), record.loss, record.deviation, record.bytes_up))
    (weights, *numbers), (same_weights, *same_numbers) = results
    assert same(weights, same_weights)
    assert all(map(np.array_equal, numbers, same_numbers))


def untrained(y, part: Partition, rng: np.random.Generator) -> Simulation:
    """Whose steps cost next to nothing."""
    net = Network([Flatten(), ReLU()])
    return Simulation(net, 1, np.zeros((y.size, 3)), y, part, 0.1, rng=rng, execution="pooled")


def law_of_batches(owners: list[int], batch_size: int, outages: list[Outage]):
    """Of the committed batches: each one uniform over what is unused and can be reached."""
    law: Counter[object] = Counter()

    def walk(step: int, unused: frozenset[int], done: tuple, probability: Fraction) -> None:
        gone = {
            o.client: o.end
            for o in outages
            if o.start + o.within <= step and (o.end is None or step < o.end)
        }
        failing = {o.client for o in outages if o.within and o.start == step}
        if all(gone.get(owners[i], 0) is None for i in unused):
            law[done] += probability
            return
        reachable = [i for i in sorted(unused) if owners[i] not in gone]
        batches = list(combinations(reachable, min(batch_size, len(reachable))))
        for batch in batches:
            share = probability / len(batches)
            if not batch or any(owners[i] in failing for i in batch):
                walk(step + 1, unused, done, share)
            else:
                walk(step + 1, unused - set(batch), (*done, batch), share)

    walk(0, frozenset(range(len(owners))), (), Fraction(1))
    return law


def test_replanned_ugs_is_uniform_over_what_can_be_reached(rng, alpha: float) -> None:
    """All committed batches of an epoch, jointly, with every kind of outage. False alarm: 1e-8.

    900 epochs show an outcome whose probability is 1 / 60 to be off by 0.05.
    """
    owners, outages = [0, 0, 1, 1, 2, 2], [Outage(0, 1, 3, True), Outage(1, 2), Outage(2, 0, 1)]
    law = law_of_batches(owners, 2, outages)
    assert sum(law.values()) == 1
    y = np.array(owners) % 2
    part = Partition([np.flatnonzero(np.equal(owners, k)) for k in range(3)], y)
    simulation = untrained(y, part, rng)
    batches: list[tuple[int, ...]] = []
    take = simulation.take

    def recording(*arguments) -> float:
        loss = take(*arguments)
        batches.append(tuple(sorted(simulation.last_batch.tolist())))
        return loss

    simulation.take = recording
    seen: Counter[object] = Counter()
    for _ in range(900):
        batches.clear()
        faulty_epoch(simulation, planner("ugs", 2, rng), outages)
        seen[tuple(batches)] += 1
    assert smallest_shift(1 / 60, 900, len(law), alpha) < 0.05
    assert not departures(seen, {batch: float(p) for batch, p in law.items()}, alpha)


@pytest.mark.parametrize("sampler", ["ugs", "fixed"])
def test_batch_deviation_follows_the_law_of_what_can_be_reached(sampler, rng, alpha) -> None:
    """Of the third committed step; a client dies in the second and one pauses. False alarm: 1e-8.

    UGS draws it from all samples of those that are left. With fixed local batches the schedule is
    the same in every epoch, and the law is that of any schedule, whatever was put back. 300
    epochs show a probability of 1 / 2 to be off by 0.27.
    """
    class_counts = np.array([[6, 0], [1, 7], [4, 3], [2, 5]])
    owners = np.repeat(np.arange(4), class_counts.sum(axis=1))
    y = np.concatenate([np.repeat([0, 1], row) for row in class_counts])
    part = Partition([np.flatnonzero(owners == k) for k in range(4)], y)
    simulation, plan = untrained(y, part, rng), planner(sampler, 4, rng)
    outages = [Outage(0, 1, within=True), Outage(3, 1, 2)]
    seen: Counter[object] = Counter()
    for _ in range(300):
        epoch = faulty_epoch(simulation, plan, outages)
        seen[round(float(epoch.record.deviation[2]), 9)] += 1
    if sampler == "ugs":
        assert set(epoch.attempted.batch_sizes.sum(axis=1)[:-1]) == {4}
        probs = hypergeom(22, 7, 4).pmf(range(5))
    else:
        rows = Schedule(epoch.attempted.batch_sizes[epoch.committed])
        probs = class_count_pmf(rows, class_counts, 2, 0)
    batch_size = len(probs) - 1
    law: Counter[object] = Counter()
    for count, probability in enumerate(probs):
        law[round(2 * abs(count / batch_size - 13 / 28), 9)] += probability
    assert smallest_shift(1 / 2, 300, len(law), alpha) < 0.27
    assert not departures(seen, {d: p for d, p in law.items() if p > 0}, alpha)


def test_the_server_waits_for_those_who_will_be_back(rng) -> None:
    """Everybody is gone, some for a billion steps; the one who is gone for good keeps its data."""
    y = np.arange(9) % 3
    simulation = untrained(y, Partition([[0, 1, 2], [3, 4, 5], [6, 7, 8]], y), rng)
    outages = [Outage(0, 0, 10**9), Outage(1, 0, 5), Outage(2, 0), Outage(1, 6, 8, within=True)]
    epoch = faulty_epoch(simulation, planner("ugs", 2, rng), outages)
    rows = [[0, 2, 0], [0, 1, 0], [0, 1, 0], [2, 0, 0], [1, 0, 0]]
    assert epoch.attempted.batch_sizes.tolist() == rows
    assert epoch.committed.tolist() == [True, False, True, True, True]
    assert epoch.unreachable.tolist() == [0, 0, 3]
    assert epoch.next_step == 10**9 + 2


def test_an_epoch_that_nobody_can_take_has_no_steps(rng) -> None:
    y = np.arange(4) % 2
    simulation = untrained(y, Partition([[0, 1], [2, 3]], y), rng)
    epoch = faulty_epoch(simulation, planner("ugs", 2, rng), [Outage(0, 3), Outage(1, 1)], 4)
    assert epoch.unreachable.tolist() == [2, 2]
    assert epoch.next_step == 4
    assert epoch.attempted.num_steps == epoch.committed.size == epoch.record.loss.size == 0
    assert epoch.record.deviation.size == epoch.record.bytes_up == epoch.record.bytes_down == 0


def test_a_step_may_ask_somebody_who_is_not_there(rng) -> None:
    y = np.arange(4) % 2
    simulation = untrained(y, Partition([[0, 1], [2, 3]], y), rng)
    with pytest.raises(Aborted, match=r"the gradients of clients \[1\] never arrived"):
        simulation.step([1, 1], lost=[1])
    simulation.step([2, 0], lost=[1])
    simulation.step([0, 1])
    with pytest.raises(ValueError, match=r"lost client = 2: must be .* from 0 to 1"):
        simulation.step([0, 1], lost=[2])


def test_a_step_that_diverges_gives_its_samples_back(rng) -> None:
    _, x, y, part = setting(3, 20, 0)
    simulation = Simulation(mlp([4, 3, CLASSES], rng=rng), 3, x, y, part, 1e200, rng=rng)
    epoch = Epoch(simulation)
    with pytest.raises(Diverged, match=r"step [1-9]\d*: the loss is (nan|inf)"):
        list(epoch.walk(planner("ugs", 4, rng)))
    assert simulation.num_unused == 20 - 4 * len(epoch.rows)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((-1, 0), "client = -1: must be"),
        ((0, -1), "start = -1: must be"),
        ((0, 5, 5), "end = 5: must be a whole number, 6 or more"),
        ((0.5, 0), "client = 0.5: must be"),
        ((0, 0, 5, "no"), "within = 'no': must be a bool, not a str"),
    ],
)
def test_outages_that_cannot_be_are_refused(arguments, sentence) -> None:
    with pytest.raises(ValueError, match=sentence):
        Outage(*arguments)


def test_an_outage_of_nobody_and_plans_that_cannot_be_kept_are_refused(rng) -> None:
    y = np.arange(4) % 2
    simulation = untrained(y, Partition([[0, 1], [2, 3]], y), rng)
    with pytest.raises(ValueError, match=r"outage's client = 2: must be .* from 0 to 1"):
        faulty_epoch(simulation, planner("ugs", 2, rng), [Outage(2, 0)])
    for rows in ([[1, 1]], [[2, 0], [1, 0]], [[1, 0, 0]], [[0, 0]], np.zeros((0, 2), int)):
        with pytest.raises(ValueError, match=r"schedule.sizes.* = .*must be"):
            faulty_epoch(simulation, lambda _, rows=rows: Schedule(rows), [Outage(1, 0)])


def test_drawn_outages_are_what_was_asked_for(rng: np.random.Generator) -> None:
    few, many = (draw_outages(20, 1000, np.random.default_rng(3), lost=x) for x in (0.1, 0.3))
    assert (len(few), len(many)) == (2, 6)
    assert few == many[:2]
    assert len({outage.client for outage in many}) == 6
    assert {outage.within for outage in many} == {True, False}
    shorter = draw_outages(20, 100, np.random.default_rng(3), lost=0.3)
    assert [o.start // 10 for o in many] == [o.start for o in shorter]
    assert all(outage.end is None and 0 <= outage.start < 1000 for outage in many)
    assert [len(draw_outages(3, 5, rng, lost=x)) for x in (0, 0.1, 0.5, 0.9, 1)] == [0, 0, 2, 2, 2]
    pauses = draw_outages(20, 1000, rng, pause_rate=0.01, mean_pause=4)
    assert 100 < len(pauses) < 300
    assert 3 < np.mean([outage.end - outage.start for outage in pauses]) < 5
    assert {outage.within for outage in pauses} == {True, False}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"num_clients": 0}, "^num_clients = 0: must be a whole number from 1 to 268435456$"),
        ({"num_steps": 0}, "^num_steps = 0: must be a whole number from 1 to 268435456$"),
        ({"rng": 0}, "^rng = 0: must be a numpy.random.Generator, not a seed$"),
        ({"lost": -0.1}, "^lost = -0.1: must be a finite number, 0 or more, at most 1$"),
        ({"lost": 1.1}, "^lost = 1.1: must be a finite number, 0 or more, at most 1$"),
        ({"pause_rate": -1}, "^pause_rate = -1: must be a finite number, 0 or more, at most 1$"),
        ({"pause_rate": 1.1}, "^pause_rate = 1.1: must be a finite number, 0 or more, at most 1$"),
        ({"mean_pause": 0.5}, "^mean_pause = 0.5: must be a finite number, 1 or more$"),
    ],
)
def test_outages_that_cannot_be_drawn_are_refused(change, sentence, rng) -> None:
    with pytest.raises(ValueError, match=sentence):
        draw_outages(**({"num_clients": 3, "num_steps": 5, "rng": rng} | change))
