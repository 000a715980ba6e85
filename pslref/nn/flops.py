"""The arithmetic that a sample takes, from the formulas of each layer (docs/method.md, 5.2 and 7).

What is done once for a batch, such as the root of a BatchNorm2d, is of no sample and left out.
"""

from collections.abc import Sequence
from functools import singledispatch
from itertools import pairwise
from math import prod
from typing import NamedTuple

import numpy as np

from pslref import check
from pslref.nn.convolution import Conv2d
from pslref.nn.layers import Flatten, Layer, Linear, ReLU
from pslref.nn.network import Network
from pslref.nn.norm import BatchNorm2d, GroupNorm
from pslref.nn.residual import Residual
from pslref.nn.windows import AvgPool2d, MaxPool2d

Shape = tuple[int, ...]


class Flops(NamedTuple):
    """Additions, products, divisions, roots and comparisons in each formula, for one sample."""

    output: int
    input_gradient: int
    parameter_gradients: int


@singledispatch
def flops(layer: Layer, x: Shape, y: Shape) -> Flops:
    """Those of a layer whose input and output, of one sample, have the shapes x and y.

    A layer of one's own says its own, in a function under `@flops.register`.
    """
    allowed = "must be of a kind whose arithmetic is known (pslref.nn.flops.register)"
    raise check.wrong("layer", layer, allowed)


@flops.register
def _(layer: Linear | Conv2d, x: Shape, y: Shape) -> Flops:
    """A product and an addition for each weight, three times; in db an addition a number.

    Conv2d has as many at every output pixel, with the zeros around x: H' W' kernel² C_in C_out.
    """
    products = prod(y[:-1]) * layer.parameters["weight"].size
    return Flops(2 * products, 2 * products, 2 * products + prod(y))


@flops.register
def _(layer: ReLU, x: Shape, y: Shape) -> Flops:
    """A comparison for each number."""
    return Flops(prod(y), prod(y), 0)


@flops.register
def _(layer: Flatten, x: Shape, y: Shape) -> Flops:
    """None."""
    return Flops(0, 0, 0)


@flops.register
def _(layer: MaxPool2d, x: Shape, y: Shape) -> Flops:
    """kernel² - 1 comparisons for each number of y; to find it again as many, and an addition.

    The pool of this house finds the largest of its columns first, in fewer. This is the plain way.
    """
    window = prod(layer.kernel)
    return Flops((window - 1) * prod(y), window * prod(y), 0)


@flops.register
def _(layer: AvgPool2d, x: Shape, y: Shape) -> Flops:
    """An addition for each number of each window and a division for the window, both ways."""
    window = layer.kernel**2 if layer.kernel else x[0] * x[1]
    return Flops((window + 1) * prod(y), (window + 1) * prod(y), 0)


@flops.register
def _(layer: GroupNorm, x: Shape, y: Shape) -> Flops:
    """7, 8 and 3 for each number, and for each group 5 in the output and 2 in dx.

    The output has an addition for the mean, x - mean, a square and an addition for the variance,
    and z, w z and + b; dx has w dy, an addition for its mean, two for that of z dz, and the four
    signs of its formula; the parameters have z dy and two additions. Of a group there are two
    means, + eps, a root and 1 / root; and the two means of dx.
    """
    numbers, groups = prod(x), layer.num_groups
    return Flops(7 * numbers + 5 * groups, 8 * numbers + 2 * groups, 3 * numbers)


@flops.register
def _(layer: BatchNorm2d, x: Shape, y: Shape) -> Flops:
    """7, 8 and 3 for each number, as for GroupNorm; what is left is done once for a batch."""
    return Flops(7 * prod(x), 8 * prod(x), 3 * prod(x))


@flops.register
def _(layer: Residual, x: Shape, y: Shape) -> Flops:
    """Those of both ways, and an addition for each number of y and of dx."""
    ways = [of_network(network, x) for network in (layer.branch, layer.shortcut)]
    output, of_input, of_parameters = map(sum, zip(*ways, strict=True))
    return Flops(output + prod(y), of_input + prod(x), of_parameters)


def of_network(net: Network, input_shape: Sequence[int], input_gradient: bool = True) -> Flops:
    """Those of a network, as `Network.backward` takes them, with or without dx of its input."""
    _, cache = net.forward(np.zeros((2, *input_shape)))  # one has no variance
    shapes = [tuple(input_shape), *(each.shape[1:] for each in cache)]
    trained = [i for i, layer in enumerate(net.layers) if layer.parameters]
    lowest = -1 if input_gradient else min(trained, default=len(net.layers))
    total = np.zeros(3, object)  # Python's integers have no end
    for i, (layer, (x, y)) in enumerate(zip(net.layers, pairwise(shapes), strict=True)):
        total += np.multiply(flops(layer, x, y), [1, i > lowest, 1])
    return Flops(*map(int, total))
