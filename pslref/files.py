"""Files that are written whole or not at all."""

import csv
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name to write to; `path` is replaced by it when the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def check_folder(folder: Path | None) -> None:
    """Refuse, before the work begins, a folder that files could not be written to in the end."""
    if folder is None:
        return
    ancestor = next(path for path in [folder, *folder.absolute().parents] if path.exists())
    if not ancestor.is_dir() or not os.access(ancestor, os.W_OK | os.X_OK):
        raise ValueError(f"out = {str(folder)!r}: must be a folder that can be written to")


def write_json(path: Path, value: object) -> None:
    """Write `value` as JSON."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows with equal keys as CSV, one row an observation; None is an empty cell."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv_lines(file, rows)


def csv_lines(file: IO[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows with equal keys to an open file, as CSV."""
    writer = csv.DictWriter(file, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
