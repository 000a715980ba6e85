"""Files that are written whole or not at all, and read up to a known size."""

import csv
import errno
import json
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from pslref import check


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
    check.kind(name, folder, Path)
    try:
        with tempfile.TemporaryFile(dir=_existing(folder)):  # what forbids it shows no other way
            pass
    except (OSError, ValueError):
        raise check.wrong(name, str(folder), "must be a folder that can be written to") from None


def _existing(folder: Path) -> Path:
    try:
        folder.lstat()
    except FileNotFoundError:
        return _existing(folder.parent)
    return folder


@contextmanager
def held(folder: Path | None, name: str) -> Iterator[None]:
    """Make a folder that no other process may hold meanwhile; a process that is killed lets go."""
    if folder is None:
        yield
        return
    import fcntl  # which Windows lacks: there the rest of pslref can be imported

    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise check.wrong(name, str(folder), "must be a folder that no other run uses") from None
    try:
        yield
    finally:
        os.close(descriptor)


def open_regular(path: Path) -> BinaryIO:
    """Open a file to read its bytes; a pipe or a device might never come to an end."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return path.open("rb")


def content(name: str, path: Path, most: int) -> bytes:
    """The bytes of the file that the argument `name` gives, of which there are at most `most`."""
    check.kind(name, path, Path)
    try:
        with open_regular(path) as file:
            too_large = os.fstat(file.fileno()).st_size > most  # then not a byte is read
            data = b"" if too_large else file.read(most + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", error)
        allowed = f"must be a file that can be read: {reason}"
        raise check.wrong(name, str(path), allowed) from None
    if too_large or len(data) > most:
        raise check.wrong(name, str(path), f"must be a file of at most {most} bytes")
    return data


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
