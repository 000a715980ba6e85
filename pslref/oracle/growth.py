"""How fast rounding errors grow over the steps of split learning: the limits of `split_steps`.

No bound from magnitudes is of use after a few steps, so the growth is measured: how far the
outputs move when weights and images move by float32's unit roundoff u, and in float32 itself.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial

import numpy as np

from pslref import nn
from pslref.check import Array
from pslref.nn.windows import shifts
from pslref.oracle.compare import field, flatten
from pslref.oracle.library import Library
from pslref.oracle.networks import make_network
from pslref.oracle.operation import ROUNDOFF, STEP, Values

U = ROUNDOFF["float32"]
SAFETY = 16  # for other orders of summation, other formulas, and few samples of the growth
RUNS = 4
LEAST_MARGIN = 1e-4


def limits(
    inputs: Values,
    expected: Values,
    rng: np.random.Generator,
    run: Callable[[Values], Values] | None = None,
) -> dict[str, float]:
    """For each field of the outputs, how far a number may be off, in units of u.

    Args:
        inputs: of `split_steps`.
        expected: its flat outputs in float64.
        rng: draws the small changes.
        run: what gives them; if not the library, only in float64.
    """
    runs = [] if run else [Library("float32").run("split_steps", inputs)]
    run = run or partial(Library().run, "split_steps")
    for _ in range(RUNS):
        weights = {name: shaken(w, rng) for name, w in inputs["weights"].items()}
        runs.append(run({**inputs, "weights": weights, "x": shaken(inputs["x"], rng)}))
    found = measured(expected, map(flatten, runs))
    return {name: float(f"{found.get(name, 0.0):.1e}") for name in [*STEP, "logits"]}


def shaken(array: Array, rng: np.random.Generator) -> Array:
    """Floating-point numbers, each moved by at most its own rounding in float32."""
    moved: Array = array * (1 + U * rng.uniform(-1, 1, array.shape))
    return moved if array.dtype.kind == "f" else array


def measured(expected: Values, runs: Iterable[Values]) -> dict[str, float]:
    """`SAFETY` times how far each field of the outputs moves in any of the runs, in units of u."""
    found: dict[str, float] = {}
    for run in runs:
        for name, right in expected.items():
            off = np.abs(run[name] - right).max(initial=U * np.abs(right).max(initial=0.0))
            found[field(name)] = max(found.get(field(name), 0.0), SAFETY * float(off) / U)
    return found


def least_margin(limits: Mapping[str, float]) -> float:
    """So far from a kink that no right implementation can be on the other side."""
    return max(LEAST_MARGIN, 2 * U * max(limits.values()))


def margin(inputs: Values) -> float:
    """How far the run stays from a kink: the least |x| before a ReLU, the least lead in a pool."""
    weights, ends = inputs["weights"], np.cumsum(inputs["batch_sizes"].sum(axis=1))
    images = np.split(inputs["x"], ends[:-1])
    least = np.inf
    for step, x in zip(Library().run("split_steps", inputs)["steps"], images, strict=True):
        least = min(least, least_lead(make_network(inputs["layers"], weights, np.float64), x))
        halves = {name: w[0] for name, w in step["client_weights"].items()}
        weights = {**halves, **step["server_weights"]}
    net = make_network(inputs["layers"], weights, np.float64)
    return min(least, least_lead(net, inputs["eval_x"], evaluated=True))


def least_lead(net: nn.Network, x: Array, evaluated: bool = False) -> float:
    """The same for one network and its images, in training or evaluated."""
    least = np.inf
    for layer in net.layers:
        if isinstance(layer, nn.ReLU):
            least = min(least, float(np.abs(x).min()))
        if isinstance(layer, nn.MaxPool2d):
            ordered = np.sort(np.stack([*shifts(x, layer.kernel, layer.stride)]), axis=0)
            least = min(least, float((ordered[-1] - ordered[-2]).min(initial=np.inf)))
        if isinstance(layer, nn.Residual):
            ways = layer.branch, layer.shortcut
            least = min(least, *(least_lead(way, x, evaluated) for way in ways))
        x = layer.evaluate(x) if evaluated else layer.forward(x)[0]
    return least
