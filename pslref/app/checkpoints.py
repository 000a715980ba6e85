"""Checkpoints: all that a run depends on, in one file that is replaced whole or not at all."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np

from pslref import check, files, versions
from pslref.app.config import Config
from pslref.app.runs import Run
from pslref.app.scenario import made_by
from pslref.check import Array

NAME = "checkpoint.npz"


def write(path: Path, run: Run) -> None:
    """Replace the checkpoint at `path` by one of a run that is between two steps.

    It is an uncompressed .npz with the arrays of `Run.state`, and with "header": what made it
    (`scenario.made_by`) and the config as JSON, in UTF-8 bytes. A digest of all that is its end.
    """
    header = {"made_by": made_by(run.config), "config": asdict(run.config)}
    text = np.frombuffer(json.dumps(header).encode(), np.uint8)
    files.write_npz(path, {"header": text} | run.state(), sealed=True)


def check_config(path: Path, config: Config) -> None:
    """Refuse a file that is not a checkpoint of this config, of which only the header is read.

    To go on, what made it must be the same, and every field; but `data_dir` may differ and `epochs`
    may be raised, unless clients are lost: when, depends on them.
    """
    with _opened(path) as arrays:
        header = json.loads(arrays["header"].tobytes())
    allowed = "go on with what made it, or begin anew in another folder"
    versions.check_same(str(path), header["made_by"], allowed, made_by(config))
    written, asked = header["config"], json.loads(json.dumps(asdict(config)))
    written["data_dir"] = asked["data_dir"]
    if not config.faults:
        written["epochs"] = max(written["epochs"], asked["epochs"])
    check.same(f"{path} is of a run with", written, asked, "must be the same to go on")


def resume(path: Path, run: Run) -> None:
    """Put a run that has taken no step where the run of the checkpoint was."""
    with _opened(path) as arrays:
        run.restore(arrays)


@contextmanager
def _opened(path: Path) -> Iterator[Mapping[str, Array]]:
    """The arrays of a file that is as it was written: nothing in it is looked at before that."""
    allowed = "must be a checkpoint that can be used"
    with files.reading("checkpoint", path, allowed) as file:
        files.check_seal(file)
        with np.load(file, allow_pickle=False) as arrays:
            yield arrays
