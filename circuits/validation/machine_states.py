"""What every backend finds for one machine, computed once and when a row asks for it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, final

import numpy as np
import torch
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from torch import Tensor

from circuits.backends import Backend
from circuits.clock.encoding import Encoding, encoding_of
from circuits.clock.energy_readout import PhaseEstimation
from circuits.clock.natural_terms import register
from circuits.encoding import prepare
from circuits.validation.claim import AbsentError
from circuits.validation.machine_tools import MachineTools, sparse_state
from hamiltonians import state
from hamiltonians.clock import ClockHamiltonian
from hamiltonians.errors import InputError
from hamiltonians.memory import require_memory
from hamiltonians.report import ground_projection
from hamiltonians.result import GroundState
from hamiltonians.solvers.inverse import needs_rows
from qunn.quantum.clock_link import Relaxation

Array = NDArray[Any]

EPSILON: Final = float(np.finfo(np.float64).eps)
NORM: Final = 5.0  # ‖H‖ ≤ 4, and 5 with H_in
#: rows up to which LAPACK on the whole matrix, and a QUNN's own matrices, take a second or two
DENSE_ROWS: Final = 1000
#: qubits up to which states are simulated, and up to which whole matrices are
STATE_QUBITS: Final = 16
MATRIX_QUBITS: Final = 8
#: what relaxation must leave of the start, and the steps that it may take
LEFT: Final = 1e-9
RELAXATION_STEPS: Final = 30_000
#: t of the evolution that must keep the history state (docs/mathematics/links.md)
KEPT_TIME: Final = 7.3
#: t of the evolution of a random state
MOVED_TIME: Final = 1.0
#: readout qubits of phase estimation, and above `MATRIX_QUBITS`, where each doubles the circuit and the state
_PHASE_QUBITS: Final = (4, 2)


@final
@dataclass
class MachineStates:
    """The backends' own results for H; every property calls one backend through `tools`.

    Attributes
    ----------
    k : energies asked for. seed : of the random start vectors.
    """

    H: ClockHamiltonian
    tools: MachineTools
    backend: Backend
    k: int = 4
    shots: int = 4096
    seed: int = 0
    device: str = "auto"
    _last: tuple[QuantumCircuit, Array] | None = None

    # --- theory ---

    @cached_property
    def psi0(self) -> Array:
        """|ψ0> from the machine's own run [d(T+1)]."""
        return self.H.history_state()

    @cached_property
    def random(self) -> Array:
        """A complex unit vector on the rows of H."""
        require_memory(4 * 16 * self.H.dimension, f"a vector of {self.H.dimension:,} rows", "a shorter run needs less")
        rng = np.random.default_rng(self.seed)
        psi = rng.standard_normal(self.H.dimension) + 1j * rng.standard_normal(self.H.dimension)
        return psi / np.linalg.norm(psi)

    @property
    def rounding(self) -> float:
        """n ε ‖H‖: of an eigenvalue by LAPACK."""
        return self.H.dimension * EPSILON * NORM

    # --- dense ---

    @cached_property
    def literal(self) -> Array:
        """Appendix A as a dense matrix."""
        self._few_rows("a dense matrix")
        return self.tools.literal_matrix(self.H)

    @cached_property
    def eigensystem(self) -> tuple[Array, Array]:
        """All energies, ascending, and eigenvectors as columns."""
        return self.tools.eigensystem(self.literal)

    @property
    def dense_degeneracy(self) -> int:
        """Eigenvalues that are 0 up to rounding."""
        return int((self.eigensystem[0] < 4 * self.rounding).sum())

    @property
    def dense_gap(self) -> float:
        """The lowest eigenvalue above those."""
        if self.dense_degeneracy == self.H.dimension:
            raise AbsentError("no energy lies above the ground space")
        return float(self.eigensystem[0][self.dense_degeneracy])

    @cached_property
    def dense_ground(self) -> Array:
        """P ψ0 normalised, P of the eigenvectors of energy 0; the lowest one where none has it."""
        frame = self.eigensystem[1][:, : max(self.dense_degeneracy, 1)]
        return normalised(frame @ (frame.conj().T @ self.psi0))

    @cached_property
    def excited(self) -> Array:
        """An eigenvector of the gap, from LAPACK."""
        assert self.dense_gap > 0
        found: Array = self.eigensystem[1][:, self.dense_degeneracy]
        return found

    @cached_property
    def moved(self) -> Array:
        """exp(-iHt) of the random state at t = 1, from LAPACK's spectrum."""
        energies, states = self.eigensystem
        found: Array = (states * np.exp(-1j * MOVED_TIME * energies)) @ (states.conj().T @ self.random)
        return found

    # --- sparse, matrix-free ---

    @cached_property
    def sparse(self) -> GroundState:
        """By shift-invert Lanczos on the CSR matrix."""
        k = min(self.k, self.H.dimension)
        try:
            needs_rows(self.H, k, "shift-invert")
        except InputError as few:
            raise AbsentError(str(few)) from few
        return self.tools.factorised(self.H, k)

    @cached_property
    def free(self) -> GroundState:
        """By components or sweeps."""
        return self.tools.matrix_free(self.H, min(self.k, self.H.dimension))

    def ground(self, found: GroundState) -> Array:
        """P ψ0 normalised, with the solver's own ground space."""
        return ground_projection(self.H, found, sparse_state(self.psi0)).dense(self.H)

    # --- QUNN ---

    @cached_property
    def runs(self) -> list[NDArray[np.int64]]:
        """The data states that the run of every input passes, at the clock times 1 … T+1; a halted one idles."""
        H = self.H
        if H.readout is None or H.space == "tape":
            raise AbsentError("a step of the tape space acts on one cell, and is no single |Y_l-1><Y_l| of a QUNN")
        if H.initial is not None:
            raise AbsentError("H_in is no weight of a QUNN")
        found = []
        for start in H.readout.starts.values():
            found.append(state.walk(H, start, 0, H.clock_states) // H.clock_states)
        return found

    @cached_property
    def rebuilt(self) -> Tensor:
        """H from the weights of a QUNN fed with every run [d(T+1), d(T+1)], complex."""
        H = self.H
        self._few_rows("a QUNN's matrices")
        if not H.T:
            raise AbsentError("no step, no weight")
        G = torch.zeros(H.dimension, H.dimension, dtype=torch.double)
        for run in self.runs:
            passed, labels = np.unique(run, return_inverse=True)  # the QUNN's data are the states of this run alone
            Y = torch.eye(len(passed), dtype=torch.double)[torch.from_numpy(labels)]
            rows = torch.from_numpy((passed[:, None] * H.clock_states + np.arange(H.clock_states)).reshape(-1))
            G[rows[:, None], rows] += self.tools.weights(Y)
        return self.tools.rebuilt(G, H.T, H.d)

    @cached_property
    def relaxed(self) -> Relaxation:
        """From the inputs on the first clock state to what is left of them in the ground space, at the best step."""
        start = self.H.clock_major(self.psi0)
        start[1:] = 0
        K0 = torch.from_numpy(normalised(self.H.data_major(start))).to(self.rebuilt.dtype)
        gap, largest = self._ends(K0)
        h = 2 / (gap + largest)
        return self.tools.relax(self.rebuilt, K0, h, self._steps(1 - h * gap, LEFT))

    @cached_property
    def relaxing(self) -> tuple[Relaxation, float]:
        """From a random state with the step h = 1/λ_max, where the slowest part decays as 1 - h gap; and h."""
        K0 = torch.from_numpy(self.random).to(self.rebuilt.dtype)
        gap, largest = self._ends(K0)
        h = 1 / largest
        return self.tools.relax(self.rebuilt, K0, h, self._steps(1 - h * gap, 1e-8)), h

    def _ends(self, K0: Tensor) -> tuple[float, float]:
        found = self.tools.relax(self.rebuilt, K0, 0.25, 1)
        return found.gap, found.largest

    def _steps(self, rate: float, left: float) -> int:
        steps = int(np.ceil(np.log(left) / np.log(rate))) if 0 < rate < 1 else 1
        if steps > RELAXATION_STEPS:
            raise AbsentError(f"relaxation would take {steps:,} steps, of {RELAXATION_STEPS:,} allowed")
        return max(steps, 1)

    # --- circuits ---

    @property
    def qubits(self) -> Encoding:
        """Data and clock on qubits, the clock as a binary number."""
        return encoding_of(self.H.d, self.H.T, "binary")

    @cached_property
    def operator(self) -> SparsePauliOp:
        """H as Pauli strings."""
        self._few_qubits(STATE_QUBITS - 4, "the Pauli strings")
        return self.tools.operator(self.H)

    @cached_property
    def history(self) -> QuantumCircuit:
        """The circuit that prepares |ψ0>."""
        self._few_qubits(STATE_QUBITS, "a state")
        return self.tools.history(self.H)

    @cached_property
    def prepared(self) -> Array:
        """Its state on the qubits, by Aer [2^n]."""
        found: Array = self.backend.states([self.history])[0]
        return found

    def evolved(self, t: float, start: QuantumCircuit | None = None, **options: Any) -> Array:
        """exp(-iHt) on the prepared state, or on what another circuit prepares [2^n]."""
        begin = self.history if start is None else start
        found: Array = self.backend.states([begin.compose(self.tools.evolution(self.H, t, **options))])[0]
        return found

    @cached_property
    def kept(self) -> Array:
        """One Lie step by natural terms at t = 7.3 on the prepared state [2^n]."""
        return self.evolved(KEPT_TIME)

    @property
    def phase_qubits(self) -> int:
        """Readout qubits of phase estimation: the history state shows 0 on any number of them."""
        return _PHASE_QUBITS[self.qubits.qubits > MATRIX_QUBITS]

    @cached_property
    def estimate(self) -> PhaseEstimation:
        """The energy of the prepared state."""
        self._few_qubits(STATE_QUBITS - 4, "phase estimation")
        return self.tools.phase_estimation(self.H, self.history, qubits=self.phase_qubits, simulate=self.simulated)

    @cached_property
    def read_zero(self) -> Array:
        """The system's state after phase estimation read 0, of which H's ground space is left [2^n]."""
        state = self.simulated(self.estimate.circuit).reshape(2**self.qubits.qubits, 2**self.phase_qubits)
        return normalised(state[:, 0])

    def simulated(self, circuit: QuantumCircuit) -> Array:
        """The state of a circuit; the last one is kept."""
        if self._last is None or self._last[0] is not circuit:
            self._last = circuit, self.backend.states([circuit])[0]
        return self._last[1]

    def rows(self, psi: Array) -> Array:
        """From qubits to the rows of H."""
        return self.tools.on_rows(self.qubits, psi)

    def start(self, psi: Array) -> QuantumCircuit:
        """A circuit that prepares a vector on the rows of H."""
        self._few_qubits(STATE_QUBITS - 4, "a random state's preparation")
        circuit = register(self.qubits)
        prepare(circuit, self.tools.on_qubits(self.qubits, psi), list(range(self.qubits.qubits)))
        return circuit

    # --- limits ---

    def _few_rows(self, what: str) -> None:
        if self.H.dimension > DENSE_ROWS:
            raise AbsentError(f"{what} of {self.H.dimension:,} rows, of {DENSE_ROWS:,} allowed")
        require_memory(6 * 16 * self.H.dimension**2, f"{what} of {self.H.dimension:,} rows", "a shorter run needs less")

    def _few_qubits(self, allowed: int, what: str) -> None:
        if self.qubits.qubits > allowed:
            raise AbsentError(f"{what} on {self.qubits.qubits} qubits, of {allowed} allowed")

    def matrix_qubits(self, what: str) -> None:
        """AbsentError where a matrix on the qubits takes too long."""
        self._few_qubits(MATRIX_QUBITS, what)


def normalised(psi: Array) -> Array:
    """ψ/‖ψ‖."""
    return psi / np.linalg.norm(psi)


def angle(psi: Array, truth: Array) -> float:
    """The sine of the angle between two rays, sqrt(1 - fidelity), without cancellation: ‖(1 - |t><t|)ψ‖ / ‖ψ‖."""
    off = float(np.linalg.norm(psi - truth * np.vdot(truth, psi)))
    return off / float(np.linalg.norm(psi))
