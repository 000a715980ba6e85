"""Cases of layers, loss and optimizer: every gradient, every shape that goes wrong."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pslref.oracle.backends import Values
from pslref.oracle.cases_samplers import Make, Row, row
from pslref.oracle.networks import numbers

Array = NDArray[Any]


def distinct(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Odd multiples of 1/64, no two alike: no kink, no tie."""
    size = int(np.prod(shape))
    return (2 * rng.permutation(size) - size // 2 * 2 + 1).reshape(shape) / 64


def _layer(
    op: str,
    suffix: str,
    flags: list[str],
    x: tuple[int, ...] | Callable[[np.random.Generator], Array],
    weight: tuple[int, ...] = (),
    result: str = "valid",
    **settings: Any,
) -> Row:
    """`weight` is a shape, and so may x be; the settings are the operation's own."""

    def make(rng: np.random.Generator) -> Values:
        inputs: Values = {"x": x(rng) if callable(x) else distinct(rng, x)}
        if weight:
            inputs |= {"weight": numbers(rng, weight), "bias": numbers(rng, weight[-1:])}
        inputs |= settings
        return {**inputs, "dy": numbers(rng, _output_shape(op, inputs))}

    return row(op, suffix, flags, make, result)


def _output_shape(op: str, inputs: Values) -> tuple[int, ...]:
    n, *image = inputs["x"].shape
    if op == "linear":
        return (n, inputs["weight"].shape[1])
    if op in ("relu", "group_norm"):
        return (n, *image)
    kernel = len(inputs["weight"]) if "weight" in inputs else inputs["kernel"]
    pad, stride = inputs.get("padding", 0), inputs["stride"]
    size = [(pixels + 2 * pad - kernel) // stride + 1 for pixels in image[:2]]
    return (n, *size, inputs["weight"].shape[3] if "weight" in inputs else image[2])


def _pools(op: str) -> list[Row]:
    return [
        _layer(op, "halving", [], (2, 4, 6, 3), kernel=2, stride=2),
        _layer(op, "overlapping", ["overlap"], (2, 5, 5, 2), kernel=3, stride=2),
        _layer(op, "odd-image", ["left-over-pixels"], (2, 5, 3, 2), kernel=2, stride=2),
        _layer(op, "stride-above-kernel", [], (1, 7, 6, 2), kernel=2, stride=3),
    ]


def _logits(rows: int, classes: int, scale: float = 1.0) -> Make:
    return lambda rng: {
        "logits": scale * numbers(rng, (rows, classes)),
        "labels": rng.integers(0, classes, rows),
    }


def _one_row(logits: list[float], label: int) -> Values:
    return {"logits": np.array([logits]), "labels": np.array([label])}


def _sgd(momentum: float, weight_decay: float) -> Make:
    return lambda rng: {
        "weight": numbers(rng, (2, 3)),
        "gradients": numbers(rng, (5, 2, 3)),
        "learning_rate": 0.125,
        "momentum": momentum,
        "weight_decay": weight_decay,
    }


FAIR = ["biased-variance", "groups"]
NORMAL: dict[str, Any] = {"eps": 2.0**-17}
LAYER_CASES: list[Row] = [
    _layer("linear", "basic", ["sum-over-batch"], (4, 5), (5, 3)),
    _layer("linear", "one-sample", [], (1, 7), (7, 2)),
    _layer("linear", "one-feature", ["sum-over-batch"], (6, 1), (1, 4)),
    _layer(
        "conv2d", "same", ["cross-correlation"], (2, 4, 5, 2), (3, 3, 2, 3), stride=1, padding=1
    ),
    _layer("conv2d", "strided", ["padding"], (3, 6, 5, 1), (3, 3, 1, 2), stride=2, padding=1),
    _layer(
        "conv2d",
        "stride-above-kernel",
        ["padding"],
        (2, 6, 7, 1),
        (2, 2, 1, 2),
        stride=3,
        padding=0,
    ),
    _layer("conv2d", "full-padding", ["padding"], (2, 2, 3, 2), (3, 3, 2, 1), stride=1, padding=2),
    _layer("conv2d", "one-pixel", ["padding"], (3, 1, 1, 2), (3, 3, 2, 2), stride=1, padding=1),
    _layer("conv2d", "kernel-1", [], (2, 3, 3, 3), (1, 1, 3, 2), stride=1, padding=0),
    _layer("relu", "basic", [], (5, 7)),
    _layer("relu", "image", [], (2, 3, 2, 3)),
    _layer(
        "relu", "at-zero", ["kink"], lambda _: np.array([[0.0, 1.0], [-1.0, 0.0]]), (), "acceptable"
    ),
    *_pools("max_pool2d"),
    _layer(
        "max_pool2d",
        "ties",
        ["tie"],
        lambda _: np.ones((1, 2, 2, 1)),
        (),
        "acceptable",
        kernel=2,
        stride=2,
    ),
    *_pools("avg_pool2d"),
    _layer("group_norm", "two-groups", FAIR, (3, 2, 3, 4), (4,), num_groups=2, **NORMAL),
    _layer("group_norm", "one-group", FAIR, (2, 3, 2, 3), (3,), num_groups=1, **NORMAL),
    _layer("group_norm", "a-group-each", FAIR, (2, 2, 2, 3), (3,), num_groups=3, **NORMAL),
    _layer(
        "group_norm", "large-eps", ["eps", "groups"], (3, 2, 2, 4), (4,), num_groups=2, eps=0.25
    ),
    _layer(
        "group_norm",
        "small-numbers",
        ["eps"],
        lambda rng: distinct(rng, (3, 2, 2, 4)) / 1024,
        (4,),
        num_groups=2,
        **NORMAL,
    ),
    _layer(
        "group_norm",
        "large-mean",
        FAIR,
        lambda rng: distinct(rng, (2, 2, 2, 4)) + 16,
        (4,),
        num_groups=2,
        **NORMAL,
    ),
    _layer("group_norm", "one-number", ["lone-number"], (3, 1, 1, 3), (3,), num_groups=3, **NORMAL),
    row("cross_entropy", "basic", ["mean-loss"], _logits(5, 4)),
    row("cross_entropy", "one-sample", ["mean-loss"], _logits(1, 10)),
    row("cross_entropy", "two-classes", ["mean-loss"], _logits(7, 2, 4.0)),
    row("cross_entropy", "large-logits", ["overflow"], _logits(4, 3, 8192.0)),
    row("cross_entropy", "high-logits", ["overflow"], _one_row([16384.0, 16384.5, 16383.75], 2)),
    row("cross_entropy", "low-logits", ["overflow"], _one_row([-16384.0, -16383.5, -16384.25], 2)),
    row("cross_entropy", "equal-logits", ["mean-loss"], _one_row([0.0] * 8, 7)),
    row("cross_entropy", "label-outside", ["label-outside"], _one_row([0.0] * 3, 3), "invalid"),
]
STILL = {"weight": np.array([1.0, -2.0]), "gradients": np.zeros((4, 2))}
OPTIMIZER_CASES: list[Row] = [
    row("sgd", "plain", [], _sgd(0.0, 0.0)),
    row("sgd", "momentum", ["momentum"], _sgd(0.875, 0.0)),
    row("sgd", "weight-decay", ["weight-decay"], _sgd(0.0, 0.125)),
    row("sgd", "both", ["momentum", "weight-decay"], _sgd(0.75, 0.0625)),
    row(
        "sgd",
        "no-gradient",
        ["momentum", "weight-decay"],
        {**STILL, "learning_rate": 0.5, "momentum": 0.5, "weight_decay": 0.25},
    ),
]
