"""What is counted is what crosses: predicted from a schedule, measured in messages, by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pslref import nn, sampling, split
from pslref.app.config import SAMPLERS, Config
from pslref.app.runs import Run
from pslref.data import load
from pslref.sampling import Schedule
from pslref.split import Outage, Traffic, traffic
from tests.small import SHAPE, every_layer, setting, small

DIGITS = load("digits")


@pytest.mark.parametrize("execution", ["clients", "pooled"])
@pytest.mark.parametrize("cut", range(1, 11))
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_cut_sends_what_is_predicted(rng, execution: str, cut: int, dtype: str) -> None:
    x, y, part = setting(rng, SHAPE)
    net = every_layer(rng, dtype)
    simulation = split.Simulation(
        net, cut, x, y, part, 0.01, rng=rng, execution=execution, momentum=0.5
    )
    schedule = sampling.ugs(part.sizes, 7, rng)
    record = simulation.run_epoch(schedule)
    predicted = traffic(schedule, net, cut, SHAPE)
    for name, measured, expected in zip(Traffic._fields, record.traffic, predicted, strict=True):
        assert measured.tolist() == expected.tolist(), name
    assert (record.bytes_up, record.bytes_down) == (predicted.up, predicted.down)
    assert record.num_participants.tolist() == (schedule.batch_sizes > 0).sum(axis=1).tolist()


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("faults", [0.0, 0.4])
def test_every_sampler_sends_what_its_steps_say_also_when_clients_are_lost(
    sampler: str, faults: float
) -> None:
    """64 float64 and a label a sample; the half to and its gradient from each participant."""
    given = {"clients": 9, "epochs": 1, "batch_size": 200, "faults": faults}
    run = Run(Config(sampler=sampler, **given), DIGITS)
    for _ in run.steps():
        pass
    (sent,), (epoch,) = run.history, run.epochs
    half, _ = run.simulation.net.cut(3)
    of_halves = sent["num_participants"] * sum(w.nbytes for w in half.parameters().values())
    assert (sent["client_gradients"] == of_halves).all()
    assert (sent["client_halves"] == of_halves).all()
    assert (sent["activations"] == sent["cut_gradients"]).all()
    assert (sent["labels"] * 64 == sent["activations"]).all()
    assert sent["labels"].sum() == 8 * (len(DIGITS.y_train) - epoch["num_unused"])


def test_the_example_of_method_md_by_hand() -> None:
    """Five clients, two steps, an MLP 4-3-2 of float64 that is cut after its ReLU."""
    net = nn.mlp([4, 3, 2], np.random.default_rng(0))
    schedule = Schedule([[2, 1, 0, 0, 1], [0, 0, 3, 1, 0]])
    sent = traffic(schedule, net, 3, (4,))
    assert sent.activations.tolist() == sent.cut_gradients.tolist() == [96, 96]  # 4 · 3 · 8
    assert sent.labels.tolist() == [32, 32]  # 4 · 8
    assert sent.client_gradients.tolist() == [360, 240]  # 3 and 2 clients, (4 · 3 + 3) · 8 each
    assert (sent.up, sent.down, sent.total) == (856, 792, 1648)


def test_a_client_half_without_weights_sends_none() -> None:
    net = nn.mlp([4, 3, 2], np.random.default_rng(0), np.float32)
    sent = traffic(Schedule([[1, 1]]), net, 1, (4,))
    assert sent == Traffic(*(np.array([n]) for n in (32, 16, 32, 0, 0)))


@given(st.integers(0, 2**32 - 1))
def test_a_step_that_is_not_committed_is_in_no_record(seed: int) -> None:
    rng = np.random.default_rng(seed)
    simulation = small(rng)
    gone = int(np.argmax(simulation.unused.sum(axis=1)))
    epoch = split.Epoch(simulation, [Outage(gone, 1, within=True)])
    for _ in epoch.walk(lambda left: sampling.ugs(left.sum(axis=1), min(9, int(left.sum())), rng)):
        pass
    record = epoch.record()
    assert len(record.traffic.labels) == len(record.loss)
    assert record.traffic.labels.sum() == 8 * (simulation.y.size - record.num_unused)


@given(
    st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=3), min_size=1, max_size=7),
    st.integers(1, 12),
    st.sampled_from(["hypergeometric", "stratified"]),
    st.integers(0, 2**32 - 1),
)
def test_participations_keep_to_their_bounds(counts: list, size: int, draw: str, seed: int) -> None:
    """At least one a step and one a client; slowest first, a line of holders for each class."""
    rng, held = np.random.default_rng(seed), np.array(counts)
    if not held.any():
        held[0, 0] = 1
    size = min(size, int(held.sum()))
    delays = rng.random(len(held))
    schedules = [
        sampling.ugs(held.sum(axis=1), size, rng),
        sampling.slowest_first(held.sum(axis=1), delays, size),
        sampling.targets(held, size, rng, delays=delays, draw=draw),
    ]
    holders, needed = np.count_nonzero(held.sum(axis=1)), []
    for schedule in schedules:
        needed.append(np.count_nonzero(schedule.batch_sizes))
        assert needed[-1] >= max(schedule.num_steps, holders)
    _, line, by_class = schedules
    assert needed[1] <= line.num_steps + holders - 1
    steps_of = np.count_nonzero(by_class.local_class_counts.sum(axis=1), axis=0)
    holders_of = np.count_nonzero(held, axis=0)
    assert needed[2] <= np.sum(np.maximum(steps_of + holders_of - 1, 0))
