import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pslref.nn import GroupNorm, gradient_errors
from tests.nn.witness import assert_equals_pytorch

counts = st.integers(1, 4)
seeds = st.integers(0, 2**32)


def a_group_norm(groups: int, in_group: int, rng: np.random.Generator) -> GroupNorm:
    layer = GroupNorm(groups, groups * in_group)
    for array in layer.parameters.values():
        array[:] = rng.standard_normal(array.shape)
    return layer


@example(n=1, h=1, w=1, groups=2, in_group=2, seed=0)
@example(n=2, h=1, w=3, groups=3, in_group=1, seed=0)
@given(counts, counts, counts, counts, counts, seeds)
def test_group_norm_gradients(
    n: int, h: int, w: int, groups: int, in_group: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    layer = a_group_norm(groups, in_group, rng)
    x = rng.standard_normal((n, h, w, groups, in_group))
    # Alternate 0 and 1 beneath the noise: no group comes near to being constant.
    size = h * w * in_group
    x = 0.2 * x + (np.arange(size) % 2).reshape(h, w, 1, in_group)
    errors = gradient_errors(layer, x.reshape(n, h, w, -1), rng)
    assert max(errors.values()) <= 1e-7


@given(counts, counts, seeds)
def test_the_gradient_of_a_group_of_one_number_is_zero(n: int, channels: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer = a_group_norm(channels, 1, rng)
    x, dy = rng.standard_normal((2, n, 1, 1, channels))
    y, cache = layer.forward(x)
    dx, grads = layer.backward(dy, cache)
    assert (y == layer.parameters["bias"]).all()
    assert (dx == 0).all()
    assert (grads["weight"] == 0).all()
    assert grads["bias"] == pytest.approx(dy.sum(axis=(0, 1, 2)))


def test_group_norm_gives_each_group_mean_0_and_variance_1(rng: np.random.Generator) -> None:
    x = rng.normal(100, 5, (3, 4, 5, 6))
    y, _ = GroupNorm(2, 6, eps=1e-12).forward(x)
    groups = y.reshape(3, 4, 5, 2, 3)
    assert np.abs(groups.mean(axis=(1, 2, 4))).max() < 1e-12
    assert groups.var(axis=(1, 2, 4)) == pytest.approx(1)


def test_group_norm_equals_pytorch(rng: np.random.Generator) -> None:
    layer = a_group_norm(3, 2, rng)

    def theirs(f, x, weight, bias):
        return f.group_norm(x, 3, weight, bias, eps=layer.eps)

    assert_equals_pytorch(layer, rng.standard_normal((4, 3, 5, 6)), theirs, rng)
