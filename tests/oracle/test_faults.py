"""Wrong implementations: every one is caught, and most are named.

Each is the plain backend with one decision made wrongly. The numbers are those of the list of
mistakes found in public code, given in docs/oracle.md.
"""

import warnings

import numpy as np
import pytest

from pslref.oracle import examine
from pslref.oracle.backends import as_arrays
from pslref.oracle.checks import bounds_of
from pslref.oracle.compare import divergence
from pslref.oracle.engine import Engine
from pslref.oracle.faults import FAULTS, Fault
from pslref.oracle.laws import STEP_LAWS
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
    "own-gradient": ("split_steps", "its own gradient alone"),
    "answers-reversed": ("split_steps", "reverse order of clients"),
    "answers-shifted": ("split_steps", None),
    "labels-reversed": ("split_steps", "labels are joined in the reverse"),
    "client-forward-again": ("split_steps", None),
    "cut-gradient-after-update": ("split_steps", "at the server's weights after the update"),
    "fresh-optimizers": ("split_steps", "every step makes new optimizers"),
    "fresh-client-optimizers": ("split_steps", "never acts on the client half"),
    "velocity-averaged": ("split_steps", None),
    "scalar-sent-back": ("split_steps", "the loss itself is sent back"),
    "server-not-updated": ("split_steps", "the server half is never updated"),
    "array-shared": ("split_steps", "one array of gradients is shared"),
    "not-zeroed": ("split_steps", "of the client half are not set to zero"),
    "client-decay-lost": ("split_steps", "weight decay is lost on the client half"),
    "server-decay-lost": ("split_steps", "weight decay is lost on the server half"),
    "stale-evaluation": ("split_steps", "from before the last update"),
    "half-not-in-checkpoint": ("split_steps", "missing from the checkpoint"),
    "clipped": ("split_steps", None),
    # layers, loss, optimizer
    "no-bias": ("linear", None),
    "mean-gradients": ("linear", "averaged over the batch"),
    "bias-gradient-lost": ("linear", None),
    "half-precision": ("linear", None),
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
    assert STEP_LAWS[law](Plain(fault), rng) is not None
    assert STEP_LAWS[law](Plain(), rng) is None


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

    assert STEP_LAWS[law](Noisy(), rng) is not None


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.op}: {fault.sentence}")
def test_every_known_mistake_would_be_seen_in_float32(fault: Fault) -> None:
    cases = [case for case in shipped() if case.op == fault.op and case.result == "valid"]
    with np.errstate(all="ignore"):
        made = [(case, as_arrays(fault.run(case.inputs))) for case in cases]
    assert any(divergence(case.expected, out, bounds_of(case, "float32")) for case, out in made)


def test_the_engine_without_a_mistake_is_right() -> None:
    for case in shipped():
        if case.op == "split_steps" and case.result == "valid":
            out = as_arrays(Engine(case.inputs).run())
            assert divergence(case.expected, out, bounds_of(case, "float64")) is None
