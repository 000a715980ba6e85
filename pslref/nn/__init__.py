"""Layers, loss, network and optimizer by hand (docs/method.md, section 7)."""

from pslref.nn.convolution import Conv2d as Conv2d
from pslref.nn.convolution import keep_freed_memory as keep_freed_memory
from pslref.nn.gradcheck import gradient_errors as gradient_errors
from pslref.nn.gradcheck import numerical_derivative as numerical_derivative
from pslref.nn.layers import Flatten as Flatten
from pslref.nn.layers import Layer as Layer
from pslref.nn.layers import Linear as Linear
from pslref.nn.layers import ReLU as ReLU
from pslref.nn.loss import cross_entropy as cross_entropy
from pslref.nn.models import cnn as cnn
from pslref.nn.models import mlp as mlp
from pslref.nn.models import resnet as resnet
from pslref.nn.network import Network as Network
from pslref.nn.norm import BatchNorm2d as BatchNorm2d
from pslref.nn.norm import GroupNorm as GroupNorm
from pslref.nn.residual import Residual as Residual
from pslref.nn.sgd import SGD as SGD
from pslref.nn.windows import AvgPool2d as AvgPool2d
from pslref.nn.windows import MaxPool2d as MaxPool2d

# A line a name: what is imported is what the room gives out.
__all__ = [name for name, value in globals().items() if callable(value)]
