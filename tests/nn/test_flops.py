"""What layers say of their arithmetic is what naive loops do, one counted operation at a time."""

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest

from pslref.nn import (
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    Flatten,
    GroupNorm,
    Layer,
    Linear,
    MaxPool2d,
    Network,
    ReLU,
    Residual,
)
from pslref.nn.flops import flops, of_network

operations = 0


class Counted:
    """A number whose arithmetic is counted."""

    def __init__(self, value: float) -> None:
        self.value = float(value)

    def __add__(self, other: "Counted") -> "Counted":
        return counted(self.value + other.value)

    def __sub__(self, other: "Counted") -> "Counted":
        return counted(self.value - other.value)

    def __mul__(self, other: "Counted") -> "Counted":
        return counted(self.value * other.value)

    def __truediv__(self, other: "Counted") -> "Counted":
        return counted(self.value / other.value)

    def __gt__(self, other: "Counted") -> bool:
        return counted(self.value).value > other.value


def counted(value: float) -> Counted:
    global operations
    operations += 1
    return Counted(value)


def zeros(shape: tuple[int, ...]) -> np.ndarray:
    found = np.empty(shape, object)
    for place in np.ndindex(shape):
        found[place] = Counted(0)
    return found


def as_counted(numbers: np.ndarray) -> np.ndarray:
    found = zeros(numbers.shape)
    for place in np.ndindex(numbers.shape):
        found[place] = Counted(numbers[place])
    return found


# Each of these takes a layer, x and dy of one sample and yields y, dx, and the parameters'
# gradients, which are added to 0, as to those of the samples before.
Loops = Iterator[Any]


def linear(layer: Layer, x: np.ndarray, dy: np.ndarray) -> Loops:
    w, y = as_counted(layer.parameters["weight"]), as_counted(layer.parameters["bias"])
    places = list(np.ndindex(w.shape))
    for i, o in places:
        y[o] = y[o] + x[i] * w[i, o]
    yield y
    dx = zeros(x.shape)
    for i, o in places:
        dx[i] = dx[i] + dy[o] * w[i, o]
    yield dx
    dw, db = zeros(w.shape), zeros(y.shape)
    for i, o in places:
        dw[i, o] = dw[i, o] + x[i] * dy[o]
    for o in range(len(db)):
        db[o] = db[o] + dy[o]
    yield {"weight": dw, "bias": db}


def convolution(layer: Conv2d, x: np.ndarray, dy: np.ndarray) -> Loops:
    w, b, s, p = as_counted(layer.parameters["weight"]), layer.parameters["bias"], *geometry(layer)
    padded = zeros((x.shape[0] + 2 * p, x.shape[1] + 2 * p, x.shape[2]))
    padded[p : p + x.shape[0], p : p + x.shape[1]] = x
    y = zeros(dy.shape)
    for h, v, o in np.ndindex(y.shape):
        y[h, v, o] = Counted(b[o])
        for i, j, c in np.ndindex(w.shape[:3]):
            y[h, v, o] = y[h, v, o] + padded[s * h + i, s * v + j, c] * w[i, j, c, o]
    yield y
    dx = zeros(padded.shape)
    for (h, v, o), (i, j, c) in product(np.ndindex(y.shape), np.ndindex(w.shape[:3])):
        place = s * h + i, s * v + j, c
        dx[place] = dx[place] + dy[h, v, o] * w[i, j, c, o]
    yield dx[p : p + x.shape[0], p : p + x.shape[1]]
    dw, db = zeros(w.shape), zeros(b.shape)
    for h, v, o in np.ndindex(y.shape):
        for i, j, c in np.ndindex(w.shape[:3]):
            dw[i, j, c, o] = dw[i, j, c, o] + padded[s * h + i, s * v + j, c] * dy[h, v, o]
        db[o] = db[o] + dy[h, v, o]
    yield {"weight": dw, "bias": db}


def geometry(layer: Conv2d) -> tuple[int, int]:
    return layer.stride, layer.padding


def relu(layer: Layer, x: np.ndarray, dy: np.ndarray) -> Loops:
    y, dx, zero = zeros(x.shape), zeros(x.shape), Counted(0)
    for place in np.ndindex(x.shape):
        y[place] = x[place] if x[place] > zero else zero
    yield y
    for place in np.ndindex(x.shape):
        dx[place] = dy[place] if y[place] > zero else zero
    yield dx
    yield {}


def flatten(layer: Layer, x: np.ndarray, dy: np.ndarray) -> Loops:
    yield x.reshape(-1)
    yield dy.reshape(x.shape)
    yield {}


def max_pool(layer: MaxPool2d, x: np.ndarray, dy: np.ndarray) -> Loops:
    def largest(h: int, v: int, c: int) -> tuple[int, int, int]:
        window = product(range(layer.kernel[0]), range(layer.kernel[1]))
        places = [(layer.stride * h + i, layer.stride * v + j, c) for i, j in window]
        best = places[0]
        for place in places[1:]:
            best = place if x[place] > x[best] else best
        return best

    y, dx = zeros(dy.shape), zeros(x.shape)
    for place in np.ndindex(y.shape):
        y[place] = x[largest(*place)]
    yield y
    for place in np.ndindex(y.shape):
        best = largest(*place)
        dx[best] = dx[best] + dy[place]
    yield dx
    yield {}


def average_pool(layer: AvgPool2d, x: np.ndarray, dy: np.ndarray) -> Loops:
    height, width = (layer.kernel, layer.kernel) if layer.kernel else x.shape[:2]
    y, dx, size = zeros(dy.shape), zeros(x.shape), Counted(height * width)
    for h, v, c in np.ndindex(y.shape):
        for i, j in np.ndindex(height, width):
            y[h, v, c] = y[h, v, c] + x[layer.stride * h + i, layer.stride * v + j, c]
        y[h, v, c] = y[h, v, c] / size
    yield y
    for h, v, c in np.ndindex(y.shape):
        part = dy[h, v, c] / size
        for i, j in np.ndindex(height, width):
            place = layer.stride * h + i, layer.stride * v + j, c
            dx[place] = dx[place] + part
    yield dx
    yield {}


def group_norm(layer: GroupNorm, x: np.ndarray, dy: np.ndarray) -> Loops:
    w, b = (as_counted(layer.parameters[name]) for name in ("weight", "bias"))
    each = x.shape[2] // layer.num_groups
    groups = [
        [(h, v, g * each + c) for h, v, c in np.ndindex(*x.shape[:2], each)]
        for g in range(layer.num_groups)
    ]
    size, one = Counted(len(groups[0])), Counted(1)

    def mean(numbers: list[Counted]) -> Counted:
        total = Counted(0)
        for number in numbers:
            total = total + number
        return total / size

    y, z, scales = zeros(x.shape), zeros(x.shape), []
    for places in groups:
        middle = mean([x[p] for p in places])
        centred = {p: x[p] - middle for p in places}
        variance = mean([number * number for number in centred.values()])
        root = counted(np.sqrt((variance + Counted(layer.eps)).value))
        scales.append(one / root)
        for p in places:
            z[p] = centred[p] * scales[-1]
            y[p] = w[p[2]] * z[p] + b[p[2]]
    yield y
    dx = zeros(x.shape)
    for places, scale in zip(groups, scales, strict=True):
        dz = {p: w[p[2]] * dy[p] for p in places}
        of_dz, of_product = mean(list(dz.values())), mean([z[p] * dz[p] for p in places])
        for p in places:
            dx[p] = scale * (dz[p] - of_dz - z[p] * of_product)
    yield dx
    dw, db = zeros(w.shape), zeros(b.shape)
    for p in np.ndindex(x.shape):
        dw[p[2]] = dw[p[2]] + z[p] * dy[p]
        db[p[2]] = db[p[2]] + dy[p]
    yield {"weight": dw, "bias": db}


RNG = np.random.default_rng(0)
CASES: list[tuple[Layer, tuple[int, ...], Callable[..., Loops]]] = [
    (Linear(4, 3, RNG), (4,), linear),
    (Linear(1, 1, RNG), (1,), linear),
    (Conv2d(2, 3, 3, padding=1, rng=RNG), (5, 4, 2), convolution),
    (Conv2d(1, 2, 2, stride=2, rng=RNG), (5, 4, 1), convolution),
    (Conv2d(3, 1, 1, stride=3, rng=RNG), (4, 7, 3), convolution),
    (ReLU(), (3, 2, 4), relu),
    (Flatten(), (3, 2, 4), flatten),
    (MaxPool2d(2), (5, 4, 3), max_pool),
    (MaxPool2d(3, 1), (5, 4, 2), max_pool),
    (AvgPool2d(2), (5, 4, 3), average_pool),
    (AvgPool2d(3, 2), (7, 5, 2), average_pool),
    (AvgPool2d(), (3, 4, 5), average_pool),
    (GroupNorm(2, 6), (3, 2, 6), group_norm),
    (GroupNorm(4, 4), (3, 5, 4), group_norm),
]


@pytest.mark.parametrize(("layer", "shape", "loops"), CASES, ids=lambda case: type(case).__name__)
def test_loops_do_as_many_operations_and_find_the_same(
    layer: Layer, shape: tuple[int, ...], loops: Callable[..., Loops], rng: np.random.Generator
) -> None:
    for array in layer.parameters.values():
        array += rng.standard_normal(array.shape)
    x = rng.standard_normal((1, *shape))
    y, cache = layer.forward(x)
    dy = rng.standard_normal(y.shape)
    found, numbers = [], []
    before = operations
    for result in loops(layer, as_counted(x[0]), as_counted(dy[0])):
        numbers.append(operations - before)
        found.append(result)
        before = operations
    assert flops(layer, shape, y.shape[1:]) == tuple(numbers)
    value = np.vectorize(lambda number: number.value, otypes=[float])
    np.testing.assert_allclose(value(found[0]), y[0], atol=1e-12)
    dx, gradients = layer.backward(dy, cache)
    np.testing.assert_allclose(value(found[1]), dx[0], atol=1e-12)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(value(found[2][name]), gradient, atol=1e-12)


def test_a_batch_norm_does_what_a_group_norm_does_less_what_is_done_once_for_a_batch() -> None:
    x, channels = (3, 5, 4), 4
    of_batch, of_group = flops(BatchNorm2d(4), x, x), flops(GroupNorm(channels, 4), x, x)
    once = np.array([5 * channels, 2 * channels, 0])
    assert np.array_equal(of_batch, np.subtract(of_group, once))


def test_a_residual_does_both_ways_and_adds_them_up() -> None:
    first, second, other = Linear(4, 5, RNG), Linear(5, 3, RNG), Linear(4, 3, RNG)
    ways = [flops(first, (4,), (5,)), flops(ReLU(), (5,), (5,)), flops(second, (5,), (3,))]
    expected = np.sum([*ways, flops(other, (4,), (3,)), (3, 4, 0)], axis=0)
    layer = Residual([first, ReLU(), second], [other])
    assert np.array_equal(flops(layer, (4,), (3,)), expected)
    same = Residual([Linear(4, 4, RNG)])
    expected = np.add(flops(same.branch.layers[0], (4,), (4,)), (4, 4, 0))
    assert np.array_equal(flops(same, (4,), (4,)), expected)


def test_a_network_has_no_gradient_of_an_input_that_nothing_is_trained_below() -> None:
    first, second = Linear(4, 5, RNG), Linear(5, 3, RNG)
    net = Network([Flatten(), first, ReLU(), second])
    lowest, above = flops(first, (4,), (5,)), flops(ReLU(), (5,), (5,))
    rest = np.sum([lowest, above, flops(second, (5,), (3,))], axis=0)
    assert np.array_equal(of_network(net, (2, 2)), rest)
    expected = rest - np.array([0, lowest.input_gradient, 0])
    assert np.array_equal(of_network(net, (2, 2), input_gradient=False), expected)


def test_a_layer_that_does_not_say_cannot_be_timed() -> None:
    class Own(Layer):
        def output(self, x: np.ndarray) -> tuple[np.ndarray, None]:
            return x, None

        def input_gradient(self, dy: np.ndarray, cache: None) -> np.ndarray:
            return dy

    with pytest.raises(ValueError, match="must be of a kind whose arithmetic is known"):
        flops(Own(), (1,), (1,))
