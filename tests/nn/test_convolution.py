"""The convolution against the plain one, numerical gradients, and PyTorch; the network of it."""

import os
import platform
import subprocess
import sys
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from pslref.check import Array
from pslref.nn import (
    Conv2d,
    Flatten,
    Linear,
    MaxPool2d,
    ReLU,
    cnn,
    cross_entropy,
    gradient_errors,
    mlp,
)
from pslref.partition import Partition
from pslref.split import simulation
from tests.nn.witness import assert_equals_pytorch

seeds = st.integers(0, 2**32)


class Geometry(NamedTuple):
    shape: tuple[int, int, int, int]  # N, H, W, C
    kernel: int
    stride: int
    padding: int


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    kernel, padding = draw(st.integers(1, 4)), draw(st.integers(0, 4))
    few, sides = st.integers(1, 3), st.integers(max(1, kernel - 2 * padding), kernel + 4)
    shape = draw(st.tuples(few, sides, sides, few))
    return Geometry(shape, kernel, draw(st.integers(1, 5)), padding)


ALL_PADDING = Geometry((1, 1, 1, 2), kernel=3, stride=1, padding=2)
MORE_PADDING = Geometry((1, 1, 1, 1), kernel=4, stride=5, padding=4)
STRIDE_ABOVE_KERNEL = Geometry((2, 7, 5, 2), kernel=2, stride=3, padding=0)


def a_conv(g: Geometry, rng: np.random.Generator) -> Conv2d:
    layer = Conv2d(g.shape[3], 2, *g[1:], rng=rng)
    layer.parameters["bias"][:] = rng.standard_normal(2)
    return layer


class PlainConv2d(Conv2d):
    """What `Conv2d` computes, in the plain way: every window, and one product."""

    def output(self, x: Array) -> tuple[Array, tuple[Array, Array]]:
        k, s, p, weight = self.kernel, self.stride, self.padding, self.parameters["weight"]
        padded = np.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))
        windows = sliding_window_view(padded, (k, k), (1, 2))[:, ::s, ::s]  # (N, H', W', C, k, k)
        y = np.tensordot(windows, weight, axes=((4, 5, 3), (0, 1, 2)))
        return y + self.parameters["bias"], (windows, padded)

    def input_gradient(self, dy: Array, cache: tuple[Array, Array]) -> Array:
        s, p, dpadded = self.stride, self.padding, np.zeros_like(cache[1])
        for i, j in np.ndindex(self.kernel, self.kernel):
            pixels = dpadded[:, i : i + s * dy.shape[1] : s, j : j + s * dy.shape[2] : s]
            pixels += dy @ self.parameters["weight"][i, j].T
        return dpadded[:, p : dpadded.shape[1] - p, p : dpadded.shape[2] - p]

    def parameter_gradients(self, dy: Array, cache: tuple[Array, Array]) -> dict[str, Array]:
        dweight = np.tensordot(cache[0], dy, axes=((0, 1, 2), (0, 1, 2)))  # (C, k, k, C_out)
        return {"weight": dweight.transpose(1, 2, 0, 3), "bias": dy.sum(axis=(0, 1, 2))}


@settings(max_examples=60)
@example(ALL_PADDING, 0)
@example(MORE_PADDING, 0)
@example(STRIDE_ABOVE_KERNEL, 0)
@given(geometries(), seeds)
def test_it_equals_the_plain_one(g: Geometry, seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer, x = a_conv(g, rng), rng.standard_normal(g.shape)
    plain = PlainConv2d(g.shape[3], 2, *g[1:], rng=rng)
    plain.parameters = layer.parameters
    (y, cache), (expected, windows) = layer.forward(x), plain.forward(x)
    assert y.shape == expected.shape
    dy = rng.standard_normal(y.shape)
    (dx, grads), (expected_dx, expected_grads) = (
        layer.backward(dy, cache),
        plain.backward(dy, windows),
    )
    assert np.abs(y - expected).max() <= 1e-12
    assert np.abs(dx - expected_dx).max() <= 1e-12
    assert all(np.abs(grads[name] - expected_grads[name]).max() <= 1e-12 for name in grads)


@example(ALL_PADDING, 0)
@example(MORE_PADDING, 0)
@example(STRIDE_ABOVE_KERNEL, 0)
@given(geometries(), seeds)
def test_gradients(g: Geometry, seed: int) -> None:
    rng = np.random.default_rng(seed)
    errors = gradient_errors(a_conv(g, rng), rng.standard_normal(g.shape), rng)
    assert errors.keys() == {"x", "weight", "bias"}
    assert max(errors.values()) <= 1e-7


@settings(max_examples=30)
@given(geometries(), seeds)
def test_it_equals_pytorch(g: Geometry, seed: int) -> None:
    rng = np.random.default_rng(seed)

    def theirs(f, x, weight, bias):
        return f.conv2d(x, weight.permute(3, 2, 0, 1), bias, g.stride, g.padding)

    assert_equals_pytorch(a_conv(g, rng), rng.standard_normal(g.shape), theirs, rng)


def test_a_kernel_larger_than_the_padded_image_is_refused(rng: np.random.Generator) -> None:
    sentence = r"x.shape = \(1, 2, 5, 3\): must be \(N, H, W, 3\), with H and W at least 3"
    with pytest.raises(ValueError, match=sentence):
        Conv2d(3, 1, kernel=5, padding=1, rng=rng).forward(np.zeros((1, 2, 5, 3)))
    with pytest.raises(ValueError, match=r"with H and W at least 1"):
        Conv2d(3, 1, kernel=2, padding=1, rng=rng).forward(np.zeros((1, 0, 5, 3)))


# The network


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (32, 32, 3), (5, 7, 2)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cnn_fits_its_images_and_keeps_the_dtype(
    shape: tuple[int, int, int], dtype: str, rng: np.random.Generator
) -> None:
    net = cnn(shape, 10, rng, channels=(2, 3), dtype=dtype)
    block = [Conv2d, ReLU, MaxPool2d]
    assert [type(layer) for layer in net.layers] == [*block, *block, Flatten, Linear]
    logits, cache = net.forward(rng.standard_normal((2, *shape)).astype(dtype))
    _, gradient = cross_entropy(logits, [3, 9])
    dx, grads = net.backward(gradient, cache)
    assert logits.shape == (2, 10)
    assert dx.shape == (2, *shape)
    arrays = [logits, dx, *grads.values(), *net.parameters().values()]
    assert {array.dtype.name for array in arrays} == {dtype}


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


# Memory

FAULTS = """
import resource
import numpy as np
from pslref.nn import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    [np.ones(2**19) for _ in range(10)]  # 40 MiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

seen = [faults(), faults()]
keep_freed_memory()
print(*seen, faults(), faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that returns memory")
def test_freed_memory_is_kept() -> None:
    # Dask leaves settings of malloc in the environment of whoever has started its workers.
    own = {name: text for name, text in os.environ.items() if not name.startswith("MALLOC_")}
    program = [sys.executable, "-c", FAULTS]
    done = subprocess.run(program, capture_output=True, check=True, env=own)
    first, second, _, kept = map(int, done.stdout.split())
    assert kept < min(first, second) / 10, done.stdout


def test_a_simulation_keeps_it(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    called = []
    monkeypatch.setattr(simulation, "keep_freed_memory", lambda: called.append(True))
    net, part = mlp([1, 2], rng), Partition([[0]], [0])
    simulation.Simulation(net, 1, [[1.0]], [0], part, 0.1, rng=rng)
    assert called


def test_a_padding_that_no_memory_holds_is_refused_before_it_is_made(
    rng: np.random.Generator,
) -> None:
    layer = Conv2d(1, 1, 3, padding=10_000, rng=rng)
    with pytest.raises(ValueError, match=r"^x.shape = \(1, 4, 4, 1\): must be images of at most"):
        layer.forward(np.zeros((1, 4, 4, 1)))
