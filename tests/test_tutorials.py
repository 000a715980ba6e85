"""The tutorials run, also with other numbers, give the outputs they show, and keep their form."""

import importlib
import io
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType

import nbformat
import pytest
from nbformat import NotebookNode

from tools.notebooks import METADATA, NOTEBOOKS, ROOT, executed

TUTORIALS = ROOT / "tutorials"
LARGEST_PICTURE = 100_000  # characters of base64
FEW_CLIENTS = {"num_clients": "8", "batch_size": "128", "slowdown": "3", "seed": "1"}
MANY_CLIENTS = {"num_clients": "64", "batch_size": "16", "slowdown": "3", "seed": "2"}
SOLUTION = r"<details><summary>Solution (\d)</summary>\n\n.*?```python\n(.*?)```\n\n</details>"

# The clients of 06 are those of a table.
OF_NUMBERS = [path for path in NOTEBOOKS if not path.stem.startswith("06")]

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def prose(notebook: NotebookNode) -> str:
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def shown(notebook: NotebookNode) -> list[list[object]]:
    """What each cell shows: text as it is, of a picture only that there is one."""
    return [
        [
            output.text if output.output_type == "stream" else output.data | {"image/png": ""}
            for output in cell.outputs
        ]
        for cell in code_cells(notebook)
    ]


def printed(path: Path, other_lines: Mapping[str, str]) -> str:
    """What a notebook prints with other lines in place of those that give names their first value.

    In this process, which is sooner than in a kernel, and where a warning is an error.
    """
    namespace: dict[str, object] = {}
    with redirect_stdout(io.StringIO()) as text:
        for cell in code_cells(nbformat.read(path, as_version=4)):
            source = cell.source
            for name, lines in other_lines.items():
                first = re.search(rf"^{name} = (?:\d+|None)\b.*$", source, re.MULTILINE)
                if first:
                    source = source.replace(first[0], lines)
            exec(compile(source, f"{path.name}, cell {cell.id}", "exec"), namespace)
    return text.getvalue()


@pytest.fixture
def lesson(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """What is beside the notebooks, which run in their folder."""
    monkeypatch.chdir(TUTORIALS)
    monkeypatch.syspath_prepend(TUTORIALS)
    yield importlib.import_module("lesson")
    for name in {"lesson", "pictures"} & sys.modules.keys():
        del sys.modules[name]


@each_notebook
def test_a_run_with_a_fresh_kernel_gives_the_text_that_is_shown(path: Path) -> None:
    """A claim that is not true stops it, so this tests them, too."""
    assert shown(executed(path)) == shown(nbformat.read(path, as_version=4))


@each_notebook
def test_every_claim_says_so_and_no_cell_has_another_way_to_stop(path: Path) -> None:
    for cell in code_cells(nbformat.read(path, as_version=4)):
        assert not re.search(r"^\s*assert\b", cell.source, re.MULTILINE)
        said = "".join(output.get("text", "") for output in cell.outputs)
        assert said.count("✓") >= len(re.findall(r"^claim\(", cell.source, re.MULTILINE))


def said_with(path: Path, numbers: Mapping[str, str], solutions: Mapping[str, str]) -> str:
    """What a notebook says with other numbers and with answers to its exercises."""
    lines = {name: f"{name} = {value}" for name, value in numbers.items()}
    text = printed(path, lines | {f"mine_{n}": answer for n, answer in solutions.items()})
    # What does not depend on the numbers, such as what the library gives, is true all the same.
    assert not re.search("✗.*library", text)
    return text


@pytest.mark.parametrize("path", OF_NUMBERS, ids=lambda path: path.stem)
def test_with_other_numbers_a_notebook_runs_to_its_end(path: Path, lesson: ModuleType) -> None:
    text = said_with(path, MANY_CLIENTS, {})
    assert text.count("Put your answer in place of None.\n") == 3


@each_notebook
def test_with_other_numbers_the_solutions_solve_the_three_exercises(
    path: Path, lesson: ModuleType
) -> None:
    notebook = nbformat.read(path, as_version=4)
    assert "After this notebook you can" in notebook.cells[0].source
    exercises, solutions = prose(notebook).split("## Solutions")
    found = {n: lines.rstrip() for n, lines in re.findall(SOLUTION, solutions, re.DOTALL)}
    assert [*found] == ["1", "2", "3"] == re.findall(r"\*\*Exercise (\d)\.\*\*", exercises)
    numbers = FEW_CLIENTS if path in OF_NUMBERS else {}
    assert said_with(path, numbers, found).count("✓ right\n") == 3


def test_a_claim_that_is_not_true_stops_the_tests_and_no_reader(
    lesson: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STOP_AT_FALSE_CLAIMS", raising=False)
    lesson.claim("it rises", [True, True])
    lesson.claim("it falls", [True, False])
    assert capsys.readouterr().out.splitlines() == [
        "✓ it rises",
        "✗ no longer true with your numbers: it falls",
    ]
    monkeypatch.setenv("STOP_AT_FALSE_CLAIMS", "1")
    with pytest.raises(AssertionError, match="it falls"):
        lesson.claim("it falls", False)


@pytest.mark.parametrize(
    ("mine", "said"),
    [
        (None, "Put your answer in place of None."),
        ((5 / 3, 2), "✓ right"),
        ([1.667, 2.0], "✓ right"),
        ((1.66, 2), "✗ not yet. Think."),
        ((1.5, 2), "✗ not yet. Think."),
        ((2, 1.667), "✗ not yet. Think."),
        ("two", "✗ not yet (UFuncTypeError: .*). Think."),
        ((1, 2, 3), "✗ not yet (ValueError: .*). Think."),
    ],
)
def test_an_answer_is_right_or_gets_a_hint(
    mine: object, said: str, lesson: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    lesson.answer(mine, lambda own: lesson.close(own, (5 / 3, 2)), "Think.")
    expected = re.escape(said).replace(r"\.\*", ".*")
    assert re.fullmatch(expected, capsys.readouterr().out.rstrip(), re.DOTALL)


@each_notebook
def test_a_notebook_is_committed_as_its_run_wrote_it(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    assert notebook.metadata == METADATA
    assert all(cell.metadata == {} for cell in notebook.cells)
    numbers = [cell.execution_count for cell in code_cells(notebook)]
    assert numbers == list(range(1, len(numbers) + 1))
    for cell in code_cells(notebook):
        for output in cell.outputs:
            assert output.get("name") != "stderr"
            assert len(output.get("data", {}).get("image/png", "")) < LARGEST_PICTURE


@each_notebook
def test_a_notebook_needs_the_public_library_and_nothing_else(path: Path) -> None:
    code = "\n".join(cell.source for cell in code_cells(nbformat.read(path, as_version=4)))
    imported = re.findall(r"^\s*(?:import|from) (\w+)", code, re.MULTILINE)
    assert set(imported) <= {"bisect", "lesson", "math", "numpy", "pictures", "pslref"}
    assert not re.search(r"\._[a-z]|\bopen\(", code)
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"(?<![\w.:/])/(?:home|tmp|root|work|usr|Users)\b", text)
    assert str(ROOT) not in text


@pytest.mark.parametrize("path", [*NOTEBOOKS, TUTORIALS / "README.md"], ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    text = prose(nbformat.read(path, as_version=4)) if path in NOTEBOOKS else path.read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
    assert links
    for link in links:
        assert (TUTORIALS / link).is_file(), link


def test_the_readme_lists_the_page_and_the_notebooks_and_what_they_share_is_beside_them() -> None:
    names = ["one_file.py", *(path.name for path in NOTEBOOKS)]
    listed = re.findall(r"\]\(([^)/]+)\)", (TUTORIALS / "README.md").read_text("utf-8"))
    assert listed == names
    assert [name[:3] for name in names[1:]] == [f"{n:02}-" for n in range(1, 8)]
    beside = {path.name for path in TUTORIALS.iterdir() if path.is_file()}
    assert beside == {*names, "README.md", "lesson.py", "pictures.py"}
