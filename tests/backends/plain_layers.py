"""Layers, loss and SGD as loops over single numbers or windows, with faults to switch on.

Written from the equations alone: it shares no code with pslref. `faults` is the set of the names
of mistakes; each is one condition below.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Faults = set[str]


class Linear:
    def __init__(self, weight: Array, bias: Array, faults: Faults) -> None:
        self.weight, self.bias, self.faults = weight, bias, faults

    def forward(self, x: Array) -> Array:
        self.x = x
        y = np.zeros((len(x), self.weight.shape[1]), x.dtype)
        for n, out in np.ndindex(*y.shape):
            y[n, out] = np.sum(x[n] * self.weight[:, out])
            if "no-bias" not in self.faults:
                y[n, out] += self.bias[out]
        return y

    def backward(self, dy: Array) -> tuple[Array, dict[str, Array]]:
        dx = np.stack([np.sum(self.weight * row, axis=1) for row in dy])
        dweight = sum(x[:, None] * row[None, :] for x, row in zip(self.x, dy, strict=True))
        dbias = sum(dy[1:], start=dy[0].copy())
        if "mean-gradients" in self.faults:
            dweight, dbias = dweight / len(dy), dbias / len(dy)
        if "bias-gradient-lost" in self.faults:
            dbias = 0 * dbias
        return dx, {"weight": dweight, "bias": dbias}


class Conv2d:
    def __init__(self, weight: Array, bias: Array, faults: Faults, stride: int, padding: int):
        self.weight, self.bias, self.faults = weight, bias, faults
        self.stride, self.padding = stride, padding
        self.ends = (padding, padding)
        if "padding-at-the-end" in faults:
            self.ends = (0, 2 * padding)
        if "padding-off-by-one" in faults:
            self.ends = (padding + 1, padding + 1)

    def windows(self, shape: tuple[int, ...]) -> Iterator[tuple[int, int, slice, slice]]:
        k, s = len(self.weight), self.stride
        for h in range((shape[1] - k) // s + 1):
            for w in range((shape[2] - k) // s + 1):
                yield h, w, slice(h * s, h * s + k), slice(w * s, w * s + k)

    def forward(self, x: Array) -> Array:
        self.padded = np.pad(x, ((0, 0), self.ends, self.ends, (0, 0)))
        kernel = self.weight[::-1, ::-1] if "flipped-kernel" in self.faults else self.weight
        cells = {(h, w): self.padded[:, i, j] for h, w, i, j in self.windows(self.padded.shape)}
        height, width = (1 + max(place[axis] for place in cells) for axis in (0, 1))
        y = np.zeros((len(x), height, width, len(self.bias)), x.dtype)
        for (h, w), cell in cells.items():
            for out in range(len(self.bias)):
                y[:, h, w, out] = (cell * kernel[..., out]).sum(axis=(1, 2, 3)) + self.bias[out]
        return y

    def backward(self, dy: Array) -> tuple[Array, dict[str, Array]]:
        flip = slice(None, None, -1 if "flipped-kernel" in self.faults else 1)
        dpadded, dkernel = np.zeros_like(self.padded), np.zeros_like(self.weight)
        kernel = self.weight[flip, flip]
        for h, w, i, j in self.windows(self.padded.shape):
            for n, out in np.ndindex(len(dy), dy.shape[3]):
                dpadded[n, i, j] += dy[n, h, w, out] * kernel[..., out]
                dkernel[..., out] += dy[n, h, w, out] * self.padded[n, i, j]
        (a, b), (_, height, width, _) = self.ends, dpadded.shape
        dx = dpadded[:, a : height - b, a : width - b]
        return dx, {"weight": dkernel[flip, flip], "bias": dy.sum(axis=2).sum(axis=1).sum(axis=0)}


class ReLU:
    def __init__(self, faults: Faults) -> None:
        self.faults = faults

    def forward(self, x: Array) -> Array:
        self.x = x
        leak = 0.01 if "leaky" in self.faults else 0.0
        return np.where(x > 0, x, leak * x).astype(x.dtype)

    def backward(self, dy: Array) -> tuple[Array, dict[str, Array]]:
        if "relu-skipped-in-backward" in self.faults:
            return dy, {}
        return np.where(self.x > 0, dy, 0).astype(dy.dtype), {}


class Flatten:
    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        return np.array([row.ravel() for row in x])

    def backward(self, dy: Array) -> tuple[Array, dict[str, Array]]:
        return dy.reshape(self.shape), {}


class Pool2d:
    def __init__(self, kind: str, kernel: int, stride: int, faults: Faults) -> None:
        self.kind, self.kernel, self.faults = kind, kernel, faults
        self.stride = kernel if "stride-ignored" in faults else stride

    def places(self) -> Iterator[tuple[int, ...]]:
        n, height, width, channels = self.x.shape
        rows = (height - self.kernel) // self.stride + 1
        columns = (width - self.kernel) // self.stride + 1
        yield from np.ndindex(n, rows, columns, channels)

    def window(self, place: tuple[int, ...]) -> tuple[Any, ...]:
        n, h, w, c = place
        s, k = self.stride, self.kernel
        return n, slice(h * s, h * s + k), slice(w * s, w * s + k), c

    def forward(self, x: Array) -> Array:
        self.x = x
        cells = {place: x[self.window(place)] for place in self.places()}
        y = np.zeros([1 + max(axis) for axis in zip(*cells, strict=True)], x.dtype)
        for place, cell in cells.items():
            y[place] = cell.max() if self.kind == "max" else cell.sum() / cell.size
        return y

    def backward(self, dy: Array) -> tuple[Array, dict[str, Array]]:
        dx = np.zeros_like(self.x)
        for place in self.places():
            cell = self.x[self.window(place)]
            if self.kind == "avg":
                share = np.full(cell.shape, dy[place] / cell.size, dy.dtype)
            else:
                share = np.zeros_like(cell)
                share[np.unravel_index(cell.argmax(), cell.shape)] = dy[place]
            if "overlap-overwritten" in self.faults:
                dx[self.window(place)] = share
            else:
                dx[self.window(place)] += share
        return dx, {}


class GroupNorm:
    def __init__(self, weight: Array, bias: Array, faults: Faults, num_groups: int, eps: float):
        self.weight, self.bias, self.faults = weight, bias, faults
        self.num_groups, self.eps = num_groups, eps
        if "eps-default" in faults:
            self.eps = 1e-5
        if "one-group" in faults:
            self.num_groups = 1
        self.whole_batch = "batch-statistics" in faults

    def groups(self, x: Array) -> Iterator[tuple[slice, slice]]:
        size = x.shape[3] // self.num_groups
        for n in [slice(None)] if self.whole_batch else [slice(n, n + 1) for n in range(len(x))]:
            for g in range(self.num_groups):
                yield n, slice(g * size, (g + 1) * size)

    def forward(self, x: Array) -> Array:
        self.z, self.sd = np.zeros_like(x), np.zeros_like(x)
        for n, c in self.groups(x):
            cell = x[n, :, :, c]
            ddof = 1 if "unbiased-variance" in self.faults and cell.size > 1 else 0
            variance = np.sum((cell - cell.mean()) ** 2) / (cell.size - ddof)
            sd = np.sqrt(variance + self.eps)
            if "eps-outside-root" in self.faults:
                sd = np.sqrt(variance) + self.eps
            self.z[n, :, :, c], self.sd[n, :, :, c] = (cell - cell.mean()) / sd, sd
        return self.z * self.weight + self.bias

    def backward(self, dy: Array) -> tuple[Array, dict[str, Array]]:
        dx = np.zeros_like(dy)
        for n, c in self.groups(dy):
            z, dz = self.z[n, :, :, c], dy[n, :, :, c] * self.weight[c]
            if "norm-as-constant" in self.faults:
                dx[n, :, :, c] = dz / self.sd[n, :, :, c]
            else:
                norm = max(1, z.size - ("unbiased-variance" in self.faults))
                pull = z * (z * dz).sum() / norm
                dx[n, :, :, c] = (dz - dz.mean() - pull) / self.sd[n, :, :, c]
        channels = range(dy.shape[3])
        dweight = [np.sum(self.z[..., c] * dy[..., c]) for c in channels]
        return dx, {
            "weight": np.array(dweight),
            "bias": np.array([dy[..., c].sum() for c in channels]),
        }


class BatchNorm2d(GroupNorm):
    """One sample of all samples, and a group for each channel; and what runs along."""

    def __init__(
        self, weight: Array, bias: Array, faults: Faults,
        momentum: float, mean: Array, variance: Array, eps: float,
    ) -> None:  # fmt: skip
        super().__init__(weight, bias, faults, weight.size, eps)
        self.whole_batch = True
        self.momentum, self.mean, self.variance = momentum, mean, variance

    def evaluate(self, x: Array) -> Array:
        if "never-evaluating" in self.faults:
            return GroupNorm.forward(self, x)
        return (x - self.mean) / np.sqrt(self.variance + self.eps) * self.weight + self.bias

    def forward(self, x: Array) -> Array:
        count = x[..., 0].size
        if count == 1:
            raise ValueError("one number has no variance")
        y = super().forward(x)
        if "evaluation-in-training" in self.faults:
            self.sd[...] = np.sqrt(self.variance + self.eps)
            self.z = (x - self.mean) / self.sd
            return self.z * self.weight + self.bias
        new = self.momentum
        spread = ((x - x.mean(axis=(0, 1, 2))) ** 2).sum(axis=(0, 1, 2))
        divisor = count if "biased-running-variance" in self.faults else count - 1
        self.mean = (1 - new) * self.mean + new * x.mean(axis=(0, 1, 2))
        self.variance = (1 - new) * self.variance + new * spread / divisor
        return y

    def backward(self, dy: Array) -> tuple[Array, dict[str, Array]]:
        dx, gradients = super().backward(dy)
        if "evaluation-in-training" in self.faults:
            dx = dy * self.weight / self.sd
        return dx, gradients


class Residual:
    def __init__(self, branch: "Half", shortcut: "Half", lost: bool) -> None:
        self.ways, self.lost = {"branch": branch, "shortcut": shortcut}, lost

    def forward(self, x: Array, evaluating: bool = False) -> Array:
        y = self.ways["branch"].forward(x, evaluating)
        if self.lost:
            return y
        return y + self.ways["shortcut"].forward(x, evaluating)

    def evaluate(self, x: Array) -> Array:
        return self.forward(x, evaluating=True)

    def backward(self, dy: Array) -> tuple[Array, dict[str, Array]]:
        dx, gradients = np.zeros((), dy.dtype), {}
        for name, way in self.ways.items():
            if name == "shortcut" and self.lost:
                gradients |= {f"{name}.{n}": 0 * w for n, w in way.weights.items()}
                continue
            back, own = way.backward(dy)
            dx = dx + back
            gradients |= {f"{name}.{n}": g for n, g in own.items()}
        return dx, gradients


class Half:
    """A chain of layers with parameters by name, "{index}.{name}"."""

    def __init__(
        self, specs: list[dict[str, Any]], first: int, weights: dict[str, Array], faults: Faults
    ) -> None:
        self.weights = {
            n: w for n, w in weights.items() if first <= int(n.split(".")[0]) < first + len(specs)
        }
        self.first, self.layers = first, []
        for index, spec in enumerate(specs, first):
            self.layers.append(make(spec, below(index, self.weights), faults))

    def forward(self, x: Array, evaluating: bool = False) -> Array:
        for layer in self.layers:
            x = layer.evaluate(x) if evaluating and hasattr(layer, "evaluate") else layer.forward(x)
        return x

    def backward(self, dy: Array) -> tuple[Array, dict[str, Array]]:
        gradients = {}
        for index, layer in reversed(list(enumerate(self.layers, self.first))):
            dy, own = layer.backward(dy)
            gradients |= {f"{index}.{name}": g for name, g in own.items()}
        return dy, {name: gradients[name] for name in self.weights}

    def statistics(self) -> dict[str, Array]:
        found = {}
        for index, layer in enumerate(self.layers, self.first):
            if isinstance(layer, BatchNorm2d):
                found[f"{index}.running_mean"] = layer.mean
                found[f"{index}.running_var"] = layer.variance
            if isinstance(layer, Residual):
                for name, way in layer.ways.items():
                    found |= {f"{index}.{name}.{n}": s for n, s in way.statistics().items()}
        return found


def below(start: Any, weights: dict[str, Array]) -> dict[str, Array]:
    return {n[len(f"{start}.") :]: w for n, w in weights.items() if n.startswith(f"{start}.")}


def make(spec: dict[str, Any], weights: dict[str, Array], faults: Faults) -> Any:
    kind = spec["type"]
    if kind == "residual":
        branch, shortcut = (
            Half(spec[way], 0, below(way, weights), faults) for way in ("branch", "shortcut")
        )
        return Residual(branch, shortcut, spec.get("lost", False))
    if kind == "batch_norm2d":
        weight, bias = weights["weight"], weights["bias"]
        mean, variance = np.zeros_like(bias), np.ones_like(bias)
        return BatchNorm2d(weight, bias, faults, spec["momentum"], mean, variance, spec["eps"])
    if kind == "linear":
        return Linear(weights["weight"], weights["bias"], faults)
    if kind == "conv2d":
        return Conv2d(weights["weight"], weights["bias"], faults, spec["stride"], spec["padding"])
    if kind == "group_norm":
        arrays = weights["weight"], weights["bias"]
        return GroupNorm(*arrays, faults, spec["num_groups"], spec["eps"])
    if kind == "relu":
        return ReLU(faults)
    if kind == "flatten":
        return Flatten()
    return Pool2d(kind[:3], spec["kernel"], spec["stride"], faults)


def cross_entropy(logits: Array, labels: Array, faults: Faults) -> tuple[float, Array]:
    """Per sample; the mean is the caller's business where it is not the batch's."""
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise ValueError("a label that no logit belongs to")
    losses, rows = [], []
    for z, label in zip(logits, labels, strict=True):
        if "softmax-twice" in faults:
            e = np.exp(z - z.max())
            z = e / e.sum()
        shifted = z if "unstable-softmax" in faults else z - z.max()
        exponentials = np.exp(shifted)
        p = exponentials / exponentials.sum()
        losses.append(np.log(exponentials.sum()) - shifted[label])
        own = np.arange(p.size) == label
        if "smoothed-labels" in faults:
            own = 0.9 * own + 0.1 / p.size
            losses[-1] = np.log(exponentials.sum()) - np.sum(own * shifted)
        gradient = p - own
        if "softmax-twice" in faults:
            gradient = z * (gradient - np.sum(z * gradient))
        rows.append(gradient)
    scale = 1.0 if "summed-loss" in faults else 1 / len(labels)
    loss = scale * sum(losses)
    if "loss-in-bits" in faults:
        loss /= np.log(2)
    factor = 1.0 if "gradient-not-mean" in faults else scale
    return loss, (np.array(rows) * factor).astype(logits.dtype)


class SGD:
    def __init__(self, rate: float, momentum: float, decay: float, faults: Faults) -> None:
        self.rate, self.momentum, self.decay, self.faults = rate, momentum, decay, faults
        if "momentum-lost" in faults:
            self.momentum = 0.0
        if "decay-lost" in faults:
            self.decay = 0.0
        self.velocity: dict[str, Array] = {}

    def step(self, weights: dict[str, Array], gradients: dict[str, Array]) -> None:
        for name, w in weights.items():
            pull = self.decay * w
            g = gradients[name] if "decoupled-decay" in self.faults else gradients[name] + pull
            old = self.velocity.get(name)
            if old is None:
                v = g
            elif "dampened" in self.faults:
                v = self.momentum * old + (1 - self.momentum) * g
            else:
                v = self.momentum * old + g
            self.velocity[name] = v
            move = g + self.momentum * v if "nesterov" in self.faults else v
            if "decoupled-decay" in self.faults:
                move = move + pull
            w -= (self.rate * move).astype(w.dtype)
