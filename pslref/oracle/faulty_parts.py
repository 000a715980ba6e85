"""Known mistakes in single operations: in layers, the loss, the optimizer, samplers and laws."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pslref.oracle.backends import Values
from pslref.oracle.faulty_updates import VariantSGD
from pslref.oracle.library import Library

Array = NDArray[Any]
right = Library().run


def _sgd(variant: str) -> Callable[[Values], Values]:
    def run(i: Values) -> Values:
        sgd, w, after = VariantSGD(i, variant), {"w": i["weight"].copy()}, []
        for gradient in i["gradients"]:
            sgd.update(w, {"w": gradient})
            after.append(w["w"].copy())
        return {"weights": np.array(after)}

    return run


def _changed(op: str, **values: Any) -> Callable[[Values], Values]:
    """The operation with other settings."""
    return lambda i: right(op, {**i, **{k: v(i) if callable(v) else v for k, v in values.items()}})


def _scaled(
    op: str, of: tuple[str, ...], factor: Callable[[Values], float]
) -> Callable[[Values], Values]:
    """The operation with some outputs off by a factor."""

    def run(i: Values) -> Values:
        return {k: v * factor(i) if k in of else v for k, v in right(op, i).items()}

    return run


def _flipped(i: Values) -> Values:
    out = right("conv2d", {**i, "weight": i["weight"][::-1, ::-1]})
    return {**out, "dweight": out["dweight"][::-1, ::-1]}


def _padding_at_the_end(i: Values) -> Values:
    p, (_, h, w, _) = i["padding"], i["x"].shape
    padded = np.pad(i["x"], ((0, 0), (0, 2 * p), (0, 2 * p), (0, 0)))
    out = right("conv2d", {**i, "x": padded, "padding": 0})
    return {**out, "dx": out["dx"][:, :h, :w]}


def _unbiased(i: Values) -> Values:
    """(x - mean) / √(var n / (n - 1) + eps) is s z with eps s² for eps, where s² = (n - 1) / n."""
    n = i["x"][0].size // i["num_groups"]
    s = np.sqrt((n - 1) / n) if n > 1 else 1.0
    out = right("group_norm", {**i, "weight": s * i["weight"], "eps": s**2 * i["eps"]})
    return {**out, "dweight": s * out["dweight"]}


def _softmax_twice(i: Values) -> Values:
    p = np.exp(i["logits"] - i["logits"].max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    out = right("cross_entropy", {**i, "logits": p})
    dp = out["dlogits"]
    return {"loss": out["loss"], "dlogits": p * (dp - (p * dp).sum(axis=1, keepdims=True))}


def _fixed(
    op: str, rounded: Callable[[Array], Array], least: int = 1
) -> Callable[[Values], Values]:
    """FLS or FPLS with another rounding of the exact local batch."""

    def run(i: Values) -> Values:
        n, b = i["sizes"], i["batch_size"]
        exact = b / n.size * np.ones(n.size) if op == "fls" else b * n / n.sum()
        local = np.where(n > 0, np.maximum(least, rounded(exact).astype(np.int64)), 0)
        if (local[n > 0] == 0).any():
            raise ValueError("a client never gets a turn")
        rows, left = [], n.copy()
        while left.any():
            rows.append(np.minimum(local, left))
            left = left - rows[-1]
        return {"batch_sizes": np.array(rows)}

    return run


def _holders_only(op: str) -> Callable[[Values], Values]:
    def run(i: Values) -> Values:
        held = np.flatnonzero(i["sizes"])
        rows = right(op, {**i, "sizes": i["sizes"][held]})["batch_sizes"]
        out = np.zeros((len(rows), i["sizes"].size), np.int64)
        out[:, held] = rows
        return {"batch_sizes": out}

    return run


def _last_dropped(op: str) -> Callable[[Values], Values]:
    """Without the steps that are smaller than the first."""

    def run(i: Values) -> Values:
        rows = right(op, i)["batch_sizes"]
        total = rows.sum(axis=1)
        return {"batch_sizes": rows[total == total[0]]}

    return run


def _em(alpha: Callable[[Array], Array]) -> Callable[[Values], Values]:
    def run(i: Values) -> Values:
        beta = i["class_counts"] / i["class_counts"].sum(axis=1, keepdims=True)
        held = beta.any(axis=0)
        pi = i["start"]
        for _ in range(i["iterations"]):
            mixture = pi @ beta[:, held]
            pi = pi * (beta[:, held] @ (i["label_counts"][held] / mixture)) + alpha(i["alpha"])
            pi = np.maximum(pi, 0) / np.maximum(pi, 0).sum()
        return {"mixing_weights": pi}

    return run


def _sample_std(i: Values) -> Values:
    k = i["delays"].size
    return right("lds_prior", {**i, "delta": i["delta"] * np.sqrt((k - 1) / k)})


def _other(i: Values) -> str:
    return "even" if i["remainder"] == "short" else "short"


def _everybody(i: Values) -> Values:
    times = i["delays"] + i["batch_sizes"] * i["sample_costs"]
    return {"times": times.max(axis=1) + i["server_time"]}


def _mean_time(i: Values) -> Values:
    times = i["delays"] + i["batch_sizes"] * i["sample_costs"]
    present = i["batch_sizes"] > 0
    return {"times": (times * present).sum(axis=1) / present.sum(axis=1) + i["server_time"]}


def _rows(i: Values) -> float:
    return 1 / len(i["x"])


def _with_replacement(i: Values) -> Values:
    out = right("batch_law", i)
    n, b = i["class_counts"], i["batch_sizes"]
    beta = n / np.maximum(n.sum(axis=1, keepdims=True), 1)
    return {**out, "variance": b @ (beta * (1 - beta))}


Part = tuple[str, str, Callable[[Values], Values]]
WEIGHTS = ("dweight", "dbias")
ROUNDINGS: dict[str, Callable[[Array], Array]] = {
    "rounded with halves up: exact halves go to the even neighbour": lambda b: np.floor(b + 0.5),
    "rounded down": np.floor,
    "rounded up": np.ceil,
}
FAULTY_PARTS: list[Part] = [
    (
        "linear",
        "gradients of parameters are averaged over the batch: sum them",
        _scaled("linear", WEIGHTS, _rows),
    ),
    (
        "conv2d",
        "gradients of parameters are averaged over the batch: sum them",
        _scaled("conv2d", WEIGHTS, _rows),
    ),
    ("conv2d", "the kernel is flipped", _flipped),
    ("conv2d", "all of the padding is at the far edges", _padding_at_the_end),
    ("group_norm", "eps is 1e-5, whatever was asked for", _changed("group_norm", eps=1e-5)),
    ("group_norm", "the variance is the sum of squares over n - 1, not over n", _unbiased),
    (
        "group_norm",
        "there is one group, whatever was asked for",
        _changed("group_norm", num_groups=1),
    ),
    (
        "cross_entropy",
        "the loss is summed over the batch, not averaged",
        _scaled("cross_entropy", ("loss", "dlogits"), lambda i: len(i["labels"])),
    ),
    (
        "cross_entropy",
        "the gradient lacks the 1/N of the mean",
        _scaled("cross_entropy", ("dlogits",), lambda i: len(i["labels"])),
    ),
    (
        "cross_entropy",
        "the loss is in bits, not in nats",
        _scaled("cross_entropy", ("loss",), lambda _: 1 / np.log(2)),
    ),
    ("cross_entropy", "a softmax comes before a loss that applies softmax itself", _softmax_twice),
    ("sgd", "the momentum is Nesterov's", _sgd("nesterov")),
    ("sgd", "the momentum dampens the gradient by 1 - momentum", _sgd("dampened")),
    ("sgd", "weight decay is applied beside the velocity, not through it", _sgd("decoupled")),
    ("sgd", "momentum never acts", _changed("sgd", momentum=0.0)),
    ("sgd", "weight decay is lost", _changed("sgd", weight_decay=0.0)),
    ("fls", "K counts only the clients that have samples", _holders_only("fls")),
    *[
        (op, f"local batches are {how}", _fixed(op, rounded))
        for op in ("fls", "fpls")
        for how, rounded in ROUNDINGS.items()
    ],
    *[
        (op, "smaller last batches are dropped, and their samples lost", _last_dropped(op))
        for op in ("fls", "fpls", "ugs_replay", "lds_replay")
    ],
    *[
        (
            op,
            "the remainder is treated the other way: short for even, even for short",
            _changed(op, remainder=_other),
        )
        for op in ("ugs_replay", "lds_replay")
    ],
    (
        "lds_prior",
        "delays count with the wrong sign: slow clients get less weight",
        _changed("lds_prior", delays=lambda i: i["delays"].max() - i["delays"]),
    ),
    ("lds_prior", "delays are divided by the sample standard deviation (K - 1)", _sample_std),
    ("lds_prior", "delays are ignored", _changed("lds_prior", delta=0.0)),
    ("lds_prior", "the concentration is ignored", _changed("lds_prior", concentration=1.0)),
    ("lds_em", "the prior is dropped: maximum likelihood", _em(lambda alpha: 0 * alpha)),
    (
        "lds_em",
        "the update adds α - 1: the mode under Dirichlet(α), which can lose a client",
        _em(lambda alpha: alpha - 1),
    ),
    (
        "batch_deviation",
        "it is half the L1 distance: the total variation",
        _scaled("batch_deviation", ("deviation",), lambda _: 0.5),
    ),
    ("batch_law", "the variance is that of draws with replacement", _with_replacement),
    ("step_times", "the time counts clients that sit the step out", _everybody),
    ("step_times", "the time is the mean of the participants', not the longest", _mean_time),
]
