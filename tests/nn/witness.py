"""PyTorch says what a layer of images computes, and its gradients."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pslref.check import Array
from pslref.nn import Layer


def assert_equals_pytorch(
    layer: Layer, x: Array, function: Callable[..., Any], rng: np.random.Generator
) -> None:
    """`function` maps torch.nn.functional, images (N, C, H, W) and the parameters to images."""
    torch = pytest.importorskip("torch")
    y, cache = layer.forward(x)
    dy = rng.standard_normal(y.shape)
    dx, grads = layer.backward(dy, cache)
    tensors = [torch.tensor(a, requires_grad=True) for a in (x, *layer.parameters.values())]
    images = tensors[0].permute(0, 3, 1, 2)
    theirs = function(torch.nn.functional, images, *tensors[1:]).permute(0, 2, 3, 1)
    theirs.backward(torch.tensor(dy))
    assert np.abs(y - theirs.detach().numpy()).max() <= 1e-12
    ours = [dx, *(grads[name] for name in layer.parameters)]
    for gradient, tensor in zip(ours, tensors, strict=True):
        assert np.abs(gradient - tensor.grad.numpy()).max() <= 1e-12
