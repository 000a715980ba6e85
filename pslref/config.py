"""What a run is asked to do; light to import, since the command line shows its defaults."""

import os
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from pslref import check, data

SAMPLERS = ("centralized", "fls", "fpls", "ugs", "lds", "targets", "stratified")

MOST_LAYERS = 1000
MOST_WIDTH = 100_000
MOST_WEIGHTS = 2**26  # of all hidden layers: of 512 MiB, and there are copies and gradients
WHOLE = [  # ranges of whole numbers
    ("clients", 1, 100_000),
    ("batch_size", 1, check.MOST_SAMPLES),
    ("cut", 1, None),
    ("epochs", 1, 1_000_000),
    ("seeds", 1, 10_000),
    ("seed", 0, 2**63),
]
CHOICES = [
    ("dataset", data.NAMES),
    ("files", data.FILES),
    ("partition", ["iid", "mild", "severe"]),
    ("model", ["mlp", "cnn"]),
    ("remainder", ["short", "even"]),
    ("dtype", ["float32", "float64"]),
    ("execution", ["pooled", "clients"]),
    ("assign", ["slowest-first", "balanced", "random"]),
]
RANGES = [  # of real numbers, both ends allowed
    ("momentum", 0, 1),
    ("weight_decay", 0, 1e9),
    ("fraction", 0, 1),
    ("slowdown", 1, 1e9),
    ("jitter", 0, 1e9),
    ("sample_cost", 0, 1e9),
    ("delta", 0, 1e9),
    ("slack", 0, 2),
]


def _option(default: object, help: str) -> Any:
    """A field with the help text of its command line option."""
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class Config:
    """One comparison: every sampler with every seed, all else equal. Each field is an option."""

    dataset: str = _option("digits", "digits (shipped), fashion-mnist or cifar10.")
    data_dir: str = _option("data", "Folder that holds the data sets' files.")
    files: str = _option(
        "published",
        "published or any: whether the data sets' files must be what their authors published.",
    )
    partition: str = _option(
        "severe",
        "Who holds which samples: iid (shuffled and dealt out evenly); mild and severe (each "
        "client holds 5 or 2 of the classes, in uneven amounts).",
    )
    clients: int = _option(64, "K, the number of clients.")
    batch_size: int = _option(64, "B, the global batch size.")
    sampler: tuple[str, ...] = _option(
        SAMPLERS,
        "What forms the batches, with commas: centralized; fls and fpls (fixed local batches, "
        "equal or proportional); ugs (uniform global sampling, also called GPSL); lds (latent "
        "Dirichlet sampling); targets and stratified (class targets: the class mix of each batch "
        "drawn as by ugs, or the same in all).",
    )
    model: str = _option("mlp", "mlp or cnn.")
    hidden: tuple[int, ...] = _option(
        (64,), "Widths of the MLP's hidden layers, separated by commas."
    )
    cut: int = _option(
        3, "Layers in the client half; 3 is Flatten, Linear, ReLU or Conv, ReLU, pool."
    )
    learning_rate: float = _option(0.5, "Learning rate of SGD.")
    momentum: float = _option(0.0, "Momentum of SGD.")
    weight_decay: float = _option(0.0, "Weight decay of SGD.")
    epochs: int = _option(10, "Passes over the training data.")
    seeds: int = _option(5, "Number of seeds: SEED, SEED + 1, ...")
    seed: int = _option(0, "First seed.")
    remainder: str = _option(
        "short", "short (one short last batch) or even (nearly equal batches)."
    )
    dtype: str = _option("float64", "float64 or float32.")
    execution: str = _option(
        "pooled", "pooled (one client half runs all samples) or clients (each its own; slower)."
    )
    fraction: float = _option(0.125, "Probability that a client is a straggler.")
    slowdown: float = _option(10.0, "A straggler's delay, in units of another client's.")
    jitter: float = _option(0.2, "How far the clients' delays differ besides.")
    sample_cost: float = _option(
        0.0, "What each sample adds to a client's time in a step, in units of the client's delay."
    )
    delta: float = _option(1.0, "How strongly LDS reacts to delays, 0 or more.")
    concentration: float = _option(
        1.0, "c: how much LDS heeds delays and shares against the class mix."
    )
    slack: float = _option(
        0.0, "How far class targets may leave the pooled mix, 0 to 2; for slowest-first."
    )
    assign: str = _option(
        "slowest-first",
        "Who brings the samples of class targets: slowest-first, balanced (heeds sample costs) or "
        "random.",
    )

    def __post_init__(self) -> None:
        for name, choices in CHOICES:
            check.one_of(name, getattr(self, name), choices)
        folder = self.data_dir
        if not isinstance(folder, str) or not folder or "\0" in folder:
            raise check.wrong("data_dir", folder, "must be the name of a folder")
        self._keep("data_dir", os.path.expanduser(folder))
        for name in ("sampler", "hidden"):
            check.kind(name, getattr(self, name), tuple)
        for name in self.sampler:
            check.one_of("sampler", name, SAMPLERS)
        if not 0 < len(self.sampler) == len(set(self.sampler)):
            raise check.wrong("sampler", self.sampler, "must name at least one, and each once")
        for name, low, high in WHOLE:
            self._keep(name, check.integer(name, getattr(self, name), low, high))
        check.integer("hidden layers", len(self.hidden), 0, MOST_LAYERS)
        hidden = [check.integer("hidden", width, 1, MOST_WIDTH) for width in self.hidden]
        self._keep("hidden", tuple(hidden))
        if sum(rows * columns for rows, columns in pairwise(hidden)) > MOST_WEIGHTS:
            allowed = f"must have at most {MOST_WEIGHTS} weights between these layers"
            raise check.wrong("hidden", self.hidden, allowed)
        for name, least, most in RANGES:
            self._keep(name, check.real(name, getattr(self, name), least, most))
        for name in ("learning_rate", "concentration"):
            self._keep(name, check.real(name, getattr(self, name), 0, low_open=True))
        if self.slack > 0 and self.assign != "slowest-first":
            raise check.wrong("slack", self.slack, "must be 0 unless assign = 'slowest-first'")

    def _keep(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)  # 1 as 1.0, so that equal configs are written alike
