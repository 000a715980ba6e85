"""Straight from PyTorch: a backend for `split_steps` from your own function that trains.

docs/oracle.md has one in full.
"""

from collections.abc import Callable, Collection
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import nn

from pslref.check import Array
from pslref.oracle.backends import Spec, Unsupported
from pslref.oracle.networks import part
from pslref.oracle.operation import Layers, Values
from pslref.oracle.recompute import Half, Halves
from pslref.oracle.serve import load

Batches = dict[int, tuple[Any, Any]]
Step = Callable[[Batches, int], Any]
LAYOUT = {"smashed", "cut_gradient"}  # outputs that may be images


class Modules:
    """Your training of two modules, as a backend; transposes, names and layouts are done here.

    Args:
        training: called with a list of client halves, one for each client, the server half, and
            the settings of `torch.optim.SGD`. It returns a function that takes one step: given
            the (images, labels) of every client that takes part, by its number in rising order,
            and the number of the epoch. It trains the modules in place, and returns the loss; or
            a dictionary with it and other outputs of a step, those of docs/oracle.md that are
            arrays, as tensors.
        dtype: "float32" or "float64".
        shared: whether one module stands for all clients, as where all halves are equal.
        device: where the tensors are.
        name: for the report.
    """

    def __init__(
        self,
        training: Callable[[list[nn.Module], nn.Module, dict[str, float]], Step],
        dtype: str = "float32",
        *,
        shared: bool = False,
        device: str = "cpu",
        name: str = "PyTorch",
    ) -> None:
        self.spec = Spec(name, dtype)
        self.training, self.shared = training, shared
        self.place: Any = {"dtype": getattr(torch, dtype), "device": device}

    def capabilities(self) -> Collection[str]:
        """The operation that matters."""
        return ["split_steps"]

    def run(self, op: str, inputs: Values) -> Values:
        """Build the halves, let them be trained, and read their weights after every step."""
        cut, sizes = inputs["cut"], inputs["batch_sizes"]
        client = self._half(inputs["layers"][:cut], 0, inputs["weights"])
        server = self._half(inputs["layers"][cut:], cut, inputs["weights"])
        if list(client.buffers()):
            raise ValueError("a batch norm in the client half would see one client's samples")
        if not list(client.parameters()):
            raise Unsupported("torch.optim.SGD refuses a client half without parameters")
        clients = [client if self.shared else deepcopy(client) for _ in sizes[0]]
        settings = {name: inputs[name] for name in ("momentum", "weight_decay")}
        step = self.training(clients, server, {"lr": inputs["learning_rate"], **settings})
        images = self._images(inputs["x"])
        labels = torch.tensor(inputs["y"], device=self.place["device"])
        steps, used = [], 0
        for row, epoch in zip(sizes.tolist(), inputs["epochs"].tolist(), strict=True):
            batches = {}
            for k, size in enumerate(row):
                if size:
                    batches[k] = images[used : used + size], labels[used : used + size]
                    used += size
            if not batches:
                raise ValueError("a step to which nobody brings a sample has no mean loss")
            said = step(batches, epoch)
            shown = said if isinstance(said, dict) else {"loss": said}
            weights = [_state(half) for half in clients]
            steps.append(
                {
                    **{name: _shown(name, value) for name, value in shown.items()},
                    "client_weights": {n: np.stack([w[n] for w in weights]) for n in weights[0]},
                    "server_weights": _state(server),
                }
            )
        with torch.no_grad():
            logits = server.eval()(clients[0].eval()(self._images(inputs["eval_x"])))
        return {"steps": steps, "logits": logits.cpu().numpy()}

    def _images(self, images: Array) -> Any:
        return torch.tensor(np.moveaxis(images, 3, 1).copy(), **self.place)

    def _half(self, layers: Layers, first: int, weights: Values) -> nn.Sequential:
        """The layers of one half, each named by its number in the uncut network."""
        half = nn.Sequential()
        for index, spec in enumerate(layers, first):
            half.add_module(str(index), self._layer(spec, part(weights, index)))
        return half.to(**self.place)

    def _layer(self, spec: dict[str, Any], weights: Values) -> nn.Module:
        if spec["type"] == "residual":
            return Residual(
                *(self._half(spec[w], 0, part(weights, w)) for w in spec if w != "type")
            )
        layer = _layer(spec, weights.get("weight"))
        for name, parameter in layer.named_parameters():
            parameter.data = torch.tensor(_turned(weights[name], inward=True))
        return layer


def halves_of(name: str) -> Halves:
    """Client and server half for `recompute`, from the two modules that a factory makes."""
    client, server = load(name, "modules", "__iter__")

    def halves(of_client: Values, of_server: Values, dtype: str) -> tuple[Half, Half]:
        return Traced(client, of_client, dtype), Traced(server, of_server, dtype)

    return halves


class Traced:
    """A module as a half that is recomputed; its arrays are in PyTorch's own layout."""

    def __init__(self, module: nn.Module, weights: Values, dtype: str) -> None:
        self.module = deepcopy(module).to(getattr(torch, dtype)).train()
        self.named = dict(self.module.named_parameters())
        for name, parameter in self.named.items():
            parameter.data = torch.tensor(weights[name], dtype=parameter.dtype)

    def forward(self, x: Array) -> tuple[Array, Any]:
        """y, and its graph."""
        inputs = torch.tensor(x)
        y = self.module(inputs.requires_grad_(inputs.is_floating_point()))
        return y.detach().numpy(), (inputs, y)

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """The gradients of input and parameters, 0 where y does not depend on them."""
        inputs, y = cache
        wanted = [inputs, *self.named.values()] if inputs.requires_grad else [*self.named.values()]
        grads = torch.autograd.grad(y, wanted, torch.tensor(dy), allow_unused=True)
        pairs = zip(wanted, grads, strict=True)
        found = [np.zeros(w.shape) if g is None else g.numpy() for w, g in pairs]
        return found[0], dict(zip(self.named, found[-len(self.named) :], strict=True))


class ChannelsLast(nn.Module):
    """Flatten in the order (H, W, C), as the weights of the next layer expect."""

    def forward(self, x: Any) -> Any:
        """(N, C, H, W) to (N, H W C)."""
        return x.movedim(1, 3).flatten(1)


class Residual(nn.Module):
    """y = branch(x) + shortcut(x)."""

    def __init__(self, branch: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.branch, self.shortcut = branch, shortcut

    def forward(self, x: Any) -> Any:
        """The sum of both ways."""
        return self.branch(x) + self.shortcut(x)


def _layer(spec: dict[str, Any], weight: Array | None) -> nn.Module:
    settings = {name: spec[name] for name in spec if name != "type"}
    if weight is None:
        kinds: Any = {"relu": nn.ReLU, "flatten": ChannelsLast}
        kinds |= {"max_pool2d": nn.MaxPool2d, "avg_pool2d": nn.AvgPool2d}
        renamed = {"kernel": "kernel_size"}
        return kinds[spec["type"]](**{renamed.get(n, n): v for n, v in settings.items()})
    if spec["type"] == "linear":
        return nn.Linear(*weight.shape)
    if spec["type"] == "conv2d":
        return nn.Conv2d(*weight.shape[2:], weight.shape[0], **settings)
    if spec["type"] == "batch_norm2d":
        return nn.BatchNorm2d(weight.size, **settings)
    return nn.GroupNorm(num_channels=weight.size, **settings)


def _turned(array: Array, inward: bool) -> Array:
    """A weight between (in, out) and (out, in), (k, k, in, out) and (out, in, k, k)."""
    axes = {2: (1, 0), 4: (3, 2, 0, 1) if inward else (2, 3, 1, 0)}
    return array.transpose(axes.get(array.ndim, (0,))).copy()


def _arrays(tensors: dict[str, Any]) -> dict[str, Array]:
    return {n: _turned(t.detach().cpu().numpy(), inward=False) for n, t in tensors.items()}


def _state(half: nn.Module) -> dict[str, Array]:
    """Weights and running statistics; not the number of batches, which changes nothing."""
    return _arrays({n: t for n, t in half.state_dict().items() if not n.endswith("_tracked")})


def _shown(name: str, value: Any) -> Any:
    """An output of a step in the oracle's layout."""
    if name == "summed_gradients":
        return _arrays(value)
    array = np.asarray(value.detach().cpu() if isinstance(value, torch.Tensor) else value)
    return np.moveaxis(array, 1, 3) if name in LAYOUT and array.ndim == 4 else array
