"""Pooling against plain loops, numerical gradients, and PyTorch."""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pslref.check import Array
from pslref.nn import AvgPool2d, MaxPool2d, gradient_errors
from tests.nn.witness import assert_equals_pytorch

seeds = st.integers(0, 2**32)


class Geometry(NamedTuple):
    shape: tuple[int, int, int, int]  # N, H, W, C
    kernel: int
    stride: int


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    kernel = draw(st.integers(1, 4))
    few, sides = st.integers(1, 3), st.integers(kernel, kernel + 4)
    shape = draw(st.tuples(few, sides, sides, few))
    return Geometry(shape, kernel, draw(st.integers(1, 5)))


ONE_PIXEL = Geometry((1, 1, 1, 1), kernel=1, stride=1)
STRIDE_ABOVE_KERNEL = Geometry((2, 7, 5, 2), kernel=2, stride=3)
OVERLAPPING = Geometry((2, 6, 7, 2), kernel=3, stride=2)


def naive_pool(x: Array, dy: Array | None, g: Geometry, mean: bool) -> tuple[Array, Array]:
    """Pooling window by window: y, and dx with the whole of dy at the first largest number."""
    n, h, w, channels = x.shape
    k, s = g.kernel, g.stride
    y = np.zeros((n, (h - k) // s + 1, (w - k) // s + 1, channels))
    dx = np.zeros(x.shape)
    for b, row, column, c in np.ndindex(y.shape):
        window = b, slice(s * row, s * row + k), slice(s * column, s * column + k), c
        y[b, row, column, c] = x[window].mean() if mean else x[window].max()
        part = np.full((k, k), 1 / k**2)
        if not mean:
            part = (np.arange(k * k) == x[window].argmax()).reshape(k, k)
        dx[window] += part * (0 if dy is None else dy[b, row, column, c])
    return y, dx


@example(ONE_PIXEL, 0)
@example(STRIDE_ABOVE_KERNEL, 0)
@example(OVERLAPPING, 0)
@given(geometries(), seeds)
def test_max_pool_equals_the_loop_and_the_first_of_equals_takes_the_gradient(
    g: Geometry, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    layer, x = MaxPool2d(g.kernel, g.stride), rng.integers(0, 3, g.shape) * 1.0  # full of ties
    y, cache = layer.forward(x)
    dy = rng.integers(-9, 9, y.shape) * 1.0
    expected, dx = naive_pool(x, dy, g, mean=False)
    assert (y == expected).all()
    assert (layer.backward(dy, cache)[0] == dx).all()


@given(geometries(), seeds)
def test_average_pool_equals_the_loop(g: Geometry, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(g.shape)
    y, _ = AvgPool2d(g.kernel, g.stride).forward(x)
    assert y == pytest.approx(naive_pool(x, None, g, mean=True)[0], abs=1e-12)
    y, _ = AvgPool2d().forward(x)
    assert y == pytest.approx(x.mean(axis=(1, 2), keepdims=True), abs=1e-12)


@example(ONE_PIXEL, 0)
@example(STRIDE_ABOVE_KERNEL, 0)
@example(OVERLAPPING, 0)
@given(geometries(), seeds)
def test_pool_gradients_away_from_ties(g: Geometry, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.permutation(np.prod(g.shape)).reshape(g.shape) * 0.01
    for layer in (MaxPool2d(g.kernel, g.stride), AvgPool2d(g.kernel, g.stride), AvgPool2d()):
        assert gradient_errors(layer, x, rng)["x"] <= 1e-7


@settings(max_examples=30)
@given(geometries(), seeds)
def test_pools_equal_pytorch_ties_included(g: Geometry, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 3, g.shape) * 1.0
    for kind, name in ((MaxPool2d, "max_pool2d"), (AvgPool2d, "avg_pool2d")):

        def theirs(f, x, name=name):
            return getattr(f, name)(x, g.kernel, g.stride)

        assert_equals_pytorch(kind(g.kernel, g.stride), x, theirs, rng)


def test_a_pool_s_stride_is_its_kernel_unless_given() -> None:
    x = np.zeros((1, 6, 7, 1))
    assert MaxPool2d(2).forward(x)[0].shape == AvgPool2d(2).forward(x)[0].shape == (1, 3, 3, 1)
    assert MaxPool2d(2, 1).forward(x)[0].shape == AvgPool2d(2, 1).forward(x)[0].shape
