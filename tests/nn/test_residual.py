import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pslref.nn import BatchNorm2d, Conv2d, GroupNorm, Layer, ReLU, Residual, gradient_errors

seeds = st.integers(0, 2**32)


def ways(shortcut: bool, stride: int, rng: np.random.Generator) -> tuple[list[Layer], list[Layer]]:
    """Smooth layers; kinks are the layers' own tests."""
    branch = [Conv2d(4, 4, 3, stride, 1, rng=rng), GroupNorm(2, 4), Conv2d(4, 4, 1, rng=rng)]
    return [*branch, BatchNorm2d(4)], [Conv2d(4, 4, 1, stride, rng=rng)] if shortcut else []


@given(st.integers(2, 3), st.booleans(), seeds)
def test_residual_gradients(n: int, shortcut: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer = Residual(*ways(shortcut, 1 + shortcut, rng))
    errors = gradient_errors(layer, rng.standard_normal((n, 4, 5, 4)), rng)
    assert len(errors) == 9 + 2 * shortcut
    assert max(errors.values()) <= 1e-7


@pytest.mark.parametrize("shortcut", [False, True])
def test_it_is_the_sum_of_both_ways(shortcut: bool, rng: np.random.Generator) -> None:
    layer = Residual(*ways(shortcut, 1, rng))
    x = rng.standard_normal((3, 4, 5, 4))
    y, cache = layer.forward(x)
    other, of_shortcut = layer.shortcut.forward(x)
    assert (y == layer.branch.forward(x)[0] + other).all()
    dx, grads = layer.backward(y, cache)
    of_branch = layer.branch.backward(y, cache.kept[0])[0]
    of_other = layer.shortcut.backward(y, of_shortcut)[0] if shortcut else y
    assert (dx == of_branch + of_other).all()
    for name, alone in layer.parameter_gradients(y, cache.kept).items():
        assert (grads[name] == alone).all()


def test_ways_of_other_shapes_are_refused(rng: np.random.Generator) -> None:
    layer = Residual(*ways(False, 2, rng))
    sentence = r"^shortcut's y.shape = \(3, 4, 5, 4\): must be branch's, \(3, 2, 3, 4\)$"
    with pytest.raises(ValueError, match=sentence):
        layer.forward(np.ones((3, 4, 5, 4)))


def test_running_statistics_are_those_of_the_layers_within(rng: np.random.Generator) -> None:
    norm = BatchNorm2d(4)
    layer = Residual([norm, ReLU()], [BatchNorm2d(4)])
    x = rng.normal(3, 2, (5, 2, 2, 4))
    _, cache = layer.forward(x)
    layer.commit(cache.kept)
    assert [*layer.statistics] == [
        f"{way}.0.running_{name}" for way in ("branch", "shortcut") for name in ("mean", "var")
    ]
    assert layer.statistics["branch.0.running_mean"] == pytest.approx(0.1 * x.mean(axis=(0, 1, 2)))
    expected = np.maximum(norm.evaluate(x), 0) + norm.evaluate(x)
    assert (layer.evaluate(x) == expected).all()
