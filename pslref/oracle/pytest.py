"""The whole check inside another project's pytest suite, each part of it a test of its own."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pslref.oracle.backends import Backend
from pslref.oracle.checks import Check
from pslref.oracle.examination import Examination


def oracle_tests(factory: Callable[[], Backend], *, seed: int = 0, **options: Any) -> Any:
    """A test for each check of the operations that the backend claims, and one for all of them.

    Args:
        factory: makes the backend; called once, when the tests are collected.
        seed: of the inputs that laws draw, and of samplers.
        **options: as of `Examination`: tiers, ops, alpha, protocol, expected_failures.

    Returns:
        What a test module assigns to a name that starts with "test".

    Raises:
        ValueError: for a capability that is no operation, or an id that is none.
    """
    examination = Examination(factory(), np.random.default_rng(seed), **options)
    left = {one.id for one in examination.checks}

    def whole() -> None:
        if left:
            pytest.skip(f"{len(left)} checks were not asked, as by -k or in another process")
        num_results = len(examination.report.results)
        report = examination.finish()
        unexpected = [result.detail for result in report.results[num_results:]]
        if report.errors or unexpected:
            pytest.fail("\n".join(report.errors + unexpected), pytrace=False)

    @pytest.mark.parametrize(
        "one", [*(pytest.param(one, id=one.id) for one in examination.checks), "enough-ran"]
    )
    def test(one: Check | str) -> None:
        if isinstance(one, str):
            return whole()
        left.discard(one.id)
        results = examination.ask(one)
        wrong = next((result for result in results if result.is_wrong), None)
        if wrong is not None:
            said = [wrong.detail, *examination.naming.names(one.op)]
            pytest.fail("\n".join(said), pytrace=False)
        for result in results[:1]:
            if result.verdict == "unsupported":
                pytest.skip(result.detail)
            if result.verdict == "noted" and {one.id, one.op} & examination.excused.keys():
                pytest.xfail(result.detail)
        return None

    return test
