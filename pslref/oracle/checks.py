"""The checks of all tiers, as one list that can be asked of any implementation."""

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from pslref import check as arguments
from pslref.oracle import growth, laws, randomness
from pslref.oracle.backends import Backend, Broken, Unsupported, Values, as_arrays, described
from pslref.oracle.bounds import ROUNDOFF, bounds
from pslref.oracle.compare import divergence, has_form
from pslref.oracle.ops import OPS
from pslref.oracle.vectors import Case, shipped

TIERS = ("vectors", "laws", "distribution")
ALPHA = 1e-6


class Outcome(NamedTuple):
    """What one check found: nothing is wrong if `failure` is None."""

    failure: str | None = None
    note: str = ""
    status: str = "passed"  # or "noted"; of no meaning with a failure
    outputs: Values | None = None
    p_values: Mapping[str, float] = MappingProxyType({})


class Check(NamedTuple):
    """One question to an implementation, the operation it needs, and the vector it comes from."""

    id: str
    tier: str
    op: str
    run: Callable[[Backend], Outcome]
    case: Case | None = None


def checks(
    rng: np.random.Generator,
    tiers: Iterable[str] = TIERS,
    ops: Iterable[str] = tuple(OPS),
    alpha: float = ALPHA,
) -> list[Check]:
    """All checks of these tiers and operations, in the order in which to read them.

    Args:
        rng: draws the inputs of the laws, and the seeds that samplers are given.
        tiers: of `TIERS`.
        ops: of `ops.OPS`.
        alpha: the most probability that all together accuse a right implementation.

    Raises:
        ValueError: for a name that is none.
    """
    chosen = {arguments.one_of("tier", tier, TIERS) for tier in tiers}
    wanted = {arguments.one_of("op", op, OPS) for op in ops}
    found = [
        Check(case.id, "vectors", case.op, partial(ask_vector, case), case) for case in shipped()
    ]
    streams = iter(rng.spawn(len(laws.STEP_LAWS) + len(randomness.QUESTIONS)))
    for name, law in laws.STEP_LAWS.items():
        ask = partial(_ask_law, law, next(streams))
        found.append(Check(f"law-{name}", "laws", "split_steps", ask))
    share = alpha / len(randomness.QUESTIONS)
    for name, (op, question) in randomness.QUESTIONS.items():
        ask = partial(_ask_sampler, question, next(streams), share)
        found.append(Check(f"random-{name}", "distribution", op, ask))
    return [one for one in found if one.tier in chosen and one.op in wanted]


def ask_vector(case: Case, backend: Backend) -> Outcome:
    """One vector: the outputs against the expected ones, in reading order."""
    refused = None
    try:
        got = as_arrays(backend.run(case.op, deepcopy(case.inputs)))
    except (Unsupported, Broken):
        raise
    except Exception as error:
        refused = f"raised {described(error)}"
    if case.result == "invalid":
        return Outcome(None if refused else "was not refused, but these inputs are invalid")
    found = refused or divergence(case.expected, got, bounds_of(case, backend.spec.dtype))
    if found is not None and case.result == "acceptable":
        return Outcome(None, f"another convention: {found}", "noted")
    usable = refused is None and has_form(case.expected, got)
    return Outcome(found, outputs=got if usable else None)


def bounds_of(case: Case, dtype: str) -> Values:
    """How far each number of the case's outputs may be off."""
    if case.op != "split_steps":
        return bounds(case.op, case.inputs, case.expected, dtype)
    tree: Values = growth.as_bounds(case.expected, case.limits, ROUNDOFF[dtype])
    return tree


def _ask_law(law: laws.Law, rng: np.random.Generator, backend: Backend) -> Outcome:
    return _or_error(lambda: Outcome(law(backend, deepcopy(rng))))


def _ask_sampler(
    question: randomness.Question, rng: np.random.Generator, alpha: float, backend: Backend
) -> Outcome:
    def ask() -> Outcome:
        answer = question(backend, deepcopy(rng), alpha)
        detects = "; ".join(answer.detects)
        return Outcome(answer.failure, detects, p_values=answer.p_values)

    return _or_error(ask)


def _or_error(ask: Callable[[], Outcome]) -> Outcome:
    try:
        return ask()
    except (Unsupported, Broken):
        raise
    except Exception as error:  # raised by the backend, or while reading what it gave
        return Outcome(f"raised {described(error)}")
