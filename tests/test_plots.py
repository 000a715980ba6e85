"""Pictures hold the numbers they draw, can be told apart without colour, and are reproducible."""

import io
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes

from pslref import plots
from pslref.plots import LOOKS, STYLES, Panel, Picture
from pslref.sweep.grid import COLUMNS
from pslref.sweep.picture import picture as sweep_picture


def loss_and_time() -> Picture:
    lines = {"ugs": [3.0, 2.0, 1.0], "lds": [3.0, 1.0]}
    return plots.curves(
        Panel("Loss", "step", "nats", lines, points={"measured": [2.5, 2.0, 1.5]}),
        Panel("Time", "δ", "seconds", {"wall": ([0.0, 0.5], [10.0, 100.0])}, yscale="log"),
    )


def labels(axes: Axes) -> list[str]:
    legend = axes.get_legend()
    return [] if legend is None else [text.get_text() for text in legend.get_texts()]


def test_curves_hold_what_they_draw_and_name_the_axes() -> None:
    picture = loss_and_time()
    left, right = picture.figure.axes
    assert (left.get_title(), left.get_xlabel(), left.get_ylabel()) == ("Loss", "step", "nats")
    assert right.get_yscale() == "log"
    x, y = picture.data["Loss"]["lds"]
    np.testing.assert_array_equal([x, y], [[1, 2], [3, 1]])
    np.testing.assert_array_equal(picture.data["Time"]["wall"], [[0, 0.5], [10, 100]])
    drawn = {line.get_label(): line.get_ydata() for line in left.lines}
    assert drawn.keys() == picture.data["Loss"].keys() == {"ugs", "lds", "measured"}
    for label, values in drawn.items():
        np.testing.assert_array_equal(values, picture.data["Loss"][label][1])


def test_curves_have_a_legend_where_there_is_more_than_one_and_never_over_the_lines() -> None:
    left, right = loss_and_time().figure.axes
    assert labels(left) == ["measured", "ugs", "lds"]
    assert labels(right) == []
    loss = loss_and_time()
    loss.figure.draw_without_rendering()
    axes = loss.figure.axes[0]
    assert axes.get_legend().get_window_extent().y1 < axes.get_window_extent().y0


def test_lines_differ_without_colour() -> None:
    """Line styles, or widths, differ between all samplers, and between all other lines."""
    for looks in (list(STYLES.values()), LOOKS):
        told_apart = {(str(look["linestyle"]), look.get("linewidth")) for look in looks}
        assert len(told_apart) == len(looks)


def test_shades_hold_the_tables_and_leave_only_zero_white() -> None:
    tables = {"FLS": [[0, 1], [2, 100]], "UGS": [[4, 0, 0], [0, 0, 3]]}
    picture = plots.shades(tables, "step", "client", "samples")
    left, right, bar = picture.figure.axes
    assert [left.get_title(), right.get_title()] == ["FLS", "UGS"]
    assert (left.get_xlabel(), left.get_ylabel(), bar.get_ylabel()) == (
        "step", "client", "samples (0 is white)"
    )  # fmt: skip
    assert left.get_xlim() == (0.5, 2.5)  # columns are counted from 1, as steps are
    assert left.get_ylim() == (1.5, -0.5)  # and rows from 0, as clients are, the first on top
    np.testing.assert_array_equal(picture.data["UGS"], tables["UGS"])
    for axes, table in zip((left, right), tables.values(), strict=True):
        (image,) = axes.images
        rgba = image.to_rgba(image.get_array())
        np.testing.assert_array_equal((rgba == 1).all(axis=2), np.equal(table, 0))
        assert image.get_clim() == (0, 100)  # one scale for all


def test_a_picture_is_the_same_png_every_time_whatever_the_version() -> None:
    first, second = (loss_and_time()._repr_png_() for _ in range(2))
    assert first == second
    assert mpl.__version__.encode() not in first
    assert mpl.image.imread(io.BytesIO(first)).shape[1] > 600
    assert repr(loss_and_time()) == "Picture()"  # what a notebook stores beside the image


EPOCHS = [
    {"sampler": s, "seed": seed, "epoch": e, "test_accuracy": 0.5 + 0.1 * e + 0.01 * seed}
    for s in ("ugs", "fls")
    for seed in (3, 4)
    for e in (0, 1)
]
STEPS = [
    {"sampler": s, "seed": seed, "step": t, "deviation": 0.1 * t + seed}
    for s in ("ugs", "fls")
    for seed in (3, 4)
    for t in (0, 1, 2)
]


def test_compare_holds_the_accuracies_of_all_seeds_and_the_deviation_of_the_first() -> None:
    picture = plots.compare(EPOCHS, STEPS)
    accuracies, deviation = picture.data["fls"]
    np.testing.assert_allclose(accuracies, [[53, 63], [54, 64]])
    np.testing.assert_allclose(deviation, [3, 3.1, 3.2])


DEVIATION = (
    [
        {"sampler": "ugs", "step": t, "batch_size": 4, "expected": 0.2 + t, "low": 0.1, "high": 0.5}
        for t in (0, 1)
    ],
    [{"sampler": "ugs", "num_steps": 2, "serfling": 1.5, "l1_bound": None}],
)
SWEPT = dict.fromkeys(COLUMNS) | {"sampler": "ugs", "clients": 8, "test_accuracy": 0.5, "std": 0.1}


def test_deviation_holds_the_expected_ones() -> None:
    picture = plots.deviation(*DEVIATION)
    np.testing.assert_allclose(picture.data["ugs"], [0.2, 1.2])


def stragglers() -> list[dict]:
    rows = [
        {"sampler": "lds", "concentration": 1.0, "slack": None, "assign": None, "delta": delta,
         "epoch_time": 100 - 10 * delta + seed, "mean_deviation": delta / 10}
        for seed in (0, 2)
        for delta in (1, 2)
    ]  # fmt: skip
    other = {"concentration": None, "delta": None, "epoch_time": 40, "mean_deviation": 1.5}
    rows += [
        {"sampler": "bound", "slack": None, "assign": None, **other},
        {"sampler": "targets", "slack": 0.0, "assign": "slowest-first", **other},
        {"sampler": "targets", "slack": 0.0, "assign": "balanced", **other},
    ]
    return rows


def test_stragglers_holds_the_mean_over_the_seeds_of_each_point() -> None:
    picture = plots.stragglers(stragglers())
    np.testing.assert_allclose(picture.data["lds, c = 1"], [[91, 0.1], [81, 0.2]])
    for name in ("bound", "targets", "targets, balanced"):
        np.testing.assert_allclose(picture.data[name], [[40, 1.5]])


HOSTILE = {
    "text.usetex": True,
    "font.family": "a font that nobody has",
    "font.size": 30,
    "axes.grid": True,
    "lines.linewidth": 9,
    "figure.dpi": 33,
    "savefig.bbox": "tight",
    "savefig.transparent": True,
    "svg.fonttype": "none",
    "svg.hashsalt": "other",
    "pdf.fonttype": 42,
}


@pytest.mark.parametrize("form", ["png", "pdf", "svg"])
def test_a_users_own_settings_change_no_byte(form: str, tmp_path: Path) -> None:
    def all_bytes() -> list[bytes]:
        pictures = [
            loss_and_time(),
            plots.shades({"FLS": [[0, 1], [2, 100]]}, "step", "client", "samples"),
            plots.compare(EPOCHS, STEPS),
            plots.deviation(*DEVIATION),
            plots.stragglers(stragglers()),
            sweep_picture([SWEPT], []),
        ]
        written = []
        for i, picture in enumerate(pictures):
            plots.save(picture, tmp_path / f"{i}.{form}")
            written.append((tmp_path / f"{i}.{form}").read_bytes())
        return written + [picture._repr_png_() for picture in pictures[:1]]

    expected = all_bytes()
    with mpl.rc_context(HOSTILE):
        assert all_bytes() == expected
        assert mpl.rcParams["font.size"] == 30  # and the user keeps them


@pytest.mark.parametrize(
    ("name", "begins"), [("a.b.png", b"\x89PNG"), ("a.pdf", b"%PDF-"), ("a.svg", b"<?xml")]
)
def test_save_writes_what_the_suffix_says_without_version_or_date(
    name: str, begins: bytes, tmp_path: Path
) -> None:
    plots.save(loss_and_time(), tmp_path / "new" / name)
    assert [path.name for path in tmp_path.rglob("*")] == ["new", name]
    written = (tmp_path / "new" / name).read_bytes()
    assert written.startswith(begins)
    for word in (mpl.__version__.encode(), b"<dc:date>", b"CreationDate", b"Producer"):
        assert word not in written


@pytest.mark.parametrize("name", ["a.gif", "a.PNG", "a", "png"])
def test_another_suffix_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"suffix of the picture = .*must be one of \.png, \.pdf"):
        plots.save(loss_and_time(), tmp_path / name)
    assert not list(tmp_path.iterdir())
