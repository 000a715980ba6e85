from dataclasses import replace

import numpy as np
import pytest

from pslref import data, experiments, runs
from pslref.config import SAMPLERS, Config

SMALL = Config(clients=8, epochs=2, seeds=2, hidden=(8,))


def test_every_sampler_of_a_seed_shares_partition_weights_and_delays() -> None:
    dataset = data.load("digits")
    one, two = runs.random_streams(3), runs.random_streams(3)
    two["schedule"].random(100)  # another sampler draws something else
    part, delays = runs.scenario(SMALL, dataset, one)
    same, same_delays = runs.scenario(SMALL, dataset, two)
    assert all((a == b).all() for a, b in zip(part.indices, same.indices, strict=True))
    assert (delays == same_delays).all()
    weights = [
        runs.network(SMALL, dataset, streams["weights"]).parameters() for streams in (one, two)
    ]
    assert all((weights[0][name] == weights[1][name]).all() for name in weights[0])


def test_a_row_says_what_its_run_did() -> None:
    config = replace(SMALL, sampler=("fls", "ugs", "centralized"), seeds=1)
    rows = {row["sampler"]: row for row in experiments.compare(config).runs}
    part, _ = runs.scenario(config, data.load("digits"), runs.random_streams(0))
    assert rows["ugs"]["num_steps"] == rows["centralized"]["num_steps"] == -(-1442 // 64)
    assert rows["fls"]["num_steps"] == np.max(-(-part.sizes // 8))
    assert rows["fls"]["max_deviation"] > 1.5  # the tail of a severe split
    assert rows["centralized"]["simulated_time"] is None
    dearer = experiments.compare(replace(config, sample_cost=1.0, sampler=("fls",))).runs[0]
    assert 1.5 * rows["fls"]["simulated_time"] < dearer["simulated_time"]
    assert dearer["simulated_time"] <= 9 * rows["fls"]["simulated_time"]  # of 8 samples at most
    assert rows["centralized"]["megabytes"] == 0
    # 8 numbers up and down, and a label, for each of the samples
    assert rows["ugs"]["megabytes"] == pytest.approx(1442 * (8 * 8 + 8 * 8 + 8) / 1e6)


def test_every_epoch_has_a_schedule_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: dict[str, list[np.ndarray]] = {}
    draw = runs.draw_schedule

    def recording(config, sampler, *rest):
        schedule = draw(config, sampler, *rest)
        drawn.setdefault(sampler, []).append(schedule.batch_sizes)
        return schedule

    monkeypatch.setattr(runs, "draw_schedule", recording)
    experiments.compare(replace(SMALL, seeds=1, sampler=("ugs", "lds", "targets")))
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
    experiments.compare(replace(SMALL, seeds=2, epochs=1, sampler=SAMPLERS[:4]))
    for seed in (0, 4):
        for other in weights[seed + 1 : seed + 4]:
            assert all((other[name] == weights[seed][name]).all() for name in other)
    assert (weights[0]["1.weight"] != weights[4]["1.weight"]).any()
