"""Pictures draw what they are given, can be told apart without colour, and are reproducible."""

import io
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from pslref.app.pictures import STYLES, annotate, save, write


def loss() -> Figure:
    figure = Figure(figsize=(8, 3.9))
    figure.subplots().plot([3, 2, 1], label="loss")
    return figure


def test_lines_differ_without_colour() -> None:
    """Line styles, or widths, differ between all samplers."""
    told_apart = {(str(look["linestyle"]), look.get("linewidth")) for look in STYLES.values()}
    assert len(told_apart) == len(STYLES)


def test_a_picture_is_the_same_png_every_time_whatever_the_version() -> None:
    first, second = io.BytesIO(), io.BytesIO()
    for file in (first, second):
        write(loss(), file, "png", dpi=90)
    assert first.getvalue() == second.getvalue()
    assert mpl.__version__.encode() not in first.getvalue()
    first.seek(0)
    assert mpl.image.imread(first).shape[1] == 720


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
    save(loss(), tmp_path / "new" / name)
    assert [path.name for path in tmp_path.rglob("*")] == ["new", name]
    written = (tmp_path / "new" / name).read_bytes()
    assert written.startswith(begins)
    for word in (mpl.__version__.encode(), b"<dc:date>", b"CreationDate", b"Producer"):
        assert word not in written


@pytest.mark.parametrize("name", ["a.gif", "a.PNG", "a", "png"])
def test_another_suffix_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"suffix of the picture = .*must be one of \.png, \.pdf"):
        save(loss(), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_picture_has_its_size(tmp_path: Path) -> None:
    save(loss(), tmp_path / "new" / "loss.png")
    assert [path.name for path in tmp_path.rglob("*")] == ["new", "loss.png"]
    assert mpl.image.imread(tmp_path / "new" / "loss.png").shape[:2] == (390, 800)
