"""The Feynman-Kitaev clock Hamiltonian of a Qiskit circuit."""

from __future__ import annotations

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import CircuitInstruction
from qiskit.exceptions import QiskitError
from qiskit.quantum_info import Operator
from qiskit.transpiler import PassManager
from qiskit.transpiler.passes import HighLevelSynthesis, Unroll3qOrMore

from hamiltonians.clock import ClockHamiltonian
from hamiltonians.contractions import Gate
from hamiltonians.errors import InputError, must_be
from hamiltonians.memory import require_memory
from hamiltonians.state import SparseState

_VECTORS = 4  # of 2^n numbers: x of H_in, and what checks it
_NO_STEP = ("barrier", "delay", "id")


def from_circuit(qc: QuantumCircuit) -> ClockHamiltonian:
    """H of Kitaev's form: a step a gate, and H_in, which selects the input |0…0>.

    The data index is Qiskit's, qubit 0 the least significant. The history state holds the circuit's own state, global
    phase and all, times 1/sqrt(T+1) on the last clock state: the circuit's global phase is part of its last step (a
    phase of a step is a gauge: it turns later clock states, and changes no energy).

    Gates on one and two qubits are steps as they are; larger ones are decomposed first (no qubits are renamed, nothing
    is approximated). Barriers, delays and identities are no steps, and measurements at the end are dropped.

    Raises
    ------
    InputError : as `unitary_part`, no gate at all, or a gate that cannot be decomposed.
    MemoryEstimateError : a vector of 2^n does not fit.

    Examples
    --------
    >>> import math
    >>> from qiskit import QuantumCircuit
    >>> from circuits import clock
    >>> from hamiltonians import ground_state
    >>> bell = QuantumCircuit(2)
    >>> _ = bell.h(0), bell.cx(0, 1)
    >>> low = ground_state(clock.from_circuit(bell))
    >>> low.degeneracy, math.isclose(low.gap, 2 - 2 * math.cos(math.pi / 7))  # 2T + 3 with T = 2 gates
    (1, True)
    """
    circuit = unitary_part(qc)
    n = circuit.num_qubits
    require_memory(_VECTORS * 8 * 2**n, f"the input state on {n} qubits", "take a circuit of fewer qubits")
    # an idle qubit is no free ancilla: its zero is part of H_in only
    small = PassManager([HighLevelSynthesis(qubits_initially_zero=False), Unroll3qOrMore()])
    try:
        circuit = small.run(circuit)
    except QiskitError as error:
        raise InputError(f"`circuit` must hold gates that can be decomposed: {error.message}", "circuit") from error
    if not circuit.data:
        raise InputError("`circuit` must hold at least one gate, but holds none", "circuit")
    steps = [_step(circuit, instruction) for instruction in circuit.data]
    steps[-1] = Gate(steps[-1].matrix * np.exp(1j * circuit.global_phase), steps[-1].qubits)
    x = np.zeros(2**n)
    x[0] = 1
    if n == 1:
        return ClockHamiltonian.from_steps([step.matrix for step in steps], x)
    return ClockHamiltonian.from_steps(steps, x, n_qubits=n)


def unitary_part(qc: QuantumCircuit) -> QuantumCircuit:
    """The circuit without barriers, delays, identities, and measurements that end it; nothing else is changed.

    A Pauli evolution is taken as its product formula, which is what a machine runs, and not as the exponential.

    Raises
    ------
    InputError : no circuit, no qubit; a measurement that something follows on its qubit, a reset, a condition, or what
        else is no gate; parameters without a value. The message names the instruction.
    """
    if not isinstance(qc, QuantumCircuit):
        raise must_be("circuit", "a QuantumCircuit", type(qc).__name__)
    if not qc.num_qubits:
        raise must_be("circuit", "on one qubit at least", f"on {qc.num_qubits}")
    if qc.parameters:
        names = ", ".join(sorted(p.name for p in qc.parameters))
        raise InputError(f"`circuit` must have a value for each parameter, but {names} are open", "circuit")
    kept = QuantumCircuit(qc.qubits, global_phase=qc.global_phase, name=qc.name)
    measured: dict[object, int] = {}
    for at, instruction in enumerate(qc.data):
        name = instruction.operation.name
        if name in _NO_STEP:
            continue
        earlier = [measured[q] for q in instruction.qubits if q in measured]
        if earlier:
            raise InputError(
                f"`circuit` must be measured at its end only, but instruction {at} ({name}) acts on what instruction "
                f"{earlier[0]} measured",
                "circuit",
            )
        if name == "measure":
            measured.update(dict.fromkeys(instruction.qubits, at))
            continue
        _check_gate(at, instruction)
        kept.append(instruction.operation, instruction.qubits)
    return kept.decompose("PauliEvolution")


def _check_gate(at: int, instruction: CircuitInstruction) -> None:
    """Unitary, by its own account: a gate, or made of gates only."""
    operation = instruction.operation
    reversible = not instruction.clbits and operation.name not in ("reset", "initialize")
    try:
        if reversible:
            QuantumCircuit(len(instruction.qubits)).compose(operation).to_gate()
            return
    except QiskitError:
        pass
    raise InputError(
        f"`circuit` must consist of gates, but instruction {at} is {operation.name} (a reset, a condition or another "
        "operation that no unitary step describes)",
        "circuit",
    )


def _step(circuit: QuantumCircuit, instruction: CircuitInstruction) -> Gate:
    """Qiskit's first qubit is the least significant of a gate's matrix, and of the data; `Gate` has both reversed."""
    n = circuit.num_qubits
    try:
        matrix = Operator(instruction.operation).data
    except QiskitError as error:
        raise InputError(f"`circuit` must hold gates with a matrix: {error.message}", "circuit") from error
    at = [n - 1 - circuit.find_bit(q).index for q in reversed(instruction.qubits)]
    real = matrix.real if not matrix.imag.any() else matrix
    return Gate(real, tuple(at))


def output_fidelity(H: ClockHamiltonian, psi: SparseState, qc: QuantumCircuit) -> float:
    """|<φ, ψ_T>|² / ‖ψ_T‖² of ψ's part ψ_T on the last clock state and the circuit's own state φ = qc|0…0>.

    0 where ψ_T is. φ comes from Aer, not from the steps of H.

    Raises
    ------
    MemoryEstimateError : the state does not fit.
    """
    from circuits.backends import backend

    phi = backend(device="CPU").states([unitary_part(qc)])[0]
    data, amplitudes = psi.clock_slice(H, H.T)
    norm = float(np.linalg.norm(amplitudes))
    return abs(complex(np.vdot(phi[data], amplitudes))) ** 2 / norm**2 if norm else 0.0
