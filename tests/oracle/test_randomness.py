"""The questions to samplers: right answers pass, and what is no answer is refused in a sentence."""

from typing import Any

import numpy as np
import pytest

from pslref.oracle.randomness import QUESTIONS
from pslref.oracle.result import Result
from tests.backends.plain import Plain


class Changed(Plain):
    """The plain backend, but for what `change` does to each output."""

    def __init__(self, change: Any) -> None:
        super().__init__()
        self.change = change

    def run(self, op: str, inputs: dict[str, Any]) -> dict[str, Any]:
        out = super().run(op, inputs)
        return {name: self.change(name, array) for name, array in out.items()}


def asked(question: str, change: Any, rng: np.random.Generator) -> list[Result]:
    return QUESTIONS[question][1](Changed(change), rng, 1e-9)


@pytest.mark.parametrize("question", QUESTIONS)
def test_right_answers_pass_and_every_test_sees_something(question: str, rng) -> None:
    """Of p below 1e-9 none is expected; the seed is fixed by the test's name."""
    results = asked(question, lambda name, array: array, rng)
    assert {one.verdict for one in results} == {"ok"}
    assert all(one.op == QUESTIONS[question][0] and one.detects for one in results)


@pytest.mark.parametrize("question", ["ugs-short", "stratified-random", "local-batches"])
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda name, array: array * (1 + 7j), "no array of whole numbers"),
        (lambda name, array: array.astype(str), "no array of whole numbers"),
        (lambda name, array: array / 1, "no array of whole numbers"),
        (lambda name, array: [[1, 2], [3]], "no array of whole numbers"),
        (lambda name, array: None, "no array of whole numbers"),
        (lambda name, array: array[1:], " epochs, all of one shape"),
        (lambda name, array: array[0, 0, ..., 0], "shape ()"),
    ],
)
def test_what_is_no_answer_is_refused(question: str, change: Any, sentence: str, rng) -> None:
    if question == "local-batches" and sentence == "shape ()":
        change = lambda name, array: array[0, 0]  # noqa: E731
    (result,) = asked(question, change, rng)
    assert (result.check, result.verdict) == ("form", "wrong")
    assert sentence in result.detail or result.detail.startswith(f"{'local'}")


@pytest.mark.parametrize(
    ("question", "promise"), [("ugs-short", "num_steps"), ("fls-short", "form")]
)
def test_a_broken_promise_ends_the_list(question: str, promise: str, rng) -> None:
    cut = (lambda a: a[:, :-1]) if promise == "num_steps" else (lambda a: a[:, :, :-1])
    *_, last = asked(question, lambda name, array: cut(array), rng)
    assert (last.check, last.verdict) == (promise, "wrong")


def test_the_order_within_a_local_batch_does_not_matter(rng: np.random.Generator) -> None:
    """The first two samples are client 0's in the first step."""

    def sorted_batches(name: str, samples: np.ndarray) -> np.ndarray:
        first = np.sort(samples[:, :2], axis=1)
        return np.concatenate([first, samples[:, 2:]], axis=1)

    results = asked("local-batches", sorted_batches, rng)
    assert {one.verdict for one in results} == {"ok"}


@pytest.mark.parametrize(
    "question", [name for name, (op, _) in QUESTIONS.items() if op == "sample"]
)
def test_a_seed_that_is_ignored_is_caught(question: str, rng: np.random.Generator) -> None:
    class Deaf(Plain):
        def run(self, op: str, inputs: dict[str, Any]) -> dict[str, Any]:
            return super().run(op, {**inputs, "seed": 3})

    results = QUESTIONS[question][1](Deaf(), rng, 1e-9)
    told = [one.detail for one in results if one.check == "seed"]
    fixed = question.startswith(("fls", "fpls"))
    assert told == ([] if fixed else ["is ignored: two seeds give the same epochs"])
