"""How fast rounding errors grow over the steps of split learning: the limits of `split_steps`.

No bound from magnitudes is of use after a few steps, so the growth is measured: how far the
outputs move when weights and images move by float32's unit roundoff u, and in float32 itself.
"""

from typing import Any

import numpy as np

from pslref import nn
from pslref.nn.windows import shifts
from pslref.oracle.backends import Values
from pslref.oracle.library import Library, make_network
from pslref.oracle.ops import STEP

U = 2.0**-24
SAFETY = 16  # for other orders of summation, other formulas, and few samples of the growth
RUNS = 4
LEAST_MARGIN = 1e-4  # far above all limits: no right implementation can be on the other side


def limits(inputs: Values, expected: Values, rng: np.random.Generator) -> dict[str, float]:
    """For each name among the outputs, how far a number may be off, in units of u.

    Args:
        inputs: of `split_steps`.
        expected: its outputs in float64.
        rng: draws the small changes.
    """
    runs = [Library("float32").run("split_steps", inputs)]
    for _ in range(RUNS):
        weights = {name: _shaken(w, rng) for name, w in inputs["weights"].items()}
        shaken = {**inputs, "weights": weights, "x": _shaken(inputs["x"], rng)}
        runs.append(Library().run("split_steps", shaken))
    found = dict.fromkeys([*STEP, "logits"], 0.0)
    for run in runs:
        _largest(expected, run, "", found)
    return {name: float(f"{SAFETY * value / U:.1e}") for name, value in found.items()}


def as_bounds(expected: Any, limits: dict[str, float], u: float, name: str = "") -> Any:
    """The limits as `compare.divergence` wants them: a number for every array expected."""
    if isinstance(expected, list):
        return [as_bounds(entry, limits, u) for entry in expected]
    if isinstance(expected, dict):
        return {key: as_bounds(expected[key], limits, u, name or _top(key)) for key in expected}
    return limits[name] * u


def margin(inputs: Values) -> float:
    """How far the run stays from a kink: the least |x| before a ReLU, the least lead in a pool."""
    least = np.inf
    start = 0
    weights = inputs["weights"]
    after = Library().run("split_steps", inputs)["steps"]
    for row, step in zip(inputs["batch_sizes"], after, strict=True):
        stop = start + int(row.sum())
        net = make_network(inputs["layers"], weights, "float64")
        least = min(least, _least_lead(net, inputs["x"][start:stop]))
        halves = {name: w[0] for name, w in step["client_weights"].items()}
        weights, start = {**halves, **step["server_weights"]}, stop
    net = make_network(inputs["layers"], weights, "float64")
    return min(least, _least_lead(net, inputs["eval_x"]))


def _least_lead(net: nn.Network, x: np.ndarray[Any, Any]) -> float:
    least = np.inf
    for layer in net.layers:
        if isinstance(layer, nn.ReLU):
            least = min(least, float(np.abs(x).min()))
        if isinstance(layer, nn.MaxPool2d):
            ordered = np.sort(np.stack([*shifts(x, layer.kernel, layer.stride)]), axis=0)
            leads = (ordered[-1] - ordered[-2])[ordered[-1] != 0]  # ties of a ReLU's zeros are 0
            least = min(least, float(leads.min(initial=np.inf)))
        x, _ = layer.forward(x)
    return least


def _shaken(array: np.ndarray[Any, Any], rng: np.random.Generator) -> np.ndarray[Any, Any]:
    shaken: np.ndarray[Any, Any] = array * (1 + U * rng.uniform(-1, 1, array.shape))
    return shaken


def _top(key: str) -> str:
    """Names of outputs count; "steps" and the names of parameters do not."""
    return "" if key == "steps" else key


def _largest(expected: Any, run: Any, name: str, found: dict[str, float]) -> None:
    if isinstance(expected, list):
        for one, other in zip(expected, run, strict=True):
            _largest(one, other, "", found)
    elif isinstance(expected, dict):
        for key in expected:
            _largest(expected[key], run[key], name or _top(key), found)
    else:
        right = np.asarray(expected, np.float64)
        off = np.abs(np.asarray(run, np.float64) - right).max(initial=0.0)
        found[name] = max(found[name], off, U * np.abs(right).max(initial=0.0))
