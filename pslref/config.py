"""What a run is asked to do; light to import, since the command line shows its defaults."""

from dataclasses import dataclass

from pslref import check

SAMPLERS = ("centralized", "fls", "fpls", "ugs", "lds", "targets", "stratified")

MOST_CLIENTS = 100_000
MOST_WIDTH = 100_000
RANGES = [  # of real numbers, both ends allowed
    ("momentum", 0, 1),
    ("weight_decay", 0, 1e9),
    ("fraction", 0, 1),
    ("slowdown", 1, 1e9),
    ("jitter", 0, 1e9),
    ("delta", 0, 1e9),
    ("slack", 0, 2),
]


@dataclass(frozen=True)
class Config:
    """One comparison: every sampler with every seed, all else equal.

    Attributes:
        dataset: a name that `data.load` knows.
        data_dir: where its files are.
        partition: "iid", "mild" or "severe".
        clients: K.
        batch_size: B.
        sampler: the rows to run, of `SAMPLERS`.
        model: "mlp" or "cnn".
        hidden: widths of the MLP's hidden layers.
        cut: layers in the client half.
        learning_rate: of SGD, with momentum and weight_decay.
        epochs: passes over the training data.
        seeds: number of seeds: seed, seed + 1, ...
        remainder: what to do with N mod B: "short" or "even".
        dtype: "float64" or "float32".
        fraction: the probability that a client is a straggler.
        slowdown: a straggler's delay, in units of another client's.
        jitter: how far the delays differ besides.
        delta: how strongly LDS reacts to delays.
        concentration: c of the prior of LDS.
        slack: how far the class targets may leave the pooled mix, in units of Δ.
    """

    dataset: str = "digits"
    data_dir: str = "data"
    partition: str = "severe"
    clients: int = 64
    batch_size: int = 64
    sampler: tuple[str, ...] = SAMPLERS
    model: str = "mlp"
    hidden: tuple[int, ...] = (64,)
    cut: int = 3
    learning_rate: float = 0.5
    momentum: float = 0.0
    weight_decay: float = 0.0
    epochs: int = 10
    seeds: int = 5
    seed: int = 0
    remainder: str = "short"
    dtype: str = "float64"
    fraction: float = 0.125
    slowdown: float = 10.0
    jitter: float = 0.2
    delta: float = 1.0
    concentration: float = 1.0
    slack: float = 0.0

    def __post_init__(self) -> None:
        for name in self.sampler:
            check.one_of("sampler", name, SAMPLERS)
        if len(set(self.sampler)) < len(self.sampler):
            raise check.wrong("sampler", self.sampler, "must name each sampler once")
        check.integer("clients", self.clients, 1, MOST_CLIENTS)
        for name, low in [("batch_size", 1), ("cut", 1), ("epochs", 1), ("seeds", 1), ("seed", 0)]:
            check.integer(name, getattr(self, name), low)
        for width in self.hidden:
            check.integer("hidden", width, 1, MOST_WIDTH)
        for name, low, high in RANGES:
            check.real(name, getattr(self, name), low, high)
        for name in ("learning_rate", "concentration"):
            check.real(name, getattr(self, name), 0, low_open=True)
        check.one_of("partition", self.partition, ["iid", "mild", "severe"])
        check.one_of("remainder", self.remainder, ["short", "even"])
        check.one_of("model", self.model, ["mlp", "cnn"])
        check.one_of("dtype", self.dtype, ["float32", "float64"])
