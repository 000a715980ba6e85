from collections import Counter
from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pslref.partition import extended_dirichlet
from pslref.sampling import global_batch_sizes, lds, slowest_first, targets, ugs
from pslref.sampling.schedule import tallied
from pslref.sampling.targets import shuffled, stratified
from pslref.split import epoch_time, epoch_time_bound, straggler_delays
from pslref.theory import expected_deviation
from tests.law import departures, smallest_shift
from tests.sampling.drawn import class_counts
from tests.sampling.exact import least_epoch_time, least_fluid_time


@st.composite
def federations(draw: st.DrawFn, most: int = 6):
    """Class counts with empty clients and classes, delays with ties, and a batch size."""
    counts = draw(class_counts(clients=6, classes=4, most=most))
    delay = st.integers(0, 3) | st.floats(0, 10)
    delays = draw(st.lists(delay, min_size=len(counts), max_size=len(counts)))
    total = int(counts.sum())
    batch_size = draw(st.sampled_from([1, total]) | st.integers(1, total))
    return counts, np.array(delays), batch_size


draws = st.sampled_from(["hypergeometric", "stratified"])
remainders = st.sampled_from(["short", "even"])
seeds = st.integers(0, 2**32)
ways = st.sampled_from(
    [
        {"assign": "random"},
        {"assign": "slowest-first"},
    ]
)


def class_targets_of(schedule) -> np.ndarray:
    return schedule.local_class_counts.sum(axis=1)


# --- every schedule


@given(federations(), ways, draws, remainders, seeds)
def test_every_class_of_every_client_is_exhausted_in_steps_of_the_promised_size(
    case, way, draw, remainder, seed
) -> None:
    counts, delays, batch_size = case
    options = {"delays": delays, "draw": draw, "remainder": remainder, **way}
    schedule = targets(counts, batch_size, np.random.default_rng(seed), **options)
    promised = global_batch_sizes(int(counts.sum()), batch_size, remainder)
    assert (schedule.local_class_counts.sum(axis=0) == counts).all()
    assert schedule.batch_sizes.sum(axis=1).tolist() == promised.tolist()
    again = targets(counts, batch_size, np.random.default_rng(seed), **options)
    assert (again.local_class_counts == schedule.local_class_counts).all()


@given(federations(), draws, seeds)
def test_targets_are_drawn_before_they_are_assigned_and_then_met(case, draw, seed) -> None:
    counts, delays, batch_size = case
    one, other = (
        targets(counts, batch_size, np.random.default_rng(seed), delays=delays, draw=draw, **way)
        for way in ({"assign": "random"}, {})
    )
    assert (class_targets_of(one) == class_targets_of(other)).all()


def test_arguments_are_not_touched(rng: np.random.Generator) -> None:
    counts, delays = np.array([[3, 1], [0, 4]], np.int32), np.array([2.0, 1.0])
    counts.setflags(write=False)
    delays.setflags(write=False)
    before = np.random.get_state()[1].copy()  # type: ignore[union-attr]  # noqa: NPY002
    for way in [{}, {"assign": "planned", "slack": 1, "sample_costs": delays}]:
        targets(counts, 2, rng, delays=delays, **way)
    assert (np.random.get_state()[1] == before).all()  # type: ignore[union-attr]  # noqa: NPY002


def test_nobody_needs_delays_to_deal_at_random(rng: np.random.Generator) -> None:
    assert targets([[3, 1], [0, 4]], 3, rng, assign="random").num_steps == 3


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"delays": None}, "delays = None: must be given when assign = 'slowest-first'$"),
        ({"slack": 1}, "slack = 1.0: must be 0 unless assign = 'planned'$"),
        ({"slack": 1, "assign": "random"}, "slack = 1.0: must be 0 unless assign = 'planned'$"),
        ({"sample_costs": 1.0}, "sample_costs = 1.0: must be 0 unless assign = 'planned'$"),
        ({"class_counts": np.full((2000, 50), 30_000), "batch_size": 1}, "from 1 to 268435456$"),
    ],
)
def test_arguments_that_do_not_go_together_are_refused(change, sentence, rng) -> None:
    arguments = {"class_counts": [[3, 1], [0, 4]], "batch_size": 2, "delays": [1, 2]} | change
    with pytest.raises(ValueError, match=sentence):
        targets(**arguments, rng=rng)


# --- hypergeometric targets, dealt out at random, are UGS

# Each row of a step is a client's counts of each class; two classes, three clients.
COUNTS, BATCH = np.array([[2, 1], [1, 1], [0, 1]]), 2
Sampler = Callable[[np.random.Generator], np.ndarray]


def law_of_local_class_counts() -> dict[object, float]:
    """UGS with clients that shuffle: every order of the six samples is equally likely."""
    samples = [(0, 0), (0, 0), (0, 1), (1, 0), (1, 1), (2, 1)]
    outcomes: Counter[object] = Counter()
    for order in permutations(samples):
        local = np.zeros((3, 3, 2), int)
        for i, (k, m) in enumerate(order):
            local[i // BATCH, k, m] += 1
        outcomes[local.tobytes()] += 1
    return {outcome: count / 720 for outcome, count in outcomes.items()}


def reduced(rng: np.random.Generator) -> np.ndarray:
    return targets(COUNTS, BATCH, rng, assign="random").local_class_counts


def test_dealing_at_random_is_ugs_in_distribution(rng: np.random.Generator, alpha: float) -> None:
    """All steps, clients and classes jointly, by enumeration. False alarm: 1e-8.

    8,000 schedules show an outcome of probability 0.02 that is off by 0.016.
    """
    law = law_of_local_class_counts()
    assert smallest_shift(0.02, 8_000, len(law), alpha) < 0.016
    seen: Counter[object] = Counter(reduced(rng).tobytes() for _ in range(8_000))
    assert not departures(seen, law, alpha)


def slowest_first_instead(rng: np.random.Generator) -> np.ndarray:
    return targets(COUNTS, BATCH, rng, delays=[3, 2, 1]).local_class_counts


def stratified_instead(rng: np.random.Generator) -> np.ndarray:
    return targets(COUNTS, BATCH, rng, assign="random", draw="stratified").local_class_counts


def one_order_for_all_classes(rng: np.random.Generator) -> np.ndarray:
    """Within every class the clients come in the same random order."""
    return targets(COUNTS, BATCH, rng, delays=rng.permutation(3)).local_class_counts


@pytest.mark.parametrize(
    "broken", [slowest_first_instead, stratified_instead, one_order_for_all_classes]
)
def test_other_targets_and_assignments_are_not_ugs(broken: Sampler, rng) -> None:
    seen: Counter[object] = Counter(broken(rng).tobytes() for _ in range(4_000))
    assert departures(seen, law_of_local_class_counts(), 1e-8)


# --- stratified targets


def numerator_of_bound(totals: np.ndarray) -> int:
    """N · 2 max_A (|A| (1 − P) + (M − |A|) P), a whole number; A has the most frequent classes."""
    held = np.sort(totals[totals > 0])[::-1]
    sizes, with_samples = np.arange(held.size + 1), np.append(0, held.cumsum())
    return int(2 * np.max(sizes * (held.sum() - with_samples) + sizes[::-1] * with_samples))


def worst_against_bound(line: np.ndarray, totals: np.ndarray, batches: np.ndarray) -> float:
    """The largest Δ_t B_t as a share of the bound; from whole numbers."""
    counts = tallied(line, batches, totals.size)
    apart = np.abs(counts * totals.sum() - np.outer(batches, totals)).sum(axis=1)
    return float(apart.max() / max(numerator_of_bound(totals), 1))


some_totals = st.lists(st.integers(0, 60), min_size=1, max_size=8).filter(any)
uneven_totals = st.sampled_from(
    [[135, 1], [1, 135], [49_850, 150], [150, *[5_539] * 9], [5_000] * 10, [1] * 12, [900, 9, 1]]
)


@settings(max_examples=300)
@given(some_totals | uneven_totals, remainders, seeds, st.data())
def test_the_deviation_of_stratified_steps_is_bounded(totals, remainder, seed, data) -> None:
    totals, n = np.array(totals), sum(totals)
    batch_size = data.draw(st.sampled_from([b for b in (1, 2, 7, 128, n) if b <= n]))
    line = stratified(totals, np.random.default_rng(seed))
    assert (np.bincount(line, minlength=totals.size) == totals).all()
    batches = global_batch_sizes(n, batch_size, remainder)
    assert worst_against_bound(line, totals, batches) <= 1
    assert numerator_of_bound(totals) <= 2 * max(np.count_nonzero(totals) - 1, 0) * n
    if len(set(totals[totals > 0])) == 1:
        assert numerator_of_bound(totals) <= np.count_nonzero(totals) * n


def test_the_bound_is_nearly_reached_and_a_shuffle_breaks_it(rng: np.random.Generator) -> None:
    uneven, equal = np.array([135, 1]), np.full(10, 500)
    pairs, hundreds = global_batch_sizes(136, 2), global_batch_sizes(5_000, 100)
    assert worst_against_bound(stratified(uneven, rng), uneven, pairs) > 0.98
    assert worst_against_bound(shuffled(equal, rng), equal, hundreds) > 1


# Four clients with one sample each, three of one class: a client's step is its sample's step.
SINGLES, TOTALS = np.array([[1, 0], [1, 0], [1, 0], [0, 1]]), np.array([3, 1])


def is_uniform(steps: list[int], alpha: float) -> bool:
    return not departures(Counter(steps), dict.fromkeys(range(4), 0.25), alpha)


@pytest.mark.parametrize("draw", ["hypergeometric", "stratified"])
def test_every_sample_is_equally_likely_in_every_step(draw, rng, alpha) -> None:
    """Sample i is in step t with probability B_t / N, here 1 / 4. False alarm: 1e-8.

    4,000 epochs show a probability that is off by 0.065.
    """
    assert smallest_shift(0.25, 4_000, 16, alpha) < 0.065
    plans = np.array(
        [targets(SINGLES, 1, rng, assign="random", draw=draw).batch_sizes for _ in range(4_000)]
    )
    assert all(is_uniform(steps, alpha / 4) for steps in plans.argmax(axis=1).T.tolist())


def test_stratified_classes_follow_each_other_in_random_order(rng, alpha) -> None:
    """One sample of each of three classes: all six orders alike. False alarm: 1e-8.

    2,000 lines show a probability of 1 / 6 that is off by 0.08.
    """
    assert smallest_shift(1 / 6, 2_000, 6, alpha) < 0.08
    seen: Counter[object] = Counter(
        tuple(stratified(np.ones(3, int), rng).tolist()) for _ in range(2_000)
    )
    assert not departures(seen, dict.fromkeys(permutations(range(3)), 1 / 6), alpha)


def read_from_the_start(totals: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    points = [(np.arange(n) + rng.random()) / n for n in totals]
    return np.repeat(np.arange(totals.size), totals)[np.argsort(np.concatenate(points))]


def always_from_the_same_offsets(totals: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return stratified(totals, np.random.default_rng(3))


@pytest.mark.parametrize("broken", [read_from_the_start, always_from_the_same_offsets])
def test_lines_that_favour_a_class_early_are_seen(broken, rng) -> None:
    """Read from a fixed place of the circle, a line starts in a gap that is longer than others."""
    assert not is_uniform([broken(TOTALS, rng).argmax() for _ in range(4_000)], 1e-8)


# --- slack

PLANNED = {"draw": "stratified", "assign": "planned"}


def scenario(num_clients: int, seed: int, stragglers: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Severe: 20,480 samples in ten classes, two of them at each client; tenfold stragglers."""
    rng = np.random.default_rng([num_clients, seed])
    labels = np.repeat(np.arange(10), 2_048)
    counts = extended_dirichlet(labels, num_clients, 2, 3.0, rng).class_counts
    delays = straggler_delays(num_clients, rng, fraction=0)
    delays[:stragglers] *= 10
    return counts, delays


@pytest.mark.parametrize("num_clients", [16, 64])
@pytest.mark.parametrize("slack", [0, 0.05, 0.2, 0.8])
def test_the_rule_is_within_2_percent_of_the_best_for_its_slack(num_clients, slack, rng) -> None:
    """Of the time of UGS; against a linear program that may divide samples and steps."""
    counts, delays = scenario(num_clients, 1, num_clients // 8)
    plan = targets(counts, 128, rng, delays=delays, **PLANNED, slack=slack)
    time_of_ugs = plan.num_steps * delays.max()
    gap = epoch_time(plan, delays) - least_fluid_time(128, counts, delays, slack)
    assert -0.01 < gap / time_of_ugs < 0.02


def test_slack_2_comes_near_the_bound_and_spends_no_more_than_helps(rng) -> None:
    counts, delays = scenario(16, 2)
    bound = epoch_time_bound(counts.sum(axis=1), delays, 128)
    time_of_ugs = epoch_time(ugs(counts.sum(axis=1), 128, rng), delays)
    plan = targets(counts, 128, rng, delays=delays, assign="planned", slack=2)
    assert bound <= epoch_time(plan, delays) < bound + 0.02 * time_of_ugs
    line = slowest_first(counts.sum(axis=1), delays, 128)
    assert expected_deviation(plan, counts).mean() < 0.5 * expected_deviation(line, counts).mean()


def test_more_slack_is_faster_and_every_step_pays_for_it(rng: np.random.Generator) -> None:
    counts, delays = scenario(16, 3)
    slacks = [0, 0.1, 0.2, 0.4, 0.8, 2]
    plans = [targets(counts, 128, rng, delays=delays, **PLANNED, slack=slack) for slack in slacks]
    times = [epoch_time(plan, delays) for plan in plans]
    deviations = [expected_deviation(plan, counts) for plan in plans]
    assert times == sorted(times, reverse=True)
    assert all(np.diff([deviation.mean() for deviation in deviations]) > 0)
    for slack, deviation in zip(slacks, deviations, strict=True):
        assert deviation.max() <= slack + 10 / 128


@pytest.mark.parametrize("delta", [0.5, 1.0, 2.0])
def test_with_few_clients_slack_is_better_than_lds_in_every_respect(delta, rng) -> None:
    """K = 16: some slack has less time, less mean deviation, and less at worst."""
    counts, delays = scenario(16, 4)
    rival = lds(counts, 128, rng, delays=delays, delta=delta)
    time, deviation = epoch_time(rival, delays), expected_deviation(rival, counts)
    better = []
    for slack in (0.1, 0.2, 0.4, 0.8, 1.2):
        plan = targets(counts, 128, rng, delays=delays, **PLANNED, slack=slack)
        own = expected_deviation(plan, counts)
        faster = epoch_time(plan, delays) < time
        better.append(faster and own.mean() < deviation.mean() and own.max() < deviation.max())
    assert any(better)


def test_on_small_cases_slack_is_near_the_best_schedule_of_the_same_deviation() -> None:
    """Against an integer program that may choose any batches whose Δ is no larger than ours."""
    rng, ratios = np.random.default_rng(1), []
    for _ in range(8):
        counts = rng.integers(0, 6, (4, 3)) * rng.integers(0, 2, (4, 3))
        counts[0, 0] += 1
        delays = np.array([10.0, 1, 1, 1]) * (1 + 0.2 * rng.random(4))
        for slack in (0.5, 1.0):
            size = min(5, int(counts.sum()))
            plan = targets(counts, size, rng, delays=delays, **PLANNED, slack=slack)
            worst = float(expected_deviation(plan, counts).max())
            batches = plan.batch_sizes.sum(axis=1)
            best = least_epoch_time(batches, counts, delays, deviation=worst)
            ratios.append(epoch_time(plan, delays) / best)
    assert min(ratios) > 1 - 1e-6
    assert np.mean(ratios) < 1.1


# --- what it does not protect against


def test_what_differs_within_a_class_between_slow_and_fast_clients_is_not_mixed(rng) -> None:
    """Count a class at slow clients as another class: early steps hold nothing but these."""
    counts, delays = scenario(16, 4)
    slow = (delays > 5)[:, np.newaxis]
    cells = np.concatenate([counts * slow, counts * ~slow], axis=1)
    mix = cells.sum(axis=0) / cells.sum()
    hidden = {}
    for assign in ("slowest-first", "random"):
        plan = targets(counts, 128, rng, delays=delays, draw="stratified", assign=assign)
        assert expected_deviation(plan, counts).max() <= 10 / 128
        local = plan.local_class_counts
        seen = np.concatenate([(local * slow).sum(axis=1), (local * ~slow).sum(axis=1)], axis=1)
        hidden[assign] = np.abs(seen / 128 - mix).sum(axis=1)
    fast_share_of_their_classes = mix[10:] @ counts[delays > 5].any(axis=0)
    first_ten = hidden["slowest-first"][:10]
    assert first_ten == pytest.approx(2 * fast_share_of_their_classes, abs=10 / 128)
    assert hidden["random"].max() < first_ten.min() / 2
