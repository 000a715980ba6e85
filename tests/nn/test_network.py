from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pslref.nn import (
    SGD,
    AvgPool2d,
    Conv2d,
    Flatten,
    GroupNorm,
    Layer,
    Linear,
    MaxPool2d,
    Network,
    ReLU,
    cnn,
    cross_entropy,
    gradient_errors,
    mlp,
)
from pslref.nn.layers import Array


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


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (32, 32, 3), (5, 7, 2)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cnn_fits_its_images_and_keeps_the_dtype(
    shape: tuple[int, int, int], dtype: str, rng: np.random.Generator
) -> None:
    net = cnn(shape, 10, rng, channels=(2, 3), dtype=dtype)
    block = [Conv2d, ReLU, MaxPool2d]
    assert kinds(net) == [*block, *block, Flatten, Linear]
    logits, cache = net.forward(rng.standard_normal((2, *shape)).astype(dtype))
    _, gradient = cross_entropy(logits, [3, 9])
    dx, grads = net.backward(gradient, cache)
    assert logits.shape == (2, 10)
    assert dx.shape == (2, *shape)
    arrays = [logits, dx, *grads.values(), *net.parameters().values()]
    assert {array.dtype.name for array in arrays} == {dtype}


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
    net = cnn((8, 8, 1), 4, rng).cut(3)[1]
    copied = net.copy()
    before = {name: array.copy() for name, array in net.parameters().items()}
    assert copied.parameters().keys() == before.keys()
    for array in copied.parameters().values():
        array += 1
    assert all((array == before[name]).all() for name, array in net.parameters().items())


def test_images_stay_in_the_order_in_which_the_convolution_is_fast(
    rng: np.random.Generator,
) -> None:
    """Samples innermost, from the first convolution to Flatten, in both directions."""
    net = cnn((8, 8, 1), 10, rng, channels=(2, 3))
    x = rng.standard_normal((5, 8, 8, 1))
    images, caches = [], []
    for layer in net.layers[:6]:
        x, cache = layer.forward(x)
        images.append(x)
        caches.append(cache)
    y, cache = net.layers[6].forward(x)
    dy = net.layers[6].backward(y, cache)[0]
    for layer, cache in zip(net.layers[5:0:-1], caches[:0:-1], strict=True):
        images.append(dy)
        dy = layer.backward(dy, cache)[0]
    assert len(images) == 11
    assert all(image.transpose(3, 1, 2, 0).strides[3] == image.itemsize for image in images)


def test_a_step_of_the_cnn_equals_pytorch(rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    f = torch.nn.functional
    net = cnn((12, 9, 2), 5, rng, channels=(3, 4))
    x, labels = rng.standard_normal((6, 12, 9, 2)), rng.integers(0, 5, 6)
    p = {name: torch.tensor(a, requires_grad=True) for name, a in net.parameters().items()}
    h = torch.tensor(x).permute(0, 3, 1, 2)
    for i in (0, 3):
        h = f.conv2d(h, p[f"{i}.weight"].permute(3, 2, 0, 1), p[f"{i}.bias"], padding=1)
        h = f.max_pool2d(f.relu(h), 2)
    theirs = h.permute(0, 2, 3, 1).flatten(1) @ p["7.weight"] + p["7.bias"]
    witness = f.cross_entropy(theirs, torch.tensor(labels))
    witness.backward()

    logits, cache = net.forward(x)
    loss, gradient = cross_entropy(logits, labels)
    _, grads = net.backward(gradient, cache, input_gradient=False)
    assert loss == pytest.approx(witness.item(), rel=1e-13)
    for name, ours in grads.items():
        assert np.abs(ours - p[name].grad.numpy()).max() <= 1e-13


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_learns_its_batch_by_heart(dtype: str, rng: np.random.Generator) -> None:
    net = cnn((8, 8, 1), 4, rng, dtype=dtype)
    x, labels = rng.standard_normal((16, 8, 8, 1)).astype(dtype), rng.integers(0, 4, 16)
    optimizer = SGD(0.05, momentum=0.9)
    for _ in range(60):
        logits, cache = net.forward(x)
        loss, gradient = cross_entropy(logits, labels)
        _, grads = net.backward(gradient, cache, input_gradient=False)
        optimizer.update(net.parameters(), grads)
    assert loss < 0.01
    assert (net.forward(x)[0].argmax(axis=1) == labels).all()


def test_divergence_shows(rng: np.random.Generator) -> None:
    net = cnn((8, 8, 1), 4, rng, dtype="float32")
    x, labels = rng.standard_normal((8, 8, 8, 1)), rng.integers(0, 4, 8)
    optimizer = SGD(1e30)
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(3):
            logits, cache = net.forward(x)
            loss, gradient = cross_entropy(logits, labels)
            _, grads = net.backward(gradient, cache, input_gradient=False)
            optimizer.update(net.parameters(), grads)
    assert not np.isfinite(loss)


@pytest.mark.parametrize("at", [0, 4, -1, 1.5, True])
def test_a_cut_outside_the_network_is_refused(at: Any, rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match=rf"cut = {at}: must be a whole number from 1 to 3"):
        mlp([4, 3, 2], rng).cut(at)


def test_what_are_no_layers_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^layers = None: must be a sequence"):
        Network(None)  # type: ignore[arg-type]


def test_wrong_sizes_are_refused(rng: np.random.Generator) -> None:
    sentence = r"^widths = \[4\]: must hold at least the input's and the logits' width$"
    with pytest.raises(ValueError, match=sentence):
        mlp([4], rng)
    with pytest.raises(ValueError, match=r"^widths = \[0, 4\]: must be .* each 1 or more$"):
        mlp([0, 4], rng)
    with pytest.raises(ValueError, match=r"input_shape = \(3, 8, 1\): .* at least 2\^2"):
        cnn((3, 8, 1), 10, rng)
    with pytest.raises(ValueError, match=r"^num_classes = 0: must be"):
        cnn((8, 8, 1), 0, rng)
    with pytest.raises(ValueError, match=r"^channels = \[0\]: must be .* each 1 or more$"):
        cnn((8, 8, 1), 10, rng, channels=[0])


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
