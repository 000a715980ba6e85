"""What made a result. What another pslref, NumPy, SciPy or BLAS made is not mixed with it."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import scipy

import pslref
from pslref import check

TEXTS = (".py", ".json")  # whose lines may end as the system likes it
HELD = (*TEXTS, ".npz")


class Mixed(ValueError):
    """Something was made, or would be made, by another version."""


def digest(folder: Path) -> str:
    """16 hex digits of the source and the data below a folder, wherever it is, less hidden ones."""
    content = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder)
        # A hidden file is an editor's, a notebook's or a disk's: nothing imports it.
        if path.suffix in HELD and not any(part.startswith(".") for part in place.parts):
            data = path.read_bytes()
            data = data.replace(b"\r\n", b"\n") if path.suffix in TEXTS else data
            content.update(f"/{place.as_posix()} {len(data)}\n".encode() + data)
    return content.hexdigest()[:16]


def _made_by() -> dict[str, str]:
    built: Any = np.show_config(mode="dicts")
    blas = built["Build Dependencies"]["blas"]
    return {
        "pslref": pslref.__version__,
        "source": digest(Path(pslref.__file__).parent),
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
