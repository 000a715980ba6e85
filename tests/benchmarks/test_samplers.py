"""The benchmark of the samplers draws what it measured."""

import numpy as np

from benchmarks.samplers import BASE, SAMPLERS, VARIED, draw
from pslref.app.pictures import MARKERS
from tests.drawn import drawn


def test_seconds_and_megabytes_are_drawn_against_what_is_varied(rng: np.random.Generator) -> None:
    measured = [
        (varied, BASE | {varied: value, "sampler": sampler}
         | {"seconds": rng.random(), "megabytes": 40 + rng.random()})
        for varied, values in VARIED.items()
        for value in values
        for sampler in SAMPLERS
    ]  # fmt: skip
    panels = drawn(draw(measured))
    units = ["seconds"] * 3 + ["megabytes"] * 3
    for panel, varied, unit in zip(panels, 2 * list(VARIED), units, strict=True):
        assert {name: look[3] for name, look in panel.looks.items()} == {
            sampler: MARKERS[sampler] for sampler in SAMPLERS
        }
        for sampler, (x, y) in panel.lines.items():
            assert x.tolist() == VARIED[varied]
            assert y.tolist() == [
                row[unit] for of, row in measured if of == varied and row["sampler"] == sampler
            ]
