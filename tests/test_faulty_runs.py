"""A run that loses clients: the same ones whatever the sampler, and nobody loses nothing."""

from dataclasses import replace

import numpy as np
import pytest

from pslref import data, runs
from pslref.config import SAMPLERS, Config
from pslref.faulty_runs import FaultyRun
from pslref.split import Outage

SMALL = Config(clients=12, epochs=2, seeds=1, hidden=(8,), momentum=0.9, jitter=1.0)
DIGITS = data.load("digits")
N = len(DIGITS.y_train)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_run_that_loses_nobody_is_a_plain_run_to_the_bit(sampler: str) -> None:
    plain = runs.run(SMALL, DIGITS, sampler, 3)
    faulty = runs.finished(FaultyRun(SMALL, DIGITS, sampler, 3, 0.0))
    nothing = {"faults": 0.0, "unreachable": 0.0, "aborted": 0}
    assert faulty.runs == [row | nothing for row in plain.runs]
    for one, other in [(faulty.epochs, plain.epochs), (faulty.steps, plain.steps)]:
        assert one == [row | {"faults": 0.0} for row in other]


@pytest.mark.parametrize("sampler", SAMPLERS[1:])
def test_both_executions_lose_the_same(sampler: str) -> None:
    results = []
    for execution in ("pooled", "clients"):
        run = FaultyRun(replace(SMALL, execution=execution), DIGITS, sampler, 3, 0.5)
        (row,) = runs.finished(run).runs
        assert 0 < row["unreachable"] < N / 2
        used = [record.bytes_up // (8 * 8 + 8) for record in run.records]  # 8 numbers, 1 label
        assert [N - count for count in used] == run.unreachable
        assert row["unreachable"] == np.mean(run.unreachable)
        weights = run.simulation.net.parameters()
        results.append((row, [record.loss for record in run.records], weights))
    (row, losses, weights), (other_row, other_losses, other_weights) = results
    assert row == other_row | {"test_accuracy": row["test_accuracy"]}
    for one, other in zip(losses, other_losses, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9)
    for name, value in weights.items():
        np.testing.assert_allclose(value, other_weights[name], rtol=1e-8, atol=1e-10)


def test_every_sampler_loses_the_same_clients_and_a_larger_share_adds_to_them() -> None:
    def lost(sampler: str, share: float) -> list[tuple[int, float]]:
        run = FaultyRun(SMALL, DIGITS, sampler, 3, share)
        assert all(outage.end is None for outage in run.outages)
        length = 2 * run.steps_per_epoch
        return [(outage.client, outage.start / length) for outage in run.outages]

    ugs, fls = lost("ugs", 0.5), lost("fls", 0.5)
    assert len(dict(ugs)) == 6
    assert min(dict(ugs).values()) < 0.5 < max(dict(ugs).values()) < 1
    assert [client for client, _ in ugs] == [client for client, _ in fls]
    np.testing.assert_allclose([at for _, at in ugs], [at for _, at in fls], atol=1 / 46)
    assert lost("ugs", 0.25) == ugs[:3]
    assert lost("centralized", 0.9) == []


def test_steps_are_counted_over_the_run_and_an_epoch_begins_where_it_would_or_later() -> None:
    run = FaultyRun(replace(SMALL, epochs=3), DIGITS, "ugs", 3, 0.5)
    run.outages = [Outage(0, 30, 80), Outage(1, 0)]  # the second epoch waits for 0
    epochs, epoch = [], run.simulation.run_faulty_epoch

    def recording(plan, outages, first_step):
        epochs.append((first_step, done := epoch(plan, outages, first_step)))
        return done

    run.simulation.run_faulty_epoch = recording
    runs.finished(run)
    (zeroth, one), (first, two), (second, _) = epochs
    assert one.next_step < run.steps_per_epoch == 23
    assert (zeroth, first, second) == (0, 23, two.next_step)
    assert two.next_step > 80
    assert two.unreachable[1] == run.part.sizes[1]


def test_only_clients_with_samples_are_lost_and_one_of_them_stays() -> None:
    config = replace(SMALL, clients=400, epochs=1)
    run = FaultyRun(config, DIGITS, "ugs", 0, 1.0)
    holders = np.flatnonzero(run.part.sizes)
    assert holders.size < 400
    assert len({outage.client for outage in run.outages}) == holders.size - 1
    assert {outage.client for outage in run.outages} < set(holders.tolist())
    assert runs.finished(run).runs[0]["num_steps"] >= 1


def test_fixed_samplers_keep_their_local_batches_and_a_step_loses_those_of_the_lost() -> None:
    run = FaultyRun(SMALL, DIGITS, "fls", 3, 0.5)
    sizes, step = [], run.simulation.step

    def recording(counts, absent, failing) -> float:
        gone = np.isin(np.arange(12), list(absent))
        left = np.array([client.left.size for client in run.simulation.clients])
        assert counts.tolist() == np.where(gone, 0, np.minimum(run.local, left)).tolist()
        sizes.append(counts.sum())
        return step(counts, absent, failing)

    run.simulation.step = recording
    assert runs.finished(run).runs[0]["aborted"] > 0
    assert min(sizes) < 64 // 12 * 6


def test_the_time_of_a_step_that_is_not_committed_counts() -> None:
    config = replace(SMALL, fraction=0.0, jitter=0.0)  # so every step takes 1
    run = FaultyRun(config, DIGITS, "ugs", 3, 0.5)
    (row,) = runs.finished(run).runs
    assert sum(run.times) == run.num_steps + run.num_aborted
    assert row["aborted"] == run.num_aborted > 0
