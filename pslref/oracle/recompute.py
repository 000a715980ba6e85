"""Steps that a running system has logged, recomputed: which of its quantities first differs?

Every quantity is computed from those that were logged before it, so that a mistake shows once.
"""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pslref import check, files, nn
from pslref.check import Array
from pslref.oracle import growth
from pslref.oracle.codec import decode
from pslref.oracle.compare import as_bounds, divergence, flatten
from pslref.oracle.networks import make_network, part
from pslref.oracle.operation import ROUNDOFF, Values
from pslref.oracle.result import Result

MOST_BYTES = 2**30
# What a step is computed from, by the first letters of its name.
GIVEN = (
    *("x", "smashed", "labels", "batch_sizes", "learning_rate", "momentum", "weight_decay", "cut"),
    *("client_before", "server_before", "client_velocity", "server_velocity"),
)
SIDES = {"client": "summed_gradients", "server": "server_gradients"}  # what updates each


class Half(Protocol):
    """One side of the cut: `nn.Network`, or a module of PyTorch's."""

    def forward(self, x: Array) -> tuple[Array, Any]:
        """y, and what `backward` needs."""

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dx, and the gradients by the names of the parameters."""


# From the weights of client and server before a step, and a dtype.
Halves = Callable[[Values, Values, str], tuple[Half, Half]]


def judge_log(path: Path, halves: Halves | None = None) -> list[Result]:
    """Recompute a logged step, or the steps of an epoch; docs/oracle.md lists what a log holds.

    Args:
        path: an .npz file, or JSON.
        halves: makes client and server half; if None, the log's `layers` and `cut` do.

    Returns:
        A result for each quantity that the log holds, in the order in which a step computes them.

    Raises:
        ValueError: for a file that holds no log, or nothing to compare.
    """
    layers, flat = _read(path)
    dtype = check.one_of("dtype", str(flat.pop("dtype", "float32")), ROUNDOFF)
    for name, array in flat.items():
        if array.dtype.kind not in "iuf":
            raise check.wrong(f"log {path}", name, f"must hold numbers, not {array.dtype}")
    common = {name: array for name, array in flat.items() if not name.startswith("steps.")}
    parts = [name.split(".", 2) for name in flat if name not in common]
    numbers = sorted({part[1] for part in parts}, key=lambda t: (len(t), t))
    if numbers != [str(t) for t in range(len(numbers))] or any(len(part) < 3 for part in parts):
        raise check.wrong(f"log {path}", numbers, "must number its steps 0, 1, 2, ...")
    steps = {t: part(flat, f"steps.{t}") for t in numbers}
    results: list[Result] = []
    carried: Values = {}
    rng = np.random.Generator(np.random.PCG64(0))
    for t, logged in (steps or {"0": {}}).items():
        log = {
            "momentum": np.zeros(()),
            "weight_decay": np.zeros(()),
            **common,
            **carried,
            **logged,
        }
        try:
            made = _recomputed(log, halves or _of_layers(layers, log), "float64")
            runs = [_recomputed(log, halves or _of_layers(layers, log), "float32")]
            for _ in range(growth.RUNS):
                moved = {name: growth.shaken(array, rng) for name, array in log.items()}
                runs.append(_recomputed(moved, halves or _of_layers(layers, log), "float64"))
        except KeyError as error:
            raise check.wrong("log", str(path), f"must hold {error} of step {t}") from None
        except (TypeError, IndexError, AttributeError, RuntimeError) as error:  # the last: PyTorch
            raise check.wrong("log", str(path), f"must hold arrays that fit: {error}") from None
        bounds = as_bounds(made, growth.measured(made, runs), dtype)
        shown = common | logged
        for name, right in made.items():
            if name in shown:
                found = divergence({name: right}, {name: log[name]}, bounds) or ""
                said = found.removeprefix(f"{name}: ")
                results.append(Result(f"step {t}, {name}", "step", "wrong" if said else "ok", said))
        for name in shown:
            if name not in made and not name.startswith(GIVEN):
                said = "is nothing that a step computes, or not from what this log holds"
                results.append(Result(f"step {t}, {name}", "step", "noted", said))
        carried = _carried(log, made)
    if all(one.verdict == "noted" for one in results):
        raise check.wrong("log", str(path), "must hold a quantity that can be recomputed")
    return results


def _read(path: Path) -> tuple[Any, dict[str, Array]]:
    """The layers, and everything else as arrays by flat names."""
    content = files.content("log", path, MOST_BYTES)
    try:
        if zipfile.is_zipfile(io.BytesIO(content)):
            log = dict(np.load(io.BytesIO(content), allow_pickle=False))
            layers = json.loads(str(log.pop("layers", "null")))
        else:
            log = decode(json.loads(content))
            layers = log.pop("layers", None)
        return layers or [], flatten(log)
    except (ValueError, TypeError, AttributeError, RecursionError, zipfile.BadZipFile) as error:
        raise check.wrong("log", str(path), f"must be .npz or JSON: {error}") from None


def _of_layers(layers: Any, log: Values) -> Halves:
    def halves(of_client: Values, of_server: Values, dtype: str) -> tuple[Half, Half]:
        cut = int(log["cut"])
        client = make_network(layers[:cut] if "x" in log else [], of_client, dtype)
        return client, make_network(layers[cut:], of_server, dtype, cut)

    return halves


def _recomputed(log: Values, halves: Halves, dtype: str) -> Values:
    """What a step computes, from what it logged: method.md, section 1."""
    log = {n: a.astype(dtype) if a.dtype.kind == "f" else a for n, a in log.items()}
    before = {side: part(log, f"{side}_before") for side in SIDES}
    client, server = halves(before["client"], before["server"], dtype)
    made: Values = {}

    def best(name: str) -> Array:
        found: Array = log[name] if name in log or name not in made else made[name]
        return found

    sizes = np.atleast_1d(log.get("batch_sizes", len(log["labels"])))
    if not len(log["labels"]) or sizes.min() < 0 or sizes.sum() != len(log["labels"]):
        allowed = f"must be what each client brings of the {len(log['labels'])} samples, at least 1"
        raise check.wrong("batch_sizes", sizes, allowed)
    ends = np.cumsum(sizes)[:-1]
    sent = []
    if "x" in log:
        sent = [client.forward(x) if len(x) else None for x in np.split(log["x"], ends)]
        made["smashed"] = np.concatenate([one[0] for one in sent if one])
    logits, cache = server.forward(best("smashed"))
    loss, gradient = nn.cross_entropy(logits, log["labels"])
    made["loss"] = np.asarray(loss)
    made["cut_gradient"], grads = server.backward(gradient, cache)
    made |= {f"server_gradients.{name}": g for name, g in grads.items()}
    if sent:
        rows = np.split(best("cut_gradient"), ends)
        own = [
            client.backward(row, s[1])[1] if s else {} for row, s in zip(rows, sent, strict=True)
        ]
        for name, w in before["client"].items():
            made[f"client_gradients.{name}"] = np.stack([g.get(name, 0 * w) for g in own])
        for name in before["client"]:
            made[f"summed_gradients.{name}"] = best(f"client_gradients.{name}").sum(axis=0)
    for side, gradients in SIDES.items():
        for name, w in before[side].items():
            if f"{gradients}.{name}" in {*log, *made}:
                g = best(f"{gradients}.{name}") + log["weight_decay"] * w
                v = log["momentum"] * log.get(f"{side}_velocity.{name}", 0) + g
                after = w - log["learning_rate"] * v
                logged: Any = log.get(f"{side}_weights.{name}", after)
                many = logged.ndim > after.ndim  # one for each client
                made[f"{side}_weights.{name}"] = np.stack([after] * len(logged)) if many else after
                made[f"{side}_velocity_after.{name}"] = v
    return made


def _carried(log: Values, made: Values) -> Values:
    """What the next step starts from, if its log does not say."""
    found = {}
    for side in SIDES:
        for name, w in part(log, f"{side}_before").items():
            key = f"{side}_weights.{name}"
            after: Any = log.get(key, made.get(key, w))
            found[f"{side}_before.{name}"] = after[0] if after.ndim > w.ndim else after
            if f"{side}_velocity_after.{name}" in made:
                found[f"{side}_velocity.{name}"] = made[f"{side}_velocity_after.{name}"]
    return found
