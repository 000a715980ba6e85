"""Networks to train: a multilayer perceptron, a small convolutional and a residual network."""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.random import Generator

from pslref import check
from pslref.check import DTypeLike
from pslref.nn.convolution import Conv2d
from pslref.nn.layers import Flatten, Layer, Linear, ReLU
from pslref.nn.network import Network
from pslref.nn.norm import BatchNorm2d, GroupNorm
from pslref.nn.residual import Residual
from pslref.nn.windows import AvgPool2d, MaxPool2d


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


def resnet(
    input_shape: Sequence[int],
    num_classes: int,
    rng: Generator,
    blocks: Sequence[int] = (1, 1, 1),
    width: int = 8,
    dtype: DTypeLike = np.float64,
) -> Network:
    """A 3×3 convolution, norm and ReLU; stages of residual blocks; the mean over pixels; Linear.

    A block is Residual, of two 3×3 convolutions with norms and a ReLU between them, and a ReLU. The
    first of each later stage halves H and W, doubles the channels, and has a 1×1 convolution with a
    norm as its shortcut. As in the paper, which cuts before the second stage, at 3 + 2 · blocks[0],
    the norms before that are GroupNorm, of two channels a group, and BatchNorm2d after it. [paper]

    Args:
        input_shape: (H, W, C) of an image.
        num_classes: M, the number of logits.
        rng: draws the weights.
        blocks: of each stage; the paper's ResNet-18 has (2, 2, 2, 2), and a width of 64.
        width: channels of the first stage, an even number.
        dtype: float32 or float64.
    """
    check.integer("num_classes", num_classes, 1)
    if check.integers("input_shape", input_shape, ndim=1, low=1).size != 3:
        raise check.wrong("input_shape", input_shape, "must be (H, W, C)")
    counts = check.integers("blocks", blocks, ndim=1, low=1).tolist()
    check.integer("sum of blocks", sum(counts), 1, 1000)
    if check.integer("width", width, 2, 100_000) % 2:
        raise check.wrong("width", width, "must be even")
    conv = partial(Conv2d, rng=rng, dtype=dtype)

    def norm(channels: int) -> Layer:
        if channels == width:
            return GroupNorm(channels // 2, channels, dtype=dtype)
        return BatchNorm2d(channels, dtype=dtype)

    layers: list[Layer] = [conv(input_shape[2], width, 3, padding=1), norm(width), ReLU()]
    inputs = width
    for stage, count in enumerate(counts):
        outputs = width * 2**stage
        for _ in range(count):
            stride = outputs // inputs
            into, onward = conv(inputs, outputs, 3, stride, 1), conv(outputs, outputs, 3, 1, 1)
            branch = [into, norm(outputs), ReLU(), onward, norm(outputs)]
            shortcut = [conv(inputs, outputs, 1, stride), norm(outputs)] if stride > 1 else []
            layers += [Residual(branch, shortcut), ReLU()]
            inputs = outputs
    return Network([*layers, AvgPool2d(), Flatten(), Linear(inputs, num_classes, rng, dtype)])
