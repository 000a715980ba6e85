import io
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console

from pslref.app import grids, workers
from tests.app.conftest import GRID, OPTIONS, contents

TOML = """
partition = ["iid", "severe"]
clients = [5, 8]
sampler = ["centralized", "ugs", "lds"]
hidden = [16]
epochs = 100
seeds = 1
"""


def test_options_win_over_the_file_and_make_the_same_sweep(
    pslref, tmp_path: Path, reference: Path
) -> None:
    (tmp_path / "grid.toml").write_text(TOML, encoding="utf-8-sig")  # as some editors do
    over = ["--grid", str(tmp_path / "grid.toml"), "--sampler", "centralized,ugs", "--epochs", "8"]
    code, out, err = pslref("sweep", *over, "--out", str(tmp_path / "out"), "--jobs", "2")
    assert (code, err) == (0, "")
    assert contents(tmp_path / "out") == contents(reference)
    header, first, *rest = out.splitlines()
    assert header.split()[:4] == ["sampler", "partition", "clients", "accuracy"]
    assert first.startswith("centralized ")
    assert [line.split()[:3] for line in rest[:-2]] == [
        ["ugs", "iid", "5"], ["ugs", "iid", "8"], ["ugs", "severe", "5"], ["ugs", "severe", "8"],
    ]  # fmt: skip


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def one(jobs: int):
        yield ThreadPoolExecutor(jobs).submit

    monkeypatch.setattr(workers, "processes", one)


@pytest.mark.usefixtures("threads")
def test_json_is_the_grid_and_a_row_for_each_run(pslref, tmp_path: Path) -> None:
    options = [text if text != "8" else "1" for text in OPTIONS]
    code, out, _ = pslref("sweep", *options, "--json", "--out", str(tmp_path))
    assert code == 0
    found = json.loads(out)
    described = grids.described(grids.configs(GRID | {"epochs": 1}))
    assert found["config"] == json.loads(json.dumps(described))
    assert [row["sampler"] for row in found["results"]] == ["centralized"] + ["ugs"] * 4


def test_progress_says_how_many_workers_a_scheduler_has(
    pslref, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    @contextmanager
    def cluster(address: str, show: Callable[..., None]):
        show(description="runs (workers: 0)")
        yield ThreadPoolExecutor(1).submit

    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True)
    monkeypatch.setattr(workers, "cluster", cluster)
    monkeypatch.setattr("rich.console.Console", lambda **_: console)
    options = ["--sampler", "ugs", "--epochs", "1", "--seeds", "1", "--clients", "5"]
    assert pslref("sweep", *options, "--scheduler", "x", "--out", str(tmp_path))[0] == 0
    assert "runs (workers: 0) " in shown.getvalue()


@pytest.mark.usefixtures("threads")
def test_a_failed_run_is_said_and_the_exit_code_is_1(pslref, tmp_path: Path) -> None:
    options = ["--epochs", "1", "--sampler", "ugs", "--batch-size", "64,5000", "--clients", "8"]
    code, out, err = pslref("sweep", *options, "--seeds", "2", "--out", str(tmp_path))
    assert code == 1
    assert [line.split()[:3] for line in out.splitlines()[2:3]] == [["ugs", "5000", "failed"]]
    sentence = "batch_size = 5000: must be a whole number from 1 to 1442"
    assert err == f"pslref: 2 of 4 runs failed: {sentence}\n"


@pytest.mark.usefixtures("threads")
def test_a_folder_may_have_a_comma_in_its_name(pslref, tmp_path: Path) -> None:
    options = ["--dataset", "cifar10", "--data-dir", "a,b", "--sampler", "ugs", "--seeds", "1"]
    code, _, err = pslref("sweep", *options, "--out", str(tmp_path))
    assert code == 1
    assert "1 of 1 runs failed: " in err
    assert err.endswith("`pslref data get cifar10 --data-dir a,b` downloads it\n")
