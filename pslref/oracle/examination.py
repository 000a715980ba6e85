"""One implementation through all checks: what ran, what is wrong, what it looks like."""

from collections.abc import Callable, Collection, Iterable, Mapping

import numpy as np

from pslref import check
from pslref.oracle.backends import Backend, Broken, Hung, Unsupported, Values
from pslref.oracle.checks import ALPHA, TIERS, Check, Outcome, checks
from pslref.oracle.compare import missing
from pslref.oracle.faults import diagnose
from pslref.oracle.ops import OPS
from pslref.oracle.report import NOT_CLAIMED, Report, Result
from pslref.oracle.vectors import Case

HUNG = "hung"
NO_P: Mapping[str, float] = {}


def examine(
    backend: Backend,
    rng: np.random.Generator,
    *,
    tiers: Iterable[str] = TIERS,
    ops: Iterable[str] = tuple(OPS),
    alpha: float = ALPHA,
    expected_failures: Mapping[str, str] | None = None,
    stop_at_first: bool = False,
    after_each: Callable[[Result], None] = lambda result: None,
) -> Report:
    """Check an implementation.

    Args:
        backend: the implementation.
        rng: draws the inputs of laws and the seeds given to samplers.
        tiers: "vectors", "laws", "distribution".
        ops: names of operations; only these are checked.
        alpha: the most probability that all tests together accuse a right implementation.
        expected_failures: reasons, by the id of a check or the name of an operation. Strict: it
            counts as wrong if that check passes, or no check of that operation fails.
        stop_at_first: end with the operation in which something is wrong; the rest of its
            vectors is still asked for, since the diagnosis needs them.
        after_each: called with every result as it comes.

    Returns:
        The report.

    Raises:
        ValueError: for names that are none, among them those that the backend says it can do.
    """
    excused = dict(expected_failures or {})
    chosen = checks(rng, tiers, ops, alpha)
    unknown = set(backend.capabilities()) - OPS.keys()
    if unknown:
        raise check.wrong("capabilities", sorted(unknown), f"must be of {', '.join(OPS)}")
    unknown = excused.keys() - {one.id for one in chosen} - {one.op for one in chosen}
    if unknown:
        allowed = "must be ids of checks or names of operations that are asked for"
        raise check.wrong("expected_failures", sorted(unknown), allowed)
    report = Report(backend.spec)
    answers: list[tuple[Case, Values]] = []
    hidden: set[str] = set()
    hung: set[str] = set()
    for one in chosen:
        first = report.first_wrong
        if stop_at_first and first is not None and (one.op != first.op or one.tier != "vectors"):
            break
        if one.op in hung:
            continue
        result, outputs = _ask(one, backend, excused.get(one.id, ""), excused.get(one.op, ""))
        if result.sentence.startswith(HUNG):
            hung.add(one.op)
            report.errors.append(f"{one.op}: hung in {one.id}, so its other cases were not asked")
        if one.case is not None and outputs is not None:
            answers.append((one.case, outputs))
            hidden |= missing(one.case.expected, outputs)
        report.results.append(result)
        after_each(result)
    report.hidden = sorted(hidden)
    report.results += _none_failed(report, excused)
    report.errors += _none_ran(report, backend.capabilities())
    wrong = {result.op for result in report.results if result.is_wrong}
    report.diagnoses = diagnose([one for one in answers if one[0].op in wrong], backend.spec.dtype)
    return report


def _ask(
    one: Check, backend: Backend, excuse: str, excuse_of_op: str
) -> tuple[Result, Values | None]:
    def result(status: str, sentence: str, p_values: Mapping[str, float] = NO_P) -> Result:
        return Result(one.id, one.tier, one.op, status, sentence, dict(p_values))

    if one.op not in backend.capabilities():
        return result("unsupported", NOT_CLAIMED), None
    try:
        outcome = one.run(backend)
    except Unsupported as error:
        return result("unsupported", str(error)), None
    except Broken as error:
        outcome = Outcome(f"{HUNG if isinstance(error, Hung) else 'no answer'}: {error}")
    reason = excuse or excuse_of_op
    if outcome.failure is not None and reason:
        return result("expected failure", f"{reason} ({outcome.failure})"), None
    if outcome.failure is not None:
        return result("failed", outcome.failure, outcome.p_values), outcome.outputs
    if excuse:
        return result("unexpected pass", f"passes, but was expected to fail: {excuse}"), None
    return result(outcome.status, outcome.note, outcome.p_values), outcome.outputs


def _none_failed(report: Report, excused: Mapping[str, str]) -> list[Result]:
    """Operations that were expected to fail, and in which nothing did."""
    ran = {one.op: one.tier for one in report.results if one.status != "unsupported"}
    failed = {one.op for one in report.results if one.status == "expected failure"}
    return [
        Result(
            op, tier, op, "unexpected pass", f"no case fails, but was expected to: {excused[op]}"
        )
        for op, tier in ran.items()
        if op in excused and op not in failed
    ]


def _none_ran(report: Report, capabilities: Collection[str]) -> list[str]:
    """A check that ran nothing shows nothing: an error for each operation that was claimed."""
    ran = {one.op for one in report.results if one.status != "unsupported"}
    asked = {one.op for one in report.results}
    errors = [
        f"{op}: claimed, but no case of it ran" for op in sorted(asked - ran) if op in capabilities
    ]
    if not ran:
        errors.append("nothing ran: the implementation has none of the operations asked for")
    return errors
