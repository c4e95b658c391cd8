"""`python -m circuits.cross_validate`: machines and models, flags that are wrong, and what it writes."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from circuits import cross_validate
from circuits.validation import machine as machine_rows
from circuits.validation.claim import Cell, compared
from circuits.validation.mutations import MUTATIONS
from hamiltonians.clock import SPACES
from qunn import ARNN, QUNN
from tests.systems.command_line import Command, called_here, process

BB2 = "bb:1RB1LB_1LA1RZ"
ROWS = ("--row", "ground-energy", "--row", "output", "--row", "literal")


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    return called_here(cross_validate.main, "circuits.cross_validate", capsys, monkeypatch)


@pytest.fixture
def model(tmp_path: Path) -> str:
    torch.manual_seed(0)
    QUNN(2, 3, dtype=torch.float64).save(tmp_path / "model.safetensors")
    return str(tmp_path / "model.safetensors")


def test_names_repeated_for_help_are_those_of_the_modules() -> None:
    assert set(cross_validate.SPACES) == set(SPACES)


def test_help_loads_neither_torch_nor_qiskit() -> None:
    code = "import sys, circuits.cross_validate; print(sorted({'torch', 'qiskit', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_machine_and_a_model(command: Command, model: str) -> None:
    found = command(BB2, model, "--device", "CPU", "--json", *ROWS)
    assert found.status == 0
    assert found.err == ""
    machine, network = found.report["subjects"]
    assert [row["key"] for row in machine["rows"]] == ["ground-energy", "output"]
    assert [row["key"] for row in network["rows"]] == ["literal"]
    assert found.report["verified"]
    assert found.report["broken"] is None
    for row in machine["rows"] + network["rows"]:
        assert row["passed"] is True
        assert row["difference"] <= row["tolerance"]
        assert row["why"]
        assert set(row["cells"]["dense" if row in machine["rows"] else "torch dense"]) == {
            "value",
            "difference",
            "tolerance",
            "why",
            "passed",
            "note",
            "detail",
        }


def test_the_page(command: Command) -> None:
    found = command(BB2, "--device", "CPU", "--row", "output")
    assert found.status == 0
    assert "1111" in found.out
    assert "verified" in found.out.splitlines()[-1]


@pytest.mark.parametrize("name", ["printed-eq40", "missing-h", "acyclic-clock"])
def test_a_broken_backend_ends_with_status_1(command: Command, name: str) -> None:
    found = command(BB2, "--device", "CPU", "--break", name, "--row", "ground-energy", "--json")
    assert found.status == 1
    assert found.report["broken"] == name
    assert not found.report["verified"]
    assert found.report["subjects"][0]["rows"][0]["passed"] is False
    page = command(BB2, "--device", "CPU", "--break", name, "--row", "ground-energy")
    assert page.status == 1
    assert "NOT VERIFIED" in page.out


def test_a_machine_that_merges(command: Command) -> None:
    flags = ("examples/logical_and.json", "--space", "function", "--input-length", "2", "--device", "CPU")
    found = command(*flags, "--history", "bennett", "--row", "output", "--json")
    assert found.status == 0
    assert found.report["subjects"][0]["rows"][0]["cells"]["circuit"]["value"] == "00: 0, 01: 0, 10: 0, 11: 1"
    merged = command(*flags, "--row", "output")
    assert merged.status == 2
    assert len(merged.err.splitlines()) == 1


def test_the_html_page(command: Command, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    found = command(BB2, "--device", "CPU", "--row", "output", "--html", str(page))
    assert found.status == 0
    assert found.err == f"wrote {page}\n"
    text = page.read_text(encoding="utf-8")
    assert "cross_validate" in text
    assert "1111" in text
    assert not list(tmp_path.glob("*.tmp*"))


def test_stdin(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    class Input:
        buffer = io.BytesIO(b"1RB1LB_1LA1RZ\n")

    monkeypatch.setattr(sys, "stdin", Input())
    assert command("-", "--device", "CPU", "--row", "output").status == 0


def test_the_list_names_rows_and_mutations(command: Command) -> None:
    found = command("--list")
    assert found.status == 0
    for name in ("history-state", "unitary-gradients", *MUTATIONS):
        assert name in found.out
    below = [line for line in found.out.splitlines() if line and not line[0].isupper()]
    assert all(line.startswith("  ") and line == line.rstrip() for line in below)


@pytest.mark.parametrize("kind", [ARNN, QUNN])
def test_a_model_that_is_refused_costs_no_waiting(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    """What is no QUNN, or not finite, is told by name before the files in front of it are computed."""
    model, file = kind(2, 3), tmp_path / "wrong.safetensors"
    with torch.no_grad():
        next(model.parameters()).fill_(torch.nan)
    model.save(file)
    monkeypatch.setattr(machine_rows, "validate_machine", lambda *_, **__: pytest.fail("computed"))
    found = command(BB2, str(file), "--device", "CPU")
    assert found.status == 2
    assert found.err.startswith(f"error: {file}: `")
    assert len(found.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "`FILE` must be given"),
        (("nowhere.json",), "nowhere.json"),
        (("nowhere.safetensors",), "nowhere.safetensors"),
        ((BB2, "--row", "energy"), "`--row` must be one of"),
        ((BB2, "--break", "nothing"), "`--break` must be one of"),
        ((BB2, "--shots", "0"), "`--shots` must be at least 1"),
        ((BB2, "--html", "page.png"), "`--html` must be a name that ends in .html"),
        ((BB2, "--html", "no/such/folder/page.html"), "no/such/folder"),
        (("examples/rotation_qunn.safetensors", "--space", "tape"), "`--space` must be left out"),
        (("examples/rotation_qunn.safetensors", "--input", "1"), "`--input` must be left out"),
        (("examples/rotation_qunn.safetensors", "--max-steps", "9"), "`--max-steps` must be left out"),
        (("examples/rotation_qunn.safetensors", "--row", "output"), "`--row` must be one of literal"),
        ((BB2, "--row", "literal"), "`--row` must be one of hamiltonian"),
        ((BB2, "--break", "short-time"), "`--break` must be what a machine can have wrong"),
        ((BB2, "--max-steps", "5"), "did not halt within 5 steps; raise `--max-steps`"),
        ((BB2, "--space", "function", "--input-length", "-1"), "`--input-length` must be at least 0"),
        (("-", "-"), "`FILE` must be - at most once"),
    ],
)
def test_bad_input_is_one_line_and_status_2(command: Command, arguments: tuple[str, ...], said: str) -> None:
    found = command(*arguments, "--device", "CPU")
    assert found.status == 2, found.err
    assert len(found.err.splitlines()) == 1
    assert said in found.err
    assert found.out == ""


def test_too_little_memory_leaves_nothing_to_compare() -> None:
    """Cells that do not fit are empty and say so; a run without any comparison has verified nothing."""
    flags = (BB2, "--device", "CPU", "--row", "hamiltonian", "--memory-limit", "3K", "--json")
    done = process("circuits.cross_validate", *flags)
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert not report["verified"]
    assert report["subjects"][0]["rows"][0]["passed"] is None
    assert "needed, but" in report["subjects"][0]["rows"][0]["cells"]["dense"]["note"]


def test_json_of_numbers_that_are_not_finite() -> None:
    cell = Cell(value=[1.0, float("nan")], detail=[float("inf")], passed=False)
    assert json.loads(json.dumps(cell.as_dict(), allow_nan=False)) | {"note": None} == {
        "value": [1.0, "nan"],
        "difference": None,
        "tolerance": None,
        "why": None,
        "passed": False,
        "note": None,
        "detail": ["inf"],
    }
    unbounded = compared(1.0, 0.5, float("inf"), "rounding")
    assert unbounded.passed is None
    assert unbounded.note


def test_as_a_process() -> None:
    done = process("circuits.cross_validate", BB2, "--device", "CPU", "--row", "output", "--json")
    assert done.returncode == 0
    assert done.stderr == ""
    assert json.loads(done.stdout)["verified"]
