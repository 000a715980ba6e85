import csv
import io
import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pslref.oracle import schedules
from pslref.oracle.schedules import read_schedules

EPOCHS = [[[2, 0, 1], [0, 0, 0], [1, 3, 0]], [[0, 3, 1], [3, 0, 0]]]
HEADER = "epoch,step,client,samples\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "log"


def read(file: Path, content: str | bytes, **options: int) -> list[list[list[int]]]:
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    epochs = read_schedules(file, **options)
    assert all(epoch.dtype == np.int64 for epoch in epochs)
    return [epoch.tolist() for epoch in epochs]


def as_list(epochs: list[list[list[int]]], zeros: bool = True) -> str:
    rows = [
        f"{r},{t},{k},{b}\n"
        for r, epoch in enumerate(epochs)
        for t, row in enumerate(epoch)
        for k, b in enumerate(row)
        if b or zeros or not any(row)
    ]
    return HEADER + "".join(rows)


def as_rows(epochs: list[list[list[int]]]) -> str:
    return "\n".join("".join(",".join(map(str, row)) + "\n" for row in epoch) for epoch in epochs)


def steps(width: int) -> st.SearchStrategy[list[list[list[int]]]]:
    row = st.lists(st.integers(0, 3_000_000_000), min_size=width, max_size=width)
    return st.lists(st.lists(row, min_size=1), min_size=1, max_size=4)


@given(epochs=st.integers(1, 4).flatmap(steps), random=st.randoms(use_true_random=False))
@settings(max_examples=50)
def test_what_is_written_is_read(epochs, random, tmp_path_factory: pytest.TempPathFactory) -> None:
    """In each of the three ways; the rows of a list in any order, with or without zeros."""
    file = tmp_path_factory.getbasetemp() / "written"
    assert read(file, json.dumps({"batch_sizes": epochs, "sampler": "mine"})) == epochs
    assert read(file, as_rows(epochs)) == epochs
    header, *rows = as_list(epochs, zeros=False).splitlines(keepends=True)
    random.shuffle(rows)
    assert read(file, header + "".join(rows), num_clients=len(epochs[0][0])) == epochs
    assert read(file, as_list(epochs)) == epochs


def test_a_step_of_zeros_keeps_its_place(file: Path) -> None:
    assert read(file, as_rows(EPOCHS)) == EPOCHS
    assert read(file, as_list(EPOCHS)) == EPOCHS
    assert read(file, as_list(EPOCHS, zeros=False)) == EPOCHS
    without = "".join(line for line in as_list(EPOCHS).splitlines(True) if line[-2] != "0")
    with pytest.raises(ValueError, match="epoch 0, step 1 is missing: numbers start at 0"):
        read(file, without)


def test_one_epoch_of_json_may_be_two_dimensional(file: Path) -> None:
    assert read(file, json.dumps({"batch_sizes": EPOCHS[0]})) == EPOCHS[:1]


def test_columns_in_any_order_spaces_and_the_marks_of_spreadsheets(file: Path) -> None:
    content = b"\xef\xbb\xbfsamples, client ,time,step,epoch\r\n 2,0,9.5,0,0\r\n\r\n3,1,x,0,0\r\n"
    assert read(file, content) == [[[2, 3]]]
    assert read(file, b"\xef\xbb\xbf1,2\r\n\r\n , \r\n3,4\r\n\r\n") == [[[1, 2]], [[3, 4]]]


def test_the_classes_of_a_client_are_added_up(file: Path) -> None:
    """As `pslref schedule` writes it: the class is empty where the client draws freely."""
    head = "sampler,epoch,step,client,class,samples\n"
    assert read(file, head + "x,0,0,0,0,2\nx,0,0,0,3,1\nx,0,0,1,,5\n") == [[[3, 5]]]
    with pytest.raises(ValueError, match="lists epoch 0, step 0, client 1 twice"):
        read(file, head + "x,0,0,1,2,2\nx,0,0,1,2,1\n")
    with pytest.raises(ValueError, match="row 2 has 'dog' where it must have a whole number"):
        read(file, head + "x,0,0,1,dog,2\n")


def test_classes_are_read_where_they_are_asked_for(file: Path) -> None:
    head, classes = "epoch,step,client,class,samples\n", {"num_clients": 3, "num_classes": 2}
    assert read(file, head + "0,0,0,1,2\n0,0,2,0,1\n0,1,0,,0\n", **classes) == [
        [[[0, 2], [0, 0], [1, 0]], [[0, 0], [0, 0], [0, 0]]]
    ]
    for label in ("2", ""):
        with pytest.raises(
            ValueError, match="epoch 0, step 0, client 1: must name a class, 0 to 1"
        ):
            read(file, head + f"0,0,0,1,2\n0,0,1,{label},1\n", **classes)
    for content in ("1,2\n", json.dumps({"batch_sizes": EPOCHS})):
        with pytest.raises(ValueError, match="must be CSV whose header names epoch, step, client"):
            read(file, content, **classes)


MALFORMED: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "must list at least one step"),
    "header only": (HEADER, "must list at least one step"),
    "not UTF-8": (b"1,2\n\xff\xfe", "must be text in UTF-8"),
    "binary": (b"\x00\x01\x02\x80", "must be text in UTF-8"),
    "NUL": ("1,2\n\0,3", "row 2 has"),
    "prose": ("hello world\n", "row 1 has 'hello world' .* unless row 1 is a header that names"),
    "other columns": ("epoch,step,samples\n0,0,1\n", "header that names epoch, step, client"),
    "NaN": ("1,nan\n", "row 1 has 'nan' where it must have a whole number"),
    "fraction": (HEADER + "0,0,0,1.5\n", "row 2 has '1.5' where"),
    "negative": ("1,-1\n", "row 1 has '-1' where"),
    "infinite": ("1,inf\n", "row 1 has 'inf' where"),
    "huge": ("1," + "9" * 50 + "\n", r"row 1 has '9{20}\.\.\.' where it must have .* 3000000000"),
    "just too many": ("1,3000000001\n", "row 1 has '3000000001' where"),
    "another script's digits": ("1,٣\n", "row 1 has '٣' where"),
    "a row cut short": (HEADER + "0,0,0,1\n0,0,1\n", "row 3 has '' where"),
    "unequal rows": ("1,2\n3\n", "row 2 has 1 columns, and those before it 2"),
    "quote not closed": ('1,2\n"3,4\n', "unexpected end of data"),
    "a long field": ("1" * 200_000, "field larger than field limit"),
    "two samplers": (
        "sampler,epoch,step,client,samples\nugs,0,0,0,1\nfls,0,0,1,1\n",
        "has fls, ugs: must be the schedules of one sampler",
    ),
    "twice": (HEADER + "0,0,0,1\n0,0,0,1\n", "lists epoch 0, step 0, client 0 twice"),
    "from 1": (HEADER + "1,1,0,1\n", "epoch 0, step 0 is missing: numbers start at 0"),
    "an epoch too far": (HEADER + "0,0,0,1\n2,0,0,1\n", "epoch 1, step 0 is missing"),
    "a step too far": (HEADER + "0,0,0,1\n1,0,0,1\n1,2,0,1\n", "epoch 1, step 1 is missing"),
    "a client far off": (HEADER + "0,0,2999999999,1\n", "1 steps of 3000000000 clients: at most"),
    "JSON cut short": ('{"batch_sizes": [[1, 2', "Expecting ',' delimiter"),
    "JSON array": ("[[1, 2]]", 'must be an object with "batch_sizes"'),
    "JSON without": ('{"batches": [[1, 2]]}', 'must be an object with "batch_sizes"'),
    "JSON empty": ('{"batch_sizes": []}', 'must be an object with "batch_sizes"'),
    "JSON numbers": ('{"batch_sizes": [1, 2]}', 'must be an object with "batch_sizes"'),
    "JSON empty epoch": ('{"batch_sizes": [[[1]], []]}', r"epoch 1 = \[\]: must be 2-dim"),
    "JSON NaN": (
        '{"batch_sizes": [[1, NaN]]}',
        "epoch 0 = .*: must be 2-dimensional, of whole numbers",
    ),
    "JSON true": ('{"batch_sizes": [[1, true]]}', "epoch 0 = .*, none masked, no truth values"),
    "JSON float": ('{"batch_sizes": [[1, 2.0]]}', "epoch 0 = .*: must be 2-dim"),
    "JSON text": ('{"batch_sizes": [[1, "2"]]}', "epoch 0 = .*: must be 2-dim"),
    "JSON huge": ('{"batch_sizes": [[1, 1e999]]}', "epoch 0 = .*: must be 2-dim"),
    "JSON digits": ('{"batch_sizes": [[' + "9" * 5000 + "]]}", "Exceeds the limit"),
    "JSON ragged": ('{"batch_sizes": [[1, 2], [3]]}', "epoch 0 = .*: must be 2-dim"),
    "JSON mixed": ('{"batch_sizes": [[[1]], 2]}', "epoch 1 = 2: must be 2-dimensional"),
    "JSON 4-dimensional": ('{"batch_sizes": [[[[1]]]]}', "epoch 0 = .*: must be 2-dim"),
    "JSON nested": ('{"batch_sizes": ' + "[" * 100_000, "must be JSON: maximum recursion depth"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_anything_else_is_refused_in_a_sentence(name: str, file: Path) -> None:
    content, sentence = MALFORMED[name]
    with pytest.raises(ValueError, match=sentence) as error:
        read(file, content)
    message = str(error.value)
    assert message.startswith(f"{file}: ")
    assert "\n" not in message
    assert len(message) < 400 + len(str(file))


def test_a_large_file_is_refused_unread(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedules, "MOST_BYTES", 1000)
    assert read(file, "1,2\n" * 250)
    with pytest.raises(ValueError, match="must be a file of at most 1000 bytes"):
        read(file, "1,2\n" * 251)
    with pytest.raises(ValueError, match="it is not a regular file"):
        read_schedules(Path("/dev/zero"))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("1\n\n" * 100_001, "epochs = 100001: must be a whole number from 1 to 100000$"),
        ('{"batch_sizes":[' + "[[1]]," * 100_000 + "[[1]]]}", "epochs = 100001: must be"),
        (HEADER + "2999999999,0,0,1\n", "last epoch = 2999999999: must be"),
    ],
)
def test_more_epochs_than_anybody_logs_are_refused(content: str, sentence: str, file: Path) -> None:
    with pytest.raises(ValueError, match=sentence):
        read(file, content)


@pytest.mark.parametrize("unit", ["0\n", "\n", '{"batch_sizes":[', "[],", "9,", '"",'])
def test_memory_stays_bounded(unit: str, file: Path) -> None:
    """Whatever it holds, a file takes less than 60 times its size (16 MiB: under a gigabyte)."""
    head = '{"batch_sizes":[' if unit == "[]," else ""
    file.write_text(head + unit * (2**19 // len(unit)), encoding="utf-8")
    tracemalloc.start()
    try:
        read_schedules(file)
    except ValueError:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 60 * 2**19


@given(content=st.binary(max_size=200) | st.text(alphabet='0123456789,.\n"[]{}:- n', max_size=80))
@settings(max_examples=300)
def test_no_content_crashes_it(content, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.getbasetemp() / "fuzzed"
    try:
        epochs = read(file, content)
    except ValueError as error:
        epochs, message = [], str(error)
    assert epochs or message.startswith(f"{file}: ")
    assert all(len(row) == len(epochs[0][0]) for epoch in epochs for row in epoch)


def test_csv_written_by_the_standard_library_is_read(file: Path) -> None:
    out = io.StringIO()
    writer = csv.DictWriter(out, ["epoch", "step", "client", "samples"], quoting=csv.QUOTE_ALL)
    writer.writeheader()
    for k, b in enumerate([3, 0, 2]):
        writer.writerow({"epoch": 0, "step": 0, "client": k, "samples": b})
    assert read(file, out.getvalue()) == [[[3, 0, 2]]]
