"""CSV files that somebody else has written: read whole, or refused by line and column."""

import csv
import hashlib
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

from pslref import check, files
from pslref.check import Number


class Csv(NamedTuple):
    """What a CSV file holds under its header.

    Attributes:
        path: the file.
        sha256: of its bytes.
        lines: the number of each row's line; empty lines are no rows.
        columns: by the names in the header the rows' cells, without the spaces around them.
    """

    path: Path
    sha256: str
    lines: list[int]
    columns: dict[str, list[str]]

    def numbers(self, name: str, kind: type[Number], low: float, high: float) -> list[Number]:
        """A column of whole or of real numbers in low..high (both included)."""
        found: list[Number] = []
        for line, cell in zip(self.lines, self.columns[name], strict=True):
            number: Any = cell
            with suppress(ValueError):
                number = check.number(cell, kind)
            if number is cell or not low <= number <= high:
                what = f"{name} in line {line} of {self.path}"
                if kind is int:
                    check.integer(what, number, int(low), int(high))
                check.real(what, number, low, high)
            found.append(number)
        return found


def read(name: str, path: Path, most: int) -> Csv:
    """The file that the argument `name` gives, of at most `most` bytes: CSV under a header."""
    data = files.content(name, path, most)
    try:
        reader = csv.reader(StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise check.wrong(name, str(path), f"must be a CSV file in UTF-8: {error}") from None
    if len(rows) < 2:
        raise check.wrong(name, str(path), "must have a header and a row below it")
    (_, header), *rows = rows
    check.each_once(f"a column of {path}", header)
    for line, row in rows:
        if len(row) != len(header):
            allowed = f"must be {len(header)}, one for each column of the header"
            raise check.wrong(f"cells in line {line} of {path}", len(row), allowed)
    cells = map(list, zip(*(row for _, row in rows), strict=True))
    sha256 = hashlib.sha256(data).hexdigest()
    return Csv(path, sha256, [line for line, _ in rows], dict(zip(header, cells, strict=True)))
