"""The check inside another project's suite: one test each, with reasons."""

import subprocess
import sys
from pathlib import Path

import pytest

from pslref.oracle.pytest import oracle_tests
from tests.backends.plain import Plain

ROOT = Path(__file__).parents[2]
SUITE = """
from pslref.oracle.pytest import oracle_tests
from tests.backends.plain import Plain

class Mine(Plain):
    def capabilities(self):
        return ["sgd", "relu"]

    def run(self, op, inputs):
        if op == "relu":
            from pslref.oracle import Unsupported
            raise Unsupported("not today")
        return super().run(op, inputs)

test_oracle = oracle_tests(lambda: Mine("momentum-lost"), expected_failures={"sgd-both": "known"})
"""

test_plain = oracle_tests(lambda: Plain(only=["linear", "fls"]), tiers=["vectors"])


def test_each_check_is_a_test_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(SUITE)
    run = [sys.executable, "-m", "pytest", "-v", "-rA", "-p", "no:cacheprovider", str(tmp_path)]
    out = subprocess.run(run, capture_output=True, text=True, cwd=ROOT).stdout
    assert "test_oracle[sgd-plain] PASSED" in out
    assert "test_oracle[sgd-momentum] FAILED" in out
    assert "sgd looks like a known mistake: momentum never acts" in out
    assert "test_oracle[sgd-both] XFAIL" in out
    assert "test_oracle[relu-basic] SKIPPED" in out
    assert "relu: 0 of 3 vectors ran: at least a third must" in out
    assert "test_oracle[enough-ran] FAILED" in out


def test_an_id_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="sgd-momentun"):
        oracle_tests(Plain, tiers=["vectors"], expected_failures={"sgd-momentun": "typo"})
