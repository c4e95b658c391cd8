"""`python -m circuits.ground_state`: the report of a circuit's clock Hamiltonian."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from qiskit import QuantumCircuit, qasm2, qasm3, qpy

from circuits import ground_state as command
from circuits.clock.from_qiskit import from_circuit, output_fidelity
from hamiltonians import Report
from hamiltonians.solve import SOLVERS
from hamiltonians.state import SparseState
from tests.systems.command_line import Command, called_here, process

MODULE = "circuits.ground_state"


def example() -> QuantumCircuit:
    qc = QuantumCircuit(3, 3)
    qc.h(0)
    qc.cx(0, 2)
    qc.rx(0.3, 1)
    qc.ccx(0, 1, 2)
    qc.cp(0.7, 2, 0)
    qc.measure([0, 1, 2], [0, 1, 2])
    return qc


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    return called_here(command.main, MODULE, capsys, monkeypatch)


def written(folder: Path, kind: str) -> Path:
    path = folder / f"circuit.{kind}"
    if kind == "qpy":
        with path.open("wb") as file:
            qpy.dump(example(), file)
    else:
        path.write_text(qasm2.dumps(example()) if kind == "qasm2" else qasm3.dumps(example()))
    return path


@pytest.mark.parametrize("kind", ["qasm2", "qasm", "qpy"])
def test_a_circuit_in_every_format_is_certified(call: Command, tmp_path: Path, kind: str) -> None:
    found = call(str(written(tmp_path, kind)), "--json")
    report = found.report
    assert (found.status, found.err) == (0, "")
    assert report["verified"]
    assert set(report) == {f.name for f in fields(Report)}
    assert [report[key] for key in ("machine", "input", "output", "machine_output", "final_state", "accepted")] == [
        None
    ] * 6
    assert report["space"] == "steps"
    assert report["dimension"] == 8 * (report["steps"] + 1)
    assert report["degeneracy"] == 1
    assert report["gap"] == pytest.approx(report["gap_closed_form"], rel=1e-8)
    last = report["checks"][-1]
    assert last["name"] == "output state"
    assert last["passed"]
    assert last["found"] == pytest.approx(1, abs=1e-12)


def test_the_page_is_that_of_the_machine(call: Command, tmp_path: Path) -> None:
    found = call(str(written(tmp_path, "qasm2")))
    assert found.status == 0
    for words in ("Clock Hamiltonian", "Certificate", "output state", "verified in"):
        assert words in found.out


def test_another_state_fails_the_check() -> None:
    """The fidelity is read from ψ: another state on the last clock state shows."""
    H = from_circuit(example())
    psi = H.history_state()
    rows = np.flatnonzero(psi)
    right = SparseState(rows, psi[rows])
    assert output_fidelity(H, right, example()) == pytest.approx(1, abs=1e-12)
    wrong = psi.reshape(H.d, -1).copy()
    wrong[:, -1] = np.roll(wrong[:, -1], 1)
    wrong = wrong.reshape(-1)
    rows = np.flatnonzero(wrong)
    assert output_fidelity(H, SparseState(rows, wrong[rows]), example()) < 0.9
    wrong.reshape(H.d, -1)[:, -1] = 0
    rows = np.flatnonzero(wrong)
    assert output_fidelity(H, SparseState(rows, wrong[rows]), example()) == 0


def test_a_wrong_output_state_is_not_verified(call: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("circuits.clock.from_qiskit.output_fidelity", lambda *_: 0.5)
    found = call(str(written(tmp_path, "qasm2")), "--json")
    assert found.status == 1
    assert not found.report["verified"]


@pytest.mark.parametrize("solver", ["sweep", "shift-invert", "dense"])
def test_solvers_agree(call: Command, tmp_path: Path, solver: str) -> None:
    report = call(str(written(tmp_path, "qasm2")), "--json", "--solver", solver, "--k", "3").report
    assert report["verified"]
    assert len(report["energies"]) == 3
    assert report["gap"] == pytest.approx(report["gap_closed_form"], rel=1e-6)


def test_stdin_is_read(tmp_path: Path) -> None:
    for content in (qasm2.dumps(example()).encode(), written(tmp_path, "qpy").read_bytes()):
        found = subprocess.run(
            [sys.executable, "-m", MODULE, "-", "--json"], input=content, capture_output=True, timeout=120, check=False
        )
        assert (found.returncode, found.stderr) == (0, b"")
        assert json.loads(found.stdout)["verified"]


def test_one_qubit_is_enough(call: Command, tmp_path: Path) -> None:
    path = tmp_path / "one.qasm"
    path.write_text('OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[1];\nh q[0];\nt q[0];\n')
    report = call(str(path), "--json").report
    assert report["verified"]
    assert (report["steps"], report["data_dimension"]) == (2, 2)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("OPENQASM 2.0; include 'qelib1.inc'; qreg q[1]; h q[0]", "document"),
        ('OPENQASM 2.0; include "qelib1.inc"; qreg q[1]; creg c[1]; measure q[0]->c[0]; h q[0];', "measured"),
        ('OPENQASM 2.0; include "qelib1.inc"; qreg q[1]; reset q[0];', "reset"),
        ('OPENQASM 2.0; include "qelib1.inc"; qreg q[2];', "at least one gate"),
        ('OPENQASM 3.0; include "stdgates.inc"; input float a; qubit q; rx(a) q;', "parameter"),
        ("", "empty"),
    ],
)
def test_a_bad_circuit_is_one_line_on_stderr(call: Command, tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "bad.qasm"
    path.write_text(text)
    found = call(str(path), "--json")
    assert (found.status, found.out) == (2, "")
    assert found.err.startswith("error: ")
    assert found.err.count("\n") == 1
    assert words in found.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "`FILE` must be given"),
        (("no such file.qasm",), "no such file.qasm"),
        (("x.qasm", "--k", "0"), "`--k` must be at least 1, but is 0"),
        (("x.qasm", "--solver", "guess"), "--solver"),
        (("x.qasm", "--space", "tape"), "--space"),
    ],
)
def test_bad_usage_is_one_line_on_stderr(call: Command, arguments: tuple[str, ...], words: str) -> None:
    found = call(*arguments)
    assert (found.status, found.out) == (2, "")
    assert found.err.count("\n") == 1
    assert words in found.err


def test_too_little_memory_is_refused(call: Command, tmp_path: Path) -> None:
    found = call(str(written(tmp_path, "qasm2")), "--memory-limit", "100", "--json")
    assert (found.status, found.out) == (2, "")
    assert "needed" in found.err


def test_a_closed_stdin_is_told(call: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert call("-").status == 2
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert call("-").status == 2


def test_help_loads_no_qiskit() -> None:
    begin = time.perf_counter()
    found = process(MODULE, "--help")
    assert found.returncode == 0
    assert time.perf_counter() - begin < 3
    assert "CIRCUIT" in found.stdout.upper()
    code = (
        "import sys, circuits.ground_state; print(sorted(m for m in ('qiskit', 'torch', 'numba') if m in sys.modules))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert loaded.stdout.strip() == "[]"


def test_the_repeated_names_are_those_of_their_module() -> None:
    assert command.SOLVERS == SOLVERS
