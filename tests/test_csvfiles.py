"""A CSV file is read as it stands, or refused in one sentence that names line and column."""

from pathlib import Path

import pytest

from pslref import csvfiles


def read(folder: Path, content: bytes, most: int = 100) -> csvfiles.Csv:
    (folder / "a.csv").write_bytes(content)
    return csvfiles.read("table", folder / "a.csv", most)


def test_cells_stand_under_the_names_of_the_header_with_the_lines_they_are_from(tmp_path) -> None:
    found = read(tmp_path, b'\xef\xbb\xbfname , n\r\n\r\n"a\nb", 3\r\n')
    assert found.columns == {"name": ["a\nb"], "n": ["3"]}
    assert (found.lines, found.numbers("n", int, 3, 3)) == ([4], [3])
    for low, high in ((0, 2), (4, 5)):
        with pytest.raises(ValueError, match=rf"^n in line 4 of .* = 3: must .* {low} to {high}$"):
            found.numbers("n", int, low, high)


@pytest.mark.parametrize("kind", [int, float])
def test_python_reads_more_as_a_number_than_a_table_has(tmp_path: Path, kind: type) -> None:
    with pytest.raises(ValueError, match=r"^n in line 2 of .* = '1_0': must be a .* number"):
        read(tmp_path, b"n\n1_0\n").numbers("n", kind, 0, 100)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "must have a header and a row below it"),
        (b"a,b\n", "must have a header and a row below it"),
        (b"\xff\xfe\x00", "must be a CSV file in UTF-8: 'utf-8' codec"),
        (b'a,b\n1,"2', "must be a CSV file in UTF-8: unexpected end"),
        (b'a,b\n1,"2"3\n', "must be a CSV file in UTF-8: "),
        (b"a,a\n1,2\n", "a column of {} = 'a': must have a name, and each another"),
        (b"a, a\n1,2\n", "a column of {} = 'a': must have a name, and each another"),
        (b"a,\n1,2\n", "a column of {} = '': must have a name"),
        (b"a,b\n1\n", "cells in line 2 of {} = 1: must be 2, one for each column of the header"),
        (b"a,b\n1,2\n1,2,3\n", "cells in line 3 of {} = 3: must be 2"),
        (b"a,b\n1,2,\n", "cells in line 2 of {} = 3: must be 2"),
        (b"a\n" * 51, "must be a file of at most 100 bytes"),
    ],
)
def test_what_is_no_csv_is_one_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    with pytest.raises(ValueError, match="must") as caught:
        read(tmp_path, content)
    assert sentence.format(tmp_path / "a.csv") in str(caught.value)
    assert "\n" not in str(caught.value)
