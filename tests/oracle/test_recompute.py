"""A log of a running system: a right one is right, and of a wrong one the first wrong is told."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pslref.oracle.codec import encode
from pslref.oracle.compare import flatten
from pslref.oracle.networks import split_inputs
from pslref.oracle.recompute import judge_log
from tests.backends.plain import Plain

SIZES = np.array([[3, 0, 2], [1, 4, 0], [2, 1, 1]])
SETTINGS = {"momentum": 0.75, "weight_decay": 0.0625}


def log_of(rng: np.random.Generator, dtype: str = "float64", network: str = "cnn") -> dict:
    """An epoch of three steps, as another implementation than the library would log it."""
    inputs = split_inputs(rng, network, 2, SIZES, **SETTINGS)
    steps = Plain(dtype=dtype).run("split_steps", inputs)["steps"]
    ends = np.cumsum(SIZES.sum(axis=1))[:-1]
    rows = zip(SIZES, np.split(inputs["x"], ends), np.split(inputs["y"], ends), strict=True)
    for step, (sizes, x, y) in zip(steps, rows, strict=True):
        step |= {"batch_sizes": sizes, "x": x, "labels": y}
    steps[0] |= {f"{side}_before": {} for side in ("client", "server")}
    for name, w in inputs["weights"].items():
        side = "client" if int(name.split(".")[0]) < inputs["cut"] else "server"
        steps[0][f"{side}_before"][name] = w
    common = {name: inputs[name] for name in ("layers", "cut", "learning_rate", *SETTINGS)}
    return {**common, "dtype": dtype, "steps": steps}


def judged(tmp_path: Path, log: dict, form: str = "json") -> dict[str, str]:
    """The sentence on each quantity, "" where it is right."""
    path = tmp_path / f"log.{form}"
    if form == "json":
        path.write_text(json.dumps(encode(log)))
    else:
        layers = json.dumps(log["layers"])
        np.savez(path, **flatten({**log, "layers": np.array(layers)}))
    return {one.check: one.detail for one in judge_log(path)}


@pytest.mark.parametrize("form", ["json", "npz"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("network", ["deep", "cnn", "conv"])
def test_a_right_log_is_right(
    network: str, dtype: str, form: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    told = judged(tmp_path, log_of(rng, dtype, network), form)
    assert set(told.values()) == {""}
    for t in range(3):
        for quantity in ("smashed", "loss", "cut_gradient"):
            assert f"step {t}, {quantity}" in told
    assert any(name.startswith("step 2, client_weights.") for name in told)


def wrong_in(step: dict, quantity: str) -> None:
    array = flatten({quantity: step[quantity]})
    name, value = next(iter(array.items()))
    place: Any = step
    *path, last = name.split(".", 1) if "." in name else [name]
    for key in path:
        place = place[key]
    place[last] = 1.01 * np.asarray(value)


@pytest.mark.parametrize(
    "quantity",
    ["smashed", "loss", "cut_gradient", "client_gradients", "summed_gradients", "client_weights",
     "server_weights"],
)  # fmt: skip
def test_the_first_that_differs_is_told_and_what_follows_from_it_is_not(
    quantity: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    """What was logged is what the rest is computed from, so only that one quantity differs."""
    log = log_of(rng, network="deep")
    log["steps"] = log["steps"][:1]
    wrong_in(log["steps"][0], quantity)
    wrong = [name for name, detail in judged(tmp_path, log).items() if detail]
    assert wrong[0].startswith(f"step 0, {quantity}")


def test_a_server_alone_can_log_what_it_sees(tmp_path: Path, rng: np.random.Generator) -> None:
    log = log_of(rng)
    for step in log["steps"]:
        for name in [n for n in step if n == "x" or n.startswith(("client_", "summed"))]:
            step.pop(name, None)
    assert set(judged(tmp_path, log).values()) == {""}
    log["steps"][1]["cut_gradient"] = log["steps"][1]["cut_gradient"][::-1]
    told = judged(tmp_path, log)["step 1, cut_gradient"]
    assert "another order" in told


def test_a_log_of_one_step_needs_no_list(tmp_path: Path, rng: np.random.Generator) -> None:
    log = log_of(rng)
    (first, *_) = log.pop("steps")
    assert set(judged(tmp_path, {**log, **first}, "npz").values()) == {""}
    first["loss"] *= 1.5
    assert judged(tmp_path, {**log, **first})["step 0, loss"].startswith("is ")


@pytest.mark.parametrize(
    ("lost", "sentence"),
    [("labels", "'labels'"), ("cut", "'cut'"), ("learning_rate", "'learning_rate' of step 0")],
)
def test_what_a_log_lacks_is_said(
    lost: str, sentence: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    log = log_of(rng)
    for place in (log, *log["steps"]):
        place.pop(lost, None)
    with pytest.raises(ValueError, match=sentence):
        judged(tmp_path, log)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"steps.0.batch_sizes": np.array([3, 0, 9])}, "of the 5 samples, at least 1"),
        ({"steps.0.batch_sizes": np.array([7, -2, 0])}, "of the 5 samples, at least 1"),
        ({"steps.0.smashed": np.ones(5) * 1j}, "'steps.0.smashed': must hold numbers, not compl"),
        ({"steps.0.loss": np.array("low")}, "'steps.0.loss': must hold numbers, not <U3"),
        ({"steps.0.x": np.ones((5, 2))}, r"must hold arrays that fit|x.shape = "),
        ({"steps.4.loss": np.ones(())}, "must number its steps 0, 1, 2"),
        ({"steps.last.loss": np.ones(())}, "must number its steps 0, 1, 2"),
        ({"steps.3": np.ones(())}, "must number its steps 0, 1, 2"),
    ],
)
def test_a_log_that_cannot_be_is_refused(
    change: dict, sentence: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    log = flatten({**log_of(rng), "layers": []}) | change
    log["layers"] = np.array(json.dumps(log_of(rng)["layers"]))
    np.savez(tmp_path / "log.npz", **log)
    with pytest.raises(ValueError, match=sentence):
        judge_log(tmp_path / "log.npz")


def test_steps_are_taken_by_their_numbers_and_what_is_not_looked_at_is_said(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    log = log_of(rng)
    flat = {n: a for n, a in flatten({**log, "layers": 0}).items() if n != "layers"}
    flat = dict(reversed(flat.items())) | {"layers": np.array(json.dumps(log["layers"]))}
    np.savez(tmp_path / "log.npz", **flat, **{"steps.1.los": 3.0, "client_weight.0.bias": 1.0})
    told = {one.check: one.verdict for one in judge_log(tmp_path / "log.npz")}
    noted = [name for name, verdict in told.items() if verdict == "noted"]
    assert {*told.values()} == {"ok", "noted"}
    assert noted == [
        *("step 0, client_weight.0.bias", "step 1, client_weight.0.bias", "step 1, los"),
        "step 2, client_weight.0.bias",
    ]


def test_what_is_computed_from_no_number_is_not_right(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    log = log_of(rng)
    log["steps"][0]["x"] = np.nan * log["steps"][0]["x"]
    assert judged(tmp_path, log)["step 0, smashed"].startswith("[0, 0, 0, 0] is ")


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"labels": 1}', b"PK\5\6" + 18 * b"\0"])
def test_a_file_that_is_no_log_is_one_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(content)
    with pytest.raises(ValueError, match=r"^log = '.*log': must") as caught:
        judge_log(tmp_path / "log")
    assert "\n" not in str(caught.value)


def test_modules_of_pytorch_are_recomputed(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    from pslref.oracle.torch import halves_of

    torch.manual_seed(0)
    client = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    server = torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(8, 3))
    monkeypatch.setitem(globals(), "two_modules", lambda: (client, server))
    x, y = torch.randn(5, 1, 4, 4), torch.tensor([0, 2, 1, 1, 0])
    log: dict[str, Any] = {"x": x, "labels": y, "learning_rate": 0.1}
    for side, half in (("client", client), ("server", server)):
        for name, p in half.named_parameters():
            log[f"{side}_before.{name}"] = p.detach().clone()
    log["smashed"] = client(x)
    log["loss"] = torch.nn.functional.cross_entropy(server(log["smashed"]), y)
    log["loss"].backward()
    parameters = [*client.parameters(), *server.parameters()]
    torch.optim.SGD(parameters, 0.1).step()
    for side, half in (("client", client), ("server", server)):
        for name, p in half.named_parameters():
            log[f"{side}_weights.{name}"] = p
    arrays = {n: a.detach().numpy() if hasattr(a, "detach") else a for n, a in log.items()}
    halves = halves_of(f"{__name__}:two_modules")
    np.savez(tmp_path / "log.npz", **arrays)
    assert {one.detail for one in judge_log(tmp_path / "log.npz", halves)} == {""}
    arrays["server_weights.2.bias"] = arrays["server_weights.2.bias"] + 0.01
    np.savez(tmp_path / "log.npz", **arrays)
    wrong = [one.check for one in judge_log(tmp_path / "log.npz", halves) if one.is_wrong]
    assert wrong == ["step 0, server_weights.2.bias"]
