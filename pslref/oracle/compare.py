"""The first place where two trees of outputs differ, in reading order, and what it looks like."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pslref.oracle.backends import Values, as_arrays
from pslref.oracle.ops import OPTIONAL

Array = NDArray[Any]


def divergence(expected: Values, got: Any, bounds: Values) -> str | None:
    """One sentence on the first array that is wrong: its element, got, expected, bound.

    Args:
        expected: the outputs, arrays and numbers in dictionaries and lists, in reading order.
        got: what came out; it may lack the outputs of `OPTIONAL`.
        bounds: how far each number may be off; a number, or an array, for each array expected.

    Returns:
        The sentence, or None if nothing is wrong.
    """
    if not isinstance(got, dict):
        return "the outputs must be arrays by name"
    for where, right, came, bound in arrays(expected, got, bounds):
        sentence = came if isinstance(came, str) else _difference(right, came, bound)
        if sentence is not None:
            return f"{where}: {sentence}" if where else sentence
    return None


def has_form(expected: Any, got: Any) -> bool:
    """Whether `got` has a number or an array of numbers wherever one is required."""
    if isinstance(expected, list):
        lists = isinstance(got, list) and len(got) == len(expected)
        return lists and all(map(has_form, expected, got))
    if isinstance(expected, dict):
        return isinstance(got, dict) and all(
            has_form(value, got[name]) if name in got else name in OPTIONAL
            for name, value in expected.items()
        )
    return isinstance(got, np.ndarray) and got.dtype.kind in "iuf"


def missing(expected: Values, got: Values) -> set[str]:
    """Names of optional outputs that did not come."""
    found = {name for name in expected if name in OPTIONAL and name not in got}
    for one, other in zip(expected.get("steps", []), got.get("steps", []), strict=False):
        found |= missing(one, other)
    return found


def arrays(
    expected: Any, got: Any, bounds: Any, where: str = ""
) -> Iterator[tuple[str, Any, Any, Any]]:
    """(where, expected, got, bound) of every array; got is a sentence where the form is wrong."""
    if isinstance(expected, list):
        if not isinstance(got, list) or len(got) != len(expected):
            yield where, None, f"must be a list of {len(expected)}", None
            return
        for t, (one, other, bound) in enumerate(zip(expected, got, bounds, strict=True)):
            yield from arrays(one, other, bound, f"step {t}")
        return
    if not isinstance(expected, dict):
        yield where, expected, got, bounds
        return
    if not isinstance(got, dict):
        yield where, None, "must be arrays by name", None
        return
    for name in expected:
        place = f"{where}, {name}" if where else name
        if name in got:
            yield from arrays(expected[name], got[name], bounds[name], place)
        elif name not in OPTIONAL:
            yield place, None, "is missing", None
    for name in got.keys() - expected.keys():
        yield where, None, f"{name!r} is no output of this operation", None


@np.errstate(over="ignore", invalid="ignore")  # what came may be anything
def _difference(expected: Any, got: Any, bound: Any) -> str | None:
    right = np.asarray(expected)
    came = np.asarray(as_arrays(got))
    if came.dtype.kind not in "iuf":
        return f"holds {came.dtype}, not numbers"
    if came.shape != right.shape:
        return f"has shape {_shape(came)}, expected {_shape(right)}"
    came = came.astype(np.float64)  # the integer farthest below 0 has no absolute value
    bad = ~np.isfinite(came)
    if bad.any():
        index = _first(bad)
        return f"{_at(index)}is {came[index]}: not finite ({bad.sum()} of {bad.size})"
    limit = np.broadcast_to(np.asarray(bound, np.float64), right.shape)
    off = np.abs(came - right) > limit
    if not off.any():
        return None
    index = _first(off)
    sentence = f"{_at(index)}is {_number(came[index])}, expected {_number(right[index])}"
    if right.dtype.kind == "f":
        sentence += f" within {float(limit[index]):.1e}"
    sentence += f" ({off.sum()} of {off.size} are off)"
    looks = resemblance(right, came, limit)
    return f"{sentence}; {looks}" if looks else sentence


def resemblance(expected: Array, got: Array, limit: Array) -> str | None:
    """What a wrong array is in terms of the right one: a multiple, another order, rounded."""
    if not got.any() or not expected.any():
        return None if got.any() else "all are 0"
    right, came = expected.astype(np.float64).ravel(), got.astype(np.float64).ravel()
    ratio = float(right @ came / (right @ right))
    slack = 4 * limit.ravel() * max(1.0, abs(ratio)) + 1e-12
    if right.size > 1 and abs(ratio) > 1e-3 and (np.abs(came - ratio * right) <= slack).all():
        inverse = 1 / ratio
        as_fraction = abs(ratio) < 0.99 and abs(inverse - round(inverse)) < 1e-3
        value = f"1/{round(inverse)}" if as_fraction else f"{ratio:.4g}"
        return f"every one is {value} times the expected one"
    off = float(np.abs(came - right).max() / np.abs(right).max())
    if off < 0.01:
        return f"off by at most {off:.0e} of the largest: rounding, or a small term"
    order = np.abs(np.sort(came) - np.sort(right)) <= 4 * np.max(limit) + 1e-12
    if right.size > 1 and order.all():
        return "they are the expected ones in another order"
    return None


def _first(mask: Array) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(mask)[0])


def _at(index: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, index))}] " if index else ""


def _shape(array: Array) -> str:
    return f"({', '.join(map(str, array.shape))})"


def _number(value: Any) -> str:
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else f"{value:.9g}"
