"""The README's first figure says what its table says, and so do the README's words."""

import re
import statistics
from itertools import combinations
from pathlib import Path

import pytest

from pslref.app.config import SAMPLERS
from tests.drawn import table
from tools.claim import NAMES, PANELS, claim

ROOT = Path(__file__).parents[1]
ROWS = table(ROOT / "results" / "to-target" / "results.csv")
README = (ROOT / "README.md").read_text("utf-8")


def mean(sampler: str, column: str) -> float:
    return statistics.mean(row[column] for row in ROWS if row["sampler"] == sampler)


def test_every_way_has_a_row_with_its_mean_and_no_text_is_over_another() -> None:
    figure = claim(ROWS)
    figure.draw_without_rendering()
    assert list(NAMES) == list(SAMPLERS)
    for axes, (column, (_, unit, digits)) in zip(figure.axes, PANELS.items(), strict=True):
        shown = [name for name in NAMES if name != "centralized" or column == "test_accuracy"]
        means = [mean(name, column) / unit for name in shown]
        assert [bar.get_width() for bar in axes.patches] == pytest.approx(means)
        assert [text.get_text() for text in axes.texts] == [f"{m:.{digits}f}" for m in means]
        boxes = [text.get_window_extent() for text in axes.texts]
        assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
        for text, line in zip(axes.texts, axes.lines, strict=True):
            assert text.get_window_extent().x1 < axes.bbox.x1
            assert not line.get_window_extent().overlaps(text.get_window_extent())


def test_the_words_below_it_are_its_numbers() -> None:
    (said,) = re.findall(r"!\[[^]]*\]\(docs/claim.png\)\n\n\*(.*?)\*\n", README, re.DOTALL)
    saved, of_bytes, clients, of_clients = re.search(
        r"(\d+) % less time than UGS and (\d+) % of its bytes: "
        r"a step asks (\d+) clients, not (\d+)",
        " ".join(said.split()),
    ).groups()
    targets, ugs = (
        {name: mean(sampler, name) for name in ("simulated_time", "megabytes", "participants")}
        for sampler in ("targets", "ugs")
    )
    assert int(saved) == round(100 * (1 - targets["simulated_time"] / ugs["simulated_time"]))
    assert int(of_bytes) == round(100 * targets["megabytes"] / ugs["megabytes"])
    assert (int(clients), int(of_clients)) == (
        round(targets["participants"]),
        round(ugs["participants"]),
    )
