import errno
import fcntl
import io
import json
import os
import signal
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from pslref import files
from pslref.app import deviation, train
from pslref.app.config import Config

Patch = pytest.MonkeyPatch


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.json"
    files.write_json(path, {"a": 1})
    files.write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 2}
    assert list(path.parent.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    files.write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="Out of range"):
        files.write_json(path, {"a": float("nan")})
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def interrupted(path: Path) -> None:
    with files.replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("half-way")


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    files.write_json(path, {"a": 1})
    with pytest.raises(RuntimeError, match="half-way"):
        interrupted(path)
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_csv_is_one_row_an_observation(tmp_path: Path) -> None:
    files.write_csv(tmp_path / "a.csv", [{"name": "x", "value": 0.1}, {"name": "y", "value": None}])
    assert (tmp_path / "a.csv").read_text().splitlines() == ["name,value", "x,0.1", "y,"]


def test_an_archive_is_what_numpy_writes(tmp_path: Path) -> None:
    arrays = {"header": np.arange(3, dtype=np.uint8), "0.weight": np.ones((2, 3), np.float32).T}
    files.write_npz(tmp_path / "ours", arrays)
    np.savez(tmp_path / "theirs.npz", **arrays)
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs.npz").read_bytes()


def test_two_may_write_the_same_file_at_once_even_with_one_process_id(tmp_path: Path) -> None:
    """As two containers on one folder."""
    path = tmp_path / "a"
    with files.replacing(path) as first, files.replacing(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def child(path: Path, work: Callable[[], object]) -> int:
    """A process that begins to write a file, and then does some work."""
    number = os.fork()
    if number == 0:
        with files.replacing(path) as temporary:
            temporary.write_text("whole")
            work()
        os._exit(0)
    return number


def test_the_next_write_to_a_folder_clears_what_a_killed_one_left(tmp_path: Path) -> None:
    (tmp_path / ".results.csv.swp").touch()  # somebody else's
    os.waitpid(child(tmp_path / "a", lambda: os.kill(os.getpid(), signal.SIGKILL)), 0)
    assert len(list(tmp_path.iterdir())) == 2
    files.write_json(tmp_path / "b.json", 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".results.csv.swp", "b.json"]


def test_what_another_process_still_writes_is_not_cleared(tmp_path: Path) -> None:
    hears, says = os.pipe()
    writing = child(tmp_path / "a", lambda: os.read(hears, 1))
    while not any(path.stat().st_size for path in tmp_path.iterdir()):
        pass
    files.write_json(tmp_path / "b.json", 1)
    os.write(says, b"!")
    assert os.waitpid(writing, 0)[1] == 0
    assert (tmp_path / "a").read_text() == "whole"


@pytest.mark.parametrize("when", ["before", "while", "after"])
def test_a_new_file_that_is_cleared_before_it_could_be_locked_is_made_anew(
    tmp_path: Path, monkeypatch: Patch, when: str
) -> None:
    locked, new = files._locked, []

    @contextmanager
    def late(path: Path, flags: int) -> Iterator[bool | None]:
        new.append(path)
        cleared = when if len(new) == 1 else "never"
        if cleared == "before":
            path.unlink()
        other = path if cleared == "while" else tmp_path
        with locked(other, os.O_RDONLY), locked(path, flags) as state:
            if cleared == "after":
                path.unlink()
            yield state

    monkeypatch.setattr(files, "_locked", late)
    with files.replacing(tmp_path / "a") as temporary:
        assert len(new) == 2
        assert temporary == new[1]
        assert temporary.exists()


# What other systems lack, taken away.


def fails(number: int, folders_only: bool = False) -> Callable[..., None]:
    def call(descriptor: int, *more: object) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode) or not folders_only:
            raise OSError(number, os.strerror(number))

    return call


def no_sync(monkeypatch: Patch, number: int) -> None:
    monkeypatch.setattr(os, "fsync", fails(number))


def no_folder_sync(monkeypatch: Patch, number: int) -> None:
    monkeypatch.setattr(os, "fsync", fails(number, folders_only=True))


def no_locks(monkeypatch: Patch, number: int) -> None:
    monkeypatch.setattr(fcntl, "flock", fails(number))


def windows(monkeypatch: Patch, number: int) -> None:
    """No fcntl and no signal masks; folders that cannot be opened, nor open files renamed.

    And descriptors to read from that cannot be synced, and line ends that are translated.
    """
    flags, real = fcntl.fcntl, {name: getattr(os, name) for name in ("open", "fsync", "replace")}
    real_open = io.open

    def open_(path, flags, *more, **named):
        if Path(path).is_dir():
            raise PermissionError(number, os.strerror(number), str(path))
        return real["open"](path, flags, *more, **named)

    def fsync(descriptor: int) -> None:
        if flags(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    def replace(old, new) -> None:
        opened = [os.path.realpath(path) for path in Path("/proc/self/fd").iterdir()]
        if {os.path.realpath(old), os.path.realpath(new)} & set(opened):
            raise PermissionError(number, os.strerror(number), str(old))
        real["replace"](old, new)

    def translating(file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, **more):
        ends = "\r\n" if newline is None and "b" not in mode else newline
        return real_open(file, mode, buffering, encoding, errors, ends, **more)

    monkeypatch.setattr(tempfile, "_O_TMPFILE_WORKS", False)
    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.delattr(signal, "pthread_sigmask")
    monkeypatch.setattr(os, "open", open_)
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(io, "open", translating)


CONFIG = Config(clients=5, epochs=1, hidden=(4,), batch_size=500, sampler="ugs")
LOST = "files are written, but may be lost if the power fails soon after"
SHARED = "cannot be locked: let no other run use it"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return written(tmp_path_factory.mktemp("whole"))


def written(folder: Path) -> dict[str, bytes]:
    train.train(CONFIG, checkpoint=folder / "run", every=1, out=folder / "out")
    deviation.deviation([CONFIG], out=folder / "planned")
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@pytest.mark.parametrize(
    ("missing", "numbers", "promises"),
    [
        (no_sync, [errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.ENOSYS], [LOST]),
        (no_folder_sync, [errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EISDIR], [LOST]),
        (no_locks, [errno.ENOLCK, errno.EBADF, errno.ENOTSUP, errno.EINVAL], [SHARED]),
        (windows, [errno.EACCES], [LOST, SHARED]),
    ],
)
def test_where_a_promise_cannot_be_kept_the_same_is_written_with_one_warning(
    tmp_path: Path, monkeypatch: Patch, whole, missing, numbers: list[int], promises: list[str]
) -> None:
    for number in numbers:
        missing(monkeypatch, number)
        with pytest.warns(UserWarning) as warned:  # noqa: PT030  # its text is looked at below
            found = written(tmp_path / str(number))
        monkeypatch.undo()
        said = {str(warning.message) for warning in warned}
        assert len(said) == len(promises), said
        assert all(any(promise in text for text in said) for promise in promises), said
        assert found == whole


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fails_is_an_error(tmp_path: Path, monkeypatch: Patch, number: int) -> None:
    no_sync(monkeypatch, number)
    with pytest.raises(OSError, match=os.strerror(number)):
        files.write_json(tmp_path / "a.json", 1)
    assert list(tmp_path.iterdir()) == []
