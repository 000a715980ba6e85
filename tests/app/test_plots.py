"""Each picture draws what its rows say."""

import statistics
from collections.abc import Sequence
from itertools import pairwise, product
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from pslref.app import plots
from pslref.app.config import Config
from pslref.app.grids import Row, labels
from pslref.app.pictures import STYLES, save
from tests.drawn import Panel, drawn


def test_compare_draws_mean_and_range_over_the_seeds(rng) -> None:
    samplers, seeds = ["ugs", "centralized", "fls"], [7, 3, 5]
    in_order = ["centralized", "fls", "ugs"]
    lengths = {"ugs": 5, "centralized": 5, "fls": 8}
    epochs = [
        {"sampler": sampler, "seed": seed, "epoch": epoch, "test_accuracy": rng.random(),
         "time_so_far": None if sampler == "centralized" else 10 * epoch + seed}
        for sampler in samplers
        for seed in seeds
        for epoch in range(4)
    ]  # fmt: skip
    steps = [
        {"sampler": sampler, "seed": seed, "step": step, "deviation": 2 * rng.random()}
        for sampler in samplers
        for seed in seeds
        for step in range(lengths[sampler] + (seed == 3))
    ]
    picture = plots.compare(epochs, steps, "s")
    left, middle, right = drawn(picture)
    assert picture.get_size_inches() == pytest.approx((14.2, 4))
    assert left.xlabel == "epoch"
    assert left.ylabel == "test accuracy in %, mean and range over seeds"
    assert middle.xlabel == "time, in s\nmean over seeds"
    assert middle.lines.keys() == {"ugs", "fls"}  # centralized takes none
    assert middle.ylim == left.ylim
    assert right.xlabel == "step of the first epoch\nmean and range over seeds"
    assert (right.ylabel, right.ylim) == ("batch deviation Δ", (0, 2))
    assert list(left.xticks.values()) == ["1", "2", "3", "4"]
    assert legend_of(picture) == in_order
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
        if sampler != "centralized":
            np.testing.assert_allclose(middle.lines[sampler], [[5, 15, 25, 35], mean])
            np.testing.assert_allclose(middle.bands[sampler], [[5, 15, 25, 35], low, high])
        np.testing.assert_allclose(left.bands[sampler], [[1, 2, 3, 4], low, high])
        places = range(lengths[sampler] + 1)  # the last is of one seed alone
        deviations = [
            [r["deviation"] for r in steps if (r["sampler"], r["step"]) == (sampler, place)]
            for place in places
        ]
        mean_of, low, high = ([f(d) for d in deviations] for f in (statistics.mean, min, max))
        np.testing.assert_allclose(right.lines[sampler], [[place + 1 for place in places], mean_of])
        np.testing.assert_allclose(right.bands[sampler][1:], [low, high])
        assert left.looks[sampler] == right.looks[sampler]
        assert left.looks[sampler][0] == to_hex(STYLES[sampler]["color"])


def legend_of(figure: Figure) -> list[str]:
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def test_compare_draws_mean_and_range_of_several_steps_where_each_would_blur(rng) -> None:
    deviation = 2 * rng.random(301)
    steps = [
        {"sampler": "ugs", "seed": 3, "step": step, "deviation": each}
        for step, each in enumerate(deviation)
    ]
    epochs = [row for row in EPOCHS if row["sampler"] == "ugs"]
    _, _, right = drawn(plots.compare(epochs, steps, "s"))
    last = "step of the first epoch\nmean and range over 4 steps at a time"
    assert right.xlabel == last
    groups = [deviation[start : start + 4] for start in range(0, 301, 4)]
    x = [*np.arange(2.5, 300, 4), 301]
    np.testing.assert_allclose(right.lines["ugs"], [x, [group.mean() for group in groups]])
    ends = [[group.min() for group in groups], [group.max() for group in groups]]
    np.testing.assert_allclose(right.bands["ugs"], [x, *ends])


def test_a_sampler_has_its_mark_in_every_picture_and_a_lone_point_a_band_that_is_seen() -> None:
    once = [row | {"test_accuracy": 0.5 + row["seed"] / 10} for row in EPOCHS if not row["epoch"]]
    for rows in (once, EPOCHS):
        figure = plots.compare(rows, STEPS, "s")
        for panel in drawn(figure):
            assert {name: look[3] for name, look in panel.looks.items()} == {"ugs": "^", "fls": "s"}
        widths = [band.get_linewidth()[0] for band in figure.axes[0].collections]
        assert all((width > 0) == (rows is once) for width in widths)


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
    panels = drawn(picture)
    assert picture.get_size_inches() == pytest.approx((12.8, 6.8))
    assert [panel.title for panel in panels] == ["fls", "fpls", "ugs", "lds"]
    assert [panel.ylabel for panel in panels] == ["batch deviation Δ", "", "", "batch deviation Δ"]
    levels: list[dict[str, float]] = [
        {"bound on Δ itself: 1.90": 1.9},
        {"bound on Δ itself: 0.60": 0.6},
        {"Serfling, all classes: 1.50": 1.5, "bound on Δ itself: 0.70": 0.7},
        {},
    ]
    assert legend_of(picture) == ["95 % of simulations", "expected, exact"] + [
        label for expected in levels for label in expected
    ]
    for panel, expected in zip(panels, levels, strict=True):
        sampler = panel.title
        rows = [row for row in steps if row["sampler"] == sampler]
        x = [row["step"] + 1 for row in rows]
        line, band = panel.lines["expected, exact"], panel.bands["95 % of simulations"]
        np.testing.assert_array_equal(line, [x, [row["expected"] for row in rows]])
        np.testing.assert_array_equal(band.T, [(r["step"] + 1, r["low"], r["high"]) for r in rows])
        assert panel.lines.keys() == {"expected, exact", *expected}
        for label, y in expected.items():
            np.testing.assert_array_equal(panel.lines[label], [[1, 4], [y, y]])
        assert (panel.xlabel, panel.ylim) == ("step of the epoch", (0, 2))
        assert panel.all_is_seen()


SETTINGS = ("sampler", "delta", "concentration", "slack", "assign", "batch_size", "cut")
SCHEDULES = [
    ("ugs", None, None, None, None),
    *(("lds", delta, c, None, None) for c in (0.01, 1.0) for delta in (0.5, 2.0, 1.0)),
    *(("targets", None, None, slack, "planned") for slack in (0.0, 0.2)),
    ("targets", None, None, 0.0, "random"),
]


def planned(
    rng: np.random.Generator, *batch_sizes: int, cuts: Sequence[int] = (3,), sent: bool = False
) -> list[Row]:
    """Rows of a plan, of which the first and the fourth are the best."""
    return [
        dict(zip(SETTINGS, (*schedule, batch_size, cut), strict=True))
        | {"epoch_time": 100 + 900 * rng.random(), "max_deviation": rng.random()}
        | {"megabytes": 50 + rng.random() if sent else None}
        | {"least_time": 4000 / batch_size / (cut - 2), "pareto": i in (0, 3)}
        for batch_size in batch_sizes
        for cut in cuts
        for i, schedule in enumerate(SCHEDULES)
    ]


def test_plan_draws_each_schedule_the_best_and_the_least_time(rng: np.random.Generator) -> None:
    rows = planned(rng, 64)
    picture = plots.plan(rows, "hours")
    (panel,) = drawn(picture)
    assert picture.get_size_inches() == pytest.approx((8, 4.8))
    places = np.array([(row["epoch_time"], row["max_deviation"]) for row in rows])
    names = ["ugs", "lds, c = 0.01", "lds, c = 1", "targets, planned", "targets, random"]
    numbered = [f"{i}: {name}" for i, name in enumerate(names, 1)]
    assert list(panel.lines) == numbered
    ends = pairwise((0, 1, 4, 7, 9, 10))
    for name, label, (start, end) in zip(names, numbered, ends, strict=True):
        np.testing.assert_array_equal(panel.lines[label].T, places[start:end])
        assert panel.looks[label][0] == STYLES[name.split(",")[0]]["color"]
    deltas = [f"{i}:δ={delta}" for i in (2, 3) for delta in (0.5, 2, 1)]
    settings = ["1", *deltas, "4:slack=0", "4:slack=0.2", "5"]
    assert written(panel) == dict(zip(map(tuple, places), settings, strict=True))
    np.testing.assert_array_equal(
        panel.rings["no other of its B is as good in both"].T, places[[0, 3]]
    )
    assert panel.walls == {"no schedule is faster": [62.5]}
    assert panel.looks["no schedule is faster"][0] == "#000000"
    assert len({look[1:] for look in panel.looks.values()}) == len(panel.looks)  # without colour
    assert legend_of(picture) == [
        *numbered,
        "no other of its B is as good in both",
        "no schedule is faster",
    ]
    assert panel.xlabel == "epoch time, in hours"
    assert panel.ylabel == "largest expected batch deviation Δ of an epoch"
    assert panel.xlim[0] == panel.ylim[0] == 0
    assert panel.xlim[1] > 1.05 * places[:, 0].max()  # so that there is room for the notes
    assert panel.ylim[1] > 1.1 * places[:, 1].max()


def written(panel: Panel) -> dict[tuple[float, float], str]:
    return {(x, y): text for text, x, y in panel.notes}


@pytest.mark.filterwarnings("error")  # as of a layout without room
@pytest.mark.parametrize("cuts", [(3,), (3, 4, 5)])
def test_plan_has_room_for_many_lines_and_each_point_has_the_number_of_its_line(
    cuts: Sequence[int], rng: np.random.Generator
) -> None:
    rows = [row for row in planned(rng, 64, 128, 256, cuts=cuts, sent=True) if not row["delta"]]
    for row in rows:  # as many points lie in one place
        row["megabytes"] = row["max_deviation"] = 1.0
    figure = plots.plan(rows, "s")
    _, sent = drawn(figure)
    height = figure.get_window_extent().height
    assert all(axes.get_window_extent().height > 350 for axes in figure.axes)
    assert height < 300 + 25 * len(legend_of(figure))
    ((text, *place),) = sent.notes
    assert place == [1, 1]
    numbers = [part.split(":")[0] for part in text.replace("\n", " ").split(", ")]
    assert set(numbers) == {label.split(":")[0] for label in sent.lines}


def test_plan_names_the_batch_size_where_there_are_several(rng: np.random.Generator) -> None:
    (panel,) = drawn(plots.plan(planned(rng, 64, 128), "s"))
    assert panel.walls == {
        "no schedule with B = 64 is faster": [62.5],
        "no schedule with B = 128 is faster": [31.25],
    }
    assert len(panel.lines) == 10
    assert list(panel.lines)[2:5:2] == ["3: lds, c = 0.01, B = 64", "5: lds, c = 0.01, B = 128"]
    assert panel.lines["9: targets, planned, B = 128"].shape == (2, 2)
    assert len({panel.looks[name][1:] for name in panel.lines}) == len(panel.lines)


def test_plan_draws_megabytes_beside_the_time_and_names_the_cut(rng: np.random.Generator) -> None:
    rows = planned(rng, 64, cuts=(3, 4), sent=True)
    picture = plots.plan(rows, "s")
    time, sent = drawn(picture)
    assert (sent.xlabel, sent.walls) == ("megabytes sent in an epoch", {})
    assert time.walls == {
        "no schedule with cut = 3 is faster": [62.5],
        "no schedule with cut = 4 is faster": [31.25],
    }
    assert list(time.lines)[:2] == ["1: ugs, cut = 3", "2: ugs, cut = 4"]
    assert list(time.lines) == list(sent.lines)
    for (panel, cost), cut in product(((time, "epoch_time"), (sent, "megabytes")), (3, 4)):
        lines = [line for name, line in panel.lines.items() if name.endswith(f"cut = {cut}")]
        places = [(row[cost], row["max_deviation"]) for row in rows if row["cut"] == cut]
        np.testing.assert_array_equal(np.concatenate(lines, axis=1).T, places)
    best = [(row["megabytes"], row["max_deviation"]) for row in rows if row["pareto"]]
    rings = sent.rings["no other of its B is as good in all three"]
    np.testing.assert_array_equal(rings.T, best)
    assert sent.xlim[0] == 0
    assert legend_of(picture)[-1] == "no schedule with cut = 4 is faster"


def row(sampler: str, accuracy: float | None, std: float | None = 0.1, **fields: object) -> dict:
    return (
        dict.fromkeys(labels(Config()))
        | {"sampler": sampler, "test_accuracy": accuracy, "test_accuracy_std": std}
        | fields
    )


SWEPT = [
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
    shown = plots.sweep(SWEPT, ["partition", "clients"])
    panels = drawn(shown)
    assert [panel.title for panel in panels] == ["partition = iid", "partition = severe"]
    assert [panel.ylabel for panel in panels] == [
        "test accuracy in %, mean ± std",
        "",
    ]
    samplers = legend_of(shown)
    assert samplers == ["centralized", "fls", "ugs"]
    assert shown.get_size_inches() == pytest.approx((9.2, 3.4))
    for panel in panels:
        assert panel.xlabel == "clients K"
        assert panel.xticks == {0: "16", 1: "128"}
        assert panel.bars.keys() == set(samplers)
        for sampler, bars in panel.bars.items():
            points = [
                (
                    [16, 128].index(row["clients"]),
                    row["test_accuracy"],
                    row["test_accuracy_std"] or 0,
                )
                for row in SWEPT
                if row["sampler"] == sampler and row["clients"]
                if row["partition"] == panel.title.removeprefix("partition = ")
            ]
            if sampler == "centralized":  # which heeds neither, and is drawn at both
                points = [(0, 0.9, 0.1), (1, 0.9, 0.1)]
            x, accuracy, std = np.transpose(sorted(points))
            expected = 100 * np.array([accuracy, accuracy - std, accuracy + std])
            np.testing.assert_allclose(bars[1:], expected, atol=1e-12)
            np.testing.assert_allclose(bars[0], x, atol=0.15)
            assert panel.looks[sampler][0] == to_hex(STYLES[sampler]["color"])
        assert panel.all_is_seen()


def test_samplers_are_told_apart_without_colour_and_beside_each_other() -> None:
    (panel, _) = drawn(plots.sweep(SWEPT, ["partition", "clients"]))
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
    shown = plots.sweep(rows, ["batch_size", "model", "dtype"])
    panels = drawn(shown)
    assert [panel.xlabel for panel in panels] == ["batch size B"] * 4
    assert [panel.ylabel != "" for panel in panels] == [True, False, False, True]
    assert len({panel.ylim for panel in panels}) == 1  # so that panels can be compared
    assert panels[1].title == "model = mlp\ndtype = float64"
    for i, panel in enumerate(panels):
        np.testing.assert_allclose(panel.bars["ugs"][:2], [[0, 1], [i, 4 + i]])
        assert panel.xticks == {0: "32", 1: "64"}


def test_a_single_combination_is_one_point() -> None:
    (panel,) = drawn(plots.sweep([row("ugs", 0.5, clients=8)], []))
    assert (panel.title, panel.xticks) == ("", {0: "8"})
    np.testing.assert_allclose(panel.bars["ugs"].T, [[0, 50, 40, 60]], atol=1e-12)


def test_only_centralized_or_only_failures_are_drawn_too() -> None:
    (panel,) = drawn(plots.sweep([row("centralized", 0.5)], []))
    assert panel.xticks == {0: ""}
    np.testing.assert_allclose(panel.bars["centralized"].T, [[0, 50, 40, 60]], atol=1e-12)
    (panel,) = drawn(plots.sweep([row("ugs", None, clients=8)], []))
    assert (panel.xticks, panel.bars) == ({0: "8"}, {})


EPOCHS, STEPS = (
    [
        {"sampler": sampler, "seed": seed, name: i, column: 0.1 * i + 0.01 * seed, "time_so_far": i}
        for sampler in ("ugs", "fls")
        for seed in (3, 4)
        for i in range(3)
    ]
    for name, column in [("epoch", "test_accuracy"), ("step", "deviation")]
)
BANDS = [
    {"sampler": "ugs", "step": t, "batch_size": 4, "expected": 0.2 + t, "low": 0.1, "high": 0.5}
    for t in (0, 1)
]
BOUNDS = [{"sampler": "ugs", "num_steps": 2, "serfling": 1.5, "l1_bound": None}]

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


def test_a_users_own_settings_change_no_byte(tmp_path: Path) -> None:
    def all_bytes() -> list[bytes]:
        pictures = [
            plots.compare(EPOCHS, STEPS, "s"),
            plots.deviation(BANDS, BOUNDS),
            plots.plan(planned(np.random.default_rng(0), 64, sent=True), "s"),
            plots.sweep(SWEPT, ["partition", "clients"]),
        ]
        written = []
        for (i, picture), form in product(enumerate(pictures), ["png", "pdf", "svg"]):
            save(picture, tmp_path / f"{i}.{form}")
            written.append((tmp_path / f"{i}.{form}").read_bytes())
        return written

    expected = all_bytes()
    with mpl.rc_context(HOSTILE):
        assert all_bytes() == expected
        assert mpl.rcParams["font.size"] == 30  # and the user keeps them
