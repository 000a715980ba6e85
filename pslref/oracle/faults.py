"""The diagnosis: which known mistakes would have given exactly what came out."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from pslref.oracle.backends import Values, as_arrays
from pslref.oracle.checks import bounds_of
from pslref.oracle.compare import divergence
from pslref.oracle.engine import Engine
from pslref.oracle.faulty_parts import FAULTY_PARTS
from pslref.oracle.faulty_steps import FAULTY_STEPS
from pslref.oracle.faulty_updates import FAULTY_UPDATES
from pslref.oracle.vectors import Case

SLACK = 8  # limits were measured for right runs; in a wrong one errors may grow more


class Fault(NamedTuple):
    """A known mistake: in which operation, in words, and the outputs that it gives."""

    op: str
    sentence: str
    run: Callable[[Values], Values]


def _of_engine(engine: type[Engine]) -> Fault:
    sentence = (engine.__doc__ or "").rstrip(".")
    return Fault("split_steps", sentence[0].lower() + sentence[1:], lambda i: engine(i).run())


FAULTS = [
    *map(_of_engine, [*FAULTY_STEPS, *FAULTY_UPDATES]),
    *(Fault(*part) for part in FAULTY_PARTS),
]


def diagnose(answers: list[tuple[Case, Values]], dtype: str) -> list[str]:
    """The mistakes that explain all answers to an operation.

    A mistake explains them if it gives, in every case, what came out: also where it makes no
    difference, and the answer was right.

    Args:
        answers: the cases of operations that were wrong somewhere, with what came out.
        dtype: of the implementation.
    """
    return [
        f"{fault.op} looks like a known mistake: {fault.sentence}"
        for fault in FAULTS
        if (of_op := [one for one in answers if one[0].op == fault.op])
        and all(_gives(fault, case, got, dtype) for case, got in of_op)
    ]


def _gives(fault: Fault, case: Case, got: Values, dtype: str) -> bool:
    try:
        with np.errstate(all="ignore"):  # some mistakes make weights explode
            predicted = as_arrays(fault.run(case.inputs))
    except ValueError:
        return False
    return divergence(predicted, got, _times_slack(bounds_of(case, dtype))) is None


def _times_slack(bounds: Any) -> Any:
    if isinstance(bounds, dict):
        return {name: _times_slack(value) for name, value in bounds.items()}
    if isinstance(bounds, list):
        return [_times_slack(value) for value in bounds]
    return SLACK * bounds
