"""Layers, loss, network and optimizer by hand (docs/method.md, section 7)."""

import numpy as np

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

# A step frees its arrays, and glibc's malloc would return their memory to the system; to get it
# again takes a third of a CNN's step. It keeps twice the largest array freed so far, if that was
# smaller than 32 MiB.
np.empty(2**25 - 2**13, np.uint8)
