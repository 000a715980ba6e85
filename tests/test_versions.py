"""What made a result is named in it, and no other goes on with it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import pslref as package
from pslref import versions

SOURCE = Path(package.__file__).parent


def test_it_names_the_source_and_what_it_computes_with() -> None:
    assert versions.MADE_BY.keys() == {"pslref", "source", "numpy", "scipy", "blas"}
    assert versions.MADE_BY["pslref"] == package.__version__
    assert versions.MADE_BY["numpy"] == np.__version__
    name, version = versions.MADE_BY["blas"].split()
    assert name != "None"
    assert version != "None"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SOURCE, tmp_path / "elsewhere", ignore=lambda *_: ["__pycache__"]))


def test_the_digest_heeds_neither_place_nor_ends_of_lines_nor_what_python_compiled(
    copy: Path,
) -> None:
    (copy / "__pycache__").mkdir()
    (copy / "__pycache__" / "check.cpython-311.pyc").write_bytes(b"compiled")
    for path in [*copy.rglob("*.py"), *copy.rglob("*.json")]:
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert versions.digest(copy) == versions.MADE_BY["source"]


def test_the_digest_heeds_no_hidden_file_such_as_an_editor_leaves(copy: Path) -> None:
    (copy / ".#check.py").symlink_to("user@host.1234")  # Emacs, as long as the file is changed
    (copy / ".ipynb_checkpoints").mkdir()
    (copy / ".ipynb_checkpoints" / "runs-checkpoint.py").write_text("seen = True")
    (copy / "nn" / "._loss.py").write_bytes(b"where macOS keeps more of a file")
    assert versions.digest(copy) == versions.MADE_BY["source"]


def test_the_digest_sees_a_changed_line_a_changed_byte_and_another_name(copy: Path) -> None:
    found = {versions.digest(copy)}
    optimizer = copy / "nn" / "sgd.py"
    text = optimizer.read_text()
    halved = text.replace("learning_rate *", "learning_rate / 2 *")
    assert halved != text
    optimizer.write_text(halved)
    found.add(versions.digest(copy))
    optimizer.write_text(text)
    digits = copy / "shipped" / "digits.npz"
    digits.write_bytes(digits.read_bytes()[:-1] + b"\r")
    found.add(versions.digest(copy))
    (copy / "nn" / "loss.py").rename(copy / "nn" / "losses.py")  # in the same order
    found.add(versions.digest(copy))
    assert len(found) == 4


def test_the_command_line_prints_it(pslref) -> None:
    lines = [f"{name} {version}" for name, version in versions.MADE_BY.items()]
    assert pslref("--version") == (0, "\n".join(lines) + "\n", "")


SMALL = ["--sampler", "ugs", "--clients", "8"]
TRAINED = ["--epochs", "1", "--hidden", "4"]


@pytest.mark.parametrize(
    "command",
    [
        ["compare", *SMALL, *TRAINED, "--seeds", "1"],
        ["train", *SMALL, *TRAINED],
        ["sweep", *SMALL, *TRAINED, "--seeds", "1"],
        ["deviation", *SMALL],
        ["plan", *SMALL, "--seeds", "1"],
    ],
    ids=lambda command: command[0],
)
def test_every_config_and_every_json_names_it(pslref, tmp_path: Path, command: list[str]) -> None:
    code, out, _ = pslref(*command, "--json", "--out", str(tmp_path))
    assert code == 0
    assert json.loads(out)["made_by"] == versions.MADE_BY
    assert json.loads((tmp_path / "config.json").read_text())["made_by"] == versions.MADE_BY
    for run in tmp_path.glob("runs/*.json"):
        assert json.loads(run.read_text())["made_by"] == versions.MADE_BY


def test_a_schedule_in_json_names_it(pslref) -> None:
    assert json.loads(pslref("schedule", *SMALL, "--json")[1])["made_by"] == versions.MADE_BY
