"""Files that are written whole or not at all."""

import csv
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name to write to; `path` is replaced by it when the block succeeds.

    When the block ends, the new content is on the disk under its name, or the old one is.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    except OSError as error:
        error.filename = str(path)  # not the temporary one; and a write that fails names none
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_folder(folder: Path | None, name: str = "out") -> None:
    """Refuse, before the work begins, a folder that files could not be written to in the end."""
    if folder is None:
        return
    ancestor = next(path for path in [folder, *folder.absolute().parents] if path.exists())
    if not ancestor.is_dir() or not os.access(ancestor, os.W_OK | os.X_OK):
        raise ValueError(f"{name} = {str(folder)!r}: must be a folder that can be written to")


def write_json(path: Path, value: object) -> None:
    """Write `value` as JSON."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def write_npz(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write named arrays, uncompressed; the same arrays give the same bytes."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # no array is called allow_pickle


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows with equal keys as CSV, one row an observation; None is an empty cell."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv_lines(file, rows)


def csv_lines(file: IO[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows with equal keys to an open file, as CSV."""
    writer = csv.DictWriter(file, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
