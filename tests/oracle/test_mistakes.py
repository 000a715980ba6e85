"""Wrong implementations: every one is caught, and most are named.

Each is the plain backend with one decision made wrongly. The numbers are those of the list of
mistakes found in public code, given in docs/oracle.md.
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pslref.oracle import examine
from pslref.oracle.backends import Asked
from pslref.oracle.checks import bounds_of
from pslref.oracle.compare import divergence, flatten
from pslref.oracle.laws import STEP_LAWS
from pslref.oracle.library import OPS
from pslref.oracle.mistakes import Mistake, Naming, known
from pslref.oracle.training import split_steps
from pslref.oracle.vectors import shipped
from tests.backends.plain import Plain
from tests.oracle.faults import ONLY_RANDOM, VECTORS

STEP, SAMPLE = ["split_steps"], ["sample"]


def test_at_least_thirty_are_caught_and_twenty_named() -> None:
    assert len(VECTORS) + len(ONLY_RANDOM) >= 30
    assert sum(name is not None for _, name in VECTORS.values()) >= 20


@pytest.mark.parametrize("fault", VECTORS)
def test_the_vectors_catch_it_and_name_it(fault: str, rng: np.random.Generator) -> None:
    ops, name = VECTORS[fault][0].split(), VECTORS[fault][1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # some faults make weights explode
        report = examine(Plain(fault, dtype="float32"), rng, tiers=["vectors"], ops=ops)
    assert report.exit_code == 1
    if name is not None:
        assert all(name in sentence for sentence in report.diagnoses), report.diagnoses
        assert len(report.diagnoses) == len(ops)
    else:
        assert report.diagnoses == []


def test_a_batch_norm_in_the_client_half_is_told(rng: np.random.Generator) -> None:
    """No numbers are expected where inputs must be refused."""
    report = examine(Plain("norm-at-clients"), rng, tiers=["vectors"], ops=STEP)
    (wrong,) = (one for one in report.results if one.is_wrong)
    assert wrong.check == "steps-norm-at-clients"
    assert "A batch norm in the client half would normalize with" in wrong.detail


@pytest.mark.parametrize("fault", ONLY_RANDOM)
def test_the_distribution_catches_what_no_vector_can(fault: str, rng: np.random.Generator) -> None:
    """Each is far above what the tests can see, so that the seed does not matter."""
    op = ONLY_RANDOM[fault]
    report = examine(Plain(fault), rng, tiers=["distribution"], ops=[op], stop_at_first=True)
    assert report.exit_code == 1


@pytest.mark.parametrize(
    ("law", "fault"),
    [
        ("every-cut", "averaged"),
        ("every-cut", "mean-of-means"),
        ("every-cut", "client-decay-lost"),
        ("every-cut", "fresh-client-optimizers"),
        ("every-cut-of-images", "flipped-kernel"),
        ("every-cut-of-images", "answers-shifted"),
        ("client-order", "weighted-by-position"),
        ("client-order", "labels-reversed"),
        ("pooled-gradient", "largest-only"),
        ("pooled-gradient", "sum-of-means"),
        ("absent-clients", "absent-not-updated"),
        ("absent-clients", "own-gradient"),
    ],
)
def test_a_law_alone_catches_it(law: str, fault: str, rng: np.random.Generator) -> None:
    """Without any expected value: the backend disagrees with itself, or with training uncut."""
    assert STEP_LAWS[law].broken(Asked(Plain(fault)), rng) is not None
    assert STEP_LAWS[law].broken(Asked(Plain()), rng) is None


@pytest.mark.parametrize("law", STEP_LAWS)
def test_a_law_sees_an_error_of_a_billionth(law: str, rng: np.random.Generator) -> None:
    class Noisy(Plain):
        def run(self, op: str, inputs: dict) -> dict:
            out = super().run(op, inputs)
            for step in out["steps"]:
                for name in ("client_weights", "server_weights"):
                    for w in step[name].values():
                        w *= 1 + 1e-9 * rng.standard_normal(w.shape)
            return out

    assert STEP_LAWS[law].broken(Asked(Noisy()), rng) is not None


KNOWN = [(op, mistake) for op in OPS for mistake in known(op)]


@pytest.mark.parametrize(("op", "mistake"), KNOWN, ids=lambda one: getattr(one, "sentence", one))
def test_every_known_mistake_would_be_seen_in_float32(op: str, mistake: Mistake) -> None:
    cases = [case for case in shipped() if case.op == op and case.result == "valid"]
    with np.errstate(all="ignore"):
        made = ((case, flatten(mistake.predict(case.inputs))) for case in cases)
        assert any(divergence(case.expected, out, bounds_of(case, "float32")) for case, out in made)


def test_the_reference_without_a_mistake_is_right() -> None:
    for case in shipped():
        if case.op == "split_steps" and case.result == "valid":
            out = flatten(split_steps(case.inputs))
            assert divergence(case.expected, out, bounds_of(case, "float64")) is None


class Changed(Plain):
    """The plain backend; `change` sees the inputs and outputs of `split_steps`."""

    def __init__(self, change: Callable[[dict, dict], Any], *faults: str) -> None:
        super().__init__(*faults)
        self.change = change

    def run(self, op: str, inputs: dict[str, Any]) -> Any:
        return self.change(inputs, super().run(op, inputs))


def without_momentum(inputs: dict, out: dict) -> dict:
    if inputs["momentum"]:
        raise NotImplementedError("momentum")
    return out


def without_absence(inputs: dict, out: dict) -> dict:
    return {} if (inputs["batch_sizes"] == 0).any() else out


@pytest.mark.parametrize("breaks", [without_momentum, without_absence])
@pytest.mark.parametrize(
    ("fault", "name"), [((), None), (("last-overwrites",), "each overwrites the one before")]
)
def test_only_numbers_support_a_name(
    breaks: Callable[[dict, dict], Any], fault: tuple, name: str | None, rng: np.random.Generator
) -> None:
    """Not that it crashes, or leaves outputs out, where a mistake would make a difference."""
    report = examine(Changed(breaks, *fault), rng, tiers=["vectors"], ops=STEP)
    assert report.exit_code == 1
    assert [name in one for one in report.diagnoses] == ([] if name is None else [True])


def test_an_error_of_another_kind_is_no_mistake_that_makes_no_difference(
    rng: np.random.Generator,
) -> None:
    """Numbers are off where all is known mistakes agree; and nothing else is shown."""

    def off(inputs: dict, out: dict) -> dict:
        without_momentum(inputs, out)
        out["steps"][0]["loss"] *= 1 + 1e-13
        return out

    assert examine(Changed(off), rng, tiers=["vectors"], ops=STEP).diagnoses == []


@pytest.mark.parametrize("op", OPS)
def test_inputs_that_had_to_be_refused_are_no_evidence(op: str) -> None:
    naming = Naming("float64")
    for case in shipped():
        if case.op == op and case.result == "invalid":
            naming.add(case, {"loss": np.array(1.0)})
    assert naming.names(op) == []


def test_every_answer_is_compared_once_however_often_names_are_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[dict] = []

    def predict(inputs: dict) -> dict:
        asked.append(inputs)
        return Plain("momentum-lost").run("sgd", inputs)

    monkeypatch.setattr("pslref.oracle.mistakes.known", lambda *_: [Mistake("lost", predict)])
    cases, naming = [case for case in shipped() if case.op == "sgd"], Naming("float64")
    for case in cases:
        naming.add(case, Plain("momentum-lost").run("sgd", case.inputs))
        names = naming.names("sgd")
    assert (names, len(asked)) == (["lost"], len(cases))


@pytest.mark.parametrize(("lacking", "named"), [("one", [True]), ("all", [])])
def test_a_case_that_lacks_an_output_neither_supports_nor_excludes(
    lacking: str, named: list[bool]
) -> None:
    naming = Naming("float64")
    cases = [c for c in shipped() if c.op == "split_steps" and c.result == "valid"]
    for case in cases:
        got = flatten(Plain("last-overwrites").run(case.op, case.inputs))
        if lacking == "all" or case is cases[0]:
            got = {name: w for name, w in got.items() if ".server_weights." not in name}
        naming.add(case, got)
    assert ["each overwrites the one before" in one for one in naming.names("split_steps")] == named
