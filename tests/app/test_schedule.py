"""A schedule that is written is the schedule that was drawn."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from pslref.app import clients, schedule
from pslref.app.config import SAMPLERS
from pslref.app.grids import configs
from pslref.app.scenario import dataset_of, draw_schedule, random_streams, scenario
from pslref.oracle.schedules import read_schedules
from tests.drawn import table

GIVEN = {"clients": 7, "batch_size": 100, "epochs": 2, "seeds": 1}


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_it_is_the_schedule_of_every_epoch(tmp_path: Path, sampler: str) -> None:
    (config,) = configs(GIVEN | {"sampler": sampler})
    streams = random_streams(0)
    _, known = scenario(config, dataset_of(config), streams)
    rows = schedule.schedules([config], out=tmp_path)
    assert table(tmp_path / "schedule.csv") == rows
    for epoch in range(2):
        drawn = draw_schedule(config, known, streams["schedule"])
        asked = np.zeros_like(drawn.demands())
        for row in rows:
            if row["epoch"] == epoch:
                client = 0 if sampler == "centralized" else row["client"]
                asked[row["step"], client, row["class"] or 0] += row["samples"]
                assert (row["class"] is None) == (drawn.local_class_counts is None)
        assert (asked == drawn.demands()).all()
        if sampler != "centralized":  # whose one client has a name
            logged = read_schedules(tmp_path / "schedule.csv", len(known.delays))[epoch]
            assert (logged == drawn.batch_sizes).all()


def test_names_of_clients_and_classes_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("client,delay,cat,dog\nana,1,3,0\nbo,2,1,4\n")
    config = configs({"sampler": "stratified", "batch_size": 4, "seeds": 1, "epochs": 1})
    rows = schedule.schedules(config, clients.read(path))
    assert {(row["client"], row["class"]) for row in rows} == {
        ("ana", "cat"), ("bo", "cat"), ("bo", "dog"),
    }  # fmt: skip
    assert sum(row["samples"] for row in rows) == 8


def test_the_remainder_reaches_every_sampler_that_knows_it() -> None:
    samplers = ("ugs", "lds", "targets", "stratified")
    even = configs(
        {"clients": 16, "remainder": "even", "sampler": samplers, "epochs": 1, "seeds": 1}
    )
    sizes: Counter[tuple[str, int]] = Counter()
    for row in schedule.schedules(even):
        sizes[row["sampler"], row["step"]] += row["samples"]
    for sampler in samplers:
        assert [sizes[sampler, step] for step in range(23)] == [63] * 16 + [62] * 7
