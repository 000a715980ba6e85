"""What README promises to be the same to the last bit, and what to rounding."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
SMALL = ["--clients", "5", "--batch-size", "512"]
LINES = {
    "compare": ["--sampler", "ugs", "--epochs", "1", "--seeds", "1", "--faults", "0.4"],
    "deviation": ["--sampler", "fls,ugs"],
    "plan": ["--sampler", "targets", "--seeds", "1", "--slack", "0,0.5"],
    "train": ["--epochs", "1", "--hidden", "512"],
}
PROGRAM = """
import sys
from pslref.app import cli
for line in {lines!r}:
    sys.argv = line
    try:
        cli.main()
    except SystemExit as end:
        assert not end.code
"""


def in_another_process(folder: Path, *commands: str, **environment: str) -> bytes:
    """What commands print, one after the other; each writes to a folder of its name."""
    lines = [["pslref", c, *SMALL, *LINES[c], "--out", str(folder / c)] for c in commands]
    env = os.environ | {"OPENBLAS_NUM_THREADS": "1"} | environment
    run = [sys.executable, "-c", PROGRAM.format(lines=lines)]
    return subprocess.run(run, check=True, capture_output=True, cwd=ROOT, env=env).stdout


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}


def weights(folder: Path) -> np.ndarray:
    with np.load(folder / "train" / "weights.npz") as found:
        return np.concatenate([found[name].ravel() for name in found.files])


def test_the_same_commands_twice_print_and_write_the_same(tmp_path: Path) -> None:
    """In another process, which orders its sets otherwise, and whose shell asks for another
    matplotlib backend; with two BLAS threads, nearly.
    """
    one, two, threads = (tmp_path / name for name in ("one", "two", "threads"))
    first = in_another_process(one, *LINES, PYTHONHASHSEED="1")
    second = in_another_process(two, *LINES, PYTHONHASHSEED="2", MPLBACKEND="none")
    assert second.replace(b"/two/", b"/one/") == first != b""
    assert contents(one).keys() > {"compare/steps.csv", "plan/plan.png"}
    assert contents(one) == contents(two)
    in_another_process(threads, "train", OPENBLAS_NUM_THREADS="2")
    rounding = 1e-12 * abs(weights(one)).max()
    np.testing.assert_allclose(weights(threads), weights(one), rtol=0, atol=rounding)


@pytest.mark.parametrize("command", ["schedule", "deviation", "plan"])
def test_the_order_of_samplers_and_values_changes_the_order_of_rows_alone(
    pslref, tmp_path: Path, command: str
) -> None:
    """`compare` and `sweep` have tests of their own for that."""
    options = {
        "sampler": "fls,ugs,targets",
        **({"slack": "0,0.5"} if command == "plan" else {}),
    }
    files = {"schedule": "schedule.csv", "deviation": "deviation.csv"}
    found = []
    for turn in (1, -1):
        given = [f"--{n}={','.join(text.split(',')[::turn])}" for n, text in options.items()]
        code, _, error = pslref(command, *SMALL, *given, "--out", str(tmp_path))
        assert (code, error) == (0, "")
        with (tmp_path / files.get(command, "plan.csv")).open() as file:
            found.append([tuple(row.items()) for row in csv.DictReader(file)])
    assert sorted(found[0]) == sorted(found[1])
    assert command == "plan" or found[0] != found[1]
