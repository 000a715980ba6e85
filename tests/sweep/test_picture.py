import numpy as np
import pytest
from matplotlib.colors import to_hex

from pslref.plots import STYLES
from pslref.sweep.grid import COLUMNS
from pslref.sweep.picture import picture
from tests.drawn import drawn


def row(sampler: str, accuracy: float | None, std: float | None = 0.1, **fields: object) -> dict:
    return (
        dict.fromkeys(COLUMNS)
        | {"sampler": sampler, "test_accuracy": accuracy, "std": std}
        | fields
    )


ROWS = [
    row("centralized", 0.9),
    *(
        row(sampler, 0.1 * i, None if sampler == "fls" else 0.01, partition=partition, clients=k)
        for sampler in ("fls", "ugs")
        for partition in ("iid", "severe")
        for i, k in enumerate([128, 16])
    ),
    row("lds", None, None, partition="iid", clients=16),
]


def test_accuracy_against_clients_in_a_panel_for_each_partition() -> None:
    shown = picture(ROWS, ["partition", "clients"])
    panels = drawn(shown.figure)
    assert [panel.title for panel in panels] == ["partition = iid", "partition = severe"]
    assert [panel.ylabel for panel in panels] == ["test accuracy in %, mean ± std", ""]
    (legend,) = shown.figure.legends
    samplers = [text.get_text() for text in legend.get_texts()]
    assert samplers == ["centralized", "fls", "ugs"]
    assert legend.get_window_extent().x0 > shown.figure.axes[-1].get_window_extent().x1
    assert shown.figure.get_size_inches() == pytest.approx((8.6, 3.4))
    for panel in panels:
        assert panel.xlabel == "clients K"
        assert panel.xticks == {0: "128", 1: "16"}
        assert panel.bars.keys() == set(samplers)
        for sampler, bars in panel.bars.items():
            points = [
                ([128, 16].index(row["clients"]), row["test_accuracy"], row["std"] or 0)
                for row in ROWS
                if row["sampler"] == sampler and row["clients"]
                if row["partition"] == panel.title.removeprefix("partition = ")
            ]
            if sampler == "centralized":  # which heeds neither, and is drawn at both
                points = [(0, 0.9, 0.1), (1, 0.9, 0.1)]
            x, accuracy, std = np.transpose(points)
            expected = 100 * np.array([accuracy, accuracy - std, accuracy + std])
            np.testing.assert_allclose(bars[1:], expected, atol=1e-12)
            np.testing.assert_allclose(bars[0], x, atol=0.15)
            assert panel.looks[sampler][0] == to_hex(STYLES[sampler]["color"])
        assert panel.all_is_seen()


def test_samplers_are_told_apart_without_colour_and_beside_each_other() -> None:
    (panel, _) = drawn(picture(ROWS, ["partition", "clients"]).figure)
    assert len({look[1:] for look in panel.looks.values()}) == 3
    assert len({look[3] for look in panel.looks.values()}) == 3
    assert np.diff(sorted(bars[0, 0] for bars in panel.bars.values())).min() > 0.05


def test_without_clients_the_first_field_that_varies_is_on_the_axis() -> None:
    rows = [
        row("ugs", (4 * b + 2 * m + d) / 100, batch_size=(32, 64)[b], model=("mlp", "cnn")[m],
            dtype=("float32", "float64")[d])
        for b in (0, 1)
        for m in (0, 1)
        for d in (0, 1)
    ]  # fmt: skip
    shown = picture(rows, ["batch_size", "model", "dtype"])
    panels = drawn(shown.figure)
    assert [panel.xlabel for panel in panels] == ["batch_size"] * 4
    assert [panel.ylabel != "" for panel in panels] == [True, False, False, True]
    assert len({panel.ylim for panel in panels}) == 1  # so that panels can be compared
    assert panels[1].title == "model = mlp\ndtype = float64"
    for i, panel in enumerate(panels):
        np.testing.assert_allclose(panel.bars["ugs"][:2], [[0, 1], [i, 4 + i]])
        assert panel.xticks == {0: "32", 1: "64"}


def test_a_single_combination_is_one_point() -> None:
    shown = picture([row("ugs", 0.5, clients=8)], [])
    assert shown.data == {"": {"ugs": [(8, 50, 10)]}}
    shown.figure.draw_without_rendering()


def test_only_centralized_or_only_failures_are_drawn_too() -> None:
    assert picture([row("centralized", 0.5)], []).data == {"": {"centralized": [(None, 50, 10)]}}
    failed = picture([row("ugs", None, clients=8)], [])
    failed.figure.draw_without_rendering()
    assert failed.data == {"": {"ugs": []}}
