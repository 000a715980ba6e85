"""Whatever is passed to the library, a mistake is a ValueError with one sentence.

It names the argument, shows the value, and says what it must be. The table has a call that works
for every public function, and for each of its arguments the values that it must refuse.
"""

import inspect
import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pslref import data, nn, partition, sampling, split, theory
from pslref.app.config import Config
from pslref.app.grids import configs
from pslref.data import Dataset
from pslref.oracle import judge
from pslref.partition import Partition
from pslref.sampling import Schedule
from pslref.split import Outage, Simulation

HUGE = 10**5000  # Python does not write it out
NOTHING = [None, "", "x", b"1", (), {}, object(), np.datetime64(3, "s"), 1j]
NUMBERS = [*NOTHING, "1", [1], np.array([1]), True, np.True_, np.nan, np.inf, -np.inf, -1, -HUGE]
NATURAL = [*NUMBERS, 1.5, Fraction(3, 2)]
COUNT = [*NATURAL, 0]
LARGE = [*COUNT, 10**12, HUGE]  # of what there is room for
REAL = [*NUMBERS, HUGE]
POSITIVE = [*REAL, 0, 0.0]
SHARE = [*REAL, 1.5]
RNG = [*NOTHING, 0, np.random, np.random.RandomState(0)]
NAME = [*NOTHING, 3, np.nan, ("short",), "x" * 10_000]
WHOLE_NUMBERS = [
    None, "x", {}, object(), 1j, 3, np.array(3), [1.5], [np.nan, 1], [None], ["1", "2"],
    [True, False], [-1, 2], [2**64], [10**30], [[1, 2]], [[1], [1, 2]], [[[]]],
    [True, 2], [1, np.True_], np.ma.array([1, 1], mask=[0, 1]), [1, np.ma.array(1, mask=True)],
]  # fmt: skip
SIZES = [*WHOLE_NUMBERS, [], [0, 0], [10**12, 1], [2**62] * 3]
CLASS_COUNTS = [
    None, "x", {}, object(), 3, [1, 2], [[1.5, 1]], [[np.nan, 1]], [[-1, 2], [1, 2]], [[1], [1, 2]],
    [], [[]], [[0, 0], [0, 0]], [[10**12]], [[2**62] * 4] * 4, [[2, True], [2, 2]],
    np.ma.array([[2, 2], [2, 2]], mask=[[0, 0], [0, 1]]), [np.ma.array([2, 2], mask=True), [2, 2]],
]  # fmt: skip
DELAYS = [
    "x", {}, object(), 1j, [1], [1, 2, 3], [[1, 2]], [np.nan, 1], [np.inf, 1], [-1, 1],
    ["1", "2"], [True, False], [True, 1.5], np.ma.array([1.0, 1.0], mask=[0, 1]),
]  # fmt: skip
DTYPE = ["x", 3, np.int8, object, "float16", {}, "f4,f4", "(1,2", [], np.array([1, 2])]
IMAGES = [
    None, "x", object(), 3, [], [[1, 2]], [[1], [1, 2]], np.array([["a"]]), np.zeros((3, 3)),
    np.zeros((4, 2, 2, 1), complex), np.zeros((1, 0, 0, 1)),
    np.ma.array(np.ones((4, 2, 2, 1)), mask=True),
]  # fmt: skip
SCHEDULE = [None, 3, "x", [[1, 1]], np.ones((2, 2)), Partition([[0]], [0])]

LABELS = [0, 1, 0, 1]
X = np.ones((4, 2, 2, 1))
TWO = Partition([[0, 1], [2, 3]], LABELS)
EVEN = Schedule([[1, 1], [1, 1]])


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def mlp() -> nn.Network:
    return nn.mlp([4, 3, 2], rng())


def simulation(kind: type[Simulation] = Simulation, **changed: Any) -> Simulation:
    given = {"net": mlp(), "cut": 2, "x": X, "y": LABELS, "partition": TWO, "learning_rate": 0.1}
    return kind(**given | {"rng": rng()} | changed)


class Row(NamedTuple):
    call: Callable[..., Any]
    good: dict[str, Any]
    bad: dict[str, list[Any]]
    name: str = ""  # of the callable, if it is a lambda


def is_something(values: list[Any]) -> list[Any]:
    """Without None, which means the default."""
    return [value for value in values if value is not None]


def rows() -> Iterator[Row]:
    sized = {"sizes": SIZES, "batch_size": LARGE}
    two = {"sizes": [2, 2], "batch_size": 2}
    drawn = {"rng": rng(), "remainder": "short"}, {"rng": RNG, "remainder": NAME}
    for call in (sampling.fls, sampling.fpls, sampling.fls_steps, sampling.fpls_steps):
        steps = call.__name__.endswith("_steps")
        called = (lambda call=call, **k: list(call(**k))) if steps else call
        yield Row(called, two, sized, call.__name__)
    for call in (sampling.ugs, sampling.ugs_steps):
        yield Row(call, two | drawn[0], sized | drawn[1])
    yield Row(
        sampling.until_empty,
        {"sizes": [2, 2], "local": [1, 1]},
        {"sizes": SIZES, "local": [*WHOLE_NUMBERS, [1], [0, 1]]},
    )
    yield Row(
        sampling.global_batch_sizes,
        {"num_samples": 4, "batch_size": 2, "remainder": "short"},
        {"num_samples": LARGE, "batch_size": LARGE, "remainder": NAME},
    )
    yield Row(sampling.slowest_first, two | {"delays": [1, 2]}, sized | {"delays": [None, *DELAYS]})
    counted = {"class_counts": [[2, 2], [1, 3]], "batch_size": 2} | drawn[0] | {"delays": [1, 2]}
    refused = {"class_counts": CLASS_COUNTS, "batch_size": LARGE, "delays": DELAYS} | drawn[1]
    options = {
        "delta": REAL, "concentration": POSITIVE, "pseudo_samples": is_something([*LARGE, 1]),
        "labels": NAME, "tol": POSITIVE, "max_iter": COUNT,
    }  # fmt: skip
    for call in (sampling.lds, sampling.lds_steps):
        more = {"reestimate": [*NOTHING, 1, np.nan]}
        yield Row(call, counted | {"delta": 1}, refused | options | more)
    sampled = {"class_counts": [[2, 2], [1, 3]], "labels": "sampled", "rng": rng()}
    yield Row(
        sampling.mixing_weights, sampled, options | {"class_counts": CLASS_COUNTS, "rng": RNG}
    )
    more = {"draw": NAME, "assign": NAME, "slack": [*REAL, 3]}
    yield Row(sampling.targets, counted, refused | more)
    yield Row(
        sampling.targets,
        counted | {"assign": "planned", "sample_costs": 1.0, "slack": 1.0},
        {"sample_costs": DELAYS},
        "targets planned",
    )
    yield Row(
        Schedule,
        {"batch_sizes": [[1, 1]], "local_class_counts": [[[1, 0], [0, 1]]]},
        {
            "batch_sizes": [None, 3, "x", {}, [1, 2], [[1.5]], [[-1]], [[1], [1, 2]], [[10**30]]],
            "local_class_counts": [3, "x", {}, [1], [[1, 1]], [[[1, 1], [1, 1]]], [[[0.5, 0.5]]]],
        },
    )

    labels = [*WHOLE_NUMBERS, [], [10**15]]
    dealt = {"labels": LABELS, "num_clients": 2, "rng": rng()}
    not_dealt = {"labels": labels, "num_clients": LARGE, "rng": RNG}
    yield Row(partition.iid, dealt, not_dealt)
    yield Row(
        partition.extended_dirichlet,
        dealt | {"classes_per_client": 1, "alpha": 1.0},
        not_dealt | {"classes_per_client": LARGE, "alpha": [*POSITIVE, 1e305]},
    )
    yield Row(
        partition.dirichlet,
        dealt | {"alpha": 1.0, "least": 0},
        not_dealt | {"alpha": [*POSITIVE, 1e305], "least": [*NATURAL, 3]},
    )
    yield Row(
        partition.shards,
        dealt | {"shards_per_client": 1},
        not_dealt | {"num_clients": [*LARGE, 5], "shards_per_client": [*LARGE, 3]},
    )
    owners = [
        None, 3, "abcd", {}, [], [0, 1], [[0, 1], [0, 1]], [0.5, 1, 1, 1], [None] * 4, [1j] * 4,
        [True] * 4, [[0], [1, 2], 3, 4], np.ma.array([0, 1, 0, 1], mask=[0, 1, 0, 0]),
    ]  # fmt: skip
    yield Row(
        partition.from_owners,
        {"owners": [0, 1, 1, 0], "labels": LABELS},
        {"owners": owners, "labels": labels},
    )
    indices = [
        None, 3, "ab", {}, [], [0, 1], [[0, 1]], [[0, 1], [2, 2]], [[0, 1], [2, 9]], [[0, 1], [-1]],
        [[0.5]], [[None]], [[0, 1], [2, 3, 4]], [[0, 1], [2, 3, 10**15]],
    ]  # fmt: skip
    yield Row(
        Partition,
        {"indices": [[0, 1], [2, 3]], "labels": LABELS, "num_classes": 2},
        {"indices": indices, "labels": labels, "num_classes": is_something([*LARGE, 1])},
    )

    yield Row(
        data.load,
        {"name": "digits", "data_dir": "data", "dtype": "float64"},
        {"name": NAME, "data_dir": [None, 3, b"x", [], np.nan], "dtype": DTYPE},
    )
    photographs = [*IMAGES, X.astype(np.uint8), X * np.inf, X[:0], np.ones((4, 2, 3, 1))]
    yield Row(
        Dataset,
        {"name": "n", "x_train": X, "y_train": LABELS, "x_test": X, "y_test": LABELS}
        | {"num_classes": 2},
        {"x_train": photographs, "x_test": photographs, "num_classes": COUNT}
        | {name: [*WHOLE_NUMBERS, [], [0, 1], [0, 1, 0, 2]] for name in ("y_train", "y_test")},
    )

    made = {"rng": rng(), "dtype": "float32"}, {"rng": RNG, "dtype": DTYPE}
    yield Row(
        nn.Linear,
        {"in_features": 2, "out_features": 2} | made[0],
        {"in_features": LARGE, "out_features": LARGE} | made[1],
    )
    yield Row(
        nn.Conv2d,
        {"in_channels": 1, "out_channels": 1, "kernel": 2, "stride": 1, "padding": 0} | made[0],
        {"in_channels": LARGE, "out_channels": LARGE, "kernel": LARGE, "stride": COUNT}
        | {"padding": NATURAL} | made[1],
    )  # fmt: skip
    yield Row(nn.MaxPool2d, {"kernel": 2}, {"kernel": COUNT, "stride": is_something(COUNT)})
    yield Row(nn.AvgPool2d, {}, dict.fromkeys(("kernel", "stride"), is_something(COUNT)))
    yield Row(
        nn.GroupNorm,
        {"num_groups": 1, "num_channels": 3, "eps": 1e-5, "dtype": "float64"},
        {"num_groups": [*LARGE, 2, 4], "num_channels": LARGE, "eps": [*POSITIVE, 1e-320]}
        | {"dtype": DTYPE},
    )
    yield Row(
        nn.BatchNorm2d,
        {"num_channels": 3, "eps": 1e-5, "momentum": 0.1, "dtype": "float64"},
        {"num_channels": LARGE, "eps": [*POSITIVE, 1e-320], "momentum": SHARE, "dtype": DTYPE},
    )
    no_layers = [None, 3, "x", [3], [None]]
    yield Row(
        nn.Residual,
        {"branch": [nn.ReLU()], "shortcut": []},
        {"branch": [*no_layers, []], "shortcut": no_layers},
    )
    descent = {"learning_rate": POSITIVE, "momentum": SHARE, "weight_decay": REAL}
    yield Row(nn.SGD, {"learning_rate": 0.1}, descent)
    widths = [*WHOLE_NUMBERS, [], [1], [0, 1], [10**12, 3]]
    yield Row(nn.mlp, {"widths": [2, 3]} | made[0], {"widths": widths} | made[1])
    shapes = [None, 3, "abc", {}, (4, 4), (4, 4, 0), (4, 4, 1, 1), (1, 1, 1), (4.5, 4, 1)]
    channels = [None, 3, "ab", {1: 2}, [0], [1.5], [None], [10**12], [1] * 10_000]
    yield Row(
        nn.cnn,
        {"input_shape": (4, 4, 1), "num_classes": 2, "channels": (1, 2)} | made[0],
        {"input_shape": shapes, "num_classes": LARGE, "channels": channels} | made[1],
    )
    yield Row(
        nn.resnet,
        {"input_shape": (4, 4, 1), "num_classes": 2, "blocks": (1, 1), "width": 2} | made[0],
        {"input_shape": [*shapes[:6], shapes[-1]], "num_classes": LARGE, "blocks": channels}
        | {"width": [*LARGE, 1, 3]} | made[1],
    )  # fmt: skip
    yield Row(
        nn.Network,
        {"layers": [nn.ReLU()], "first": 0},
        {"layers": no_layers, "first": NATURAL},
    )
    yield Row(mlp().cut, {"at": 1}, {"at": [*COUNT, 4, HUGE]}, "cut")
    logits = [
        *NOTHING, 3, [], np.zeros((2, 0)), np.zeros(3), [[None]], np.array([["a"]]),
        np.ones((2, 3), np.float16), np.ones((2, 3), bool),
    ]  # fmt: skip
    yield Row(
        nn.cross_entropy,
        {"logits": np.ones((2, 3)), "labels": [0, 1]},
        {"logits": logits, "labels": [*WHOLE_NUMBERS, [0, 1, 2], [0, 3]]},
    )
    yield Row(
        nn.gradient_errors,
        {"layer": nn.ReLU(), "x": np.ones((2, 2)), "rng": rng()},
        {
            "layer": [*NOTHING, nn.ReLU],
            "rng": RNG,
            "x": [None, "x", {}, np.ones((2, 2), np.float32)],
        },
    )
    yield Row(nn.numerical_derivative, {"f": float, "step": 1e-4}, {"step": POSITIVE})
    flat = [None, 3, "x", object(), [[None]], np.array([["a"] * 4]), np.ones((2, 3))]
    for layer, x, bad in [
        (nn.Flatten(), X, [None, 3, "x", [1, 2], object(), [[None]]]),
        (nn.ReLU(), X, [None, "x", {}, object(), [[None]]]),
        (nn.Linear(4, 2, rng()), np.ones((1, 4)), flat),
        (mlp(), X, flat),
        (nn.GroupNorm(1, 1), X, IMAGES),
        (nn.BatchNorm2d(1), X, IMAGES),
        (nn.Residual([nn.Flatten()], [nn.Flatten()]), X, [None, 3, "x", [1, 2], object()]),
        (nn.Conv2d(1, 1, 2, rng=rng()), X, IMAGES),
        (nn.MaxPool2d(2), X, IMAGES),
        (nn.AvgPool2d(2), X, IMAGES),
    ]:
        yield Row(layer.forward, {"x": x}, {"x": bad}, type(layer).__name__ + ".forward")

    pictures = [
        None, "x", object(), 3, [], np.full((4, 2, 2, 1), np.nan), np.ones((3, 2, 2, 1)),
        np.ones((4, 3)), np.array(["a"] * 4), X * 1j,
    ]  # fmt: skip
    answers = [*WHOLE_NUMBERS, [], [0, 1, 0], [0, 1, 0, 2], [1, 1, 1, 1]]
    holders = [None, 3, [[0, 1], [2, 3]], Partition([[0, 1]], [0, 1])]
    yield Row(
        simulation,
        {},
        {"net": [None, 3, "x", [nn.ReLU()]], "cut": [*COUNT, 4], "x": pictures, "y": answers}
        | {"partition": holders, "rng": RNG, "execution": NAME} | descent,
    )  # fmt: skip
    local = [
        *WHOLE_NUMBERS[:-3], [[1], [1, 2]], [0, 0], [3, 0], [1], [10**18] * 2, [[1, 1], [0, 9]],
        [[0, 0], [0, 0]], [[1, 1, 1]] * 2,
    ]  # fmt: skip
    yield Row(
        lambda **k: simulation().step(**k),
        {"batch_sizes": [1, 1]},
        {"batch_sizes": local},
        "step",
    )
    walks = [Schedule(rows) for rows in ([[1, 1, 1]], [[9, 1]], [[1, 1], [0, 0]])]
    yield Row(
        lambda schedule: simulation().run_epoch(schedule),
        {"schedule": EVEN},
        {"schedule": [*SCHEDULE, *walks, Schedule(np.zeros((0, 2), int))]},
        "run_epoch",
    )
    yield Row(
        lambda **k: simulation().evaluate(**k),
        {"x": X, "y": LABELS},
        {"x": [*pictures[:5], *pictures[6:]], "y": answers[:-2]},
        "evaluate",
    )
    yield Row(
        split.straggler_delays,
        {"num_clients": 2, "rng": rng()},
        {"num_clients": LARGE, "rng": RNG, "fraction": SHARE, "slowdown": [*REAL, 0.5]}
        | {"jitter": REAL},
    )
    for call in (split.step_times, split.epoch_time):
        yield Row(
            call,
            {"schedule": EVEN, "delays": [1, 2]},
            {"schedule": SCHEDULE, "delays": [None, *DELAYS], "sample_costs": DELAYS}
            | {"server_time": REAL, "server_sample_cost": REAL},
        )
    network = {"net": mlp(), "cut": 2, "input_shape": (2, 2, 1)}
    wrong = {"net": [None, 3, "x"], "cut": [*COUNT, 9], "input_shape": [None, 3, "x", (0,), (1.5,)]}
    links = {"latency": 0.1, "flops": 1e9, "uplink": 1e6, "downlink": [1e6, 1e6]}
    each = [bad for bad in DELAYS if str(bad) not in ("[1]", "[1, 2, 3]")]  # of other clients
    rates = {name: [*each, 0, 0.5] for name in ("flops", "uplink", "downlink")}
    yield Row(split.client_costs, network | links, wrong | {"latency": each} | rates)
    yield Row(split.server_cost, network | {"flops": 1e9}, wrong | {"flops": POSITIVE})
    yield Row(
        split.draw_links,
        {"scenario": "home", "num_clients": 2, "rng": rng()},
        {"scenario": NAME, "num_clients": LARGE, "rng": RNG},
    )
    yield Row(split.epoch_time_bound, two | {"delays": [1, 2]}, sized | {"delays": [None, *DELAYS]})
    yield Row(
        theory.least_epoch_time,
        {"class_counts": [[2, 2], [1, 3]], "batch_size": 2, "delays": [1, 2]},
        {"class_counts": CLASS_COUNTS, "batch_size": COUNT, "delays": [None, *DELAYS]}
        | {"sample_costs": DELAYS, "slack": [*REAL, 2.5]},
    )
    yield Row(
        split.traffic,
        {"schedule": EVEN, "net": mlp(), "cut": 2, "input_shape": (2, 2, 1)},
        {"schedule": SCHEDULE, "net": [None, 3, "x"], "cut": [*COUNT, 9]}
        | {"input_shape": [None, 3, "x", (0,), (2.5,), (-1,), ()]},
    )
    yield Row(
        split.draw_outages,
        {"num_clients": 2, "num_steps": 3, "rng": rng()},
        {"num_clients": LARGE, "num_steps": LARGE, "rng": RNG, "lost": SHARE},
    )
    yield Row(
        Outage,
        {"client": 0, "start": 0, "end": 3},
        {"client": NATURAL, "start": NATURAL, "end": is_something(COUNT), "within": [*NOTHING, 1]},
    )

    probabilities = [
        None, 3, "ab", {}, object(), [1], [0.5, 0.4], [-1, 2], [np.nan, 1], [None, 1], ["a", "b"],
        ["0.5", "0.5"], [1j, 0], [[0.5, 0.5]],
    ]  # fmt: skip
    batches = [None, 3, "x", {}, [1], [[1.5, 1]], [[-1, 3]], [[0, 0]], [[1], [1, 2]]]
    yield Row(
        theory.batch_deviation,
        {"batch_class_counts": [[1, 1]], "class_probs": [0.5, 0.5]},
        {"batch_class_counts": batches, "class_probs": probabilities},
    )
    planned = {"schedule": EVEN, "class_counts": [[2, 0], [0, 2]]}
    not_planned = {"schedule": [*SCHEDULE, walks[0], walks[1]], "class_counts": CLASS_COUNTS}
    yield Row(
        split.local_batches,
        {"schedule": EVEN, "partition": TWO, "rng": rng()},
        {"schedule": [*SCHEDULE, *walks], "partition": [*NOTHING, holders[2]], "rng": RNG},
    )
    for call in (
        theory.class_count_mean, theory.class_count_variance, theory.participation_bias,
        theory.expected_deviation,
    ):  # fmt: skip
        yield Row(call, planned, not_planned)
    yield Row(
        theory.class_count_pmf,
        planned | {"step": 0, "klass": 0},
        not_planned | {"step": [*NATURAL, 2], "klass": [*NATURAL, 2]},
    )
    for call in (theory.expected_uniform_deviation, theory.uniform_deviation_std):
        bad = {"class_totals": SIZES, "batch_size": LARGE}
        yield Row(call, {"class_totals": [2, 3], "batch_size": 2}, bad)
    chances = [None, "x", {}, object(), 1.5, -1, np.nan, [None], True, 10**30, [[1], [1, 2]]]
    yield Row(
        theory.hypergeometric_pmf,
        {"count": 1, "population": 4, "marked": 2, "draws": 2},
        {"count": chances}
        | {name: [*chances, 10**12] for name in ("population", "marked", "draws")},
    )
    bounded = {"eps": 0.5, "probability": 0.5, "batch_size": 2, "population": 4, "num_classes": 3}
    not_bounded = {
        "eps": REAL, "probability": [*POSITIVE, 1, 2], "batch_size": [*COUNT, HUGE],
        "population": [*COUNT, HUGE], "num_classes": LARGE,
    }  # fmt: skip
    for name in theory.__all__:
        call = getattr(theory, name)
        if call.__module__ == "pslref.theory.bounds":
            names = inspect.signature(call).parameters
            yield Row(call, {n: bounded[n] for n in names}, {n: not_bounded[n] for n in names})

    logged = {"schedules": [[[2, 2], [2, 2]]], "sizes": [4, 4], "batch_size": 4}
    judged = {"law": NAME, "alpha": [*POSITIVE, 2], "remainder": NAME, "schedules": [None, 3, []]}
    yield Row(judge, logged | {"law": "ugs"}, sized | judged)
    lds = {"law": "lds", "class_counts": [[2, 2], [2, 2]]}
    yield Row(judge, logged | lds, {"class_counts": CLASS_COUNTS, "delays": DELAYS}, "judge lds")
    known = {"law": "lds", "weights": [0.5, 0.5]}
    yield Row(judge, logged | known, {"weights": [None, *DELAYS, [0, 1]]}, "judge weights")

    fields = {
        "data_dir": [*NOTHING[:2], 3, "a\0b", b"x", ()],
        "clients": LARGE, "batch_size": LARGE, "cut": COUNT, "epochs": LARGE,
        "seed": [*NATURAL, 2**64, HUGE],
        "hidden": [None, 64, "64", (0,), (1.5,), (None,), (10**12,), ("64",), (100_000,) * 2],
        "slowdown": [*REAL, 0.5], "slack": [*REAL, 3], "least": [*NATURAL, 10**12, 1],
        **dict.fromkeys(("learning_rate", "concentration"), POSITIVE),
        **dict.fromkeys(("momentum", "fraction", "faults"), SHARE),
        **dict.fromkeys(("weight_decay", "jitter", "sample_cost", "delta"), REAL),
        **dict.fromkeys(
            ("dataset", "files", "partition", "sampler", "model", "remainder", "dtype",
             "execution", "assign", "links"),
            NAME,
        ),
    }  # fmt: skip
    assert fields.keys() == vars(Config()).keys()
    of_dirichlet = {"least": fields["least"][:-1]}  # 1 is right, but for a grid of no such runs
    yield Row(Config, {}, fields | of_dirichlet)
    single = {
        n: [v for v in bad if not isinstance(v, list | tuple)]
        for n, bad in (fields | {"seeds": LARGE}).items()
    }
    yield Row(lambda **given: configs(given), {}, single, "configs")


ROWS = list(rows())
TABLE = [
    pytest.param(row, argument, id=f"{row.name or row.call.__name__}-{argument}")
    for row in ROWS
    for argument in row.bad
]
# Where a sentence speaks of something else than the argument that is wrong, and why.
ALSO = {
    **dict.fromkeys(("branch", "shortcut"), "layers"),
    "at": "cut", "schedule": r"class_counts\.shape", "class_counts": "weights",
    "marked": "population", "draws": "population",
    "in_features": r"weight\.shape", "out_features": r"weight\.shape", "kernel": r"weight\.shape",
    "in_channels": r"weight\.shape", "out_channels": r"weight\.shape", "widths": r"weight\.shape",
    "channels": r"weight\.shape|input_shape", "num_classes": r"weight\.shape",
    "labels": "num_classes", "indices": "num_clients", "name": "partition",
    "num_clients": "clients",  # of a run
    "x": "y",  # the number of labels
    "y": "partition",  # holds other labels
}  # fmt: skip


def sentence_of(row: Row, argument: str, value: Any) -> str | None:
    """What is said to a value; None if it is taken."""
    try:
        row.call(**row.good | {argument: value})
    except ValueError as error:
        return f"{'' if type(error) is ValueError else type(error)}{error}"
    return None


def check_sentence(sentence: str, argument: str) -> None:
    named = f"{argument}|{ALSO[argument]}" if argument in ALSO else argument
    assert re.match(rf"[^=:]*\b({named})\b", sentence), sentence
    assert "must" in sentence
    assert "\n" not in sentence
    assert len(sentence) < 600


@pytest.mark.parametrize(("row", "argument"), TABLE)
def test_a_wrong_argument_is_named_with_what_it_must_be(row: Row, argument: str) -> None:
    for value in row.bad[argument]:
        sentence = sentence_of(row, argument, value)
        assert sentence is not None, f"{argument} = {value!r} was taken"
        check_sentence(sentence, argument)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name or row.call.__name__)
def test_the_calls_of_the_table_work(row: Row) -> None:
    row.call(**row.good)


def forms(value: Any) -> Iterator[Any]:
    """The same in other forms that are right."""
    if type(value) is int:
        yield from (np.uint8(value), np.uint64(value))
    if type(value) is float:
        yield from (np.float32(value), np.float64(value))
    if type(value) is str:
        yield np.str_(value)
    if isinstance(value, list | np.ndarray) and np.asarray(value).dtype.kind in "if":
        array = np.array(value)
        backwards = np.ascontiguousarray(array[::-1])[::-1]
        for other in (array, np.asfortranarray(array), backwards):
            other.flags.writeable = False
            yield other


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name or row.call.__name__)
def test_numpys_numbers_and_read_only_arrays_do_as_well(row: Row) -> None:
    for name, value in row.good.items():
        for other in forms(value):
            row.call(**row.good | {name: other})


def test_small_integer_types_do_not_overflow() -> None:
    sizes, small = [300] * 5, np.uint8(200)
    whole = sampling.ugs(sizes, 200, rng()).batch_sizes
    assert np.array_equal(sampling.ugs(sizes, small, rng()).batch_sizes, whole)
    images = np.array([64, 64, 3], np.uint8)
    assert len(nn.cnn(images, 10, rng(), np.array([64, 64], np.uint8)).layers) == 8


numbers = st.one_of(
    st.integers(),
    st.integers(-5, 5),
    st.floats(),
    st.sampled_from([10**400, 2**63, 2**31, 1e308, 5e-324]),
)
leaves = st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=3), st.binary(max_size=3))
junk = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3), max_leaves=6).flatmap(
    lambda value: st.sampled_from([value, (value,), {"a": value}, object_array(value)])
)


def object_array(value: Any) -> np.ndarray:
    array = np.empty(1, object)
    array[0] = value
    return array


@settings(max_examples=300)
@given(st.integers(0, len(TABLE) - 1), junk)
def test_anything_is_taken_or_refused(case: int, value: Any) -> None:
    """With no other exception than ValueError; floats may overflow."""
    row, argument = TABLE[case].values
    with np.errstate(all="ignore"):
        sentence = sentence_of(row, argument, value)
    if sentence is not None:
        assert "\n" not in sentence
