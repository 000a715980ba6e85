"""The bets of the oracle: their chances against enumeration, and that they are fair, exactly."""

from collections.abc import Iterator
from itertools import combinations_with_replacement, product
from math import comb, log, prod, sqrt

import numpy as np
import pytest
from scipy.stats import binom, hypergeom

from pslref.oracle import bets_on_counts, bets_on_order, draws
from pslref.oracle.bets import Finding, Stake, tabulate, verdict
from pslref.oracle.distribution import FAMILIES, judge
from pslref.sampling import global_batch_sizes, lds, ugs


def all_schedules(sizes: tuple[int, ...], batches: list[int]) -> Iterator[tuple[tuple[int, ...]]]:
    """Every schedule that exhausts these sizes in these batches."""
    if not batches:
        yield ()
        return
    for chosen in combinations_with_replacement(range(len(sizes)), batches[0]):
        row = tuple(chosen.count(k) for k in range(len(sizes)))
        if all(b <= n for b, n in zip(row, sizes, strict=True)):
            left = tuple(n - b for b, n in zip(row, sizes, strict=True))
            yield from ((row, *rest) for rest in all_schedules(left, batches[1:]))


def uniform_chance(row: tuple[int, ...], left: tuple[int, ...]) -> float:
    return prod(map(comb, left, row)) / comb(sum(left), sum(row))


def latent_chance(row: tuple[int, ...], left: tuple[int, ...], weights: np.ndarray) -> float:
    """Draw one at a time from the clients that have something left: sum over all orders."""
    if not any(row):
        return 1.0
    total = sum(w for w, n in zip(weights, left, strict=True) if n)
    chance = 0.0
    for k, b in enumerate(row):
        if b:
            fewer = tuple(x - (i == k) for i, x in enumerate(row))
            rest = tuple(x - (i == k) for i, x in enumerate(left))
            chance += weights[k] / total * latent_chance(fewer, rest, weights)
    return chance


WEIGHTS = np.array([0.5, 0.2, 0.3])


def posterior(clients: np.ndarray) -> np.ndarray:
    return WEIGHTS[clients] / WEIGHTS[clients].sum()


def chance_of(schedule: tuple[tuple[int, ...]], sizes: tuple[int, ...], law: str) -> float:
    left, chance = sizes, 1.0
    for row in schedule:
        chance *= uniform_chance(row, left) if law == "ugs" else latent_chance(row, left, WEIGHTS)
        left = tuple(n - b for b, n in zip(row, left, strict=True))
    return chance


@pytest.mark.parametrize("law", ["ugs", "lds"])
def test_chances_are_those_of_enumeration(law: str) -> None:
    """Of each count given the steps before, and of whole steps; LDS: given who runs out."""
    sizes, batches = (4, 2, 3), [4, 4, 1]
    schedules = list(all_schedules(sizes, batches))
    chances = np.array([chance_of(s, sizes, law) for s in schedules])
    assert chances.sum() == pytest.approx(1)
    table = tabulate(np.array(schedules), np.array(sizes), posterior if law == "lds" else None)
    whole = draws.at(table.chained, table.counts).prod(axis=2)
    for r, schedule in enumerate(schedules):
        for t in range(3):
            left = np.array(sizes) - np.array(schedule[:t]).reshape(-1, 3).sum(axis=0)
            # The schedules that agree up to this step and, under LDS, on who runs out in it.
            alike = [
                i
                for i, other in enumerate(schedules)
                if other[:t] == schedule[:t]
                and (law == "ugs" or ((other[t] == left) == (schedule[t] == left)).all())
            ]
            total = chances[alike].sum()
            same = [i for i in alike if schedules[i][t] == schedule[t]]
            assert whole[r, t] == pytest.approx(chances[same].sum() / total)
            for k in range(3):
                law_of_k = np.zeros(5)
                for i in alike:
                    law_of_k[table.counts[i, t, k]] += chances[i] / total
                assert table.alone[r, t, k] == pytest.approx(law_of_k, abs=1e-12)


def test_the_last_batch_of_ugs_is_tested_whatever_came_before() -> None:
    sizes, batches = (4, 2, 3), [4, 4, 1]
    schedules = list(all_schedules(sizes, batches))
    table = tabulate(np.array(schedules), np.array(sizes), None)
    assert table.steps[table.few].tolist() == [0, 1, 2]
    for t, size in enumerate(batches):
        for k, held in enumerate(sizes):
            law = hypergeom(sum(sizes), held, size).pmf(range(5))
            assert table.few_chances[:, t, k] == pytest.approx(np.tile(law, (len(schedules), 1)))


def test_a_family_shares_one_stake() -> None:
    """p is 1 over the mean of what its bets made of 1, and no more than 1."""
    made = np.array([[30.0, 1e-9], [0.5, 1.5]])
    finding = verdict("name", 0.125, np.log(made), lambda bet: f"bet {bet}", "much", 1.0)
    assert finding == Finding("name", False, "bet (0, 0): p = 0.12, accused at 0.12", "much")
    assert verdict("name", 0.124, np.log(made), str, "much", 1.0).passed
    assert ": p = 1, " in verdict("name", 0.1, np.log(made / 99), str, "much", 1.0).detail


def stakes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each family return what it made of a stake of 1."""
    for module in (bets_on_counts, bets_on_order):
        monkeypatch.setattr(
            module, "verdict", lambda name, level, log_e, *rest: float(np.exp(log_e).mean())
        )


@pytest.mark.parametrize("law", ["ugs", "lds"])
@pytest.mark.parametrize(("sizes", "num"), [((3, 2, 2), 1), ((2, 1, 1), 3), ((2, 1, 2), 2)])
def test_every_bet_is_fair(law, sizes, num, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over all schedules of one, two or three epochs a stake of 1 stays 1, exactly.

    `repeats` may lose: some copies that it bets on cannot happen.
    """
    stakes(monkeypatch)
    batches = global_batch_sizes(sum(sizes), 2).tolist()
    schedules = list(all_schedules(sizes, batches))
    chances = [chance_of(s, sizes, law) for s in schedules]
    expected = np.zeros(len(FAMILIES))
    for drawn in product(range(len(schedules)), repeat=num):
        epochs = np.array([schedules[i] for i in drawn])
        table = tabulate(epochs, np.array(sizes), posterior if law == "lds" else None)
        made = [family(table, 0.5 / len(FAMILIES)) for family in FAMILIES]
        expected += prod(chances[i] for i in drawn) * np.array(made)
    assert expected[:-1] == pytest.approx(1, abs=1e-9)
    assert expected[-1] <= 1 + 1e-9


def test_p_values_are_at_least_uniform(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator, alpha: float
) -> None:
    """P(p ≤ u) ≤ u for u = 1/2, 1/4, 1/8 in each family. False alarm: 1e-8.

    100 judgements show a test that accuses at 1/8 with probability 1/2 instead. The stakes are
    those of a level of 1/8, where they are likeliest to win.
    """
    stakes(monkeypatch)
    counts, levels, num = np.array([[4, 2], [1, 4], [3, 3]]), (1 / 2, 1 / 4, 1 / 8), 100
    sizes, options = counts.sum(axis=1), {"delays": [1, 5, 2], "delta": 1.0}
    level = alpha / (2 * len(FAMILIES) * len(levels))
    for law in ("ugs", "lds"):
        made = []
        for _ in range(num):
            if law == "ugs":
                epochs = [ugs(sizes, 3, rng).batch_sizes for _ in range(6)]
                findings = judge(epochs, law, sizes, 3, alpha=1)
            else:
                epochs = [lds(counts, 3, rng, **options).batch_sizes for _ in range(6)]
                findings = judge(epochs, law, sizes, 3, alpha=1, class_counts=counts, **options)
            made.append(findings[-len(FAMILIES) :])
        for u in levels:
            accused = (np.array(made) >= 1 / u).sum(axis=0)
            assert (binom.sf(accused - 1, num, u) > level).all()
    assert binom.sf(binom.isf(level, num, 1 / 8), num, 0.5) > 0.99


def test_a_stake_shows_the_error_that_it_says_it_shows() -> None:
    """log E = λ Σ z − n λ² / 2, for n scores of mean `least`, 3.1 standard deviations low."""
    for n, num, level in [(20, 4, 1e-7), (500, 60, 1e-3), (10**6, 2, 1e-9)]:
        stake = Stake(n, num, level)
        low = n * stake.least(n) - 3.1 * sqrt(n)
        assert stake.size * low - n * stake.size**2 / 2 >= log(num / level) - 1e-6
        assert n < 100 or stake.least(n) == pytest.approx(stake.size + 3.1 / sqrt(n))
