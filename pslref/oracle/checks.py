"""The checks of all tiers, as one list that can be asked of any implementation."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np

from pslref import check as arguments
from pslref.oracle import laws, randomness
from pslref.oracle.backends import Asked, Refused
from pslref.oracle.compare import as_bounds, divergence
from pslref.oracle.library import OPS
from pslref.oracle.operation import Values
from pslref.oracle.protocols import PSL, cases_of
from pslref.oracle.result import Result
from pslref.oracle.vectors import Case, shipped, sources

TIERS = ("vectors", "laws", "distribution")
ALPHA = 1e-6


class Check(NamedTuple):
    """One question to an implementation, the operation it needs, and the vector it comes from."""

    id: str
    tier: str
    op: str
    ask: Callable[[Asked], list[Result]]
    case: Case | None = None


def checks(
    rng: np.random.Generator,
    tiers: Iterable[str] = TIERS,
    ops: Iterable[str] = tuple(OPS),
    alpha: float = ALPHA,
    protocol: str = PSL,
) -> list[Check]:
    """All checks of these tiers and operations, in the order in which to read them.

    Args:
        rng: draws the inputs of the laws, and the seeds that samplers are given.
        tiers: of `TIERS`.
        ops: of `library.OPS`.
        alpha: the most probability that all together accuse a right implementation.
        protocol: what `split_steps` should be, of `protocols.PROTOCOLS`; its laws are PSL's.

    Raises:
        ValueError: for a name that is none.
    """
    chosen = {arguments.one_of("tier", tier, TIERS) for tier in tiers}
    wanted = {arguments.one_of("op", op, OPS) for op in ops}
    cases = cases_of(protocol, shipped())
    found = [Check(c.id, "vectors", c.op, partial(ask_vector, c), c) for c in cases]
    streams = iter(rng.spawn(len(laws.STEP_LAWS) + len(randomness.QUESTIONS)))
    for name, law in laws.STEP_LAWS.items() if protocol == PSL else ():
        ask = partial(_ask_law, f"law-{name}", law, next(streams))
        found.append(Check(f"law-{name}", "laws", "split_steps", ask))
    share = alpha / len(randomness.QUESTIONS)
    for name, (op, question) in randomness.QUESTIONS.items():
        id = f"random-{name}"
        ask = partial(_ask_sampler, id, op, question, next(streams), share)
        found.append(Check(id, "distribution", op, ask))
    return [one for one in found if one.tier in chosen and one.op in wanted]


def ask_vector(case: Case, backend: Asked) -> list[Result]:
    """One vector: the outputs against the expected ones, in reading order."""
    result = Result(case.id, case.op, "ok")
    try:
        got = backend.run(case.op, case.inputs)
    except Refused as error:
        must = case.result == "invalid"
        return [replace(result, verdict="ok" if must else "wrong", detail=f"raised {error}")]
    if case.result == "invalid":
        why = " ".join(sources()["notes"][flag] for flag in case.flags)
        said = f"was not refused, but these inputs are invalid: {why}"
        return [replace(result, verdict="wrong", detail=said)]
    bounds = bounds_of(case, backend.spec.dtype)
    found = divergence(case.expected, got, bounds)
    if found is None:
        return [result]
    for other in case.others:
        if divergence({**case.expected, **other}, got, bounds) is None:
            return [replace(result, verdict="noted", detail=f"another convention: {found}")]
    return [replace(result, verdict="wrong", detail=found)]


def bounds_of(case: Case, dtype: str) -> Values:
    """How far each number of the case's outputs may be off."""
    if case.op == "split_steps":
        return as_bounds(case.expected, case.limits, dtype)
    return dict.fromkeys(case.expected, 0.0) | OPS[case.op].bounds(case.inputs, dtype)


def _ask_law(id: str, law: laws.Law, rng: np.random.Generator, backend: Asked) -> list[Result]:
    found = law.broken(backend, rng)
    return [Result(id, "split_steps", "ok" if found is None else "wrong", found or "")]


def _ask_sampler(
    id: str,
    op: str,
    question: randomness.Question,
    rng: np.random.Generator,
    alpha: float,
    backend: Asked,
) -> list[Result]:
    found = question(backend, rng, alpha)
    return [replace(result, check=f"{id}-{result.check}", op=op) for result in found]
