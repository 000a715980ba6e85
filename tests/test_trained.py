"""The training of rules that plan an epoch: what is written, gone on with, and summed up."""

from pathlib import Path

import numpy as np
import pytest

from pslref.csvfiles import read
from tools import trained
from tools.trained import main, summary


def test_what_a_csv_has_is_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(trained, "CLIENTS", 8)
    monkeypatch.setitem(trained.TARGETS, "digits", (20.0,))
    monkeypatch.setattr(trained, "RULES", ("ugs", "planned", "backwards"))
    whole, in_parts = tmp_path / "whole.csv", tmp_path / "parts.csv"
    main("digits", 2, 2, whole, tmp_path)
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 2 * 3 + 1 + 3
    columns = read("csv", whole, 10**6).columns
    assert columns["epochs"][:3] == ["0.2500", "0.5000", "0.7500"]
    assert len(columns["rule"]) == 2 * 3 * 2 * 4
    of_ugs = [row for row in zip(*columns.values(), strict=True) if row[1] == "ugs"]
    assert [row[3] for row in of_ugs if row[2] == "1.0000"] == ["100.0000"] * 2
    times = {
        rule: [float(row[3]) for row in zip(*columns.values(), strict=True) if row[1] == rule][:4]
        for rule in ("planned", "backwards")
    }
    first_quarter, *_, last = times["backwards"]
    assert first_quarter == pytest.approx(last - times["planned"][2], abs=1e-3)
    assert last == pytest.approx(times["planned"][3], abs=1e-3)

    monkeypatch.setattr(trained, "RULES", ("ugs", "planned"))
    main("digits", 2, 2, in_parts, tmp_path)
    monkeypatch.setattr(trained, "RULES", ("ugs", "planned", "backwards"))
    main("digits", 2, 2, in_parts, tmp_path)
    assert capsys.readouterr().out.splitlines()[-4:] == told[-4:]
    assert sorted(in_parts.read_text().split()) == sorted(whole.read_text().split())

    def never(*args: object) -> None:
        raise AssertionError

    monkeypatch.setattr(trained, "trained", never)
    main("digits", 2, 2, whole, tmp_path)
    assert capsys.readouterr().out.splitlines() == told[-4:]


def test_what_is_summed_up() -> None:
    ugs = [np.array([[1, 100, 40], [2, 200, 60]]), np.array([[1, 100, 44], [2, 200, 64]])]
    fast = [np.array([[1, 50, 41], [2, 100, 62]]), np.array([[1, 60, 40], [2, 120, 64]])]
    slow = [ugs[0] - [0, 0, 1], ugs[1]]
    _, *lines = summary({"ugs": ugs, "fast": fast, "slow": slow}, (41, 60), 10**8)
    assert lines == [
        "ugs | 62.0 ± 2.8 | +0.0 (-0.1 to +0.1) | 150 | 200",
        "fast | 63.0 ± 1.4 | +1.0 (-11.8 to +13.8) | 85 | 110",
        "slow | 61.5 ± 3.5 | -0.5 (-6.9 to +5.9) | 150 | not by all",
    ]
