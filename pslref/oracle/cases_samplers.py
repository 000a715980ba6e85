"""Cases of the deterministic pieces of samplers, and of the exact laws."""

from collections.abc import Callable
from typing import Any

import numpy as np

from pslref.oracle.backends import Values

Make = Callable[[np.random.Generator], Values]
Row = tuple[str, str, list[str], Make, str]


def row(op: str, suffix: str, flags: list[str], make: Make | Values, result: str = "valid") -> Row:
    """One case; its inputs are given, or made from a generator."""
    made: Make = make if callable(make) else lambda _: make
    return f"{op.replace('_', '-')}-{suffix}", op, flags, made, result


def _sizes(sizes: list[int], batch_size: int, **more: Any) -> Values:
    return {"sizes": np.array(sizes), "batch_size": batch_size, **more}


def _fixed(op: str) -> list[Row]:
    return [
        row(op, "basic", ["last-batch"], _sizes([7, 12, 3, 9], 8)),
        row(op, "half-down", ["half-to-even"], _sizes([10, 6, 9, 15], 10)),
        row(op, "half-up", ["half-to-even"], _sizes([10, 6, 9, 15], 14)),
        row(op, "more-clients-than-samples", [], _sizes([3, 1, 2, 1, 4, 1, 1], 3)),
        row(op, "empty-clients", ["empty-client"], _sizes([0, 5, 0, 8, 1], 6)),
        row(op, "one-client", ["last-batch"], _sizes([11], 4)),
        row(op, "whole-batch", [], _sizes([2, 9, 4], 15)),
        row(op, "batch-of-one", [], _sizes([2, 3], 1)),
        row(op, "batch-above-all", ["too-large"], _sizes([2, 3], 6), "invalid"),
    ]


def _shuffled(sizes: list[int], batch_size: int, remainder: str) -> Make:
    return lambda rng: {
        **_sizes(sizes, batch_size, remainder=remainder),
        "permutation": rng.permutation(sum(sizes)),
    }


def _drawn(sizes: list[int], batch_size: int, remainder: str, shares: list[float]) -> Make:
    """Enough recorded draws to empty everybody, however they fall."""
    return lambda rng: {
        **_sizes(sizes, batch_size, remainder=remainder),
        "draws": np.concatenate(
            [
                np.searchsorted(
                    np.cumsum(shares), rng.integers(0, 64, 4 * sum(sizes)) / 64, "right"
                ),
                np.repeat(np.arange(len(sizes)), sizes),
            ]
        ),
    }


def _prior(sizes: list[int], s: int, c: float, delta: float, delays: list[float]) -> Values:
    return {
        "sizes": np.array(sizes),
        "pseudo_samples": s,
        "concentration": c,
        "delta": delta,
        "delays": np.array(delays, np.float64),
    }


def _em(rows: list[list[int]], labels: list[float], iterations: int) -> Make:
    counts = np.array(rows)

    def make(rng: np.random.Generator) -> Values:
        return {
            "alpha": rng.integers(1, 256, len(counts)) / 32,
            "class_counts": counts,
            "label_counts": np.array(labels),
            "start": 0.5 ** np.minimum(np.arange(1, len(counts) + 1), len(counts) - 1),
            "iterations": iterations,
        }

    return make


SKEWED = [[6, 0, 2], [0, 5, 5], [1, 1, 0], [3, 9, 0]]
UNHELD = [[6, 0, 2, 0], [1, 0, 5, 0], [2, 0, 0, 4]]
SAMPLER_CASES: list[Row] = [
    *_fixed("fls"),
    *_fixed("fpls"),
    row("ugs_replay", "short", ["remainder", "last-batch"], _shuffled([5, 9, 0, 8], 5, "short")),
    row("ugs_replay", "even", ["remainder"], _shuffled([5, 9, 0, 8], 5, "even")),
    row("ugs_replay", "divides", [], _shuffled([6, 6, 4], 4, "short")),
    row("ugs_replay", "whole-batch", [], _shuffled([2, 5], 7, "even")),
    row("ugs_replay", "batch-of-one", [], _shuffled([2, 0, 3], 1, "short")),
    row("ugs_replay", "batch-above-all", ["too-large"], _shuffled([2, 3], 6, "short"), "invalid"),
    row("lds_prior", "no-delta", [], _prior([40, 10, 25, 25], 50, 1.0, 0.0, [1, 2, 3, 4])),
    row("lds_prior", "delays", ["delays"], _prior([40, 10, 25, 25], 50, 1.0, 1.0, [1, 1, 10, 1.5])),
    row("lds_prior", "steep", ["delays"], _prior([9, 20, 7], 18, 0.125, 2.5, [8, 1, 2])),
    row("lds_prior", "equal-delays", ["equal-delays"], _prior([9, 20, 7], 10, 0.5, 2.0, [3, 3, 3])),
    row(
        "lds_prior",
        "empty-client",
        ["empty-client", "delays"],
        _prior([9, 0, 20], 4, 2.0, 0.5, [1, 9, 2]),
    ),
    row("lds_em", "one-iteration", [], _em(SKEWED, [10.0, 15.0, 7.0], 1)),
    row("lds_em", "three-iterations", [], _em(SKEWED, [10.0, 15.0, 7.0], 3)),
    row("lds_em", "many-iterations", [], _em(SKEWED, [100.0, 150.0, 70.0], 40)),
    row("lds_em", "unheld", ["class-without-holder"], _em(UNHELD, [9.0, 4.0, 7.0, 4.0], 5)),
    row(
        "lds_replay",
        "short",
        ["cap", "remainder"],
        _drawn([5, 2, 9, 6], 5, "short", [0.25, 0.375, 0.125, 0.25]),
    ),
    row(
        "lds_replay",
        "even",
        ["cap", "remainder"],
        _drawn([5, 2, 9, 6], 5, "even", [0.25, 0.25, 0.25, 0.25]),
    ),
    row(
        "lds_replay",
        "empty-client",
        ["cap", "empty-client"],
        _drawn([4, 0, 8], 6, "short", [0.5, 0.25, 0.25]),
    ),
]

STEPS = [[3, 0, 2, 0], [1, 4, 0, 0], [0, 1, 6, 0], [2, 0, 0, 0]]
HELD = [[4, 2, 0], [0, 5, 1], [3, 3, 4], [0, 0, 0]]
LAW_CASES: list[Row] = [
    row(
        "batch_deviation",
        "basic",
        [],
        {
            "batch_class_counts": np.array([[4, 4, 8], [0, 0, 3], [1, 0, 0], [5, 5, 10]]),
            "class_probs": np.array([0.25, 0.25, 0.5]),
        },
    ),
    row(
        "batch_law",
        "basic",
        ["absent"],
        {"batch_sizes": np.array(STEPS), "class_counts": np.array(HELD)},
    ),
    row(
        "batch_law",
        "one-client",
        [],
        {"batch_sizes": np.array([[3], [4], [1]]), "class_counts": np.array([[5, 2, 1]])},
    ),
    row(
        "batch_law",
        "one-class-each",
        [],
        {"batch_sizes": np.array([[2, 2], [1, 3]]), "class_counts": np.array([[3, 0], [0, 5]])},
    ),
    row("uniform_deviation", "basic", [], {"class_totals": np.array([12, 7, 21]), "batch_size": 8}),
    row("uniform_deviation", "equal", [], {"class_totals": np.array([30] * 10), "batch_size": 16}),
    row("uniform_deviation", "all", [], {"class_totals": np.array([4, 3, 2]), "batch_size": 9}),
    row(
        "step_times",
        "basic",
        ["absent"],
        {
            "batch_sizes": np.array(STEPS),
            "delays": np.array([1.0, 10.0, 2.5, 99.0]),
            "sample_costs": np.array([0.5, 0.25, 2.0, 0.0]),
            "server_time": 0.75,
        },
    ),
    row(
        "step_times",
        "no-costs",
        ["absent"],
        {
            "batch_sizes": np.array(STEPS),
            "delays": np.array([4.0, 1.0, 2.0, 8.0]),
            "sample_costs": np.zeros(4),
            "server_time": 0.0,
        },
    ),
]
