"""The judge of class targets, tried on right ones and on ones with one mistake each."""

from collections.abc import Callable
from itertools import permutations, product

import numpy as np
import pytest

from pslref.oracle import class_targets, randomness
from pslref.oracle.bets import Finding
from pslref.oracle.class_targets import judge_targets, means
from pslref.oracle.distribution import FAMILIES
from pslref.oracle.randomness import QUESTIONS
from pslref.sampling import targets
from tests.backends.plain import Plain

COUNTS = np.array([[7, 1, 0], [3, 5, 0], [0, 4, 4], [0, 0, 0], [5, 1, 1]])
DELAYS = np.array([1.0, 1.5, 9, 2, 4])
PROMISES = ["form", "num_steps", "batch_sizes", "exhaustion", "targets"]
LAW = [family.__name__ for family in FAMILIES]


def drawn(num: int, rng: np.random.Generator, batch_size: int = 6, **options: str) -> np.ndarray:
    epochs = [
        targets(COUNTS, batch_size, rng, delays=DELAYS, **options).local_class_counts
        for _ in range(num)
    ]
    return np.array(epochs)


def failed(findings: list[Finding]) -> list[str]:
    return [finding.name for finding in findings if not finding.passed]


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
        assert [finding.name for finding in findings] == [
            *PROMISES,
            *["deviation"] * (draw == "stratified"),
            *["slowest_first"] * (assign == "slowest-first"),
            *(["means"] if draw == "stratified" else LAW),
        ]


def test_the_bet_on_means_is_fair_whatever_the_law(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over all pairs of epochs a stake of 1 stays 1, exactly: of a shuffle, and of a rotation."""
    monkeypatch.setattr(
        class_targets, "verdict", lambda name, level, log_e, *rest: float(np.exp(log_e).mean())
    )
    line, held = [0, 0, 1, 1, 1, 2], np.array([2, 3, 1])
    for law in (set(permutations(line)), [line[i:] + line[:i] for i in range(6)]):
        epochs = [
            [[part.count(m) for m in range(3)] for part in (line[:4], line[4:])]
            for line in map(list, law)
        ]
        made = [means(np.array(pair), held, 0.5) for pair in product(epochs, repeat=2)]
        assert np.mean(made) == pytest.approx(1, abs=1e-12)
        assert np.std(made) > 0.01


# --- broken promises


@pytest.mark.parametrize(
    ("breaking", "promise"),
    [
        (lambda c, x: (c[:, :, :2], x), "form"),
        (lambda c, x: (c, x[:, :, 1:]), "form"),
        (lambda c, x: (c, x.sum(axis=3)), "form"),
        (lambda c, x: (c[:, :-1], x), "form"),
        (lambda c, x: (c / 1, x / 1), "form"),
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
    assert findings[-1].name == promise


def test_slowest_first_is_compared_exactly(rng: np.random.Generator) -> None:
    local = drawn(5, rng, draw="hypergeometric", assign="slowest-first")
    for delays, looks in [(-DELAYS, ": the fastest come first"), (DELAYS[[0, 2, 1, 3, 4]], "")]:
        finding = judge_targets(
            local.sum(axis=2), local, COUNTS, 6, "hypergeometric", "slowest-first", delays
        )[-1]
        assert (finding.name, finding.passed) == ("slowest_first", False)
        assert finding.detail.endswith(f" expected{looks}")
    # One sample in one epoch: client 0, the fastest, before client 4.
    early, late = (np.flatnonzero(local[3, :, k, 0])[0] for k in (4, 0))
    local[3, [early, late], 4, 0] += [-1, 1]
    local[3, [early, late], 0, 0] += [1, -1]
    finding = judge_targets(
        local.sum(axis=2), local, COUNTS, 6, "hypergeometric", "slowest-first", DELAYS
    )[-1]
    assert (finding.name, finding.passed) == ("slowest_first", False)
    assert finding.detail.startswith(
        f"epoch 3: client 0 brings 1 samples of class 0 to step {early}"
    )


def test_the_bound_on_stratified_deviation_is_the_proven_one() -> None:
    """Two classes of 6, B = 4: Δ B ≤ 2, so three of one class are allowed, and four are not."""
    for first, passed in ((3, True), (4, False)):
        c = np.array([[[first, 4 - first], [4 - first, first], [2, 2]]])
        local = np.stack([c, c], axis=2) // 2
        local[:, :, 0] += c % 2
        findings = judge_targets(
            c, local, local[0].sum(axis=0), 4, "stratified", "random", DELAYS[:2]
        )
        assert (findings[5].name, findings[5].passed) == ("deviation", passed)
    assert findings[5].detail == (
        "epoch 0: Δ is 1.00 in step 0, and at most 0.50 if stratified; "
        "class 0 has 4 of 4 samples, 2.0 expected"
    )


# --- mistakes, and the sentence that names each

FAULTS = {
    "targets-rounded-each-step": (
        "stratified-slowest-first",
        "deviation: epoch 0: Δ is 1.42 in step 5, and at most 1.33 if stratified; "
        "class 3 has 2 of 3 samples, 0.1 expected",
    ),
    "own-mix": ("stratified-random", "deviation: "),
    "drawn-with-replacement": ("hypergeometric-random", "form: epoch "),
    "class-counts-ignored": ("hypergeometric-random", "targets: epoch 0: the clients bring "),
    "fastest-first": ("hypergeometric-slowest-first", ": the fastest come first"),
    "slowest-by-number": ("stratified-slowest-first", "slowest_first: "),
    "same-targets-every-epoch": ("stratified-slowest-first", "means: class "),
    "dealt-in-order": ("stratified-random", "means: class "),
}
ALONE = {  # by the law alone: without a target that was not met, or a bound
    "own-mix": "hypergeometric-random",
    "same-targets-every-epoch": "hypergeometric-slowest-first",
    "dealt-in-order": "hypergeometric-random",
}
CLIENTS = {
    "class-counts-ignored": "epoch 0: where one of class 1 of client ",
    "classes-never-shuffled": "the place of sample 0 of class 0 of client 0 is 0 in 400 epochs",
}


@pytest.mark.parametrize(
    ("fault", "question", "says"),
    [(fault, *expected) for fault, expected in FAULTS.items()]
    + [(fault, question, ": p = ") for fault, question in ALONE.items()]
    + [(fault, "local-class-batches", says) for fault, says in CLIENTS.items()],
)
def test_a_mistake_is_caught_and_its_sentence_names_it(fault, question, says, rng) -> None:
    """Each is far above what the tests can see, so that the seed does not matter."""
    answer = QUESTIONS[question][1](Plain(fault), rng, 1e-7)
    assert answer.failure is not None
    assert says in answer.failure


def test_another_number_of_schedules_is_said(rng: np.random.Generator) -> None:
    class Few(Plain):
        def run(self, op: str, inputs: dict) -> dict:
            return super().run(op, {**inputs, "num_schedules": 2})

    answer = randomness.class_targets("stratified", "random", "short", Few(), rng, 1e-7)
    assert answer.failure == "local_class_counts has shape (2, 6, 5, 4), expected (500, T, K, M)"
