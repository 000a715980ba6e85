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
        again = schedule.read(tmp_path / "schedule.csv", known)[sampler, epoch]
        assert (again.batch_sizes == drawn.batch_sizes).all()
        assert np.array_equal(again.demands(), drawn.demands())
        if sampler != "centralized":  # whose one client has a name
            logged = read_schedules(tmp_path / "schedule.csv", len(known.delays))[epoch]
            assert (logged == drawn.batch_sizes).all()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "must have the columns sampler, epoch, step, client, class, samples"),
        ("a,b\n1,2\n", "must have the columns"),
        ("{}\nugs,0,0,9,,1\n", "client in line 2 of"),
        ("{}\nugs,0,0,0,x,1\n", "class in line 2 of"),
        ("{}\nugs,0,-1,0,,1\n", "step in line 2 of"),
        ("{}\nugs,0,0,0,,1.5\n", "samples in line 2 of"),
        ("{}\nugs,x,0,0,,1\n", "epoch in line 2 of"),
        ("{}\nugs,0,0\n", "client in line 2 of"),
        ("{}\nugs,0,99999999,0,,1\n{0}", None),
    ],
)
def test_what_is_no_schedule_is_one_sentence(
    tmp_path: Path, text: str, sentence: str | None
) -> None:
    (tmp_path / "s.csv").write_text(
        text.replace("{0}", "").replace("{}", ",".join(schedule.COLUMNS))
    )
    (config,) = configs(GIVEN | {"sampler": "ugs", "clients": 7})
    _, known = scenario(config, dataset_of(config), random_streams(0))
    with pytest.raises(ValueError, match=sentence or "steps \\* clients") as caught:
        schedule.read(tmp_path / "s.csv", known)
    assert "\n" not in str(caught.value)


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
