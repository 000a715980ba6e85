"""The same step of training in PyTorch: by K client modules, and by one network."""

import os
from collections.abc import Sequence
from copy import deepcopy

import numpy as np
import torch
from torch import nn

from pslref.nn import (
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    Flatten,
    GroupNorm,
    Linear,
    MaxPool2d,
    Network,
    ReLU,
    Residual,
)

torch.set_num_threads(int(os.environ.get("OPENBLAS_NUM_THREADS", "1")))  # as many as NumPy has

Batch = Sequence[tuple[int, torch.Tensor]]  # client, and the indices of its samples


class Added(nn.Module):
    """Two ways from x, of which one may be empty, added up."""

    def __init__(self, branch: list[nn.Module], shortcut: list[nn.Module]) -> None:
        super().__init__()
        self.branch, self.shortcut = nn.Sequential(*branch), nn.Sequential(*shortcut)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Their sum."""
        return self.branch(x) + self.shortcut(x)


def modules(net: Network) -> list[nn.Module]:
    """PyTorch's layers with a network's weights, for images (N, C, H, W)."""
    made: list[nn.Module] = []
    channels = 1
    for layer in net.layers:
        module: nn.Module
        if isinstance(layer, Conv2d):
            *_, inputs, channels = layer.parameters["weight"].shape
            module = nn.Conv2d(inputs, channels, layer.kernel, layer.stride, layer.padding)
            weight = layer.parameters["weight"].transpose(3, 2, 0, 1)
        elif isinstance(layer, Linear):
            weight = layer.parameters["weight"]
            rows, columns = weight.shape
            module = nn.Linear(rows, columns)
            if not any(isinstance(before, nn.Linear) for before in made):
                # These rows are an image's numbers, (H, W, C) here and (C, H, W) there.
                weight = weight.reshape(-1, channels, columns).swapaxes(0, 1).reshape(rows, -1)
            weight = weight.T
        elif isinstance(layer, Residual):
            made.append(Added(modules(layer.branch), modules(layer.shortcut)))
            channels = [*layer.parameters.values()][-1].size
            continue
        elif isinstance(layer, GroupNorm | BatchNorm2d):
            weight = layer.parameters["weight"]
            if isinstance(layer, GroupNorm):
                module = nn.GroupNorm(layer.num_groups, weight.size, layer.eps)
            else:
                module = nn.BatchNorm2d(weight.size, layer.eps, layer.momentum)
                for name, running in layer.statistics.items():
                    setattr(module, name, torch.tensor(running.astype(weight.dtype)))
        elif isinstance(layer, MaxPool2d):
            module = nn.MaxPool2d(layer.kernel, layer.stride)
        elif isinstance(layer, AvgPool2d):
            module = nn.AdaptiveAvgPool2d(1)
        else:
            module = {ReLU: nn.ReLU, Flatten: nn.Flatten}[type(layer)]()
        if layer.parameters:
            module.weight.data = torch.tensor(np.ascontiguousarray(weight))
            module.bias.data = torch.tensor(layer.parameters["bias"])
        made.append(module)
    return made


class ClientModules:
    """A module and an optimizer for each client and for the server.

    The clients' gradients are stacked and summed, or each is added as it comes: `in_place`.
    """

    def __init__(
        self,
        net: Network,
        cut: int,
        num_clients: int,
        x: torch.Tensor,
        y: torch.Tensor,
        learning_rate: float,
        in_place: bool,
    ) -> None:
        layers = modules(net)
        self.x, self.y, self.in_place = x, y, in_place
        self.clients = [deepcopy(nn.Sequential(*layers[:cut])) for _ in range(num_clients)]
        self.server = nn.Sequential(*layers[cut:])
        self.optimizers = [
            torch.optim.SGD(half.parameters(), learning_rate)
            for half in [*self.clients, self.server]
        ]

    def step(self, batch: Batch) -> float:
        """Forward and backward at every participant and the server; one sum; K + 1 updates."""
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        activations = [self.clients[k](self.x[samples]) for k, samples in batch]
        smashed = [a.detach().requires_grad_() for a in activations]
        labels = torch.cat([self.y[samples] for _, samples in batch])
        loss = nn.functional.cross_entropy(self.server(torch.cat(smashed)), labels)
        loss.backward()
        for mine, received in zip(activations, smashed, strict=True):
            mine.backward(received.grad)
        gradients = [[p.grad for p in self.clients[k].parameters()] for k, _ in batch]
        total = [self.summed(of_all) for of_all in zip(*gradients, strict=True)]
        for client in self.clients:
            for gradient, p in zip(total, client.parameters(), strict=True):
                p.grad = gradient
        for optimizer in self.optimizers:
            optimizer.step()
        return loss.item()

    def summed(self, of_all: Sequence[torch.Tensor]) -> torch.Tensor:
        """The sum of one parameter's gradients."""
        if not self.in_place:
            return torch.stack(of_all).sum(dim=0)
        total = of_all[0].clone()
        for gradient in of_all[1:]:
            total += gradient
        return total


class Fused:
    """One network on the whole batch: what the step would cost if nobody were split."""

    def __init__(
        self,
        net: Network,
        x: torch.Tensor,
        y: torch.Tensor,
        learning_rate: float,
        memory_format: torch.memory_format,
    ) -> None:
        self.x, self.y = x.to(memory_format=memory_format), y
        self.net = nn.Sequential(*modules(net)).to(memory_format=memory_format)
        self.optimizer = torch.optim.SGD(self.net.parameters(), learning_rate)

    def step(self, samples: torch.Tensor) -> float:
        """One step of SGD."""
        self.optimizer.zero_grad()
        loss = nn.functional.cross_entropy(self.net(self.x[samples]), self.y[samples])
        loss.backward()
        self.optimizer.step()
        return loss.item()
