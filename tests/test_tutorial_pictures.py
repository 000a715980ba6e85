"""The notebooks' pictures draw what they are given, and can be told apart without colour."""

import matplotlib as mpl
import numpy as np
import pytest

from pslref.app.pictures import STYLES
from tests.drawn import drawn
from tutorials import pictures
from tutorials.pictures import Panel, Picture, curves, shades


def loss_and_time() -> Picture:
    lines = {"ugs": [3.0, 2.0, 1.0], "lds": [3.0, 1.0]}
    return curves(
        Panel("Loss", "step", "nats", lines, {"measured": [2.5, 2.0, 1.5]}, ylim=(0, 3.5)),
        Panel("Time", "δ", "seconds", {"wall": ([0.0, 0.5], [10.0, 100.0])}, yscale="log"),
    )


def test_curves_draw_every_line_where_it_is_and_name_the_axes() -> None:
    picture = loss_and_time()
    left, right = drawn(picture.figure)
    assert picture.figure.get_size_inches() == pytest.approx((8, 3.9))
    assert (left.title, left.xlabel, left.ylabel) == ("Loss", "step", "nats")
    assert (right.title, right.xlabel, right.ylabel) == ("Time", "δ", "seconds")
    assert (left.xscale, left.yscale) == (right.xscale, "linear") == ("linear", "linear")
    assert right.yscale == "log"
    assert (left.ylim, left.xticks) == ((0, 3.5), {1: "1", 2: "2", 3: "3"})
    lines = {"measured": [2.5, 2, 1.5], "ugs": [3, 2, 1], "lds": [3, 1]}
    assert left.lines.keys() == lines.keys()
    for name, y in lines.items():
        np.testing.assert_array_equal(left.lines[name], [range(1, len(y) + 1), y])
    np.testing.assert_equal(right.lines, {"wall": np.array([[0, 0.5], [10, 100]])})
    assert left.all_is_seen()
    assert right.all_is_seen()
    exact = 2 ** np.arange(16), np.arange(16)
    panel = Panel("", "B", "E", {"exact": exact}, xscale="log", ylim=(None, 9))
    (panel,) = drawn(curves(panel).figure)
    np.testing.assert_array_equal(panel.lines["exact"], exact)
    assert (panel.xscale, panel.ylim[1]) == ("log", 9)


def test_curves_mark_points_and_few_values_and_a_sampler_looks_as_everywhere() -> None:
    few, many = [1.0] * 15, [1.0] * 16
    lines = {"ugs": few, "loss": many, "other": few}
    (panel,) = drawn(curves(Panel("", "", "", lines, points={"a": many, "b": many})).figure)
    colours = {name: look[0] for name, look in panel.looks.items()}
    assert colours["a"] == colours["b"] == "#808080"
    assert (colours["ugs"], colours["loss"]) == (STYLES["ugs"]["color"], "#000000")
    markers = {name: look[3] for name, look in panel.looks.items()}
    assert markers == {"a": ".", "b": "x", "ugs": "^", "loss": "", "other": "o"}
    styles = {name: look[1] for name, look in panel.looks.items()}
    assert styles == {"a": "None", "b": "None", "ugs": "-", "loss": "-", "other": "--"}


def test_curves_have_a_legend_where_there_is_more_than_one_and_never_over_the_lines() -> None:
    left, right = drawn(loss_and_time().figure)
    assert (left.legend, right.legend) == (["measured", "ugs", "lds"], [])
    loss = loss_and_time()
    loss.figure.draw_without_rendering()
    axes = loss.figure.axes[0]
    assert axes.get_legend().get_window_extent().y1 < axes.get_window_extent().y0


def test_a_longer_legend_leaves_the_panel_its_room() -> None:
    lines = {f"line {i}": [1.0, 2.0] for i in range(7)}
    figure = curves(Panel("", "x", "a label that is as long as the axis", lines)).figure
    drawn(figure)
    assert figure.axes[0].get_window_extent().height > 250


def test_lines_differ_without_colour() -> None:
    told_apart = {(str(look["linestyle"]), look.get("linewidth")) for look in pictures.LOOKS}
    assert len(told_apart) == len(pictures.LOOKS)


def test_shades_draw_each_cell_as_dark_as_the_root_of_its_number_and_only_zero_white() -> None:
    tables = {"FLS": [[0, 1], [2, 100]], "UGS": [[4, 0, 0], [0, 0, 3]]}
    picture = shades(tables, "step", "client", "samples")
    left, right, bar = drawn(picture.figure)
    assert picture.figure.get_size_inches() == pytest.approx((10, 3.6))
    assert [(panel.title, panel.xlabel, panel.ylabel) for panel in (left, right)] == [
        ("FLS", "step", "client"), ("UGS", "step", ""),
    ]  # fmt: skip
    assert (bar.ylabel, bar.ylim) == ("samples (0 is white; grey by its root)", (0, 100))
    greys = mpl.colormaps["Greys"]
    for panel, table in zip((left, right), tables.values(), strict=True):
        rows, columns = np.shape(table)
        # Columns are counted from 1, as steps are, and rows from 0, as clients are, from the top.
        np.testing.assert_allclose(panel.centres[0], np.arange(columns) + 1)
        np.testing.assert_allclose(panel.centres[1], np.arange(rows), atol=1e-12)
        assert (panel.xlim, panel.ylim) == ((0.5, columns + 0.5), (rows - 0.5, -0.5))
        assert list(panel.xticks.values()) == [str(column + 1) for column in range(columns)]
        root = np.sqrt(np.array(table) / 100)
        expected = np.where(root == 0, 0, 1 - greys(0.25 + 0.75 * root)[..., 0])
        np.testing.assert_allclose(panel.greys, expected, atol=0.01)


def test_a_notebook_shows_a_picture_and_stores_its_name_beside_it() -> None:
    picture = loss_and_time()
    assert picture._repr_png_().startswith(b"\x89PNG")
    assert repr(picture) == "Picture()"
