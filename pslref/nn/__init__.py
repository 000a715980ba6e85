"""Layers, loss, network and optimizer by hand (docs/method.md, section 7)."""

from pslref.nn.gradcheck import gradient_errors, numerical_derivative
from pslref.nn.layers import Flatten, GroupNorm, Layer, Linear, ReLU
from pslref.nn.loss import cross_entropy
from pslref.nn.network import Network, cnn, mlp
from pslref.nn.optim import SGD
from pslref.nn.windows import AvgPool2d, Conv2d, MaxPool2d

__all__ = [
    "SGD",
    "AvgPool2d",
    "Conv2d",
    "Flatten",
    "GroupNorm",
    "Layer",
    "Linear",
    "MaxPool2d",
    "Network",
    "ReLU",
    "cnn",
    "cross_entropy",
    "gradient_errors",
    "mlp",
    "numerical_derivative",
]
