"""What a run is asked to do; light to import, since the command line shows its defaults."""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from itertools import pairwise
from typing import Any

from pslref import check, data, datafiles

SAMPLERS = ("centralized", "fls", "fpls", "ugs", "lds", "targets", "stratified")

PARTITIONS = ("iid", "mild", "severe", "extended:C:ALPHA", "dirichlet:ALPHA", "shards:S", "owners")
EXAMPLES = {"extended": "extended:2:3.0", "dirichlet": "dirichlet:0.3", "shards": "shards:2"}
LINKS = ("none", "datacentre", "home", "mobile")
DRAWN_TIMES = ("fraction", "slowdown", "jitter", "sample_cost")  # which links take the place of
MOST_LAYERS = 1000
MOST_WIDTH = 100_000
MOST_WEIGHTS = 2**26  # of all hidden layers: of 512 MiB, and there are copies and gradients


def time_unit(links: str) -> str:
    """What the times of a run are in."""
    return "delays of the fastest possible client" if links == "none" else "seconds"


def _field(
    default: object, help: str, checked: Callable[[str, Any], object], of: type = str
) -> Any:
    """A field with its range, the help text of its option, and what that is a number or text of."""
    return field(default=default, metadata={"help": help, "checked": checked, "of": of})


def _whole(default: int, low: int, high: int | None, help: str) -> Any:
    return _field(default, help, partial(check.integer, low=low, high=high), int)


def _real(default: float, low: float, high: float, help: str, *, low_open: bool = False) -> Any:
    return _field(default, help, partial(check.real, low=low, high=high, low_open=low_open), float)


def _choice(default: str, choices: Sequence[str], help: str, said: str = "") -> Any:
    return _field(default, help, partial(check.one_of, allowed=choices, said=said))


def _folder(name: str, value: object) -> str:
    folder = os.path.expanduser(value) if isinstance(value, str) else ""
    if not folder or "\0" in folder or folder.startswith("~"):  # of a user that does not exist
        raise check.wrong(name, value, "must be the name of a folder")
    return folder


def _dataset(name: str, value: object) -> str:
    if datafiles.is_own(value):
        return _folder(name, value)
    allowed = f"{', '.join(data.NAMES)}, or a path that ends in .npz"
    return check.one_of(name, value, data.NAMES, allowed)


def _partition(name: str, value: object) -> str:
    text = value if isinstance(value, str) else ""
    forms = {form.split(":")[0]: form for form in PARTITIONS}
    if (kind := text.split(":")[0]) not in forms:
        return check.one_of(name, value, forms, f"one of {', '.join(PARTITIONS)}")
    form = forms[kind]
    try:
        for letter, number in zip(form.split(":")[1:], text.split(":")[1:], strict=True):
            check.number(number, float if letter == "ALPHA" else int)
    except ValueError:
        example = f", such as {EXAMPLES[kind]}" if kind in EXAMPLES else ""
        raise check.wrong(name, value, f"must be {form}{example}") from None
    return text


def _widths(name: str, value: Any) -> tuple[int, ...]:
    check.kind(name, value, tuple)
    check.integer(f"{name} layers", len(value), 0, MOST_LAYERS)
    widths = tuple(check.integer(name, width, 1, MOST_WIDTH) for width in value)
    if sum(rows * columns for rows, columns in pairwise(widths)) > MOST_WEIGHTS:
        allowed = f"must have at most {MOST_WEIGHTS} weights between these layers"
        raise check.wrong(name, value, allowed)
    return widths


@dataclass(frozen=True)
class Config:
    """One run: a sampler, a seed, and all else that it depends on. Each field is an option."""

    dataset: str = _field(
        "digits",
        "digits (shipped), fashion-mnist, cifar10, or the path of an .npz file of your own with "
        "x_train, y_train, x_test, y_test.",
        _dataset,
    )
    data_dir: str = _field("data", "Folder that holds the data sets' files.", _folder)
    files: str = _choice(
        "published",
        data.FILES,
        "published or any: whether the data sets' files must be what their authors published.",
    )
    partition: str = _field(
        "severe",
        "Who holds which samples: iid (shuffled and dealt out evenly); mild and severe (each "
        "client holds 5 or 2 of the classes, in uneven amounts), in general extended:C:ALPHA; "
        "dirichlet:ALPHA (the class mix of each client differs); shards:S (S pieces of the samples "
        "sorted by class); owners (as the data file says).",
        _partition,
    )
    least: int = _whole(0, 0, check.MOST_SAMPLES, "Least samples of a client, for dirichlet.")
    clients: int = _whole(64, 1, 100_000, "K, the number of clients.")
    batch_size: int = _whole(64, 1, check.MOST_SAMPLES, "B, the global batch size.")
    sampler: str = _choice(
        "ugs",
        SAMPLERS,
        "What forms the batches: centralized; fls and fpls (fixed local batches, "
        "equal or proportional); ugs (uniform global sampling, also called GPSL); lds (latent "
        "Dirichlet sampling); targets and stratified (class targets: the class mix of each batch "
        "drawn as by ugs, or the same in all).",
    )
    model: str = _choice("mlp", ["mlp", "cnn", "resnet"], "mlp, cnn or resnet.")
    hidden: tuple[int, ...] = _field(
        (64,), "Widths of the MLP's hidden layers, separated by commas.", _widths, int
    )
    cut: int = _whole(
        3,
        1,
        None,
        "Layers in the client half; 3 is Flatten, Linear, ReLU or Conv, ReLU, pool; 5 is a "
        "resnet's up to its second stage, as in the paper.",
    )
    learning_rate: float = _real(0.5, 0, math.inf, "Learning rate of SGD.", low_open=True)
    momentum: float = _real(0.0, 0, 1, "Momentum of SGD.")
    weight_decay: float = _real(0.0, 0, 1e9, "Weight decay of SGD.")
    epochs: int = _whole(10, 1, 1_000_000, "Passes over the training data.")
    seed: int = _whole(0, 0, 2**63, "Of all random numbers.")
    remainder: str = _choice(
        "short", ["short", "even"], "short (one short last batch) or even (nearly equal batches)."
    )
    dtype: str = _choice("float64", ["float32", "float64"], "float64 or float32.")
    execution: str = _choice(
        "pooled",
        ["pooled", "clients"],
        "pooled (one client half runs all samples) or clients (each its own; slower); for `train` "
        "also remote (clients on the workers of a Dask cluster).",
        said="pooled, clients or, for `train`, remote",
    )
    fraction: float = _real(0.125, 0, 1, "Probability that a client is a straggler.")
    slowdown: float = _real(10.0, 1, 1e9, "A straggler's delay, in units of another client's.")
    jitter: float = _real(0.2, 0, 1e9, "How far the clients' delays differ besides.")
    sample_cost: float = _real(
        0.0,
        0,
        1e9,
        "What each sample adds to a client's time in a step, in units of the client's delay.",
    )
    links: str = _choice(
        "none",
        LINKS,
        "Clients of one kind, with times in seconds from their processors and links, in place of "
        "fraction, slowdown, jitter and sample-cost: datacentre (GPUs, Ethernet of 10 to 100 "
        "Gbit/s), home (PCs, 12 to 124 Mbit/s up) or mobile (phones and boards, 6 to 21 Mbit/s "
        "up); the ranges and their sources are in docs/method.md 5.2. Or none.",
    )
    delta: float = _real(1.0, 0, 1e9, "How strongly LDS reacts to delays, 0 or more.")
    concentration: float = _real(
        1.0,
        0,
        math.inf,
        "c: how much LDS heeds delays and shares against the class mix.",
        low_open=True,
    )
    slack: float = _real(
        0.0,
        0,
        2,
        "How far class targets may leave the pooled mix, 0 to 2; above 0 they are planned.",
    )
    assign: str = _choice(
        "auto",
        ["auto", "slowest-first", "planned", "random"],
        "Who brings the samples of class targets: slowest-first, planned (the epoch as a whole; "
        "alone heeds sample costs and slack) or random. auto: planned if there are any, else "
        "slowest-first.",
    )
    faults: float = _real(
        0.0,
        0,
        1,
        "Share of the clients to lose: of those with samples so many, never all, go for good, "
        "each at a uniformly drawn step of the run; the rest is replanned.",
    )

    def __post_init__(self) -> None:
        for each in fields(self):
            value = each.metadata["checked"](each.name, getattr(self, each.name))
            object.__setattr__(self, each.name, value)  # 1 as 1.0: equal configs are written alike
