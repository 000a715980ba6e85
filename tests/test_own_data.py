"""Data of somebody's own, from an .npz file: used as they are, or refused in one sentence."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pslref import data
from pslref.app import compare, sweep
from pslref.app.config import Config
from pslref.app.grids import configs
from pslref.app.scenario import made_by, partition_of

N, TEST = 90, 30


def arrays(rng: np.random.Generator, shape: tuple[int, ...] = (13,)) -> dict[str, Any]:
    """Three classes that lie apart, features of unlike sizes, one of them constant."""
    y = np.arange(N + TEST) % 3
    scales = rng.uniform(0.1, 100, shape)
    x = scales * (rng.normal(size=(N + TEST, *shape)) + 3 * y.reshape(-1, *(1 for _ in shape)))
    x[..., 0] = 7
    owners = np.array(["here", "there", "far"])[rng.integers(0, 3, N)]
    return {
        "x_train": x[:N], "y_train": y[:N], "x_test": x[N:], "y_test": y[N:],
        "owners_train": owners,
    }  # fmt: skip


def saved(folder: Path, **given: Any) -> str:
    np.savez(folder / "own.npz", **given)
    return str(folder / "own.npz")


@pytest.mark.parametrize("shape", [(13,), (1,), (4, 4, 2)])
@pytest.mark.parametrize("dtype", ["float64", "float32", "uint8", "int16"])
def test_features_and_images_are_standardized_and_learned(
    tmp_path: Path, rng: np.random.Generator, shape: tuple[int, ...], dtype: str
) -> None:
    given = arrays(rng, shape)
    low = given["x_train"].min()
    for name in ("x_train", "x_test"):
        given[name] = np.clip(given[name] - low, 0, 250).astype(dtype)
    dataset = data.load(saved(tmp_path, **given))
    assert (dataset.num_classes, dataset.x_train.shape[1:]) == (3, shape)
    flat = dataset.x_train.reshape(-1, shape[-1])
    np.testing.assert_allclose(flat.mean(axis=0), 0, atol=1e-9)
    constant = np.ptp(given["x_train"].reshape(-1, shape[-1]), axis=0) == 0
    np.testing.assert_allclose(flat.std(axis=0), np.where(constant, 0, 1), atol=1e-6)
    assert (dataset.owners == given["owners_train"]).all()


def test_every_command_that_trains_takes_them(pslref, tmp_path: Path, rng) -> None:
    path = saved(tmp_path, **arrays(rng))
    small = ["--dataset", path, "--batch-size", "30", "--epochs", "5", "--hidden", "8"]
    out = ["--out", str(tmp_path / "out"), "--json"]
    for command in ("compare", "train", "sweep"):
        seeds = [] if command == "train" else ["--seeds", "1", "--sampler", "ugs"]
        code, text, err = pslref(command, *small, "--partition", "owners", *seeds, *out)
        assert (code, err) == (0, "")
        assert json.loads(text)["results"][0]["test_accuracy"] > 0.8
        made_by = json.loads((tmp_path / "out" / "config.json").read_text())["made_by"]
        assert len(made_by["dataset"]) == 64
    shown = pslref("clients", "--dataset", path, "--partition", "owners", "--json")[1]
    assert len(json.loads(shown)["clients"]) == 3


def test_the_suffix_may_be_in_capitals(tmp_path: Path, rng: np.random.Generator) -> None:
    path = Path(saved(tmp_path, **arrays(rng)))
    assert data.load(str(path.rename(tmp_path / "OWN.NPZ"))).num_classes == 3


def test_what_was_made_from_another_file_is_not_gone_on_with(pslref, tmp_path: Path, rng) -> None:
    given = arrays(rng)
    command = ["--dataset", saved(tmp_path, **given), "--batch-size", "30", "--partition", "iid"]
    train = ["train", *command, "--epochs", "1", "--checkpoint", str(tmp_path / "c")]
    sweep = ["sweep", *command, "--sampler", "ugs", "--seeds", "1", "--epochs", "1"]
    for first in (train, [*sweep, "--out", str(tmp_path / "s")]):
        assert pslref(*first)[0] == 0
    saved(tmp_path, **given | {"x_test": given["x_test"] + 1})
    for second in ([*train, "--resume"], [*sweep, "--out", str(tmp_path / "s")]):
        code, _, err = pslref(*second)
        assert code == 2
        assert "is of dataset = " in err


def test_a_worker_that_has_run_before_reads_a_file_that_has_changed(tmp_path: Path, rng) -> None:
    given = arrays(rng)
    config = Config(dataset=saved(tmp_path, **given), batch_size=30, epochs=1, clients=3)
    assert sweep.execute(config, made_by(config))["row"]["test_images"] == TEST
    saved(tmp_path, **given | {"x_test": given["x_test"][1:], "y_test": given["y_test"][1:]})
    assert sweep.execute(config, made_by(config))["row"]["test_images"] == TEST - 1


def test_data_of_one_class_are_dealt_out_or_refused_in_a_sentence(pslref, tmp_path, rng) -> None:
    given = arrays(rng) | {"y_train": np.zeros(N, int), "y_test": np.zeros(TEST, int)}
    command = ["compare", "--dataset", saved(tmp_path, **given), "--seeds", "1", "--epochs", "1"]
    assert pslref(*command, "--partition", "iid", "--clients", "3", "--batch-size", "30")[0] == 0
    code, _, err = pslref(*command)
    assert (code, err.count("\n")) == (2, 1)
    assert "partition = 'severe': must be another: each client holds 2 of the classes, of 1" in err


def test_json_has_the_digest_of_own_data(pslref, tmp_path: Path, rng: np.random.Generator) -> None:
    file = saved(tmp_path, **arrays(rng))
    digest = hashlib.sha256(Path(file).read_bytes()).hexdigest()
    for command in ("clients", "schedule", "deviation", "plan"):
        given = ["--dataset", file, "--partition", "iid", "--clients", "3"]
        given += [] if command == "clients" else ["--batch-size", "30"]
        found = json.loads(pslref(command, *given, "--json")[1])
        assert found["made_by"]["dataset"] == digest


def test_clients_are_not_numbered_where_the_data_say_whose_they_are(pslref, tmp_path, rng) -> None:
    given = ["--dataset", saved(tmp_path, **arrays(rng)), "--partition", "owners", "--clients", "5"]
    for command in ("clients", "plan", "train", "compare"):
        code, _, err = pslref(command, *given)
        assert (code, err.count("\n")) == (2, 1)
        assert "clients = 5: must be left out unless partition is iid or mild" in err


def test_the_library_compares_on_a_data_set_of_any_arrays(rng: np.random.Generator) -> None:
    given = arrays(rng)
    owners = given.pop("owners_train")
    dataset = data.Dataset("mine", **given, num_classes=3, owners=owners)
    few = configs({"sampler": ["centralized", "ugs"], "partition": "owners", "batch_size": 30,
                   "seeds": 1, "epochs": 1})  # fmt: skip
    assert len(compare.compare(few, dataset).runs) == 2


WRONG = [
    ({"x_train": None}, "must have x_train, y_train, x_test, y_test, but lacks x_train"),
    ({"y_test": None}, "but lacks y_test"),
    ({"x_train": np.zeros(N)}, "x_train.shape of "),
    ({"x_train": np.zeros((N, 3, 3))}, "x_train.shape of "),
    ({"x_train": np.zeros((N, 5))}, "must be the same"),
    ({"x_train": np.zeros((N - 1, 13))}, "must be as many"),
    ({"x_train": np.full((N, 13), np.nan)}, "must be finite numbers, below 1e+150"),
    ({"x_test": np.full((TEST, 13), 1e308)}, "x_test of "),
    ({"y_test": np.full(TEST, 10**9)}, "y_test[0] of "),
    ({"y_train": np.arange(N) + 99_990}, "own.npz = 100000: must be a label from 0 to 99999"),
    ({"owners_train": np.zeros(N)}, "owners_train of "),
    ({"x_train": np.zeros((N, 13), complex)}, "x_train = "),
    ({"x_train": np.array([["a"] * 13] * N)}, "x_train = "),
    ({"x_train": np.array([[None] * 13] * N, object)}, "must be an .npz file of arrays"),
    ({"x_train": np.zeros((0, 13)), "y_train": np.zeros(0, int)}, "must have samples to train"),
    ({"y_train": np.arange(N) - 1}, "y_train[0] of "),
    ({"y_train": np.zeros((N, 2), int)}, "y_train of "),
    ({"y_train": np.arange(N) / 2}, "y_train of "),
    ({"y_train": np.array(["cat"] * N)}, "y_train of "),
    ({"owners_train": np.zeros(3)}, "must be a whole number or a name for each training sample"),
]


@pytest.mark.parametrize(("changed", "sentence"), WRONG)
def test_a_file_that_cannot_be_used_is_one_sentence(
    pslref, tmp_path: Path, rng, changed: dict[str, Any], sentence: str | None
) -> None:
    given = {n: a for n, a in (arrays(rng) | changed).items() if a is not None}
    command = ["compare", "--dataset", saved(tmp_path, **given), "--batch-size", "30"]
    code, _, err = pslref(*command, "--partition", "iid", "--epochs", "1", "--seeds", "1")
    assert code == 2 or sentence is None
    assert err.count("\n") == (1 if code else 0)
    assert sentence is None or sentence in err


@pytest.mark.parametrize("content", [b"", b"PK", b"\x93NUMPY", b"text" * 99])
def test_what_is_no_npz_is_one_sentence(pslref, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "own.npz").write_bytes(content)
    code, _, err = pslref("compare", "--dataset", str(tmp_path / "own.npz"))
    assert (code, err.count("\n")) == (2, 1)
    assert "must be an .npz file of arrays: " in err


@pytest.mark.parametrize("model", ["cnn", "resnet"])
def test_other_networks_than_mlp_need_images(model: str, pslref, tmp_path: Path, rng) -> None:
    _, _, err = pslref("train", "--model", model, "--dataset", saved(tmp_path, **arrays(rng)))
    assert f"model = {model!r}: must be mlp for samples of shape (13,)" in err


@pytest.mark.parametrize(
    "name", ["iid", "dirichlet:0.3", "shards:2", "extended:2:1", "mild", "severe", "owners"]
)
def test_every_partition_deals_every_sample_once(name: str, rng: np.random.Generator) -> None:
    owners = arrays(rng)["owners_train"]
    part = partition_of(Config(partition=name, clients=6), np.arange(N) % 5, rng, owners)
    assert sorted(np.concatenate(part.indices)) == list(range(N))
    assert part.num_clients == (3 if name == "owners" else 6)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("shards", "must be shards:S, such as shards:2"),
        ("dirichlet:x", "must be dirichlet:ALPHA, such as dirichlet:0.3"),
        ("extended:2", "must be extended:C:ALPHA, such as extended:2:3.0"),
        ("extended:2:3:4", "must be extended:C:ALPHA"),
        ("extended:2.5:3", "must be extended:C:ALPHA"),
        ("extended:1_0:3", "must be extended:C:ALPHA"),
        ("iid:3", "must be iid"),
        ("dirichlet:0", "partition = 'dirichlet:0': alpha = 0.0: must be"),
        ("dirichlet:nan", "alpha = nan: must be"),
        ("shards:0", "shards_per_client = 0: must be"),
        ("extended:0:1", "classes_per_client = 0: must be"),
        ("owners", "no owners_train are in the data set digits"),
        ("dirichet:1", "did you mean 'dirichlet'?"),
    ],
)
def test_a_partition_that_is_none_is_one_sentence(pslref, given: str, sentence: str) -> None:
    code, _, err = pslref("compare", "--partition", given)
    assert (code, err.count("\n")) == (2, 1)
    assert sentence in err
