"""Files that are written whole or not at all, and read up to a known size."""

import csv
import errno
import hashlib
import json
import os
import secrets
import stat
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO, Any, BinaryIO
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

from pslref import check

TEMPORARY = ".pslref-"  # what the names of files begin with that are being written
DISK_FAILS = (errno.EIO, errno.ENOSPC, errno.EDQUOT)  # all else means: cannot be synced
AT_ONCE = 2**20  # bytes
SEAL = 64  # letters of a sha256
FIGURES = ("png", "pdf", "svg")  # as what a picture can be written


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name to write to; `path` is replaced by it when the block succeeds.

    When the block ends, the new content is on the disk under its name, or the old one is. Where
    the system cannot promise the disk, a warning says so.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _clear(path.parent)
    with ExitStack() as stack:
        try:
            temporary = _new(path.parent, stack)
            yield temporary
            _sync(temporary)
            temporary.replace(path)
            _sync(path.parent)
        except OSError as error:
            error.filename = str(path)  # not the temporary one; and a write that fails names none
            raise


@cache  # once, since the folder of a sweep has as many files as the sweep has runs
def _clear(folder: Path) -> None:
    """Remove what writes that were killed have left; what is being written is locked."""
    for leftover in folder.glob(f"{TEMPORARY}*"):
        with _locked(leftover, os.O_RDWR) as dead:
            if dead:
                leftover.unlink(missing_ok=True)


def _new(folder: Path, stack: ExitStack) -> Path:
    """A new empty file, locked where that is possible, and removed when the stack is left."""
    while True:
        temporary = _temporary(folder)
        stack.callback(temporary.unlink, missing_ok=True)
        temporary.touch(exist_ok=False)
        locked = stack.enter_context(_locked(temporary, os.O_RDWR))
        if locked is not False and temporary.exists():  # else it is being cleared, or was
            return temporary


def _temporary(folder: Path) -> Path:
    return folder / f"{TEMPORARY}{secrets.token_hex(8)}"  # not the process id: containers share it


def _sync(path: Path) -> None:
    """Put a file's content, or a folder's names, on the disk; what cannot do that is warned of."""
    try:
        descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno in DISK_FAILS:
            raise
        lost = "files are written, but may be lost if the power fails soon after"
        warnings.warn(f"{lost}: this system cannot promise more ({error.strerror})", stacklevel=1)


@contextmanager
def _locked(path: Path, flags: int) -> Iterator[bool | None]:
    """Lock a file or folder for the block: whether it was free; None where there are no locks.

    A process that is killed lets go.
    """
    with ExitStack() as stack:
        locked: bool | None = True
        try:
            import fcntl  # which Windows lacks; nor could an open file be renamed there

            descriptor = os.open(path, flags)
            stack.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            locked = False
        except (ImportError, OSError):
            locked = None
        yield locked


def check_outputs(*outputs: tuple[str, Path | None, Iterable[str]]) -> None:
    """Refuse, before the work begins, files that could not be written in the end.

    Args:
        outputs: the name of an argument, the folder that it gives, if any, and the names of all
            files that will be written there.
    """
    given = [(name, folder, files) for name, folder, files in outputs if folder is not None]
    written = set()
    for name, folder, files in given:
        check.kind(name, folder, Path)
        try:  # what forbids it shows no other way
            with tempfile.TemporaryFile(dir=_existing(_temporary(folder))):
                pass
        except (OSError, ValueError):
            allowed = "must be a folder that can be written to"
            raise check.wrong(name, str(folder), allowed) from None
        for file in files:
            if (folder / file).is_dir():
                allowed = "must not be a folder, since it is a file to write"
                raise check.wrong(name, str(folder / file), allowed)
            written.add(os.path.realpath(folder / file))
    for name, folder, _ in given:
        place = Path(os.path.realpath(folder))
        for level in (place, *place.parents):
            if str(level) in written:
                allowed = f"must not be below {level}, which is a file to write"
                raise check.wrong(name, str(folder), allowed)


def _existing(path: Path) -> Path:
    """The lowest level of a path that exists."""
    for level in (path, *path.parents):
        with suppress(FileNotFoundError):
            level.lstat()
            return level
    return path


@contextmanager
def held(folder: Path | None, name: str) -> Iterator[None]:
    """Make a folder that no other process may hold meanwhile; without locks, a warning says so."""
    if folder is None:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder, os.O_RDONLY) as alone:
        if alone is False:
            raise check.wrong(name, str(folder), "must be a folder that no other run uses")
        if alone is None:
            warnings.warn(
                f"{name} {str(folder)!r} cannot be locked: let no other run use it", stacklevel=1
            )
        yield


@contextmanager
def reading(
    name: str, path: Path, allowed: str = "must be a file that can be read"
) -> Iterator[BinaryIO]:
    """Open the file that the argument `name` gives; whatever fails in the block is one sentence.

    It must be a regular file: a pipe or a device might never come to an end.
    """
    check.kind(name, path, Path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ValueError("it is not a regular file")
        with path.open("rb") as file:
            yield file
    except Exception as error:  # a strange file makes zipfile, numpy and json raise many kinds
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise check.wrong(name, str(path), f"{allowed}: {check.one_line(reason)}") from None


def content(name: str, path: Path, most: int) -> bytes:
    """The bytes of the file that the argument `name` gives, of which there are at most `most`."""
    with reading(name, path) as file:
        too_large = os.fstat(file.fileno()).st_size > most  # then not a byte is read
        data = b"" if too_large else file.read(most + 1)
    if too_large or len(data) > most:
        raise check.wrong(name, str(path), f"must be a file of at most {most} bytes")
    return data


def digest(file: BinaryIO, less: int = 0) -> str:
    """The sha256 of an open file from its beginning, less its last bytes."""
    found, left = hashlib.sha256(), os.fstat(file.fileno()).st_size - less
    while part := file.read(min(AT_ONCE, max(left, 0))):
        found.update(part)
        left -= len(part)
    return found.hexdigest()


def check_seal(file: BinaryIO) -> None:
    """Refuse an open file that does not end in the sha256 of all before it; then rewind it."""
    expected = digest(file, less=SEAL).encode()
    if file.read() != expected:
        raise ValueError("it is not as it was written")
    file.seek(0)


def write_json(path: Path, value: object) -> None:
    """Write `value` as JSON."""
    with replacing(path) as temporary:
        temporary.write_bytes((json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def write_npz(path: Path, arrays: Mapping[str, NDArray[Any]], sealed: bool = False) -> None:
    """Write named arrays as `numpy.savez` does; the same arrays give the same bytes.

    A sealed file ends in the sha256 of all before it (`check_seal`), which no reader of archives
    minds. The first releases of NumPy 2 leave the archive open when the disk is full, and Python
    remarks.
    """
    with replacing(path) as temporary:
        with ZipFile(temporary, "w") as archive:
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.asanyarray(array))
        if sealed:
            with temporary.open("rb+") as file:
                file.write(digest(file).encode())


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows with equal keys as CSV, one row an observation; None is an empty cell."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv_lines(file, rows)


def csv_lines(file: IO[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows with equal keys to an open file, as CSV."""
    writer = csv.DictWriter(file, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
