"""Epochs walked and planned again: whoever fails, nothing is lost, doubled, or half updated."""

from collections import Counter
from fractions import Fraction
from functools import partial
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import hypergeom

from pslref.nn import Flatten, Network, ReLU
from pslref.partition import Partition
from pslref.sampling import Schedule, fls, lds, targets, ugs, until_empty
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
    Step,
    draw_outages,
)
from pslref.split.faults import away
from pslref.theory import class_count_pmf, expected_deviation
from tests.law import departures, smallest_shift
from tests.small import CLASSES, SGD, Centralized, assert_equal, small, weights_of

BOTH = ["clients", "pooled"]
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


class Watched(Simulation):
    """Asserts, around every step, all that must hold whoever fails when."""

    def __init__(self, net: Network, **given) -> None:
        super().__init__(net, **given)
        self.centralized = Centralized(net)

    def start_epoch(self) -> None:
        super().start_epoch()
        self.used: list[int] = []

    def take(self, counts, lost=()) -> Step:
        participants = taking_part(counts)
        before, unused = weights_of(self), [client.left.tolist() for client in self.clients]
        last = self.last_batch
        try:
            done = super().take(counts, lost)
        except Aborted:
            assert participants & {*lost}
            assert weights_of(self) == before
            assert [client.left.tolist() for client in self.clients] == unused
            assert self.last_batch is last
            raise
        assert not participants & {*lost}
        batch = self.last_batch.tolist()
        assert batch == [i for k in sorted(participants) for i in self.taken(unused, k)]
        self.used += batch
        expected = self.centralized.step(self.x[batch], self.y[batch])
        assert done.loss == pytest.approx(expected, rel=1e-10)
        assert_equal(self.net.parameters(), self.centralized.net.parameters())
        assert_equal(self.server.optimizer.velocity, self.centralized.velocity)
        everything = self.used + [i for client in self.clients for i in client.left.tolist()]
        assert sorted(everything) == list(range(len(self.y)))
        return done

    def taken(self, unused: list[list[int]], k: int) -> list[int]:
        """What client k had and has no more, in the order in which it had it."""
        return [i for i in unused[k] if i not in set(self.clients[k].left.tolist())]


def taking_part(counts: np.ndarray) -> set[int]:
    return set(np.flatnonzero(counts.reshape(len(counts), -1).any(axis=1)).tolist())


class Done(NamedTuple):
    """What an epoch with outages did."""

    record: EpochRecord
    attempted: Schedule
    committed: np.ndarray
    unreachable: np.ndarray
    next_step: int


def faulty_epoch(simulation, plan, outages, first_step: int = 0) -> Done:
    """Walk it, and assert that every step is the next one of a plan for all that can be reached."""
    epoch, planned, attempted = Epoch(simulation, outages, first_step), [], []

    def there(step: int) -> np.ndarray:
        unused = simulation.unused
        unused[list(away(outages, step)[0])] = 0
        return unused

    def watched(reachable: np.ndarray) -> Schedule:
        assert (reachable == there(epoch.next_step)).all()
        schedule = plan(reachable)
        planned[:] = schedule.batch_sizes.tolist()
        return schedule

    for counts in epoch.walk(watched):
        assert counts.tolist() == planned.pop(0)
        if epoch.rows[-1][0]:
            assert np.sum(planned) == there(epoch.next_step - 1).sum()
        attempted.append(counts)
    return Done(
        epoch.record(),
        Schedule(np.array(attempted, np.int64).reshape(-1, len(simulation.clients))),
        epoch.walked["committed"],
        simulation.unused.sum(axis=1),
        epoch.next_step,
    )


def run(kind, sampler, execution, num_clients, batch_size, outages, seed):
    """Two epochs; the simulation and what they did."""
    rng = np.random.default_rng(seed)
    simulation = small(rng, kind, num_clients, execution=execution)
    plan, step, epochs = planner(sampler, batch_size, rng), 0, []
    for _ in range(2):
        epoch = faulty_epoch(simulation, plan, outages, step)
        _, for_good = away(outages, epoch.next_step)
        assert set(np.flatnonzero(epoch.unreachable)) <= for_good
        committed = epoch.attempted.batch_sizes[epoch.committed]
        assert committed.sum() == len(simulation.used) == 60 - epoch.unreachable.sum()
        assert len(epoch.record.loss) == len(epoch.record.deviation) == len(committed)
        assert epoch.next_step >= step + epoch.attempted.num_steps
        step = epoch.next_step
        epochs.append(epoch)
    return simulation, epochs


def lost_or_paused(
    num_clients: int, num_steps: int, rng: np.random.Generator, lost: float, rate: float
) -> list[Outage]:
    """Some clients go for good, and any may pause in any step, for two in the mean."""
    pauses = np.argwhere(rng.random((num_clients, num_steps)) < rate).tolist()
    return draw_outages(num_clients, num_steps, rng, lost) + [
        Outage(k, step, step + int(rng.geometric(0.5)), bool(rng.random() < 0.5))
        for k, step in pauses
    ]


@st.composite
def fault_plans(draw: st.DrawFn) -> tuple[int, list[Outage]]:
    """Up to 20 clients; outages of any of them, overlapping: a few, and many short ones."""
    num_clients = draw(st.integers(1, 20))
    client, start = st.integers(0, num_clients - 1), st.integers(0, 20)
    outages = st.one_of(
        st.builds(Outage, client, start, st.none(), st.booleans()),
        st.builds(Outage, client, start, st.integers(21, 30)),
    )
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    lost, rate = draw(st.sampled_from([0, 0.3, 0.9])), draw(st.sampled_from([0, 0.05, 0.2]))
    from_rates = lost_or_paused(num_clients, 25, rng, lost, rate)
    return num_clients, from_rates + draw(st.lists(outages, max_size=3))


@pytest.mark.parametrize("execution", BOTH)
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
SEED = 1  # with which all 12 hold samples


@pytest.mark.parametrize("sampler", PLANS)
def test_pooled_and_clients_execution_agree(sampler) -> None:
    (by_clients, one), (pooled, two) = (
        run(Watched, sampler, execution, 12, 7, OUTAGES, SEED) for execution in BOTH
    )
    assert not one[0].committed.all()
    for first, second in zip(one, two, strict=True):
        assert first.committed.tolist() == second.committed.tolist()
        assert first.attempted.batch_sizes.tolist() == second.attempted.batch_sizes.tolist()
        assert first.unreachable.tolist() == second.unreachable.tolist()
        np.testing.assert_allclose(first.record.loss, second.record.loss, rtol=1e-10)
        assert first.record.deviation.tolist() == second.record.deviation.tolist()
    assert_equal(by_clients.net.parameters(), pooled.net.parameters())


class ForgetsWeights(Simulation):
    """A participant that sat the last step out does not receive the current half."""

    behind: frozenset[int] = frozenset()

    def take(self, counts, lost=()):
        for k, client in enumerate(self.clients):
            receives = partial(Client.receive, client)
            client.receive = (lambda half: None) if k in self.behind else receives
        self.behind = self.left_behind(taking_part(counts), {*lost})
        return super().take(counts, lost)

    def left_behind(self, participants: set[int], lost: set[int]) -> set[int]:
        return {*range(len(self.clients))} - participants


class ForgetsWhoIsBack(ForgetsWeights):
    """A participant that was away does not, the first time; all others do."""

    def left_behind(self, participants: set[int], lost: set[int]) -> set[int]:
        return self.behind - participants | lost


class KeepsTheVelocity(Simulation):
    """That a step would have given, although it was not committed."""

    def take(self, counts, lost=()):
        try:
            return super().take(counts, lost)
        except Aborted:
            halves = {name: w.copy() for name, w in self.server_network.parameters().items()}
            self.server.optimizer.update(halves, self.server.gradients)
            raise


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
    *(ForgetsWeights, ForgetsWhoIsBack, ForgetsVelocities, KeepsTheVelocity),
    *(CommitsPartialGradients, TakesTheMean, UpdatesTheServerAnyway, CommitsWithoutTheLost),
    *(LosesSamples, DoublesSamples, ShufflesAgain),
]


@pytest.mark.parametrize("broken", BROKEN)
def test_every_way_to_break_it_is_seen(broken) -> None:
    watched = type("Broken", (Watched, broken), {})
    with pytest.raises(AssertionError):
        run(watched, "ugs", "clients", 12, 7, OUTAGES, SEED)


@pytest.mark.parametrize("execution", BOTH)
@pytest.mark.parametrize("sampler", PLANS)
def test_without_outages_it_is_a_plain_epoch(execution, sampler) -> None:
    results = []
    for plain in (True, False):
        rng = np.random.default_rng(1)
        simulation = small(rng, num_clients=6, execution=execution)
        plan, held = planner(sampler, 7, rng), simulation.unused
        for _ in range(2):
            if plain:
                record = simulation.run_epoch(plan(held))
            else:
                record = faulty_epoch(simulation, plan, []).record
        assert record.num_aborted == record.num_unused == 0
        results.append((weights_of(simulation), record))
    (weights, record), (same_weights, same_record) = results
    assert weights == same_weights
    for name in ("loss", "deviation", "num_participants"):
        assert getattr(record, name).tobytes() == getattr(same_record, name).tobytes()
    assert np.array_equal(record.traffic, same_record.traffic)


@pytest.mark.parametrize("execution", BOTH)
def test_an_epoch_uses_every_sample_once_from_its_own_client(execution, rng) -> None:
    simulation = small(rng, execution=execution)
    sizes, orders = simulation.unused.sum(axis=1), []
    for _ in range(2):
        epoch, batches = Epoch(simulation), []
        for row in epoch.walk(lambda _: ugs(sizes, 7, rng)):
            batches.append(simulation.last_batch)
            owners = np.repeat(np.arange(5), row)
            for sample, owner in zip(simulation.last_batch, owners, strict=True):
                assert sample in simulation.clients[owner].indices
        orders.append(np.concatenate(batches).tolist())
        assert sorted(orders[-1]) == list(range(60))
    assert orders[0] != orders[1]


@pytest.mark.parametrize("execution", BOTH)
def test_an_epoch_record_counts_bytes_and_measures_deviation(execution, rng) -> None:
    simulation = small(rng, dtype="float32", execution=execution)
    class_counts, y = simulation.unused, simulation.y
    schedule = fls(class_counts.sum(axis=1), 7)
    record = simulation.run_epoch(schedule)
    batch_sizes = schedule.batch_sizes.sum(axis=1)
    assert record.loss.shape == record.deviation.shape == (schedule.num_steps,)
    sent = record.traffic
    assert sent.activations.tolist() == (batch_sizes * 5 * 4).tolist()  # 5 float32 each
    assert sent.labels.tolist() == (batch_sizes * 8).tolist()
    of_halves = np.count_nonzero(schedule.batch_sizes) * (6 * 5 + 5) * 4
    assert (record.bytes_up, record.bytes_down) == (60 * 28 + of_halves, 60 * 20 + of_halves)
    counts = np.bincount(y[simulation.last_batch], minlength=CLASSES)
    expected = np.abs(counts / counts.sum() - np.bincount(y, minlength=CLASSES) / 60).sum()
    assert record.deviation[-1] == pytest.approx(expected, abs=1e-15)
    by_class = targets(class_counts, 7, rng, delays=[5, 1, 4, 2, 3])
    expected = expected_deviation(by_class, class_counts)
    np.testing.assert_allclose(simulation.run_epoch(by_class).deviation, expected, atol=1e-15)


# --- the law of what is planned again


def untrained(held: list[list[int]], rng, y=None) -> Simulation:
    """Whose steps cost next to nothing."""
    net, y = Network([Flatten(), ReLU()]), np.arange(sum(map(len, held))) % 2 if y is None else y
    x, part = np.zeros((y.size, 3)), Partition(held, y)
    return Simulation(net, 1, x, y, part, 0.1, rng=rng, execution="pooled")


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
    outages = [Outage(0, 1, 3, True), Outage(1, 2), Outage(2, 0, 1)]
    law = law_of_batches([0, 0, 1, 1, 2, 2], 2, outages)
    assert sum(law.values()) == 1
    simulation = untrained([[0, 1], [2, 3], [4, 5]], rng)
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
    y = np.concatenate([np.repeat([0, 1], row) for row in class_counts])
    held = np.split(np.arange(y.size), class_counts.sum(axis=1).cumsum()[:-1])
    simulation, plan = untrained(held, rng, y), planner(sampler, 4, rng)
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


# --- ends, waits and refusals


def test_the_server_waits_for_those_who_will_be_back(rng) -> None:
    """Everybody is gone, some for a billion steps; the one who is gone for good keeps its data."""
    simulation = untrained([[0, 1, 2], [3, 4, 5], [6, 7, 8]], rng)
    outages = [Outage(0, 0, 10**9), Outage(1, 0, 5), Outage(2, 0), Outage(1, 6, 8, within=True)]
    epoch = faulty_epoch(simulation, planner("ugs", 2, rng), outages)
    rows = [[0, 2, 0], [0, 1, 0], [0, 1, 0], [2, 0, 0], [1, 0, 0]]
    assert epoch.attempted.batch_sizes.tolist() == rows
    assert epoch.committed.tolist() == [True, False, True, True, True]
    assert (epoch.record.num_aborted, epoch.record.num_unused) == (1, 3)
    assert epoch.unreachable.tolist() == [0, 0, 3]
    assert epoch.next_step == 10**9 + 2


def test_an_epoch_that_nobody_can_take_has_no_steps(rng) -> None:
    simulation = untrained([[0, 1], [2, 3]], rng)
    epoch = faulty_epoch(simulation, planner("ugs", 2, rng), [Outage(0, 3), Outage(1, 1)], 4)
    assert epoch.unreachable.tolist() == [2, 2]
    assert epoch.next_step == 4
    assert epoch.attempted.num_steps == epoch.committed.size == epoch.record.loss.size == 0
    assert epoch.record.deviation.size == epoch.record.bytes_up == epoch.record.bytes_down == 0


@pytest.mark.parametrize("execution", BOTH)
@pytest.mark.filterwarnings("error")
def test_a_step_that_diverges_is_named_and_gives_its_samples_back(execution, rng) -> None:
    simulation = small(rng, learning_rate=1e200, execution=execution)
    epoch = Epoch(simulation)
    with pytest.raises(Diverged, match=r"step [1-9]\d*: the loss is (nan|inf) with learning_rate"):
        list(epoch.walk(planner("ugs", 4, rng)))
    assert simulation.num_unused == 60 - 4 * len(epoch.rows)


def test_an_outage_of_nobody_and_plans_that_cannot_be_kept_are_refused(rng) -> None:
    simulation = untrained([[0, 1], [2, 3]], rng)
    with pytest.raises(ValueError, match=r"outage's client = 2: must be .* from 0 to 1"):
        faulty_epoch(simulation, planner("ugs", 2, rng), [Outage(2, 0)])
    for rows in ([[1, 1]], [[2, 0], [1, 0]], [[1, 0, 0]], [[0, 0]], np.zeros((0, 2), int)):
        with pytest.raises(ValueError, match=r"schedule.sizes.* = .*must be"):
            faulty_epoch(simulation, lambda _, rows=rows: Schedule(rows), [Outage(1, 0)])


def test_a_schedule_that_cannot_be_walked_is_refused_before_the_first_step(rng) -> None:
    simulation = small(rng)
    before, class_counts = weights_of(simulation), simulation.unused
    sizes = class_counts.sum(axis=1)
    with pytest.raises(ValueError, match=r"^schedule.batch_sizes\[1\].sum\(\) = 0: must be 1"):
        simulation.run_epoch(Schedule([sizes, 0 * sizes]))
    other_classes = targets(class_counts[:, ::-1], 7, rng, assign="random")
    with pytest.raises(ValueError, match=r"^schedule.sizes\[0, 0\] = 13: must be at most 8,"):
        simulation.run_epoch(other_classes)
    assert weights_of(simulation) == before
