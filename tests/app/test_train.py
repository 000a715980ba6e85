import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pslref import data
from pslref.app import checkpoints, cli
from pslref.app.compare import compare
from pslref.app.config import Config
from pslref.app.scenario import network
from pslref.app.train import results_of, train
from pslref.split import Diverged

ONE = Config(clients=8, epochs=2, hidden=(8,), sampler="lds", seed=1, momentum=0.9)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize(("faults", "model"), [(0.0, "mlp"), (0.5, "mlp"), (0.0, "resnet")])
def test_train_does_what_compare_does_and_keeps_the_weights(
    faults: float, model: str, tmp_path: Path
) -> None:
    config = replace(ONE, faults=faults, model=model, epochs=1 + (model == "mlp"))
    compared = compare([config])
    run = train(config, out=tmp_path)
    assert results_of(run) == compared
    assert (compared.runs[0]["unreachable"] > 0) == (faults > 0)
    assert sorted(contents(tmp_path)) == [
        "config.json", "epochs.csv", "results.csv", "steps.csv", "weights.npz",
    ]  # fmt: skip
    asked = json.loads((tmp_path / "config.json").read_text())
    assert asked.items() >= (asdict(config) | {"hidden": [8]}).items()
    dataset = data.load("digits")
    net = network(config, (8, 8, 1), 10, np.random.default_rng(0))
    with np.load(tmp_path / "weights.npz", allow_pickle=False) as weights:
        for name, array in (net.parameters() | net.statistics()).items():
            array[...] = weights[name]
    right = net.evaluate(dataset.x_test).argmax(axis=1) == dataset.y_test
    assert right.mean() == pytest.approx(compared.runs[0]["test_accuracy"])


def test_another_process_writes_the_same_bytes(tmp_path: Path) -> None:
    train(Config(clients=8, epochs=1, sampler="lds"), out=tmp_path / "here")
    again = ["train", "--clients", "8", "--epochs", "1", "--sampler", "lds"]
    there = [sys.executable, "cli.py", *again, "--out", str(tmp_path / "there")]
    root, other_hashes = Path(__file__).parents[2], os.environ | {"PYTHONHASHSEED": "1"}
    subprocess.run(there, cwd=root, env=other_hashes, stdout=subprocess.DEVNULL, check=True)
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


def test_a_batch_size_passes_few_functions_on_its_way_to_a_client() -> None:
    """Those at work when it is read, when it is checked, and when a client draws."""
    on_the_way: dict[str, None] = {}
    checked: list[str] = []

    def look(frame: Any, event: str, argument: object) -> None:
        name, given = frame.f_code.co_qualname, frame.f_locals
        is_check = name == "integer" and given["name"] == "batch_size"
        is_read = name == "number" and given.get("text") == "50"
        if event != "call" or not (is_read or is_check or name == "Samples.draw"):
            return
        if is_check:
            checked.append(frame.f_back.f_code.co_qualname)
        while frame.f_code.co_filename != __file__:
            code, frame = frame.f_code, frame.f_back
            is_ours = "/pslref/" in code.co_filename and not code.co_filename.endswith("check.py")
            if is_ours and code.co_name != "<listcomp>":  # which is no function from 3.12 on
                on_the_way[f"{Path(code.co_filename).stem}.{code.co_qualname}"] = None

    sys.setprofile(look)
    try:
        command = ["train", "--batch-size", "50", "--clients", "8", "--epochs", "1", "--json"]
        cli.app(command, standalone_mode=False)
    finally:
        sys.setprofile(None)
    assert {"options.command", "uniform.ugs", "client.Samples.draw"} <= {
        name.split(".<locals>")[0] for name in on_the_way
    }
    assert len(on_the_way) <= 14, list(on_the_way)
    # The option's own range, before any data are read; then that it is at most N, before and where
    # the sizes of all batches are made.
    assert checked == ["Config.__post_init__", "ugs", "global_batch_sizes"]


def left_after(steps: int) -> Callable[[], bool]:
    asked = iter(range(steps))
    return lambda: next(asked, None) is None


@pytest.mark.parametrize("every", [None, 5])
def test_a_run_left_and_taken_up_writes_what_one_in_one_piece_writes(
    every: int | None, tmp_path: Path
) -> None:
    whole, parts, folder = tmp_path / "whole", tmp_path / "parts", tmp_path / "checkpoint"
    train(ONE, out=whole)
    options = {"checkpoint": folder, "every": every, "out": parts}
    folder.mkdir()
    (folder / ".pslref-1234").write_text("half a checkpoint, of a process that was killed")
    assert not train(ONE, resume=True, stop=left_after(3), **options).finished
    assert list(contents(folder)) == ["checkpoint.npz"]
    assert not parts.exists()
    assert not train(ONE, resume=True, stop=left_after(30), **options).finished
    assert train(ONE, resume=True, **options).finished
    assert contents(parts) == contents(whole)
    assert list(contents(folder)) == ["checkpoint.npz"]
    assert train(ONE, resume=True, **options).finished  # once more: nothing to do
    assert contents(parts) == contents(whole)


def test_a_finished_run_goes_on_when_the_epochs_are_raised(tmp_path: Path) -> None:
    whole = train(replace(ONE, epochs=3), out=tmp_path / "whole")
    train(ONE, checkpoint=tmp_path / "c")
    more = {"checkpoint": tmp_path / "c", "resume": True, "out": tmp_path / "parts"}
    run = train(replace(ONE, epochs=3), **more)
    assert run.results() == whole.results()
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


def test_checkpoints_are_written_when_they_are_due(tmp_path: Path, monkeypatch) -> None:
    written = []
    monkeypatch.setattr(checkpoints, "write", lambda path, run: written.append(run.num_steps))
    train(ONE, checkpoint=tmp_path)
    assert written == [23, 46]
    written.clear()
    train(ONE, checkpoint=tmp_path, every=20)
    assert written == [20, 40, 46]


def test_a_checkpoint_is_never_overwritten_by_another_run(tmp_path: Path) -> None:
    train(ONE, checkpoint=tmp_path)
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=r"must be a folder without checkpoint\.npz, or go on"):
        train(ONE, checkpoint=tmp_path)
    with pytest.raises(ValueError, match="is of a run with seed = 1, not seed = 2"):
        train(replace(ONE, seed=2), checkpoint=tmp_path, resume=True)
    (tmp_path / "checkpoint.npz").write_bytes(before["checkpoint.npz"][:-1])
    with pytest.raises(ValueError, match=r"checkpoint.npz': must be a checkpoint that can be used"):
        train(ONE, checkpoint=tmp_path, resume=True)
    assert contents(tmp_path) == {"checkpoint.npz": before["checkpoint.npz"][:-1]}


def test_a_run_that_diverges_keeps_its_last_checkpoint(tmp_path: Path) -> None:
    wild = replace(ONE, learning_rate=1e155, epochs=9)
    with pytest.raises(Diverged, match=r"epoch \d, step \d+: the loss is"):
        train(wild, checkpoint=tmp_path, every=1)
    assert list(contents(tmp_path)) == ["checkpoint.npz"]
