import json
from pathlib import Path

import pytest

from pslref import files


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.json"
    files.write_json(path, {"a": 1})
    files.write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 2}
    assert list(path.parent.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    files.write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="Out of range"):
        files.write_json(path, {"a": float("nan")})
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def interrupted(path: Path) -> None:
    with files.replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("half-way")


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    files.write_json(path, {"a": 1})
    with pytest.raises(RuntimeError, match="half-way"):
        interrupted(path)
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_csv_is_one_row_an_observation(tmp_path: Path) -> None:
    files.write_csv(tmp_path / "a.csv", [{"name": "x", "value": 0.1}, {"name": "y", "value": None}])
    assert (tmp_path / "a.csv").read_text().splitlines() == ["name,value", "x,0.1", "y,"]
