"""Convolution and pooling against plain loops, numerical gradients, and PyTorch."""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pslref.nn import AvgPool2d, Conv2d, MaxPool2d, gradient_errors
from pslref.nn.layers import Array

TOLERANCE = 1e-7


class Geometry(NamedTuple):
    n: int
    h: int
    w: int
    channels: int
    kernel: int
    stride: int
    padding: int = 0

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return self.n, self.h, self.w, self.channels


@st.composite
def geometries(draw: st.DrawFn, most_padding: int = 0) -> Geometry:
    kernel, padding = draw(st.integers(1, 4)), draw(st.integers(0, most_padding))
    sides = st.integers(max(1, kernel - 2 * padding), kernel + 4)
    n, channels, stride = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 5))
    return Geometry(n, draw(sides), draw(sides), channels, kernel, stride, padding)


seeds = st.integers(0, 2**32)
ONE_PIXEL = Geometry(1, 1, 1, 1, kernel=1, stride=1)
STRIDE_ABOVE_KERNEL = Geometry(2, 7, 5, 2, kernel=2, stride=3)
OVERLAPPING = Geometry(2, 6, 7, 2, kernel=3, stride=2)


def a_conv(g: Geometry, rng: np.random.Generator) -> Conv2d:
    layer = Conv2d(g.channels, 2, g.kernel, g.stride, g.padding, rng=rng)
    layer.parameters["bias"][:] = rng.standard_normal(2)
    return layer


def naive_convolution(x: Array, layer: Conv2d) -> Array:
    """The definition, number by number; outside the image is zero."""
    weight, bias = layer.parameters["weight"], layer.parameters["bias"]
    (n, h, w, _), (k, _, _, outputs) = x.shape, weight.shape
    s, p = layer.stride, layer.padding
    y = np.zeros((n, (h + 2 * p - k) // s + 1, (w + 2 * p - k) // s + 1, outputs))
    for b, row, column, o in np.ndindex(y.shape):
        y[b, row, column, o] = bias[o]
        for i, j, c in np.ndindex(weight.shape[:3]):
            source = s * row + i - p, s * column + j - p
            if 0 <= source[0] < h and 0 <= source[1] < w:
                y[b, row, column, o] += x[b, *source, c] * weight[i, j, c, o]
    return y


@settings(max_examples=60)
@example(Geometry(1, 1, 1, 2, kernel=3, stride=1, padding=2), 0)
@example(Geometry(1, 1, 1, 1, kernel=4, stride=5, padding=4), 0)
@example(STRIDE_ABOVE_KERNEL, 0)
@given(geometries(most_padding=4), seeds)
def test_convolution_equals_the_definition(g: Geometry, seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer, x = a_conv(g, rng), rng.standard_normal(g.shape)
    y, _ = layer.forward(x)
    expected = naive_convolution(x, layer)
    assert y.shape == expected.shape
    assert np.abs(y - expected).max() <= 1e-12


@example(Geometry(1, 1, 1, 2, kernel=3, stride=1, padding=2), 0)
@example(Geometry(1, 1, 1, 1, kernel=4, stride=5, padding=4), 0)
@example(STRIDE_ABOVE_KERNEL, 0)
@given(geometries(most_padding=4), seeds)
def test_convolution_gradients(g: Geometry, seed: int) -> None:
    rng = np.random.default_rng(seed)
    errors = gradient_errors(a_conv(g, rng), rng.standard_normal(g.shape), rng)
    assert errors.keys() == {"x", "weight", "bias"}
    assert max(errors.values()) <= TOLERANCE


@settings(max_examples=30)
@given(geometries(most_padding=4), seeds)
def test_convolution_equals_pytorch(g: Geometry, seed: int) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    layer, x = a_conv(g, rng), rng.standard_normal(g.shape)
    y, cache = layer.forward(x)
    dy = rng.standard_normal(y.shape)
    dx, grads = layer.backward(dy, cache)
    tx, weight, bias = (
        torch.tensor(a, requires_grad=True) for a in (x, *layer.parameters.values())
    )
    ty = torch.nn.functional.conv2d(
        tx.permute(0, 3, 1, 2), weight.permute(3, 2, 0, 1), bias, g.stride, g.padding
    ).permute(0, 2, 3, 1)
    ty.backward(torch.tensor(dy))
    assert np.abs(y - ty.detach().numpy()).max() <= 1e-12
    for ours, theirs in ((dx, tx), (grads["weight"], weight), (grads["bias"], bias)):
        assert np.abs(ours - theirs.grad.numpy()).max() <= 1e-12


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
        assert gradient_errors(layer, x, rng)["x"] <= TOLERANCE


@settings(max_examples=30)
@given(geometries(), seeds)
def test_pools_equal_pytorch_ties_included(g: Geometry, seed: int) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 3, g.shape) * 1.0
    for layer, pool in (
        (MaxPool2d(g.kernel, g.stride), torch.nn.functional.max_pool2d),
        (AvgPool2d(g.kernel, g.stride), torch.nn.functional.avg_pool2d),
    ):
        y, cache = layer.forward(x)
        dy = rng.standard_normal(y.shape)
        tx = torch.tensor(x.transpose(0, 3, 1, 2).copy(), requires_grad=True)
        ty = pool(tx, g.kernel, g.stride)
        ty.backward(torch.tensor(dy.transpose(0, 3, 1, 2).copy()))
        assert y == pytest.approx(ty.detach().numpy().transpose(0, 2, 3, 1), abs=1e-12)
        dx = layer.backward(dy, cache)[0]
        assert dx == pytest.approx(tx.grad.numpy().transpose(0, 2, 3, 1), abs=1e-12)


def test_a_pool_s_stride_is_its_kernel_unless_given() -> None:
    x = np.zeros((1, 6, 7, 1))
    assert MaxPool2d(2).forward(x)[0].shape == AvgPool2d(2).forward(x)[0].shape == (1, 3, 3, 1)
    assert MaxPool2d(2, 1).forward(x)[0].shape == AvgPool2d(2, 1).forward(x)[0].shape


def test_a_kernel_larger_than_the_padded_image_is_refused(rng: np.random.Generator) -> None:
    sentence = r"x.shape = \(1, 2, 5, 3\): must be \(N, H, W, 3\), with H and W at least 3"
    with pytest.raises(ValueError, match=sentence):
        Conv2d(3, 1, kernel=5, padding=1, rng=rng).forward(np.zeros((1, 2, 5, 3)))
    with pytest.raises(ValueError, match=r"with H and W at least 1"):
        Conv2d(3, 1, kernel=2, padding=1, rng=rng).forward(np.zeros((1, 0, 5, 3)))
