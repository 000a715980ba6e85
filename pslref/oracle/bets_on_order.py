"""Does a draw depend on what came before it? Four families of bets on the order of the counts."""

import math
from collections import Counter
from collections.abc import Hashable

import numpy as np

from pslref.check import FloatArray
from pslref.oracle import draws
from pslref.oracle.bets import Finding, Stake, Table, verdict

MOST_SHIFTS = 8  # steps by which the last epoch may be rotated, either way


def within_step(table: Table, level: float) -> Finding:
    """The correlation of a client's count with that of the client before it."""
    neighbour = np.roll(_seen(table), 1, axis=2)
    neighbour[..., 0] = 0.0
    return _correlation("within_step", table, level, {"the count of the client before": neighbour})


def between_steps(table: Table, level: float) -> Finding:
    """The correlation with the epoch so far: with the last count, and with all of them.

    Drawn with shares that stay as they were at first, a client that brought much so far brings
    too much again; under LDS, drawn in proportion to what is left, too little.
    """
    last = np.roll(_seen(table), 1, axis=1)
    last[:, 0] = 0.0
    drift = table.left / table.left.sum(axis=-1, keepdims=True) - table.weights
    scale = np.sqrt((drift**2).mean(axis=-1, keepdims=True))
    sources = {
        "its count in the step before": last,
        "its share of what is left": drift / np.maximum(scale, 1e-9),
    }
    return _correlation("between_steps", table, level, sources)


def between_epochs(table: Table, level: float) -> Finding:
    """The correlation with the epochs before, step by step or with the steps moved."""
    seen = _seen(table)
    last, older = np.roll(seen, 1, axis=0), np.roll(seen, 2, axis=0)
    last[0], older[:2] = 0.0, 0.0
    sources = {
        "its count in the epoch before": last,
        "its count two epochs before": older,
        "its count one step later in the epoch before": np.roll(last, -1, axis=1),
        "its count one step earlier in the epoch before": np.roll(last, 1, axis=1),
    }
    most = min(MOST_SHIFTS, len(table.steps) // 2)
    moved = [np.roll(last, shift, axis=1) for shift in range(-most, most + 1)]
    return _correlation("between_epochs", table, level, sources, [*moved, last[:, ::-1]])


def repeats(table: Table, level: float) -> Finding:
    """Copies of an earlier epoch, as it is or with its steps in another order."""
    log_p = np.log(np.maximum(draws.at(table.chained, table.counts), draws.LEAST)).sum((1, 2))
    epochs, log_orders = len(log_p), math.lgamma(len(table.steps) + 1)
    # If every epoch, with some probability, copies one of those before it: few copies, or many.
    copying = np.array([0.5 / epochs, 0.5])
    log_e, copies, earlier = np.zeros((2, 2)), [0, 0], Counter[Hashable]()
    for r, plan in enumerate(table.brought):
        rows = Counter(row.tobytes() for row in plan)
        log_same = sum(math.lgamma(times + 1) for times in rows.values())
        keys = {plan.tobytes(): 0.0, frozenset(rows.items()): log_same - log_orders}
        for kind, (key, log_share) in enumerate(keys.items()):
            found = earlier[key]
            copies[kind] += found > 0
            log_ratio = math.log(found / r) + log_share - log_p[r] if found else -math.inf
            if r:
                log_e[kind] += np.logaddexp(np.log1p(-copying), np.log(copying) + log_ratio)
            earlier[key] += 1

    def detail(bet: tuple[int, ...]) -> str:
        order = " up to the order of their steps" if bet[0] else ""
        return f"{copies[bet[0]]} of {epochs} epochs are copies of an earlier one{order}"

    # One copy among `epochs` different ones wins this much in the bet on few copies.
    wins = -float(log_p.mean()) - 2 * math.log(2 * epochs)
    least = (math.log(4 / level) + 1) / wins if wins > 0 and epochs > 1 else math.inf
    detects = f"about {math.ceil(least)} copies" if wins > 0 and epochs > 1 else ""
    return verdict("repeats", level, log_e, detail, detects, least)


def _seen(table: Table) -> FloatArray:
    """(R, T, K) the scores of the counts, given the steps before."""
    return draws.at(draws.standardised(table.values, table.alone), table.counts)


def _correlation(
    name: str,
    table: Table,
    level: float,
    sources: dict[str, FloatArray],
    moved: list[FloatArray] | None = None,
) -> Finding:
    """Bet that scores follow a source, or oppose it; or follow one of `moved`, any, each epoch."""
    stake = Stake(table.counts.size, 2 * len(sources) + bool(moved), level)
    score = draws.standardised(table.values, table.chained)
    follow = [np.clip(source, -3.0, 3.0) for source in sources.values()]

    def gain(staked: FloatArray) -> FloatArray:
        return draws.log_gain(score, table.chained, table.counts, staked)

    log_e = [gain(way * stake.size * source).sum() for source in follow for way in (1, -1)]
    if moved:
        gains = [gain(0.5 * np.clip(source, -3.0, 3.0)).sum(axis=(1, 2)) for source in moved]
        any_of = np.logaddexp.reduce(gains, axis=0) - math.log(len(moved))
        # Half of the stake is kept back in each epoch, so that none can lose it all.
        log_e.append(np.logaddexp(0.0, any_of).sum() - math.log(2) * len(any_of))
    scores = draws.at(score, table.counts)

    def detail(bet: tuple[int, ...]) -> str:
        if bet[0] == 2 * len(follow):
            return "an epoch comes again with its steps rotated or reversed"
        source = follow[bet[0] // 2]
        size = int(np.count_nonzero(source * scores))
        correlation = (source * scores).sum() / max(size, 1)
        return (
            f"the correlation of a client's count with {list(sources)[bet[0] // 2]} is "
            f"{correlation:+.3f} in {size} counts, 0 expected"
        )

    least = stake.least(min(int(np.count_nonzero(source * scores)) for source in follow))
    detects = f"a correlation of {least:.2f}"
    return verdict(name, level, np.array(log_e), detail, detects, least if least < 1 else math.inf)
