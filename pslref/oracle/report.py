"""What came out of a check: for people, for machines, and as an exit code."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from pslref.app.terminal import print_json
from pslref.oracle.backends import Spec
from pslref.oracle.result import Result

RIGHT, WRONG, UNCHECKED = 0, 1, 2
VERDICTS = {RIGHT: "RIGHT", WRONG: "WRONG", UNCHECKED: "COULD NOT BE CHECKED"}


def print_results(results: list[Result], verdict: str, code: int, as_json: bool) -> int:
    """Print results and a verdict, or one JSON object; returns the exit code."""
    if as_json:
        print_json(results=[asdict(result) for result in results], verdict=verdict, exit_code=code)
        return code
    for one in results:
        print(f"{one.verdict:<11} {one.check}{': ' if one.detail else ''}{one.detail}")
        if one.detects:
            print(f"            detects {one.detects}")
    print(verdict)
    return code


@dataclass
class Report:
    """All results, in the order in which they came.

    Attributes:
        spec: who was checked.
        unclaimed: operations that it does not claim, and that were not asked for.
        results: one for each case and law, one for each test of a sampler.
        diagnoses: the known mistakes that explain what came out.
        hidden: outputs that the implementation does not show, and that nobody looked at.
        errors: why some of it could not be checked.
    """

    spec: Spec
    unclaimed: list[str] = field(default_factory=list)
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
        for op in dict.fromkeys(result.op for result in self.results):
            counts = Counter(result.verdict for result in self.results if result.op == op)
            said = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
            text.append(f"{op:<20} {said}")
        text += [f"not claimed, not checked: {', '.join(self.unclaimed)}"] if self.unclaimed else []
        text += [f"not shown, not checked: {', '.join(self.hidden)}"] if self.hidden else []
        for one in self.results:
            if one.verdict in ("noted", "unsupported"):
                text.append(f"{one.verdict}: {one.check}: {one.detail}")
            elif one.p_value is not None and not one.is_wrong:
                text.append(f"ok: {one.check} sees {one.detects}")
        first = self.first_wrong
        text += ["", *self.errors]
        if first is not None:
            text += [f"first divergence: {first.check}: {first.detail}", *self.diagnoses]
        return [*text, VERDICTS[self.exit_code]]

    def as_json(self) -> dict[str, Any]:
        """The report as one object."""
        first = self.first_wrong
        return {
            "backend": self.spec._asdict(),
            "exit_code": self.exit_code,
            "first_divergence": None if first is None else asdict(first),
            **{
                name: getattr(self, name) for name in ("diagnoses", "unclaimed", "hidden", "errors")
            },
            "results": [asdict(result) for result in self.results],
        }
