"""Every implementation that the rows of a machine compare, each a field: what a mutation replaces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np
import scipy.linalg
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from scipy.sparse.linalg import LinearOperator, expm_multiply
from torch import Tensor

from circuits.backends import Backend, backend, gpu_fault
from circuits.clock.encoding import Encoding
from circuits.clock.energy_readout import PhaseEstimation, phase_estimation
from circuits.clock.history_circuit import history
from circuits.clock.imaginary_time import relaxation
from circuits.clock.pauli_operator import operator
from circuits.clock.time_evolution import evolution
from circuits.validation.literal_clock import dense_hamiltonian
from hamiltonians import state
from hamiltonians.clock import ClockHamiltonian
from hamiltonians.report import read_output
from hamiltonians.result import GroundState
from hamiltonians.solve import ground_state
from hamiltonians.state import SparseState
from qunn import QUNN
from qunn.quantum.clock_link import Relaxation, clock_hamiltonian, hops, relax

Array = NDArray[Any]

#: the backends, and what each of them calls
COLUMNS: Final = {
    "theory": "closed forms, and the machine's own run",
    "dense": "Appendix A written out with kron, LAPACK",
    "sparse": "CSR matrix, shift-invert Lanczos (SuperLU, ARPACK)",
    "matrix-free": "product along the clock, exact components or sweeps: no matrix",
    "QUNN": "H rebuilt from a QUNN's weights, relaxation by Eq. (32), in torch",
    "circuit": "history-state circuit on Aer, H as Pauli strings",
    "evolution": "exp(-iHt) on Aer, a product formula over the T natural terms",
    "phases": "phase estimation of exp(iHt) on Aer",
}


def literal_matrix(H: ClockHamiltonian) -> Array:
    """Appendix A, written out."""
    return dense_hamiltonian([H.steps.matrix(j).toarray() for j in range(H.T)], H.d, H.initial)


def sparse_matrix(H: ClockHamiltonian) -> sp.csr_array:
    """`ClockHamiltonian.to_sparse`."""
    return H.to_sparse()


def product(H: ClockHamiltonian, psi: Array) -> Array:
    """`ClockHamiltonian.apply`, column by column."""
    if psi.ndim == 1:
        return H.apply(psi)
    return np.stack([H.apply(np.ascontiguousarray(column)) for column in psi.T], axis=1)


def factorised(H: ClockHamiltonian, k: int) -> GroundState:
    """Shift-invert Lanczos on the CSR matrix."""
    return ground_state(H, k, solver="shift-invert")


def matrix_free(H: ClockHamiltonian, k: int) -> GroundState:
    """Sweeps along the clock where all steps are unitary, components otherwise."""
    return ground_state(H, k, solver="sweep" if H.steps.unitary else "components")


def weights(Y: Tensor) -> Tensor:
    """G of one run Y [T+1, d]: the first weights of a QUNN with p2 = 1 and N = T + 1, summed (`hops`)."""
    N = len(Y)
    model = QUNN(Y.shape[1], N, max(N - 1, 1), p1=0.0, p2=1.0, dtype=Y.dtype)
    return hops(model, Y)


def eigensystem(H: Array) -> tuple[Array, Array]:
    """LAPACK's, through NumPy."""
    energies, states = np.linalg.eigh(H)
    return energies, states


def dense_dynamics(H: Array, psi: Array, t: float) -> Array:
    """exp(-iHt)|ψ> by SciPy's matrix exponential."""
    found: Array = scipy.linalg.expm(-1j * t * H) @ psi
    return found


def sparse_dynamics(H: sp.csr_array, psi: Array, t: float) -> Array:
    """exp(-iHt)|ψ> by SciPy's `expm_multiply`."""
    found: Array = expm_multiply(-1j * t * H, psi.astype(complex))
    return found


def matrix_free_dynamics(apply: Callable[[Array], Array], trace: float, psi: Array, t: float) -> Array:
    """The same, from products alone."""
    n = len(psi)
    A = LinearOperator(
        (n, n),
        matvec=lambda v: -1j * t * apply(v.reshape(-1)),
        rmatvec=lambda v: 1j * t * apply(v.reshape(-1)),
        matmat=lambda V: -1j * t * np.stack([apply(np.ascontiguousarray(v)) for v in V.T], axis=1),
        dtype=complex,
    )
    found: Array = expm_multiply(A, psi.astype(complex), traceA=-1j * t * trace)
    return found


def printed_eq40(H: ClockHamiltonian) -> Array:
    """T^{-1/2} Σ_j |w_j>⊗|j+1>, as printed: the history state without its initial term (E9)."""
    X = H.clock_major(H.history_state())
    X[0] = 0
    psi: Array = H.data_major(X)
    return psi / np.linalg.norm(psi)


def on_rows(qubits: Encoding, psi: Array) -> Array:
    """Amplitudes on the qubits -> on the rows of H."""
    return qubits.extracted(psi)


def on_qubits(qubits: Encoding, psi: Array) -> Array:
    """Amplitudes on the rows of H -> on the qubits."""
    return qubits.padded(psi)


def single(x: Array) -> Array:
    """In single precision."""
    return x.astype(np.complex64 if np.iscomplexobj(x) else np.float32)


def single_backend() -> Backend:
    """Aer's state vector in single precision, on the CPU."""
    return backend("CPU", precision="single")


def cuda_fault() -> str | None:
    """Why torch has no CUDA device here, or None where it has one."""
    return None if torch.cuda.is_available() else "torch finds no CUDA device"


def to_cuda(x: Tensor) -> Tensor:
    """On the first CUDA device."""
    return x.cuda()


def aer_gpu() -> Backend:
    """Aer's state vector on a GPU."""
    return backend("GPU", quiet=True)


@final
@dataclass(frozen=True)
class MachineTools:
    """The genuine implementations by default; `dataclasses.replace` breaks one."""

    literal_matrix: Callable[[ClockHamiltonian], Array] = literal_matrix
    eigensystem: Callable[[Array], tuple[Array, Array]] = eigensystem
    sparse_matrix: Callable[[ClockHamiltonian], sp.csr_array] = sparse_matrix
    factorised: Callable[[ClockHamiltonian, int], GroundState] = factorised
    product: Callable[[ClockHamiltonian, Array], Array] = product
    matrix_free: Callable[[ClockHamiltonian, int], GroundState] = matrix_free
    weights: Callable[[Tensor], Tensor] = weights
    rebuilt: Callable[[Tensor, int, int], Tensor] = clock_hamiltonian
    relax: Callable[[Tensor, Tensor, float, int], Relaxation] = relax
    operator: Callable[[ClockHamiltonian], SparsePauliOp] = operator
    history: Callable[[ClockHamiltonian], QuantumCircuit] = history
    evolution: Callable[..., QuantumCircuit] = evolution
    phase_estimation: Callable[..., PhaseEstimation] = phase_estimation
    relaxation: Callable[..., Any] = relaxation
    dense_dynamics: Callable[[Array, Array, float], Array] = dense_dynamics
    sparse_dynamics: Callable[[sp.csr_array, Array, float], Array] = sparse_dynamics
    matrix_free_dynamics: Callable[..., Array] = matrix_free_dynamics
    history_state: Callable[[ClockHamiltonian], Array] = ClockHamiltonian.history_state
    printed_eq40: Callable[[ClockHamiltonian], Array] = printed_eq40
    on_rows: Callable[[Encoding, Array], Array] = on_rows
    on_qubits: Callable[[Encoding, Array], Array] = on_qubits
    read_output: Callable[[ClockHamiltonian, SparseState], Any] = read_output
    single: Callable[[Array], Array] = single
    single_backend: Callable[[], Backend] = single_backend
    cuda_fault: Callable[[], str | None] = cuda_fault
    to_cuda: Callable[[Tensor], Tensor] = to_cuda
    aer_fault: Callable[[], str | None] = gpu_fault
    aer_gpu: Callable[[], Backend] = aer_gpu


GENUINE: Final = MachineTools()


def sparse_state(psi: Array) -> SparseState:
    """A vector by its rows."""
    rows = np.flatnonzero(psi)
    return state.SparseState(rows, np.ascontiguousarray(psi[rows]))
