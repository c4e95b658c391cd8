"""Files: what is written is read back as the same matrix, and what cannot be read is one line."""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
from numpy.typing import NDArray
from qiskit import QuantumCircuit, QuantumRegister, qasm2, qpy
from qiskit.circuit import Parameter
from qiskit.circuit.library import Isometry, PauliEvolutionGate, QFTGate, RYGate, StatePreparation, UCRYGate
from qiskit.quantum_info import Operator, SparsePauliOp, random_unitary
from qiskit.synthesis import LieTrotter

from circuits.export import export, read_circuit
from hamiltonians import InputError


def plain() -> QuantumCircuit:
    circuit = QuantumCircuit(QuantumRegister(1, "clock"), QuantumRegister(2, "data"), global_phase=0.3)
    circuit.h(0)
    circuit.rz(1.2345678901234567, 1)
    circuit.cx(2, 0)
    circuit.u(0.1, 1e-9, -2.7, 2)
    return circuit


def composite() -> QuantumCircuit:
    inner = QuantumCircuit(2, name="my gate-1", global_phase=0.5)
    inner.h(0)
    inner.rzz(1 / 3, 0, 1)
    circuit = QuantumCircuit(4, global_phase=-1)
    circuit.unitary(random_unitary(8, seed=1), [2, 0, 3])
    circuit.append(RYGate(0.3).control(3, ctrl_state=2, annotated=False), [3, 0, 1, 2])
    circuit.append(inner.to_gate().control(1, annotated=False), [2, 3, 0])
    circuit.append(UCRYGate([0.1, 0.2, 0.3, 0.4]), [1, 0, 2])
    circuit.append(QFTGate(3), [0, 1, 3])
    return circuit


def prepared() -> QuantumCircuit:
    v = np.random.default_rng(0).normal(size=8)
    circuit = QuantumCircuit(3)
    circuit.append(StatePreparation(v / np.linalg.norm(v)), [0, 1, 2])
    circuit.append(Isometry(random_unitary(4, seed=2).data[:, :2], 0, 0), [2, 0])
    return circuit


MAKERS = [plain, composite, prepared]


def matrix(circuit: QuantumCircuit) -> NDArray[np.complex128]:
    return np.asarray(Operator.from_circuit(circuit).data)


# --- there and back ---


@pytest.mark.parametrize("suffix", [".qasm", ".qpy"])
@pytest.mark.parametrize("make", MAKERS)
def test_same_matrix_and_global_phase(make: Callable[[], QuantumCircuit], suffix: str, tmp_path: Path) -> None:
    export(make(), tmp_path / f"layer{suffix}")
    found = read_circuit(tmp_path / f"layer{suffix}")
    np.testing.assert_allclose(matrix(found), matrix(make()), atol=1e-12)


@pytest.mark.parametrize("make", MAKERS)
def test_openqasm_2_loses_the_phase_alone(make: Callable[[], QuantumCircuit], tmp_path: Path) -> None:
    export(make(), tmp_path / "layer.qasm2")
    found, M = matrix(read_circuit(tmp_path / "layer.qasm2")), matrix(make())
    overlap = np.vdot(M, found)
    np.testing.assert_allclose(found, M * overlap / abs(overlap), atol=1e-12)
    qasm2.load(tmp_path / "layer.qasm2")  # and in the gates of the original qelib1.inc alone


def test_an_evolution_is_written_as_its_formula(tmp_path: Path) -> None:
    terms = SparsePauliOp(["XYZ", "ZIZ"], [0.3, 0.4])
    gate = PauliEvolutionGate(terms, time=0.7, synthesis=LieTrotter(reps=1))
    circuit = QuantumCircuit(3)
    circuit.append(gate, range(3))
    export(circuit, tmp_path / "a.qasm")
    found = matrix(read_circuit(tmp_path / "a.qasm"))
    np.testing.assert_allclose(found, matrix(LieTrotter(reps=1).synthesize(gate)), atol=1e-12)
    exact = scipy.linalg.expm(-0.7j * terms.to_matrix())
    assert np.abs(found - exact).max() > 1e-2


def test_measurements_survive(tmp_path: Path) -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.measure([0, 1], [1, 0])
    for suffix in (".qasm", ".qasm2", ".qpy"):
        export(circuit, tmp_path / f"m{suffix}")
        assert read_circuit(tmp_path / f"m{suffix}").count_ops() == {"h": 1, "measure": 2}


def test_content_and_not_the_name_decides(tmp_path: Path) -> None:
    for suffix in (".qasm", ".qasm2", ".qpy"):
        export(plain(), tmp_path / f"x{suffix}")
        content = (tmp_path / f"x{suffix}").read_bytes()
        (tmp_path / "other.txt").write_bytes(content)
        assert read_circuit(tmp_path / "other.txt").num_qubits == 3
        assert read_circuit(content).num_qubits == 3
        assert read_circuit(str(tmp_path / "other.txt")).num_qubits == 3
    text = (tmp_path / "x.qasm").read_text()
    assert read_circuit(text).num_qubits == 3
    assert read_circuit("\ufeff/* a\n b */ // c\n" + text).num_qubits == 3
    assert read_circuit(tmp_path / "x.qasm").name == "x"


def test_include_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "own.inc").write_text("gate hop a, b { CX b, a; }\n")
    (tmp_path / "a.qasm").write_text('OPENQASM 2.0; include "own.inc"; qreg q[2]; hop q[0], q[1];')
    hop = np.eye(4)[[0, 1, 3, 2]]  # qubit 1 controls
    np.testing.assert_array_equal(matrix(read_circuit(tmp_path / "a.qasm")), hop)


def test_gates_of_longer_standard_files() -> None:
    text = 'OPENQASM 2.0; include "qelib1.inc"; qreg q[2]; rzz(0.1) q[0],q[1]; swap q[0],q[1]; sx q[0];'
    assert read_circuit(text).size() == 3


# --- refusals ---


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "is empty"),
        (b"  \n", "is empty"),
        (b"\xff\xfe\x00", "byte 0 is no such text"),
        (bytes(range(256)), "is no such text"),
        (b"hello", "begins with OPENQASM 2.0; or OPENQASM 3.0;"),
        (b"OPENQASM 4.0; qubit q;", "version 2 or 3, but is '4'"),
        (b'OPENQASM 2.0; include "qelib1.inc";\nqreg q[2];\nh q[0]', "OpenQASM 2, but 3,0: unexpected end-of-file"),
        (b"OPENQASM 2.0; qreg q[2]; foo q[0];", "'foo' is not defined"),
        (b'OPENQASM 2.0; include "/etc/passwd";', "OpenQASM 2, but"),
        (b"OPENQASM 3.0;\nqubit[2] q;\nh q[0]", "OpenQASM 3, but 3,6: the end was not expected"),
        (b"OPENQASM 3.0; qubit[2] q; foo q[0];", "OpenQASM 3, but 1,26: gate 'foo' is not defined"),
        (b"OPENQASM 3.0; qubit[2] q; }", "OpenQASM 3, but 1,26: '}' was not expected"),
        (b"OPENQASM 3.0; \x00\n", "OpenQASM 3, but L1:C14"),
        (b"OPENQASM 3; qubit[2] q; U(1/0,0,0) q[0];", "OpenQASM 3, but"),
        (b"OPENQASM 3; qubit[2000000000] q;", "at most 1,000,000 qubits and bits, but declares 2,000,000,000"),
        (b"OPENQASM 2.0; qreg q [2000000000];", "at most 1,000,000 qubits and bits, but declares 2,000,000,000"),
        (b"QISKIT", "QPY file that this Qiskit reads"),
        (b"QISKIT\x05" + b"\0" * 40, "QPY of version 10 or later, but is 5"),
        (b"QISKIT\xff" + b"\0" * 100, "a QPY file of one circuit, but is 'one of 0'"),
    ],
)
def test_broken_content_is_one_line(
    content: bytes, match: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken").write_bytes(content)
    for given in (content, tmp_path / "broken"):
        with pytest.raises(InputError, match=match) as caught:
            read_circuit(given)
        assert str(caught.value).isprintable()
    assert str(caught.value).startswith(str(tmp_path / "broken"))
    assert capfd.readouterr() == ("", "")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path, match in ((tmp_path, "directory"), (tmp_path / "none", "No such file"), ("a\0b", "no file can bear")):
        with pytest.raises(InputError, match=match):
            read_circuit(path)


def test_qpy_of_several_circuits() -> None:
    buffer = io.BytesIO()
    qpy.dump([plain(), plain()], buffer)
    with pytest.raises(InputError, match="a QPY file of one circuit, but is 'one of 2'"):
        read_circuit(buffer.getvalue())


def test_a_damaged_number_of_qubits_does_not_fill_the_memory(tmp_path: Path) -> None:
    """Qiskit would make them all: gigabytes from a file of 400 bytes."""
    export(plain(), tmp_path / "x.qpy")
    content = bytearray((tmp_path / "x.qpy").read_bytes())
    content[33] = 0x7F
    with pytest.raises(InputError, match="at most 1,000,000 qubits"):
        read_circuit(bytes(content))


@pytest.mark.parametrize("seed", range(5))
def test_damaged_qpy_is_never_a_traceback(seed: int, tmp_path: Path) -> None:
    export(plain(), tmp_path / "x.qpy")
    good, rng = (tmp_path / "x.qpy").read_bytes(), np.random.default_rng(seed)
    for _ in range(100):
        content = bytearray(good[: int(rng.integers(6, len(good) + 1))])
        for at in rng.integers(0, len(content), 3):
            content[at] = rng.integers(256)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                read_circuit(bytes(content))
            except InputError as error:
                assert "\n" not in str(error)  # noqa: PT017


def test_without_the_reader_of_openqasm_3(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "qiskit_qasm3_import", None)
    with pytest.raises(InputError, match="pip install qiskit-qasm3-import"):
        read_circuit("OPENQASM 3.0; qubit q;")


def test_what_cannot_be_written(tmp_path: Path) -> None:
    free = QuantumCircuit(1)
    free.rx(Parameter("a"), 0)
    for suffix in (".qasm", ".qasm2"):
        with pytest.raises(InputError, match="lacks those of a"):
            export(free, tmp_path / f"x{suffix}")
    export(free, tmp_path / "x.qpy")
    assert len(read_circuit(tmp_path / "x.qpy").parameters) == 1
    for name, match in (("x.txt", "one of .qasm, .qasm2, .qpy"), ("none/x.qasm", "No such file")):
        with pytest.raises(InputError, match=match):
            export(plain(), tmp_path / name)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.qpy"]
