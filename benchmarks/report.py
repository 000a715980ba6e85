"""What a benchmark writes into docs/benchmarks.md: its section, and on what it was run."""

import os
import platform
import re
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from pslref import files

DOCS = Path(__file__).parents[1] / "docs"


def machine(threads: str = "one thread each") -> str:
    """The machine, its load, and the versions, in one sentence."""
    cpuinfo = Path("/proc/cpuinfo")
    named = re.search(r"model name\s*: (.*)", cpuinfo.read_text()) if cpuinfo.exists() else None
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    try:
        pytorch = f", PyTorch {version('torch')}"
    except PackageNotFoundError:
        pytorch = ""
    return (
        f"{named[1] if named else platform.processor()}, {os.cpu_count()} cores, load "
        f"{os.getloadavg()[0]:.1f} at the start; {threads}; Python "
        f"{platform.python_version()}, NumPy {np.__version__} with {blas['name']} "
        f"{blas['version']}{pytorch}."
    )


def table(rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the first row is its head."""
    head, *body = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *body])


def write(section: str, text: str) -> None:
    """Put `text` between the section's two marks in docs/benchmarks.md."""
    path = DOCS / "benchmarks.md"
    marks = f"<!-- {section} -->", f"<!-- end of {section} -->"
    before, rest = path.read_text(encoding="utf-8").split(marks[0])
    _, after = rest.split(marks[1])
    with files.replacing(path) as temporary:
        temporary.write_text(f"{before}{marks[0]}\n{text}\n{marks[1]}{after}", encoding="utf-8")
