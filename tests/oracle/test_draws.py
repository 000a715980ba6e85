"""The laws of single counts: against SciPy, and against enumeration."""

import numpy as np
import pytest
from scipy.stats import binom, hypergeom

from pslref.oracle.draws import Urns, chances, judged, latent_urns, uniform_urns
from tests.oracle.enumeration import WEIGHTS, all_schedules, chance_of


@pytest.mark.parametrize("n", [1, 7, 300])
@pytest.mark.parametrize("removed", [0, 1])
def test_chances_are_those_of_scipy(n: int, removed: int) -> None:
    """Of rare and frequent clients, in all counts that have a chance above 1e-17."""
    own, others = np.array([1, 5, 40, 700, 90_000]), np.array([90_000, 500, 400, 700, 3])
    low = np.maximum(n - others, 0) if removed else 0 * own
    high = np.minimum(n, own) if removed else 0 * own + n
    j, p, _ = chances(Urns(np.full(5, n), own, others, low, high, np.full(5, removed)))
    assert p.sum(axis=1) == pytest.approx(1)
    for k in range(5):
        law = hypergeom(own[k] + others[k], own[k], n) if removed else (
            binom(n, own[k] / (own[k] + others[k]))
        )  # fmt: skip
        assert p[k] == pytest.approx(law.pmf(j[k]), abs=1e-15, rel=1e-9)
        assert law.pmf(np.setdiff1d(np.arange(low[k], high[k] + 1), j[k])).sum() < 1e-17


def test_truncated_chances_are_scaled_up() -> None:
    one = np.ones(1, np.int64)
    j, p, _ = chances(Urns(5 * one, 0.3 * one, 0.7 * one, 1 * one, 3 * one, 0 * one))
    expected = binom(5, 0.3).pmf([1, 2, 3])
    assert j[0].tolist() == [1, 2, 3]
    assert p[0] == pytest.approx(expected / expected.sum())


@pytest.mark.parametrize("law", ["ugs", "lds"])
def test_scores_have_mean_0_and_variance_1_whatever_came_before(law: str) -> None:
    """By enumeration, given the schedule up to each step; under LDS given who runs out in it."""
    sizes, batches = (4, 2, 3), [4, 4, 1]
    schedules = list(all_schedules(sizes, batches))
    chance = np.array([chance_of(s, sizes, law) for s in schedules])
    assert chance.sum() == pytest.approx(1)
    counts = np.array(schedules)
    left = sizes - (np.cumsum(counts, axis=1) - counts)
    weights = WEIGHTS * (left > 0) / (WEIGHTS * (left > 0)).sum(axis=-1, keepdims=True)
    urns = uniform_urns(left, counts) if law == "ugs" else latent_urns(left, counts, weights)
    alone, chained = (judged(each, counts) for each in urns)
    ran_out = (counts == left) & (law == "lds")
    for t in range(3):
        past = np.concatenate([counts[:, :t].reshape(len(counts), -1), ran_out[:, t]], axis=1)
        _, alike = np.unique(past, axis=0, return_inverse=True)
        for group in range(alike.max() + 1):
            rows = np.flatnonzero(alike.ravel() == group)
            share = chance[rows] / chance[rows].sum()
            for score in (alone.score, alone.square, chained.score, chained.square):
                value, random = score.value[rows, t], score.high[rows, t] > 0
                assert share @ value == pytest.approx(np.zeros(3), abs=1e-9)
                assert share @ value**2 == pytest.approx(share @ random, abs=1e-9)
            same = (counts[rows, t] == counts[rows, np.newaxis, t]).all(axis=-1)
            if law == "ugs":
                assert np.exp(chained.log_p[rows, t].sum(axis=-1)) == pytest.approx(same @ share)


def test_who_is_near_running_out_is_given_to_the_others() -> None:
    """Clients 0 and 1 might run out; client 2 could not, with 9 samples for a batch of 3."""
    left, counts, weights = (np.array([[a]]) for a in ([2, 2, 9], [1, 1, 1], [0.2, 0.2, 0.6]))
    alone, chained = latent_urns(left, counts, weights)
    assert alone.drawn.tolist() == [[[2, 2, 1]]]
    assert alone.high.tolist() == [[[1, 1, 1]]]
    assert chained.low.tolist() == chained.high.tolist() == [[[1, 1, 1]]]


def test_who_is_near_once_others_are_given_is_near() -> None:
    """Without client 0, client 1 is due half of the rest, and might run out."""
    left, counts = np.array([[[5, 60, 1000]]]), np.array([[[4, 48, 48]]])
    alone, _ = latent_urns(left, counts, np.array([[[0.98, 0.01, 0.01]]]))
    assert alone.drawn.tolist() == [[[52, 96, 48]]]
