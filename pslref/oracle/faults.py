"""The diagnosis: which known mistakes would have given exactly what came out."""

from collections.abc import Callable
from itertools import takewhile
from typing import Any, NamedTuple

import numpy as np

from pslref.oracle.backends import Values, as_arrays
from pslref.oracle.bounds import ROUNDOFF
from pslref.oracle.checks import bounds_of
from pslref.oracle.compare import divergence
from pslref.oracle.engine import Engine
from pslref.oracle.faulty_parts import FAULTY_PARTS
from pslref.oracle.faulty_steps import FAULTY_STEPS
from pslref.oracle.faulty_updates import FAULTY_UPDATES
from pslref.oracle.ops import OPTIONAL
from pslref.oracle.vectors import Case

HUGE = 1e4  # a loss; from here on rounding errors are as large as the weights
SLACK = 8  # limits are for right runs; in a wrong one errors may grow more


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
    sound = list(takewhile(_is_sound, got.get("steps", [])))
    try:
        with np.errstate(all="ignore"):  # some mistakes make weights explode
            predicted = _compared(as_arrays(fault.run(case.inputs)), len(sound))
    except ValueError:
        return False
    bounds = _bounds(predicted, bounds_of(case, dtype), ROUNDOFF[dtype])
    return divergence(predicted, _compared(got, len(sound)), bounds) is None


def _is_sound(step: Values) -> bool:
    """Not exploded: its numbers still tell something."""
    return bool(np.all(np.abs(step["loss"]) < HUGE))


def _compared(outputs: Values, num_steps: int) -> Values:
    """All outputs but gradients and activations: who looks at them later may see others."""
    if "steps" not in outputs:
        return outputs
    steps = [
        {name: value for name, value in step.items() if name not in OPTIONAL}
        for step in outputs["steps"][:num_steps]
    ]
    return {"steps": steps} if num_steps < len(outputs["steps"]) else {**outputs, "steps": steps}


def _bounds(predicted: Any, bounds: Any, u: float) -> Any:
    """One number for each array, since a mistake may give another shape, and larger numbers."""
    if isinstance(predicted, dict):
        return {name: _bounds(value, bounds[name], u) for name, value in predicted.items()}
    if isinstance(predicted, list):
        return [_bounds(*pair, u) for pair in zip(predicted, bounds, strict=False)]
    whole = np.asarray(predicted).dtype.kind in "iu"
    largest = 0.0 if whole else np.abs(predicted).max(initial=0.0)
    return SLACK * np.max(bounds, initial=0.0) + 1000 * u * largest
