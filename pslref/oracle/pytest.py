"""The whole check inside another project's pytest suite, each part of it a test of its own.

In a test file of that project:

    from pslref.oracle.pytest import oracle_tests

    test_oracle = oracle_tests(MyBackend)
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pytest

from pslref.oracle.backends import Backend, Unsupported, Values
from pslref.oracle.checks import TIERS, Check, checks
from pslref.oracle.faults import diagnose
from pslref.oracle.vectors import Case


def oracle_tests(
    factory: Callable[[], Backend],
    *,
    tiers: Iterable[str] = TIERS,
    expected_failures: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Any:
    """A test for each check of the operations that the backend claims.

    Args:
        factory: makes the backend; called once, when the tests are collected.
        tiers: "vectors", "laws", "distribution".
        expected_failures: reasons, by the id of a check; strict.
        seed: of the inputs that laws draw, and of samplers.

    Returns:
        What a test module assigns to a name that starts with "test".

    Raises:
        ValueError: for a capability that is no operation, or an id that is none.
    """
    backend, reasons = factory(), dict(expected_failures or {})
    asked = checks(np.random.default_rng(seed), tiers, backend.capabilities())
    unknown = reasons.keys() - {one.id for one in asked}
    if unknown:
        raise ValueError(f"expected_failures: {', '.join(sorted(unknown))}: no such check")
    cases, skipped = Counter(one.op for one in asked), Counter[str]()
    answers: list[tuple[Case, Values]] = []

    def parameters(one: Check) -> Any:
        reason = reasons.get(one.id)
        marks = [pytest.mark.xfail(reason=reason, strict=True)] if reason else []
        return pytest.param(one, id=one.id, marks=marks)

    @pytest.mark.parametrize("one", [parameters(one) for one in asked])
    def test(one: Check) -> None:
        try:
            outcome = one.run(backend)
        except Unsupported as error:
            skipped[one.op] += 1
            if skipped[one.op] == cases[one.op]:
                pytest.fail(f"{one.op}: claimed, but no case of it ran")
            pytest.skip(str(error))
        if one.case is not None and outcome.outputs is not None:
            answers.append((one.case, outcome.outputs))
        if outcome.failure is not None:
            so_far = [answer for answer in answers if answer[0].op == one.op]
            known = diagnose(so_far, backend.spec.dtype)
            pytest.fail("\n".join([outcome.failure, *known]), pytrace=False)

    return test
