"""A table of clients is read exactly or refused in one sentence that names row and column."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from pslref.app import clients
from pslref.app.config import Config
from pslref.app.scenario import Clients, dataset_of, random_streams, scenario

ROOT = Path(__file__).parents[2]
GOOD = "client,delay,sample_cost,cat,dog\nana,1.5,0.25,3,0\nbo,0,0,0,4\n"


def read(folder: Path, text: str | bytes) -> clients.Table:
    path = folder / "table.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return clients.read(path)


def known(class_counts: list, **changed: object) -> Clients:
    k, m = np.shape(class_counts)
    given = {"delays": np.ones(k), "sample_costs": np.zeros(k), "names": range(k)}
    return Clients(np.array(class_counts), classes=range(m), **given | changed)


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        "\ufeff" + GOOD.replace("\n", "\r\n"),  # as a spreadsheet writes it
        GOOD.replace(",", " , "),
        GOOD.replace("\n", "\n\n"),  # empty lines say nothing
        '"dog","cat","client","sample_cost","delay"\n0,3,ana,.25,15e-1\n4,0,bo,0.0,-0\n',
    ],
)
def test_a_table_is_read_whatever_the_order_of_its_columns(tmp_path: Path, text: str) -> None:
    found = read(tmp_path, text).clients
    assert list(found.names) == ["ana", "bo"]
    assert (found.delays.tolist(), found.sample_costs.tolist()) == ([1.5, 0], [0.25, 0])
    by_class = dict(zip(found.classes, found.class_counts.T.tolist(), strict=True))
    assert by_class == {"cat": [3, 0], "dog": [0, 4]}


def test_names_delays_and_costs_may_be_left_out(tmp_path: Path) -> None:
    found = read(tmp_path, "a\n3\n0\n").clients
    assert (list(found.names), found.class_counts.tolist()) == (["0", "1"], [[3], [0]])
    assert (found.delays.tolist(), found.sample_costs.tolist()) == ([1, 1], [0, 0])


WRONG = [
    (b"a,b\n1,\x00\n", "b in line 2 of"),
    # the header
    (b"client\nana\n", "must have a column for at least one class"),
    (b"client;a;b\nana;1;2\n", "client;a;b in line 2 of {} = 'ana;1;2': must be a whole number"),
    (b"delay,delay,a\n1,2,3\n", "a column of {} = 'delay': must have a name"),
    # a row
    (b"client,a\nx,1\nx,2\n", "client in {} = 'x': must have a name, and each another"),
    (b"client,a\n,1\nx,2\n", "client in {} = '': must have a name"),
    (b"client,a\n x,1\nx ,2\n", "client in {} = 'x': must have a name"),
    # all of it
    (b"a,b\n0,0\n0,0\n", "samples in {} summed over classes"),
    (b"a,b\n2000000000,2000000000\n", "samples in {} = "),
]
COUNTS = ["", "-1", "1.5", "1.0", "1e3", "x", "nan", "inf", "0x10", "1,5", "None", "1 2", "10" * 9]
TIMES = ["", "-1", "x", "nan", "inf", "-inf", "1e400", "None", "1 2", "0x1p3", "1e10", "-1e-300"]


def sentence(folder: Path, text: str | bytes) -> str:
    with pytest.raises(ValueError, match=r": must ") as caught:
        read(folder, text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    return str(caught.value)


@pytest.mark.parametrize(("text", "expected"), WRONG)
def test_what_is_no_table_is_one_sentence(tmp_path: Path, text: bytes, expected: str) -> None:
    assert expected.format(tmp_path / "table.csv") in sentence(tmp_path, text)


@pytest.mark.parametrize(
    ("column", "cell"),
    [*(("b", cell) for cell in COUNTS), *((n, c) for n in ("delay", "sample_cost") for c in TIMES)],
)
def test_a_wrong_cell_is_named_by_line_and_column(tmp_path: Path, column: str, cell: str) -> None:
    row = {"client": "y", "delay": "1", "sample_cost": "0", "a": "1", "b": "2"}
    good, bad = (",".join(f'"{v}"' for v in r.values()) for r in (row, row | {column: cell}))
    text = f"{','.join(row)}\n{good.replace('y', 'x')}\n{bad}\n"
    assert f"{column} in line 3 of {tmp_path / 'table.csv'} = " in sentence(tmp_path, text)


@given(st.lists(st.lists(st.integers(0, 50), min_size=3, max_size=3), min_size=1, max_size=9))
def test_what_is_written_is_read_again(tmp_path_factory, counts: list[list[int]]) -> None:
    if not np.any(counts):
        counts[0][0] = 1
    rng = np.random.default_rng(len(counts))
    one = known(counts, delays=rng.random(len(counts)), sample_costs=rng.random(len(counts)))
    path = tmp_path_factory.getbasetemp() / "again.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, clients.rows(one)[0])
        writer.writeheader()
        writer.writerows(clients.rows(one))
    again = clients.read(path).clients
    assert clients.rows(again) == [
        row | {"client": str(row["client"])} for row in clients.rows(one)
    ]


def test_clients_are_those_of_a_run_and_their_table_can_be_planned(pslref, tmp_path: Path) -> None:
    """What is planned for them as a table is what is planned for them as they are drawn."""
    options = ["--clients", "7", "--partition", "severe", "--sample-cost", "0.1", "--seed", "3"]
    code, out, _ = pslref("clients", *options, "--out", str(tmp_path))
    assert code == 0
    config = Config(clients=7, sample_cost=0.1, seed=3)
    _, own = scenario(config, dataset_of(config), random_streams(3))
    table = clients.read(tmp_path / "clients.csv").clients
    assert (table.class_counts == own.class_counts).all()
    assert (table.delays == own.delays).all()
    assert (table.sample_costs == own.sample_costs).all()
    lines = [line.split() for line in out.splitlines()[1:8]]
    assert [(int(line[0]), int(line[1])) for line in lines] == list(
        enumerate(own.class_counts.sum(axis=1))
    )
    assert len(json.loads(pslref("clients", *options, "--json")[1])["clients"]) == 7
    same = {}
    own_table = ["--table", str(tmp_path / "clients.csv")]
    for name, whose in [("drawn", options), ("table", own_table)]:
        command = ["plan", *whose, "--seed", "3", "--seeds", "1", "--sampler", "lds,stratified"]
        found = json.loads(pslref(*command, "--json")[1])
        unknown = dict.fromkeys(name for name in found["results"][0] if "megabytes" in name)
        same[name] = [
            row | unknown | {"stragglers": None, "stragglers_std": None} for row in found["results"]
        ]
    assert same["drawn"] == same["table"]
    assert found["config"]["table"] == str(tmp_path / "clients.csv")
    assert "partition" not in found["config"]


def test_many_clients_are_summarised(pslref) -> None:
    out = pslref("clients", "--clients", "300", "--partition", "iid")[1]
    assert [line.split()[0] for line in out.splitlines()] == ["client", "least", "median", "most"]


def test_the_picture_shows_every_class_size_and_delay(
    tmp_path: Path, pictures: dict[str, Figure]
) -> None:
    config = Config(clients=6, seed=1)
    found = clients.drawn(config, out=tmp_path)
    figure = pictures["clients.png"]
    figure.draw_without_rendering()
    classes, sizes, delays = figure.axes[:3]
    assert (classes.images[0].get_array().filled(0) == found.class_counts).all()
    widths = [[bar.get_width() for bar in axes.patches] for axes in (sizes, delays)]
    np.testing.assert_array_equal(widths, [found.class_counts.sum(axis=1), found.delays])
    assert [text.get_text() for text in classes.get_yticklabels()] == list("012345")


@pytest.mark.parametrize("name", ["clients", "partition", "dataset", "slowdown", "sample_cost"])
def test_what_a_table_says_is_no_option_beside_it(pslref, tmp_path: Path, name: str) -> None:
    (tmp_path / "t.csv").write_text(GOOD)
    value = {"partition": "iid", "dataset": "digits"}.get(name, "3")
    for command in ("plan", "deviation", "schedule"):
        given = ["--table", str(tmp_path / "t.csv"), f"--{name.replace('_', '-')}", value]
        code, _, err = pslref(command, *given)
        assert code == 2
        assert f"{name} = " in err
        assert "must not be given beside table" in err


@pytest.mark.parametrize("option", ["--learning-rate=1", "--model=cnn", "--hidden=9", "--cut=2"])
def test_options_that_change_nothing_are_refused_beside_a_table(
    pslref, tmp_path: Path, option: str
) -> None:
    (tmp_path / "t.csv").write_text(GOOD)
    command = ["plan", "--table", str(tmp_path / "t.csv"), "--batch-size", "4", "--seeds", "1"]
    code, _, err = pslref(*command, option)
    assert (code, err.count("\n")) == (2, 1)
    assert "where it changes nothing" in err
    shaped = [*command, "--input-shape", "8,8,1", option]
    assert pslref(*shaped)[0] == (2 if "rate" in option else 0)


def test_twenty_thousand_clients_of_a_hundred_classes_are_read(tmp_path: Path) -> None:
    rows = "\n".join(",".join(map(str, range(k % 7, k % 7 + 100))) for k in range(20_000))
    header = ",".join(f"c{m}" for m in range(100))
    found = read(tmp_path, f"{header}\n{rows}\n").clients
    assert found.class_counts.shape == (20_000, 100)
    assert found.class_counts[19_999, 99] == 19_999 % 7 + 99
