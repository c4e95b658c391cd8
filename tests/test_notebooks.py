"""Every notebook runs from scratch, warns of nothing, draws something, and is stored without what a run leaves."""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from matplotlib import font_manager
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SECONDS = 900  # that a cell may take, far more than one does on a busy machine: what hangs is ended

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def outputs(notebook: Any) -> list[Any]:
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def executed(path: Path, folder: Path) -> Any:
    """A copy of the notebook with the outputs of a run by this interpreter, in a folder beside what it reads."""
    assert font_manager.fontManager.ttflist  # matplotlib's cache of fonts is made by now: that it is says a warning
    notebook = read(path)
    for name in ("examples", "benchmarks"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "notebooks").mkdir()
    # with no folders to search, "python3" is the interpreter that runs this, whatever kernels are installed
    kernels = KernelSpecManager(kernel_dirs=[])
    client = NotebookClient(
        notebook,
        km=AsyncKernelManager(kernel_name="python3", kernel_spec_manager=kernels),
        timeout=SECONDS,
        resources={"metadata": {"path": str(folder / "notebooks")}},
        extra_arguments=["--log-level=CRITICAL"],  # the kernel's own notes on its sockets
    )
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "error,ignore::PendingDeprecationWarning",  # ipykernel's own, when it is shut down
        "IPYTHONDIR": str(folder / "ipython"),
    }
    client.execute(env=environment, cleanup_kc=True)
    return notebook


def test_the_numbers_are_complete():
    assert [path.name[:3] for path in NOTEBOOKS] == [f"{number:02d}_" for number in range(1, 8)]


@every_notebook
def test_stored_without_what_a_run_leaves(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert not outputs(notebook)
    assert all(cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code")
    assert all(not cell.metadata for cell in notebook.cells)
    assert notebook.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)


@every_notebook
def test_tells_a_story_and_holds_no_logic(path):
    cells = read(path).cells
    assert cells[0].cell_type == cells[-1].cell_type == "markdown"
    assert cells[0].source.startswith(f"# {path.name[:2]} ")
    assert "**The question.**" in cells[0].source
    assert "**The answer.**" in cells[-1].source
    code = [ast.parse(cell.source) for cell in cells if cell.cell_type == "code"]
    found = {type(node) for tree in code for node in ast.walk(tree)}
    assert ast.Assert in found
    assert not found & {ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef}


@every_notebook
def test_links_lead_somewhere(path):
    text = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (path.parent / target).exists(), target


@every_notebook
def test_runs_and_draws(path, tmp_path):
    found = outputs(executed(path, tmp_path))
    assert not [output.text for output in found if output.get("name") == "stderr"]
    assert sum("image/png" in output.get("data", {}) for output in found) >= 3
