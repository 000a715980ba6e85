"""Where FPLS beats UGS and where it loses: the numbers of the method page, section 4.4."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pslref.sampling import fpls, global_batch_sizes
from pslref.theory import (
    class_count_variance,
    expected_deviation,
    expected_uniform_deviation,
    participation_bias,
)


def by_fpls(class_counts: list[list[int]], batch_size: int) -> np.ndarray:
    """E[Δ] of each step of the FPLS epoch."""
    counts = np.array(class_counts)
    return expected_deviation(fpls(counts.sum(axis=1), batch_size), counts)


def by_ugs(class_counts: list[list[int]], batch_size: int) -> np.ndarray:
    """E[Δ] of each step of the UGS epoch."""
    totals = np.array(class_counts).sum(axis=0)
    batches = global_batch_sizes(int(totals.sum()), batch_size)
    return np.array([expected_uniform_deviation(totals, int(b)) for b in batches])


def unbiased_variance(of_class: int, n: int) -> Fraction:
    """Of the labels 'is of this class' in a group of n samples."""
    return Fraction(of_class * (n - of_class), n * (n - 1)) if n > 1 else Fraction(0)


@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.integers(1, 5), st.lists(st.integers(0, 9))), min_size=1, max_size=6),
)
def test_the_border_without_rounding(share, clients) -> None:
    """If every B n_k / N is whole, FPLS has the smaller variance in every step exactly when the
    clients' own unbiased variances, weighted by size, average to less than the pooled one. In
    words: when clients differ by more than a random deal of the same labels would make them.
    """
    sizes = [4 * b for b, _ in clients]  # B = share * N / 4, so b_k = share * n_k / 4
    n_k0 = [min(sum(ones), size) for (_, ones), size in zip(clients, sizes, strict=True)]
    class_counts = np.array([[ones, n - ones] for ones, n in zip(n_k0, sizes, strict=True)])
    n, n_0 = sum(sizes), sum(n_k0)
    batch_size = share * n // 4
    schedule = fpls(sizes, batch_size)
    within = sum(Fraction(s, n) * unbiased_variance(o, s) for o, s in zip(n_k0, sizes, strict=True))
    pooled = unbiased_variance(n_0, n)
    left_out = Fraction(n - batch_size, n)
    first = class_count_variance(schedule, class_counts)[0, 0]
    assert first == pytest.approx(float(batch_size * left_out * within), abs=1e-12)
    p = n_0 / n  # UGS: the variance of a hypergeometric count
    uniform = batch_size * p * (1 - p) * (n - batch_size) / (n - 1)
    assert uniform == pytest.approx(float(batch_size * left_out * pooled), abs=1e-12)


def test_equal_halves_lose_and_the_loss_shrinks_with_the_clients_size() -> None:
    """Eight clients, each with n / 2 samples of each of two classes, B = 8."""
    for n, uniform in [(2, 0.1904), (4, 0.2362), (8, 0.2556), (16, 0.2647), (64, 0.2713)]:
        class_counts = [[n // 2, n // 2]] * 8
        assert by_fpls(class_counts, 8) == pytest.approx(0.2734375)  # one of each: binomial
        assert by_ugs(class_counts, 8) == pytest.approx(uniform, abs=5e-5)


def test_the_border_between_similar_and_different_clients() -> None:
    """Eight clients of 16, B = 8: four hold 8 + a of the first class, four hold 8 − a.

    UGS gives 0.2647 for every a. The variances meet at a = 16 / 2 · √(7 / 127) = 1.88.
    """
    exact = [0.2734, 0.2710, 0.2635, 0.2504, 0.2308, 0.2025, 0.1612, 0.0989, 0.0]
    for a, deviation in enumerate(exact):
        class_counts = [[8 + a, 8 - a]] * 4 + [[8 - a, 8 + a]] * 4
        assert by_fpls(class_counts, 8) == pytest.approx(deviation, abs=5e-5)
        assert by_ugs(class_counts, 8) == pytest.approx(0.2647, abs=5e-5)


def test_rounding_takes_the_gain_away() -> None:
    """Eight clients of one class each, B = 8. Sizes 16: no deviation at all. Sizes 20 and 12:
    b_k = 1.25 and 0.75 are both rounded to 1, a bias of 1/4 that no shuffle mends, then a tail.
    """
    assert by_fpls([[16, 0]] * 4 + [[0, 16]] * 4, 8).tolist() == [0.0] * 16
    class_counts = [[20, 0]] * 4 + [[0, 12]] * 4
    deviation = by_fpls(class_counts, 8)
    bias = participation_bias(fpls([20] * 4 + [12] * 4, 8), class_counts)
    assert deviation == pytest.approx(bias)
    assert deviation == pytest.approx([0.25] * 12 + [0.75] * 8)
    assert deviation.mean() == pytest.approx(0.45)
    assert by_ugs(class_counts, 8) == pytest.approx(0.2556, abs=5e-5)


def test_one_larger_client_takes_it_away_too() -> None:
    """Eight clients of one class each, B = 8, seven of size 16. If the last has 24, its b_k = 1.41
    is rounded to 1, and the last third of the epoch comes from it alone. If it has 17, that is
    one step, and the gain stays: a last batch of one sample is what UGS ends with, too.
    """
    seven = [[16, 0]] * 4 + [[0, 16]] * 3
    deviation = by_fpls([*seven, [0, 24]], 8)
    assert deviation == pytest.approx([1 / 17] * 16 + [16 / 17] * 8)
    assert deviation.mean() == pytest.approx(6 / 17)  # 0.353
    assert by_ugs([*seven, [0, 24]], 8) == pytest.approx(0.2778, abs=5e-5)

    assert by_fpls([*seven, [0, 17]], 8).mean() == pytest.approx(0.0657, abs=5e-5)
    assert by_ugs([*seven, [0, 17]], 8).mean() == pytest.approx(0.3100, abs=5e-5)
