"""The operations of one network: layers, the loss, the optimizer.

Images are (N, H, W, C). A weight of `linear` is (in, out), one of `conv2d` is (kernel, kernel,
C_in, C_out). Gradients of parameters are sums over the batch.
"""

from typing import Any

import numpy as np

from pslref import nn
from pslref.oracle import bounds
from pslref.oracle.networks import make_layer
from pslref.oracle.operation import Floats, Ints, Values, operation

X = {"y": Floats, "dx": Floats}
PARAMETERS = {**X, "dweight": Floats, "dbias": Floats}


def _layer(kind: str, x: Floats, dy: Floats, settings: Values, **parameters: Any) -> Values:
    layer = make_layer({"type": kind, **settings}, parameters, x.dtype)
    y, cache = layer.forward(x)
    dx, grads = layer.backward(dy, cache)
    return {"y": y, "dx": dx, **{f"d{name}": grads[name] for name in parameters}}


@operation("layers", bounds.sums, **PARAMETERS)
def linear(x: Floats, weight: Floats, bias: Floats, dy: Floats) -> Values:
    """y = x W + b."""
    return _layer("linear", x, dy, {}, weight=weight, bias=bias)


@operation("layers", bounds.sums, **PARAMETERS)
def conv2d(
    x: Floats, weight: Floats, bias: Floats, stride: int, padding: int, dy: Floats
) -> Values:
    """y[n,h,w] = b + Σ_ij x[n, s h + i - p, s w + j - p] W[i,j], zeros around x."""
    settings = {"stride": stride, "padding": padding}
    return _layer("conv2d", x, dy, settings, weight=weight, bias=bias)


@operation("layers", bounds.choices, **X)
def relu(x: Floats, dy: Floats) -> Values:
    """y = max(x, 0), with relu'(0) = 0."""
    return _layer("relu", x, dy, {})


@operation("layers", bounds.choices, **X)
def max_pool2d(x: Floats, kernel: int, stride: int, dy: Floats) -> Values:
    """y = the largest number of each window."""
    return _layer("max_pool2d", x, dy, {"kernel": kernel, "stride": stride})


@operation("layers", bounds.sums, **X)
def avg_pool2d(x: Floats, kernel: int, stride: int, dy: Floats) -> Values:
    """y = the mean of each window."""
    return _layer("avg_pool2d", x, dy, {"kernel": kernel, "stride": stride})


@operation("layers", bounds.group_norm, **PARAMETERS)
def group_norm(
    x: Floats, weight: Floats, bias: Floats, num_groups: int, eps: float, dy: Floats
) -> Values:
    """y = w (x - mean) / √(var + eps) + b, population variance over a sample's group."""
    settings = {"num_groups": num_groups, "eps": eps}
    return _layer("group_norm", x, dy, settings, weight=weight, bias=bias)


@operation("layers", bounds.batch_norm, **PARAMETERS, running_mean=Floats, running_var=Floats)
def batch_norm2d(
    x: Floats, weight: Floats, bias: Floats, eps: float, momentum: float,
    running_mean: Floats, running_var: Floats, dy: Floats,
    *, kind: type[nn.BatchNorm2d] = nn.BatchNorm2d,
) -> Values:  # fmt: skip
    """y = w (x - mean) / √(var + eps) + b, population variance over a channel of the batch.

    As in training. The running statistics that come out have taken in the batch: s becomes (1 -
    momentum) s + momentum times the mean, or the sum of squares over n - 1.
    """
    layer = kind(weight.size, eps, momentum, x.dtype)
    layer.parameters |= {"weight": weight, "bias": bias}
    layer.statistics |= {"running_mean": running_mean.copy(), "running_var": running_var.copy()}
    y, cache = layer.forward(x)
    dx, grads = layer.backward(dy, cache)
    layer.commit(cache.kept)
    return {"y": y, "dx": dx, **{f"d{name}": g for name, g in grads.items()}, **layer.statistics}


@operation("layers", bounds.cross_entropy, loss=float, dlogits=Floats)
def cross_entropy(logits: Floats, labels: Ints) -> Values:
    """loss = 1/N Σ_n (log Σ_m exp z_nm - z_n,y_n), in nats."""
    loss, gradient = nn.cross_entropy(logits, labels)
    return {"loss": loss, "dlogits": gradient}


@operation("optimizer", bounds.sgd, weights=Floats)
def sgd(
    weight: Floats, gradients: Floats, learning_rate: float, momentum: float, weight_decay: float
) -> Values:
    """g ← g + weight_decay · w; v ← momentum · v + g; w ← w - learning_rate · v, from v = 0.

    `gradients` has the shape (S, ...): one of the shape of `weight` for each of S steps.
    `weights`, of the same shape, are those after each step.
    """
    w = {"weight": weight.copy()}
    optimizer = nn.SGD(learning_rate, momentum, weight_decay)
    after = []
    for gradient in gradients:
        optimizer.update(w, {"weight": gradient})
        after.append(w["weight"].copy())
    return {"weights": np.array(after)}
