"""Small networks, and the inputs of `split_steps` made from them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pslref.oracle.backends import Values

Array = NDArray[Any]
CLASSES = 3
IMAGES = {"mlp": (2, 3, 1), "deep": (1, 4, 1), "cnn": (6, 5, 1), "conv": (4, 4, 2)}
LAYERS: dict[str, list[dict[str, Any]]] = {
    "mlp": [{"type": "flatten"}, {"type": "linear"}, {"type": "relu"}, {"type": "linear"}],
    "deep": [
        {"type": "flatten"},
        {"type": "linear"},
        {"type": "relu"},
        {"type": "linear"},
        {"type": "relu"},
        {"type": "linear"},
    ],
    "cnn": [
        {"type": "conv2d", "stride": 2, "padding": 1},
        {"type": "group_norm", "num_groups": 2, "eps": 2.0**-7},
        {"type": "relu"},
        {"type": "max_pool2d", "kernel": 2, "stride": 1},
        {"type": "flatten"},
        {"type": "linear"},
    ],
    "conv": [
        {"type": "conv2d", "stride": 1, "padding": 1},
        {"type": "relu"},
        {"type": "conv2d", "stride": 1, "padding": 0},
        {"type": "avg_pool2d", "kernel": 2, "stride": 2},
        {"type": "flatten"},
        {"type": "linear"},
    ],
}
WEIGHTS: dict[str, dict[int, tuple[int, ...]]] = {
    "mlp": {1: (6, 5), 3: (5, CLASSES)},
    "deep": {1: (4, 6), 3: (6, 5), 5: (5, CLASSES)},
    "cnn": {0: (3, 3, 1, 4), 1: (4,), 5: (16, CLASSES)},
    "conv": {0: (3, 3, 2, 3), 2: (3, 3, 3, 2), 5: (2, CLASSES)},
}

# Who brings how much: unequal batches, absent clients, one that never comes, a lone one.
UNEQUAL = [[3, 1, 2]]
ABSENT = [[0, 4, 1, 2]]
TRACE = [[3, 1, 2, 0], [0, 4, 1, 0], [2, 0, 0, 0], [1, 1, 3, 0]]
LATE = [[1, 0, 3], [0, 2, 0], [4, 1, 1], [2, 2, 0], [0, 0, 1]]
ALL = {"momentum": 0.875, "weight_decay": 0.0625}

# id, flags, network, cut, batch sizes (S, K), settings of SGD
STEP_CASES: list[tuple[str, list[str], str, int, list[list[int]], dict[str, float]]] = [
    ("step-mlp", ["summed", "unequal-batches"], "mlp", 2, UNEQUAL, {}),
    ("step-one-client", [], "mlp", 3, [[5]], {}),
    ("step-absent", ["summed", "absent"], "deep", 3, ABSENT, {}),
    ("step-no-client-weights", ["no-client-weights"], "mlp", 1, UNEQUAL, {}),
    ("step-weight-decay", ["weight-decay"], "mlp", 2, UNEQUAL, {"weight_decay": 0.25}),
    ("step-cnn", ["summed", "unequal-batches"], "cnn", 3, UNEQUAL, {}),
    ("step-conv", ["summed", "absent"], "conv", 2, ABSENT, {}),
    ("trace-mlp", ["absent", "drift"], "mlp", 2, TRACE, {}),
    ("trace-mlp-momentum", ["momentum", "absent"], "mlp", 3, TRACE, {"momentum": 0.875}),
    ("trace-mlp-all", ["momentum", "weight-decay", "absent"], "deep", 4, LATE, ALL),
    ("trace-deep-early-cut", ["momentum", "weight-decay"], "deep", 2, TRACE, ALL),
    ("trace-no-client-weights", ["no-client-weights", "momentum"], "mlp", 1, LATE, ALL),
    ("trace-cnn", ["momentum", "weight-decay", "absent"], "cnn", 2, TRACE, ALL),
    ("trace-cnn-late-cut", ["momentum", "absent"], "cnn", 4, LATE, {"momentum": 0.75}),
    ("trace-conv", ["momentum", "weight-decay", "absent"], "conv", 3, LATE, ALL),
]


def numbers(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Odd multiples of 1/64 between -1 and 1: exact in float32, never 0."""
    return (2 * rng.integers(-32, 32, shape) + 1) / 64


def split_inputs(
    rng: np.random.Generator,
    network: str,
    cut: int,
    batch_sizes: Array,
    settings: dict[str, float],
) -> Values:
    """Inputs of `split_steps` for one of the networks above, with images and weights drawn."""
    shapes = {
        f"{layer}.{name}": shape if name == "weight" else shape[-1:]
        for layer, shape in WEIGHTS[network].items()
        for name in ("weight", "bias")
    }
    total = int(batch_sizes.sum())
    return {
        "layers": LAYERS[network],
        "weights": {name: numbers(rng, shape) for name, shape in shapes.items()},
        "cut": cut,
        "learning_rate": 0.125,
        "momentum": 0.0,
        "weight_decay": 0.0,
        **settings,
        "batch_sizes": batch_sizes,
        "x": 2 * numbers(rng, (total, *IMAGES[network])),
        "y": rng.integers(0, CLASSES, total),
        "eval_x": 2 * numbers(rng, (3, *IMAGES[network])),
    }
