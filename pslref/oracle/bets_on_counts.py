"""Do the clients bring as many samples as the law says? Four families of bets on the counts."""

import math

import numpy as np

from pslref.oracle import draws
from pslref.oracle.bets import Finding, Stake, Table, both_ways, undetermined, verdict


def cells(table: Table, level: float) -> Finding:
    """The mean of a client's count in one step."""
    counts, chances = table.counts[:, table.few], table.few_chances
    stake = Stake(len(counts), 2 * counts[0].size, level)
    score = draws.standardised(table.values, chances)
    log_e = both_ways(score, chances, counts, stake.size).sum(axis=1)
    mean = (chances @ table.values).mean(axis=0)
    variance = float(((chances @ table.values**2).mean(axis=0) - mean**2).max())

    def detail(bet: tuple[int, ...]) -> str:
        _, t, k = bet
        return (
            f"client {k} brings {counts[:, t, k].mean():.3f} samples to step "
            f"{table.steps[table.few[t]]} (mean of {len(counts)} epochs), {mean[t, k]:.3f} expected"
        )

    least = stake.least(undetermined(chances) / counts[0].size)
    off = least * math.sqrt(max(variance, 1e-300))
    detects = f"a mean count in one step that is off by {off:.2f} samples"
    return verdict("cells", level, log_e, detail, detects, least)


def outcomes(table: Table, level: float) -> Finding:
    """How often a client's count in one step is j."""
    counts, chances = table.counts[:, table.few], table.few_chances
    hit = counts[..., np.newaxis] == table.values
    stake = Stake(len(hit), 2 * hit[0].size, level)
    deviation = np.sqrt(np.maximum(chances * (1 - chances), 1e-9))
    size = np.minimum(stake.size / deviation, 10.0)
    log_e = np.stack(
        [(way * hit - np.log1p(chances * np.expm1(way))).sum(axis=0) for way in (size, -size)]
    )

    def detail(bet: tuple[int, ...]) -> str:
        _, t, k, j = bet
        return (
            f"client {k} brings {j} samples to step {table.steps[table.few[t]]} in "
            f"{hit[:, t, k, j].sum()} of {len(hit)} epochs, "
            f"{chances[:, t, k, j].sum():.1f} expected"
        )

    least = stake.least(undetermined(chances) / counts[0].size)
    detects = f"a probability of 1/2 that is off by {least / 2:.2f}"
    return verdict("outcomes", level, log_e, detail, detects, least if least < 1 else math.inf)


def clients(table: Table, level: float) -> Finding:
    """The mean of a client's counts in all steps, before and after some client has run out."""
    score = draws.standardised(table.values, table.alone)
    stake = Stake(table.counts[..., 0].size, 4 * table.held.size, level)
    gains = both_ways(score, table.alone, table.counts, stake.size)
    emptied = ((table.left == 0) & (table.held > 0)).any(axis=-1, keepdims=True)
    log_e = np.stack([(gains * phase).sum(axis=(1, 2)) for phase in (~emptied, emptied)])
    mean = table.alone @ table.values

    def detail(bet: tuple[int, ...]) -> str:
        phase, _, k = bet
        rows = emptied[..., 0] == bool(phase)
        return (
            f"client {k} brings {table.counts[rows, k].sum()} samples to {rows.sum()} steps "
            f"{'after' if phase else 'before'} a client ran out, "
            f"{mean[rows, k].sum():.1f} expected"
        )

    least = stake.least(undetermined(table.alone) / table.held.size)
    detects = f"mean counts of a client that are all off by {least:.2f} standard deviations"
    return verdict("clients", level, log_e, detail, detects, least)


def spread(table: Table, level: float) -> Finding:
    """The variance of all counts, jointly."""
    score = draws.standardised(table.values, table.chained)
    square = draws.standardised(score**2, table.chained)
    stake = Stake(table.counts.size, 2, level)
    log_e = both_ways(square, table.chained, table.counts, stake.size).sum(axis=(1, 2, 3))
    size = undetermined(table.chained)
    seen = (draws.at(score, table.counts) ** 2).sum() / max(size, 1)
    least = stake.least(size)
    return verdict(
        "spread",
        level,
        log_e,
        lambda _: f"the variance of {size} counts is {seen:.3f} of what is expected",
        f"a variance that is off by {math.sqrt(2) * least:.0%}",  # of a square: about 2
        least,
    )
