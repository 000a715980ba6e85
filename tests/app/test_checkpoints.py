import json
import os
import subprocess
import sys
import tracemalloc
import zipfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from pslref import data, files, versions
from pslref.app import checkpoints, train
from pslref.app.config import SAMPLERS, Config
from pslref.app.runs import Run
from pslref.data import Dataset

DIGITS = data.load("digits")
# Every client with a half of its own, velocities, and a sampler that has them shuffle in mid-epoch.
CONFIG = Config(
    clients=5, epochs=2, hidden=(8,), sampler="targets", momentum=0.9, execution="clients",
    batch_size=512,
)  # fmt: skip


def images(height: int, width: int) -> Dataset:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(24, height, width, 1)), np.arange(24) % 2
    return Dataset("images", x, y, x[:4], y[:4], 2)


def started(config: Config, dataset: Dataset = DIGITS) -> Run:
    return Run(config, dataset)


def everything(run: Run) -> object:
    """What a run did, and by bytes all that it goes on from."""
    return run.results(), {name: array.tobytes() for name, array in run.state().items()}


@pytest.mark.parametrize(
    ("sampler", "execution"),
    [*((name, "clients") for name in SAMPLERS), ("centralized", "pooled"), ("targets", "pooled")],
)
def test_a_run_that_is_left_after_every_step_ends_as_one_that_is_not(
    sampler: str, execution: str, tmp_path: Path
) -> None:
    config = replace(CONFIG, sampler=sampler, execution=execution)
    whole = started(config)
    for _ in whole.steps():
        pass
    run, path = started(config), tmp_path / checkpoints.NAME
    for _ in range(whole.num_steps):
        next(run.steps())
        checkpoints.write(path, run)
        run = started(config)
        checkpoints.resume(path, run)
    assert everything(run) == everything(whole)


@pytest.mark.parametrize("sampler", SAMPLERS[1:])
def test_so_does_a_run_that_loses_clients(sampler: str, tmp_path: Path) -> None:
    def lossy() -> Run:
        lost = {"sampler": sampler, "seed": 1, "faults": 0.8}
        return Run(replace(CONFIG, clients=8, batch_size=256, **lost), DIGITS)

    whole, run = lossy(), lossy()
    for _ in whole.steps():
        pass
    assert whole.results().runs[0]["aborted"] > 0 < whole.results().runs[0]["unreachable"]
    while not run.finished:
        next(run.steps())
        checkpoints.write(tmp_path / "c", run)
        run = lossy()
        checkpoints.resume(tmp_path / "c", run)
    assert everything(run) == everything(whole)


@pytest.mark.parametrize("model", ["cnn", "resnet"])
def test_float32_and_networks_of_images_go_on_to_the_bit_too(model: str, tmp_path: Path) -> None:
    config = replace(CONFIG, model=model, dtype="float32", partition="iid", batch_size=8)
    whole, run = started(config, images(4, 4)), started(config, images(4, 4))
    for _ in whole.steps():
        pass
    next(run.steps())
    checkpoints.write(tmp_path / "c", run)
    again = started(config, images(4, 4))
    checkpoints.resume(tmp_path / "c", again)
    for _ in again.steps():
        pass
    assert everything(again) == everything(whole)


def test_a_checkpoint_is_a_plain_npz_with_every_half_and_the_config(tmp_path: Path) -> None:
    run = started(CONFIG)
    next(run.steps())
    checkpoints.write(tmp_path / "c", run)
    with np.load(tmp_path / "c", allow_pickle=False) as found:
        header = json.loads(found["header"].tobytes())
        config = json.loads(json.dumps(asdict(CONFIG)))
        assert header == {"made_by": versions.MADE_BY, "config": config}
        velocity = run.simulation.server.optimizer.velocity
        for half in (run.simulation.server_network, *run.simulation.client_networks):
            for name, weights in half.parameters().items():
                assert (found[f"weights.{name}"] == weights).all()
                assert (found[f"velocity.{name}"] == velocity[name]).all()


def test_a_config_that_differs_is_refused_by_name(tmp_path: Path) -> None:
    checkpoints.write(tmp_path / "c", started(CONFIG))
    checkpoints.check_config(tmp_path / "c", replace(CONFIG, epochs=3, data_dir="elsewhere"))
    other = replace(CONFIG, epochs=1, hidden=(8, 8), sampler="lds", learning_rate=0.25)
    with pytest.raises(ValueError, match="must be the same to go on") as caught:
        checkpoints.check_config(tmp_path / "c", other)
    assert str(caught.value) == (
        f"{tmp_path / 'c'} is of a run with sampler = 'targets' and hidden = [8] and "
        "learning_rate = 0.5 and epochs = 2, not sampler = 'lds' and hidden = [8, 8] and "
        "learning_rate = 0.25 and epochs = 1: must be the same to go on"
    )


def test_what_another_version_began_is_not_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints.write(tmp_path / "c", started(CONFIG))
    mine = versions.MADE_BY | {"source": "0123456789abcdef", "numpy": "9.0"}
    monkeypatch.setattr(versions, "MADE_BY", mine)
    with pytest.raises(ValueError, match="go on with what made it") as caught:
        checkpoints.check_config(tmp_path / "c", CONFIG)
    monkeypatch.undo()
    was = versions.MADE_BY
    assert str(caught.value) == (
        f"{tmp_path / 'c'} is of source = {was['source']!r} and numpy = {was['numpy']!r}, not "
        "source = '0123456789abcdef' and numpy = '9.0': go on with what made it, or begin anew in "
        "another folder"
    )


def test_the_epochs_of_a_run_that_loses_clients_are_not_raised(tmp_path: Path) -> None:
    """When they go depends on how many there are."""
    lossy = replace(CONFIG, faults=0.5)
    checkpoints.write(tmp_path / "c", Run(lossy, DIGITS))
    checkpoints.check_config(tmp_path / "c", lossy)
    with pytest.raises(ValueError, match="epochs = 2, not epochs = 3: must be the same to go on"):
        checkpoints.check_config(tmp_path / "c", replace(lossy, epochs=3))


# What is not a checkpoint, or no longer. A few images, so that a file has some thousand bytes.

TINY = replace(CONFIG, clients=2, hidden=(1,), batch_size=8, partition="iid")


def left_in_mid_epoch() -> Run:
    run = started(TINY, images(2, 1))
    for _, _ in zip(range(4), run.steps(), strict=False):
        pass
    assert (len(run.history), len(run.epoch.rows)) == (1, 1)
    return run


def read(path: Path) -> Run:
    checkpoints.check_config(path, TINY)
    run = started(TINY, images(2, 1))
    checkpoints.resume(path, run)
    return run


@pytest.fixture
def good(tmp_path: Path) -> Path:
    checkpoints.write(tmp_path / "good", left_in_mid_epoch())
    return tmp_path / "good"


def refused(path: Path) -> str:
    """The one sentence with which a file is refused, in little memory; the file stays as it is."""
    before = path.read_bytes() if path.is_file() else None
    tracemalloc.start()
    with pytest.raises(ValueError, match=str(path)) as caught:
        read(path)
    assert tracemalloc.get_traced_memory()[1] < 2**25 + 2**24  # of which nn frees the first at once
    tracemalloc.stop()
    assert (path.read_bytes() if path.is_file() else None) == before
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600
    return str(caught.value)


def test_a_truncated_checkpoint_is_refused_wherever_it_ends(good: Path) -> None:
    whole = good.read_bytes()
    for size in range(0, len(whole), 61):
        good.write_bytes(whole[:size])
        assert refused(good).endswith("it is not as it was written")


def test_a_byte_that_changes_is_noticed_and_so_is_one_more(good: Path, rng) -> None:
    whole = good.read_bytes()
    for place in rng.choice(len(whole), 50, replace=False):
        damaged = bytearray(whole)
        damaged[place] ^= int(rng.integers(1, 256))
        good.write_bytes(damaged)
        assert refused(good).endswith("it is not as it was written")
    good.write_bytes(whole + b"0")
    assert refused(good).endswith("it is not as it was written")


@pytest.mark.parametrize("content", [b"", b"\xffweights" * 1000, b"PK\x05\x06" + bytes(18)])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c").write_bytes(content)
    assert refused(tmp_path / "c").endswith("it is not as it was written")


def test_what_is_no_file_at_all_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("folder", "pipe"):
        assert "it is not a regular file" in refused(tmp_path / name)


@pytest.mark.parametrize("changed", ["weights.3.weight", "client.left", "walked", "header"])
def test_arrays_that_somebody_has_changed_are_refused(good: Path, changed: str) -> None:
    with np.load(good) as found:
        arrays = {name: found[name] for name in found.files}
    arrays[changed] = np.zeros_like(arrays[changed])
    with good.open("wb") as file:
        np.savez(file, **arrays)
    assert refused(good).endswith("it is not as it was written")


def test_nothing_in_a_file_is_looked_at_before_its_digest(tmp_path: Path) -> None:
    """A bomb of 64 MB in 64 kB, objects to unpickle, and a gigabyte without an end."""
    with zipfile.ZipFile(tmp_path / "bomb", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.npy", bytes(2**26))
    with (tmp_path / "objects").open("wb") as file:
        np.savez(file, header=np.array([{}], object))
    (tmp_path / "hole").touch()
    os.truncate(tmp_path / "hole", 2**30)
    for name in ("bomb", "objects", "hole"):
        tracemalloc.start()
        with pytest.raises(ValueError, match=r"it is not as it was written$"):
            read(tmp_path / name)
        assert tracemalloc.get_traced_memory()[1] < 2**23
        tracemalloc.stop()


def test_objects_in_a_file_of_ours_are_not_unpickled(tmp_path: Path) -> None:
    files.write_npz(tmp_path / "c", {"header": np.array([{}], object)}, sealed=True)
    assert "allow_pickle=False" in refused(tmp_path / "c")


def test_a_folder_is_of_one_run_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    with files.held(folder, "checkpoint"):
        with pytest.raises(ValueError, match=r"^checkpoint = .*: must be a folder that no other"):
            train.train(CONFIG, checkpoint=folder)
        assert list(folder.iterdir()) == []
    train.train(CONFIG, checkpoint=folder)
    assert [path.name for path in folder.iterdir()] == [checkpoints.NAME]


def test_runs_that_are_killed_go_on_to_the_bit() -> None:
    """At ten random moments, and at every point of a write; see the command for more."""
    command = [sys.executable, "-m", "tools.kill_and_resume", "--times", "10"]
    one_thread = os.environ | {
        "OPENBLAS_NUM_THREADS": "1"
    }  # a process with threads should not fork
    subprocess.run(command, check=True, cwd=Path(__file__).parents[1], env=one_thread)
