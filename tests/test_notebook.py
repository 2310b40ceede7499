"""The notebook in docs/ runs, and shows its pictures."""

import os
import sys

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import ROOT

SHORTER = {"400]": "40]", "steps=100": "steps=5"}  # what takes most of the time


@pytest.mark.parametrize("shorter", [SHORTER, pytest.param({}, marks=pytest.mark.slow)])
def test_the_notebook_runs(tmp_path, monkeypatch, shorter):
    """As it is committed but for the lengths, without outputs, in a folder of its own."""
    notebook = nbformat.read(ROOT / "docs/notebook.ipynb", as_version=4)
    codes = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in codes)
    for words, others in shorter.items():
        assert any(words in cell.source for cell in codes)
        for cell in codes:
            cell.source = cell.source.replace(words, others)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "jupyter"))
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    resources = {"metadata": {"path": str(tmp_path)}}
    client = NotebookClient(notebook, timeout=600, resources=resources)
    client.create_kernel_manager().kernel_spec.argv = command  # whatever kernels are installed
    client.execute()  # raises if a cell fails
    outputs = [output for cell in codes for output in cell.outputs]
    pictures = [
        o for o in outputs if "image/png" in o.get("data", {}) or "image/gif" in o.get("data", {})
    ]
    assert len(pictures) == 10
    assert {"training.gif", "mix.png", "test.png"} <= set(os.listdir(tmp_path / "samples/digits"))
