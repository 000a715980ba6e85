"""Imports between the rooms of the package run one way."""

import ast
import sys
from pathlib import Path

import pytest

import pslref

PACKAGE = Path(pslref.__file__).parent

# room: the rooms it may import, besides those that anybody may
MAP = {
    "check": set(),
    "files": set(),
    "csvfiles": set(),
    "versions": set(),
    "data": {"datafiles"},
    "datafiles": set(),
    "partition": set(),
    "nn": set(),
    "sampling": set(),
    "theory": {"sampling"},
    "split": {"nn", "partition", "sampling", "theory"},
    "oracle": {"app", "nn", "partition", "sampling", "split", "theory"},
    "app": {
        *("data", "datafiles", "nn", "oracle", "partition", "sampling", "split", "theory"),
    },
    "__main__": {"app"},
}
# Of the application each file may import those before it; the oracle's commands, two of them.
APP = (
    *("config", "grids", "options", "terminal", "scenario", "printed", "pictures", "plots"),
    *("tables", "runs", "checkpoints", "compare", "train", "workers", "sweep"),
    *("clients", "schedule", "deviation", "plan", "cli_plan", "cli"),
)
ORACLES = {"app/options.py", "app/terminal.py"}
SEEDED = {"app/scenario.py", "oracle/cli.py", "oracle/pytest.py"}  # where a seed becomes a stream
ANYBODYS = {"check", "csvfiles", "files", "versions"}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """The rooms that a file imports, also inside functions."""
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "pslref":
            rooms |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pslref."):
            rooms.add(str(node.module).split(".")[1])
        elif isinstance(node, ast.Import):
            rooms |= {a.name.split(".")[1] for a in node.names if a.name.startswith("pslref.")}
    return rooms


FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if room_of(path) != "__init__"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_file_imports_only_what_its_room_may(path: Path) -> None:
    assert imported(path) <= MAP[room_of(path)] | ANYBODYS | {room_of(path)}


# The method as a student reads it, from start to end.
READ_FIRST = {
    *("data.py", "partition/held.py"),
    *(f"nn/{name}.py" for name in ("layers", "loss", "network", "sgd")),
    *(f"sampling/{name}.py" for name in ("schedule", "fixed", "uniform", "dirichlet")),
    *(f"theory/{name}.py" for name in ("measured", "expected")),
    *(f"split/{name}.py" for name in ("messages", "client", "server", "step")),
}
METHOD = {"partition", "nn", "sampling", "theory", "split"}
EVERYTHING = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")}
ORACLE, INSTRUMENTS = (
    {name for name in EVERYTHING if name.startswith(room)} for room in ("oracle/", "app/")
)
COMMON = {f"{name}.py" for name in (*ANYBODYS, "datafiles")}
REST = {name for name in EVERYTHING if name.split("/")[0] in METHOD} - READ_FIRST
# room: its files, the most lines that they have together, and that one of them has
BUDGETS = {
    "read first": (READ_FIRST, 1300, 180),
    "the rest of the method": (REST, 3915, 250),
    "the instruments": (INSTRUMENTS, 3525, 258),
    "what every room uses": (COMMON, 880, 260),
    "the oracle": (ORACLE, 5463, 291),
}


@pytest.mark.parametrize("room", BUDGETS)
def test_a_room_keeps_to_its_lines(room: str) -> None:
    files, together, each = BUDGETS[room]
    lines = {file: len((PACKAGE / file).read_text(encoding="utf-8").splitlines()) for file in files}
    assert max(lines.values()) <= each, lines
    assert sum(lines.values()) <= together, lines


def imports_of(path: Path) -> set[str]:
    """What a file imports, also inside functions: files of pslref, and others' packages."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {f"{alias.name}." for alias in node.names}
    ours = {name.removeprefix("pslref.") for name in found if name.startswith("pslref.")}
    others = {name.split(".")[0] for name in found} - {"pslref"} - set(sys.stdlib_module_names)
    return {file_of(name) for name in ours} | others


def file_of(name: str) -> str:
    """The file of what is imported: a module, or a name of a module or of a room as a whole."""
    while not (PACKAGE / f"{name.replace('.', '/')}.py").is_file() and "." in name:
        name = name.rpartition(".")[0]
    return f"{name.replace('.', '/')}.py"


@pytest.mark.parametrize("name", sorted(READ_FIRST))
def test_what_is_read_first_imports_numpy_and_each_other_and_nothing_else(name: str) -> None:
    files_of_data = {"datafiles.py"} if name == "data.py" else set()
    assert imports_of(PACKAGE / name) <= READ_FIRST | {"numpy", "check.py"} | files_of_data


def test_the_files_of_the_application_are_in_an_order() -> None:
    assert {path.stem for path in (PACKAGE / "app").glob("[!_]*.py")} == set(APP)
    for i, name in enumerate(APP):
        used = {file for file in imports_of(PACKAGE / "app" / f"{name}.py") if "app/" in file}
        assert used <= {f"app/{earlier}.py" for earlier in APP[:i]}, name
    for path in (PACKAGE / "oracle").glob("*.py"):
        assert {file for file in imports_of(path) if "app/" in file} <= ORACLES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_file_can_be_read_in_one_sitting(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


def test_randomness_is_passed_in_and_nothing_is_unpickled() -> None:
    """No global generator and no bare seed below runs; no pickle anywhere."""
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        assert "np.random.seed" not in text
        assert "allow_pickle=True" not in text
        assert "import pickle" not in text
        if path.relative_to(PACKAGE).as_posix() not in SEEDED:
            assert "default_rng(" not in text
