"""The tutorials run from start to end, give the outputs they show, and keep their form."""

import re
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from tools.notebooks import METADATA, NOTEBOOKS, ROOT, executed

TUTORIALS = ROOT / "tutorials"
LARGEST_PICTURE = 100_000  # characters of base64

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


@each_notebook
def test_a_run_with_a_fresh_kernel_gives_the_text_that_is_shown(path: Path) -> None:
    """Every claim of the text is an `assert` in a cell, so this tests them, too."""
    assert shown(executed(path)) == shown(nbformat.read(path, as_version=4))


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
def test_a_notebook_begins_with_its_aims_and_ends_in_three_solved_exercises(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    assert "After this notebook you can" in notebook.cells[0].source
    exercises, solutions = prose(notebook).split("## Solutions")
    for n in (1, 2, 3):
        assert f"**Exercise {n}.**" in exercises
        assert f"**Exercise {n}.**" in solutions
        code = [cell.source for cell in code_cells(notebook)]
        (solution,) = (source for source in code if f"assert mine_{n} is None" in source)
        assert f"right_{n}" in solution


@each_notebook
def test_a_notebook_needs_the_public_library_and_nothing_else(path: Path) -> None:
    code = "\n".join(cell.source for cell in code_cells(nbformat.read(path, as_version=4)))
    imported = re.findall(r"^\s*(?:import|from) (\w+)", code, re.MULTILINE)
    assert set(imported) <= {"math", "numpy", "pslref"}
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


def test_the_readme_lists_the_page_and_the_notebooks_and_nothing_is_beside_them() -> None:
    names = ["one_file.py", *(path.name for path in NOTEBOOKS)]
    listed = re.findall(r"\]\(([^)/]+)\)", (TUTORIALS / "README.md").read_text("utf-8"))
    assert listed == names
    assert [name[:3] for name in names[1:]] == ["01-", "02-", "03-", "04-", "05-"]
    assert {path.name for path in TUTORIALS.iterdir() if path.is_file()} == {*names, "README.md"}
