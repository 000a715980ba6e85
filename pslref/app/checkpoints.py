"""Checkpoints: all that a run depends on, in one file that is replaced whole or not at all."""

import io
import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from math import prod
from pathlib import Path
from reprlib import repr as short

import numpy as np

from pslref import check, files, versions
from pslref.app.config import Config
from pslref.app.runs import Run
from pslref.app.scenario import made_by
from pslref.check import Array

NAME = "checkpoint.npz"
FORMAT, VERSION = "pslref checkpoint", 4
TEXT = np.empty(0, np.uint8)
MOST_TEXT = 100_000  # bytes of the header
AT_ONCE = 2**18  # bytes; a checkpoint's directory has some thousand


class _Sparing(io.FileIO):
    """A file that hands out little at once, whatever size it says that its parts have."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(AT_ONCE if size is None or size < 0 else min(size, AT_ONCE)) or b""


def write(path: Path, run: Run) -> None:
    """Replace the checkpoint at `path` by one of a run that is between two steps.

    It is an uncompressed .npz with the arrays of `Run.state`, and with "header": the format, its
    version, what made it (`scenario.made_by`) and the config as JSON, in UTF-8 bytes.
    """
    header = {"format": FORMAT, "version": VERSION, "made_by": made_by(run.config)}
    header["config"] = asdict(run.config)
    text = np.frombuffer(json.dumps(header).encode(), np.uint8)
    files.write_npz(path, {"header": text} | run.state())


def check_config(path: Path, config: Config) -> None:
    """Refuse a file that is not a checkpoint of this config, of which only the header is read.

    To go on, what made it must be the same, and every field; but `data_dir` may differ and `epochs`
    may be raised, unless clients are lost: when, depends on them.

    Raises:
        ValueError: naming the file and what is wrong with it, or what differs.
    """
    with _opened(path) as archive:
        header = json.loads(_member(archive, "header", TEXT, MOST_TEXT).tobytes())
        if not isinstance(header, dict) or header.get("format") != FORMAT:
            raise ValueError(f"its header does not say {FORMAT!r}")
    version, written = header.get("version"), header.get("config")
    if version != VERSION:
        raise ValueError(f"{path} is of checkpoint format {short(version)}: must be {VERSION}")
    allowed = "go on with what made it, or begin anew in another folder"
    versions.check_same(str(path), header.get("made_by"), allowed, made_by(config))
    asked = json.loads(json.dumps(asdict(config)))
    if not isinstance(written, dict) or written.keys() != asked.keys():
        raise ValueError(f"{path} is of another pslref: must have a config of the same fields")
    written["data_dir"] = asked["data_dir"]
    if type(written["epochs"]) is int and written["epochs"] < asked["epochs"] and not config.faults:
        written["epochs"] = asked["epochs"]
    check.same(f"{path} is of a run with", written, asked, "must be the same to go on")


def resume(path: Path, run: Run) -> None:
    """Put a run that has taken no step where the run of the checkpoint was.

    Nothing is read whose type and size are not what a run of this config can have.

    Raises:
        ValueError: naming the file and what is wrong with it.
    """
    likes = run.state()
    samples = run.dataset.y_train.size  # at least one in a step that is committed, and an outage,
    steps = 2 * samples + len(run.outages)  # drawn or met with, aborts one at most
    most = dict.fromkeys(likes, run.config.epochs * samples) | dict.fromkeys(
        ("walked", "step_times"), steps
    )
    with _opened(path) as archive:
        run.restore(
            {name: _member(archive, name, like, most[name]) for name, like in likes.items()}
        )


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        if not path.is_file():
            raise ValueError("it is no file")
        with _Sparing(path) as file, zipfile.ZipFile(file) as archive:
            yield archive
    except Exception as error:  # a strange file makes zipfile, numpy and json raise many kinds
        reason = check.one_line(str(error)) or type(error).__name__
        raise ValueError(f"{path} is no checkpoint that can be used: {reason[:320]}") from None


def _member(archive: zipfile.ZipFile, name: str, like: Array, most_rows: int) -> Array:
    """Read an array of the type and shape of `like`; if that has no rows, of up to `most_rows`."""
    if f"{name}.npy" not in archive.namelist():
        raise ValueError(f"it has no {name}")
    entry = archive.getinfo(f"{name}.npy")
    with archive.open(entry) as member:
        if np.lib.format.read_magic(member) != (1, 0):
            raise ValueError(f"{name} is of another .npy version than 1.0")
        shape, _, dtype = np.lib.format.read_array_header_1_0(member)
        expected = like.shape
        if expected[0] == 0 and shape:
            expected = (min(max(shape[0], 0), most_rows), *like.shape[1:])
        if (dtype, shape) != (like.dtype, expected):
            raise ValueError(f"{name} is {dtype} {shape}: must be {like.dtype} {expected}")
        size = member.tell() + dtype.itemsize * prod(shape)
    if entry.file_size != size or entry.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{name} has {entry.file_size} bytes: must have {size}, uncompressed")
    with archive.open(entry) as member:
        array: Array = np.lib.format.read_array(member, allow_pickle=False)
    fields = [array[field] for field in dtype.names] if dtype.names else [array]
    if not all(np.isfinite(field).all() for field in fields):
        raise ValueError(f"{name} holds a number that is not finite")
    return array
