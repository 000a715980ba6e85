"""Parallel split learning written a second time: the second witness of every test vector.

With `faults` it becomes a wrong backend: each is the name of a mistake, and one condition here or
in the other files named plain. It shares no code with pslref.
"""

from collections.abc import Collection
from typing import Any

import numpy as np

from pslref.oracle import Spec
from tests.backends import plain_planned, plain_random, plain_samplers, plain_targets
from tests.backends.plain_layers import SGD, BatchNorm2d, cross_entropy, make
from tests.backends.plain_training import Training

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

    def _do_batch_norm2d(
        self, x: Array, weight: Array, bias: Array, eps: float, momentum: float,
        running_mean: Array, running_var: Array, dy: Array,
    ) -> dict[str, Any]:  # fmt: skip
        layer = BatchNorm2d(weight, bias, self.faults, momentum, running_mean, running_var, eps)
        y = layer.forward(x)
        dx, gradients = layer.backward(dy)
        running = {"running_mean": layer.mean, "running_var": layer.variance}
        return {"y": y, "dx": dx, **{f"d{n}": g for n, g in gradients.items()}, **running}

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

    def _do_rooms(
        self, deadlines: Array, delays: Array, sample_costs: Array, batch_size: int
    ) -> dict[str, Any]:
        given = deadlines, delays, sample_costs, batch_size
        return {"rooms": plain_planned.rooms(*given, self.faults)}

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
        return {"schedules": plain_random.sample(**inputs, faults=self.faults)}

    def _do_class_targets(self, **inputs: Any) -> dict[str, Any]:
        targets, local = plain_targets.class_targets(**inputs, faults=self.faults)
        return {"targets": targets, "local_class_counts": local}

    def _do_local_batches(self, batch_sizes: Array, **inputs: Any) -> dict[str, Any]:
        return {
            "samples": plain_random.local_batches(steps=batch_sizes, **inputs, faults=self.faults)
        }

    def _do_local_class_batches(self, **inputs: Any) -> dict[str, Any]:
        return {"samples": plain_targets.local_class_batches(**inputs, faults=self.faults)}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_rounded(entry) for entry in value]
    array = np.asarray(value)
    return array.astype(np.float16).astype(np.float64) if array.dtype.kind == "f" else array
