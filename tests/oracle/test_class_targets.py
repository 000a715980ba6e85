"""The judge of class targets, tried on right ones and on ones with one mistake each."""

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest

from pslref.oracle.bets import FAMILIES
from pslref.oracle.class_targets import judge_targets
from pslref.oracle.randomness import QUESTIONS
from pslref.oracle.result import Result
from pslref.sampling import targets
from tests.backends.plain import Plain
from tests.oracle.faults import QUESTIONED

COUNTS = np.array([[7, 1, 0], [3, 5, 0], [0, 4, 4], [0, 0, 0], [5, 1, 1]])
DELAYS = np.array([1.0, 1.5, 9, 2, 4])
PROMISES = ["shapes", "form", "num_steps", "batch_sizes", "exhaustion", "targets"]
LAW = [family.__name__ for family in FAMILIES]


def drawn(num: int, rng: np.random.Generator, batch_size: int = 6, **options: str) -> np.ndarray:
    epochs = [
        targets(COUNTS, batch_size, rng, delays=DELAYS, **options).local_class_counts
        for _ in range(num)
    ]
    return np.array(epochs)


def failed(results: list[Result]) -> list[str]:
    return [one.check for one in results if one.verdict == "wrong"]


# --- right ones


def test_right_class_targets_are_never_accused(rng: np.random.Generator, alpha: float) -> None:
    """Every draw and assignment, both remainders, batches of 1, 9 and 31. False alarm: 1e-8."""
    cases = product(
        ("hypergeometric", "stratified"), ("random", "slowest-first"), ("short", "even"),
        (1, 9, 31),
    )  # fmt: skip
    for draw, assign, remainder, batch_size in cases:
        options = {"draw": draw, "assign": assign, "remainder": remainder}
        local = drawn(20, rng, batch_size, **options)
        findings = judge_targets(
            local.sum(axis=2), local, COUNTS, batch_size, draw, assign, DELAYS,
            alpha=alpha / 24, remainder=remainder,
        )  # fmt: skip
        assert not failed(findings)
        assert [one.check for one in findings] == [
            *PROMISES,
            *["deviation"] * (draw == "stratified"),
            *["slowest_first"] * (assign == "slowest-first"),
            *(["means"] if draw == "stratified" else LAW if batch_size < 31 else ["law"]),
        ]


# --- broken promises


@pytest.mark.parametrize(
    ("breaking", "promise"),
    [
        (lambda c, x: (c[:, :, :2], x), "shapes"),
        (lambda c, x: (c, x[:, :, 1:]), "shapes"),
        (lambda c, x: (c, x.sum(axis=3)), "shapes"),
        (lambda c, x: (c[:, :-1], x), "shapes"),
        (lambda c, x: (c[:, :-1], x[:, :-1]), "num_steps"),
        (lambda c, x: (c[:, ::-1], x[:, ::-1]), "batch_sizes"),
        (lambda c, x: (c, x[:, :, [4, 1, 2, 3, 0]]), "form"),
        (lambda c, x: (c[:, [1, 1, 2, 3, 4, 5]], x[:, [1, 1, 2, 3, 4, 5]]), "exhaustion"),
        (lambda c, x: (np.roll(c, 1, axis=2), x), "targets"),
        (lambda c, x: (c + 1, x), "targets"),
    ],
)
def test_a_broken_promise_is_named(breaking: Callable, promise: str, rng) -> None:
    local = drawn(3, rng, draw="hypergeometric", assign="slowest-first")
    given = breaking(local.sum(axis=2), local)
    findings = judge_targets(*given, COUNTS, 6, "hypergeometric", "slowest-first", DELAYS)
    assert failed(findings) == [promise]
    assert findings[-1].check == promise


def test_slowest_first_is_compared_exactly(rng: np.random.Generator) -> None:
    local = drawn(5, rng, draw="hypergeometric", assign="slowest-first")
    for delays, looks in [(9 - DELAYS, ": the fastest come first"), (DELAYS[[0, 2, 1, 3, 4]], "")]:
        finding = judge_targets(
            local.sum(axis=2), local, COUNTS, 6, "hypergeometric", "slowest-first", delays
        )[-1]
        assert (finding.check, finding.verdict) == ("slowest_first", "wrong")
        assert finding.detail.endswith(f" expected{looks}")
    # One sample in one epoch: client 0, the fastest, before client 4.
    early, late = (np.flatnonzero(local[3, :, k, 0])[0] for k in (4, 0))
    due = local[3, early, 4, 0]
    local[3, [early, late], 4, 0] += [-1, 1]
    local[3, [early, late], 0, 0] += [1, -1]
    finding = judge_targets(
        local.sum(axis=2), local, COUNTS, 6, "hypergeometric", "slowest-first", DELAYS
    )[-1]
    assert (finding.check, finding.verdict) == ("slowest_first", "wrong")
    assert finding.detail.startswith(
        f"epoch 3 brings {due - 1} samples of class 0 to step {early} from client 4, {due} expected"
    )


def test_of_clients_as_slow_only_the_sum_is_judged(rng: np.random.Generator) -> None:
    """The library takes them in its own order, and here they change places."""
    delays = np.array([9.0, 9, 9, 9, 2])
    local = [targets(COUNTS, 6, rng, delays=delays).local_class_counts for _ in range(20)]
    for told in (delays, delays[[4, 1, 2, 3, 0]]):
        stated = [epoch.sum(axis=1) for epoch in local]
        results = judge_targets(stated, local, COUNTS, 6, "hypergeometric", "slowest-first", told)
        assert failed(results) == ([] if told is delays else ["slowest_first"])


def test_the_bound_on_stratified_deviation_is_the_proven_one() -> None:
    """Two classes of 6, B = 4: Δ B ≤ 2, so three of one class are allowed, and four are not."""
    for first, passed in ((3, True), (4, False)):
        c = np.array([[[first, 4 - first], [4 - first, first], [2, 2]]])
        local = np.stack([c, c], axis=2) // 2
        local[:, :, 0] += c % 2
        findings = judge_targets(
            c, local, local[0].sum(axis=0), 4, "stratified", "random", DELAYS[:2]
        )
        verdict = "ok" if passed else "wrong"
        assert (findings[6].check, findings[6].verdict) == ("deviation", verdict)
    assert findings[6].detail == (
        "epoch 0 has a Δ of 1.00 in step 0, and at most 0.50 if stratified; "
        "class 0 has 4 of 4 samples, 2.0 expected"
    )


# --- mistakes, and the sentence that names each


@pytest.mark.parametrize(("fault", "question", "check", "says"), QUESTIONED)
def test_a_mistake_is_caught_and_its_sentence_names_it(fault, question, check, says, rng) -> None:
    """Each is far above what the tests can see, so that the seed does not matter."""
    results = QUESTIONS[question][1](Plain(fault), rng, 1e-7)
    (found,) = (one for one in results if one.check == check)
    assert found.verdict == "wrong"
    assert says in found.detail


def test_the_same_order_in_every_epoch_is_not_taken_for_one_offset(rng) -> None:
    results = QUESTIONS["stratified-offsets"][1](Plain("targets-rounded-each-step"), rng, 1e-7)
    assert "repeats" in failed(results)
    assert not any("known mistake" in one.detail for one in results)
