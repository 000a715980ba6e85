"""A bet with fair odds against a random sampler, and what a family of bets says together.

Against a right sampler a stake of 1 stays 1 in expectation (`draws.log_gain`), so it grows to
1 / p with probability p at most: exact, no tail is approximated [derived]. The bets of a family
share one stake, and the mean of what they win is a fair bet too.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pslref.check import FloatArray, IntArray
from pslref.oracle import draws

MOST_CHANCES = 1_000_000  # in one table; of a longer log, evenly spread steps and the first epochs
FEWEST_STEPS = 9


@dataclass(frozen=True)
class Finding:
    """What one test says: `detail` in a sentence; `detects`, the smallest error it would see."""

    name: str
    passed: bool
    detail: str
    detects: str


class Stake(NamedTuple):
    """How much to stake on each of `draws` scores of variance 1, in one of `bets` bets."""

    draws: int
    bets: int
    level: float

    @property
    def size(self) -> float:
        """√(2 log(bets / level) / draws): what shows the smallest error."""
        return min(2.0, math.sqrt(2 * math.log(self.bets / self.level) / self.draws))

    def least(self, undetermined: float, most: float = math.inf) -> float:
        """About the mean score seen with 99.9 % chance, if so many draws are left to chance.

        `most` is the largest stake that a bet could take.
        """
        if not undetermined:
            return math.inf
        size = min(self.size, most)
        needed = math.log(self.bets / self.level) / (size * undetermined) + size / 2
        return needed + 3.1 / math.sqrt(undetermined)


@dataclass(frozen=True)
class Table:
    """Every draw of the schedules, and its chances given what came before.

    R, T and K stand for the epochs, steps and clients that are looked at; of a long log that is
    not all of them.
    """

    steps: IntArray  # (T,) their numbers
    brought: IntArray  # (R, T, K) b_tk
    left: IntArray  # (R, T, K) what the client had left
    held: IntArray  # (K,) n_k
    weights: FloatArray  # (R, T, K) n_k / N; under LDS π
    counts: IntArray  # (R, T, K) b_tk; under LDS 0 for a client that ran out in the step
    alone: FloatArray  # (R, T, K, J) P(count = j | the steps before)
    chained: FloatArray  # (R, T, K, J) P(count = j | ... and the clients before it in this step)
    few: IntArray  # some of the T steps: first, middle, last but one, last
    few_chances: FloatArray  # (R, few, K, J) P(count = j); under LDS given the steps before

    @property
    def values(self) -> FloatArray:
        """(J,) the counts 0 ... J − 1."""
        return np.arange(self.alone.shape[-1], dtype=np.float64)


def tabulate(
    schedules: IntArray, sizes: IntArray, posterior: Callable[[IntArray], FloatArray] | None
) -> Table:
    """The chances of schedules (R, T, K) that keep the sampler's promises.

    `posterior` (LDS) gives π over the clients that have something left; None stands for UGS.
    """
    epochs, num_steps, num_clients = schedules.shape
    row = num_clients * (int(schedules[0].sum(axis=1).max()) + 1)
    epochs = min(epochs, max(2, MOST_CHANCES // (row * min(num_steps, FEWEST_STEPS))))
    num = min(num_steps, max(FEWEST_STEPS, MOST_CHANCES // (row * epochs)))
    steps = np.unique(np.linspace(0, num_steps - 1, num).astype(np.int64))
    left = (sizes - (np.cumsum(schedules, axis=1) - schedules))[:epochs, steps]
    brought = counts = schedules[:epochs, steps]
    last = len(steps) - 1
    few = np.unique([0, (last + 1) // 2, max(0, last - 1), last])
    if posterior is None:
        batches = brought[0].sum(axis=1)
        weights = np.broadcast_to(sizes / sizes.sum(), left.shape)
        alone, chained = draws.given_sum(counts, draws.hypergeometric_odds(left, batches))
        # Whatever came before, each batch is a draw from all N samples.
        all_held = np.broadcast_to(sizes, left[:, few].shape)
        odds = draws.hypergeometric_odds(all_held, batches[few])
        few_chances, _ = draws.given_sum(counts[:, few], odds)
    else:
        weights = draws.mixing(left, posterior)
        counts, odds = draws.multinomial_odds(brought, left, weights)
        alone, chained = draws.given_sum(counts, odds)
        few_chances = alone[:, few]
    return Table(steps, brought, left, sizes, weights, counts, alone, chained, few, few_chances)


def verdict(
    name: str,
    level: float,
    log_e: FloatArray,
    detail: Callable[[tuple[int, ...]], str],
    detects: str,
    least: float,
) -> Finding:
    """What a family of bets says.

    Args:
        name: the family's.
        level: accused if the family's p is at most that.
        log_e: log of what each bet made of a stake of 1, of any shape.
        detail: describes a bet, given by its index into log_e; that which won most is shown.
        detects: the smallest error it detects.
        least: not finite if it detects nothing.
    """
    won = float(np.logaddexp.reduce(log_e, axis=None)) - math.log(log_e.size)
    p = math.exp(-max(0.0, won))
    best = tuple(int(i) for i in np.unravel_index(int(np.argmax(log_e)), log_e.shape))
    sentence = f"{detail(best)}: p = {p:.2g}, accused at {level:.2g}"
    nothing = "nothing: these epochs are too few, or leave nothing to chance"
    return Finding(name, p > level, sentence, detects if math.isfinite(least) else nothing)


def both_ways(score: FloatArray, chances: FloatArray, counts: IntArray, size: float) -> FloatArray:
    """(2, R, T, K): the gains of bets on high and on low scores."""
    return np.stack([draws.log_gain(score, chances, counts, way) for way in (size, -size)])


def undetermined(chances: FloatArray) -> int:
    """How many draws have more than one possible outcome."""
    return int((chances.max(axis=-1) < 1 - 1e-9).sum())
