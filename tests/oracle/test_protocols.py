"""Other protocols are told by name, and can be asked for."""

import numpy as np
import pytest

from pslref.oracle import examine
from pslref.oracle.protocols import PROTOCOLS, PSL
from tests.backends.plain import Plain
from tests.backends.plain_protocols import OtherProtocol

OTHERS = sorted(PROTOCOLS.keys() - {PSL})
STEPS = {"tiers": ["vectors", "laws"], "ops": ["split_steps"]}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("protocol", OTHERS)
def test_another_protocol_is_right_as_itself_and_told_where_it_first_differs(
    protocol: str, dtype: str, rng: np.random.Generator
) -> None:
    backend = OtherProtocol(protocol, dtype)
    assert examine(backend, rng, **STEPS, protocol=protocol).exit_code == 0
    asked = [PSL, OTHERS[OTHERS.index(protocol) - 1]]
    for other in asked if dtype == "float32" else asked[:1]:
        report = examine(backend, rng, **STEPS, protocol=other)
        one, wanted = PROTOCOLS[protocol], PROTOCOLS[other]
        start = f"split_steps is right as {one.title} ({one.source}: {one.words}), not as "
        first = next(result for result in report.results if result.is_wrong)
        assert report.exit_code == 1
        assert report.diagnoses == [
            f"{start}{wanted.title}: the first difference is {first.check}: {first.detail}"
        ]


@pytest.mark.parametrize("protocol", OTHERS)
def test_a_mistake_in_another_protocol_is_named(protocol: str, rng: np.random.Generator) -> None:
    report = examine(OtherProtocol(protocol, variant="frozen"), rng, **STEPS, protocol=protocol)
    assert report.diagnoses == [
        "split_steps looks like a known mistake: the server half is never updated"
    ]


def test_psl_is_told_to_who_asks_for_another(rng: np.random.Generator) -> None:
    report = examine(Plain(), rng, **STEPS, protocol="splitfed-v2")
    assert ["right as PSL" in one for one in report.diagnoses] == [True]


def test_cases_with_momentum_are_left_out_and_so_are_the_laws_of_psl(
    rng: np.random.Generator,
) -> None:
    backend = OtherProtocol("mergesfl", variant="fresh")
    assert len(examine(backend, rng, **STEPS).diagnoses) == 1
    report = examine(backend, rng, **STEPS, protocol="mergesfl")
    assert report.exit_code == 0
    ran = {one.check for one in report.results}
    assert {"step-mlp", "trace-epochs", "steps-nobody"} <= ran
    assert not {"trace-mlp-momentum", "law-every-cut"} & ran


def test_a_protocol_that_is_none_is_refused(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match="did you mean 'splitfed-v2'"):
        examine(Plain(), rng, **STEPS, protocol="SplitFed-V2")
