"""The programs that run many checks, on a few."""

from pathlib import Path

import pytest

from tests.backends.plain import Plain
from tools import oracle


def wrong() -> Plain:
    return Plain("nesterov", only=["sgd"])


def test_right_implementations_that_are_accused_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    oracle.right(tmp_path / "right.csv", 2, [f"{__name__}:wrong"])
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "2 of 2 full checks accused a right implementation"
    rows = (tmp_path / "right.csv").read_text().splitlines()
    assert rows[1:] == [f"{__name__}:wrong,{run},1,all," for run in range(2)]


def test_the_summary_sees_small_p_values_and_no_large_ones() -> None:
    def told(p_values: list[float]) -> str:
        common = {"backend": "b", "exit_code": 0, "test": "t"}
        return oracle.summary([{**common, "p_value": p} for p in p_values])[1]

    uniform = [(run + 0.5) / 100 for run in range(100)]
    assert " p = 0.99 after" in told(uniform)
    assert " p = 1 after" in told([1.0] * 100)
    assert "e-" in told([p / 5 for p in uniform])


def test_faults_are_told_as_caught_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oracle, "VECTORS", {"nesterov": ("sgd", ""), "no-bias": ("linear", None)})
    monkeypatch.setattr(oracle, "ONLY_RANDOM", {})
    monkeypatch.setattr(oracle, "QUESTIONED", [])
    oracle.faults(tmp_path / "faults.csv", all_of_them=False)
    assert "independent: 2 of 2 caught, 1 named, " in capsys.readouterr().out
    row = (tmp_path / "faults.csv").read_text().splitlines()[1]
    assert row.startswith("independent,nesterov,sgd,True,True,")
