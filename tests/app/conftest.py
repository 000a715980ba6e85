"""A small sweep, uninterrupted, that others must end in."""

from pathlib import Path

import pytest

from pslref.app import grids, sweep, workers

GRID = {
    "partition": ["iid", "severe"],
    "clients": [5, 8],
    "sampler": ["centralized", "ugs"],
    "hidden": [16],
    "epochs": 8,
    "seeds": 1,
}
OPTIONS = ["--partition", "iid,severe", "--clients", "5,8", "--sampler", "centralized,ugs"]
OPTIONS += ["--hidden", "16", "--epochs", "8", "--seeds", "1"]
# Makes whoever executes it another version.
ANOTHER = "from pslref import versions; versions.MADE_BY = versions.MADE_BY | {'numpy': '1.0'}"


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("reference")
    with workers.processes(1) as submit:
        sweep.sweep(grids.configs(GRID), out, submit)
    return out


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a sweep by name; the unfinished ones of a killed process are hidden."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in files
        if not path.name.startswith(".")
    }
