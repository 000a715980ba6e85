"""Right implementations pass every tier; the report says what ran and what came first."""

import json

import numpy as np
import pytest

from pslref.oracle import examine
from pslref.oracle.library import OPS, Library
from tests.backends.plain import Plain


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("execution", ["clients", "pooled"])
def test_the_library_passes_vectors_and_laws(
    dtype: str, execution: str, rng: np.random.Generator
) -> None:
    report = examine(Library(dtype, execution), rng, tiers=["vectors", "laws"])
    assert report.exit_code == 0, report.lines()
    assert {one.verdict for one in report.results} == {"ok"}
    assert report.hidden == (["client_gradients"] if execution == "pooled" else [])


def test_the_library_passes_every_tier(rng: np.random.Generator, alpha: float) -> None:
    """False alarms: alpha. What the tests of samplers can see is in the report's own lines."""
    report = examine(Library(), rng, alpha=alpha)
    assert report.exit_code == 0, report.lines()
    assert {one.op for one in report.results} == set(OPS)
    p_values = [one.p_value for one in report.results if one.p_value is not None]
    assert len(p_values) > 9
    assert all(0 <= p <= 1 for p in p_values)


def test_a_second_program_passes_every_tier(rng: np.random.Generator, alpha: float) -> None:
    """False alarms: alpha. The plain backend shares no code with the library."""
    report = examine(Plain(), rng, alpha=alpha)
    assert report.exit_code == 0, report.lines()
    assert {one.op for one in report.results} == set(OPS)


def test_pytorch_passes_vectors_and_laws(rng: np.random.Generator) -> None:
    pytest.importorskip("torch")
    from tests.backends.pytorch import PyTorch

    for dtype in ("float32", "float64"):
        report = examine(PyTorch(dtype), rng, tiers=["vectors", "laws"])
        assert report.exit_code == 0, report.lines()


def test_the_report_names_the_first_divergence(rng: np.random.Generator) -> None:
    seen = []
    report = examine(
        Plain("averaged"),
        rng,
        tiers=["vectors", "laws"],
        stop_at_first=True,
        after_each=seen.append,
    )
    assert seen == report.results
    first = report.first_wrong
    assert first.check == "step-mlp"
    assert first.detail.startswith("steps.0.summed_gradients.1.weight: [0, 0] is ")
    assert "every one is 1/3 times the expected one" in first.detail
    assert [one for one in report.results if one.check.startswith("law-")] == []
    lines = report.lines()
    assert lines[-1] == "WRONG"
    assert "averaged over the participants" in lines[-2]
    told = json.loads(json.dumps(report.as_json(), allow_nan=False))
    assert told["exit_code"] == 1
    assert told["first_divergence"]["check"] == "step-mlp"


@pytest.mark.parametrize(
    ("fault", "looks"),
    [
        ("answers-shifted", "they are the expected ones in another order"),
        ("half-precision", "rounding, or a small term"),
        ("bias-gradient-lost", "all are 0"),
        ("gradient-not-mean", "every one is 5 times"),
    ],
)
def test_a_wrong_array_is_described(fault: str, looks: str, rng: np.random.Generator) -> None:
    report = examine(Plain(fault), rng, tiers=["vectors"])
    assert any(looks in one.detail for one in report.results if one.is_wrong)


def test_names_that_are_none_are_refused(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match="did you mean 'vectors'"):
        examine(Plain(), rng, tiers=["vector"])
    with pytest.raises(ValueError, match="did you mean 'linear'"):
        examine(Plain(), rng, ops=["liner"])
