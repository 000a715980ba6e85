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
from pslref.split.clock import SERVER_FLOPS

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
    (b"client;a;b\nana;1;2\n", "header of {} = 'client;a;b': must have commas between its columns"),
    (b"client\ta\nana\t1\n", "must have commas between its columns, as all rows, not '\\t'"),
    (b"delays,a\n1,1\n", "a column of {} = 'delays': must be written 'delay'"),
    (b"sample-costs,a\n1,1\n", "= 'sample-costs': must be written 'sample_cost'"),
    (b"Client,a\nana,1\n", "a column of {} = 'Client': must be written 'client'"),
    (b"DELAY,a\n1,1\n", "a column of {} = 'DELAY': must be written 'delay'"),
    (b"Sample cost,a\n1,1\n", "a column of {} = 'Sample cost': must be written 'sample_cost'"),
    (b"latency,a\n1,1\n", "must have all of latency, flops, uplink, downlink, without delay"),
    (b"latency,flops,uplink,a\n1,1,1,1\n", "header of {} = 'latency,flops,uplink,a': must have"),
    (b"downlink,delay,a\n1,1,1\n", "must have all of latency, flops, uplink, downlink, without"),
    (b"latency,flops,uplink,downlink,delay,a\n1,1,1,1,1,1\n", "without delay and sample_cost, or"),
    (b"latency,flops,uplink,downlink,sample_cost,a\n1,1,1,1,1,1\n", "without delay and sample_c"),
    (b"latency,flops,uplink,downlink\n1,1,1,1\n", "must have a column for at least one class"),
    (b"latency,FLOPS,uplink,downlink,a\n1,1,1,1,1\n", "= 'FLOPS': must be written 'flops'"),
    (b"delay,delay,a\n1,2,3\n", "a column of {} = 'delay': must have a name"),
    # a row
    (b"client,a\nx,1\nx,2\n", "client in {} = 'x': must have a name, and each another"),
    (b"client,a\n,1\nx,2\n", "client in {} = '': must have a name"),
    (b"client,a\n x,1\nx ,2\n", "client in {} = 'x': must have a name"),
    # all of it
    (b"a,b\n0,0\n0,0\n", "samples in {} summed over classes"),
    (b"a,b\n2000000000,2000000000\n", "samples in {} = "),
]
LINKED = {"latency": "0", "flops": "1", "uplink": "1e9", "downlink": "2.5"}
COUNTS = ["", "-1", "1.5", "1.0", "1e3", "x", "nan", "inf", "0x10", "1,5", "None", "1 2", "10" * 9]
TIMES = ["", "-1", "x", "nan", "inf", "-inf", "1e400", "None", "1 2", "0x1p3", "1e40", "-1e-300"]
RATES = [*TIMES, "0", "0.99"]


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
    [
        *(("b", cell) for cell in COUNTS),
        *((n, c) for n in ("delay", "sample_cost", "latency") for c in TIMES),
        *((n, c) for n in ("flops", "uplink", "downlink") for c in RATES),
    ],
)
def test_a_wrong_cell_is_named_by_line_and_column(tmp_path: Path, column: str, cell: str) -> None:
    times = LINKED if column in LINKED else {"delay": "1", "sample_cost": "0"}
    row = {"client": "y", **times, "a": "1", "b": "2"}
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
    own_table = ["--table", str(tmp_path / "clients.csv"), "--input-shape", "8,8,1"]
    for name, whose in [("drawn", options), ("table", own_table)]:
        command = ["plan", *whose, "--seed", "3", "--seeds", "1", "--sampler", "lds,stratified"]
        found = json.loads(pslref(*command, "--json")[1])
        unknown = dict.fromkeys(("stragglers", "stragglers_std"))
        same[name] = [row | unknown for row in found["results"]]
    assert same["drawn"] == same["table"]
    assert found["config"]["table"] == str(tmp_path / "clients.csv")
    assert found["config"]["input_shape"] == [8, 8, 1]
    assert found["config"]["server_flops"] is None
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


def test_clients_with_links_are_those_of_a_run_and_their_table_can_be_planned(
    pslref, tmp_path: Path
) -> None:
    """To the bit, with the times that a network gives them, also those of the server."""
    drawn = ["--clients", "7", "--links", "home", "--seed", "3"]
    assert pslref("clients", *drawn, "--out", str(tmp_path))[0] == 0
    table = ["--table", str(tmp_path / "clients.csv"), "--input-shape", "8,8,1", "--seed", "3"]
    network = ["--cut", "1,3", "--hidden", "9", "--dtype", "float32", *ASSIGN]
    found = [
        json.loads(pslref("plan", *whose, *network, *MORE, "--json")[1])
        for whose in (drawn, [*table, "--server-flops", str(SERVER_FLOPS)])
    ]
    assert found[0]["results"] == found[1]["results"]
    assert [each["config"]["time_unit"] for each in found] == ["seconds", "seconds"]
    assert len({row["epoch_time"] for row in found[0]["results"]}) == 4
    for command in ("schedule", "deviation"):
        one = [pslref(command, *whose, "--cut", "1", "--sampler", "stratified", "--json")
               for whose in (drawn, table)]  # fmt: skip
        name = "schedule" if command == "schedule" else "steps"
        same = [json.loads(out)[name] for _, out, _ in one]
        for row in same[0] if command == "schedule" else ():
            row |= {"client": str(row["client"]), "class": str(row["class"])}
        assert same[0] == same[1]


MORE = ["--sampler", "stratified", "--seeds", "1"]
ASSIGN = ["--assign", "slowest-first"]  # planned has everybody in each step, as ugs has
LINKS = "latency,flops,uplink,downlink,cat,dog\n0.1,1e9,1e6,1e6,9,0\n0.2,1e8,1e6,1e6,0,9\n"
REFUSED = [
    (GOOD, ["plan", "--learning-rate=1"], "learning_rate = 1.0: must not be given without accura"),
    (GOOD, ["plan", "--epochs=2"], "epochs = 2: must not be given without accuracy"),
    (GOOD, ["plan", "--model=cnn"], "must not be given beside table = '{}' without input_shape"),
    (GOOD, ["plan", "--hidden=9"], "must not be given beside table = '{}' without input_shape"),
    (GOOD, ["plan", "--cut=2"], "cut = (2,): must not be given beside table = '{}' without input"),
    (GOOD, ["plan", "--links=home"], "links = 'home': must not be given beside table"),
    (
        GOOD,
        ["plan", "--server-flops=9"],
        "server_flops = 9.0: must not be given beside table = '{}'",
    ),
    (GOOD, ["schedule", "--input-shape=8"], "input_shape = '8': must not be given without links"),
    (GOOD, ["deviation", "--input-shape=8", "--cut=1"], "cut = 1: must not be given without links"),
    (LINKS, ["plan"], "input_shape = None: must be given, such as 28,28,1"),
    (LINKS, ["schedule"], "input_shape = None: must be given, such as 28,28,1"),
    (LINKS, ["deviation", "--cut=1"], "must not be given beside table = '{}' without input_shape"),
    (LINKS, ["plan", "--input-shape=8", "--cut=4"], "cut = 4: must be a whole number from 1 to 3"),
    (LINKS, ["plan", "--input-shape=8", "--cut=1,0"], "cut = 0: must be a whole number, 1 or more"),
    (
        LINKS,
        ["plan", "--input-shape=8", "--model=cnn"],
        "model = 'cnn': must be mlp for samples of",
    ),
    (LINKS, ["plan", "--input-shape=8", "--server-flops=0"], "server_flops = 0.0: must be"),
    (LINKS, ["plan", "--input-shape=8", "--server-flops=inf"], "server_flops = inf: must be"),
    (None, ["plan", "--input-shape=8"], "input_shape = (8,): must not be given without table"),
    (None, ["plan", "--server-flops=8"], "server_flops = 8.0: must not be given without table"),
    (None, ["plan", "--momentum=0.1"], "momentum = 0.1: must not be given without accuracy"),
    (None, ["schedule", "--cut=2"], "cut = 2: must not be given without links"),
    (None, ["deviation", "--dtype=float32"], "dtype = 'float32': must not be given without links"),
    (
        None,
        ["plan", "--links=home", "--jitter=3"],
        "jitter = 3.0: must be left out unless li",
    ),
    (
        None,
        ["clients", "--links=home", "--sample-cost=3"],
        "sample_cost = 3.0: must be left out unl",
    ),
    (None, ["train", "--links=mobile", "--fraction=0"], "fraction = 0.0: must be left out unless"),
    (
        None,
        ["compare", "--links=wifi"],
        "links = 'wifi': must be one of none, datacentre, home, mo",
    ),
]


@pytest.mark.parametrize(("text", "command", "expected"), REFUSED)
def test_options_that_change_nothing_or_are_missing_are_one_sentence(
    pslref, tmp_path: Path, text: str | None, command: list[str], expected: str
) -> None:
    given = [] if text is None else ["--table", str(tmp_path / "t.csv")]
    (tmp_path / "t.csv").write_text(text or "")
    seeds = ["--seeds", "1"] if command[0] == "plan" else []
    batches = ["--batch-size", "4"] if given else []
    code, out, err = pslref(*command, *given, *seeds, *batches)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert expected.format(tmp_path / "t.csv") in err


def test_twenty_thousand_clients_of_a_hundred_classes_are_read(tmp_path: Path) -> None:
    rows = "\n".join(",".join(map(str, range(k % 7, k % 7 + 100))) for k in range(20_000))
    header = ",".join(f"c{m}" for m in range(100))
    found = read(tmp_path, f"{header}\n{rows}\n").clients
    assert found.class_counts.shape == (20_000, 100)
    assert found.class_counts[19_999, 99] == 19_999 % 7 + 99
