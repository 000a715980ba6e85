"""A figure with the numbers it shows, drawn and written under pslref's own settings."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import matplotlib as mpl
from matplotlib.figure import Figure

from pslref import check, files

# The same bytes for the same figure: what of its metadata is left out, versions and dates.
LEFT_OUT = {
    "png": ("Software",),
    "pdf": ("Creator", "Producer", "CreationDate"),
    "svg": ("Creator", "Date"),
}


@contextmanager
def own_settings() -> Iterator[None]:
    """Matplotlib's defaults, whatever a matplotlibrc or a notebook has set; the backend stays."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams["svg.hashsalt"] = "pslref"  # else its names are random
        yield


@dataclass(frozen=True, eq=False)
class Picture:
    """A figure with the numbers that it shows. A notebook displays it.

    Attributes:
        figure: the figure.
        data: what is drawn, by the names that the figure shows.
    """

    figure: Figure = field(repr=False)
    data: dict[str, Any] = field(repr=False)

    def _repr_png_(self) -> bytes:
        file = BytesIO()
        _write(self, file, "png", dpi=90)
        return file.getvalue()


def save(picture: Picture, path: Path) -> None:
    """Write the figure, whole or not at all, as its suffix says: .png, .pdf or .svg."""
    check.one_of("suffix of the picture", path.suffix, [f".{name}" for name in LEFT_OUT])
    with files.replacing(path) as temporary, temporary.open("wb") as file:
        _write(picture, file, path.suffix[1:], dpi=100)


@own_settings()
def _write(picture: Picture, file: BinaryIO, form: str, dpi: int) -> None:
    metadata = dict.fromkeys(LEFT_OUT[form])
    picture.figure.savefig(file, format=form, dpi=dpi, metadata=metadata)
