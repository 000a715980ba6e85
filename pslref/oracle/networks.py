"""Networks from their description: those of `split_steps`, and small ones to draw inputs for."""

from typing import Any

import numpy as np

from pslref import nn
from pslref.check import Array, DTypeLike, IntArray
from pslref.nn.layers import Layer
from pslref.oracle.operation import Layers, Values

CLASSES = 3
_RELU, _FLAT, _LINEAR = {"type": "relu"}, {"type": "flatten"}, {"type": "linear"}
_MLP: Layers = [_FLAT, _LINEAR, _RELU, _LINEAR]
_CONV = {"type": "conv2d", "stride": 1, "padding": 1}
_GROUP_NORM = {"type": "group_norm", "num_groups": 2, "eps": 2.0**-7}
_BATCH_NORM = {"type": "batch_norm2d", "eps": 2.0**-7, "momentum": 0.25}
# Images (H, W, C), layers, and the shapes of their weights. A pool comes before the ReLU: after
# it, zeros would tie.
NETWORKS: dict[str, tuple[tuple[int, ...], Layers, dict[int | str, tuple[int, ...]]]] = {
    "mlp": ((2, 3, 1), _MLP, {1: (6, 5), 3: (5, CLASSES)}),
    "deep": ((1, 4, 1), [*_MLP, _RELU, _LINEAR], {1: (4, 6), 3: (6, 5), 5: (5, CLASSES)}),
    "cnn": (
        (6, 5, 1),
        [
            {"type": "conv2d", "stride": 2, "padding": 1},
            _GROUP_NORM,
            {"type": "max_pool2d", "kernel": 2, "stride": 1},
            *(_RELU, _FLAT, _LINEAR),
        ],
        {0: (3, 3, 1, 4), 1: (4,), 5: (16, CLASSES)},
    ),
    "conv": (
        (4, 4, 2),
        [
            _CONV,
            _RELU,
            {"type": "conv2d", "stride": 1, "padding": 0},
            {"type": "avg_pool2d", "kernel": 2, "stride": 2},
            *(_FLAT, _LINEAR),
        ],
        {0: (3, 3, 2, 3), 2: (3, 3, 3, 2), 5: (2, CLASSES)},
    ),
    "norm": (
        (3, 3, 1),
        [_CONV, _BATCH_NORM, _RELU, _FLAT, _LINEAR],
        {0: (3, 3, 1, 2), 1: (2,), 4: (18, CLASSES)},
    ),
    "residual": (
        (3, 3, 2),
        [
            {"type": "residual", "branch": [_CONV, _GROUP_NORM], "shortcut": []},
            _RELU,
            {
                "type": "residual",
                "branch": [{**_CONV, "stride": 2}, _BATCH_NORM, _RELU, _CONV],
                "shortcut": [{**_CONV, "stride": 2, "padding": 0}],
            },
            *(_RELU, _FLAT, _LINEAR),
        ],
        {
            **{"0.branch.0": (3, 3, 2, 2), "0.branch.1": (2,)},
            **{"2.branch.0": (3, 3, 2, 2), "2.branch.1": (2,), "2.branch.3": (3, 3, 2, 3)},
            **{"2.shortcut.0": (1, 1, 2, 3), 5: (12, CLASSES)},
        },
    ),
}


def numbers(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Odd multiples of 1/64 between -1 and 1: exact in float32, never 0."""
    return (2 * rng.integers(-32, 32, shape) + 1) / 64


def split_inputs(
    rng: np.random.Generator, network: str, cut: int, batch_sizes: IntArray, **settings: Any
) -> Values:
    """Inputs of `split_steps` for one of `NETWORKS`, with images and weights drawn.

    `settings` are inputs other than 0, and `scales`, (S,), what the images of each step are
    multiplied by.
    """
    image, layers, shapes = NETWORKS[network]
    parameters = {
        f"{layer}.{name}": shape if name == "weight" else shape[-1:]
        for layer, shape in shapes.items()
        for name in ("weight", "bias")
    }
    sizes = batch_sizes.sum(axis=1)
    scales = np.repeat(settings.pop("scales", np.ones(sizes.size)), sizes)
    return {
        "layers": layers,
        "weights": {name: numbers(rng, shape) for name, shape in parameters.items()},
        "cut": cut,
        **{"learning_rate": 0.125, "momentum": 0.0, "weight_decay": 0.0},
        "batch_sizes": batch_sizes,
        "epochs": np.zeros(sizes.size, np.int64),
        "x": 2 * numbers(rng, (scales.size, *image)) * scales.reshape(-1, *[1] * len(image)),
        "y": rng.integers(0, CLASSES, scales.size),
        "eval_x": 2 * numbers(rng, (3, *image)),
        **settings,
    }


def make_layer(spec: dict[str, Any], arrays: Values, dtype: DTypeLike) -> Layer:
    """The layer that `spec` describes, with these parameters."""
    rng = np.random.Generator(np.random.PCG64(0))  # its draws are overwritten
    kind, settings = spec["type"], {name: spec[name] for name in spec if name != "type"}
    layer: Layer
    if kind == "linear":
        rows, columns = arrays["weight"].shape
        layer = nn.Linear(rows, columns, rng, dtype)
    elif kind == "conv2d":
        kernel, _, inputs, outputs = arrays["weight"].shape
        layer = nn.Conv2d(inputs, outputs, kernel, rng=rng, dtype=dtype, **settings)
    elif kind == "residual":
        ways = {w: make_network(settings[w], part(arrays, w), dtype).layers for w in settings}
        layer = nn.Residual(**ways)
    elif kind in (norms := {"group_norm": nn.GroupNorm, "batch_norm2d": nn.BatchNorm2d}):
        layer = norms[kind](num_channels=arrays["weight"].size, dtype=dtype, **settings)
    else:
        kinds: dict[str, type[Any]] = {"relu": nn.ReLU, "flatten": nn.Flatten}
        kinds |= {"max_pool2d": nn.MaxPool2d, "avg_pool2d": nn.AvgPool2d}
        layer = kinds[kind](**settings)
    for name, array in layer.parameters.items():
        array[...] = arrays[name]
    for name in layer.statistics.keys() & arrays.keys():
        layer.statistics[name][...] = arrays[name]
    return layer


def part(arrays: Values, of: Any) -> Values:
    """The arrays of a layer, or of another part of a network, by the names that it gives them."""
    return {n.removeprefix(f"{of}."): a for n, a in arrays.items() if n.startswith(f"{of}.")}


def make_network(layers: Layers, weights: Values, dtype: DTypeLike, first: int = 0) -> nn.Network:
    """The network of `split_steps`; or a half of it, whose layers are counted from `first`."""
    made = [make_layer(spec, part(weights, i), dtype) for i, spec in enumerate(layers, first)]
    return nn.Network(made, first)
