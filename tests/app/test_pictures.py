"""Pictures draw what they are given, can be told apart without colour, and are reproducible."""

import io
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from pslref.app.pictures import LOOKS, STYLES, Panel, Picture, annotate, curves, save, shades
from tests.drawn import drawn


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
        np.testing.assert_array_equal(picture.data["Loss"][name], left.lines[name])
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
    """Line styles, or widths, differ between all samplers, and between all other lines."""
    for looks in (list(STYLES.values()), LOOKS):
        told_apart = {(str(look["linestyle"]), look.get("linewidth")) for look in looks}
        assert len(told_apart) == len(looks)


def test_shades_draw_each_cell_as_dark_as_the_root_of_its_number_and_only_zero_white() -> None:
    tables = {"FLS": [[0, 1], [2, 100]], "UGS": [[4, 0, 0], [0, 0, 3]]}
    picture = shades(tables, "step", "client", "samples")
    left, right, bar = drawn(picture.figure)
    assert picture.figure.get_size_inches() == pytest.approx((10, 3.6))
    np.testing.assert_equal(picture.data, {name: np.array(table) for name, table in tables.items()})
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


def test_a_picture_is_the_same_png_every_time_whatever_the_version() -> None:
    first, second = (loss_and_time()._repr_png_() for _ in range(2))
    assert first == second
    assert mpl.__version__.encode() not in first
    assert mpl.image.imread(io.BytesIO(first)).shape[1] > 600
    assert repr(loss_and_time()) == "Picture()"  # what a notebook stores beside the image


def annotated(places: np.ndarray) -> tuple[list[list[int]], list[Bbox], list[Bbox]]:
    """Of which places something is written, and where, and where the places are, in pixels."""
    figure = Figure(layout="constrained")
    axes = figure.subplots()
    axes.plot(*places.T, "o", linestyle="-" if len(places) == 5 else "")
    names = [str(i) for i in range(len(places))]
    annotate(figure, axes, list(zip(names, map(tuple, places), strict=True)))
    figure.draw_without_rendering()
    found = [[int(number) for number in note.get_text().split(",")] for note in axes.texts]
    pixels = axes.transData.transform(places)
    for note, of in zip(axes.texts, found, strict=True):
        np.testing.assert_array_equal(note.xy, places[of[0]])
        assert np.ptp(pixels[of], axis=0).max() < 4
    boxes = [Text.get_window_extent(note) for note in axes.texts]  # without the line to the place
    assert all(axes.bbox.count_contains(box.corners()) == 4 for box in boxes)
    (line,) = axes.lines
    if len(places) == 5:
        path = line.get_transform().transform_path(line.get_path())
        assert not any(path.intersects_bbox(box, filled=False) for box in boxes)
    return found, boxes, [Bbox.from_bounds(x - 8, y - 8, 16, 16) for x, y in pixels]


@pytest.mark.parametrize("count", [2, 5, 30, 60])
def test_a_text_lies_near_its_place_and_neither_it_nor_its_line_over_another(
    count: int, rng: np.random.Generator
) -> None:
    places = rng.random((count, 2))
    found, boxes, marks = annotated(places)
    for i, (of, box) in enumerate(zip(found, boxes, strict=True)):
        assert not any(box.overlaps(other) for other in boxes[:i] + marks)
        assert box.overlaps(marks[of[0]].padded(170))
        mine, centre = marks[of[0]], (box.p0 + box.p1) / 2
        line = mpl.path.Path([(mine.p0 + mine.p1) / 2, centre])
        assert not any(line.intersects_bbox(mark) for mark in marks if not mark.overlaps(mine))
    assert sum(map(len, found)) > 0.9 * count


def test_texts_of_one_place_are_together_and_are_left_out_where_there_is_no_room() -> None:
    assert annotated(np.zeros((9, 2)))[0] == [list(range(9))]
    figure = Figure(layout="constrained")
    axes = figure.subplots()
    annotate(figure, axes, [("too long " * 500, (0.5, 0.5)), ("short", (0.5, 0.1))])
    assert [note.get_text() for note in axes.texts] == ["short"]


@pytest.mark.parametrize(
    ("name", "begins"), [("a.b.png", b"\x89PNG"), ("a.pdf", b"%PDF-"), ("a.svg", b"<?xml")]
)
def test_save_writes_what_the_suffix_says_without_version_or_date(
    name: str, begins: bytes, tmp_path: Path
) -> None:
    save(loss_and_time(), tmp_path / "new" / name)
    assert [path.name for path in tmp_path.rglob("*")] == ["new", name]
    written = (tmp_path / "new" / name).read_bytes()
    assert written.startswith(begins)
    for word in (mpl.__version__.encode(), b"<dc:date>", b"CreationDate", b"Producer"):
        assert word not in written


@pytest.mark.parametrize("name", ["a.gif", "a.PNG", "a", "png"])
def test_another_suffix_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"suffix of the picture = .*must be one of \.png, \.pdf"):
        save(loss_and_time(), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_picture_has_its_size(tmp_path: Path) -> None:
    save(loss_and_time(), tmp_path / "new" / "loss.png")
    assert [path.name for path in tmp_path.rglob("*")] == ["new", "loss.png"]
    assert mpl.image.imread(tmp_path / "new" / "loss.png").shape[:2] == (390, 800)
