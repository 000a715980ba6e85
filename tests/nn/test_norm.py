import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pslref.nn import BatchNorm2d, GroupNorm, gradient_errors
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


# --- BatchNorm2d


def a_batch_norm(channels: int, rng: np.random.Generator, momentum: float = 0.1) -> BatchNorm2d:
    layer = BatchNorm2d(channels, momentum=momentum)
    for array in layer.parameters.values():
        array[:] = rng.standard_normal(array.shape)
    return layer


@given(counts, counts, counts, counts, seeds)
def test_batch_norm_gradients(n: int, h: int, w: int, channels: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = 2 * n * h * w
    # Alternate 0 and 1 beneath the noise: no channel comes near to being constant.
    x = 0.2 * rng.standard_normal((size, channels)) + (np.arange(size) % 2)[:, np.newaxis]
    errors = gradient_errors(a_batch_norm(channels, rng), x.reshape(2 * n, h, w, channels), rng)
    assert max(errors.values()) <= 1e-7


def test_batch_norm_equals_pytorch_in_training(rng: np.random.Generator) -> None:
    layer = a_batch_norm(5, rng)

    def theirs(f, x, weight, bias):
        return f.batch_norm(x, None, None, weight, bias, training=True, eps=layer.eps)

    assert_equals_pytorch(layer, rng.standard_normal((4, 3, 6, 5)), theirs, rng)


@pytest.mark.parametrize("momentum", [0.0, 0.1, 1.0])
def test_running_statistics_and_evaluation_equal_pytorchs(
    momentum: float, rng: np.random.Generator
) -> None:
    torch = pytest.importorskip("torch")
    layer = a_batch_norm(3, rng, momentum)
    theirs = torch.nn.BatchNorm2d(3, layer.eps, momentum, dtype=torch.float64)
    for name, array in layer.parameters.items():
        getattr(theirs, name).data = torch.tensor(array)
    for n in (4, 2, 1):
        x = rng.normal(5, 3, (n, 2, 1, 3))
        layer.commit(layer.forward(x)[1].kept)
        theirs(torch.tensor(x.transpose(0, 3, 1, 2)))
        for name, running in layer.statistics.items():
            np.testing.assert_allclose(running, getattr(theirs, name).numpy(), rtol=1e-13)
    x = rng.normal(5, 3, (1, 1, 1, 3))  # which has no variance of its own
    y = theirs.eval()(torch.tensor(x.transpose(0, 3, 1, 2))).detach().numpy()
    np.testing.assert_allclose(layer.evaluate(x), y.transpose(0, 2, 3, 1), rtol=1e-13)


def test_only_commit_changes_the_running_statistics(rng: np.random.Generator) -> None:
    """By hand: of 1 and 5 the mean is 3 and the unbiased variance 8."""
    layer = BatchNorm2d(1, momentum=0.25)
    y, cache = layer.forward(np.array([1.0, 5.0]).reshape(2, 1, 1, 1))
    layer.backward(y, cache)
    layer.evaluate(y)
    assert [s.tolist() for s in layer.statistics.values()] == [[0.0], [1.0]]
    layer.commit(cache.kept)
    assert [s.tolist() for s in layer.statistics.values()] == [[0.75], [2.75]]
    assert layer.evaluate([[[[0.75]]]]).tolist() == [[[[0.0]]]]


def test_the_running_statistics_of_float32_are_of_float64(rng: np.random.Generator) -> None:
    layer = BatchNorm2d(2, momentum=1.0, dtype="float32")
    x = (rng.standard_normal((6, 2, 2, 2)) * 1e30).astype(np.float32)
    layer.commit(layer.forward(x)[1].kept)
    expected = x.astype(float).var(axis=(0, 1, 2), ddof=1)
    assert layer.statistics["running_var"] == pytest.approx(expected)
    y = layer.evaluate(x)
    assert y.dtype == np.float32
    assert y.var(axis=(0, 1, 2)) == pytest.approx(23 / 24, rel=1e-5)


@pytest.mark.parametrize("n", [0, 1])
def test_one_number_of_a_channel_has_no_variance(n: int) -> None:
    with pytest.raises(ValueError, match=r"^x.shape = \(., 1, 1, 3\): must have more than one num"):
        BatchNorm2d(3).forward(np.ones((n, 1, 1, 3)))


def test_a_momentum_is_a_share() -> None:
    with pytest.raises(ValueError, match=r"^momentum = 1.5: must be "):
        BatchNorm2d(3, momentum=1.5)
