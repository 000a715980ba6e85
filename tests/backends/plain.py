"""Parallel split learning written a second time: the second witness of every test vector.

With `faults` it becomes a wrong backend: each is the name of a mistake, and one condition here or
in `plain_layers` and `plain_samplers`. It shares no code with pslref.
"""

from collections.abc import Collection
from copy import deepcopy
from typing import Any

import numpy as np

from pslref.oracle import Spec
from tests.backends import plain_samplers
from tests.backends.plain_layers import SGD, cross_entropy, make

Array = np.ndarray[Any, Any]
LAYERS = ("linear", "conv2d", "relu", "max_pool2d", "avg_pool2d", "group_norm")


class Plain:
    def __init__(self, *faults: str, dtype: str = "float64", only: Collection[str] = ()) -> None:
        self.spec = Spec("plain " + " ".join(faults), dtype)
        self.faults = set(faults)
        self.only = only

    def capabilities(self) -> Collection[str]:
        methods = [name[4:] for name in dir(self) if name.startswith("_do_")]
        return [name for name in [*LAYERS, *methods] if not self.only or name in self.only]

    def run(self, op: str, inputs: dict[str, Any]) -> dict[str, Any]:
        cast = {
            name: value.astype(self.spec.dtype) if self._floats(value) else value
            for name, value in inputs.items()
        }
        out = self._layer(op, **cast) if op in LAYERS else getattr(self, f"_do_{op}")(**cast)
        if "half-precision" in self.faults:
            return _rounded(out)
        return out

    @staticmethod
    def _floats(value: Any) -> bool:
        return isinstance(value, np.ndarray) and value.dtype.kind == "f"

    def _layer(self, op: str, x: Array, dy: Array, **rest: Any) -> dict[str, Any]:
        layer = make({"type": op, **rest}, rest, self.faults)
        y = layer.forward(x)
        if y.shape != dy.shape:  # a fault changed it: there is no backward
            return {"y": y, "dx": x, **{f"d{k}": rest[k] for k in ("weight", "bias") if k in rest}}
        dx, gradients = layer.backward(dy)
        return {"y": y, "dx": dx, **{f"d{name}": g for name, g in gradients.items()}}

    def _do_cross_entropy(self, logits: Array, labels: Array) -> dict[str, Any]:
        loss, gradient = cross_entropy(logits, labels, self.faults)
        return {"loss": loss, "dlogits": gradient}

    def _do_sgd(
        self, weight: Array, gradients: Array,
        learning_rate: float, momentum: float, weight_decay: float,
    ) -> dict[str, Any]:  # fmt: skip
        sgd, weights, after = (
            SGD(learning_rate, momentum, weight_decay, self.faults),
            {"w": weight},
            [],
        )
        for gradient in gradients:
            sgd.step(weights, {"w": gradient})
            after.append(weight.copy())
        return {"weights": np.array(after)}

    def _do_split_steps(self, **inputs: Any) -> dict[str, Any]:
        return Training(inputs, self.faults, self.spec.dtype).run()

    def _do_fls(self, sizes: Array, batch_size: int) -> dict[str, Any]:
        return {"batch_sizes": plain_samplers.fixed(sizes, batch_size, False, self.faults)}

    def _do_fpls(self, sizes: Array, batch_size: int) -> dict[str, Any]:
        return {"batch_sizes": plain_samplers.fixed(sizes, batch_size, True, self.faults)}

    def _do_ugs_replay(self, **inputs: Any) -> dict[str, Any]:
        return {"batch_sizes": plain_samplers.ugs_replay(**inputs, faults=self.faults)}

    def _do_lds_prior(self, **inputs: Any) -> dict[str, Any]:
        return {"alpha": plain_samplers.lds_prior(**inputs, faults=self.faults)}

    def _do_lds_em(self, **inputs: Any) -> dict[str, Any]:
        return {"mixing_weights": plain_samplers.lds_em(**inputs, faults=self.faults)}

    def _do_lds_replay(self, **inputs: Any) -> dict[str, Any]:
        return {"batch_sizes": plain_samplers.lds_replay(**inputs, faults=self.faults)}

    def _do_batch_deviation(self, batch_class_counts: Array, class_probs: Array) -> dict[str, Any]:
        rows = plain_samplers.batch_deviation(batch_class_counts, class_probs, self.faults)
        return {"deviation": rows}

    def _do_batch_law(self, batch_sizes: Array, class_counts: Array) -> dict[str, Any]:
        return plain_samplers.batch_law(batch_sizes, class_counts, self.faults)

    def _do_uniform_deviation(self, class_totals: Array, batch_size: int) -> dict[str, Any]:
        return {"expected_deviation": plain_samplers.uniform_deviation(class_totals, batch_size)}

    def _do_step_times(self, batch_sizes: Array, **inputs: Any) -> dict[str, Any]:
        return {"times": plain_samplers.step_times(batch_sizes, **inputs, faults=self.faults)}

    def _do_sample(self, **inputs: Any) -> dict[str, Any]:
        return {"schedules": plain_samplers.sample(**inputs, faults=self.faults)}

    def _do_local_batches(self, batch_sizes: Array, **inputs: Any) -> dict[str, Any]:
        return {
            "samples": plain_samplers.local_batches(steps=batch_sizes, **inputs, faults=self.faults)
        }


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_rounded(entry) for entry in value]
    array = np.asarray(value)
    return array.astype(np.float16).astype(np.float64) if array.dtype.kind == "f" else array


class Half:
    """A chain of layers with parameters by name, "{index}.{name}"."""

    def __init__(
        self, specs: list[dict[str, Any]], first: int, weights: dict[str, Array], faults: set[str]
    ) -> None:
        self.weights = {
            n: w for n, w in weights.items() if first <= int(n.split(".")[0]) < first + len(specs)
        }
        self.first, self.layers = first, []
        for index, spec in enumerate(specs, first):
            own = {n.split(".")[1]: w for n, w in self.weights.items() if n.startswith(f"{index}.")}
            self.layers.append(make(spec, own, faults))

    def forward(self, x: Array) -> Array:
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, dy: Array) -> tuple[Array, dict[str, Array]]:
        gradients = {}
        for index, layer in reversed(list(enumerate(self.layers, self.first))):
            dy, own = layer.backward(dy)
            gradients |= {f"{index}.{name}": g for name, g in own.items()}
        return dy, {name: gradients[name] for name in self.weights}


class Training:
    """The protocol with K halves and a server; `faults` switch decisions to wrong ones."""

    def __init__(self, inputs: dict[str, Any], faults: set[str], dtype: str) -> None:
        self.i, self.faults = inputs, faults
        weights = {name: w.astype(dtype) for name, w in inputs["weights"].items()}
        cut, specs = inputs["cut"], inputs["layers"]
        self.num_clients = inputs["batch_sizes"].shape[1]
        self.clients = [
            Half(specs[:cut], 0, {n: w.copy() for n, w in weights.items()}, faults)
            for _ in range(self.num_clients)
        ]
        self.server = Half(specs[cut:], cut, weights, faults)
        self.initial = deepcopy(self.clients[0])
        self.reset()

    def sgd(self, client: bool) -> SGD:
        decay = self.i["weight_decay"]
        if "client-decay-lost" in self.faults and client:
            decay = 0.0
        if "server-decay-lost" in self.faults and not client:
            decay = 0.0
        return SGD(self.i["learning_rate"], self.i["momentum"], decay, self.faults)

    def reset(self) -> None:
        self.client_sgds = [self.sgd(True) for _ in self.clients]
        self.server_sgd = self.sgd(False)

    def run(self) -> dict[str, Any]:
        row, steps = 0, []
        self.before = self.clients[0]
        for counts in self.i["batch_sizes"].tolist():
            if not any(counts):
                raise ValueError("nobody brings a sample")
            x, y = [], []
            for b in counts:
                x.append(self.i["x"][row : row + b])
                y.append(self.i["y"][row : row + b])
                row += b
            self.before = deepcopy(self.clients[0])
            steps.append(self.step(counts, x, y))
        half = self.clients[0]
        if "stale-evaluation" in self.faults:
            half = self.before
        if "half-not-in-checkpoint" in self.faults:
            half = self.initial
        return {"steps": steps, "logits": self.server.forward(half.forward(self.i["eval_x"]))}

    def step(self, counts: list[int], x: list[Array], y: list[Array]) -> dict[str, Any]:
        f = self.faults
        if "fresh-optimizers" in f:
            self.reset()
        if "fresh-client-optimizers" in f:
            self.client_sgds = [self.sgd(True) for _ in self.clients]
        present = [k for k, b in enumerate(counts) if b]
        sent = [self.clients[k].forward(x[k]) for k in present]
        smashed = np.concatenate(sent)
        labels = np.concatenate(
            [y[k] for k in (present[::-1] if "labels-reversed" in f else present)]
        )
        loss, at_cut, server_gradients = self.serve(smashed, labels, [counts[k] for k in present])
        ends = np.cumsum([counts[k] for k in present])[:-1]
        rows = np.split(at_cut, ends)
        if "answers-reversed" in f:
            rows = np.split(np.concatenate(rows[::-1]), ends)
        if "answers-shifted" in f:
            rows = np.split(np.roll(at_cut, 1, axis=0), ends)
        gradients = {}
        for k, answer in zip(present, rows, strict=True):
            if "client-forward-again" in f:
                self.clients[k].forward(x[k] + 0.01)
            gradients[k] = self.clients[k].backward(answer)[1]
        total = self.combine(gradients, counts)
        summed = {name: g.copy() for name, g in total.items()}
        self.update(total, gradients, server_gradients, counts)
        zero = {name: 0 * w for name, w in self.clients[0].weights.items()}
        return {
            "smashed": smashed,
            "loss": loss,
            "cut_gradient": np.concatenate(rows),
            "client_gradients": _stack([gradients.get(k, zero) for k in range(len(counts))]),
            "summed_gradients": summed,
            "client_weights": _stack([client.weights for client in self.clients]),
            "server_weights": {name: w.copy() for name, w in self.server.weights.items()},
        }

    def serve(
        self, smashed: Array, labels: Array, counts: list[int]
    ) -> tuple[float, Array, dict[str, Array]]:
        f = self.faults
        logits = self.server.forward(smashed)
        loss, gradient = cross_entropy(logits, labels, f)
        if f & {"mean-of-means", "sum-of-means", "divided-by-clients", "nominal-batch"}:
            losses = np.array(
                [cross_entropy(logits[[n]], labels[[n]], set())[0] for n in range(len(labels))]
            )
            weight = np.repeat([1 / b for b in counts], counts)
            if "mean-of-means" in f:
                weight = weight / len(counts)
            if "divided-by-clients" in f:
                weight = np.full(len(labels), 1 / len(counts))
            if "nominal-batch" in f:
                weight = np.full(len(labels), 1 / max(self.i["batch_sizes"].sum(axis=1)))
            loss = float(np.sum(losses * weight))
            gradient = gradient * len(labels) * weight[:, None].astype(gradient.dtype)
        at_cut, gradients = self.server.backward(gradient)
        if "cut-gradient-after-update" in f:
            moved, sgd = deepcopy(self.server), deepcopy(self.server_sgd)
            sgd.step(moved.weights, gradients)
            at_cut, _ = moved.backward(gradient)
        if "scalar-sent-back" in f:
            at_cut = np.full_like(at_cut, loss)
        if "clipped" in f:
            at_cut = np.clip(at_cut, -0.05, 0.05)
        return loss, at_cut, gradients

    def combine(
        self, gradients: dict[int, dict[str, Array]], counts: list[int]
    ) -> dict[str, Array]:
        f, who = self.faults, list(gradients)
        share = {k: counts[k] / sum(counts) for k in range(len(counts))}
        weight = dict.fromkeys(who, 1.0)
        if "averaged" in f:
            weight = dict.fromkeys(who, 1 / len(who))
        if "averaged-over-all" in f:
            weight = dict.fromkeys(who, 1 / len(counts))
        if "weighted-by-share" in f:
            weight = {k: share[k] for k in who}
        if "weighted-by-position" in f:
            weight = {k: share[position] for position, k in enumerate(who)}
        if "last-overwrites" in f:
            weight = {k: float(k == who[-1]) for k in who}
        if "last-left-out" in f:
            weight = {k: float(k != who[-1]) for k in who}
        if "largest-only" in f:
            largest = max(who, key=lambda k: counts[k])
            weight = {k: float(k == largest) for k in who}
        dtype = self.i["x"].dtype
        return {
            name: np.sum([weight[k] * gradients[k][name] for k in who], axis=0).astype(dtype)
            for name in self.clients[0].weights
        }

    def update(
        self, total: dict[str, Array], gradients: dict[int, dict[str, Array]],
        server_gradients: dict[str, Array], counts: list[int],
    ) -> None:  # fmt: skip
        f = self.faults
        if "not-zeroed" in f:
            self.kept = {n: getattr(self, "kept", {}).get(n, 0) + g for n, g in total.items()}
            total = self.kept
        who = range(len(counts))
        if "absent-not-updated" in f or "own-gradient" in f:
            who = [k for k in who if counts[k]]
        if "first-half-updated" in f:
            who = range((len(counts) + 1) // 2)
        if "never-updated" in f:
            who = []
        for k in who:
            mine = gradients[k] if "own-gradient" in f else total
            if "array-shared" in f:
                self.client_sgds[k].step(self.clients[k].weights, mine)
                for g in mine.values():
                    g *= self.i["learning_rate"]
            else:
                self.client_sgds[k].step(self.clients[k].weights, mine)
        if "velocity-averaged" in f and who:
            for sgd in self.client_sgds:
                sgd.velocity = {n: v * 0.9 for n, v in sgd.velocity.items()}
        if "server-not-updated" not in f:
            self.server_sgd.step(self.server.weights, server_gradients)


def _stack(by_client: list[dict[str, Array]]) -> dict[str, Array]:
    return {name: np.stack([one[name] for one in by_client]) for name in by_client[0]}
