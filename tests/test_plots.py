"""Pictures draw what they are given, can be told apart without colour, and are reproducible."""

import io
import statistics
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_hex

from pslref import plots
from pslref.plots import LOOKS, STYLES, Panel, Picture
from pslref.sweep.grid import COLUMNS
from pslref.sweep.picture import picture as sweep_picture
from tests.drawn import drawn


def loss_and_time() -> Picture:
    lines = {"ugs": [3.0, 2.0, 1.0], "lds": [3.0, 1.0]}
    return plots.curves(
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
    (panel,) = drawn(plots.curves(panel).figure)
    np.testing.assert_array_equal(panel.lines["exact"], exact)
    assert (panel.xscale, panel.ylim[1]) == ("log", 9)


def test_curves_mark_points_and_few_values_and_a_sampler_looks_as_everywhere() -> None:
    few, many = [1.0] * 15, [1.0] * 16
    lines = {"ugs": few, "loss": many, "other": few}
    (panel,) = drawn(plots.curves(Panel("", "", "", lines, points={"a": many, "b": many})).figure)
    colours = {name: look[0] for name, look in panel.looks.items()}
    assert colours["a"] == colours["b"] == "#808080"
    assert (colours["ugs"], colours["loss"]) == (STYLES["ugs"]["color"], "#000000")
    markers = {name: look[3] for name, look in panel.looks.items()}
    assert markers == {"a": ".", "b": "x", "ugs": "o", "loss": "", "other": "o"}
    styles = {name: look[1] for name, look in panel.looks.items()}
    assert styles == {"a": "None", "b": "None", "ugs": "-", "loss": "-", "other": "--"}


def test_curves_have_a_legend_where_there_is_more_than_one_and_never_over_the_lines() -> None:
    left, right = drawn(loss_and_time().figure)
    assert (left.legend, right.legend) == (["measured", "ugs", "lds"], [])
    loss = loss_and_time()
    loss.figure.draw_without_rendering()
    axes = loss.figure.axes[0]
    assert axes.get_legend().get_window_extent().y1 < axes.get_window_extent().y0


def test_lines_differ_without_colour() -> None:
    """Line styles, or widths, differ between all samplers, and between all other lines."""
    for looks in (list(STYLES.values()), LOOKS):
        told_apart = {(str(look["linestyle"]), look.get("linewidth")) for look in looks}
        assert len(told_apart) == len(looks)


def test_shades_draw_each_cell_as_dark_as_the_root_of_its_number_and_only_zero_white() -> None:
    tables = {"FLS": [[0, 1], [2, 100]], "UGS": [[4, 0, 0], [0, 0, 3]]}
    picture = plots.shades(tables, "step", "client", "samples")
    left, right, bar = drawn(picture.figure)
    assert picture.figure.get_size_inches() == pytest.approx((10, 3.6))
    np.testing.assert_equal(picture.data, {name: np.array(table) for name, table in tables.items()})
    assert [(panel.title, panel.xlabel, panel.ylabel) for panel in (left, right)] == [
        ("FLS", "step", "client"), ("UGS", "step", ""),
    ]  # fmt: skip
    assert (bar.ylabel, bar.ylim) == ("samples (0 is white)", (0, 100))
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


DEVIATION = (
    [
        {"sampler": "ugs", "step": t, "batch_size": 4, "expected": 0.2 + t, "low": 0.1, "high": 0.5}
        for t in (0, 1)
    ],
    [{"sampler": "ugs", "num_steps": 2, "serfling": 1.5, "l1_bound": None}],
)
SWEPT = dict.fromkeys(COLUMNS) | {"sampler": "ugs", "clients": 8, "test_accuracy": 0.5, "std": 0.1}


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


def test_compare_draws_mean_and_range_over_the_seeds_and_the_deviation_of_the_first(rng) -> None:
    samplers, seeds = ["ugs", "centralized", "fls"], [7, 3, 5]
    lengths = {"ugs": 5, "centralized": 5, "fls": 8}
    epochs = [
        {"sampler": sampler, "seed": seed, "epoch": epoch, "test_accuracy": rng.random()}
        for sampler in samplers
        for seed in seeds
        for epoch in range(4)
    ]
    steps = [
        {"sampler": sampler, "seed": seed, "step": step, "deviation": 2 * rng.random()}
        for sampler in samplers
        for seed in seeds
        for step in range(lengths[sampler])
    ]
    picture = plots.compare(epochs, steps)
    left, right = drawn(picture.figure)
    assert picture.figure.get_size_inches() == pytest.approx((10, 4))
    assert left.xlabel == "epoch"
    assert left.ylabel == "test accuracy in %, mean and range over seeds"
    assert right.xlabel == "step of the first epoch, first seed"
    assert (right.ylabel, right.ylim) == ("batch deviation Δ", (0, 2))
    assert list(left.xticks.values()) == ["1", "2", "3", "4"]
    assert (right.legend, left.legend) == (samplers, [])
    assert left.all_is_seen()
    assert right.all_is_seen()
    assert left.lines.keys() == left.bands.keys() == right.lines.keys() == set(samplers)
    for sampler in samplers:
        accuracies = [
            [
                100 * r["test_accuracy"]
                for r in epochs
                if (r["sampler"], r["epoch"]) == (sampler, epoch)
            ]
            for epoch in range(4)
        ]
        mean, low, high = ([f(a) for a in accuracies] for f in (statistics.mean, min, max))
        np.testing.assert_allclose(left.lines[sampler], [[1, 2, 3, 4], mean])
        np.testing.assert_allclose(left.bands[sampler], [[1, 2, 3, 4], low, high])
        deviation = [
            [r["step"] + 1, r["deviation"]]
            for r in steps
            if (r["sampler"], r["seed"]) == (sampler, 7)
        ]
        np.testing.assert_array_equal(right.lines[sampler].T, deviation)
        np.testing.assert_allclose(np.mean(picture.data[sampler][0], axis=0), mean)
        np.testing.assert_array_equal(picture.data[sampler][1], right.lines[sampler][1])
        assert left.looks[sampler] == right.looks[sampler]
        assert left.looks[sampler][0] == to_hex(STYLES[sampler]["color"])


def test_deviation_draws_the_exact_line_in_its_band_and_the_bounds_that_say_something(rng) -> None:
    bounds = {"ugs": (1.5, 0.7), "lds": (None, None), "fls": (2.5, 1.9), "fpls": (2.0, 0.6)}
    steps = [
        {"sampler": sampler, "step": t, "batch_size": 3 if t == 4 else 4}
        | dict(zip(("low", "expected", "high"), sorted(2 * rng.random(3)), strict=True))
        for sampler in bounds
        for t in range(5)
    ]
    summary = [
        {"sampler": sampler, "num_steps": 5, "serfling": serfling, "l1_bound": l1_bound}
        for sampler, (serfling, l1_bound) in bounds.items()
    ]
    picture = plots.deviation(steps, summary)
    panels = drawn(picture.figure)
    assert picture.figure.get_size_inches() == pytest.approx((10.2, 6.4))
    assert [panel.title for panel in panels] == list(bounds)
    assert [panel.ylabel for panel in panels] == ["batch deviation Δ", "", "", "batch deviation Δ"]
    levels = [
        {"Serfling, all classes: 1.50": (1, 4, 1.5), "bound on Δ itself: 0.70": (1, 4, 0.7)},
        {},
        {"bound on Δ itself: 1.90": (1, 4, 1.9)},
        {"bound on Δ itself: 0.60": (1, 4, 0.6)},
    ]
    for panel, sampler, expected in zip(panels, bounds, levels, strict=True):
        rows = [row for row in steps if row["sampler"] == sampler]
        x = [row["step"] + 1 for row in rows]
        line, band = panel.lines["expected, exact"], panel.bands["95 % of simulations"]
        np.testing.assert_array_equal(line, [x, [row["expected"] for row in rows]])
        np.testing.assert_array_equal(picture.data[sampler], line[1])
        np.testing.assert_array_equal(band.T, [(r["step"] + 1, r["low"], r["high"]) for r in rows])
        assert panel.levels == expected
        assert panel.legend == ["95 % of simulations", "expected, exact", *expected]
        assert (panel.xlabel, panel.ylim) == ("step of the epoch", (0, 2))
        assert panel.all_is_seen()


def test_stragglers_draws_the_mean_over_the_seeds_of_each_schedule(rng) -> None:
    fields = ("sampler", "delta", "concentration", "slack", "assign")
    schedules = [
        ("ugs", None, None, None, None),
        *(("lds", delta, c, None, None) for c in (0.01, 1.0) for delta in (0.5, 2.0, 1.0)),
        *(("targets", None, None, slack, "slowest-first") for slack in (0.0, 0.2)),
        ("targets", None, None, 0.0, "balanced"),
        ("bound", None, None, None, None),
    ]
    rows = [
        dict(zip(fields, schedule, strict=True))
        | {"epoch_time": 100 + 50 * rng.random(), "mean_deviation": rng.random()}
        for _ in range(3)
        for schedule in schedules
    ]
    picture = plots.stragglers(rows)
    (panel,) = drawn(picture.figure)
    assert picture.figure.get_size_inches() == pytest.approx((8, 4.8))

    def points(**fixed: object) -> list[tuple[float, float]]:
        """Time and deviation of those schedules, in their order."""
        return [
            tuple(
                statistics.mean(
                    row[name] for row in rows if tuple(row[f] for f in fields) == schedule
                )
                for name in ("epoch_time", "mean_deviation")
            )
            for schedule in schedules
            if dict(zip(fields, schedule, strict=True)).items() >= fixed.items()
        ]

    expected = {
        "ugs": (points(sampler="ugs"), []),
        "lds, c = 0.01": (points(concentration=0.01), ["δ=0.5", "δ=2.0", "δ=1.0"]),
        "lds, c = 1": (points(concentration=1.0), ["δ=0.5", "δ=2.0", "δ=1.0"]),
        "targets": (points(assign="slowest-first"), ["slack=0.0", "slack=0.2"]),
        "targets, balanced": (points(assign="balanced"), []),
    }
    ((bound, _),) = points(sampler="bound")
    np.testing.assert_allclose(
        panel.lines.pop("no schedule is faster"), [[bound, bound], panel.ylim]
    )
    assert panel.looks.pop("no schedule is faster")[:2] == ("#000000", ":")
    assert panel.lines.keys() == expected.keys()
    notes = []
    for name, (places, texts) in expected.items():
        np.testing.assert_allclose(panel.lines[name].T, places)
        np.testing.assert_allclose(picture.data[name], places)
        notes += zip(texts, places if texts else [], strict=True)
        assert panel.looks[name][0] == STYLES[name.split(",")[0]]["color"]
    assert [text for text, *_ in panel.notes] == [text for text, _ in notes]
    np.testing.assert_allclose([at for _, *at in panel.notes], [at for _, at in notes])
    assert len({look[1:] for look in panel.looks.values()}) == len(panel.looks)  # without colour
    assert panel.legend == [*expected, "no schedule is faster"]
    assert panel.xlabel == "epoch time, in delays of the fastest possible client"
    assert panel.ylabel == "mean expected batch deviation Δ"
    assert panel.xlim[0] == panel.ylim[0] == 0
    x, y = np.concatenate(list(panel.lines.values()), axis=1).max(axis=1)
    assert panel.xlim[1] > 1.05 * x  # so that there is room for the notes
    assert panel.ylim[1] > 1.1 * y


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


def test_a_picture_has_its_size(tmp_path: Path) -> None:
    plots.save(loss_and_time(), tmp_path / "new" / "loss.png")
    assert [path.name for path in tmp_path.rglob("*")] == ["new", "loss.png"]
    assert mpl.image.imread(tmp_path / "new" / "loss.png").shape[:2] == (390, 800)
