"""Answers to the same cases are looked at again and again."""

from collections.abc import Callable
from functools import cache

import pytest

from pslref.oracle import mistakes
from pslref.oracle.mistakes import Mistake
from pslref.oracle.operation import Values
from pslref.oracle.vectors import shipped


@pytest.fixture(autouse=True)
def predicted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a mistake makes of a case in the package takes most of the time, and never changes."""
    monkeypatch.setattr(mistakes, "known", known_once)


@cache
def known_once(op: str, protocol: str, known: Callable[..., list[Mistake]] = mistakes.known):
    return [one._replace(predict=remembered(one.predict)) for one in known(op, protocol)]


def remembered(predict: Callable[[Values], Values]) -> Callable[[Values], Values]:
    cases = {id(case.inputs): case.inputs for case in shipped()}

    @cache
    def of_case(place: int) -> Values | ValueError:
        try:
            return predict(cases[place])
        except ValueError as error:
            return error

    def of_any(inputs: Values) -> Values:
        found = of_case(id(inputs)) if id(inputs) in cases else predict(inputs)
        if isinstance(found, ValueError):
            raise found
        return found

    return of_any
