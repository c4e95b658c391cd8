"""The claims about one machine at rest, each on every backend that can say it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from circuits.validation.claim import AbsentError, Cell, Row, compared, reference, row
from circuits.validation.machine_states import (
    EPSILON,
    KEPT_TIME,
    LEFT,
    NORM,
    MachineStates,
    angle,
)
from circuits.validation.machine_tools import COLUMNS
from hamiltonians import predict
from hamiltonians.components import Paths, is_path_like
from hamiltonians.result import GroundState

Array = NDArray[Any]
Ask = Callable[[], Cell]

#: amplitudes of up to 10^5 gates in double precision: 10^5 ε, and a factor 4
CIRCUIT: Final = 1e-10
CIRCUIT_WHY: Final = "rounding of up to 10^5 gates: 10^5 ε, times 4"
#: where the iterative solvers stop: residual ≤ 1e-6 gap
_SOLVER: Final = 1e-6
SOLVER_WHY: Final = "the solver's own rule: residual ≤ 1e-6 gap"
#: energy of basis states that encode nothing: the bound on H's own energies; 0 would be a false ground state
_UNUSED: Final = 4.0


def _row(key: str, claim: str, source: str, measure: str, cells: Mapping[str, Ask]) -> Row:
    return row(key, claim, source, measure, list(COLUMNS), cells)


def hamiltonian(at: MachineStates) -> Row:
    """The matrix itself."""

    def off(found: Array, tolerance: float, why: str) -> Cell:
        off = float(np.abs(found - at.literal).max())
        return compared(float(np.linalg.norm(found)), off, tolerance, why)

    def pauli() -> Cell:
        at.matrix_qubits("H as a matrix on the qubits")
        full = at.operator.to_matrix()
        expected = at.tools.on_qubits(at.qubits, at.tools.on_qubits(at.qubits, at.literal).T).T
        unused = np.delete(np.arange(len(full)), at.qubits.rows)
        expected[unused, unused] = _UNUSED
        used = float(np.linalg.norm(full[np.ix_(at.qubits.rows, at.qubits.rows)]))
        note = f"and {_UNUSED:g} on the {len(unused)} basis states that are no row of H" if len(unused) else None
        off = float(np.abs(full - expected).max())
        return compared(used, off, len(full) * EPSILON * NORM, "rounding: 2^n ε ‖H‖", note)

    exact = 4 * EPSILON
    return _row(
        "hamiltonian",
        "all backends hold the same H_TM; it can be rebuilt from a QUNN's weights",
        "Appendix A; H_TM = Diag - Φ(iG)Φ†, G the QUNN's weights",
        "largest entry of the difference; shown: Frobenius norm",
        {
            "dense": lambda: reference(float(np.linalg.norm(at.literal))),
            "sparse": lambda: off(at.tools.sparse_matrix(at.H).toarray(), exact, "sums of few ones: 4 ε"),
            "matrix-free": lambda: off(
                at.tools.product(at.H, np.eye(len(at.literal), dtype=at.H.dtype)), exact, "sums of few ones: 4 ε"
            ),
            "QUNN": lambda: off(at.rebuilt.numpy(), exact, "sums of few ones: 4 ε"),
            "circuit": pauli,
        },
    )


def energy(at: MachineStates) -> Row:
    """Theorem 5: zero."""

    def near_zero(value: float, tolerance: float, why: str, note: str | None = None) -> Cell:
        return compared(value, abs(value), tolerance, why, note)

    def solver(found: GroundState) -> Cell:
        return near_zero(float(found.energies[0]), _SOLVER**2 * (found.gap or 1.0) + at.rounding, SOLVER_WHY)

    def evolved() -> Cell:
        t = 0.5  # |E| ≤ 5 t stays below π: the phase is not ambiguous
        overlap = np.vdot(at.prepared, at.evolved(t))
        return near_zero(float(-np.angle(overlap) / t), CIRCUIT / t, CIRCUIT_WHY)

    def estimated() -> Cell:
        at_zero = float(at.estimate.probabilities[0])
        note = f"1 - p(0) = {1 - at_zero:.1e} with {at.phase_qubits} readout qubits"
        found = float(at.estimate.energy + (1 - at_zero))
        return near_zero(found, CIRCUIT, CIRCUIT_WHY, note)

    def qunn() -> Cell:
        K = at.relaxed.K.numpy()
        value = float(np.vdot(K, at.rebuilt.numpy() @ K).real / np.vdot(K, K).real)
        return near_zero(value, at.rounding + NORM * _left(at) ** 2, f"n ε ‖H‖, and ‖H‖ {LEFT:.0e}² left of the start")

    return _row(
        "ground-energy",
        "the ground energy is zero",
        "Theorem 5",
        "|E|; of phase estimation E and 1 - p(0)",
        {
            "theory": lambda: reference(0.0),
            "dense": lambda: near_zero(float(at.eigensystem[0][0]), at.rounding, "rounding of LAPACK: n ε ‖H‖"),
            "sparse": lambda: solver(at.sparse),
            "matrix-free": lambda: solver(at.free),
            "QUNN": qunn,
            "circuit": lambda: near_zero(
                float(at.backend.expectations([at.history], at.operator)[0]), 10 * CIRCUIT, CIRCUIT_WHY + ", times ‖H‖"
            ),
            "evolution": evolved,
            "phases": estimated,
        },
    )


def _left(at: MachineStates) -> float:
    """What relaxation leaves of the start, relative to its target."""
    return LEFT / float(np.linalg.norm(at.relaxed.target.numpy()))


def spectrum(at: MachineStates) -> Row:
    """The k lowest energies, with multiplicity."""
    k = min(at.k, at.H.dimension)

    def closed() -> Cell:
        paths = at.H.restricted() if is_path_like(at.H) else None
        if not isinstance(paths, Paths):
            raise AbsentError("no closed form: H does not fall apart into paths")
        return reference(predict.energies(paths.census, k))

    def off(found: Any, relative: float, why: str) -> Cell:
        truth = np.array(closed().value if is_path_like(at.H) else at.eigensystem[0][:k])
        values = np.array([float(e) for e in found])
        return compared(
            values.tolist(), float(np.abs(values - truth).max()), at.rounding + relative * float(truth.max()), why
        )

    return _row(
        "spectrum",
        f"the {k} lowest energies are those of the paths that H falls apart into",
        "2 - 2cos(πk/(T+1)), and the paths cut off from one or both clock ends",
        "largest difference",
        {
            "theory": closed,
            "dense": lambda: off(at.eigensystem[0][:k], 0.0, "rounding of LAPACK: n ε ‖H‖"),
            "sparse": lambda: off(at.sparse.energies, at.sparse.error, SOLVER_WHY),
            "matrix-free": lambda: off(at.free.energies, at.free.error, SOLVER_WHY),
        },
    )


def degeneracy(at: MachineStates) -> Row:
    """The dimension of the ground space."""

    def expected() -> int:
        predicted = predict.degeneracy(at.H)
        if predicted is None:
            raise AbsentError("nothing is predicted")
        return predicted

    def count(found: int) -> Cell:
        return compared(float(found), abs(found - expected()), 0.0, "a count")

    return _row(
        "degeneracy",
        "the ground space has the dimension that is predicted",
        "1; an input a state in function space; |Σ|^(cells never read) in tape space",
        "difference of counts",
        {
            "theory": lambda: reference(float(expected())),
            "dense": lambda: count(at.dense_degeneracy),
            "sparse": lambda: count(at.sparse.degeneracy),
            "matrix-free": lambda: count(at.free.degeneracy),
        },
    )


def history(at: MachineStates) -> Row:
    """The ground state is the history of the computation."""

    def off(psi: Array, tolerance: float, why: str) -> Cell:
        found = angle(psi, at.psi0)
        return compared(1 - found**2, found, tolerance, why)

    def on_qubits(psi: Array) -> Cell:
        found = angle(psi, at.tools.on_qubits(at.qubits, at.psi0))  # what leaks to unused states counts
        return compared(1 - found**2, found, CIRCUIT, CIRCUIT_WHY)

    def lapack() -> Cell:
        return off(at.dense_ground, at.rounding / at.dense_gap, "rounding of LAPACK over the gap: n ε ‖H‖ / gap")

    def solver(found: Any) -> Cell:
        return off(at.ground(found), _SOLVER, SOLVER_WHY)

    def relaxed() -> Cell:
        tolerance = _left(at) + at.rounding / at.relaxed.gap
        return off(at.relaxed.K.numpy(), tolerance, f"{LEFT:.0e} of the start is left, and n ε ‖H‖ / gap")

    return _row(
        "history-state",
        "the ground state is the history of the run; shown: its fidelity",
        "Eq. (40) with its initial term (E9)",
        "sine of the angle between the states, sqrt(1 - fidelity)",
        {
            "theory": lambda: reference(1.0),
            "dense": lapack,
            "sparse": lambda: solver(at.sparse),
            "matrix-free": lambda: solver(at.free),
            "QUNN": relaxed,
            "circuit": lambda: on_qubits(at.prepared),
            "evolution": lambda: on_qubits(at.kept),
            "phases": lambda: on_qubits(at.read_zero),
        },
    )


def kept(at: MachineStates) -> Row:
    """Frustration-free: every term annihilates |ψ0>."""

    def worst_term() -> Cell:
        terms = np.sqrt(at.H.bond_energies(at.H.clock_major(at.tools.history_state(at.H))))
        return compared(
            float(terms.max()), float(terms.max()), 4 * EPSILON, "sums of two numbers: 4 ε", "largest ‖B_jψ0‖"
        )

    def evolved() -> Cell:
        off = float(np.linalg.norm(at.kept - at.prepared))
        return compared(off, off, CIRCUIT, CIRCUIT_WHY, f"one Lie step of t = {KEPT_TIME}, phase included")

    return _row(
        "kept-by-terms",
        "each of the T terms annihilates the history state, so that one Lie step of any size keeps it",
        "frustration-freeness",
        "‖B_jψ0‖; ‖ψ(t) - ψ(0)‖",
        {"theory": lambda: reference(0.0), "matrix-free": worst_term, "evolution": evolved},
    )


def printed(at: MachineStates) -> Row:
    """Eq. (40) as printed is no ground state."""

    def of(H_psi: Array) -> Cell:
        value = float(np.vdot(psi(), H_psi).real)
        return compared(value, abs(value - 1 / at.H.T), exact, "rounding of a scalar product: 8 ε sqrt(n)")

    @cache
    def psi() -> Array:
        return at.tools.printed_eq40(at.H)

    exact = 8 * EPSILON * np.sqrt(at.H.dimension)

    def circuit() -> Cell:
        value = float(at.backend.expectations([at.start(psi())], at.operator)[0])
        return compared(value, abs(value - 1 / at.H.T), 10 * CIRCUIT, CIRCUIT_WHY + ", times ‖H‖")

    cells: dict[str, Ask] = {
        "theory": lambda: reference(1 / at.H.T),
        "dense": lambda: of(at.literal @ psi()),
        "sparse": lambda: of(at.tools.sparse_matrix(at.H) @ psi()),
        "matrix-free": lambda: of(at.tools.product(at.H, psi())),
        "QUNN": lambda: of(at.rebuilt.numpy() @ psi()),
        "circuit": circuit,
    }
    return _row(
        "printed-eq40",
        "the printed state, without the initial term, has the energy 1/T",
        "Eq. (40), E9",
        "|E - 1/T|",
        cells if at.H.T else {},
    )
