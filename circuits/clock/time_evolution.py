"""exp(-iHt) of a clock Hamiltonian: product formulas over natural terms or Pauli strings, or exactly."""

from __future__ import annotations

from numbers import Integral

import numpy as np
import scipy.linalg
from qiskit import QuantumCircuit, QuantumRegister
from qiskit.circuit.library import UnitaryGate

from circuits.clock.encoding import Encoding, encoding_of
from circuits.clock.natural_terms import register
from circuits.clock.natural_terms import terms as natural_terms
from circuits.clock.pauli_operator import operator
from circuits.formulas import SYNTHESES, Stage, stages
from hamiltonians.clock import ClockHamiltonian
from hamiltonians.errors import must_be, one_of
from hamiltonians.memory import require_memory

TERMS = ("natural", "pauli")
_BYTES_A_GATE = 150  # of a circuit, as measured on CX


def evolution(
    H: ClockHamiltonian,
    t: float,
    *,
    reps: int = 1,
    synthesis: str = "lie",
    terms: str = "natural",
    encoding: str = "binary",
    controlled: bool = False,
) -> QuantumCircuit:
    """A circuit for exp(-iHt) on the encoding's qubits, global phase included.

    Split by natural terms, each of which annihilates the history state, a product formula keeps that state exactly
    whatever t and `reps` are (docs/mathematics/links.md); split by Pauli strings it does not.

    Parameters
    ----------
    synthesis : "lie", "suzuki2", "suzuki4" (`circuits.formulas.stages`, the first term outermost), or "unitary": exact,
        as one gate.
    terms : "natural": as `circuits.clock.terms` has them. "pauli": the strings of `circuits.clock.operator`, in its
        order; the unused states, too, take part in the error then.
    reps : steps of the formula; "unitary" has no use for it.
    controlled : one more qubit on top (the highest) controls the evolution: only the phases are controlled.

    Raises
    ------
    InputError : an unknown name, reps no integer of at least 1, t not finite, a step that has no exact circuit.
    MemoryEstimateError : strings, gates or the matrix do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from qiskit.quantum_info import Statevector
    >>> from circuits import clock
    >>> from hamiltonians import ClockHamiltonian
    >>> H = ClockHamiltonian.from_steps([[1, 0], [1, 0], [0, 1]], initial=[1, 0])
    >>> psi = Statevector(clock.history(H))
    >>> np.allclose(psi.evolve(clock.evolution(H, 7.3)), psi)  # one Lie step keeps the ground state exactly
    True
    """
    check(t, reps, synthesis, terms)
    qubits = encoding_of(H.d, H.T, encoding)
    if synthesis == "unitary":
        return _exactly(H, qubits, encoding, t, controlled)
    circuit = register(qubits, *[QuantumRegister(1, "control")] * controlled)
    if terms == "natural":
        return _by_term(circuit, H, encoding, t, (synthesis, reps), controlled)
    return _by_string(circuit, H, encoding, t, (synthesis, reps), controlled)


def check(t: float, reps: int, synthesis: str, terms: str) -> None:
    """InputError for arguments that `evolution` has no circuit for."""
    if synthesis not in (*SYNTHESES, "unitary"):
        raise must_be("synthesis", one_of((*SYNTHESES, "unitary")), synthesis)
    if terms not in TERMS:
        raise must_be("terms", one_of(TERMS), terms)
    if not isinstance(reps, Integral) or reps < 1:
        raise must_be("reps", "an integer of at least 1", reps)
    if not np.isfinite(t):
        raise must_be("t", "finite", t)


def _by_term(
    circuit: QuantumCircuit, H: ClockHamiltonian, encoding: str, t: float, formula: tuple[str, int], controlled: bool
) -> QuantumCircuit:
    found = natural_terms(H, encoding)
    made: dict[Stage, QuantumCircuit] = {}  # a formula repeats few fractions
    plan = stages(formula[0], len(found), formula[1])
    for stage in plan:
        if stage not in made:
            made[stage] = found[stage[0]].exponential(stage[1] * t, controlled=controlled)
            if len(made) == len(found):
                _ask(len(plan) * max(part.size() for part in made.values()))
        circuit.compose(made[stage], inplace=True)
    return circuit


def _by_string(
    circuit: QuantumCircuit, H: ClockHamiltonian, encoding: str, t: float, formula: tuple[str, int], controlled: bool
) -> QuantumCircuit:
    # each string by its own gates: `Operator` would take a `PauliEvolutionGate` for the exact exponential of the sum
    from circuits.evolution import append_rotation

    H_pauli = operator(H, encoding)
    x, z, c = H_pauli.paulis.x.tolist(), H_pauli.paulis.z.tolist(), H_pauli.coeffs.real.tolist()
    plan = stages(formula[0], len(c), formula[1])
    _ask(len(plan) * 4 * H_pauli.num_qubits)
    for index, fraction in plan:
        append_rotation(circuit, x[index], z[index], fraction * t * c[index], controlled)
    return circuit


def _exactly(H: ClockHamiltonian, qubits: Encoding, encoding: str, t: float, controlled: bool) -> QuantumCircuit:
    require_memory(
        16 * 4**qubits.qubits * (6 + 8 * controlled),
        f"exp(-iHt) as a matrix on {qubits.qubits} qubits",
        'take a product formula, such as synthesis "lie"',
    )
    energies, states = np.linalg.eigh(operator(H, encoding).to_matrix())
    U = (states * np.exp(-1j * t * energies)) @ states.conj().T
    circuit = register(qubits, *[QuantumRegister(1, "control")] * controlled)
    if not circuit.num_qubits:
        circuit.global_phase = float(np.angle(U[0, 0]))
    else:
        circuit.append(UnitaryGate(scipy.linalg.block_diag(np.eye(len(U)), U) if controlled else U), circuit.qubits)
    return circuit


def _ask(gates: int) -> None:
    require_memory(gates * _BYTES_A_GATE, f"a circuit of about {gates:,} gates", "take fewer `reps`")
