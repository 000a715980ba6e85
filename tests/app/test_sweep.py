import csv
import json
import os
import statistics
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from pslref import versions
from pslref.app import runs, sweep
from pslref.app.config import Config
from pslref.app.grids import configs, described
from pslref.data import load
from tests.app.conftest import ANOTHER, GRID, contents
from tests.drawn import drawn, table

FEW = GRID | {"epochs": 1}


class Counted(ThreadPoolExecutor):
    """One thread that counts what it is given."""

    submitted = 0

    def submit(self, *args, **kwargs):
        Counted.submitted += 1
        return super().submit(*args, **kwargs)


def made(grid: dict, out: Path) -> tuple[list[dict], int]:
    """The rows of a grid, and how many runs were made for them."""
    before = Counted.submitted
    rows = sweep.sweep(configs(grid), out, Counted(1).submit)
    return rows, Counted.submitted - before


def test_a_row_is_what_compare_finds_and_the_tables_hold_all_of_it(tmp_path: Path) -> None:
    grid = FEW | {"seeds": 2, "seed": 3}
    rows, count = made(grid, tmp_path)
    assert len(rows) == count == 2 * (1 + 2 * 2)
    assert [row["sampler"] for row in rows[:4]] == ["centralized", "centralized", "ugs", "ugs"]
    epochs = list(csv.DictReader((tmp_path / "epochs.csv").read_text().splitlines()))
    written = list(csv.DictReader((tmp_path / "sweep.csv").read_text().splitlines()))
    for row, in_csv, epoch in zip(rows, written, epochs, strict=True):
        partition, clients = row["partition"] or "mild", row["clients"] or 9
        run = {"sampler": row["sampler"], "seed": row["seed"], "epochs": 1, "hidden": (16,)}
        results = runs.run(Config(partition=partition, clients=clients, **run), load("digits"))
        assert row.items() >= results.runs[0].items()
        assert row["error"] is None
        assert in_csv == {k: "" if v is None else str(v) for k, v in row.items()}
        assert epoch.keys() == set(row) - set(results.runs[0]) - {"error"} | {
            "epoch", "loss", "test_accuracy", "time_so_far", "megabytes_so_far",
        }  # fmt: skip
        assert float(epoch["loss"]) == results.epochs[0]["loss"]
    kept = [json.loads(path.read_text()) for path in (tmp_path / "runs").glob("ugs-3-*.json")]
    assert len(kept) == 4
    for run in kept:
        assert len(run["steps"]) == run["row"]["num_steps"] == 23
    written = json.loads((tmp_path / "config.json").read_text())
    assert written == json.loads(json.dumps(described(configs(grid)))) | {
        "made_by": versions.MADE_BY
    }


def test_the_picture_draws_mean_and_deviation_over_the_seeds_of_the_table(
    tmp_path: Path, pictures: dict[str, Figure]
) -> None:
    made(FEW | {"seeds": 3}, tmp_path)
    rows = table(tmp_path / "sweep.csv")
    panels = drawn(pictures["sweep.png"])
    assert [panel.title for panel in panels] == ["partition = iid", "partition = severe"]
    for panel in panels:
        partition = panel.title.removeprefix("partition = ")
        assert panel.xticks == {0: "5", 1: "8"}
        assert panel.bars.keys() == {"centralized", "ugs"}
        for sampler, bars in panel.bars.items():
            for (x, mean, low, high), clients in zip(bars.T, (5, 8), strict=True):
                place = {"partition": partition, "clients": clients} if sampler == "ugs" else {}
                run = {"sampler": sampler, **place}
                values = [100 * row["test_accuracy"] for row in rows if row.items() >= run.items()]
                assert len(values) == 3
                assert abs(x - (5, 8).index(clients)) < 0.15
                assert mean == pytest.approx(statistics.mean(values))
                assert (high - low) / 2 == pytest.approx(statistics.stdev(values))
                assert (high + low) / 2 == pytest.approx(mean)


def test_what_another_grid_left_is_used_and_only_this_grid_is_in_the_table(tmp_path: Path) -> None:
    _, count = made(FEW, tmp_path / "both")
    assert count == 5
    wider = FEW | {"clients": [8, 16], "partition": "severe"}
    rows, count = made(wider, tmp_path / "both")
    assert (len(rows), count) == (3, 1)
    assert made(wider, tmp_path / "alone")[1] == 3
    both, alone = contents(tmp_path / "both"), contents(tmp_path / "alone")
    assert len(both) == len(alone) + 3
    assert both.items() >= alone.items()


def test_a_run_that_fails_is_a_row_and_is_tried_again(tmp_path: Path) -> None:
    grid = FEW | {"batch_size": [64, 5000], "clients": 5, "learning_rate": [0.5, 1e200]}
    rows, _ = made(grid, tmp_path)
    errors = {(row["batch_size"], row["learning_rate"]): row["error"] for row in rows}
    assert errors[64, 0.5] is None
    assert errors[5000, 0.5] == "batch_size = 5000: must be a whole number from 1 to 1442"
    assert errors[64, 1e200].startswith("epoch 0, step 1: the loss is ")
    failed = [row for row in rows if row["error"]]
    assert all(row["test_accuracy"] is None for row in failed)
    written = (tmp_path / "sweep.csv").read_bytes()
    again, count = made(grid, tmp_path)
    assert (again, count) == (rows, len(failed))
    assert (tmp_path / "sweep.csv").read_bytes() == written
    means = sweep.summarized(rows)
    assert [row["failed"] for row in means] == [int(row["test_accuracy"] is None) for row in means]


def test_a_sweep_of_which_every_run_fails_has_its_tables(tmp_path: Path) -> None:
    rows, _ = made(FEW | {"batch_size": 5000}, tmp_path)
    assert all(row["error"] for row in rows)
    assert (tmp_path / "epochs.csv").read_text().count("\n") == 1 + len(rows)
    assert (tmp_path / "sweep.png").exists()


def test_an_error_that_is_no_sentence_of_ours_is_a_row_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise MemoryError("Unable to\nallocate 1 TiB")

    monkeypatch.setattr(sweep, "run", fail)
    rows, _ = made(FEW, tmp_path)
    assert {row["error"] for row in rows} == {"MemoryError: Unable to allocate 1 TiB"}


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: text.replace('"ugs"', '"fls"', 1),
        lambda text: text.replace('"step": 3', '"step": 4'),
        lambda text: text.replace('"test_accuracy": 0.', '"test_accuracy": 0.1', 1),
        lambda text: "[]",
        lambda text: "[" * 100_000,
        lambda text: '{"config": {}}',
        lambda text: "\udcff",
    ],
)
def test_a_damaged_file_is_named_and_nothing_is_written(tmp_path: Path, damage) -> None:
    made(FEW, tmp_path)
    path = next((tmp_path / "runs").glob("ugs-*.json"))
    path.write_bytes(damage(path.read_text()).encode(errors="surrogateescape"))
    (tmp_path / "sweep.csv").unlink()
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=f"{path.name} is not as it was written: delete it"):
        made(FEW, tmp_path)
    assert contents(tmp_path) == before


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    made(FEW, tmp_path)
    path = next((tmp_path / "runs").glob("ugs-*.json"))
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ValueError, match=rf"run = '.*{path.name}': must be a file that can be rea"):
        made(FEW, tmp_path)


def test_a_run_of_another_version_is_not_mixed_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(FEW, tmp_path)
    before = contents(tmp_path)
    monkeypatch.setattr(versions, "MADE_BY", versions.MADE_BY | {"blas": "slow 1.0"})
    with pytest.raises(
        ValueError, match=r"runs/.*json is of blas = '.*', not blas = 'slow 1.0': go"
    ):
        made(FEW | {"seeds": 2}, tmp_path)
    assert contents(tmp_path) == before


def test_a_worker_of_another_version_is_refused_before_it_runs_anything(tmp_path: Path) -> None:
    """In one sentence, not in a row for every run."""
    with (
        ProcessPoolExecutor(1, get_context("spawn"), exec, (ANOTHER,)) as foreign,
        pytest.raises(
            ValueError, match=r"^what asked the worker on .* is of numpy = '.*, not numpy = '1.0'"
        ),
    ):
        sweep.sweep(configs(FEW), tmp_path, foreign.submit)
    assert contents(tmp_path) == {}


def test_a_file_of_another_run_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    made(FEW, tmp_path)
    one, other, *_ = sorted((tmp_path / "runs").glob("ugs-*.json"))
    one.write_bytes(other.read_bytes())
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=rf"{one.name} is of a run with .*: must hold this one$"):
        made(FEW, tmp_path)
    assert contents(tmp_path) == before


def test_means_are_over_the_seeds_that_finished(tmp_path: Path) -> None:
    rows, _ = made(FEW | {"sampler": "ugs", "clients": 5, "partition": "iid", "seeds": 3}, tmp_path)
    rows[1] = rows[1] | {"error": "lost", "test_accuracy": None, "max_deviation": None}
    (mean,) = sweep.summarized(rows)
    first, last = rows[0]["test_accuracy"], rows[2]["test_accuracy"]
    assert (mean["seeds"], mean["failed"]) == (2, 1)
    assert mean["test_accuracy"] == pytest.approx((first + last) / 2)
    assert mean["test_accuracy_std"] == pytest.approx(abs(first - last) / 2**0.5)
    assert mean["max_deviation"] == max(rows[0]["max_deviation"], rows[2]["max_deviation"])


KILLED = """
import os, signal, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from pslref.app import sweep
from pslref.app.grids import configs
left = int(sys.argv[2])
def watch(event, args):
    global left
    if event in ("open", "os.rename") and "/.pslref-" in str(args[0]):
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(watch)
sweep.sweep(configs({grid}), Path(sys.argv[1]), ThreadPoolExecutor(1).submit)
"""


def test_a_sweep_killed_at_any_point_ends_in_the_same_files(
    tmp_path: Path, reference: Path
) -> None:
    """What is left is cleared; then each file is made, locked, written, synced, renamed."""
    program = [sys.executable, "-c", KILLED.replace("{grid}", repr(GRID)), str(tmp_path)]
    finished = []
    for events in (4, 10, 12, 16):
        killed = subprocess.run([*program, str(events)], check=False)
        assert killed.returncode == -9
        finished.append(len(list(tmp_path.glob("runs/[!.]*"))))
    assert finished == [0, 1, 3, 5]
    rows, count = made(GRID, tmp_path)
    assert (len(rows), count) == (5, 0)
    assert contents(tmp_path) == contents(reference)
