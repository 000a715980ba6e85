"""What is shipped: the clone, the wheel, the README's example, and the version."""

import importlib
import importlib.util
import inspect
import os
import pkgutil
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import pslref
from pslref.versions import MADE_BY

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


@pytest.fixture(scope="module")
def tracked() -> list[str]:
    """Every file of the repository, by its path from the top."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone")
    command = ["git", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return listed.stdout.rstrip("\0").split("\0")


def test_the_top_level_is_what_the_map_in_the_readme_names(tracked: list[str]) -> None:
    (of_the_map,) = re.findall(r"## The map\n\n```\n(.*?)```", README, re.DOTALL)
    lines = [line for line in of_the_map.splitlines() if not line.startswith(" ")]
    named = {name for line in lines for name in re.split(" {2,}", line)[0].split(", ")}
    assert {path.split("/")[0] for path in tracked} == {name.split("/")[0] for name in named}
    assert {"CONTRIBUTING.md", "CHANGELOG.md"} <= named


def test_whoever_carries_on_is_sent_to_files_that_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    assert len(text.splitlines()) <= 90
    named = re.findall(r"`([\w/*]+(?:\.py|\.md|/))`|\]\(([\w/.]+)", text)
    paths = [code or link for code, link in named]
    assert len(paths) > 30
    for path in paths:
        assert [*ROOT.glob(path), *(ROOT / "pslref").glob(path)], path


def test_programs_run_by_hand_are_in_tools_and_tests_holds_none(tracked: list[str]) -> None:
    """A file of tests/ is a test, or one that a test imports; pages and the site stand alone."""
    python = [path for path in tracked if path.endswith(".py")]
    homes = {"benchmarks", "cli.py", "docs", "pslref", "tests", "tools", "tutorials"}
    assert {path.split("/")[0] for path in python} == homes
    pages = [path for path in python if path.startswith(("docs", "tutorials"))]
    assert pages == [
        "docs/examples/pytorch.py",
        "docs/site/conf.py",
        "tutorials/lesson.py",
        "tutorials/one_file.py",
        "tutorials/pictures.py",
    ]
    in_tests = {path: (ROOT / path).read_text("utf-8") for path in python if path[:5] == "tests"}
    for path, text in in_tests.items():
        assert not re.search("^if __name__", text, re.MULTILINE), path
        name = Path(path).stem
        if not name.startswith("test_") and name != "conftest":
            others = (other for other in in_tests.values() if other != text)
            assert any(re.search(rf"\b{name}\b", other) for other in others), path


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
        "import pslref; print(pslref.__file__); print(pslref.data.load('digits').x_train.shape); "
        "from pslref.versions import MADE_BY; print(MADE_BY['source'])"
    )
    found = subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "site")},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    file = str(tmp_path / "site" / "pslref" / "__init__.py")
    assert found == [file, "(1442, 8, 8, 1)", MADE_BY["source"]]


def test_an_editable_install_is_found_from_the_folder_above_the_clone(tmp_path: Path) -> None:
    """Where ./pslref is the clone, a folder without an `__init__.py`."""
    (tmp_path / "pslref").symlink_to(ROOT)
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", "install"]
    subprocess.run([*pip, "--no-deps", "--target", site, "--editable", ROOT], check=True)
    program = f"import site; site.addsitedir({str(site)!r}); import pslref; print(pslref.__file__)"
    found = subprocess.run(
        [sys.executable, "-S", "-c", program],  # without what is installed in this environment
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert found.strip() == str(ROOT / "pslref" / "__init__.py")


def test_python_m_pslref_is_the_command() -> None:
    command = [sys.executable, "-m", "pslref", "--help"]
    found = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert found.startswith("Usage: python -m pslref [OPTIONS] COMMAND")


def test_dir_shows_the_rooms_before_they_are_imported() -> None:
    program = "import pslref; print(*dir(pslref))"
    command = [sys.executable, "-c", program]
    found = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert {*pslref.__all__, "__version__"} <= set(found.split())


def test_help_says_array_like_and_not_all_that_it_stands_for() -> None:
    for found in pkgutil.walk_packages(pslref.__path__, "pslref."):
        if found.name == "pslref.oracle.torch" and not importlib.util.find_spec("torch"):
            continue
        module = importlib.import_module(found.name)
        for function in filter(inspect.isfunction, vars(module).values()):
            assert "numpy._typing" not in str(inspect.signature(function)), function
    assert "class_counts: numpy.typing.ArrayLike," in str(
        inspect.signature(pslref.sampling.targets)
    )


def test_the_example_in_the_readme_works_when_pasted(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(example, {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert float(lines[-1].split()[0]) > 0.8


def test_the_version_is_said_once_and_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == pslref.__version__
    citation = (ROOT / "CITATION.cff").read_text()
    assert re.findall(r"^version: (.*)$", citation, re.MULTILINE) == [pslref.__version__]
    assert re.search(r'^date-released: "\d{4}-\d\d-\d\d"$', citation, re.MULTILINE)


# What Flower asks for, of what pslref asks for too: the metadata of flwr 1.42.0, of November 2026.
OF_FLOWER = ["numpy>=1.26.0,<3.0.0", "typer>=0.13.0,<0.21.0"]
RELEASES = {"numpy": ["2.0.0", "2.5.5"], "typer": ["0.15.4", "0.20.1"]}  # ends of what both take


@pytest.mark.parametrize("theirs", OF_FLOWER)
def test_it_can_be_installed_beside_flower(theirs: str) -> None:
    wanted = Requirement(theirs)
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    (ours,) = (each for each in map(Requirement, dependencies) if each.name == wanted.name)
    both = ours.specifier & wanted.specifier
    assert list(both.filter(RELEASES[wanted.name])) == RELEASES[wanted.name]


def test_nobody_is_sent_to_a_package_index_for_pslref() -> None:
    """It is in none; it is installed from a checkout."""
    for path in [
        ROOT / "README.md",
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "pslref").rglob("*.py"),
    ]:
        assert not re.search(r"pip install '?pslref", path.read_text(encoding="utf-8")), path


def test_the_tutorials_open_as_root_and_say_that_they_are_being_installed() -> None:
    dry = ["make", "--dry-run", "--always-make", "tutorials"]
    out = subprocess.run(dry, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert 'echo "Installing JupyterLab' in out
    assert "jupyter lab --allow-root" in out
