"""Exact tests of a discrete law, for the randomized checks of the whole suite."""

from collections import Counter
from collections.abc import Hashable, Mapping

from scipy.stats import binomtest, norm


def departures(
    seen: Counter[Hashable], law: Mapping[Hashable, float], alpha: float
) -> dict[Hashable, float]:
    """Outcomes whose frequency the law does not explain, with their p-values.

    Each outcome's count is Binomial(R, p) under the law; its exact two-sided test takes alpha
    divided by the number of outcomes (Bonferroni), so that a right sampler is accused with
    probability alpha at most. An outcome outside the law is a departure by itself.
    """
    draws = seen.total()
    found = {outcome: 0.0 for outcome in seen if outcome not in law}
    for outcome, probability in law.items():
        p_value = binomtest(seen[outcome], draws, probability).pvalue
        if p_value < alpha / len(law):
            found[outcome] = p_value
    return found


def smallest_shift(probability: float, draws: int, outcomes: int, alpha: float) -> float:
    """How far an outcome's probability must be off to be seen with 99.9 % power, roughly."""
    sigma = (probability * (1 - probability) / draws) ** 0.5
    return float(sigma * (norm.isf(alpha / outcomes / 2) + norm.isf(1e-3)))
