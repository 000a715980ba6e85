"""The judge of schedules, tried on right samplers and on samplers with one mistake each."""

import tracemalloc
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest

from pslref.oracle.bets import FAMILIES
from pslref.oracle.distribution import judge
from pslref.oracle.randomness import CLASS_COUNTS, TWO_CLIENTS, TWO_DELAYS
from pslref.oracle.randomness import DELAYS as DELAYS_OF_FIVE
from pslref.oracle.result import Result
from pslref.sampling import fls, fpls, global_batch_sizes, lds, mixing_weights, ugs
from pslref.sampling.dirichlet import draw
from pslref.sampling.mixing import Posterior, drawn_steps
from pslref.sampling.schedule import Schedule
from tests.oracle.wrong_samplers import WRONG_UGS, with_replacement

PROMISES = ["form", "num_steps", "batch_sizes", "exhaustion"]
LAW = [family.__name__ for family in FAMILIES]
SIZES, BATCH = [12, 9, 6, 0, 5, 3], 4
COUNTS = np.array([[8, 1, 0], [3, 5, 0], [0, 4, 4], [0, 0, 9], [1, 1, 1], [0, 0, 0], [6, 0, 6]])
DELAYS = np.array([1.0, 1, 9, 1, 2, 1, 3])


def failed(results: list[Result]) -> list[str]:
    return [one.check for one in results if one.verdict == "wrong"]


def checks_of(results: list[Result]) -> list[str]:
    return [one.check for one in results]


# --- right samplers


def test_ugs_is_never_accused(rng: np.random.Generator, alpha: float) -> None:
    """Sizes with empty and single-sample clients, both remainders, 1 to 300 epochs. Alarm: 1e-8."""
    cases = [
        (SIZES, 4, 300), (SIZES, 35, 50), ([1] * 12, 5, 100), ([7], 2, 20), ([2, 0, 1], 1, 200),
        ([40, 3, 8, 21], 10, 1), ([5, 5], 5, 300), ([300, 10, 90], 64, 60),
    ]  # fmt: skip
    for sizes, batch_size, num in cases:
        for remainder in ("short", "even"):
            epochs = [ugs(sizes, batch_size, rng, remainder).batch_sizes for _ in range(num)]
            findings = judge(
                epochs, "ugs", sizes, batch_size,
                alpha=alpha / 2 / len(cases), remainder=remainder,
            )  # fmt: skip
            assert not failed(findings)
            random = sum(n > 0 for n in sizes) > 1 and batch_size < sum(sizes)
            assert checks_of(findings) == PROMISES + (LAW if random else ["law"])


def test_lds_is_never_accused(rng: np.random.Generator, alpha: float) -> None:
    """Strong and weak priors, with and without re-estimation. False alarm: 1e-8."""
    cases = [
        {},
        {"delays": DELAYS, "delta": 1.0},
        {"delays": DELAYS, "delta": 1.0, "reestimate": False},
        {"delays": DELAYS, "delta": 0.5, "concentration": 0.1},
        {"delays": DELAYS, "delta": 3.0, "pseudo_samples": 10},
        {"delays": DELAYS, "delta": 20.0},
    ]
    for options, batch_size in product(cases, (4, 15)):
        epochs = [lds(COUNTS, batch_size, rng, **options).batch_sizes for _ in range(60)]
        level = alpha / 2 / len(cases)
        sizes = COUNTS.sum(axis=1)
        findings = judge(
            epochs, "lds", sizes, batch_size, alpha=level, class_counts=COUNTS, **options
        )
        assert not failed(findings)
        assert checks_of(findings) == PROMISES + LAW


def test_weights_may_be_given_instead(rng: np.random.Generator, alpha: float) -> None:
    """π as it is, renormalised when clients run out. False alarm: 1e-8."""
    options = {"delays": DELAYS, "delta": 1.0}
    epochs = [lds(COUNTS, 4, rng, reestimate=False, **options).batch_sizes for _ in range(100)]
    weights = mixing_weights(COUNTS, **options)
    sizes = COUNTS.sum(axis=1)
    assert not failed(judge(epochs, "lds", sizes, 4, alpha=alpha, weights=7 * weights))
    assert failed(judge(epochs, "lds", sizes, 4, weights=weights[[2, 1, 0, 3, 4, 5, 6]]))


def test_fixed_schedules_are_compared_exactly() -> None:
    for law, sampler in (("fls", fls), ("fpls", fpls)):
        right = sampler(SIZES, BATCH).batch_sizes
        findings = judge([right] * 3, law, SIZES, BATCH)
        assert checks_of(findings) == [*PROMISES, "plan"]
        assert not failed(findings)
        swapped = right.copy()
        swapped[0, [0, 1]] += [1, -1]
        swapped[1, [0, 1]] += [-1, 1]
        *_, broken = judge([right, swapped], law, SIZES, BATCH)
        assert (broken.check, broken.verdict) == ("plan", "wrong")
        assert broken.detail.startswith("epoch 1 takes 2 samples from client 0 in step 0, not 1")


def test_all_epochs_of_a_log_are_used(rng: np.random.Generator, alpha: float) -> None:
    """40 right epochs, then 400 copies of one; the other way around; one copy at the end."""
    epochs = [ugs(SIZES, BATCH, rng).batch_sizes for _ in range(40)]
    assert not failed(judge(epochs, "ugs", SIZES, BATCH, alpha=alpha))
    for log in (epochs + [epochs[3]] * 400, [epochs[3]] * 400 + epochs, [*epochs, epochs[0]]):
        *_, repeats = judge(log, "ugs", SIZES, BATCH)
        copies = len(log) - 40
        assert repeats.verdict == "wrong"
        assert repeats.detail.startswith(f"{copies} of {len(log)} epochs are copies of an earlier")


@pytest.mark.parametrize(
    ("wrong", "place", "num", "says"),
    [
        ("clients_in_order", 120, 1, "counts in epoch 120 is about "),
        ("proportional_within_each_batch", 120, 1, "counts in epoch 120 is about "),
        ("every_client_equally_likely", 375, 25, " ran out from epoch "),
    ],
)
def test_what_only_some_of_400_epochs_show_is_seen(
    wrong: str, place: int, num: int, says: str, rng: np.random.Generator
) -> None:
    sizes = [10 * n for n in SIZES]
    epochs = [ugs(sizes, BATCH, rng).batch_sizes for _ in range(400 - num)]
    epochs[place:place] = WRONG_UGS[wrong](sizes, BATCH, num, rng)
    results = judge(epochs, "ugs", sizes, BATCH)
    assert any(one.verdict == "wrong" and says in one.detail for one in results), results


def test_what_is_made_grows_as_the_log_does(rng: np.random.Generator) -> None:
    """Three times the clients and the batch: three times the counts, and not nine."""
    peaks = []
    for num_clients in (100, 300):
        sizes = np.full(num_clients, 10)
        epochs = [ugs(sizes, num_clients, rng).batch_sizes for _ in range(2)]
        tracemalloc.start()
        judge(epochs, "ugs", sizes, num_clients)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 4 * peaks[0]


@pytest.mark.parametrize("law", ["ugs", "fls", "fpls", "lds"])
def test_nothing_larger_than_the_log_is_made(law: str) -> None:
    """Three billion steps are expected; two are there."""
    options = {"class_counts": [[3_000_000_000]]} if law == "lds" else {}
    tracemalloc.start()
    *_, last = judge([[[1], [1]]], law, [3_000_000_000], 1, **options)
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()
    assert (last.check, last.verdict) == ("num_steps", "wrong")
    assert last.detail == "epoch 0 has 2 steps, 3000000000 expected"


# --- broken promises


def without_its_last_batch(e: np.ndarray) -> np.ndarray:
    return e[:-1]


def with_a_larger_last_batch(e: np.ndarray) -> np.ndarray:
    return np.concatenate([e[:-2], e[-2:].sum(axis=0, keepdims=True)])


def with_a_step_of_zeros(e: np.ndarray) -> np.ndarray:
    return np.insert(e, 2, 0, axis=0)


def with_a_client_never_drawn(e: np.ndarray) -> np.ndarray:
    return np.column_stack([0 * e[:, 0], e[:, 1] + e[:, 0], e[:, 2:]])


def with_the_short_batch_first(e: np.ndarray) -> np.ndarray:
    return e[::-1]


def with_samples_below_zero(e: np.ndarray) -> np.ndarray:
    return e - 1


def without_a_client(e: np.ndarray) -> np.ndarray:
    return e[:, 1:]


def as_floats(e: np.ndarray) -> np.ndarray:
    return e / 1


def ragged(e: np.ndarray) -> list[list[int]]:
    return [[1, 2], [3]]


def nothing(e: np.ndarray) -> list[int]:
    return []


@pytest.mark.parametrize(
    ("breaking", "promise"),
    [
        (without_its_last_batch, "num_steps"),
        (with_a_larger_last_batch, "num_steps"),
        (with_a_step_of_zeros, "num_steps"),
        (with_a_client_never_drawn, "exhaustion"),
        (with_the_short_batch_first, "batch_sizes"),
        (with_samples_below_zero, "form"),
        (without_a_client, "form"),
        (as_floats, "form"),
        (ragged, "form"),
        (nothing, "form"),
    ],
)
def test_a_broken_promise_in_one_epoch_is_named(
    breaking: Callable[[np.ndarray], object], promise: str, rng: np.random.Generator
) -> None:
    epochs = [ugs(SIZES, BATCH, rng).batch_sizes for _ in range(9)]
    findings = judge([*epochs, breaking(epochs[0])], "ugs", SIZES, BATCH)
    assert failed(findings) == [promise]
    assert findings[-1].check == promise
    assert findings[-1].detail.startswith("epoch 9 ")


def test_with_replacement_breaks_the_promise_to_exhaust(rng: np.random.Generator) -> None:
    *_, last = judge(with_replacement(SIZES, BATCH, 1, rng), "ugs", SIZES, BATCH)
    assert (last.check, last.verdict) in (("form", "wrong"), ("exhaustion", "wrong"))
    assert "client" in last.detail


def test_the_other_remainder_is_not_the_one_promised(rng: np.random.Generator) -> None:
    even = [ugs(SIZES, 8, rng, "even").batch_sizes]
    assert failed(judge(even, "ugs", SIZES, 8)) == ["batch_sizes"]


# --- wrong laws. Each name says the mistake; one of the families that must see it is given, and
# the epochs that are enough.

EXPECTED = {
    "shares_stay_as_at_first": ("spread", 100),
    "every_client_equally_likely": ("spread", 50),
    "one_schedule_for_every_epoch": ("repeats", 3),
    "one_schedule_for_every_second_epoch": ("repeats", 8),
    "each_schedule_used_twice": ("repeats", 8),
    "one_of_twenty_schedules": ("repeats", 30),
    "clients_in_order": ("spread", 5),
    "client_after_client": ("spread", 20),
    "rotated_by_a_batch": ("between_epochs", 20),
    "rotated_by_a_sample": ("between_epochs", 20),
    "rotated_at_random": ("between_epochs", 60),
    "forth_and_back": ("between_epochs", 200),
    "the_same_batches_in_another_order": ("repeats", 8),
    "proportional_within_each_batch": ("spread", 20),
    "samples_in_pairs": ("spread", 30),
    "too_few_swaps_of_the_last_epoch": ("between_epochs", 50),
    "shuffled_within_a_window": ("clients", 50),
    "batches_sorted_by_a_client": ("clients", 50),
    "end_of_the_epoch_not_shuffled": ("clients", 100),
    "halves_never_mixed": ("clients", 100),
    "swap_with_anyone": ("clients", 2000),
}


@pytest.mark.parametrize("name", WRONG_UGS)
def test_a_wrong_law_is_caught(name: str, rng: np.random.Generator) -> None:
    family, num = EXPECTED[name]
    results = judge(WRONG_UGS[name](SIZES, BATCH, num, rng), "ugs", SIZES, BATCH)
    assert family in failed(results)
    assert not set(PROMISES) & set(failed(results))


def test_the_detail_has_the_numbers(rng: np.random.Generator) -> None:
    epochs = [ugs([20, 20], 10, rng).batch_sizes.copy() for _ in range(60)]
    for epoch in epochs:
        epoch[[0, 1]] = [[8, 2], epoch[:2].sum(axis=0) - [8, 2]]
        epoch[1:] = epoch[1:][np.argsort(epoch[1:, 1])]
    epochs = [e for e in epochs if (e >= 0).all()]
    results = {one.check: one for one in judge(epochs, "ugs", [20, 20], 10)}
    said = results["clients"].detail
    assert said.startswith("client ")
    assert " steps before one ran out, " in said
    assert " expected: p = " in said
    assert ", accused at 2.5e-07" in said
    assert results["clients"].p_value < 2.5e-7


# --- wrong LDS

OPTIONS = {"delays": DELAYS, "delta": 0.5, "concentration": 0.1}
Z = (DELAYS - DELAYS.mean()) / DELAYS.std()


def lds_with(rng: np.random.Generator, num: int, reestimate: bool = True, **changed) -> list:
    """LDS with a posterior whose α or labels are wrong."""
    wrong = Posterior(COUNTS, None, **{**OPTIONS, "max_iter": 1000})
    sizes = COUNTS.sum(axis=1)
    for name, change in changed.items():
        setattr(wrong, name, change(getattr(wrong, name)))
    wrong.alpha = np.where(sizes > 0, np.maximum(wrong.alpha, 1e-250), 0)
    batches = global_batch_sizes(int(sizes.sum()), 4)
    walks = (drawn_steps(batches, sizes, wrong, reestimate, rng) for _ in range(num))
    return [Schedule.from_steps(walk, batches.size, sizes.size).batch_sizes for walk in walks]


def capped_to_the_largest(rng: np.random.Generator, num: int) -> list[np.ndarray]:
    """What a cap cuts off goes to the client that has most left."""
    epochs, weights = [], mixing_weights(COUNTS, **OPTIONS)
    for _ in range(num):
        left, rows = COUNTS.sum(axis=1), []
        while left.any():
            p, size = weights * (left > 0), min(4, left.sum())
            row = np.minimum(rng.multinomial(size, p / p.sum()), left)
            while row.sum() < size:
                row[np.argmax(left - row)] += 1
            rows.append(row)
            left = left - row
        epochs.append(np.array(rows))
    return epochs


def weights_rounded(rng: np.random.Generator, num: int) -> list[np.ndarray]:
    """Whole expected counts are given out, only the rest is drawn."""
    epochs, weights = [], mixing_weights(COUNTS, **OPTIONS)
    for _ in range(num):
        left, rows = COUNTS.sum(axis=1), []
        while left.any():
            p, size = weights * (left > 0), min(4, left.sum())
            row = np.minimum((size * p / p.sum()).astype(int), left)
            row += draw(p / p.sum(), left - row, int(size - row.sum()), rng)
            rows.append(row)
            left = left - row
        epochs.append(np.array(rows))
    return epochs


WRONG_LDS = {
    "the sign of delta": (lambda r, n: lds_with(r, n, alpha=lambda a: a * np.exp(-Z)), 30),
    "no prior": (lambda r, n: lds_with(r, n, alpha=np.zeros_like), 50),
    "no labels": (lambda r, n: lds_with(r, n, label_counts=np.zeros_like), 400),
    "alpha - 1": (lambda r, n: lds_with(r, n, alpha=lambda a: a - 1), 50),
    "alpha + 1": (lambda r, n: lds_with(r, n, alpha=lambda a: a + 1), 100),
    "five times the concentration": (lambda r, n: lds_with(r, n, alpha=lambda a: 5 * a), 400),
    "no re-estimation": (lambda r, n: lds_with(r, n, reestimate=False), 300),
    "UGS": (lambda r, n: [ugs(COUNTS.sum(axis=1), 4, r).batch_sizes for _ in range(n)], 30),
    "one schedule": (lambda r, n: [lds(COUNTS, 4, r, **OPTIONS).batch_sizes] * n, 3),
    "a cap's rest to the largest": (capped_to_the_largest, 300),
    "weights rounded": (weights_rounded, 50),
}


@pytest.mark.parametrize("mistake", WRONG_LDS)
@pytest.mark.filterwarnings("ignore:EM did not converge")
def test_wrong_lds_is_caught(mistake: str, rng: np.random.Generator) -> None:
    sampler, num = WRONG_LDS[mistake]
    sizes = COUNTS.sum(axis=1)
    results = judge(sampler(rng, num), "lds", sizes, 4, class_counts=COUNTS, **OPTIONS)
    assert failed(results)
    assert not set(PROMISES) & set(failed(results))


FIVE, OF_FIVE = 3 * CLASS_COUNTS, {"delays": DELAYS_OF_FIVE, "delta": 1.0}
TWO, OF_TWO = TWO_CLIENTS, {"delays": TWO_DELAYS, "delta": 1.0, "pseudo_samples": 2}
Z_OF_TWO = 2 * 41 / 40 - 1  # S (N - 1) / (N - S) - 1


@pytest.mark.parametrize(
    ("name", "counts", "options", "changed"),
    [
        ("Z lacks its - 1", TWO, OF_TWO, {"concentration": (Z_OF_TWO + 1) / Z_OF_TWO}),
        ("that of a sample, over K - 1", TWO, OF_TWO, {"delta": np.sqrt(1 / 2)}),
        ("the delays have the wrong sign", FIVE, OF_FIVE, {"delays": 6 - DELAYS_OF_FIVE}),
        ("the delays do not count", FIVE, OF_FIVE, {"delta": 0.0}),
        ("estimated only once", FIVE, OF_FIVE, {"reestimate": False}),
        ("estimated again", FIVE, {**OF_FIVE, "reestimate": False}, {"reestimate": True}),
    ],
)
def test_a_mistake_in_lds_is_named(name: str, counts, options, changed, rng) -> None:
    epochs = [lds(counts, 8, rng, **{**options, **changed}).batch_sizes for _ in range(400)]
    results = judge(epochs, "lds", counts.sum(axis=1), 8, class_counts=counts, **options)
    assert name in next(one.detail for one in results if one.verdict == "wrong")


@pytest.mark.parametrize("delta", [1.0, 20.0, 500.0])
def test_draws_that_hardly_any_law_allows_are_seen(delta: float, rng: np.random.Generator) -> None:
    """The fast one of nine has a weight of 0.004, 3e-28 or 1e-250.

    With the other sign the prior of the last would be larger than a float: it is not named.
    """
    options = {"delays": [0.0] + [1.0] * 8, "delta": delta, "class_counts": np.full((9, 1), 60)}
    epochs = [ugs([60] * 9, 9, rng).batch_sizes for _ in range(20)]
    told = judge(epochs, "lds", [60] * 9, 9, **options)
    assert "clients" in failed(told)


# --- arguments


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"law": "usg"}, "law = 'usg': must be one of ugs, fls, fpls, lds"),
        ({"schedules": []}, r"schedules = \[\]: must hold at least one epoch"),
        ({"alpha": 0.0}, "alpha = 0.0: must be a finite number, greater than 0"),
        ({"batch_size": 99}, "batch_size = 99: must be a whole number from 1 to 7"),
        ({"law": "lds"}, "weights = None: must be given, or class_counts, if law = 'lds'"),
        ({"law": "lds", "weights": [1, 0]}, r"weights = \[1, 0\]: must be above 0"),
        ({"law": "lds", "class_counts": [[1], [2]]}, "class_counts = .*: must sum to sizes"),
        (
            {"law": "lds", "class_counts": [[3], [4]], "labels": "sampled"},
            "labels = 'sampled': must be one of expected",
        ),
    ],
)
def test_wrong_arguments_are_named(changed: dict[str, object], sentence: str) -> None:
    arguments = {"schedules": [[[3, 4]]], "law": "ugs", "sizes": [3, 4], "batch_size": 7}
    with pytest.raises(ValueError, match=sentence):
        judge(**{**arguments, **changed})


def test_a_law_that_leaves_nothing_to_chance_says_so() -> None:
    *promises, law = judge([[[2], [2], [1]]], "ugs", [5], 2)
    assert checks_of(promises) == PROMISES
    assert (law.verdict, law.detail) == ("ok", "no draw is left to chance")


def test_too_few_epochs_are_said_to_be(rng: np.random.Generator) -> None:
    epochs = [ugs(SIZES, BATCH, rng).batch_sizes for _ in range(2)]
    *_, clients, spread, between, _ = judge(epochs, "ugs", SIZES, BATCH)
    for one in (clients, spread, between):
        assert (one.verdict, one.detects) == ("unsupported", "nothing: the epochs are too few")
    assert judge(epochs[:1], "ugs", SIZES, BATCH)[-1].verdict == "unsupported"


def test_answers_that_are_no_whole_numbers_are_not_cast(rng: np.random.Generator) -> None:
    right, other = (ugs(SIZES, BATCH, rng).batch_sizes for _ in range(2))
    for wrong in (other * (1 + 7j), other * 1.0, other.astype(str), other > 0, None):
        (result,) = judge([right, wrong], "ugs", SIZES, BATCH)
        assert (result.check, result.verdict) == ("form", "wrong")
        assert result.detail == "epoch 1 is no table of whole numbers"
