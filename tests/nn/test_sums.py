"""Sums of float32 numbers are float64's, but for a few roundings: however many, in any layout.

U bounds one rounding to float32 in units of the result. The expected errors are U times the
roundings on the way, and always below 1e-6 of the sum of the terms' sizes.
"""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pslref.check import Array
from pslref.nn import AvgPool2d, Conv2d, GroupNorm, Layer, Linear, MaxPool2d

U = 1.001 * 2.0**-24  # the odd part is for float64's own roundings
seeds = st.integers(0, 2**32)
few, some, many = st.integers(1, 3), st.integers(1, 40), st.integers(1, 4000)


def numbers(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Float32 of about one size, so that the errors of a sum add up; in one of two layouts."""
    x = rng.uniform(0.05, 0.3) * rng.choice([1, 1.125], shape)
    if len(shape) == 4 and rng.integers(2):
        x = np.ascontiguousarray(x.transpose(1, 3, 2, 0)).transpose(3, 0, 2, 1)
    return x.astype(np.float32)


def run(layer: Layer, dtype: str, x: Array, dy: Array) -> tuple[Array, Array, dict[str, Array]]:
    """y, dx and the parameters' gradients of a layer that computes in a dtype."""
    layer.parameters = {name: w.astype(dtype) for name, w in layer.parameters.items()}
    y, cache = layer.forward(x.astype(dtype))
    return y, *layer.backward(dy.astype(dtype), cache)


def close(ours: Array, exact: Array, bound: Array) -> bool:
    assert ours.dtype == np.float32
    return bool((np.abs(ours - exact) <= bound).all())


@example(60_000, 10, 0)
@settings(max_examples=30)
@given(many, st.integers(1, 20), seeds)
def test_the_bias_of_linear(n: int, columns: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    dy = numbers(rng, (n, columns))
    _, _, grads = run(Linear(1, columns, rng), "float32", np.ones((n, 1)), dy)
    exact = dy.sum(axis=0, dtype=np.float64)
    assert close(grads["bias"], exact, U * exact)


@example(1, 4000, 1, 1, 0)
@example(2000, 1, 3, 1, 0)
@settings(max_examples=30)
@given(some, many, few, few, seeds)
def test_bias_and_weight_of_a_convolution(n: int, h: int, w: int, channels: int, seed: int) -> None:
    """The weight's over the output rows; within one, it is a matrix product, here of n = w = 1."""
    rng = np.random.default_rng(seed)
    dy = numbers(rng, (n, h, w, channels))
    _, _, grads = run(Conv2d(1, channels, 1, rng=rng), "float32", np.ones((n, h, w, 1)), dy)
    exact = dy.sum(axis=(0, 1, 2), dtype=np.float64)
    assert close(grads["bias"], exact, U * exact)
    x, dy = numbers(rng, (1, h, 1, 1)), dy[:1, :, :1]
    _, _, grads = run(Conv2d(1, channels, 1, rng=rng), "float32", x, dy)
    exact = (x.astype(np.float64) * dy).sum(axis=(0, 1, 2))
    assert close(grads["weight"][0, 0, 0], exact, 2 * U * exact)


@example(1, 224, 224, 1, None, 1, 0)
@example(1, 60, 60, 1, 50, 1, 0)
@settings(max_examples=30)
@given(few, some, some, few, st.none() | few, few, seeds)
def test_average_pool(
    n: int, h: int, w: int, channels: int, kernel: int | None, stride: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x = numbers(rng, (n, max(h, kernel or 1), max(w, kernel or 1), channels))
    layer = AvgPool2d(kernel, stride)
    dy = numbers(rng, layer.forward(x)[0].shape)
    y, dx, _ = run(layer, "float32", x, dy)
    exact_y, exact_dx, _ = run(layer, "float64", x, dy)
    assert close(y, exact_y, U * exact_y)
    assert close(dx, exact_dx, 2 * U * exact_dx)  # dy / k² and the sum


@example(1, 60, 60, 1, 50, 0)
@settings(max_examples=30)
@given(few, some, some, few, few, seeds)
def test_max_pool(n: int, h: int, w: int, channels: int, kernel: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = numbers(rng, (n, max(h, kernel), max(w, kernel), channels))
    layer = MaxPool2d(kernel, 1)
    dy = numbers(rng, layer.forward(x)[0].shape)
    exact = run(layer, "float64", x, dy)[1]
    assert close(run(layer, "float32", x, dy)[1], exact, U * exact)


@example(1, 300, 300, 1, 1, 0.0, 0)
@example(3, 20, 20, 2, 2, 1e6, 0)
@settings(max_examples=30)
@given(some, some, some, few, few, st.sampled_from([0.0, 100.0, 1e6, 1e30]), seeds)
def test_group_norm(
    n: int, h: int, w: int, groups: int, in_group: int, shift: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    layer = GroupNorm(groups, groups * in_group)
    for array in layer.parameters.values():
        array[:] = rng.standard_normal(array.shape).astype(np.float32)
    x = numbers(rng, (n, h, w, groups * in_group))
    x = x * np.float32(shift or 1) + np.float32(shift)
    dy = numbers(rng, x.shape)
    exact_y, exact_dx, exact = run(layer, "float64", x, dy)
    weight, bias = layer.parameters["weight"], layer.parameters["bias"]
    _, (z, scale, *_) = layer.output(x.astype(np.float64))

    def grouped(a: Array) -> Array:
        return np.abs(a).reshape(n, h, w, groups, in_group)

    def mean(a: Array) -> Array:
        return a.mean(axis=(1, 2, 4), keepdims=True)

    y, dx, grads = run(layer, "float32", x, dy)
    # z: two roundings of x - mean, which the scale may have too, as the root of the sum of their
    # squares; that of the scale, and that of the product. Then w z, + b.
    assert close(y, exact_y, U * (8 * np.abs(weight * z) + np.abs(bias)))
    dz, size = grouped(weight * dy), grouped(z)
    # dz has one, its mean one more, z dz eight, its mean and z times that 16; each difference has
    # one of all before it, and the scale and its product four.
    terms = 7 * dz + 8 * mean(dz) + 21 * size * mean(size * dz)
    assert close(dx, exact_dx, (U * scale * terms).reshape(x.shape))
    assert close(grads["weight"], exact["weight"], 8 * U * np.abs(z * dy).sum(axis=(0, 1, 2)))
    assert close(grads["bias"], exact["bias"], U * exact["bias"])


@pytest.mark.parametrize("shape", [(2, 7, 5, 4), (1, 300, 300, 2)])
def test_group_norm_of_equal_numbers_is_its_bias(shape: tuple[int, ...]) -> None:
    layer = GroupNorm(2, shape[3], dtype="float32")
    layer.parameters["bias"][:] = 0.5
    y, cache = layer.forward(np.full(shape, 100.1, np.float32))
    assert (y == 0.5).all()
    assert (layer.backward(np.ones_like(y), cache)[1]["weight"] == 0).all()


@pytest.mark.parametrize("size", [1e20, 1e30, 3e38])
def test_group_norm_of_huge_numbers_is_that_of_small_ones(size: float) -> None:
    layer = GroupNorm(1, 2, dtype="float32")
    x = np.array([1, -1, -1, 1], np.float32).reshape(1, 1, 2, 2)
    y, cache = layer.forward(x * np.float32(size))
    dx, grads = layer.backward(x, cache)
    assert y == pytest.approx(x)
    assert grads["weight"] == pytest.approx(2)
    assert dx == pytest.approx(0)
    assert np.isfinite(dx).all()
