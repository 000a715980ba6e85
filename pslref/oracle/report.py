"""What came out of a check: for people, for machines, and as an exit code."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from pslref.oracle.backends import Spec

RIGHT, WRONG, UNCHECKED = 0, 1, 2
NOT_CLAIMED = "not among its capabilities"
STATUSES = ("passed", "failed", "unsupported", "noted", "expected failure", "unexpected pass")


@dataclass(frozen=True)
class Result:
    """One check's outcome.

    Attributes:
        id: its stable name.
        tier: "vectors", "laws" or "distribution".
        op: the operation that was asked for.
        status: one of `STATUSES`; "noted" is another output where others are acceptable.
        sentence: what is wrong, why it was not run, or which errors it would have seen.
        p_values: of the tests of a sampler; each is at least uniform if the sampler is right.
    """

    id: str
    tier: str
    op: str
    status: str
    sentence: str = ""
    p_values: dict[str, float] = field(default_factory=dict)

    @property
    def is_wrong(self) -> bool:
        """A failure, or a pass where a failure was expected."""
        return self.status in ("failed", "unexpected pass")


@dataclass
class Report:
    """All results, in the order in which they came.

    Attributes:
        spec: who was checked.
        results: one for each check.
        diagnoses: the known mistakes that explain what came out.
        hidden: outputs that the implementation does not show, and that nobody looked at.
        errors: why some of it could not be checked.
    """

    spec: Spec
    results: list[Result] = field(default_factory=list)
    diagnoses: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def first_wrong(self) -> Result | None:
        """The first that is wrong, in the order in which a step computes: where to look."""
        return next((result for result in self.results if result.is_wrong), None)

    @property
    def exit_code(self) -> int:
        """0 right, 1 wrong, 2 could not be checked."""
        if self.first_wrong is not None:
            return WRONG
        return UNCHECKED if self.errors else RIGHT

    def lines(self) -> list[str]:
        """The report as text."""
        text = [f"{self.spec.name}, {self.spec.dtype}", ""]
        claimed = [result for result in self.results if result.sentence != NOT_CLAIMED]
        others = dict.fromkeys(r.op for r in self.results if r.sentence == NOT_CLAIMED)
        for (tier, op), counts in _counts(claimed).items():
            ran = counts.total() - counts["unsupported"]
            said = [f"{counts[status]} {status}" for status in STATUSES if counts[status]]
            text.append(f"{tier:<13}{op:<20}{ran:>3} ran: {', '.join(said)}")
        text += [f"not claimed, not checked: {', '.join(others)}"] if others else []
        text += [f"not shown, not checked: {', '.join(self.hidden)}"] if self.hidden else []
        for result in claimed:
            if result.sentence and not result.is_wrong:
                text.append(f"{result.status}: {result.id}: {result.sentence}")
        first = self.first_wrong
        text += ["", *self.errors]
        if first is not None:
            text += [f"first divergence: {first.id}: {first.sentence}", *self.diagnoses]
        return [
            *text,
            {RIGHT: "RIGHT", WRONG: "WRONG", UNCHECKED: "COULD NOT BE CHECKED"}[self.exit_code],
        ]

    def as_json(self) -> dict[str, Any]:
        """The report as one object."""
        first = self.first_wrong
        return {
            "backend": self.spec._asdict(),
            "exit_code": self.exit_code,
            "first_divergence": None if first is None else asdict(first),
            "diagnoses": self.diagnoses,
            "hidden": self.hidden,
            "errors": self.errors,
            "results": [asdict(result) for result in self.results],
        }


def _counts(results: list[Result]) -> dict[tuple[str, str], Counter[str]]:
    """How many of each status, by tier and operation."""
    table: dict[tuple[str, str], Counter[str]] = {}
    for result in results:
        table.setdefault((result.tier, result.op), Counter())[result.status] += 1
    return table
