"""How unlikely a large deviation is: Hoeffding, Serfling, and a bound on the deviation itself.

All three share one form: P ≤ events · exp(−2 n ε²), with n = B draws (Hoeffding 1963) or, without
replacement, the n = B / (1 − (B − 1) / N) that they are worth (Serfling 1974). (method.md 4.3)
"""

import math

from pslref import check

MOST = 10**18  # samples, so that they stay exact enough in floats
MOST_CLASSES = 100_000  # 2^M is computed exactly


def hoeffding(eps: float, batch_size: int) -> float:
    """Bound on P(|c_m / B − p_m| ≥ ε) for one class m: 2 exp(−2 B ε²), at most 1.

    Holds with and without replacement. [paper] (method.md 4.3)

    Args:
        eps: ε, 0 or more.
        batch_size: B, the samples in the batch.
    """
    return _bound(2, eps, check.integer("batch_size", batch_size, 1, MOST))


def hoeffding_eps(probability: float, batch_size: int) -> float:
    """The ε, √(log(2 / P) / (2B)), for which `hoeffding` gives `probability` (method.md 4.3)."""
    return _eps(2, probability, check.integer("batch_size", batch_size, 1, MOST))


def hoeffding_batch_size(eps: float, probability: float) -> int:
    """The least B whose `hoeffding` bound is at most `probability`: ⌈log(2 / P) / (2 ε²)⌉.

    Here ε is from 1e-100, so that its square is not lost, to 1, the most that a share can be off.
    (method.md 4.3)
    """
    eps = check.real("eps", eps, 1e-100, 1.0)
    return math.ceil(_log_ratio(2, probability) / (2 * eps * eps))


def serfling(eps: float, batch_size: int, population: int) -> float:
    """Bound on P(|c_m / B − p_m| ≥ ε), UGS: 2 exp(−2 B ε² / (1 − (B − 1) / N)), at most 1.

    Never above `hoeffding`, and far below it once B is a good part of N. [paper] (method.md 4.3)

    Args:
        eps: ε, 0 or more.
        batch_size: B, the samples in the batch, at most N.
        population: N, the samples of all clients.
    """
    return _bound(2, eps, _independent(batch_size, population))


def serfling_eps(probability: float, batch_size: int, population: int) -> float:
    """The ε for which `serfling` gives `probability` (method.md 4.3)."""
    return _eps(2, probability, _independent(batch_size, population))


def serfling_batch_size(eps: float, probability: float, population: int) -> int:
    """The least B whose `serfling` bound is at most `probability`, or N, where c_m / B is p_m.

    That is L (N + 1) / (2 N ε² + L), rounded up, with L = log(2 / P); ε is from 0 to 1. [derived]
    (method.md 4.3)
    """
    eps = check.real("eps", eps, 0.0, 1.0)
    n = check.integer("population", population, 1, MOST)
    log_ratio = _log_ratio(2, probability)
    return min(n, math.ceil(log_ratio * (n + 1) / (2 * n * eps * eps + log_ratio)))


def deviation_bound(eps: float, batch_size: int, population: int, num_classes: int) -> float:
    """Bound on P(Δ ≥ ε), UGS: (2^M − 2) exp(−B ε² / (2 (1 − (B − 1) / N))), at most 1.

    With one class Δ is always 0. [derived, after Weissman et al. 2003] (method.md 4.3)

    Args:
        eps: ε, 0 or more; Δ itself is at most 2.
        batch_size: B, the samples in the batch, at most N.
        population: N, the samples of all clients.
        num_classes: M.
    """
    sets = 2 ** check.integer("num_classes", num_classes, 1, MOST_CLASSES) - 2
    half, draws = check.real("eps", eps, 0.0) / 2, _independent(batch_size, population)
    return _bound(sets, half, draws) if sets else float(half == 0)


def deviation_eps(probability: float, batch_size: int, population: int, num_classes: int) -> float:
    """The ε for which `deviation_bound` gives `probability`; M is 2 or more (method.md 4.3)."""
    sets = 2 ** check.integer("num_classes", num_classes, 2, MOST_CLASSES) - 2
    return 2 * _eps(sets, probability, _independent(batch_size, population))


def _independent(batch_size: int, population: int) -> float:
    n = check.integer("population", population, 1, MOST)
    b = check.integer("batch_size", batch_size, 1, n)
    return b / ((n - b + 1) / n)


def _bound(events: int, eps: float, draws: float) -> float:
    eps = check.real("eps", eps, 0.0)
    return math.exp(min(0.0, math.log(events) - 2 * draws * eps * eps))


def _eps(events: int, probability: float, draws: float) -> float:
    return math.sqrt(_log_ratio(events, probability) / (2 * draws))


def _log_ratio(events: int, probability: float) -> float:
    p = check.real("probability", probability, 0.0, 1.0, low_open=True)
    if p == 1:
        raise check.wrong("probability", probability, "must be less than 1")
    return math.log(events) - math.log(p)
