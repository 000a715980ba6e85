"""The judge of schedules, tried on right samplers and on samplers with one mistake each."""

import tracemalloc
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest

from pslref.oracle import bets
from pslref.oracle.bets import Finding, tabulate
from pslref.oracle.distribution import FAMILIES, judge
from pslref.sampling import fls, fpls, global_batch_sizes, lds, mixing_weights, ugs
from pslref.sampling.dirichlet import draw
from pslref.sampling.mixing import Posterior, drawn_steps
from pslref.sampling.schedule import Schedule
from tests.oracle.wrong_samplers import WRONG_UGS, one_by_one

PROMISES = ["form", "num_steps", "batch_sizes", "exhaustion"]
LAW = [family.__name__ for family in FAMILIES]
SIZES, BATCH = [12, 9, 6, 0, 5, 3], 4
COUNTS = np.array([[8, 1, 0], [3, 5, 0], [0, 4, 4], [0, 0, 9], [1, 1, 1], [0, 0, 0], [6, 0, 6]])
DELAYS = np.array([1.0, 1, 9, 1, 2, 1, 3])


def failed(findings: list[Finding]) -> list[str]:
    return [finding.name for finding in findings if not finding.passed]


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
            assert [finding.name for finding in findings] == PROMISES + LAW


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
        assert [finding.name for finding in findings] == PROMISES + LAW


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
        assert [finding.name for finding in findings] == [*PROMISES, "plan"]
        assert not failed(findings)
        swapped = right.copy()
        swapped[0, [0, 1]] += [1, -1]
        swapped[1, [0, 1]] += [-1, 1]
        (broken,) = [f for f in judge([right, swapped], law, SIZES, BATCH) if not f.passed]
        assert broken.name == "plan"
        assert broken.detail.startswith("epoch 1 takes 2 samples from client 0 in step 0, not 1")


def test_a_long_log_is_judged_in_part(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator, alpha: float
) -> None:
    """9 of 51 steps, 14 of 40 epochs, of 32 clients. False alarm: 1e-8."""
    monkeypatch.setattr(bets, "MOST_CHANCES", 50_000)
    sizes = rng.multinomial(500, np.full(32, 1 / 32)).tolist()
    epochs = np.array([ugs(sizes, 10, rng).batch_sizes for _ in range(40)])
    table = tabulate(epochs, np.array(sizes), None)
    assert table.steps.tolist() == [0, 6, 12, 18, 24, 30, 36, 42, 49]
    assert (table.brought == epochs[: len(table.brought), table.steps]).all()
    assert table.few.tolist() == [0, 4, 7, 8]
    assert 2 < len(table.brought) < 40
    assert not failed(judge(epochs, "ugs", sizes, 10, alpha=alpha))
    stale = [one_by_one(sizes, 10, rng, lambda _: np.array(sizes, float)) for _ in range(15)]
    assert "between_steps" in failed(judge(stale, "ugs", sizes, 10))
    assert "repeats" in failed(judge([*epochs[:9], epochs[4]], "ugs", sizes, 10))


@pytest.mark.parametrize("law", ["ugs", "fls", "fpls", "lds"])
def test_nothing_larger_than_the_log_is_made(law: str) -> None:
    """Three billion steps are expected; two are there."""
    options = {"class_counts": [[3_000_000_000]]} if law == "lds" else {}
    tracemalloc.start()
    *_, last = judge([[[1], [1]]], law, [3_000_000_000], 1, **options)
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()
    assert (last.name, last.passed) == ("num_steps", False)
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
    assert findings[-1].name == promise
    assert findings[-1].detail.startswith("epoch 9 ")


def test_with_replacement_breaks_the_promise_to_exhaust(rng: np.random.Generator) -> None:
    shares = np.array(SIZES) / sum(SIZES)
    rows = [rng.multinomial(b, shares) for b in global_batch_sizes(sum(SIZES), BATCH)]
    (finding,) = [f for f in judge([np.array(rows)], "ugs", SIZES, BATCH) if not f.passed]
    assert finding.name in ("form", "exhaustion")
    assert "client" in finding.detail


def test_the_other_remainder_is_not_the_one_promised(rng: np.random.Generator) -> None:
    even = [ugs(SIZES, 8, rng, "even").batch_sizes]
    assert failed(judge(even, "ugs", SIZES, 8)) == ["batch_sizes"]


# --- wrong laws. Each name says the mistake; one of the families that must see it is given, and
# the epochs that are enough.

EXPECTED = {
    "shares_stay_as_at_first": ("between_steps", 50),
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
    "shuffled_within_a_window": ("cells", 50),
    "batches_sorted_by_a_client": ("clients", 50),
    "end_of_the_epoch_not_shuffled": ("outcomes", 100),
    "halves_never_mixed": ("clients", 100),
    "swap_with_anyone": ("cells", 2000),
}


@pytest.mark.parametrize("name", WRONG_UGS)
def test_a_wrong_law_is_caught(name: str, rng: np.random.Generator) -> None:
    family, num = EXPECTED[name]
    findings = judge(WRONG_UGS[name](SIZES, BATCH, num, rng), "ugs", SIZES, BATCH)
    assert [f.name for f in findings[: len(PROMISES)] if f.passed] == PROMISES
    assert family in failed(findings)


def test_the_detail_has_the_numbers(rng: np.random.Generator) -> None:
    epochs = [np.roll(ugs([20, 20], 10, rng).batch_sizes, 1, axis=1) for _ in range(9)]
    for epoch in epochs:
        epoch[[0, 1]] = [[2, 8], epoch[:2].sum(axis=0) - [2, 8]]
    findings = {f.name: f for f in judge(epochs, "ugs", [20, 20], 10)}
    assert failed(list(findings.values()))
    assert findings["outcomes"].detail.startswith("client 0 brings 2 samples to step 0 in 9 of 9 ")
    assert "epochs, 0.3 expected: p = " in findings["outcomes"].detail
    assert findings["cells"].detail.endswith(", accused at 1.2e-07")
    assert "samples to step 0 (mean of 9 epochs), 5.000 expected: p = " in findings["cells"].detail


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
    findings = judge(sampler(rng, num), "lds", sizes, 4, class_counts=COUNTS, **OPTIONS)
    assert all(finding.passed for finding in findings[: len(PROMISES)])
    assert failed(findings)


def test_re_estimation_that_was_not_promised_is_caught(rng: np.random.Generator) -> None:
    epochs = [lds(COUNTS, 4, rng, **OPTIONS).batch_sizes for _ in range(150)]
    judged = judge(
        epochs, "lds", COUNTS.sum(axis=1), 4, class_counts=COUNTS, reestimate=False, **OPTIONS
    )
    assert "clients" in failed(judged)


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
    findings = judge([[[2], [2], [1]]], "ugs", [5], 2)
    assert not failed(findings)
    assert {f.detects for f in findings[len(PROMISES) :]} == {
        "nothing: these epochs are too few, or leave nothing to chance"
    }
