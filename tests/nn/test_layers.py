"""Linear, ReLU, Flatten; and what every layer promises."""

import re
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pslref.nn import (
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    Flatten,
    GroupNorm,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    Residual,
    gradient_errors,
)

counts = st.integers(1, 4)
seeds = st.integers(0, 2**32)


@given(counts, counts, counts, seeds)
def test_linear_gradients(n: int, rows: int, columns: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer = Linear(rows, columns, rng)
    layer.parameters["bias"][:] = rng.standard_normal(columns)
    errors = gradient_errors(layer, rng.standard_normal((n, rows)), rng)
    assert errors.keys() == {"x", "weight", "bias"}
    assert max(errors.values()) <= 1e-7


@given(st.lists(counts, min_size=1, max_size=4), seeds)
def test_relu_gradient_away_from_the_kink(shape: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape)
    x += 0.01 * np.sign(x)
    assert gradient_errors(ReLU(), x, rng)["x"] <= 1e-7


def test_relu_at_the_kink_and_at_the_ends() -> None:
    x = np.array([-np.inf, -1.0, -0.0, 0.0, 5e-324, 2.0, np.inf])
    y, cache = ReLU().forward(x)
    assert y.tolist() == [0, 0, 0, 0, 5e-324, 2, np.inf]
    assert ReLU().backward(np.ones(7), cache)[0].tolist() == [0, 0, 0, 0, 1, 1, 1]


@given(st.lists(counts, min_size=2, max_size=4), seeds)
def test_flatten_is_a_reshape_and_back(shape: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, dy = rng.standard_normal(shape), rng.standard_normal((shape[0], int(np.prod(shape[1:]))))
    y, cache = Flatten().forward(x)
    assert (y == x.reshape(dy.shape)).all()
    assert (Flatten().backward(dy, cache)[0] == dy.reshape(shape)).all()


def test_weights_are_he_normal_and_biases_zero(rng: np.random.Generator, alpha: float) -> None:
    """The sum of n squared weights, over their variance, is χ² with n degrees of freedom.

    Both tails at alpha / 4 for each of two layers: a false alarm has probability alpha. Shows a
    variance wrong by 15 % (n ≥ 10,000), so another fan-in or a factor of 2.
    """
    from scipy.stats import chi2

    for layer, fan_in in (
        (Linear(200, 100, rng), 200),
        (Conv2d(20, 60, kernel=3, rng=rng), 180),
    ):
        weight = layer.parameters["weight"]
        statistic = (weight**2).sum() * fan_in / 2
        assert chi2.ppf(alpha / 4, weight.size) < statistic < chi2.isf(alpha / 4, weight.size)
        assert (layer.parameters["bias"] == 0).all()


IMAGES = (3, 7, 6, 4)
Case = tuple[Callable[[np.random.Generator, str], Layer], tuple[int, ...]]
EVERY_LAYER: dict[str, Case] = {
    "Linear": (lambda rng, dtype: Linear(4, 3, rng, dtype), (3, 4)),
    "ReLU": (lambda rng, dtype: ReLU(), IMAGES),
    "Flatten": (lambda rng, dtype: Flatten(), IMAGES),
    "GroupNorm": (lambda rng, dtype: GroupNorm(2, 4, dtype=dtype), IMAGES),
    "Conv2d": (lambda rng, dtype: Conv2d(4, 3, 3, 2, 1, rng=rng, dtype=dtype), IMAGES),
    "MaxPool2d": (lambda rng, dtype: MaxPool2d(2), IMAGES),
    "MaxPool2d, one pixel": (lambda rng, dtype: MaxPool2d(1), IMAGES),
    "AvgPool2d": (lambda rng, dtype: AvgPool2d(3, 2), IMAGES),
    "AvgPool2d, whole": (lambda rng, dtype: AvgPool2d(), IMAGES),
    "Residual": (
        lambda rng, dtype: Residual(
            [Conv2d(4, 3, 3, 2, 1, rng=rng, dtype=dtype)],
            [Conv2d(4, 3, 1, 2, rng=rng, dtype=dtype)],
        ),
        IMAGES,
    ),
    "Residual, x itself": (lambda rng, dtype: Residual([GroupNorm(2, 4, dtype=dtype)]), IMAGES),
}
# The one whose samples depend on each other.
WITH_BATCH_NORM = EVERY_LAYER | {
    "BatchNorm2d": (lambda rng, dtype: BatchNorm2d(4, dtype=dtype), IMAGES)
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", WITH_BATCH_NORM)
def test_a_layer_keeps_the_dtype_and_changes_nothing_it_is_given(
    name: str, dtype: str, rng: np.random.Generator
) -> None:
    make, shape = WITH_BATCH_NORM[name]
    layer, x = make(rng, dtype), rng.standard_normal(shape).astype(dtype)
    y, cache = layer.forward(x)
    dy = rng.standard_normal(y.shape).astype(dtype)
    for array in (x, dy, *layer.parameters.values()):
        array.setflags(write=False)  # so that a write raises
    y, cache = layer.forward(x)
    dx, grads = layer.backward(dy, cache)
    again, _ = layer.backward(dy, cache)
    assert (dx == again).all()
    assert dx.shape == x.shape
    assert grads.keys() == layer.parameters.keys()
    assert all(grads[key].shape == array.shape for key, array in layer.parameters.items())
    assert {a.dtype.name for a in (y, dx, *grads.values(), *layer.parameters.values())} == {dtype}


@pytest.mark.parametrize("given", ["uint8", "int64", ">f4", "float64", "list"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", WITH_BATCH_NORM)
def test_other_real_numbers_are_cast_on_the_way_in_forward_and_backward(
    name: str, dtype: str, given: str, rng: np.random.Generator
) -> None:
    make, shape = WITH_BATCH_NORM[name]
    layer = make(rng, dtype)
    own = dtype if layer.parameters else "float32" if given == ">f4" else "float64"
    x = rng.integers(100, 256, shape)
    dy = rng.integers(0, 256, layer.forward(x)[0].shape)
    y, cache = layer.forward(x.tolist() if given == "list" else x.astype(given))
    dx, grads = layer.backward(dy.tolist() if given == "list" else dy.astype(given), cache)
    expected_y, expected_cache = layer.forward(x.astype(own))
    expected_dx, expected_grads = layer.backward(dy.astype(own), expected_cache)
    assert {array.dtype for array in (y, dx, *grads.values())} == {np.dtype(own)}
    assert (y == expected_y).all()
    assert (dx == expected_dx).all()
    assert all((grads[key] == expected_grads[key]).all() for key in grads)


OTHER_NUMBERS = ["float16", "bool", "complex128", "object", "str", "timedelta64"]
if np.dtype("longdouble") != np.float64:
    OTHER_NUMBERS.append("longdouble")


@pytest.mark.parametrize("layer", [ReLU(), Linear(4, 3, np.random.default_rng(0), "float32")])
def test_other_numbers_and_shapes_are_refused_forward_and_backward(layer: Layer) -> None:
    """At the door of `Layer`, so it does not matter which."""
    y, cache = layer.forward(np.ones((3, 4)))
    sentence = r"(\.dtype = .*: must be float32, float64 or whole numbers| = .* of real numbers.*)$"
    for other in OTHER_NUMBERS:
        with pytest.raises(ValueError, match="^x" + sentence):
            layer.forward(np.ones((3, 4), int).astype(other))
        with pytest.raises(ValueError, match="^dy" + sentence):
            layer.backward(np.ones(y.shape, int).astype(other), cache)
    for number in (1, 1.0, np.float32(1), np.uint8(1)):
        with pytest.raises(ValueError, match=r"^x.shape = \(\): must be \(N, ...\)$"):
            layer.forward(number)
    for dy in (1.0, y[:1], y[np.newaxis], y[..., :0], y.ravel()):
        sentence = re.escape(f"dy.shape = {np.shape(dy)}: must be y's, {y.shape}")
        with pytest.raises(ValueError, match=f"^{sentence}$"):
            layer.backward(dy, cache)


def test_the_right_dtype_is_not_copied(rng: np.random.Generator) -> None:
    for dtype in ("float32", "float64"):
        x = np.ones((3, 4), dtype)
        assert Linear(4, 2, rng, dtype).forward(x)[1].kept is x
        assert Flatten().forward(x)[1].checked(x) is x


def test_parameters_of_another_dtype_are_refused(rng: np.random.Generator) -> None:
    layer = Linear(4, 2, rng)
    layer.parameters["weight"] = np.ones((4, 2), int)
    with pytest.raises(ValueError, match=r"^weight.dtype = .*int64.*: must be float32 or float64$"):
        layer.forward(np.full((3, 4), 0.5))


@pytest.mark.parametrize("name", EVERY_LAYER)
def test_a_layer_treats_samples_independently_and_in_any_memory_order(
    name: str, rng: np.random.Generator
) -> None:
    make, shape = EVERY_LAYER[name]
    layer, x = make(rng, "float64"), rng.standard_normal(shape)
    y, cache = layer.forward(x)
    dy = rng.standard_normal(y.shape)
    dx, grads = layer.backward(dy, cache)
    alone = [layer.forward(x[i : i + 1]) for i in range(len(x))]
    back = [layer.backward(dy[i : i + 1], kept) for i, (_, kept) in enumerate(alone)]
    turned, kept = layer.forward(np.asfortranarray(x))
    turned_back = layer.backward(np.asfortranarray(dy), kept)
    for whole, parts, other in (
        (y, np.concatenate([part for part, _ in alone]), turned),
        (dx, np.concatenate([part for part, _ in back]), turned_back[0]),
        *((g, sum(part[key] for _, part in back), turned_back[1][key]) for key, g in grads.items()),
    ):
        assert whole == pytest.approx(parts, abs=1e-12)
        assert whole == pytest.approx(other, abs=1e-12)


@pytest.mark.parametrize("name", EVERY_LAYER)
def test_one_nan_is_passed_on(name: str, rng: np.random.Generator) -> None:
    make, shape = EVERY_LAYER[name]
    layer, x = make(rng, "float64"), rng.standard_normal(shape)
    x[(1,) + (0,) * (len(shape) - 1)] = np.nan
    y, _ = layer.forward(x)
    assert np.isnan(y[1]).any()
    assert np.isfinite(y[[0, 2]]).all()


def test_relu_passes_nan_on() -> None:
    y, cache = ReLU().forward(np.array([np.nan, 1.0]))
    assert np.isnan(y).tolist() == [True, False]
    assert np.isnan(ReLU().backward(np.array([np.nan, np.nan]), cache)[0]).all()


@pytest.mark.parametrize("name", EVERY_LAYER)
def test_a_batch_without_samples_has_outputs_and_gradients_without_samples(
    name: str, rng: np.random.Generator
) -> None:
    make, shape = EVERY_LAYER[name]
    layer = make(rng, "float64")
    whole = layer.forward(np.zeros((2, *shape[1:])))[0]
    y, cache = layer.forward(np.zeros((0, *shape[1:])))
    assert y.shape == (0, *whole.shape[1:])
    dx, grads = layer.backward(y, cache)
    assert dx.shape == (0, *shape[1:])
    assert {name: grad.shape for name, grad in grads.items()} == {
        name: array.shape for name, array in layer.parameters.items()
    }
    assert not any(grad.any() for grad in grads.values())
