"""The page that shows the method whole is the library, to the bit."""

import runpy
from pathlib import Path

import numpy as np

from pslref import data, nn, sampling, split
from pslref.partition import Partition

PAGE = Path(__file__).parent.parent / "tutorials" / "one_file.py"


def test_it_trains_as_the_library_does_to_the_bit() -> None:
    page = runpy.run_path(str(PAGE))
    ds = data.load("digits")
    x, y, x_test, y_test = page["load"]()
    assert (x == ds.x_train).all()
    rng = np.random.default_rng(3)
    held = page["partition"](y, rng)
    halves = page["linear"](64, page["HIDDEN"], rng), page["linear"](page["HIDDEN"], 10, rng)
    streams = rng.spawn(page["CLIENTS"])
    for own, stream in zip(held, streams, strict=True):
        stream.permutation(len(own))  # the library's clients also shuffle when they are made
    losses = page["train"](x, y, held, *halves, rng, streams)

    rng = np.random.default_rng(3)
    part = Partition(page["partition"](y, rng), y)
    net = nn.mlp([64, page["HIDDEN"], 10], rng=rng)
    rate = page["LEARNING_RATE"]
    simulation = split.Simulation(net, 3, ds.x_train, ds.y_train, part, rate, rng=rng)
    records = [
        simulation.run_epoch(sampling.ugs(part.sizes, page["BATCH_SIZE"], rng))
        for _ in range(page["EPOCHS"])
    ]
    assert losses == [float(record.loss.mean()) for record in records]
    for name, w in simulation.net.parameters().items():
        index, kind = name.split(".")
        own = halves[index == "3"][{"weight": "W", "bias": "b"}[kind]]
        assert own.tobytes() == w.tobytes(), name
    assert page["accuracy"](x_test, y_test, *halves) == simulation.evaluate(x_test, y_test)


def test_it_can_be_read_in_one_sitting_and_learns() -> None:
    assert len(PAGE.read_text(encoding="utf-8").splitlines()) <= 150
    losses, accuracy, _, _ = runpy.run_path(str(PAGE))["main"]()
    assert losses == sorted(losses, reverse=True)
    assert accuracy > 0.9
