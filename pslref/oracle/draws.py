"""The chance of every draw of a schedule, given the draws before it; and what a bet on it wins.

Both random samplers are of one form. Given what the clients have left, the counts b_t1 ... b_tK
of a step are independent counts, conditioned on their sum [derived] (method.md 3.2, 3.3):

* UGS: binomials over what each client has left, hence together the multivariate hypergeometric.
* LDS: Poisson counts with means π_k, hence together the multinomial. A client that runs out in
  this step stops the draw, so the law of the others is taken given who ran out: whatever the
  order of the draws, theirs are then multinomial, each below what the client had left.
"""

from collections.abc import Callable

import numpy as np
from scipy.stats import binom, poisson

from pslref.check import FloatArray, IntArray

LEAST = 1e-300  # stands for a probability that underflows


def hypergeometric_odds(left: IntArray, batches: IntArray) -> FloatArray:
    """UGS: (R, T, K, J) odds of each count j, for clients that have `left` (R, T, K) samples.

    `batches` (T,) are the B_t. The success probability is arbitrary; B_t / Σ left keeps the odds
    of the sum B_t from underflow.
    """
    success = batches / left.sum(axis=-1)
    j = np.arange(int(batches.max()) + 1)
    odds = binom.pmf(j, left[..., np.newaxis], success[..., np.newaxis, np.newaxis])
    return np.asarray(odds)


def multinomial_odds(
    counts: IntArray, left: IntArray, weights: FloatArray
) -> tuple[IntArray, FloatArray]:
    """LDS: the counts of the clients that did not run out in the step, and their odds.

    Args:
        counts: (R, T, K) what each client brought.
        left: (R, T, K) what it had before.
        weights: (R, T, K) π over the clients that had something left.

    Returns:
        (R, T, K) the counts, 0 for a client that ran out; (R, T, K, J) the odds.
    """
    ran_out = counts == left
    others = np.where(ran_out, 0, counts)
    share = np.where(ran_out, 0.0, weights)
    total = share.sum(axis=-1, keepdims=True)
    mean = others.sum(axis=-1, keepdims=True) * share / np.where(total > 0, total, 1.0)
    j = np.arange(int(counts.sum(axis=-1).max()) + 1)
    possible = j < np.maximum(left, 1)[..., np.newaxis]
    return others, np.asarray(poisson.pmf(j, mean[..., np.newaxis]) * possible, np.float64)


def given_sum(counts: IntArray, odds: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The chances of counts that are independent, with these odds, but for their sum.

    P(b_k = j) ∝ odds_kj · (odds that the other clients make up the rest of the sum).

    Args:
        counts: (..., K) the counts.
        odds: (..., K, J) of each client's count j, up to a factor.

    Returns:
        Two arrays (..., K, J) of probabilities that sum to 1. `alone`: P(b_k = j | the sum).
        `chained`: P(b_k = j | the sum, and the counts of the clients before k).
    """
    num_clients = counts.shape[-1]
    nothing = np.zeros_like(odds[..., 0, :])
    nothing[..., 0] = 1.0
    after = [nothing]  # of the sum over the clients from k on, last first
    for k in reversed(range(1, num_clients)):
        after.append(_of_sum(after[-1], odds[..., k, :]))
    before, total = nothing, counts.sum(axis=-1)
    missing = total
    alone, chained = np.empty_like(odds), np.empty_like(odds)
    for k in range(num_clients):
        later = after.pop()
        own = odds[..., k, :]
        alone[..., k, :] = own * _remaining(_of_sum(before, later), total)
        chained[..., k, :] = own * _remaining(later, missing)
        before, missing = _of_sum(before, own), missing - counts[..., k]
    return _normalised(alone), _normalised(chained)


def mixing(left: IntArray, posterior: Callable[[IntArray], FloatArray]) -> FloatArray:
    """(R, T, K) the π that `posterior` gives for the clients that have something left."""
    who, which = np.unique((left > 0).reshape(-1, left.shape[-1]), axis=0, return_inverse=True)
    weights = np.zeros(who.shape)
    for row, mask in zip(weights, who, strict=True):
        row[mask] = posterior(np.flatnonzero(mask))
    return np.reshape(weights[which.ravel()], left.shape)


def standardised(values: FloatArray, chances: FloatArray) -> FloatArray:
    """Scores (..., J) of mean 0 and variance 1 under `chances`, cut at ±20 (0 if determined)."""
    off = values - (chances * values).sum(axis=-1, keepdims=True)
    spread = np.sqrt((chances * off**2).sum(axis=-1, keepdims=True))
    score: FloatArray = np.clip(off / np.maximum(spread, 0.01), -20.0, 20.0)
    return score


def at(table: FloatArray, counts: IntArray) -> FloatArray:
    """table[..., counts]: the entry of each draw's own count."""
    entries: FloatArray = np.take_along_axis(table, counts[..., np.newaxis], axis=-1)
    return entries[..., 0]


def log_gain(
    score: FloatArray, chances: FloatArray, counts: IntArray, stake: FloatArray | float
) -> FloatArray:
    """What a bet wins on each draw: log of exp(stake · score) / its expectation.

    The factor's expectation is exactly 1, whatever the stake, as long as the stake only depends
    on what came before. So is that of a product of such factors over all draws, and by Markov's
    inequality the product exceeds 1 / p with probability p at most. [derived]
    """
    tilt = np.broadcast_to(stake, counts.shape)
    expected = (chances * np.exp(tilt[..., np.newaxis] * score)).sum(axis=-1)
    gain: FloatArray = tilt * at(score, counts) - np.log(np.maximum(expected, LEAST))
    return gain


def _of_sum(a: FloatArray, b: FloatArray) -> FloatArray:
    """Odds (..., J) of the sum of two independent counts."""
    odds = np.zeros_like(a)
    for j in np.flatnonzero(b.any(axis=tuple(range(b.ndim - 1)))):
        odds[..., j:] += a[..., : a.shape[-1] - j] * b[..., j : j + 1]
    return odds


def _remaining(odds: FloatArray, total: IntArray) -> FloatArray:
    """odds[..., total − j], for each j."""
    rest = total[..., np.newaxis] - np.arange(odds.shape[-1])
    return np.where(rest >= 0, np.take_along_axis(odds, np.maximum(rest, 0), axis=-1), 0.0)


def _normalised(odds: FloatArray) -> FloatArray:
    chances: FloatArray = odds / np.maximum(odds.sum(axis=-1, keepdims=True), LEAST)
    return chances
