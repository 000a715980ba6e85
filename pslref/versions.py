"""What made a result. What another pslref, NumPy, SciPy or BLAS made is not mixed with it."""

import hashlib
from collections.abc import Iterator, Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

import numpy as np
import scipy

import pslref
from pslref import check

TEXTS = (".py", ".json")  # whose lines may end as the system likes it
HELD = (*TEXTS, ".npz")


class Mixed(ValueError):
    """Something was made, or would be made, by another version."""


def digest(folder: Traversable) -> str:
    """16 hex digits of the source and the data below a folder, wherever it is, less hidden ones."""
    content = hashlib.sha256()
    for name, data in _files(folder, ""):
        content.update(f"{name} {len(data)}\n".encode() + data)
    return content.hexdigest()[:16]


def _files(folder: Traversable, place: str) -> Iterator[tuple[str, bytes]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        name = f"{place}/{entry.name}"
        if entry.name.startswith("."):  # an editor's, a notebook's or a disk's: nothing imports it
            continue
        if entry.is_dir():
            yield from _files(entry, name)
        elif name.endswith(HELD):
            data = entry.read_bytes()
            yield name, data.replace(b"\r\n", b"\n") if name.endswith(TEXTS) else data


def _made_by() -> dict[str, str]:
    built: Any = np.show_config(mode="dicts")
    blas = built["Build Dependencies"]["blas"]
    return {
        "pslref": pslref.__version__,
        "source": digest(resources.files("pslref")),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "blas": f"{blas.get('name')} {blas.get('version')}",
    }


MADE_BY = _made_by()  # when this is imported: a source that changes later did not make the result


def check_same(what: str, made_by: object, allowed: str, mine: Mapping[str, str]) -> None:
    """Refuse to go on with `what` if something else made it; `allowed` says what to do then.

    Raises:
        Mixed: with all that differs.
    """
    try:
        check.same(f"{what} is of", made_by, mine, allowed)
    except ValueError as error:
        raise Mixed(str(error)) from None
