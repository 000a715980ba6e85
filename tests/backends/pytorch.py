"""Parallel split learning in PyTorch, as somebody would write it: modules, autograd, optim.SGD."""

from collections.abc import Collection
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from pslref.oracle import Spec

Array = np.ndarray[Any, Any]
torch.set_num_threads(1)  # threads cost more than they bring with arrays this small


class PyTorch:
    def __init__(self, dtype: str = "float32") -> None:
        self.spec = Spec("PyTorch", dtype)
        self.dtype = {"float32": torch.float32, "float64": torch.float64}[dtype]

    def capabilities(self) -> Collection[str]:
        layers = ["linear", "conv2d", "relu", "max_pool2d", "avg_pool2d", "group_norm"]
        return [*layers, "batch_norm2d", "cross_entropy", "sgd", "split_steps"]

    def run(self, op: str, inputs: dict[str, Any]) -> dict[str, Any]:
        method = getattr(self, f"_{op}", None)
        return method(**inputs) if method else self._layer(op, **inputs)

    def tensor(self, array: Array) -> torch.Tensor:
        return torch.tensor(np.ascontiguousarray(array), dtype=self.dtype)

    def _layer(self, op: str, x: Array, dy: Array, **rest: Any) -> dict[str, Any]:
        return self._asked(self.module({"type": op, **rest}, rest), x, dy)

    def _asked(self, layer: nn.Module, x: Array, dy: Array) -> dict[str, Any]:
        image = x.ndim == 4
        inputs = self.tensor(_channels_first(x) if image else x).requires_grad_()
        y = layer(inputs)
        y.backward(self.tensor(_channels_first(dy) if image else dy))
        back = _channels_last if image else lambda array: array
        gradients = {f"d{n}": _weight_out(n, p.grad) for n, p in layer.named_parameters()}
        return {"y": back(y.detach().numpy()), "dx": back(inputs.grad.numpy()), **gradients}

    def _batch_norm2d(
        self, x: Array, dy: Array, running_mean: Array, running_var: Array, **rest: Any
    ) -> dict[str, Any]:
        layer = self.module({"type": "batch_norm2d", **rest}, rest)
        running = {"running_mean": running_mean, "running_var": running_var}
        for name, array in running.items():
            setattr(layer, name, self.tensor(array))
        out = self._asked(layer, x, dy)
        return out | {name: getattr(layer, name).numpy() for name in running}

    def _cross_entropy(self, logits: Array, labels: Array) -> dict[str, Any]:
        z = self.tensor(logits).requires_grad_()
        loss = functional.cross_entropy(z, torch.tensor(labels))
        loss.backward()
        return {"loss": loss.item(), "dlogits": z.grad.numpy()}

    def _sgd(
        self, weight: Array, gradients: Array,
        learning_rate: float, momentum: float, weight_decay: float,
    ) -> dict[str, Any]:  # fmt: skip
        w = nn.Parameter(self.tensor(weight))
        optimizer = torch.optim.SGD([w], learning_rate, momentum, weight_decay=weight_decay)
        after = []
        for gradient in gradients:
            w.grad = self.tensor(gradient)
            optimizer.step()
            after.append(w.detach().numpy().copy())
        return {"weights": np.array(after)}

    def module(self, spec: dict[str, Any], arrays: dict[str, Any]) -> nn.Module:
        kind = spec["type"]
        made: nn.Module
        if kind == "linear":
            made = nn.Linear(*arrays["weight"].shape)
        elif kind == "conv2d":
            kernel, _, inputs, outputs = arrays["weight"].shape
            made = nn.Conv2d(inputs, outputs, kernel, spec["stride"], spec["padding"])
        elif kind == "group_norm":
            made = nn.GroupNorm(spec["num_groups"], arrays["weight"].size, spec["eps"])
        elif kind == "batch_norm2d":
            made = nn.BatchNorm2d(arrays["weight"].size, spec["eps"], spec["momentum"])
        elif kind == "max_pool2d":
            made = nn.MaxPool2d(spec["kernel"], spec["stride"])
        elif kind == "avg_pool2d":
            made = nn.AvgPool2d(spec["kernel"], spec["stride"])
        elif kind == "residual":
            ways = ("branch", "shortcut")
            return Residual(*(self.half(spec[way], 0, _below(way, arrays)) for way in ways))
        else:
            made = {"relu": nn.ReLU, "flatten": Flatten}[kind]()
        for name, parameter in made.named_parameters():
            parameter.data = self.tensor(_weight_in(arrays[name]))
        return made.to(self.dtype)

    def half(
        self, layers: list[dict[str, Any]], first: int, weights: dict[str, Array]
    ) -> nn.Module:
        made = nn.Sequential()
        for index, spec in enumerate(layers, first):
            made.add_module(str(index), self.module(spec, _below(index, weights)))
        return made

    def _split_steps(
        self, layers: list[dict[str, Any]], weights: dict[str, Array], cut: int,
        learning_rate: float, momentum: float, weight_decay: float,
        batch_sizes: Array, epochs: Array, x: Array, y: Array, eval_x: Array,
    ) -> dict[str, Any]:  # fmt: skip
        def optimizer(half: nn.Module) -> torch.optim.SGD | None:
            parameters = list(half.parameters())
            rates = {"lr": learning_rate, "momentum": momentum, "weight_decay": weight_decay}
            return torch.optim.SGD(parameters, **rates) if parameters else None

        clients = [self.half(layers[:cut], 0, weights) for _ in batch_sizes[0]]
        server = self.half(layers[cut:], cut, weights)
        if list(clients[0].buffers()):
            raise ValueError("a batch norm in the client half sees one client's samples")
        client_optimizers, server_optimizer = [optimizer(c) for c in clients], optimizer(server)
        images, steps, used = self.tensor(_channels_first(x)), [], 0
        for counts in batch_sizes.tolist():
            sent = {}
            start = used
            for k, b in enumerate(counts):
                if b:
                    sent[k] = clients[k](images[used : used + b])
                    used += b
            smashed = torch.cat([a.detach() for a in sent.values()]).requires_grad_()
            loss = functional.cross_entropy(server(smashed), torch.tensor(y[start:used]))
            server.zero_grad()
            loss.backward()
            for client in clients:
                client.zero_grad()
            answers = torch.split(smashed.grad, [b for b in counts if b])
            for activations, answer in zip(sent.values(), answers, strict=True):
                if activations.requires_grad:
                    activations.backward(answer)
            own = [
                {
                    n: torch.zeros_like(p) if p.grad is None else p.grad
                    for n, p in c.named_parameters()
                }
                for c in clients
            ]
            total = {name: sum(g[name] for g in own) for name in own[0]}
            server_optimizer.step()
            gradients = _stack(own)
            for client, sgd in zip(clients, client_optimizers, strict=True):
                for name, parameter in client.named_parameters():
                    parameter.grad = total[name].clone()
                if sgd:
                    sgd.step()
            steps.append(
                {
                    "smashed": _channels_last(smashed.detach().numpy().copy()),
                    "loss": loss.item(),
                    "cut_gradient": _channels_last(smashed.grad.numpy().copy()),
                    "client_gradients": gradients,
                    "summed_gradients": {n: _weight_out(n, g) for n, g in total.items()},
                    "client_weights": _stack([dict(c.named_parameters()) for c in clients]),
                    "server_weights": _state(server),
                }
            )
        with torch.no_grad():
            server.eval()
            logits = server(clients[0](self.tensor(_channels_first(eval_x))))
        return {"steps": steps, "logits": logits.numpy()}


def float64() -> PyTorch:
    """For the command line."""
    return PyTorch("float64")


class Flatten(nn.Module):
    """Channels-last, as the weights of the next layer expect."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.permute(0, 2, 3, 1).flatten(1)


class Residual(nn.Module):
    def __init__(self, branch: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.branch, self.shortcut = branch, shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.branch(x) + self.shortcut(x)


def _below(start: Any, arrays: dict[str, Array]) -> dict[str, Array]:
    return {n[len(f"{start}.") :]: a for n, a in arrays.items() if n.startswith(f"{start}.")}


def _state(half: nn.Module) -> dict[str, Array]:
    state = half.state_dict()
    return {n: _weight_out(n, w) for n, w in state.items() if not n.endswith("tracked")}


def _channels_first(images: Array) -> Array:
    return np.moveaxis(images, 3, 1)


def _channels_last(images: Array) -> Array:
    return np.moveaxis(images, 1, 3) if images.ndim == 4 else images


def _weight_in(weight: Array) -> Array:
    """PyTorch has (out, in) and (out, in, height, width)."""
    if weight.ndim == 4:
        return weight.transpose(3, 2, 0, 1)
    return weight.T if weight.ndim == 2 else weight


def _weight_out(name: str, weight: torch.Tensor) -> Array:
    array = weight.detach().numpy().copy()
    if array.ndim == 4:
        return array.transpose(2, 3, 1, 0)
    return array.T if array.ndim == 2 else array


def _stack(by_client: list[dict[str, torch.Tensor]]) -> dict[str, Array]:
    names = by_client[0]
    return {name: np.stack([_weight_out(name, one[name]) for one in by_client]) for name in names}
