from collections import Counter
from fractions import Fraction
from itertools import combinations, product
from unittest import mock

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import hypergeom

from pslref.sampling import lds, lds_steps, mixing, mixing_weights
from pslref.sampling.dirichlet import em, prior
from pslref.sampling.mixing import without_replacement
from pslref.theory import hypergeometric_pmf
from tests.law import departures, smallest_shift
from tests.sampling.drawn import class_counts


@st.composite
def scenarios(draw: st.DrawFn, clients: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Class counts and delays."""
    counts = draw(class_counts(clients, classes=5, most=12, total=3))
    delay = st.floats(0, 100)
    return counts, np.array(draw(st.lists(delay, min_size=len(counts), max_size=len(counts))))


tables = class_counts(clients=8, classes=5, most=12, total=3)
deltas = st.floats(0, 4)
concentrations = st.floats(0.1, 10)
seeds = st.integers(0, 2**32)
slow_em_is_fine = pytest.mark.filterwarnings("ignore:EM did not converge")


# --- the prior


@given(tables, st.data())
def test_the_prior_varies_as_a_sample_without_replacement(counts, data) -> None:
    sizes, n = counts.sum(axis=1), int(counts.sum())
    s = data.draw(st.integers(2, n - 1))
    alpha = prior(sizes, s, 1.0, 0.0, np.zeros(len(sizes)))
    total = alpha.sum()
    for k, size in enumerate(sizes):
        mean = alpha[k] / total
        assert mean == pytest.approx(size / n, rel=1e-12)
        drawn = np.arange(s + 1)
        variance = hypergeom(n, size, s).pmf(drawn) @ (drawn / s - size / n) ** 2
        assert mean * (1 - mean) / (total + 1) == pytest.approx(variance, rel=1e-9, abs=1e-15)


@given(scenarios(), deltas, concentrations)
def test_the_prior_is_its_definition(case, delta, c) -> None:
    (counts, delays), s = case, 2
    sizes, n = counts.sum(axis=1), int(counts.sum())
    z = np.zeros(len(sizes))
    if len(set(delays)) > 1 and np.ptp(delays) > 1e-6 * delays.max():
        z = (delays - delays.mean()) / np.sqrt(((delays - delays.mean()) ** 2).mean())
        precision = float(Fraction(s * (n - 1), n - s) - 1)
        expected = c * precision * sizes / n * np.exp(delta * z)
        assert prior(sizes, s, c, delta, delays) == pytest.approx(expected, rel=1e-6)


def test_the_number_of_pseudo_samples_is_half_the_data_within_2_and_1000() -> None:
    delays = [1, 5, 2]
    for n, s in [(1, 2), (2, 2), (3, 2), (4, 2), (5, 2), (6, 3), (1999, 999), (9000, 1000)]:
        counts = np.array([[n - n // 3, 0], [0, n // 3], [0, 0]])
        weights = mixing_weights(counts, delays=delays, delta=1)
        if n > s:
            explicit = mixing_weights(counts, delays=delays, delta=1, pseudo_samples=s)
            assert weights.tolist() == explicit.tolist()
        assert weights.sum() == pytest.approx(1)
        for labels in ("expected", "sampled"):
            schedule = lds(counts, n, np.random.default_rng(0), labels=labels)
            assert schedule.sizes.tolist() == counts.sum(axis=1).tolist()


# --- EM


def objective(
    weights: np.ndarray, alpha: np.ndarray, beta: np.ndarray, labels: np.ndarray
) -> float:
    """Σ_m S_m log Σ_k π_k β_km + Σ_k α_k log π_k."""
    held = labels > 0
    return float(labels[held] @ np.log(weights @ beta[:, held]) + alpha @ np.log(weights))


def problem(
    counts: np.ndarray, delays: np.ndarray, delta: float, c: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """α, β and expected S_m of the clients that have samples, at S = 2."""
    sizes = counts.sum(axis=1)
    keep = sizes > 0
    alpha = prior(sizes, 2, c, delta, delays)[keep]
    return alpha, counts[keep] / sizes[keep, None], 2 * counts.sum(axis=0) / counts.sum()


@given(tables, concentrations, st.data())
def test_the_shares_are_a_fixed_point_without_delays(counts, c, data) -> None:
    s = data.draw(st.integers(2, int(counts.sum()) - 1))
    shares = counts.sum(axis=1) / counts.sum()
    weights = mixing_weights(counts, concentration=c, pseudo_samples=s)
    assert np.abs(weights - shares).max() < 1e-12


@given(scenarios(), deltas, concentrations, seeds)
@settings(max_examples=50)
def test_the_objective_never_falls(case, delta, c, seed) -> None:
    alpha, beta, labels = problem(*case, delta, c)
    weights = np.random.default_rng(seed).dirichlet(np.ones(len(alpha))) + 1e-12
    before = objective(weights / weights.sum(), alpha, beta, labels)
    for _ in range(30):
        weights, _ = em(alpha, beta, labels, weights, 1e-8, 1)
        after = objective(weights, alpha, beta, labels)
        assert after >= before - 1e-12 * (1 + abs(before))
        before = after


@given(scenarios(clients=5), st.floats(0, 2), concentrations, seeds)
@settings(max_examples=50)
def test_the_maximum_is_scipys_from_every_start(case, delta, c, seed) -> None:
    alpha, beta, labels = problem(*case, delta, c)
    start = np.random.default_rng(seed).dirichlet(np.ones(len(alpha))) + 1e-12
    weights, change = em(alpha, beta, labels, start, 1e-12, 100_000)
    other, _ = em(alpha, beta, labels, alpha, 1e-12, 100_000)
    assert change < 1e-12
    assert np.abs(weights - other).max() < 1e-8

    def negative(logits: np.ndarray) -> float:  # the simplex without its constraint
        shares = np.exp(logits - logits.max())
        return -objective(shares / shares.sum(), alpha, beta, labels)

    best = minimize(negative, np.zeros(len(alpha)), method="BFGS", options={"gtol": 1e-8})
    shares = np.exp(best.x - best.x.max())
    assert objective(weights, alpha, beta, labels) >= -best.fun - 1e-9 * (1 + abs(best.fun))
    assert np.abs(weights - shares / shares.sum()).max() < 1e-3


@given(scenarios(), deltas, st.randoms(use_true_random=False))
def test_relabelling_clients_or_classes_relabels_the_weights(case, delta, random) -> None:
    counts, delays = case
    clients, classes = list(range(len(counts))), list(range(counts.shape[1]))
    random.shuffle(clients)
    random.shuffle(classes)
    weights = mixing_weights(counts, delays=delays, delta=delta)
    relabelled = mixing_weights(
        counts[np.ix_(clients, classes)], delays=delays[clients], delta=delta
    )
    assert np.abs(relabelled - weights[clients]).max() < 1e-6


@given(tables, st.sampled_from([0.0, 0.1, 7.3]), seeds)
def test_equal_delays_are_no_delays(counts, delay, seed) -> None:
    def schedule(**options) -> list[list[int]]:
        return lds(counts, 2, np.random.default_rng(seed), **options).batch_sizes.tolist()

    assert schedule(delays=np.full(len(counts), delay), delta=1e6) == schedule()
    assert schedule(delays=np.arange(len(counts)), delta=0) == schedule()


@given(scenarios(), deltas, concentrations)
@slow_em_is_fine
def test_of_two_alike_the_slower_never_weighs_less(case, delta, c) -> None:
    counts, delays = np.repeat(case[0], 2, axis=0), np.concatenate([case[1], 2 * case[1]])
    order = np.arange(len(delays)).reshape(2, -1).T.ravel()  # k, k + K, ...
    weights = mixing_weights(counts, delays=delays[order], delta=delta, concentration=c)
    assert all(weights[1::2] >= weights[::2] - 1e-15)


def test_slow_clients_weigh_more() -> None:
    weights = mixing_weights([[5, 5]] * 4, delays=[1, 1, 1, 10], delta=1)
    assert weights[3] > 0.5 > 3 * weights[0]


@given(st.lists(st.integers(0, 20), min_size=1, max_size=6), st.data())
def test_clients_with_one_class_distribution_weigh_what_the_prior_says(scales, data) -> None:
    counts = np.outer(scales, [1, 0, 3])
    assume(counts.sum() >= 3)
    floats = st.lists(st.floats(0, 9), min_size=len(scales), max_size=len(scales))
    delays, delta = np.array(data.draw(floats)), data.draw(deltas)
    alpha = prior(counts.sum(axis=1), 2, 1.0, delta, delays)
    weights = mixing_weights(counts, delays=delays, delta=delta, pseudo_samples=2)
    assert weights == pytest.approx(alpha / alpha.sum(), abs=1e-12)


def test_an_empty_client_weighs_nothing_but_its_delay_counts() -> None:
    counts, delays = np.array([[3, 3], [0, 0], [4, 2]]), np.array([1.0, 9.0, 2.0])
    weights = mixing_weights(counts, delays=delays, delta=1, pseudo_samples=2)
    alpha = prior(counts.sum(axis=1), 2, 1.0, 1.0, delays)
    z = (delays - 4) / delays.std()
    assert alpha[[0, 2]] == pytest.approx(1.2 * 0.5 * np.exp(z[[0, 2]]))  # Z = 2 · 11 / 10 - 1
    assert weights[1] == alpha[1] == 0
    assert weights.sum() == pytest.approx(1)


def test_a_single_client_takes_all(rng: np.random.Generator) -> None:
    assert mixing_weights([[3, 4]], delays=[5], delta=2).tolist() == [1]
    assert lds([[3, 4]], 3, rng, delays=[5], delta=2).batch_sizes.tolist() == [[3], [3], [1]]


def test_classes_held_by_one_client_each_give_the_posterior_mean() -> None:
    """Every label then names its client: π_k = (S_k + α_k) / (S + Σ α)."""
    counts, delays = np.diag([30, 50, 20]), np.array([1.0, 2.0, 9.0])
    alpha = prior(counts.sum(axis=1), 40, 0.5, 1.0, delays)
    weights = mixing_weights(counts, delays=delays, delta=1, concentration=0.5, pseudo_samples=40)
    assert weights == pytest.approx((alpha + np.array([12, 20, 8])) / (alpha.sum() + 40), abs=1e-12)


CLASSES = [0, 0, 0, 2, 3, 3, 3]


class Places(np.random.Generator):
    """Its places are those that are given, one draw after another."""

    def __init__(self, chosen: list[tuple[int, ...]]) -> None:
        super().__init__(np.random.PCG64(0))
        self.chosen = iter(chosen)

    def choice(self, a: int, size: int, **_: bool) -> np.ndarray:  # type: ignore[override]
        places = next(self.chosen)
        assert len(places) == size
        assert max(places) < a
        return np.array(places)


def test_sampled_by_places_every_set_of_samples_is_equally_likely() -> None:
    """Over all the ways to draw 5 of 7 places, two at a time, classes have their exact law."""
    sizes, number = np.array([3, 0, 1, 3]), 5
    seen: Counter[tuple[int, ...]] = Counter()
    with (
        mock.patch.object(mixing, "TOO_MANY", 0),
        mock.patch.object(mixing, "AT_ONCE", 2),
    ):
        draws = [combinations(range(left), some) for left, some in ((7, 2), (5, 2), (3, 1))]
        for chosen in product(*draws):
            seen[tuple(without_replacement(sizes, number, Places([*chosen])).tolist())] += 1
    law = Counter(tuple(np.bincount(kept, minlength=4)) for kept in combinations(CLASSES, number))
    assert {counts: Fraction(n, 21 * 10 * 3) for counts, n in seen.items()} == {
        counts: Fraction(n, 21) for counts, n in law.items()
    }


@pytest.mark.parametrize(
    ("sizes", "number", "draws"),
    [
        ([2_000_000_000, 999_999_000, 1000], 5, 2000),
        ([2_000_000_000, 999_985_000, 15_000], 100_000, 200),  # in two goes
        ([500_000_000, 499_960_000, 40_000], 70_000, 200),  # ... the second is NumPy's
        ([999_000_000, 999_999, 1], 999_999_999, 2),  # all but one
    ],
)
def test_of_a_billion_samples_and_more_labels_follow_their_law(
    sizes: list[int], number: int, draws: int, rng: np.random.Generator, alpha: float
) -> None:
    """Nine or more count as one outcome. False alarm: 1e-8."""
    rows = [without_replacement(np.array(sizes), number, rng).tolist() for _ in range(draws)]
    assert all(sum(row) == number for row in rows)
    assert (np.array(rows) <= sizes).all()
    for m in (0, 2) if number == 5 else (2,):
        law = hypergeometric_pmf(np.arange(9), sum(sizes), sizes[m], number).tolist()
        more = max(0.0, 1 - sum(law))
        seen = Counter(min(row[m], 9) for row in rows)
        assert not departures(seen, dict(enumerate([*law, more])), alpha / 2)


def test_up_to_a_billion_samples_labels_are_numpys_to_the_bit() -> None:
    sizes = np.array([999_999_000, 999])
    drawn = without_replacement(sizes, 1000, np.random.default_rng(5))
    assert (drawn == np.random.default_rng(5).multivariate_hypergeometric(sizes, 1000)).all()


def test_sampled_labels_reach_the_limit_of_samples(rng: np.random.Generator) -> None:
    weights = mixing_weights([[2_000_000_000, 0], [1, 999_999_999]], rng, labels="sampled")
    assert weights[1] == pytest.approx(1 / 3, abs=0.2)


def test_sampled_labels_are_drawn_without_replacement(
    rng: np.random.Generator, alpha: float
) -> None:
    """The label counts, read off the weights, are hypergeometric. False alarm: 1e-8.

    3,000 draws show a probability of 0.4 that is off by 0.09, as with replacement it would be.
    """
    counts, draws = np.diag([4, 3]), 3_000
    prior_parameters = prior(np.array([4, 3]), 5, 1.0, 0.0, np.zeros(2))
    seen: Counter[object] = Counter()
    for _ in range(draws):
        weights = mixing_weights(counts, rng=rng, pseudo_samples=5, labels="sampled")
        labels = weights[0] * (5 + prior_parameters.sum()) - prior_parameters[0]
        assert abs(labels - round(labels)) < 1e-6
        seen[round(labels)] += 1
    law = {k: float(hypergeom(7, 4, 5).pmf(k)) for k in range(2, 5)}
    assert smallest_shift(0.4, draws, 3, alpha) < 0.09
    assert not departures(seen, law, alpha)


def test_a_class_that_nobody_holds_says_nothing() -> None:
    counts, alpha = np.array([[2.0, 0, 0], [1, 1, 0]]) / 2, np.array([0.6, 0.4])
    with_it, _ = em(alpha, counts, np.array([2.0, 1, 7]), alpha, 1e-12, 1000)
    without, _ = em(alpha, counts[:, :2], np.array([2.0, 1]), alpha, 1e-12, 1000)
    assert with_it.tolist() == without.tolist()


def test_ten_thousand_clients(rng: np.random.Generator) -> None:
    counts = rng.multinomial(20, np.full(10, 0.1), size=10_000)
    delays = np.where(np.arange(10_000) % 8 == 0, 10.0, 1.0)
    weights = mixing_weights(counts, delays=delays, delta=1)
    assert weights.sum() == pytest.approx(1)
    assert weights[::8].sum() > 0.5
    left = counts.sum(axis=1)
    for clients, brought in lds_steps(counts, 256, rng, delays=delays, delta=1):
        left[clients] -= brought
    assert not left.any()


def test_em_that_stops_early_is_reported_once_per_schedule(rng: np.random.Generator) -> None:
    case = {"delays": [1, 2, 9], "delta": 1, "concentration": 1e-3, "max_iter": 3}
    counts = [[9, 1], [5, 5], [1, 9]]
    with pytest.warns(RuntimeWarning, match=r"max_iter = 3 .* change by \d\.\de-\d\d") as found:
        lds(counts, 4, rng, **case)
    assert len(found) == 1
    with pytest.warns(RuntimeWarning, match="max_iter = 3"):
        mixing_weights(counts, **case)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"delays": [1, 2], "delta": 701}, r"delta = 701.0: .*must be at most 700"),
        ({"delays": [1, 2], "delta": 690, "concentration": 1e10}, r"delta = .*prior finite"),
        ({"delta": 1.0}, r"delays = None: must be given when delta is greater than 0$"),
        ({"pseudo_samples": 10}, r"pseudo_samples = 10: .*from 2 to 9"),
        ({"labels": "sampled"}, r"rng = None: must be given when labels are sampled$"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, sentence) -> None:
    with pytest.raises(ValueError, match=sentence):
        mixing_weights([[3, 2], [1, 4]], **options)
