from pslref.plots import STYLES
from pslref.sweep.grid import COLUMNS
from pslref.sweep.picture import picture


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
    assert list(shown.data) == ["partition = iid", "partition = severe"]
    for panel in shown.data.values():
        assert panel["centralized"] == [(128, 90, 10), (16, 90, 10)]
        assert panel["fls"] == [(128, 0, 0), (16, 10, 0)]
        assert panel["ugs"] == [(128, 0, 1), (16, 10, 1)]
        assert panel["lds"] == []
    left, right = shown.figure.axes
    assert [label.get_text() for label in right.get_xticklabels()] == ["128", "16"]
    assert right.get_xlabel() == "clients K"
    assert left.get_ylabel() == "test accuracy in %, mean ± std"
    (legend,) = shown.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["centralized", "fls", "ugs"]
    for line, accuracy in zip(left.containers, (90, 0, 0), strict=True):
        assert line[0].get_ydata()[0] == accuracy


def test_samplers_are_told_apart_without_colour_and_beside_each_other() -> None:
    (panel, _) = picture(ROWS, ["partition", "clients"]).figure.axes
    lines = [container[0] for container in panel.containers]
    assert [line.get_linestyle() for line in lines] == [
        STYLES[sampler]["linestyle"] for sampler in ("centralized", "fls", "ugs")
    ]
    assert len({line.get_marker() for line in lines}) == 3
    assert len({line.get_xdata()[0] for line in lines}) == 3


def test_without_clients_the_first_field_that_varies_is_on_the_axis() -> None:
    rows = [
        row("ugs", 0.5, batch_size=b, model=m, dtype=d)
        for b in (32, 64)
        for m in ("mlp", "cnn")
        for d in ("float32", "float64")
    ]
    shown = picture(rows, ["batch_size", "model", "dtype"])
    assert [axes.get_xlabel() for axes in shown.figure.axes if axes.axison] == ["batch_size"] * 4
    assert list(shown.data)[1] == "model = mlp\ndtype = float64"


def test_a_single_combination_is_one_point() -> None:
    shown = picture([row("ugs", 0.5, clients=8)], [])
    assert shown.data == {"": {"ugs": [(8, 50, 10)]}}
    shown.figure.draw_without_rendering()


def test_only_centralized_or_only_failures_are_drawn_too() -> None:
    assert picture([row("centralized", 0.5)], []).data == {"": {"centralized": [(None, 50, 10)]}}
    failed = picture([row("ugs", None, clients=8)], [])
    failed.figure.draw_without_rendering()
    assert failed.data == {"": {"ugs": []}}
