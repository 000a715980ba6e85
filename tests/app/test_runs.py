"""A run does what its row says; one that loses clients loses the same whatever the sampler."""

from dataclasses import replace

import numpy as np
import pytest

from pslref import data
from pslref.app import runs, scenario
from pslref.app.config import SAMPLERS, Config
from pslref.app.runs import Run, run
from pslref.app.tables import Results
from pslref.split import Outage
from pslref.split.faults import away

SMALL = Config(clients=8, epochs=2, hidden=(8,))
LOSSY = Config(
    clients=12, epochs=2, hidden=(8,), momentum=0.9, jitter=1.0, seed=3, faults=0.5
)  # fmt: skip
DIGITS = data.load("digits")
N = len(DIGITS.y_train)


def rows_of(*samplers: str, **changed: object) -> dict[str, dict]:
    """What a run of each of these samplers finds."""
    configs = [replace(SMALL, sampler=sampler, **changed) for sampler in samplers]
    return {config.sampler: run(config, DIGITS).runs[0] for config in configs}


def finished(run: Run) -> Results:
    for _ in run.steps():
        pass
    return run.results()


def test_every_sampler_of_a_seed_shares_partition_weights_and_delays() -> None:
    dataset = data.load("digits")
    one, two = scenario.random_streams(3), scenario.random_streams(3)
    two["schedule"].random(100)  # another sampler draws something else
    part, clients = scenario.scenario(SMALL, dataset, one)
    same, same_clients = scenario.scenario(SMALL, dataset, two)
    assert all((a == b).all() for a, b in zip(part.indices, same.indices, strict=True))
    assert (clients.delays == same_clients.delays).all()
    weights = [
        scenario.network(SMALL, (8, 8, 1), 10, streams["weights"]).parameters()
        for streams in (one, two)
    ]
    assert all((weights[0][name] == weights[1][name]).all() for name in weights[0])


def test_a_row_says_what_its_run_did() -> None:
    rows = rows_of("fls", "ugs", "centralized")
    part, _ = scenario.scenario(SMALL, DIGITS, scenario.random_streams(0))
    assert rows["ugs"]["num_steps"] == rows["centralized"]["num_steps"] == -(-1442 // 64)
    assert rows["fls"]["num_steps"] == np.max(-(-part.sizes // 8))
    assert rows["fls"]["max_deviation"] > 1.5  # the tail of a severe split
    assert rows["centralized"]["simulated_time"] is None
    dearer = rows_of("fls", sample_cost=1.0)["fls"]
    assert 1.5 * rows["fls"]["simulated_time"] < dearer["simulated_time"]
    assert dearer["simulated_time"] <= 9 * rows["fls"]["simulated_time"]  # of 8 samples at most
    assert rows["centralized"]["megabytes"] == 0
    # 8 numbers up and down, and a label, for each of the samples; 520 weights to each participant,
    # and their gradients back
    of_halves = rows["ugs"]["participants"] * 23 * (64 * 8 + 8) * 8
    total = 1442 * (8 * 8 + 8 * 8 + 8) + 2 * of_halves
    assert rows["ugs"]["megabytes"] == pytest.approx(total / 1e6)
    assert rows["ugs"]["megabytes_up"] == pytest.approx((1442 * 72 + of_halves) / 1e6)


def test_every_epoch_has_a_schedule_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: dict[str, list[np.ndarray]] = {}
    draw = runs.draw_schedule

    def recording(config, *rest):
        schedule = draw(config, *rest)
        drawn.setdefault(config.sampler, []).append(schedule.batch_sizes)
        return schedule

    monkeypatch.setattr(runs, "draw_schedule", recording)
    rows_of("ugs", "lds", "targets")
    for first, second in drawn.values():
        assert (first != second).any()


def test_every_sampler_starts_from_the_same_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = []
    build = runs.network

    def recording(*arguments):
        net = build(*arguments)
        weights.append(net.copy().parameters())
        return net

    monkeypatch.setattr(runs, "network", recording)
    for seed in (0, 1):
        rows_of(*SAMPLERS[:4], seed=seed, epochs=1)
    for seed in (0, 4):
        for other in weights[seed + 1 : seed + 4]:
            assert all((other[name] == weights[seed][name]).all() for name in other)
    assert (weights[0]["1.weight"] != weights[4]["1.weight"]).any()


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_run_that_loses_too_small_a_share_is_a_plain_run_to_the_bit(sampler: str) -> None:
    config = replace(LOSSY, sampler=sampler, faults=0.0)
    plain = run(config, DIGITS)
    assert (plain.runs[0]["unreachable"], plain.runs[0]["aborted"]) == (0, 0)
    assert run(replace(config, faults=1e-9), DIGITS) == plain


@pytest.mark.parametrize("sampler", SAMPLERS[1:])
def test_both_executions_lose_the_same(sampler: str) -> None:
    results = []
    for execution in ("pooled", "clients"):
        run = Run(replace(LOSSY, execution=execution, sampler=sampler), DIGITS)
        (row,) = finished(run).runs
        assert 0 < row["unreachable"] < N / 2
        used = [steps["labels"].sum() // 8 for steps in run.history]
        unused = run.epochs["num_unused"]
        assert [N - count for count in used] == unused.tolist()
        assert row["unreachable"] == np.mean(unused)
        weights = run.simulation.net.parameters()
        results.append((row, [steps["loss"] for steps in run.history], weights))
    (row, losses, weights), (other_row, other_losses, other_weights) = results
    assert row == other_row | {"test_accuracy": row["test_accuracy"]}
    for one, other in zip(losses, other_losses, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9)
    for name, value in weights.items():
        np.testing.assert_allclose(value, other_weights[name], rtol=1e-8, atol=1e-10)


def test_every_sampler_loses_the_same_clients_and_a_larger_share_adds_to_them() -> None:
    def lost(sampler: str, share: float) -> list[tuple[int, float]]:
        run = Run(replace(LOSSY, sampler=sampler, faults=share), DIGITS)
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
    run = Run(replace(LOSSY, epochs=3), DIGITS)
    run.outages = [Outage(0, 30, 80), Outage(1, 0)]  # the second epoch waits for 0
    begun, over = [], []
    for _ in run.steps():
        if run.epoch.rows:
            last = run.epoch
        else:
            over.append(last.next_step)
            begun.append(run.epoch.next_step)
    assert over[0] < run.steps_per_epoch == 23
    assert begun[:2] == [23, over[1]]
    assert over[1] > 80
    assert run.epochs["num_unused"][1] == run.part.sizes[1]


def test_only_clients_with_samples_are_lost_and_one_of_them_stays() -> None:
    run = Run(replace(LOSSY, clients=400, epochs=1, seed=0, faults=1.0), DIGITS)
    holders = np.flatnonzero(run.part.sizes)
    assert holders.size < 400
    assert len({outage.client for outage in run.outages}) == holders.size - 1
    assert {outage.client for outage in run.outages} < set(holders.tolist())
    assert finished(run).runs[0]["num_steps"] >= 1


def test_fixed_samplers_keep_their_local_batches_and_a_step_loses_those_of_the_lost() -> None:
    run = Run(replace(LOSSY, sampler="fls"), DIGITS)
    sizes, take = [], run.simulation.take

    def recording(counts, lost) -> float:
        gone = np.isin(np.arange(12), list(away(run.outages, run.epoch.next_step)[0]))
        left = np.array([client.left.size for client in run.simulation.clients])
        assert counts[:, 0].tolist() == np.where(gone, 0, np.minimum(run.local, left)).tolist()
        sizes.append(counts.sum())
        return take(counts, lost)

    run.simulation.take = recording
    assert finished(run).runs[0]["aborted"] > 0
    assert min(sizes) < 64 // 12 * 6


def test_the_time_of_a_step_that_is_not_committed_counts() -> None:
    run = Run(replace(LOSSY, fraction=0.0, jitter=0.0), DIGITS)  # so every step takes 1
    (row,) = finished(run).runs
    assert run.epochs["time"].sum() == run.num_steps
    assert row["aborted"] == run.epochs["num_aborted"].sum() > 0
