import json
import os
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from pslref import data, files, versions
from pslref.app import checkpoints, runs, train
from pslref.app.config import SAMPLERS, Config
from pslref.app.runs import Run
from pslref.data import Dataset
from pslref.split.epoch import COUNTED

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


def test_float32_and_convolutions_go_on_to_the_bit_too(tmp_path: Path) -> None:
    config = replace(CONFIG, model="cnn", dtype="float32", partition="iid", batch_size=8)
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
        assert (header["format"], header["version"]) == ("pslref checkpoint", 4)
        assert header["config"] == json.loads(json.dumps(asdict(CONFIG)))
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
    assert (len(run.records), len(run.epoch.rows)) == (1, 1)
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
        assert "is no checkpoint that can be used: " in refused(good)


def test_a_byte_that_changes_is_noticed_or_does_not_matter(good: Path, rng) -> None:
    whole, expected = good.read_bytes(), everything(left_in_mid_epoch())
    noticed = 0
    for place in rng.choice(len(whole), 150, replace=False):
        damaged = bytearray(whole)
        damaged[place] ^= int(rng.integers(1, 256))
        good.write_bytes(damaged)
        try:
            run = read(good)
        except ValueError as error:
            noticed += str(good) in str(error)
        else:
            assert everything(run) == expected
    assert noticed > 100


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "File is not a zip file"),
        (b"\xffweights" * 1000, "File is not a zip file"),
        (b"PK\x05\x06" + bytes(18), "it has no header"),  # a zip without a file in it
    ],
)
def test_another_file_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "c").write_bytes(content)
    assert reason in refused(tmp_path / "c")


def test_what_is_no_file_at_all_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("folder", "pipe"):
        assert "it is no file" in refused(tmp_path / name)


def rewritten(path: Path, **changed: object) -> Path:
    """The checkpoint with other arrays, or without those that are None; a dict is a header."""
    with np.load(path) as found:
        arrays = {name: found[name] for name in found.files}
    for name, value in changed.items():
        if isinstance(value, dict):
            value = np.frombuffer(json.dumps(value).encode(), np.uint8)
        arrays[name.replace("__", ".")] = value
    arrays = {name: array for name, array in arrays.items() if array is not None}
    with path.open("wb") as file:
        np.savez(file, **arrays)
    return path


HEADER = {
    "format": "pslref checkpoint",
    "version": 4,
    "made_by": versions.MADE_BY,
    "config": json.loads(json.dumps(asdict(TINY))),
}


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        (HEADER | {"version": 1}, "is of checkpoint format 1: must be 4"),
        (HEADER | {"version": "x" * 1000}, "is of checkpoint format 'xxxx"),
        (HEADER | {"made_by": None}, "is of pslref = None and source = None and numpy = None"),
        (HEADER | {"format": "weights"}, "its header does not say 'pslref checkpoint'"),
        (HEADER | {"config": None}, "must have a config of the same fields"),
        (HEADER | {"config": {"clients": 2}}, "must have a config of the same fields"),
        (HEADER | {"config": HEADER["config"] | {"more": 1}}, "a config of the same fields"),
        (HEADER | {"config": HEADER["config"] | {"epochs": "x"}}, "with epochs = 'x', not"),
        (HEADER | {"config": HEADER["config"] | {"epochs": True}}, "with epochs = True, not"),
        (HEADER | {"config": HEADER["config"] | {"seed": True}}, "with seed = True, not"),
        (np.frombuffer(b"[]", np.uint8), "its header does not say"),
        (np.frombuffer(b"[" * 90_000, np.uint8), "maximum recursion depth"),
        (np.frombuffer(b"{", np.uint8), "Expecting property name"),
        (np.frombuffer(b'"\xff"', np.uint8), "invalid"),
        (np.zeros(200_000, np.uint8), "must be uint8 (100000,)"),
        (np.array(1.0), "header is float64 (): must be uint8"),
        (np.array([{}], object), "header is object (1,): must be uint8 (1,)"),
    ],
)
def test_a_foreign_header_is_refused(good: Path, header: object, sentence: str) -> None:
    assert sentence in refused(rewritten(good, header=header))


WALKED = [
    *(("committed", bool), ("loss", float), *((name, int) for name in COUNTED)),
    ("class_counts", int, (2,)),
]


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"weights__3.weight": None}, "it has no weights.3.weight"),
        ({"weights__3.weight": np.full((1, 2), np.nan)}, "that is not finite"),
        ({"velocity__1.bias": np.full(1, np.inf)}, "that is not finite"),
        ({"weights__3.weight": np.zeros((2, 2))}, "must be float64 (1, 2)"),
        ({"weights__3.weight": np.zeros((1, 2), "f4")}, "is float32 (1, 2): must be"),
        ({"weights__3.weight": np.zeros((1, 2), ">f8")}, "is >f8 (1, 2): must be"),
        ({"weights__3.weight": np.zeros((1, 2), object)}, "is object (1, 2)"),
        ({"weights__1.weight": np.zeros((1, 2))}, "must be float64 (2, 1)"),
        ({"client__left": np.arange(24)[::-1].copy()}, "samples of client 0"),
        ({"client__left": np.full(24, 24)}, "samples of client 0"),
        ({"client__left": np.full(24, -2)}, "samples of client 0"),
        ({"client__left": np.full(24, 3)}, "samples of client"),
        ({"walked": np.zeros(49, WALKED)}, "walked is"),
        ({"walked": np.array([(True, np.nan, *[1] * 6, (1, 1))], WALKED)}, "that is not finite"),
        ({"history__epochs": np.zeros(1, [("num_committed", int)])}, "history.epochs is"),
        ({"history__steps": np.zeros((0, 4))}, "history.steps is float64 (0, 4)"),
        ({"step_times": np.zeros(2)}, "step_times: must be one for each row of walked"),
        ({"planned_at": np.array([2])}, "planned_at: must be from 0 to 1"),
        ({"planned_at": np.array([-1])}, "planned_at: must be from 0 to 1"),
        ({"planned_for": np.full((2, 2), 25)}, "planned_for: must be at most what each client"),
        ({"planned_for": np.full((2, 2), -1)}, "planned_for: must be at most what each client"),
        ({"next_step": np.array([0])}, "next_step: must be 1 or more"),
    ],
)
def test_arrays_that_are_not_this_runs_are_refused(
    good: Path, changed: dict[str, object], sentence: str
) -> None:
    assert sentence in refused(rewritten(good, **changed))


@pytest.mark.parametrize(
    "lengths", [[0, 3], [4, -1], [4], [2**63 - 1], [3, 2**62, 2**62, 2**62, 2**62]]
)
def test_epochs_that_do_not_have_the_steps_are_refused(good: Path, lengths: list[int]) -> None:
    epochs = np.zeros(len(lengths), runs.EPOCH)
    epochs["num_committed"] = lengths
    assert "history.epochs" in refused(rewritten(good, history__epochs=epochs))


def test_more_epochs_than_the_run_has_are_refused(good: Path) -> None:
    with np.load(good) as found:
        epochs, steps = found["history.epochs"], found["history.steps"]
    many = {"history__epochs": np.tile(epochs, 9), "history__steps": np.tile(steps, 9)}
    assert "history.epochs: must be at most" in refused(rewritten(good, **many))


def test_steps_that_others_than_the_used_samples_took_are_refused(good: Path) -> None:
    with np.load(good) as found:
        walked = found["walked"]
    assert "walked: must have the" in refused(rewritten(good, walked=np.tile(walked, 2)))
    walked["class_counts"][0, 0] += 1
    assert "walked: must have the" in refused(rewritten(good, walked=walked))


def changed(path: Path, array: str, column: str, value: object) -> Path:
    """The checkpoint with another value in the first row of a column."""
    with np.load(path) as found:
        rows = found[array]
    rows[column][0] = value
    return rewritten(path, **{array.replace(".", "__"): rows})


@pytest.mark.parametrize(
    ("array", "column", "value"),
    [
        ("history.epochs", "test_accuracy", 42.0),
        ("history.epochs", "test_accuracy", -0.1),
        ("history.epochs", "time", -5.0),
        ("history.epochs", "num_committed", 0),
        ("history.steps", "loss", -1.0),
        ("history.steps", "deviation", 2.5),
        ("history.steps", "activations", -8),
        ("history.steps", "num_participants", -1),
        ("walked", "loss", -1.0),
        ("walked", "client_halves", -8),
    ],
)
def test_a_number_that_no_run_finds_is_refused(
    good: Path, array: str, column: str, value: object
) -> None:
    assert f"{array}.{column} = {value}: must be of type" in refused(
        changed(good, array, column, value)
    )


def test_an_accuracy_of_no_number_of_images_is_refused(good: Path) -> None:
    sentence = "history.epochs.test_accuracy: must be shares of 4 images"
    assert sentence in refused(changed(good, "history.epochs", "test_accuracy", 0.3))


def test_a_sample_that_a_client_would_use_twice_is_refused(good: Path) -> None:
    """The places of those that are used still hold -1, and what was walked still fits."""
    with np.load(good) as found:
        left = found["client.left"]
    first, second = np.flatnonzero(left != -1)[:2]
    left[second] = left[first]
    assert "each once" in refused(rewritten(good, client__left=left))


def test_walked_batches_of_other_classes_or_another_size_are_refused(good: Path) -> None:
    with np.load(good) as found:
        walked = found["walked"]
    walked["class_counts"][0] += [1, -1]
    assert "that are used, by class" in refused(rewritten(good, walked=walked))
    walked["class_counts"][0] = [100, -92]
    assert "that are used, by class" in refused(rewritten(good, walked=walked))
    two = np.tile(walked, 2)
    two["class_counts"] = [[1, 0], [0, 1]]
    assert "walked: must have the batch sizes" in refused(rewritten(good, walked=two))


def test_epochs_of_more_or_fewer_steps_than_the_sampler_takes_are_refused(good: Path) -> None:
    with np.load(good) as found:
        epochs, steps = found["history.epochs"], found["history.steps"]
    assert (epochs["num_committed"].tolist(), len(steps)) == ([3], 3)
    assert "history.epochs: must have the steps of history.steps" in refused(
        rewritten(good, history__steps=steps[:2])
    )
    for length in (1, 2, 4):
        epochs["num_committed"] = length
        forged = rewritten(good, history__epochs=epochs, history__steps=np.resize(steps, length))
        assert "history.epochs: must have 3 steps each" in refused(forged)


def test_a_folder_is_of_one_run_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    with files.held(folder, "checkpoint"):
        with pytest.raises(ValueError, match=r"^checkpoint = .*: must be a folder that no other"):
            train.train(CONFIG, checkpoint=folder)
        assert list(folder.iterdir()) == []
    train.train(CONFIG, checkpoint=folder)
    assert [path.name for path in folder.iterdir()] == [checkpoints.NAME]


def npy(claimed: str, content: bytes = b"") -> bytes:
    """An .npy file whose header claims a shape."""
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {claimed}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


def replaced(path: Path, name: str, content: bytes, compression: int = zipfile.ZIP_STORED) -> Path:
    """The checkpoint with other bytes for one of its members."""
    with zipfile.ZipFile(path) as archive:
        members = {entry: archive.read(entry) for entry in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for entry, old in members.items():
            if entry == f"{name}.npy":
                archive.writestr(entry, content, compression)
            else:
                archive.writestr(entry, old)
    return path


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (npy("(10000000000000, 2)"), "is float64 (10000000000000, 2): must be"),
        (npy("(-1, 2)"), "is float64 (-1, 2): must be"),
        (npy("(1, 2)"), "must have"),
        (npy("(1, 2)", bytes(17)), "must have"),
        (npy("(1, 'x')"), "shape is not valid"),
        (npy("(" * 900), "is no checkpoint that can be used: "),  # Pythons differ in the reason
        (npy(f"({'1' * 9000},)"), "Cannot parse header"),
        (b"\x93NUMPY\x02\x00", "another .npy version"),
        (b"\x93NUMPY\x01\x00\xff\xff", "EOF"),
        (b"", "EOF"),
    ],
)
def test_sizes_that_lie_are_not_believed(good: Path, content: bytes, sentence: str) -> None:
    assert sentence in refused(replaced(good, "weights.3.weight", content))


def test_more_steps_than_an_epoch_can_have_are_not_read(good: Path) -> None:
    with np.load(good) as found:
        dtype = found["walked"].dtype
    samples = left_in_mid_epoch().dataset.y_train.size
    many = rewritten(good, walked=np.zeros(2 * samples + 1, dtype))
    assert f"({2 * samples + 1},): must be " in refused(many)


def test_bombs_do_not_go_off(good: Path) -> None:
    bomb = npy("(1, 2)", bytes(2**26))
    deflated = replaced(good, "weights.3.weight", bomb, zipfile.ZIP_DEFLATED)
    assert deflated.stat().st_size < 2**17
    assert "uncompressed" in refused(deflated)
    honest = npy("(1, 2)", bytes(16))
    for compression in (zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2):
        assert "uncompressed" in refused(replaced(good, "weights.3.weight", honest, compression))


def test_a_directory_that_never_ends_is_not_read(tmp_path: Path) -> None:
    """Fifty million entries, in a file with a hole."""
    entry = struct.pack(
        "<4s4B4HL2L5H2L", b"PK\x01\x02", *[0] * 4, *[0] * 4, 0, 0, 0, *[0] * 5, 0, 0
    )
    size, number = 2**31, 2**31 // len(entry)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, number % 2**16, number % 2**16, size, 0, 0)
    path = tmp_path / "c"
    with path.open("wb") as file:
        file.write(entry * (2**20 // len(entry)))
        file.seek(size)
        file.write(end)
    tracemalloc.start()
    with pytest.raises(ValueError, match="is no checkpoint that can be used"):
        read(path)
    assert tracemalloc.get_traced_memory()[1] < 2**26
    tracemalloc.stop()


def test_a_generator_can_be_set_to_anything_and_still_draws(good: Path) -> None:
    """A generator that always draws the same would make a shuffle run for ever."""
    with np.load(good) as found:
        shape = found["client.generators"].shape
    for number in (0, 2**64 - 1):
        run = read(rewritten(good, client__generators=np.full(shape, number, np.uint64)))
        for client in run.simulation.clients:
            assert np.unique(client.rng.integers(0, 2**32, 100, np.uint32)).size > 90


def test_runs_that_are_killed_go_on_to_the_bit() -> None:
    """At ten random moments, and at every point of a write; see the command for more."""
    command = [sys.executable, "-m", "tools.kill_and_resume", "--times", "10"]
    one_thread = os.environ | {
        "OPENBLAS_NUM_THREADS": "1"
    }  # a process with threads should not fork
    subprocess.run(command, check=True, cwd=Path(__file__).parents[1], env=one_thread)
