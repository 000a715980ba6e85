"""Run the tutorials from start to end, each with a fresh kernel: `make notebooks` rewrites them."""

import os
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

from pslref import files

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "tutorials").glob("*.ipynb"))
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def executed(path: Path) -> NotebookNode:
    """The notebook with the outputs of a run: nothing of when it ran or which Python ran it.

    A claim that is not true stops it.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=300,
        extra_arguments=["--log-level=40"],  # errors, and no warnings about sockets
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(path.parent)}},
    )
    own = {"PYTHONPATH": str(ROOT), "STOP_AT_FALSE_CLAIMS": "1"}
    with tempfile.TemporaryDirectory() as profile:  # not the user's own settings and start-up files
        client.execute(env=os.environ | own | {"IPYTHONDIR": profile})
    for cell in notebook.cells:
        cell.metadata = {}
    notebook.metadata = METADATA
    return notebook


if __name__ == "__main__":
    for notebook in [Path(name).resolve() for name in sys.argv[1:]] or NOTEBOOKS:
        with files.replacing(notebook) as temporary:
            nbformat.write(executed(notebook), temporary)
        print(notebook.relative_to(ROOT))
