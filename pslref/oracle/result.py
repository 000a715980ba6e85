"""What came of one check: the one record that cases, laws and tests answer with."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Result:
    """What came of one check."""

    check: str  # the id of a case, a law or a test
    op: str
    verdict: Literal["ok", "wrong", "noted", "unsupported", "broken"]
    detail: str = ""  # one sentence
    p_value: float | None = None
    detects: str = ""  # of a test: the smallest error it would have seen, in a user's units

    @property
    def is_wrong(self) -> bool:
        """An answer that is wrong, or none."""
        return self.verdict in ("wrong", "broken")
