"""One implementation through all checks: what ran, what is wrong, what it looks like."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from pslref import check
from pslref.oracle.backends import (
    Asked,
    Backend,
    Broken,
    Hung,
    Refused,
    Unsupported,
    described,
    plain,
)
from pslref.oracle.checks import ALPHA, TIERS, Check, checks
from pslref.oracle.compare import field
from pslref.oracle.library import OPS
from pslref.oracle.mistakes import Naming
from pslref.oracle.protocols import PSL
from pslref.oracle.report import Report
from pslref.oracle.result import Result

LEAST_RAN = 1 / 3  # of the valid checks of an operation, in each tier


class Examination:
    """The checks of one implementation, and what came of those that were asked so far.

    Every runner asks the `checks`, in their order, and then takes the report from `finish`.

    Args:
        backend: the implementation.
        rng: draws the inputs of laws and the seeds given to samplers.
        tiers: "vectors", "laws", "distribution".
        ops: names of operations; only these are checked.
        alpha: the most probability that all tests together accuse a right implementation.
        protocol: what `split_steps` should be, of `protocols.PROTOCOLS`.
        expected_failures: reasons, by the id of a check or the name of an operation. Strict: it
            counts as wrong if that check passes, or no check of that operation fails.

    Attributes:
        checks: of the operations that the backend claims.
        report: so far.
        excused: the reasons for failures that are expected.

    Raises:
        ValueError: for names that are none, among them those that the backend says it can do.
    """

    def __init__(
        self,
        backend: Backend,
        rng: np.random.Generator,
        *,
        tiers: Iterable[str] = TIERS,
        ops: Iterable[str] | None = None,
        alpha: float = ALPHA,
        protocol: str = PSL,
        expected_failures: Mapping[str, str] | None = None,
    ) -> None:
        self.backend = Asked(backend)
        claimed = set(self.backend.capabilities())
        if claimed - OPS.keys():
            allowed = f"must be of {', '.join(OPS)}"
            raise check.wrong("capabilities", sorted(claimed - OPS.keys()), allowed)
        found = checks(rng, tiers, OPS if ops is None else ops, alpha, protocol)
        self.checks = [one for one in found if one.op in claimed]
        unclaimed = dict.fromkeys(one.op for one in found if one.op not in claimed)
        self.report = Report(self.backend.spec, [*unclaimed])
        self.excused = dict(expected_failures or {})
        unknown = self.excused.keys() - {one.id for one in found} - {one.op for one in found}
        if unknown:
            allowed = "must be ids of checks or names of operations that are asked for"
            raise check.wrong("expected_failures", sorted(unknown), allowed)
        self.naming = Naming(self.backend.spec.dtype, protocol)
        self.hidden: set[str] = set()
        self.hung: set[str] = set()
        self.failed: set[str] = set()  # operations that did, as was expected
        self.asked: Counter[tuple[str, str]] = Counter()
        self.ran: Counter[tuple[str, str]] = Counter()

    def ask(self, one: Check) -> list[Result]:
        """Ask one check: its results, which the report has too."""
        if one.op in self.hung:
            return []
        results = [replace(result, detail=plain(result.detail)) for result in self._results(one)]
        if one.case is not None and self.backend.outputs is not None:
            self.naming.add(one.case, self.backend.outputs)
            self.hidden |= {field(n) for n in one.case.expected if n not in self.backend.outputs}
        if one.case is None or one.case.result != "invalid":  # to refuse is not yet to run
            self.asked[one.tier, one.op] += 1
            self.ran[one.tier, one.op] += results[0].verdict != "unsupported"
        reason = self.excused.get(one.id) or self.excused.get(one.op)
        failure = next((result for result in results if result.is_wrong), None)
        if reason and failure is not None:
            self.failed.add(one.op)
            said = f"expected failure: {reason} ({failure.detail})"
            results = [replace(failure, verdict="noted", detail=said)]
        elif one.id in self.excused and results[0].verdict != "unsupported":
            said = f"passes, but was expected to fail: {reason}"
            results = [Result(one.id, one.op, "wrong", said)]
        self.report.results += results
        return results

    @np.errstate(
        divide="warn", over="warn", under="ignore", invalid="warn"
    )  # whatever a backend set
    def _results(self, one: Check) -> list[Result]:
        result = Result(one.id, one.op, "wrong")
        try:
            return one.ask(self.backend)
        except Unsupported as error:
            return [replace(result, verdict="unsupported", detail=str(error))]
        except Hung as error:
            self.hung.add(one.op)
            rest = f"{one.op}: hung in {one.id}, so its other cases were not asked"
            self.report.errors.append(rest)
            return [replace(result, verdict="broken", detail=f"hung: {error}")]
        except Broken as error:
            return [replace(result, verdict="broken", detail=f"no answer: {error}")]
        except Refused as error:
            return [replace(result, detail=f"raised {error}")]
        except Exception as error:  # an output is missing, or is nothing like what was asked for
            return [replace(result, detail=f"the outputs could not be read: {described(error)}")]

    def finish(self) -> Report:
        """The report, when all is asked that will be."""
        report = self.report
        for op in dict.fromkeys(op for _, op in self.asked if op in self.excused):
            if op not in self.failed:
                said = f"no case fails, but was expected to: {self.excused[op]}"
                report.results.append(Result(op, op, "wrong", said))
        for (tier, op), asked in self.asked.items():
            if (ran := self.ran[tier, op]) < LEAST_RAN * asked:
                report.errors.append(f"{op}: {ran} of {asked} {tier} ran: at least a third must")
        if not self.ran.total():
            report.errors.append("nothing ran that was asked for")
        report.hidden = sorted(self.hidden)
        wrong = dict.fromkeys(result.op for result in report.results if result.is_wrong)
        report.diagnoses = [name for op in wrong for name in self.naming.names(op)]
        return report


def examine(
    backend: Backend,
    rng: np.random.Generator,
    *,
    stop_at_first: bool = False,
    after_each: Callable[[Result], None] = lambda result: None,
    **options: Any,
) -> Report:
    """Check an implementation. A KeyboardInterrupt ends it with what came so far.

    Args:
        backend: the implementation.
        rng: draws the inputs of laws and the seeds given to samplers.
        stop_at_first: end with the operation in which something is wrong; the rest of its
            vectors is still asked for, since naming needs them.
        after_each: called with every result as it comes.
        **options: as of `Examination`: tiers, ops, alpha, protocol, expected_failures.

    Returns:
        The report.

    Raises:
        ValueError: for names that are none, among them those that the backend says it can do.
    """
    examination = Examination(backend, rng, **options)
    report = examination.report
    for one in examination.checks:
        first = report.first_wrong
        if stop_at_first and first is not None and (one.op != first.op or one.tier != "vectors"):
            break
        try:
            for result in examination.ask(one):
                after_each(result)
        except KeyboardInterrupt:
            report.errors.append(f"interrupted in {one.id}: the rest was not asked")
            break
    return examination.finish()
