"""Every count of a schedule as a draw from an urn of two colours; and how it scores.

Given what the clients have left, a count b_tk is how many of n drawn balls have the client's
colour; the other colour is that of all clients that are not known yet. [derived] (method.md 3.2,
3.3)

* UGS: a ball for each sample that is left, and none is put back: hypergeometric.
* LDS: the weights π, and every ball is put back: binomial. A client that runs out in a step stops
  the draw, so who ran out is taken as given, and the others are below what they had left. Where
  that matters, the counts of others that were near it are taken as given too.
"""

from typing import NamedTuple

import numpy as np

from pslref.check import Array, FloatArray, IntArray

UNLIKELY = 40.0  # -log of the chance of the counts that are left out of a law: 4e-18
MOST_SIGMAS = 4.0  # scores are cut there, so that the stake on them can be large
MOST_LOST = 0.9  # of a stake, in one draw
TINY = 1e-300
AT_ONCE = 2**14  # counts, each with a table of chances


class Urns(NamedTuple):
    """What each count (R, T, K) is drawn from."""

    drawn: IntArray  # n
    own: Array  # balls of the client's colour, or its weight
    others: Array
    low: IntArray  # the least count that is possible
    high: IntArray  # and the largest
    removed: IntArray  # 1: a ball that is drawn is not put back; 0: it is


class Score(NamedTuple):
    """Of each count a number of mean 0 and variance 1; 0 if it was determined."""

    value: FloatArray
    low: FloatArray  # the largest stake against it, as a number below 0
    high: FloatArray  # the largest stake on it
    slope: FloatArray  # d mean / d ε, where ε is the error that it is to show

    def since(self, start: int) -> "Score":
        """Of the epochs from this one on."""
        return Score(*(array[start:] for array in self))


class Drawn(NamedTuple):
    """What the urns say of the counts (R, T, K)."""

    mean: FloatArray
    log_p: FloatArray  # log P(the count)
    score: Score  # ε: the odds of the client's colour are 1 + ε times what they should be
    square: Score  # ε: the variance is 1 + ε times what it should be


def uniform_urns(left: IntArray, counts: IntArray) -> tuple[Urns, Urns]:
    """UGS: the urns given the steps before; and given also the clients before in the step.

    `left` (R, T, K) is what each client had left, `counts` (R, T, K) what it brought.
    """

    def urns(drawn: IntArray, others: IntArray) -> Urns:
        low, high = np.maximum(drawn - others, 0), np.minimum(drawn, left)
        return Urns(drawn, left, others, low, high, np.ones_like(left))

    return urns(counts + _rest(counts), _rest(left)), urns(counts + _after(counts), _after(left))


def latent_urns(left: IntArray, counts: IntArray, weights: FloatArray) -> tuple[Urns, Urns]:
    """LDS: the same, given who ran out in the step. `weights` (R, T, K) are π.

    A client is safe if it could not run out, or with a chance below 4e-18. The others in an urn
    are the safe ones; the counts of those that were near running out are given.
    """
    stays = counts < left
    brought = np.where(stays, counts, 0)
    number = brought.sum(axis=-1, keepdims=True)
    safe, risky = stays, stays
    while risky.any():
        weight = weights * safe
        mean = number * weight / np.maximum(weight.sum(axis=-1, keepdims=True), TINY)
        risky = safe & (left <= np.minimum(number, mean + _reach(mean)))
        safe = safe & ~risky

    def urns(judged: Array, drawn: IntArray, others: FloatArray) -> Urns:
        is_random = judged & (others > 0)
        drawn = np.where(judged, drawn, counts)
        low = np.where(is_random, 0, drawn)
        high = np.where(is_random, np.minimum(drawn, left - 1), drawn)
        return Urns(drawn, weights, others, low, high, np.zeros_like(left))

    of_safe, weight = np.where(safe, brought, 0), np.where(safe, weights, 0.0)
    return (
        urns(stays, brought + _rest(of_safe), _rest(weight)),
        urns(safe, of_safe + _after(of_safe), _after(weight)),
    )


def judged(urns: Urns, counts: IntArray) -> Drawn:
    """Look at all counts: client by client, since each has a table of chances of its own size."""
    num_clients = counts.shape[-1]
    flat = [array.reshape(-1, num_clients) for array in (*urns, counts)]
    told = np.empty((10, *flat[-1].shape))
    for k in range(num_clients):
        for start in range(0, len(flat[-1]), AT_ONCE):
            part = [array[start : start + AT_ONCE, k] for array in flat]
            told[:, start : start + AT_ONCE, k] = _of_client(Urns(*part[:-1]), part[-1])
    mean, log_p, *scores = told.reshape(10, *counts.shape)
    return Drawn(mean, log_p, Score(*scores[:4]), Score(*scores[4:]))


def chances(urns: Urns) -> tuple[IntArray, FloatArray, Array]:
    """Of arrays (n,), the counts that are likely, (n, J), their chances, and which of them can be.

    P(j + 1) / P(j) = (own - j) (n - j) / ((j + 1) (others - n + j + 1)) if no ball is put back,
    and own (n - j) / ((j + 1) others) if every one is. What is left out has a chance below 4e-18,
    by Bernstein's bound. [derived]
    """
    share = urns.own / np.maximum(urns.own + urns.others, TINY)
    mean = urns.drawn * share
    reach = _reach(mean * (1 - share))
    first = np.clip(np.floor(mean - reach), urns.low, urns.high).astype(np.int64)
    last = np.clip(np.ceil(mean + reach), urns.low, urns.high).astype(np.int64)
    j = first[:, np.newaxis] + np.arange(int((last - first).max()) + 1)
    n, own, others, _, _, removed = (array[:, np.newaxis] for array in urns)
    before = j[:, :-1]
    possible = before < last[:, np.newaxis]
    up = (own - removed * before) * (n - before)
    down = (before + 1) * (others - removed * (n - before - 1))
    log_odds = np.zeros(j.shape)
    with np.errstate(divide="ignore"):
        log_ratio = np.log(np.where(possible, up, 0)) - np.log(np.where(possible, down, 1))
    np.cumsum(log_ratio, axis=1, out=log_odds[:, 1:])
    odds = np.exp(log_odds - log_odds.max(axis=1, keepdims=True))
    return j, odds / odds.sum(axis=1, keepdims=True), j <= last[:, np.newaxis]


def _of_client(urns: Urns, counts: IntArray) -> FloatArray:
    """What `Drawn` has of counts (n,), as rows of one array."""
    j, p, can_be = chances(urns)
    seen = np.clip(counts - j[:, 0], 0, can_be.sum(axis=1) - 1)[:, np.newaxis]
    z = np.clip(_standard(j, p), -1e30, 1e30)  # its fourth power is a float
    kurtosis = (p * z**4).sum(axis=1, keepdims=True)
    rows = [
        (p * j).sum(axis=1),
        np.log(np.maximum(np.take_along_axis(p, seen, axis=1)[:, 0], TINY)),
    ]
    # With odds of 1 + ε, P(j) is 1 + ε (j - E j) times as large; with a variance of 1 + ε, say,
    # 1 + ε (z² - 1) / (E z⁴ - 1) times.
    for value, tilt in ((z, j), (z**2, z**2 / np.maximum(kurtosis - 1, 1e-9))):
        cut = _standard(np.clip(_standard(value, p), -MOST_SIGMAS, MOST_SIGMAS), p)
        rows.append(np.take_along_axis(cut, seen, axis=1)[:, 0])
        cut = np.where(can_be, cut, 0)
        is_random = cut.any(axis=1)
        for way in (1, -1):
            loss = (way * cut).max(axis=1)
            rows.append(-way * is_random * MOST_LOST / np.maximum(loss, TINY))
        rows.append((p * cut * tilt).sum(axis=1))
    return np.array(rows)


def _standard(values: Array, p: FloatArray) -> FloatArray:
    """With mean 0 and variance 1 under chances p (n, J); 0 where nothing is left to chance."""
    mean = (p * values).sum(axis=1, keepdims=True)
    off = values - mean
    off = np.where(np.abs(off) > 1e-12 * (np.abs(values) + np.abs(mean)), off, 0)  # not rounding
    sigma = np.sqrt((p * off**2).sum(axis=1, keepdims=True))
    return np.asarray(off / np.where(sigma > 0, sigma, 1))


def _reach(variance: FloatArray) -> FloatArray:
    """How far a count is from its mean with a chance below 4e-18, by Bernstein's bound."""
    reach: FloatArray = UNLIKELY / 3 + np.sqrt(UNLIKELY**2 / 9 + 2 * UNLIKELY * variance)
    return reach


def _after(values: Array) -> Array:
    """Σ over the clients after it; no difference of sums, which would lose a small weight."""
    sums: Array = np.cumsum(values[..., ::-1], axis=-1)[..., ::-1]
    return np.concatenate([sums[..., 1:], np.zeros_like(sums[..., :1])], axis=-1)


def _rest(values: Array) -> Array:
    """Σ over all other clients."""
    return _after(values) + _after(values[..., ::-1])[..., ::-1]
