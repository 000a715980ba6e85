"""The first place where outputs differ, in reading order, and what it looks like."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pslref.check import Array
from pslref.oracle.operation import OPTIONAL, ROUNDOFF, Values


def flatten(outputs: Any, name: str = "") -> dict[str, Array]:
    """Outputs in dictionaries and lists as arrays by name: "steps.3.client_weights.0.weight"."""
    if isinstance(outputs, dict):
        parts = outputs
    elif isinstance(outputs, list) and outputs and all(isinstance(one, dict) for one in outputs):
        parts = dict(enumerate(outputs))
    else:
        return {name: np.asarray(outputs)}
    flat: dict[str, Array] = {}
    for key, value in parts.items():
        flat |= flatten(value, f"{name}.{key}" if name else str(key))
    return flat


def field(name: str) -> str:
    """Which output a flat name belongs to; of `split_steps`, which of a step's."""
    parts = name.split(".")
    return parts[2] if parts[0] == "steps" and len(parts) > 2 else name


def as_bounds(expected: Values, limits: Mapping[str, float], dtype: str) -> Values:
    """Limits of fields, in units of u, as `divergence` wants them: for every array expected."""
    return {name: limits[field(name)] * ROUNDOFF[dtype] for name in expected}


def divergence(expected: Values, got: Values, bounds: Values) -> str | None:
    """One sentence on the first array that is wrong: its element, got, expected, bound.

    Args:
        expected: the flat outputs, in reading order.
        got: what came out; it may lack the outputs of `OPTIONAL`.
        bounds: how far each number may be off; a number, or an array, for each array expected.

    Returns:
        The sentence, or None if nothing is wrong.
    """
    for name, right in expected.items():
        if name in got:
            sentence = _difference(right, got[name], bounds[name])
        else:
            sentence = None if field(name) in OPTIONAL else "is missing"
        if sentence is not None:
            return f"{name}: {sentence}"
    extra = next((name for name in got if name not in expected), None)
    return None if extra is None else f"{extra[:80]!r} is no output of this operation"


@np.errstate(over="ignore", invalid="ignore")  # what came may be anything
def _difference(right: Array, got: Array, bound: Any) -> str | None:
    if got.shape != right.shape:
        return f"has shape {got.shape}, expected {right.shape}"
    came = got.astype(np.float64)  # the integer farthest below 0 has no absolute value
    bad = ~np.isfinite(came)
    if bad.any():
        index = _first(bad)
        return f"{_at(index)}is {came[index]}: not finite ({bad.sum()} of {bad.size})"
    limit = np.broadcast_to(np.asarray(bound, np.float64), right.shape)
    off = ~(np.abs(came - right) <= limit)  # also where what is expected is no number
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
    return f"{list(index)} " if index else ""


def _number(value: Any) -> str:
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else f"{value:.9g}"
