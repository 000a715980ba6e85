from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pslref.check import Array
from pslref.nn import (
    SGD,
    AvgPool2d,
    Conv2d,
    Flatten,
    GroupNorm,
    Layer,
    Linear,
    Network,
    ReLU,
    Residual,
    cnn,
    cross_entropy,
    gradient_errors,
    mlp,
    resnet,
)


def kinds(net: Network) -> list[type[Layer]]:
    return [type(layer) for layer in net.layers]


class AsLayer(Layer):
    """A whole network, to be checked like a layer."""

    def __init__(self, net: Network) -> None:
        super().__init__(**net.parameters())
        self.net = net

    def output(self, x: Array) -> tuple[Array, Any]:
        return self.net.forward(x)

    def input_gradient(self, dy: Array, cache: Any) -> Array:
        return self.net.backward(dy, cache)[0]

    def parameter_gradients(self, dy: Array, cache: Any) -> dict[str, Array]:
        return self.net.backward(dy, cache, input_gradient=False)[1]


def test_the_gradients_of_a_whole_network(rng: np.random.Generator) -> None:
    """Smooth layers only; kinks are the layers' own tests."""
    layers = [
        Conv2d(2, 4, 3, 2, 1, rng=rng),
        GroupNorm(2, 4),
        Conv2d(4, 3, 2, rng=rng),
        AvgPool2d(),
        Flatten(),
        Linear(3, 5, rng),
    ]
    errors = gradient_errors(AsLayer(Network(layers)), rng.standard_normal((3, 7, 6, 2)), rng)
    assert set(errors) == {
        "x",
        *(f"{i}.{name}" for i in (0, 1, 2, 5) for name in ("weight", "bias")),
    }
    assert max(errors.values()) <= 1e-7


def test_mlp_is_flatten_then_linear_with_relu_between(rng: np.random.Generator) -> None:
    net = mlp([64, 32, 16, 10], rng, dtype="float32")
    assert kinds(net) == [Flatten, Linear, ReLU, Linear, ReLU, Linear]
    assert {k: v.shape for k, v in net.parameters().items() if "weight" in k} == {
        "1.weight": (64, 32),
        "3.weight": (32, 16),
        "5.weight": (16, 10),
    }
    assert {v.dtype.name for v in net.parameters().values()} == {"float32"}
    assert len(mlp([64, 32, 10], rng).layers) == 4
    assert net.forward(np.zeros((2, 8, 8, 1)))[0].shape == (2, 10)


def test_resnet_is_the_papers(rng: np.random.Generator) -> None:
    """Its ResNet-18: shapes of all weights, where the norms change, and where it may be cut."""
    net = resnet((5, 4, 3), 10, rng, (2, 2, 2, 2), 64, dtype="float32")
    stem, blocks = [Conv2d, GroupNorm, ReLU], 8 * [Residual, ReLU]
    assert kinds(net) == [*stem, *blocks, AvgPool2d, Flatten, Linear]
    shapes = {name: array.shape for name, array in net.parameters().items()}
    assert shapes["0.weight"] == (3, 3, 3, 64)
    assert net.layers[1].num_groups == 32
    for stage, (first, second) in enumerate(((3, 5), (7, 9), (11, 13), (15, 17))):
        outputs = 64 * 2**stage
        inputs = outputs // 2 if stage else outputs
        assert shapes[f"{first}.branch.0.weight"] == (3, 3, inputs, outputs)
        assert shapes[f"{second}.branch.3.weight"] == (3, 3, outputs, outputs)
        assert (f"{first}.shortcut.0.weight" in shapes) == (stage > 0)
        assert f"{second}.shortcut.0.weight" not in shapes
    assert {name.partition(".")[0] for name in net.statistics()} == {*map(str, range(7, 18, 2))}
    assert len(shapes) == 2 * (20 + 20 + 1)
    assert net.evaluate(np.zeros((2, 5, 4, 3))).shape == (2, 10)
    assert net.cut(7)[0].evaluate(np.zeros((2, 5, 4, 3))).shape == (2, 5, 4, 64)
    with pytest.raises(ValueError, match=r"^cut = 8: must be at most 7: BatchNorm needs "):
        net.cut(8)


def test_float32_starts_at_the_same_weights_as_float64() -> None:
    one, two = (
        cnn((8, 8, 1), 10, np.random.default_rng(0), dtype=dtype).parameters()
        for dtype in ("float32", "float64")
    )
    assert all((one[name] == two[name].astype("float32")).all() for name in two)


@given(st.integers(1, 7), st.integers(1, 6), st.integers(1, 6))
def test_the_parts_of_a_cut_share_arrays_and_names_with_the_whole(
    at: int, again: int, length: int
) -> None:
    rng = np.random.default_rng(0)
    net = cnn((8, 8, 1), 10, rng, channels=(2, 2))
    client, server = net.cut(at)
    assert (len(client.layers), len(server.layers)) == (at, len(net.layers) - at)
    parts = [client, server]
    for half in (client, server):
        if again < len(half.layers):
            parts.remove(half)
            parts += half.cut(again)
    together = {name: array for part in parts for name, array in part.parameters().items()}
    whole = net.parameters()
    assert together.keys() == whole.keys()
    assert all(together[name] is whole[name] for name in whole)


@given(st.integers(1, 7), st.integers(0, 2**32))
def test_two_halves_compute_what_the_whole_computes(at: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    net = cnn((8, 8, 1), 4, rng, channels=(2, 2))
    x, labels = rng.standard_normal((3, 8, 8, 1)), rng.integers(0, 4, 3)
    logits, cache = net.forward(x)
    loss, gradient = cross_entropy(logits, labels)
    dx, grads = net.backward(gradient, cache)
    client, server = net.cut(at)
    smashed, client_cache = client.forward(x)
    logits, server_cache = server.forward(smashed)
    half_loss, gradient = cross_entropy(logits, labels)
    at_cut, server_grads = server.backward(gradient, server_cache)
    half_dx, client_grads = client.backward(at_cut, client_cache)
    assert half_loss == loss
    assert (half_dx == dx).all()
    halves = {**client_grads, **server_grads}
    assert halves.keys() == grads.keys()
    assert all((halves[name] == grads[name]).all() for name in grads)


def test_without_dx_the_gradients_are_the_same_and_the_work_is_saved(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = mlp([4, 3, 2], rng)
    logits, cache = net.forward(rng.standard_normal((5, 4)))
    dx, grads = net.backward(logits, cache)
    assert dx.shape == (5, 4)
    for layer in net.layers[:2]:  # Flatten, and the first with parameters
        monkeypatch.setattr(layer, "input_gradient", None)
    nothing, same = net.backward(logits, cache, input_gradient=False)
    assert nothing is None
    assert same.keys() == grads.keys()
    assert all((same[name] == grads[name]).all() for name in grads)
    assert net.cut(1)[0].backward(dx, cache[:1], input_gradient=False) == (None, {})


def test_a_copy_has_arrays_of_its_own(rng: np.random.Generator) -> None:
    def arrays(net: Network) -> dict[str, Array]:
        return net.parameters() | net.statistics()

    net = resnet((8, 8, 1), 4, rng).cut(3)[1]
    copied, x = net.copy(), rng.standard_normal((2, 8, 8, 8))
    before, y = {name: array.copy() for name, array in arrays(net).items()}, net.evaluate(x)
    assert arrays(copied).keys() == before.keys()
    for array in arrays(copied).values():
        array += 1
    assert all((array == before[name]).all() for name, array in arrays(net).items())
    assert (net.evaluate(x) == y).all()
    assert (copied.evaluate(x) != y).any()


def last_loss(net: Network, x: Array, labels: Array, optimizer: SGD, steps: int) -> float:
    for _ in range(steps):
        logits, cache = net.forward(x)
        loss, gradient = cross_entropy(logits, labels)
        _, grads = net.backward(gradient, cache, input_gradient=False)
        optimizer.update(net.parameters(), grads)
    return loss


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_learns_its_batch_by_heart(dtype: str, rng: np.random.Generator) -> None:
    net = cnn((8, 8, 1), 4, rng, dtype=dtype)
    x, labels = rng.standard_normal((16, 8, 8, 1)).astype(dtype), rng.integers(0, 4, 16)
    assert last_loss(net, x, labels, SGD(0.05, momentum=0.9), steps=60) < 0.01
    assert (net.forward(x)[0].argmax(axis=1) == labels).all()


def test_divergence_shows(rng: np.random.Generator) -> None:
    net = cnn((8, 8, 1), 4, rng, dtype="float32")
    x, labels = rng.standard_normal((8, 8, 8, 1)), rng.integers(0, 4, 8)
    with np.errstate(over="ignore", invalid="ignore"):
        assert not np.isfinite(last_loss(net, x, labels, SGD(1e30), steps=3))


@pytest.mark.parametrize("layers", [1, 4])
def test_a_network_takes_the_dtypes_that_its_layers_take(
    layers: int, rng: np.random.Generator
) -> None:
    net = Network(mlp([4, 3, 2], rng, dtype="float32").layers[:layers])
    x = rng.integers(0, 256, (5, 2, 2, 1))
    y, cache = net.forward(x.astype("uint8"))
    same, same_cache = net.forward(x * 1.0)
    dy = rng.integers(-9, 9, y.shape)
    assert y.dtype.kind == "f"
    assert (y == same).all()
    for one, other in zip(
        [net.backward(dy, cache)[0], *net.backward(dy, cache)[1].values()],
        [net.backward(dy * 1.0, same_cache)[0], *net.backward(dy, same_cache)[1].values()],
        strict=True,
    ):
        assert (one == other).all()
    for dtype in ("float16", "bool", "complex64"):
        with pytest.raises(ValueError, match=r"^x(.dtype)? = "):
            net.forward(x.astype(dtype))
        for input_gradient in (True, False):
            with pytest.raises(ValueError, match=r"^dy(.dtype)? = "):
                net.backward(dy.astype(dtype), cache, input_gradient)
    if layers > 1:
        with pytest.raises(ValueError, match=r"^dy.shape = \(1, 2\): must be y's, \(5, 2\)$"):
            net.backward(dy[:1], cache)
