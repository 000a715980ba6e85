"""Layers, loss, network and optimizer by hand (docs/method.md, section 7)."""

from pslref.nn.convolution import Conv2d, keep_freed_memory
from pslref.nn.gradcheck import gradient_errors, numerical_derivative
from pslref.nn.layers import Flatten, Layer, Linear, ReLU
from pslref.nn.loss import cross_entropy
from pslref.nn.models import cnn, mlp, resnet
from pslref.nn.network import Network
from pslref.nn.norm import BatchNorm2d, GroupNorm
from pslref.nn.residual import Residual
from pslref.nn.sgd import SGD
from pslref.nn.windows import AvgPool2d, MaxPool2d

__all__ = [
    "SGD",
    "AvgPool2d",
    "BatchNorm2d",
    "Conv2d",
    "Flatten",
    "GroupNorm",
    "Layer",
    "Linear",
    "MaxPool2d",
    "Network",
    "ReLU",
    "Residual",
    "cnn",
    "cross_entropy",
    "gradient_errors",
    "keep_freed_memory",
    "mlp",
    "numerical_derivative",
    "resnet",
]
