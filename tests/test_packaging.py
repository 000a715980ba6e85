"""What is shipped: the wheel, the README's example, and the version."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import pslref

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", str(folder), str(ROOT)], check=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_the_data_and_nothing_of_tests_or_tutorials(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "pslref/shipped/digits.npz" in names
    assert "pslref/shipped/digits.LICENSE.txt" in names
    assert "pslref/py.typed" in names
    assert {name.split("/")[0] for name in names} == {
        "pslref",
        f"pslref-{pslref.__version__}.dist-info",
    }


def test_the_wheel_works_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    program = (
        "import pslref; print(pslref.__file__); print(pslref.data.load('digits').x_train.shape)"
    )
    found = subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "site")},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    assert found == [str(tmp_path / "site" / "pslref" / "__init__.py"), "(1442, 8, 8, 1)"]


def test_the_example_in_the_readme_works_when_pasted(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    exec(example, {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert float(lines[-1].split()[0]) > 0.8


def test_the_version_is_said_once_and_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == pslref.__version__
