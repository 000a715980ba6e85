"""Networks to train: a multilayer perceptron, and a small convolutional network."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.random import Generator

from pslref import check
from pslref.check import DTypeLike
from pslref.nn.convolution import Conv2d
from pslref.nn.layers import Flatten, Layer, Linear, ReLU
from pslref.nn.network import Network
from pslref.nn.windows import MaxPool2d


def mlp(widths: Sequence[int], rng: Generator, dtype: DTypeLike = np.float64) -> Network:
    """Flatten, then Linear layers with a ReLU between every two.

    Args:
        widths: of the flattened input, the hidden layers, and the logits; [64, 32, 10] makes
            Flatten, Linear, ReLU, Linear.
        rng: draws the weights.
        dtype: float32 or float64.
    """
    if check.integers("widths", widths, ndim=1, low=1).size < 2:
        raise check.wrong("widths", widths, "must hold at least the input's and the logits' width")
    layers: list[Layer] = [Flatten()]
    for rows, columns in pairwise(widths):
        layers += [Linear(rows, columns, rng, dtype), ReLU()]
    return Network(layers[:-1])


def cnn(
    input_shape: Sequence[int],
    num_classes: int,
    rng: Generator,
    channels: Sequence[int] = (16, 32),
    dtype: DTypeLike = np.float64,
) -> Network:
    """For each of `channels` a 3×3 convolution, ReLU and 2×2 max pool; then Flatten and Linear.

    Args:
        input_shape: (H, W, C) of an image; H and W large enough to be halved by every pool.
        num_classes: M, the number of logits.
        rng: draws the weights.
        channels: of each convolution.
        dtype: float32 or float64.
    """
    check.integer("num_classes", num_classes, 1)
    shape = check.integers("input_shape", input_shape, ndim=1, low=1)
    convolutions = check.integers("channels", channels, ndim=1, low=1).tolist()
    halvings = 2 ** len(convolutions)
    if shape.size != 3 or shape[:2].min() < halvings:
        allowed = f"must be (H, W, C), H and W at least 2^{len(convolutions)}"
        raise check.wrong("input_shape", input_shape, allowed)
    height, width, inputs = shape.tolist()
    layers: list[Layer] = []
    for outputs in convolutions:
        conv = Conv2d(inputs, outputs, kernel=3, padding=1, rng=rng, dtype=dtype)
        layers += [conv, ReLU(), MaxPool2d(2)]
        inputs = outputs
    features = (height // halvings) * (width // halvings) * inputs
    return Network([*layers, Flatten(), Linear(features, num_classes, rng, dtype)])
