"""Linear, ReLU, Flatten, GroupNorm; and what every layer promises."""

import re
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pslref.nn import (
    AvgPool2d,
    Conv2d,
    Flatten,
    GroupNorm,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    gradient_errors,
)

TOLERANCE = 1e-7
counts = st.integers(1, 4)
seeds = st.integers(0, 2**32)


@given(counts, counts, counts, seeds)
def test_linear_gradients(n: int, rows: int, columns: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer = Linear(rows, columns, rng)
    layer.parameters["bias"][:] = rng.standard_normal(columns)
    errors = gradient_errors(layer, rng.standard_normal((n, rows)), rng)
    assert errors.keys() == {"x", "weight", "bias"}
    assert max(errors.values()) <= TOLERANCE


@given(st.lists(counts, min_size=1, max_size=4), seeds)
def test_relu_gradient_away_from_the_kink(shape: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape)
    x += 0.01 * np.sign(x)
    assert gradient_errors(ReLU(), x, rng)["x"] <= TOLERANCE


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
    assert max(errors.values()) <= TOLERANCE


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
    torch = pytest.importorskip("torch")
    layer = a_group_norm(3, 2, rng)
    x, dy = rng.standard_normal((2, 4, 3, 5, 6))
    y, cache = layer.forward(x)
    dx, grads = layer.backward(dy, cache)
    tx, weight, bias = (
        torch.tensor(a, requires_grad=True) for a in (x, *layer.parameters.values())
    )
    ty = torch.nn.functional.group_norm(tx.permute(0, 3, 1, 2), 3, weight, bias, eps=layer.eps)
    ty.permute(0, 2, 3, 1).backward(torch.tensor(dy))
    assert y == pytest.approx(ty.detach().permute(0, 2, 3, 1).numpy(), abs=1e-12)
    for ours, theirs in ((dx, tx), (grads["weight"], weight), (grads["bias"], bias)):
        assert ours == pytest.approx(theirs.grad.numpy(), abs=1e-12)


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
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", EVERY_LAYER)
def test_a_layer_keeps_the_dtype_and_changes_nothing_it_is_given(
    name: str, dtype: str, rng: np.random.Generator
) -> None:
    make, shape = EVERY_LAYER[name]
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


@pytest.mark.parametrize("given", ["uint8", "int64", ">f4", "list"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", EVERY_LAYER)
def test_other_real_numbers_are_cast_on_the_way_in_forward_and_backward(
    name: str, dtype: str, given: str, rng: np.random.Generator
) -> None:
    make, shape = EVERY_LAYER[name]
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


@pytest.mark.parametrize("other", OTHER_NUMBERS)
@pytest.mark.parametrize("name", EVERY_LAYER)
def test_other_dtypes_are_refused_forward_and_backward(
    name: str, other: str, rng: np.random.Generator
) -> None:
    make, shape = EVERY_LAYER[name]
    layer = make(rng, "float32")
    y, cache = layer.forward(np.ones(shape))
    sentence = r"(\.dtype = .*: must be float32, float64 or whole numbers| = .* of real numbers.*)$"
    with pytest.raises(ValueError, match="^x" + sentence):
        layer.forward(np.ones(shape, int).astype(other))
    with pytest.raises(ValueError, match="^dy" + sentence):
        layer.backward(np.ones(y.shape, int).astype(other), cache)


@pytest.mark.parametrize("name", EVERY_LAYER)
def test_a_number_alone_is_no_batch_and_a_gradient_has_the_shape_of_y(
    name: str, rng: np.random.Generator
) -> None:
    make, shape = EVERY_LAYER[name]
    layer = make(rng, "float64")
    y, cache = layer.forward(np.ones(shape))
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


@pytest.mark.parametrize("name", ["Linear", "GroupNorm", "Conv2d"])
def test_a_float32_layer_stays_so_when_given_float64(name: str, rng: np.random.Generator) -> None:
    make, shape = EVERY_LAYER[name]
    layer = make(rng, "float32")
    y, cache = layer.forward(rng.standard_normal(shape))
    dx, grads = layer.backward(y, cache)
    assert {a.dtype.name for a in (y, dx, *grads.values())} == {"float32"}


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


@pytest.mark.parametrize(
    ("name", "shape", "sentence"),
    [
        ("Linear", (3, 5), r"must be \(N, 4\)"),
        ("Linear", (4,), r"must be \(N, 4\)"),
        ("Linear", (3, 1, 4), r"must be \(N, 4\)"),
        ("Flatten", (3,), r"must be \(N, ...\), with at least two axes$"),
        ("GroupNorm", (3, 4), r"must be \(N, H, W, 4\)"),
        ("GroupNorm", (3, 2, 2, 6), r"must be \(N, H, W, 4\)"),
        ("Conv2d", (3, 7, 6, 3), r"must be \(N, H, W, 4\), with H and W at least 1"),
        ("Conv2d", (3, 7, 6), r"must be \(N, H, W, 4\)"),
        ("Conv2d", (3, 0, 6, 4), r"must be .*with H and W at least 1"),
        ("MaxPool2d", (3, 1, 2, 4), r"must be \(N, H, W, C\), with H and W at least"),
        ("AvgPool2d", (3, 2, 3, 4), r"must be .*with H and W at least 3"),
        ("AvgPool2d, whole", (3, 4), r"must be \(N, H, W, C\)"),
    ],
)
def test_an_input_of_the_wrong_shape_is_refused(
    name: str, shape: tuple[int, ...], sentence: str, rng: np.random.Generator
) -> None:
    layer = EVERY_LAYER[name][0](rng, "float64")
    with pytest.raises(ValueError, match=rf"^x.shape = {re.escape(str(shape))}: {sentence}"):
        layer.forward(np.zeros(shape))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda rng: Linear(0, 2, rng), r"in_features = 0: must be a whole number, 1 or more"),
        (lambda rng: Linear(2, 1.5, rng), r"out_features = 1.5"),
        (lambda rng: Linear(2, 2, rng, "int64"), r"dtype = 'int64': must be float32 or float64"),
        (lambda rng: GroupNorm(2, 4, dtype="float16"), r"dtype = 'float16'"),
        (lambda rng: GroupNorm(3, 4), r"num_groups = 3: must divide num_channels = 4"),
        (lambda rng: GroupNorm(8, 4), r"num_groups = 8: must be a whole number from 1 to 4"),
        (lambda rng: GroupNorm(1, 4, eps=0), r"eps = 0: must be a finite number, 2.22507e-308 or"),
        (lambda rng: GroupNorm(1, 4, 1e-40, "float32"), r"eps = 1e-40: .*, 1.17549e-38 or more"),
        (lambda rng: GroupNorm(1, 4, 1e39, "float32"), r"eps = 1e\+39: .* at most 3.40282e\+38"),
        (lambda rng: Conv2d(0, 1, 3, rng=rng), r"in_channels = 0"),
        (lambda rng: Conv2d(1, 0, 3, rng=rng), r"out_channels = 0"),
        (lambda rng: Conv2d(1, 1, 0, rng=rng), r"kernel = 0"),
        (lambda rng: Conv2d(1, 1, 3, 0, rng=rng), r"stride = 0"),
        (lambda rng: Conv2d(1, 1, 3, padding=-1, rng=rng), r"padding = -1"),
        (lambda rng: Conv2d(1, 1, 3, rng=rng, dtype="int8"), r"dtype = 'int8'"),
        (lambda rng: MaxPool2d(0), r"kernel = 0"),
        (lambda rng: MaxPool2d(2, 0), r"stride = 0"),
        (lambda rng: AvgPool2d(0), r"kernel = 0"),
        (lambda rng: AvgPool2d(2, 0), r"stride = 0"),
    ],
)
def test_wrong_arguments_are_refused(
    make: Callable[[np.random.Generator], Layer], sentence: str, rng: np.random.Generator
) -> None:
    with pytest.raises(ValueError, match=sentence):
        make(rng)
