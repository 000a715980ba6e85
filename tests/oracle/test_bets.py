"""The bets of the oracle: that they are fair, exactly, and see what they say they see."""

import re
from collections.abc import Callable
from itertools import permutations, product
from math import prod

import numpy as np
import pytest
from scipy.stats import binom

from pslref.oracle import bets
from pslref.oracle.bets import FAMILIES, means
from pslref.oracle.distribution import drawn_log, judge
from pslref.oracle.result import Result
from pslref.sampling import global_batch_sizes, lds, ugs
from tests.oracle import power
from tests.oracle.enumeration import WEIGHTS, all_schedules, chance_of

NAMES = [family.__name__ for family in FAMILIES]


def posterior(clients: np.ndarray) -> np.ndarray:
    return WEIGHTS[clients] / WEIGHTS[clients].sum()


def test_a_family_shares_one_stake() -> None:
    """p is 1 over the mean of what its bets made of 1, and no more than 1."""
    made = np.array([[30.0, 1e-9], [0.5, 1.5]])

    def verdict(level: float, scale: float = 1, detects: str = "much") -> Result:
        return bets._verdict("a", "op", level, np.log(made / scale), lambda b: f"{b}", detects)

    said = "(0, 0): p = 0.12, accused at 0.12"
    assert verdict(0.125) == Result("a", "op", "wrong", said, verdict(0.125).p_value, "much")
    assert verdict(0.125).p_value == pytest.approx(0.125)
    assert verdict(0.124).verdict == "ok"
    assert verdict(0.1, 99).p_value == 1
    assert verdict(0.1, 99, "").verdict == "unsupported"


def stakes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each family return what it made of a stake of 1."""
    monkeypatch.setattr(
        bets, "_verdict", lambda name, op, level, log_e, *rest: float(np.exp(log_e).mean())
    )


@pytest.mark.parametrize("law", ["ugs", "lds"])
@pytest.mark.parametrize(("sizes", "num"), [((3, 2, 2), 1), ((2, 1, 1), 3), ((2, 1, 2), 2)])
def test_every_bet_is_fair(law, sizes, num, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over all schedules of one, two or three epochs a stake of 1 stays 1, exactly.

    `repeats` may lose: some copies that it bets on cannot happen.
    """
    stakes(monkeypatch)
    schedules = list(all_schedules(sizes, global_batch_sizes(sum(sizes), 2).tolist()))
    chances = [chance_of(s, sizes, law) for s in schedules]
    expected = np.zeros(len(FAMILIES))
    for drawn in product(range(len(schedules)), repeat=num):
        log = drawn_log(
            "sample", "abc", np.array([schedules[i] for i in drawn]), np.array(sizes),
            posterior if law == "lds" else None,
        )  # fmt: skip
        made = [family(log, 0.5 / len(FAMILIES)) for family in FAMILIES]
        expected += prod(chances[i] for i in drawn) * np.array(made)
    assert expected[:-1] == pytest.approx(1, abs=1e-9)
    assert expected[-1] <= 1 + 1e-9


def test_the_bet_on_means_is_fair_whatever_the_law(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over all pairs of epochs a stake of 1 stays 1, exactly: of a shuffle, and of a rotation."""
    stakes(monkeypatch)
    line, held = [0, 0, 1, 1, 1, 2], np.array([2, 3, 1])
    for law in (set(permutations(line)), [line[i:] + line[:i] for i in range(6)]):
        epochs = [
            [[part.count(m) for m in range(3)] for part in (line[:4], line[4:])]
            for line in map(list, law)
        ]
        made = [means("op", "abc", np.array(p), held, 0.5) for p in product(epochs, repeat=2)]
        assert np.mean(made) == pytest.approx(1, abs=1e-12)
        assert np.std(made) > 0.01


def test_p_values_are_at_least_uniform(rng: np.random.Generator, alpha: float) -> None:
    """P(p ≤ u) ≤ u for u = 1/2, 1/4, 1/8 in each family. False alarm: 1e-8.

    100 judgements show a test that accuses at 1/8 with probability 1/2 instead. The stakes are
    those of a level of 1/4, where they are likeliest to win.
    """
    counts, levels, num = np.array([[4, 2], [1, 4], [3, 3]]), (1 / 2, 1 / 4, 1 / 8), 100
    sizes, options = counts.sum(axis=1), {"delays": [1, 5, 2], "delta": 1.0}
    level = alpha / (2 * len(FAMILIES) * len(levels))
    for law in ("ugs", "lds"):
        p = []
        for _ in range(num):
            if law == "ugs":
                epochs = [ugs(sizes, 3, rng).batch_sizes for _ in range(6)]
                results = judge(epochs, law, sizes, 3, alpha=1)
            else:
                epochs = [lds(counts, 3, rng, **options).batch_sizes for _ in range(6)]
                results = judge(epochs, law, sizes, 3, alpha=1, class_counts=counts, **options)
            p.append([one.p_value for one in results if one.check in NAMES])
        for u in levels:
            accused = (np.array(p) <= u).sum(axis=0)
            assert (binom.sf(accused - 1, num, u) > level).all()
    assert binom.sf(binom.isf(level, num, 1 / 8), num, 0.5) > 0.99


# --- power: a sampler that errs by as much as the report says is caught with 99 % chance

TRIALS = 20


@pytest.mark.parametrize(("law", "sampler", "family", "pattern", "unit"), power.STATED)
def test_an_error_of_the_stated_size_is_caught(
    law: str, sampler: Callable, family: str, pattern: str, unit: float, rng, alpha: float
) -> None:
    """In 99 of 100 judgements; a third of it mostly is not. False alarm: 1e-8."""
    results = power.judged(law, sampler(0.0, rng))
    (told,) = (one.detects for one in results if one.check == family)
    error = float(re.search(pattern, told)[1]) * unit
    caught = [
        any(one.check == family and one.verdict == "wrong" for one in power.judged(law, epochs))
        for epochs in (sampler(error, rng) for _ in range(TRIALS))
    ]
    assert binom.cdf(sum(caught), TRIALS, 0.99) > alpha
    assert sum(caught) > TRIALS / 2
