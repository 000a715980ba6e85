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

STEP, SAMPLE = ["split_steps"], ["sample"]

# fault: (where it is caught, operations to ask, the diagnosis or None)
VECTORS: dict[str, tuple[str, str | None]] = {
    # the step
    "averaged": ("split_steps", "averaged over the participants"),
    "averaged-over-all": ("split_steps", "averaged over all K clients"),
    "sum-of-means": ("split_steps", "a mean over its own samples, and these are added up"),
    "weighted-by-share": ("split_steps", "weighted by b_k / B_t"),
    "weighted-by-position": ("split_steps", "by position, not by client"),
    "last-overwrites": ("split_steps", "each overwrites the one before"),
    "last-left-out": ("split_steps", "the last participant's gradient is left out"),
    "largest-only": ("split_steps", None),
    "mean-of-means": ("split_steps", "a mean of the clients' means"),
    "divided-by-clients": ("split_steps", "divided by the number of participants"),
    "nominal-batch": ("split_steps", "divided by the size of the largest batch"),
    "absent-not-updated": ("split_steps", "clients that sat a step out"),
    "first-half-updated": ("split_steps", "only the first half"),
    "never-updated": ("split_steps", "client halves are never updated"),
    "own-gradient": ("split_steps", "right as aggregation-free PSL"),
    "answers-reversed": ("split_steps", "reverse order of clients"),
    "answers-shifted": ("split_steps", None),
    "labels-reversed": ("split_steps", "labels are joined in the reverse"),
    "client-forward-again": ("split_steps", None),
    "cut-gradient-after-update": ("split_steps", "at the server's weights after the update"),
    "fresh-optimizers": ("split_steps", "momentum never acts: optimizers are new in every step"),
    "fresh-client-optimizers": ("split_steps", "never acts on the client half"),
    "velocity-averaged": ("split_steps", None),
    "scalar-sent-back": ("split_steps", "the loss itself is sent back"),
    "server-in-turn": ("split_steps", "takes clients one after another"),
    "server-not-updated": ("split_steps", "the server half is never updated"),
    "array-shared": ("split_steps", "one array of gradients is shared"),
    "not-zeroed": ("split_steps", "not set to zero between steps on the client half"),
    "client-decay-lost": ("split_steps", "weight decay is lost on the client half"),
    "server-decay-lost": ("split_steps", "weight decay is lost on the server half"),
    "stale-evaluation": ("split_steps", "from before the last update"),
    "half-not-in-checkpoint": ("split_steps", "as if the checkpoint lacked it"),
    "clipped": ("split_steps", None),
    "rate-times-participants": ("split_steps", "is multiplied by the number of participants"),
    "rate-over-participants": ("split_steps", "is divided by the number of participants"),
    "decay-per-participant": ("split_steps", "once for each participant"),
    "velocity-stale": ("split_steps", "goes on with the velocity it had"),
    "velocity-lost": ("split_steps", "begins with velocity 0"),
    "lazy-report": ("split_steps", "show what each would use next"),
    "half-sums": ("split_steps", "summed in half precision"),
    "smoothed-labels": ("split_steps", "the labels are smoothed by 0.1"),
    "clipped-norm": ("split_steps", "is clipped to the norm 5"),
    "micro-batches": ("split_steps", "the means of micro-batches of 16"),
    "labels-by-name": ("split_steps", "labels are joined in the order of clients' numbers as text"),
    "epoch-optimizers": ("split_steps", "optimizers are new in every epoch"),
    # layers, loss, optimizer
    "no-bias": ("linear", None),
    "mean-gradients": ("linear", "averaged over the batch"),
    "bias-gradient-lost": ("linear", None),
    "half-precision": ("linear", "rounded to half precision"),
    "padding-at-the-end": ("conv2d", "all of the padding is at the far edges"),
    "padding-off-by-one": ("conv2d", None),
    "flipped-kernel": ("conv2d", "the kernel is flipped"),
    "leaky": ("relu", None),
    "relu-skipped-in-backward": ("relu", None),
    "stride-ignored": ("max_pool2d", None),
    "overlap-overwritten": ("max_pool2d", None),
    "eps-default": ("group_norm", "eps is 1e-5"),
    "eps-outside-root": ("group_norm", None),
    "unbiased-variance": ("group_norm", "over n - 1"),
    "one-group": ("group_norm", "there is one group"),
    "norm-as-constant": ("group_norm", None),
    "batch-statistics": ("group_norm", "those of the batch, not of each sample"),
    "biased-running-variance": ("batch_norm2d", "over n, not over n - 1"),
    "evaluation-in-training": ("batch_norm2d", "running statistics in place of the batch's"),
    "softmax-twice": ("cross_entropy", "a softmax comes before"),
    "unstable-softmax": ("cross_entropy", None),
    "summed-loss": ("cross_entropy", "summed over the batch"),
    "gradient-not-mean": ("cross_entropy", "lacks the 1/N"),
    "loss-in-bits": ("cross_entropy", "in bits"),
    "momentum-lost": ("sgd", "momentum never acts"),
    "nesterov": ("sgd", "Nesterov"),
    "dampened": ("sgd", "dampens"),
    "decay-lost": ("sgd", "weight decay is lost"),
    "decoupled-decay": ("sgd", "beside the velocity"),
    # samplers and laws
    "round-half-up": ("fls", "halves up"),
    "round-down": ("fpls", "rounded down"),
    "k-of-holders": ("fls", "K counts only"),
    "stop-at-first-empty": ("fls", None),
    "last-batch-dropped": ("ugs_replay", "smaller last batches are dropped"),
    "remainder-swapped": ("ugs_replay", "the other way"),
    "short-first": ("ugs_replay", "the smaller batches come first"),
    "z-plus-one": ("lds_prior", "Z lacks its - 1"),
    "wrong-sign": ("lds_prior", "wrong sign"),
    "sample-std": ("lds_prior", "sample standard deviation"),
    "prior-dropped": ("lds_em", "maximum likelihood"),
    "alpha-minus-one": ("lds_em", "α - 1"),
    "no-cap": ("lds_replay", None),
    "total-variation": ("batch_deviation", "total variation"),
    "everybody-waits": ("step_times", "sit the step out"),
    "mean-time": ("step_times", "the mean of the participants'"),
}
ONLY_RANDOM = {
    "one-schedule": "sample",
    "with-replacement": "sample",
    "sorted": "sample",
    "never-the-last": "sample",
    "stale-shares": "sample",
    "clients-not-samples": "sample",
    "half-shuffled": "sample",
    "delta-ignored": "sample",
    "no-reestimate": "sample",
    "never-shuffled": "local_batches",
    "same-every-epoch": "local_batches",
    "owners-swapped": "local_batches",
    "rotated": "local_batches",
    "one-stream-for-all": "local_batches",
    "reversed-every-other": "local_batches",
    "unsplit-indices": "local_batches",
    "always-the-first": "local_batches",
    "sampled-with-replacement": "local_batches",
}


def test_at_least_thirty_are_caught_and_twenty_named() -> None:
    assert len(VECTORS) + len(ONLY_RANDOM) >= 30
    assert sum(name is not None for _, name in VECTORS.values()) >= 20


@pytest.mark.parametrize("fault", VECTORS)
def test_the_vectors_catch_it_and_name_it(fault: str, rng: np.random.Generator) -> None:
    op, name = VECTORS[fault]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # some faults make weights explode
        report = examine(Plain(fault, dtype="float32"), rng, tiers=["vectors"], ops=[op])
    assert report.exit_code == 1
    if name is not None:
        assert any(name in sentence for sentence in report.diagnoses), report.diagnoses
        assert len(report.diagnoses) == 1
    else:
        assert report.diagnoses == []


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
    assert STEP_LAWS[law](Asked(Plain(fault)), rng) is not None
    assert STEP_LAWS[law](Asked(Plain()), rng) is None


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

    assert STEP_LAWS[law](Asked(Noisy()), rng) is not None


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
