"""One implementation through all checks: what ran, what is wrong, what it looks like."""

from collections.abc import Callable, Collection, Iterable, Mapping

import numpy as np

from pslref.oracle.backends import Backend, Broken, Unsupported, Values
from pslref.oracle.checks import TIERS, Check, checks
from pslref.oracle.compare import missing
from pslref.oracle.faults import diagnose
from pslref.oracle.ops import OPS
from pslref.oracle.report import Report, Result
from pslref.oracle.vectors import Case

MOST_BREAKDOWNS = 3  # then the implementation is not asked any more


def examine(
    backend: Backend,
    rng: np.random.Generator,
    *,
    tiers: Iterable[str] = TIERS,
    ops: Iterable[str] = tuple(OPS),
    expected_failures: Mapping[str, str] | None = None,
    stop_at_first: bool = False,
    after_each: Callable[[Result], None] = lambda result: None,
) -> Report:
    """Check an implementation.

    Args:
        backend: the implementation.
        rng: draws the inputs of laws and the seeds given to samplers. Whatever they are, a right
            implementation is accused with probability 1e-6 at most.
        tiers: "vectors", "laws", "distribution".
        ops: names of operations; only these are checked.
        expected_failures: reasons, by the id of a check or the name of an operation. Strict: a
            check that passes although it should fail counts as wrong.
        stop_at_first: end with the operation in which something is wrong; the rest of its
            vectors is still asked for, since the diagnosis needs them.
        after_each: called with every result as it comes.

    Returns:
        The report.

    Raises:
        ValueError: for names that are none, among them those that the backend says it can do.
    """
    excused = dict(expected_failures or {})
    chosen = checks(rng, tiers, ops)
    unknown = set(backend.capabilities()) - OPS.keys()
    if unknown:
        raise ValueError(f"capabilities: {', '.join(sorted(unknown))}: must be of {', '.join(OPS)}")
    unknown = excused.keys() - {one.id for one in chosen} - {one.op for one in chosen}
    if unknown:
        raise ValueError(f"expected_failures: {', '.join(sorted(unknown))}: no such check")
    report = Report(backend.spec)
    answers: list[tuple[Case, Values]] = []
    hidden: set[str] = set()
    breakdowns = 0
    for one in chosen:
        first = report.first_wrong
        if stop_at_first and first is not None and (one.op != first.op or one.tier != "vectors"):
            break
        if breakdowns == MOST_BREAKDOWNS:
            report.errors.append(f"gave no answer {breakdowns} times: the rest was not asked")
            break
        result, outputs = _ask(one, backend, excused.get(one.id, excused.get(one.op, "")))
        breakdowns += result.sentence.startswith("no answer")
        if one.case is not None and outputs is not None:
            answers.append((one.case, outputs))
            hidden |= missing(one.case.expected, outputs)
        report.results.append(result)
        after_each(result)
    report.hidden = sorted(hidden)
    report.errors += _groups_without_a_case(report, backend.capabilities())
    wrong = {result.op for result in report.results if result.is_wrong}
    report.diagnoses = diagnose([one for one in answers if one[0].op in wrong], backend.spec.dtype)
    return report


def _ask(one: Check, backend: Backend, reason: str) -> tuple[Result, Values | None]:
    def result(status: str, sentence: str = "") -> Result:
        return Result(one.id, one.tier, one.op, status, sentence, p_values)

    p_values: dict[str, float] = {}

    if one.op not in backend.capabilities():
        return result("unsupported", "not among its capabilities"), None
    try:
        outcome = one.run(backend)
    except Unsupported as error:
        return result("unsupported", str(error)), None
    except Broken as error:
        return result("failed", f"no answer: {error}"), None
    p_values |= outcome.p_values
    if reason and outcome.failure is None:
        return result("unexpected pass", f"passes, but was expected to fail: {reason}"), None
    if outcome.failure is not None:
        status = "expected failure" if reason else "failed"
        sentence = f"{reason} ({outcome.failure})" if reason else outcome.failure
        return result(status, sentence), None if reason else outcome.outputs
    status = "noted" if outcome.note.startswith("another convention") else "passed"
    return result(status, outcome.note), outcome.outputs


def _groups_without_a_case(report: Report, capabilities: Collection[str]) -> list[str]:
    """A check that ran nothing shows nothing: an error for each operation that was claimed."""
    ran = {one.op for one in report.results if one.status != "unsupported"}
    asked = {one.op for one in report.results}
    errors = [
        f"{op}: claimed, but no case of it ran" for op in sorted(asked - ran) if op in capabilities
    ]
    if not ran:
        errors.append("nothing ran: the implementation has none of the operations asked for")
    return errors
