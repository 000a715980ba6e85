"""Every law twice: the formula against enumeration, exact rationals, scipy, or a simulation."""

import time
from math import comb, log

import mpmath
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pslref.partition import extended_dirichlet
from pslref.sampling import Schedule, fls, fpls, targets, ugs
from pslref.theory import (
    batch_deviation,
    class_count_mean,
    class_count_pmf,
    class_count_variance,
    expected_deviation,
    expected_uniform_deviation,
    hypergeometric_pmf,
    participation_bias,
    uniform_deviation_std,
)
from pslref.theory.expected import urn_law
from tests.theory.shuffling import every_order, every_outcome, handed_out


@st.composite
def tiny_epochs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Up to 3 clients of up to 4 samples, and any plan of up to 3 steps, also an unfinished one."""
    num_classes = draw(st.integers(1, 3))
    clients = st.lists(st.integers(0, 4), min_size=num_classes, max_size=num_classes)
    counts = draw(st.lists(clients.filter(lambda c: sum(c) <= 4), min_size=1, max_size=3))
    num_steps = draw(st.integers(1, 3))
    batch_sizes = np.zeros((num_steps, len(counts)), np.int64)
    for k, of_class in enumerate(counts):
        left = sum(of_class)
        for t in range(num_steps):
            batch_sizes[t, k] = draw(st.integers(0, left))
            left -= batch_sizes[t, k]
    assume((batch_sizes.sum(axis=1) > 0).all())
    return batch_sizes, np.array(counts)


@settings(max_examples=120)
@given(tiny_epochs())
def test_the_conditional_law_against_every_shuffle(case) -> None:
    batch_sizes, class_counts = case
    schedule, totals = Schedule(batch_sizes), class_counts.sum(axis=0)
    outcomes = every_outcome(batch_sizes, class_counts)  # (R, T, M), each equally likely
    mean = outcomes.mean(axis=0)
    np.testing.assert_allclose(class_count_mean(schedule, class_counts), mean, atol=1e-13)
    variance = class_count_variance(schedule, class_counts)
    np.testing.assert_allclose(variance, outcomes.var(axis=0), atol=1e-13)

    n, b = totals.sum(), batch_sizes.sum(axis=1)
    deviations = np.abs(outcomes * n - np.outer(b, totals)).sum(axis=2).mean(axis=0) / (b * n)
    expected = expected_deviation(schedule, class_counts)
    np.testing.assert_allclose(expected, deviations, rtol=1e-12, atol=0)
    bias = participation_bias(schedule, class_counts)
    np.testing.assert_allclose(bias, np.abs(mean / b[:, None] - totals / n).sum(1), atol=1e-13)
    assert (bias <= expected + 1e-13).all()

    for t, m in np.ndindex(mean.shape):
        pmf = class_count_pmf(schedule, class_counts, t, m)
        seen = np.bincount(outcomes[:, t, m], minlength=b[t] + 1) / len(outcomes)
        np.testing.assert_allclose(pmf, seen, rtol=1e-12, atol=0)


def test_exact_expectation_against_shuffled_samples(rng: np.random.Generator, alpha: float) -> None:
    """Clients that shuffle and deal, over whole epochs of three samplers. False alarm: 1e-8.

    An empirical Bernstein bound (Maurer and Pontil 2009) for each step's mean over 40,000 epochs,
    with deviations from 0 to 2: it shows an expectation that is off by 0.01.
    """
    epochs = 40_000
    class_counts = np.array([[6, 0, 0], [3, 3, 0], [0, 1, 7], [0, 2, 2]])
    probs, sizes = class_counts.sum(axis=0) / class_counts.sum(), class_counts.sum(axis=1)
    schedules = [fls(sizes, 8), fpls(sizes, 8), ugs(sizes, 8, rng)]
    log_ratio = log(4 * sum(s.num_steps for s in schedules) / alpha)
    for schedule in schedules:
        plans = np.broadcast_to(schedule.batch_sizes, (epochs, *schedule.batch_sizes.shape))
        counts = handed_out(plans, class_counts, rng)
        measured = batch_deviation(counts.reshape(-1, 3), probs).reshape(epochs, -1)
        slack = np.sqrt(2 * measured.var(axis=0, ddof=1) * log_ratio / epochs)
        slack += 2 * 7 * log_ratio / (3 * (epochs - 1))
        error = np.abs(measured.mean(axis=0) - expected_deviation(schedule, class_counts))
        assert (slack < 0.011).all()
        assert (error <= slack).all()


@settings(max_examples=25)
@given(
    st.integers(1, 3).flatmap(
        lambda m: st.lists(
            st.lists(st.integers(0, 2), min_size=m, max_size=m), min_size=1, max_size=3
        )
    ),
    st.data(),
)
def test_ugs_schedules_average_to_the_unconditional_law(class_counts, data) -> None:
    """Every order of the client ids is equally likely; B, B, ... and the short last batch."""
    class_counts = np.array(class_counts)
    sizes, n = class_counts.sum(axis=1), int(class_counts.sum())
    assume(1 <= n <= 8)
    batch_size = data.draw(st.integers(1, n))
    orders = np.array(list(every_order(sizes.tolist())))
    batches = [orders[:, start : start + batch_size] for start in range(0, n, batch_size)]
    averages = [
        expected_uniform_deviation(class_counts.sum(axis=0), batch.shape[1]) for batch in batches
    ]
    total = np.zeros(len(batches))
    for i in range(len(orders)):
        rows = [np.bincount(batch[i], minlength=sizes.size) for batch in batches]
        total += expected_deviation(Schedule(rows), class_counts)
    np.testing.assert_allclose(total / len(orders), averages, rtol=1e-11, atol=1e-15)


def test_the_closed_form_against_the_sum_over_the_support_up_to_60() -> None:
    """All N ≤ 60, every N_m and B. Both classes of [N_m, N − N_m] are in one call."""
    for n in range(1, 61):
        n_m, b, c = np.ix_(range(n // 2 + 1), range(1, n + 1), range(n + 1))
        choose = np.array([[comb(i, j) for j in range(n + 1)] for i in range(n + 1)], float)
        ways = choose[n_m, c] * choose[n - n_m, np.maximum(b - c, 0)] * (c <= b)
        direct = 2 * (np.abs(n * c - b * n_m) * ways).sum(axis=2) / choose[n, b[:, :, 0]]
        closed = [
            [expected_uniform_deviation([m, n - m], size) * n * size for size in range(1, n + 1)]
            for m in range(n // 2 + 1)
        ]
        np.testing.assert_allclose(closed, direct, rtol=1e-12, atol=0)


@pytest.mark.parametrize("totals", [[1], [7], [2, 3], [10**9], [4 * 10**8] * 7, [0, 5, 0, 10**5]])
def test_a_batch_of_all_the_data_deviates_by_exactly_nothing(totals) -> None:
    n = sum(totals)
    assert expected_uniform_deviation(totals, n) == 0
    assert expected_deviation(Schedule([[n]]), [totals]).tolist() == [0.0]
    by_client = np.diag(totals)  # and when every class is a client
    assert expected_deviation(Schedule([totals]), by_client).tolist() == [0.0]
    if n < 10**7:
        assert uniform_deviation_std(totals, n) == 0


def test_one_class_never_deviates() -> None:
    assert expected_uniform_deviation([9], 4) == 0
    assert uniform_deviation_std([9], 4) == 0
    assert expected_deviation(Schedule([[3, 1], [2, 0]]), [[6], [3]]).tolist() == [0.0, 0.0]


def mpmath_expected_deviation(totals: list[int], batch_size: int) -> mpmath.mpf:
    """Σ |c − B p| P(c) in 60 digits, P by the ratio of neighbours: another way than the library."""
    with mpmath.workdps(60):
        n, mean = sum(totals), mpmath.mpf(0)
        for n_m in totals:
            c = max(0, batch_size - (n - n_m))
            pmf = mpmath.binomial(n_m, c) * mpmath.binomial(n - n_m, batch_size - c)
            pmf /= mpmath.binomial(n, batch_size)
            while c <= min(n_m, batch_size):
                mean += pmf * abs(mpmath.mpf(c) / batch_size - mpmath.mpf(n_m) / n)
                pmf *= mpmath.mpf((n_m - c) * (batch_size - c))
                pmf /= (c + 1) * (n - n_m - batch_size + c + 1)
                c += 1
        return mean


@pytest.mark.parametrize(
    ("totals", "batch_size"),
    [
        ([10**5] * 9 + [10**5 - 3], 128),
        ([1, 999_999], 3_000),
        ([123_456, 7, 876_537], 999_000),
        ([10**8, 9 * 10**8], 64),
        ([1, 10**9 - 1], 5_000),
        ([333_333_333, 333_333_334, 333_333_333], 1_000_000_000 - 2_000),
    ],
)
def test_nine_digits_for_large_data(totals, batch_size) -> None:
    exact = mpmath_expected_deviation(totals, batch_size)
    assert abs(expected_uniform_deviation(totals, batch_size) / exact - 1) < 1e-9


@given(st.integers(10, 10**9), st.floats(0, 1), st.floats(0, 1))
def test_nine_digits_for_any_batch_of_large_data(n, class_share, batch_share) -> None:
    """The closed form in 50 digits; that it is right is what the other tests show."""
    n_m, b = round(n * class_share), max(1, round(n * batch_share))
    j = b * n_m // n + 1
    ours = expected_uniform_deviation([n_m, n - n_m], b)
    if j > min(n_m, b) or b == n:
        assert ours == 0
    else:
        with mpmath.workdps(50):
            pmf = mpmath.binomial(n_m, j) * mpmath.binomial(n - n_m, b - j) / mpmath.binomial(n, b)
            exact = mpmath.mpf(4 * j * (n - n_m - b + j)) / n / b * pmf
        assert abs(ours / exact - 1) < 1e-9


def test_a_severe_split_is_planned_in_seconds(rng: np.random.Generator) -> None:
    """50,000 samples, 10 classes, K = 128, B = 128: processor time, so that a busy machine passes.

    The last steps of FLS and FPLS come from few clients of two classes each: E[Δ] is near 1.8.
    """
    labels = np.repeat(np.arange(10), 5_000)
    partition = extended_dirichlet(
        labels, num_clients=128, classes_per_client=2, alpha=3.0, rng=rng
    )
    schedules = [fls(partition.sizes, 128), fpls(partition.sizes, 128)]
    schedules.append(ugs(partition.sizes, 128, rng))
    start = time.process_time()
    expected = [expected_deviation(schedule, partition.class_counts) for schedule in schedules]
    assert time.process_time() - start < 10
    assert expected[0].max() > 1.5
    assert expected[1].max() > 1.5
    assert expected[2].mean() == pytest.approx(0.2114, abs=0.01)


def test_a_thousand_classes_take_milliseconds() -> None:
    totals = np.arange(1, 1_001)
    start = time.process_time()
    for _ in range(10):
        expected_uniform_deviation(totals, 128)
    assert time.process_time() - start < 0.2


@pytest.mark.parametrize(
    ("batch_sizes", "sentence"),
    [
        ([[1, 1, 1]], r"schedule.sizes = .*: must be one number for each of 2 clients"),
        ([[1, 2], [2, 2]], r"schedule.sizes\[1\] = 4: must be at most 3, what client 1 has left$"),
        ([[2**62, 0]] * 4, r"schedule.sizes\[0\] = .*: must be at most 3, what client 0 has left$"),
        ([[1, 1], [0, 0]], r"schedule.batch_sizes\[1\].sum\(\) = 0: must be 1 or more$"),
    ],
)
def test_a_schedule_of_other_clients_is_refused(batch_sizes, sentence) -> None:
    with pytest.raises(ValueError, match=sentence):
        class_count_mean(Schedule(batch_sizes), [[1, 2], [3, 0]])


def test_arguments_are_not_changed() -> None:
    counts, totals = np.array([[2, 1], [0, 3]], np.int32), np.array([2, 4])
    expected_deviation(Schedule([[1, 2]]), counts)
    uniform_deviation_std(totals, 2)
    assert counts.tolist() == [[2, 1], [0, 3]]
    assert totals.tolist() == [2, 4]


# --- schedules that prescribe the classes


def test_prescribed_class_counts_leave_nothing_to_chance(rng: np.random.Generator) -> None:
    counts = np.array([[9, 0, 0, 2], [3, 3, 0, 0], [0, 0, 0, 0], [0, 2, 2, 3]])
    schedule = targets(counts, 7, rng, delays=[1, 4, 2, 3])
    c, totals = schedule.local_class_counts.sum(axis=1), counts.sum(axis=0)
    assert (class_count_mean(schedule, counts) == c).all()
    assert not class_count_variance(schedule, counts).any()
    measured = batch_deviation(c, totals / totals.sum())
    np.testing.assert_allclose(expected_deviation(schedule, counts), measured, atol=1e-15)
    np.testing.assert_allclose(participation_bias(schedule, counts), measured, atol=1e-15)
    for t, m in np.ndindex(c.shape):
        pmf = class_count_pmf(schedule, counts, t, m)
        assert pmf.tolist() == np.eye(c[t].sum() + 1)[c[t, m]].tolist()


def test_prescribed_counts_of_other_clients_or_classes_are_refused(rng) -> None:
    counts = np.array([[9, 0, 0, 2], [3, 3, 0, 0]])
    schedule = targets(counts, 7, rng, assign="random")
    for other in (counts[:, ::-1], counts[:, :3] + 9, counts - [[1, 0, 0, -1], [0, 0, 0, 0]]):
        with pytest.raises(ValueError, match=r"schedule.sizes.* = .*: must be"):
            expected_deviation(schedule, other)


@pytest.mark.parametrize(
    ("held", "b"),
    [
        ((4, 6), 3),
        ((9, 0, 1), 8),
        ((1, 999), 500),
        ((3 * 10**5, 6 * 10**5, 10**5), 5 * 10**5),
        ((10**9, 2 * 10**9), 999),
    ],
)
def test_an_urns_law_is_the_hypergeometric_one_derived_another_way(held, b) -> None:
    """Ratios of neighbours against Loader's form."""
    for n_m, least, found in zip(held, *urn_law(held, b), strict=True):
        counts = least + np.arange(found.size)
        expected = hypergeometric_pmf(counts, sum(held), n_m, b)
        assert counts[0] == max(0, b - sum(held) + n_m)
        likely = (expected > 1e-30) | (counts > min(b, n_m))
        np.testing.assert_allclose(found[likely], expected[likely], rtol=1e-9)
