"""What README promises to be the same to the last bit, and what to rounding."""

import csv
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
SMALL = ["--clients", "5", "--batch-size", "512"]
EVERY = {
    "compare": ["--epochs", "1", "--seeds", "1", "--hidden", "4", "--faults", "0,0.4"],
    "schedule": ["--sampler", "ugs,lds,targets,stratified"],
    "deviation": ["--sampler", "ugs,lds"],
    "stragglers": ["--seeds", "1", "--delta", "1", "--concentration", "1", "--slack", "0,0.5"],
}
PROGRAM = """
import sys
from pslref import cli
for line in {lines!r}:
    sys.argv = line
    try:
        cli.main()
    except SystemExit as end:
        assert not end.code
"""


def in_another_process(lines: Sequence[Sequence[str]], **environment: str) -> bytes:
    """What the command lines print, one after the other."""
    program = PROGRAM.format(lines=[["pslref", *line] for line in lines])
    env = os.environ | {"OPENBLAS_NUM_THREADS": "1"} | environment
    run = [sys.executable, "-W", "ignore", "-c", program]
    return subprocess.run(run, check=True, capture_output=True, cwd=ROOT, env=env).stdout


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}


def test_the_same_commands_twice_print_and_write_the_same(tmp_path: Path) -> None:
    """Also where another process orders its sets otherwise."""
    printed = []
    for seed in ("1", "2"):
        lines = [
            [name, *SMALL, *options, "--out", str(tmp_path / seed / name)]
            for name, options in EVERY.items()
        ]
        printed.append(in_another_process(lines, PYTHONHASHSEED=seed))
    assert printed[1].replace(b"/2/", b"/1/") == printed[0] != b""
    assert contents(tmp_path / "1").keys() > {"compare/steps.csv", "stragglers/stragglers.png"}
    assert contents(tmp_path / "1") == contents(tmp_path / "2")


def test_another_number_of_blas_threads_changes_rounding_only(tmp_path: Path) -> None:
    weights = []
    for threads in ("1", "2"):
        line = ["train", "--epochs", "1", "--hidden", "512", "--out", str(tmp_path)]
        in_another_process([line], OPENBLAS_NUM_THREADS=threads)
        with np.load(tmp_path / "weights.npz") as found:
            weights.append(np.concatenate([found[name].ravel() for name in found.files]))
    np.testing.assert_allclose(weights[1], weights[0], rtol=0, atol=1e-12 * abs(weights[0]).max())


@pytest.mark.parametrize("command", ["schedule", "deviation", "stragglers"])
def test_the_order_of_samplers_and_values_changes_the_order_of_rows_alone(
    pslref, tmp_path: Path, command: str
) -> None:
    """`compare` and `sweep` have tests of their own for that."""
    options = {
        "sampler": "ugs,lds,targets",
        **({"delta": "0,1", "concentration": "1"} if command == "stragglers" else {}),
    }
    files = {"schedule": "schedule.csv", "deviation": "deviation.csv"}
    found = []
    for turn in (1, -1):
        given = [f"--{n}={','.join(text.split(',')[::turn])}" for n, text in options.items()]
        code, _, error = pslref(command, *SMALL, *given, "--out", str(tmp_path))
        assert (code, error) == (0, "")
        with (tmp_path / files.get(command, "stragglers.csv")).open() as file:
            found.append([tuple(row.items()) for row in csv.DictReader(file)])
    assert sorted(found[0]) == sorted(found[1])
    assert command == "stragglers" or found[0] != found[1]
