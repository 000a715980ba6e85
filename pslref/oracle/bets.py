"""Four families of bets against a random sampler, and what each says together.

A bet multiplies its stake by Π (1 + λ x) over scores x whose mean is 0 given all that came before,
for stakes λ that depend on nothing else. So a stake of 1 stays 1 in expectation, and grows to
1 / p with probability p at most: exact, no tail is approximated. [derived] The bets of a family
share one stake, and the mean of what they win is a fair bet too.
"""

import math
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from pslref.check import Array, FloatArray, IntArray
from pslref.oracle.draws import MOST_LOST, MOST_SIGMAS, Drawn, Score, Urns, judged
from pslref.oracle.result import Result

LARGEST = 690.0  # log of the largest win that is told: p = 1e-300
MOST_SHIFTS = 8  # steps by which the last epoch may be rotated, either way
SIGMAS = 4.0  # that an error may be hidden by: 2.3 for 99 %, the rest for its own variance
TOO_FEW = "nothing: the epochs are too few"


class Log(NamedTuple):
    """All counts of a log, and what the law says of them."""

    op: str
    names: Sequence[str]  # of the K clients
    counts: IntArray  # (R, T, K) b_tk, of all epochs and steps
    emptied: Array  # (R, T) whether some client had run out before
    alone: Drawn  # given the steps before
    chained: Drawn  # given also the clients before in the step


def log(op: str, names: Sequence[str], counts: IntArray, left: IntArray, *urns: Urns) -> Log:
    """Look at counts (R, T, K) of clients that had so much left, drawn from these urns."""
    emptied = ((left == 0) & (left[:, :1] > 0)).any(axis=-1)
    return Log(op, names, counts, emptied, *(judged(each, counts) for each in urns))


def clients(log: Log, level: float) -> Result:
    """The mean of a client's counts, before and after some client has run out, up to the end."""
    score, num_clients, starts = log.alone.score, len(log.names), _starts(log)
    num_bets = 4 * num_clients * len(starts)
    sizes = [_stake(log.counts[start:, :, 0].size, num_bets, level) for start in starts]
    phases = [phase[..., np.newaxis] for phase in (~log.emptied, log.emptied)]
    log_e = np.empty((len(starts), 2, 2, num_clients))
    for i, (start, size) in enumerate(zip(starts, sizes, strict=True)):
        for j, way in enumerate((1, -1)):
            gains = _gains(way * size, score.since(start))
            log_e[i, :, j] = [(gains * phase[start:]).sum(axis=(0, 1)) for phase in phases]

    def detail(bet: tuple[int, ...]) -> str:
        i, phase, _, k = bet
        rows = log.emptied == bool(phase)
        rows[: starts[i]] = False
        return (
            f"{log.names[k]} brings {log.counts[rows, k].sum()} samples to {rows.sum()} steps "
            f"{'after' if phase else 'before'} one ran out{_since(starts[i])}, "
            f"{log.alone.mean[rows, k].sum():.1f} expected"
        )

    stakes = np.minimum(sizes[0], np.minimum(-score.low, score.high))
    off = [
        [_least(stakes[..., k] * p[..., 0], score.slope[..., k], num_bets, level) for p in phases]
        for k in range(num_clients)
    ]
    each = np.min(off, axis=1)
    best, worst = int(each.argmin()), int(np.where(np.isfinite(each), each, -1).argmax())
    detects = f"a share that is {100 * each[best]:.1f} % off for {log.names[best]}"
    if worst != best:
        detects += f", {100 * each[worst]:.1f} % for {log.names[worst]}"
    return _verdict("clients", log.op, level, log_e, detail, detects if each[best] < 1 else "")


def spread(log: Log, level: float) -> Result:
    """The variance of all counts up to the end, jointly; and in some epochs alone."""
    square, starts = log.chained.square, _starts(log)
    num_bets = 2 * len(starts) + 2
    of_one = _stake(log.counts[0].size, num_bets, level)
    alone = np.array([_gains(way * of_one, square).sum(axis=(1, 2)) for way in (1, -1)])
    sizes = [_stake(log.counts[start:].size, num_bets, level) for start in starts]
    log_e = [
        _gains(way * size, square.since(start)).sum()
        for start, size in zip(starts, sizes, strict=True)
        for way in (1, -1)
    ]
    log_e += _in_some(np.logaddexp.reduce(alone, axis=0) - math.log(2)).tolist()
    stakes = np.minimum(sizes[0], np.minimum(-square.low, square.high))
    off = _least(stakes, square.slope, num_bets, level)

    def detail(bet: tuple[int, ...]) -> str:
        i, worst = bet[0] // 2, int(alone.max(axis=0).argmax())
        part, where = slice(worst, worst + 1), f" in epoch {worst}"
        if i < len(starts):
            part, where = slice(starts[i], None), _since(starts[i])
        seen = 1 + square.value[part].sum() / max(square.slope[part].sum(), 1e-9)
        size = log.counts[part].size
        return f"the variance of {size} counts{where} is about {seen:.2f} of what is expected"

    detects = f"a variance that is off by {math.ceil(100 * off)} %" if off < 1 else ""
    return _verdict("spread", log.op, level, np.array(log_e), detail, detects)


def between_epochs(log: Log, level: float) -> Result:
    """The correlation with the epoch before, step by step; or with its steps moved."""
    score, num_steps = log.chained.score, log.counts.shape[1]
    last = np.roll(np.clip(log.alone.score.value, -MOST_SIGMAS, MOST_SIGMAS), 1, axis=0)
    last[:1] = 0.0
    size = _stake(log.counts.size, 3, level)

    most, in_order = min(MOST_SHIFTS, num_steps // 2), np.arange(num_steps)
    orders = [np.roll(in_order, shift) for shift in range(-most, most + 1)] + [in_order[::-1]]
    moved = np.logaddexp.reduce(
        [_gains(0.5 * last[:, order], score).sum(axis=(1, 2)) for order in orders]
    )
    # Half of the stake is kept back in each epoch, so that none can lose it all.
    kept = np.logaddexp(moved, math.log(len(orders))) - math.log(2 * len(orders))
    follow, oppose = (_gains(way * size * last, score).sum() for way in (1, -1))
    log_e = np.array([follow, oppose, kept.sum()])

    def detail(bet: tuple[int, ...]) -> str:
        if bet[0] == 2:
            return "an epoch comes again with its steps rotated or reversed"
        both = (last * score.value).sum() / max(np.count_nonzero(last * score.value), 1)
        return f"the correlation of counts with the epoch before is {both:+.3f}, 0 expected"

    stakes = np.minimum(size * np.abs(last), np.minimum(-score.low, score.high))
    off = _least(stakes, np.abs(last), 3, level)
    detects = f"epochs that keep {math.ceil(100 * off)} % of the one before" if off < 1 else ""
    return _verdict("between_epochs", log.op, level, log_e, detail, detects)


def repeats(log: Log, level: float) -> Result:
    """Copies of an earlier epoch, as it is or with its steps in another order."""
    log_p = log.chained.log_p.sum(axis=(1, 2))
    epochs, log_orders = len(log_p), math.lgamma(log.counts.shape[1] + 1)
    log_ratios, copies, earlier = np.zeros((2, epochs)), [0, 0], Counter[Hashable]()
    for r, plan in enumerate(log.counts):
        rows = Counter(row.tobytes() for row in plan)
        log_same = sum(math.lgamma(times + 1) for times in rows.values())
        keys = {plan.tobytes(): 0.0, frozenset(rows.items()): log_same - log_orders}
        for kind, (key, log_share) in enumerate(keys.items()):
            found = earlier[key]
            copies[kind] += found > 0
            if r:
                log_p_copy = math.log(found / r) + log_share if found else -math.inf
                log_ratios[kind, r] = log_p_copy - log_p[r]
            earlier[key] += 1
    log_e = np.array([_in_some(log_ratio) for log_ratio in log_ratios])

    def detail(bet: tuple[int, ...]) -> str:
        order = " up to the order of their steps" if bet[0] else ""
        return f"{copies[bet[0]]} of {epochs} epochs are copies of an earlier one{order}"

    # What one copy among different epochs wins; and each epoch, if all are copies of the first.
    needed, surprise = math.log(4 / level) + 1, -float(log_p.mean())
    few, all_ = surprise - 2 * math.log(2 * epochs), surprise - math.log(2)
    detects = ""
    if few * epochs > needed and epochs > math.ceil(needed / few):
        detects = f"copies of earlier epochs, if there are {math.ceil(needed / few)}"
    elif all_ * (epochs - 1) > needed:
        detects = "one schedule for all epochs"
    return _verdict("repeats", log.op, level, log_e, detail, detects)


FAMILIES = (clients, spread, between_epochs, repeats)


def follow_law(log: Log, alpha: float) -> list[Result]:
    """What all families say; together they accuse a right sampler with probability alpha."""
    if not log.chained.score.high.any():
        return [Result("law", log.op, "ok", "no draw is left to chance", detects="nothing")]
    return [family(log, alpha / len(FAMILIES)) for family in FAMILIES]


def means(op: str, names: Sequence[str], counts: IntArray, held: IntArray, level: float) -> Result:
    """The mean of each count in each step, whatever its law: every sample is equally likely.

    `counts` (R, T, J) are samples of J kinds, of which there are `held` (J,).
    """
    batches = counts[0].sum(axis=1, keepdims=True)
    mean = batches * held / held.sum()
    largest = np.maximum(np.maximum(mean, np.minimum(held, batches) - mean), 0.5)
    stakes = np.minimum(_stake(len(counts), 2 * mean.size, level), MOST_LOST / largest)
    log_e = np.array([np.log1p(way * stakes * (counts - mean)).sum(axis=0) for way in (1, -1)])

    def detail(bet: tuple[int, ...]) -> str:
        _, t, k = bet
        return (
            f"{names[k]} brings {counts[:, t, k].mean():.3f} samples to step {t} "
            f"(mean of {len(counts)} epochs), {mean[t, k]:.3f} expected"
        )

    least = np.broadcast_to(stakes.min(), len(counts))
    off = _least(least, np.ones(len(counts)), 2 * mean.size, level)
    detects = f"a mean count in one step that is off by {off:.2f} samples"
    return _verdict("means", op, level, log_e, detail, detects)


def _starts(log: Log) -> list[int]:
    """Bets begin with the first epoch, with half of them, a quarter, ...: a fault may come late."""
    epochs = len(log.counts)
    return [epochs - (epochs >> i) for i in range(epochs.bit_length())]


def _since(start: int) -> str:
    return f" from epoch {start} on" if start else ""


def _in_some(log_e: FloatArray) -> FloatArray:
    """If each epoch breaks the law with some probability: few of them, or many. (R,) -> (2,)"""
    breaking = np.array([[0.5 / len(log_e)], [0.5]])
    mixed = np.logaddexp(np.log1p(-breaking), np.log(breaking) + log_e)
    return np.asarray(mixed.sum(axis=1))


def _gains(stakes: FloatArray | float, score: Score) -> FloatArray:
    """log (1 + λ x) for these λ, as far as none could lose all."""
    return np.asarray(np.log1p(np.clip(stakes, score.low, score.high) * score.value))


def _stake(draws: int, bets: int, level: float) -> float:
    """λ = √(2 log(bets / level) / draws): of scores of variance 1 it shows the smallest error."""
    return math.sqrt(2 * math.log(bets / level) / max(draws, 1))


def _least(stakes: FloatArray, slopes: FloatArray, bets: int, level: float) -> float:
    """The ε that these stakes show with 99 % chance, if scores of variance 1 have the mean slope ε.

    log Π (1 + λ x) is about Σ λ x - λ² / 2.
    """
    per_error, squares = float((stakes * slopes).sum()), float((stakes**2).sum())
    needed = math.log(bets / level) + squares / 2 + SIGMAS * math.sqrt(squares)
    return needed / per_error if per_error > 0 else math.inf


def _verdict(
    check: str,
    op: str,
    level: float,
    log_e: FloatArray,
    detail: Callable[[tuple[int, ...]], str],
    detects: str,
) -> Result:
    """What a family of bets says that made `log_e`, of any shape, of a stake of 1 each.

    `detail` describes a bet, given by its index; that which won most is shown. `detects` is the
    smallest error that is seen with 99 % chance, or "".
    """
    won = float(np.logaddexp.reduce(log_e, axis=None)) - math.log(log_e.size)
    p = math.exp(-min(max(0.0, won), LARGEST))
    best = tuple(int(i) for i in np.unravel_index(int(np.argmax(log_e)), log_e.shape))
    sentence = f"{detail(best)}: p = {p:.2g}, accused at {level:.2g}"
    result = Result(check, op, "ok", sentence, p, detects or TOO_FEW)
    if p <= level:
        return replace(result, verdict="wrong")
    return result if detects else replace(result, verdict="unsupported")
