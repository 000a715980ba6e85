"""Known mistakes in single operations: in layers, the loss, the optimizer, samplers and laws."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from pslref import sampling
from pslref.oracle import altered
from pslref.oracle.library import OPS, Library
from pslref.oracle.operation import Values
from pslref.oracle.training import CLIENT, SGD, Array, Decisions, cross_entropy

Predict = Callable[[str, Values], Values]  # of an operation, from its inputs
right = Library().run


def _outputs(change: Callable[[Values, Any], Any], *of: str) -> Predict:
    """The operation with some of its outputs changed, or all."""

    def predict(op: str, i: Values) -> Values:
        return {k: change(i, v) if k in of or not of else v for k, v in right(op, i).items()}

    return predict


def _loss(op: str, i: Values, **decisions: Any) -> Values:
    labels = i["labels"]
    scale = np.full(labels.size, 1 / labels.size)
    loss, gradient = cross_entropy(i["logits"], labels, scale, Decisions(**decisions))
    return {"loss": loss, "dlogits": gradient}


def _sgd(op: str, i: Values, **decisions: Any) -> Values:
    sgd = SGD(i, CLIENT, Decisions(**decisions))
    weights, after = {"w": i["weight"].copy()}, []
    for gradient in i["gradients"]:
        sgd.update(weights, {"w": gradient})
        after.append(weights["w"].copy())
    return {"weights": np.array(after)}


def _flipped(op: str, i: Values) -> Values:
    out = right(op, {**i, "weight": i["weight"][::-1, ::-1]})
    return {**out, "dweight": out["dweight"][::-1, ::-1]}


def _padding_at_the_end(op: str, i: Values) -> Values:
    p, (_, h, w, _) = i["padding"], i["x"].shape
    padded = np.pad(i["x"], ((0, 0), (0, 2 * p), (0, 2 * p), (0, 0)))
    out = right(op, {**i, "x": padded, "padding": 0})
    return {**out, "dx": out["dx"][:, :h, :w]}


def _unbiased(op: str, i: Values) -> Values:
    """(x - mean) / √(var n / (n - 1) + eps) is s z with eps s² for eps, where s² = (n - 1) / n."""
    n = i["x"][0].size // i["num_groups"]
    s = np.sqrt((n - 1) / n) if n > 1 else 1.0
    out = right(op, {**i, "weight": s * i["weight"], "eps": s**2 * i["eps"]})
    return {**out, "dweight": s * out["dweight"]}


def _over_the_batch(op: str, i: Values) -> Values:
    """A batch is one sample with all rows of pixels."""
    n, height, width, channels = i["x"].shape
    one = {name: i[name].reshape(1, n * height, width, channels) for name in ("x", "dy")}
    out = right(op, i | one)
    return out | {name: out[name].reshape(i["x"].shape) for name in ("y", "dx")}


def _norm(op: str, i: Values, kind: type) -> Values:
    return OPS[op].reference(**i, kind=kind)


def _fixed(op: str, i: Values, rounded: Callable[[Array], Array]) -> Values:
    """FLS or FPLS with another rounding of the exact local batch."""
    n, b = i["sizes"], i["batch_size"]
    exact = np.full(n.size, b / n.size) if op == "fls" else b * n / n.sum()
    local = np.where(n > 0, np.maximum(1, rounded(exact).astype(np.int64)), 0)
    rows, left = [], n.copy()
    while left.any():
        rows.append(np.minimum(local, left))
        left = left - rows[-1]
    return {"batch_sizes": np.array(rows)}


def _holders_only(op: str, i: Values) -> Values:
    held = np.flatnonzero(i["sizes"])
    rows = right(op, {**i, "sizes": i["sizes"][held]})["batch_sizes"]
    out = np.zeros((len(rows), i["sizes"].size), np.int64)
    out[:, held] = rows
    return {"batch_sizes": out}


def _smaller_first(op: str, i: Values) -> Values:
    """The clients of all samples in the order of the draws, cut into batches from the last on."""
    clients = np.repeat(np.arange(i["sizes"].size), i["sizes"])
    if "permutation" in i:
        drawn = clients[i["permutation"]]
    else:
        seen = np.cumsum(i["draws"][:, np.newaxis] == np.arange(i["sizes"].size), axis=0)
        drawn = i["draws"][seen[np.arange(i["draws"].size), i["draws"]] <= i["sizes"][i["draws"]]]
    sizes = sampling.global_batch_sizes(clients.size, i["batch_size"], i["remainder"])[::-1]
    batches = np.split(drawn[: clients.size], np.cumsum(sizes)[:-1])
    return {"batch_sizes": np.array([np.bincount(b, minlength=i["sizes"].size) for b in batches])}


def _without_minus_one(i: Values, alpha: Array) -> Any:
    n, s = i["sizes"].sum(), i["pseudo_samples"]
    z = s * (n - 1) / (n - s)
    return alpha * z / (z - 1)


def _with_replacement(i: Values, variance: Array) -> Any:
    n = i["class_counts"]
    beta = n / np.maximum(n.sum(axis=1, keepdims=True), 1)
    return i["batch_sizes"] @ (beta * (1 - beta))


def _times(op: str, i: Values, of_step: Callable[[Array, Array], Array]) -> Values:
    times = i["delays"] + i["batch_sizes"] * i["sample_costs"]
    return {"times": of_step(times, i["batch_sizes"] > 0) + i["server_time"]}


def _rooms(op: str, i: Values, rounded: Callable[[Array], Array]) -> Values:
    """Room by another rounding of the samples that fit in."""
    left, cost = i["deadlines"] - i["delays"][:, np.newaxis], i["sample_costs"][:, np.newaxis]
    fit = np.where(cost > 0, rounded(left / np.where(cost > 0, cost, 1)), i["batch_size"])
    return {"rooms": np.where(left >= 0, fit.clip(0, i["batch_size"]), 0).astype(np.int64)}


OTHER = {"short": "even", "even": "short"}
LAYERS = "linear conv2d avg_pool2d group_norm batch_norm2d cross_entropy sgd"
# In which operations; in words; what comes out.
PARTS: list[tuple[str, str, Predict]] = [
    ("linear conv2d", "gradients of parameters are averaged over the batch: sum them",
     _outputs(lambda i, v: v / len(i["x"]), "dweight", "dbias")),
    (LAYERS, "numbers are rounded to half precision",
     _outputs(lambda i, v: np.asarray(v).astype(np.float16))),
    ("conv2d", "the kernel is flipped", _flipped),
    ("conv2d", "all of the padding is at the far edges", _padding_at_the_end),
    ("group_norm", "eps is 1e-5, whatever was asked for",
     lambda op, i: right(op, i | {"eps": 1e-5})),
    ("group_norm", "there is one group, whatever was asked for",
     lambda op, i: right(op, i | {"num_groups": 1})),
    ("group_norm", "the variance is the sum of squares over n - 1, not over n", _unbiased),
    ("group_norm", "mean and variance are those of the batch, not of each sample", _over_the_batch),
    ("batch_norm2d", "the running variance takes the batch's over n, not over n - 1",
     partial(_norm, kind=altered.BiasedRunning)),
    ("batch_norm2d", "training takes the running statistics in place of the batch's",
     partial(_norm, kind=altered.AlwaysEvaluating)),
    ("cross_entropy", "the loss is summed over the batch, not averaged",
     _outputs(lambda i, v: v * len(i["labels"]))),
    ("cross_entropy", "the gradient lacks the 1/N of the mean",
     _outputs(lambda i, v: v * len(i["labels"]), "dlogits")),
    ("cross_entropy", "the loss is in bits, not in nats",
     _outputs(lambda i, v: v / np.log(2), "loss")),
    ("cross_entropy", "a softmax comes before a loss that applies softmax itself",
     partial(_loss, softmax_first=True)),
    ("cross_entropy", "the labels are smoothed by 0.1", partial(_loss, smoothing=0.1)),
    ("sgd", "momentum never acts", lambda op, i: right(op, i | {"momentum": 0.0})),
    ("sgd", "weight decay is lost", lambda op, i: right(op, i | {"weight_decay": 0.0})),
    ("sgd", "the momentum is Nesterov's", partial(_sgd, sgd="nesterov")),
    ("sgd", "the momentum dampens the gradient by 1 - momentum", partial(_sgd, sgd="dampened")),
    ("sgd", "weight decay is applied beside the velocity, not through it",
     partial(_sgd, sgd="decoupled")),
    ("fls", "K counts only the clients that have samples", _holders_only),
    ("fls fpls", "local batches are rounded with halves up: exact halves go to the even neighbour",
     partial(_fixed, rounded=lambda b: np.floor(b + 0.5))),
    ("fls fpls", "local batches are rounded down", partial(_fixed, rounded=np.floor)),
    ("fls fpls", "local batches are rounded up", partial(_fixed, rounded=np.ceil)),
    ("fls fpls ugs_replay lds_replay", "smaller last batches are dropped, and their samples lost",
     _outputs(lambda i, rows: rows[rows.sum(axis=1) == rows[0].sum()])),
    ("ugs_replay lds_replay", "the smaller batches come first", _smaller_first),
    ("ugs_replay lds_replay",
     "the remainder is treated the other way: short for even, even for short",
     lambda op, i: right(op, i | {"remainder": OTHER[i["remainder"]]})),
    ("lds_prior", "delays count with the wrong sign: slow clients get less weight",
     lambda op, i: right(op, i | {"delays": i["delays"].max() - i["delays"]})),
    ("lds_prior", "delays are divided by the sample standard deviation (K - 1)",
     lambda op, i: right(op, i | {"delta": i["delta"] * np.sqrt(1 - 1 / i["delays"].size)})),
    ("lds_prior", "delays are ignored", lambda op, i: right(op, i | {"delta": 0.0})),
    ("lds_prior", "the concentration is ignored",
     lambda op, i: right(op, i | {"concentration": 1.0})),
    ("lds_prior", "Z lacks its - 1", _outputs(_without_minus_one)),
    ("lds_em", "the prior is dropped: maximum likelihood",
     lambda op, i: right(op, i | {"alpha": 0 * i["alpha"]})),
    ("lds_em", "the update adds α - 1: the mode under Dirichlet(α), which can lose a client",
     lambda op, i: right(op, i | {"alpha": i["alpha"] - 1})),
    ("rooms", "room is rounded up: the last sample comes late", partial(_rooms, rounded=np.ceil)),
    ("rooms", "there is room for one sample more",
     partial(_rooms, rounded=lambda fit: np.floor(fit) + 1)),
    ("rooms", "there is room for one sample less",
     partial(_rooms, rounded=lambda fit: np.floor(fit) - 1)),
    ("rooms", "what is done at the deadline counts as late",
     partial(_rooms, rounded=lambda fit: np.ceil(fit) - 1)),
    ("rooms", "samples take no time",
     lambda op, i: right(op, i | {"sample_costs": 0 * i["sample_costs"]})),
    ("rooms", "delays do not count", lambda op, i: right(op, i | {"delays": 0 * i["delays"]})),
    ("batch_deviation", "it is half the L1 distance: the total variation",
     _outputs(lambda i, v: v / 2)),
    ("batch_law", "the variance is that of draws with replacement",
     _outputs(_with_replacement, "variance")),
    ("step_times", "the time counts clients that sit the step out",
     partial(_times, of_step=lambda times, present: times.max(axis=1))),
    ("step_times", "the time is the mean of the participants', not the longest",
     partial(_times, of_step=lambda times, present: times.mean(axis=1, where=present))),
]  # fmt: skip
