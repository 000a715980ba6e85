"""The library itself as a backend: every operation runs the code that pslref runs."""

from collections.abc import Callable, Collection
from typing import Any, cast

import numpy as np

from pslref import nn, sampling, split, theory
from pslref.nn.layers import Layer
from pslref.oracle.backends import Spec, Values
from pslref.oracle.ops import LAYERS, OPS, STEP
from pslref.oracle.replay import InOrder, RecordedClients, RecordedShuffle
from pslref.partition import Partition
from pslref.sampling import dirichlet
from pslref.split import Simulation

Array = np.ndarray[Any, np.dtype[Any]]


class Library:
    """pslref behind the protocol for backends.

    Args:
        dtype: float64 or float32, of the network.
        execution: "clients" or "pooled", as in `split.Simulation`.
    """

    def __init__(self, dtype: str = "float64", execution: str = "clients") -> None:
        self.spec = Spec(f"pslref ({execution})", dtype)
        self.execution = execution

    def capabilities(self) -> Collection[str]:
        """All operations."""
        return OPS

    def run(self, op: str, inputs: Values) -> Values:
        """Call what the operation is named after."""
        i = dict(inputs)
        if op in LAYERS:
            return self._layer(op, i)
        if op == "cross_entropy":
            loss, gradient = nn.cross_entropy(i["logits"].astype(self.spec.dtype), i["labels"])
            return {"loss": loss, "dlogits": gradient}
        return cast(Callable[[Values], Values], getattr(self, f"_{op}"))(i)

    def _layer(self, op: str, i: Values) -> Values:
        names = [name for name in OPS[op].inputs if name in ("weight", "bias")]
        layer = make_layer({"type": op, **i}, {name: i[name] for name in names}, self.spec.dtype)
        y, cache = layer.forward(i["x"].astype(self.spec.dtype))
        dx, grads = layer.backward(i["dy"].astype(self.spec.dtype), cache)
        return {"y": y, "dx": dx, **{f"d{name}": grads[name] for name in names}}

    def _sgd(self, i: Values) -> Values:
        weights = {"weight": i["weight"].astype(self.spec.dtype)}
        sgd = nn.SGD(i["learning_rate"], i["momentum"], i["weight_decay"])
        after = []
        for gradient in i["gradients"].astype(self.spec.dtype):
            sgd.update(weights, {"weight": gradient})
            after.append(weights["weight"].copy())
        return {"weights": np.array(after)}

    def _split_steps(self, i: Values) -> Values:
        sizes = i["batch_sizes"]
        net = make_network(i["layers"], i["weights"], self.spec.dtype)
        owners = np.concatenate([np.repeat(np.arange(sizes.shape[1]), row) for row in sizes])
        indices = [np.flatnonzero(owners == k) for k in range(sizes.shape[1])]
        simulation = Simulation(
            net,
            i["cut"],
            i["x"],
            i["y"],
            Partition(indices, i["y"]),
            i["learning_rate"],
            i["momentum"],
            i["weight_decay"],
            rng=InOrder(),
            execution=self.execution,
        )
        seen = _watch(simulation)
        steps = [_step(simulation, row, seen) for row in sizes]
        logits, _ = simulation.net.forward(i["eval_x"].astype(self.spec.dtype))
        return {"steps": steps, "logits": logits}

    def _fls(self, i: Values) -> Values:
        return {"batch_sizes": sampling.fls(i["sizes"], i["batch_size"]).batch_sizes}

    def _fpls(self, i: Values) -> Values:
        return {"batch_sizes": sampling.fpls(i["sizes"], i["batch_size"]).batch_sizes}

    def _ugs_replay(self, i: Values) -> Values:
        rng = RecordedShuffle(i["permutation"])
        schedule = sampling.ugs(i["sizes"], i["batch_size"], rng, i["remainder"])
        return {"batch_sizes": schedule.batch_sizes}

    def _lds_prior(self, i: Values) -> Values:
        arguments = (i[name] for name in OPS["lds_prior"].inputs)
        return {"alpha": dirichlet.prior(*arguments)}

    def _lds_em(self, i: Values) -> Values:
        counts = i["class_counts"]
        beta = counts / counts.sum(axis=1, keepdims=True)
        weights, _ = dirichlet.em(
            i["alpha"], beta, i["label_counts"], i["start"], tol=0.0, max_iter=i["iterations"]
        )
        return {"mixing_weights": weights}

    def _lds_replay(self, i: Values) -> Values:
        left, rows = i["sizes"], []
        rng = RecordedClients(i["draws"], left)
        for size in sampling.global_batch_sizes(int(left.sum()), i["batch_size"], i["remainder"]):
            equal = np.ones(left.size)
            rows.append(dirichlet.draw(equal, left, int(size), rng))
            left = left - rows[-1]
        return {"batch_sizes": np.array(rows)}

    def _batch_deviation(self, i: Values) -> Values:
        return {"deviation": theory.batch_deviation(i["batch_class_counts"], i["class_probs"])}

    def _batch_law(self, i: Values) -> Values:
        schedule, counts = sampling.Schedule(i["batch_sizes"]), i["class_counts"]
        return {
            "mean": theory.class_count_mean(schedule, counts),
            "variance": theory.class_count_variance(schedule, counts),
            "expected_deviation": theory.expected_deviation(schedule, counts),
        }

    def _uniform_deviation(self, i: Values) -> Values:
        mean = theory.expected_uniform_deviation(i["class_totals"], i["batch_size"])
        return {"expected_deviation": mean}

    def _step_times(self, i: Values) -> Values:
        schedule = sampling.Schedule(i.pop("batch_sizes"))
        return {"times": split.step_times(schedule, **i)}

    def _sample(self, i: Values) -> Values:
        rng = np.random.Generator(np.random.PCG64(i["seed"]))
        counts, batch_size = i["class_counts"], i["batch_size"]
        sizes = counts.sum(axis=1)

        def schedule() -> sampling.Schedule:
            if i["sampler"] in ("fls", "fpls"):
                return {"fls": sampling.fls, "fpls": sampling.fpls}[i["sampler"]](sizes, batch_size)
            if i["sampler"] == "ugs":
                return sampling.ugs(sizes, batch_size, rng, i["remainder"])
            options = {"delays": i["delays"], "delta": i["delta"], "remainder": i["remainder"]}
            return sampling.lds(counts, batch_size, rng, **options)

        drawn = [schedule().batch_sizes for _ in range(i["num_schedules"])]
        return {"schedules": np.array(drawn)}

    def _class_targets(self, i: Values) -> Values:
        rng = np.random.Generator(np.random.PCG64(i["seed"]))
        counts, batch_size = i["class_counts"], i["batch_size"]
        options = {name: i[name] for name in ("draw", "assign", "delays", "remainder")}
        drawn = [
            sampling.targets(counts, batch_size, rng, **options).demands()
            for _ in range(i["num_schedules"])
        ]
        local = np.array(drawn)
        return {"targets": local.sum(axis=2), "local_class_counts": local}

    def _local_batches(self, i: Values) -> Values:
        return _handed_out(i, i["batch_sizes"], np.zeros_like(i["owners"]))

    def _local_class_batches(self, i: Values) -> Values:
        return _handed_out(i, i["local_class_counts"], i["labels"])


def _handed_out(i: Values, steps: Array, labels: Array) -> Values:
    """What clients draw when steps (S, K) or (S, K, M) ask them."""
    steps = steps.reshape(*steps.shape[:2], -1)
    streams = np.random.Generator(np.random.PCG64(i["seed"])).spawn(steps.shape[1])
    images = np.zeros((labels.size, 1))
    clients = [
        split.Client(k, nn.Network([]), images, labels, own, rng)
        for k, rng in enumerate(streams)
        for own in [np.flatnonzero(i["owners"] == k)]
    ]
    epochs = []
    for _ in range(i["epochs"]):
        drawn = [clients[k].draw(counts) for row in steps for k, counts in enumerate(row)]
        epochs.append(np.concatenate(drawn))
        for client in clients:
            client.start_epoch()
    return {"samples": np.array(epochs)}


def pooled() -> Library:
    """The library in its other execution, for the command line."""
    return Library(execution="pooled")


def make_layer(spec: dict[str, Any], arrays: Values, dtype: str) -> Layer:
    """The layer that `spec` describes, with these parameters."""
    rng = np.random.Generator(np.random.PCG64(0))  # its draws are overwritten
    kind = spec["type"]
    layer: Layer
    if kind == "linear":
        rows, columns = arrays["weight"].shape
        layer = nn.Linear(rows, columns, rng, dtype)
    elif kind == "conv2d":
        kernel, _, inputs, outputs = arrays["weight"].shape
        stride, padding = spec["stride"], spec["padding"]
        layer = nn.Conv2d(inputs, outputs, kernel, stride, padding, rng=rng, dtype=dtype)
    elif kind == "group_norm":
        layer = nn.GroupNorm(spec["num_groups"], arrays["weight"].size, spec["eps"], dtype)
    elif kind in ("max_pool2d", "avg_pool2d"):
        pool = {"max_pool2d": nn.MaxPool2d, "avg_pool2d": nn.AvgPool2d}[kind]
        layer = pool(spec["kernel"], spec["stride"])
    else:
        layer = {"relu": nn.ReLU, "flatten": nn.Flatten}[kind]()
    for name, array in layer.parameters.items():
        array[...] = arrays[name]
    return layer


def make_network(layers: list[dict[str, Any]], weights: Values, dtype: str) -> nn.Network:
    """The network of a `split_steps` case; weights are named "{layer}.weight", "{layer}.bias"."""
    made = []
    for index, spec in enumerate(layers):
        own = {name: weights.get(f"{index}.{name}") for name in ("weight", "bias")}
        made.append(make_layer(spec, own, dtype))
    return nn.Network(made)


def _watch(simulation: Simulation) -> Values:
    """A dictionary that fills with what crosses the cut, seen where both executions pass by."""
    seen: Values = {"client_gradients": {}}

    def watch(watched: object, method: str, see: Callable[..., object]) -> None:
        original = getattr(watched, method)

        def call(*arguments: Any) -> Any:
            result = original(*arguments)
            see(result, *arguments)
            return result

        setattr(watched, method, call)

    def at_the_cut(
        result: tuple[float, list[split.CutGradient]], sent: list[split.SmashedBatch]
    ) -> None:
        seen["loss"] = result[0]
        seen["smashed"] = np.concatenate([message.activations for message in sent])
        seen["cut_gradient"] = np.concatenate([message.gradient for message in result[1]])

    watch(simulation.server, "step", at_the_cut)
    watch(simulation.server, "update", lambda _, total: seen.update(summed_gradients=total))
    for client in simulation.clients:
        watch(client, "backward", lambda g, _: seen["client_gradients"].update({g.client: g}))
    return seen


def _step(simulation: Simulation, batch_sizes: Array, seen: Values) -> Values:
    """One step, as the outputs of `split_steps` have it."""
    seen["client_gradients"].clear()
    simulation.step(batch_sizes)
    halves = [half.parameters() for half in simulation.client_networks]
    answers = seen["client_gradients"]
    nothing = {name: np.zeros_like(w) for name, w in halves[0].items()}
    gradients = [answers[k].gradients if k in answers else nothing for k in range(len(halves))]
    server = simulation.server_network.parameters()
    step = {
        **seen,
        "client_gradients": _stacked(gradients),
        "client_weights": _stacked(halves),
        "server_weights": {name: w.copy() for name, w in server.items()},
    }
    hidden = {"client_gradients"} if simulation.execution == "pooled" else set()
    return {name: step[name] for name in STEP if name not in hidden}


def _stacked(by_client: list[dict[str, Array]]) -> dict[str, Array]:
    return {name: np.stack([one[name] for one in by_client]) for name in by_client[0]}
