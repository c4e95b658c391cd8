"""H and its natural terms as Pauli strings, from factors on data and clock: no 2^n x 2^n matrix is formed."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from qiskit.quantum_info import Operator, SparsePauliOp

from circuits.clock.encoding import Encoding, Pattern
from hamiltonians.clock import ClockHamiltonian
from hamiltonians.memory import require_memory

_FACTORS = {
    (0, 0): (("I", 0.5), ("Z", 0.5)),
    (1, 1): (("I", 0.5), ("Z", -0.5)),
    (0, 1): (("X", 0.5), ("Y", 0.5j)),  # |0><1|
    (1, 0): (("X", 0.5), ("Y", -0.5j)),
}
_COPIES = 6  # of the strings: the summands, their sum, the sorted one and its unique strings
_NEGLIGIBLE = 64 * float(np.finfo(np.float64).eps)  # of coefficients of order 1


def transition_strings(ket: Pattern, bra: Pattern, qubits: int) -> SparsePauliOp:
    """|ket><bra| on the qubits of the two patterns, the identity on the others: 2^k strings for k qubits."""
    found: list[tuple[str, list[int], complex]] = [("", [], 1.0)]
    for q in ket:
        found = [(label + P, [*at, q], c * factor) for label, at, c in found for P, factor in _FACTORS[ket[q], bra[q]]]
    return SparsePauliOp.from_sparse_list(found, num_qubits=qubits)


def pattern_strings(levels: Iterable[tuple[float, Pattern]], qubits: int) -> SparsePauliOp:
    """Σ E |pattern><pattern|."""
    parts = [e * transition_strings(p, p, qubits) for e, p in levels]
    return summed(parts, qubits)


def hop_strings(H: ClockHamiltonian, encoding: Encoding, j: int) -> SparsePauliOp:
    """The term of step j (from 0)."""
    before, after = encoding.window(j)
    n = encoding.clock_qubits
    U = np.zeros((2**encoding.data_qubits,) * 2, complex)
    U[: H.d, : H.d] = H.steps.matrix(j).toarray()
    hop = matrix_strings(U).tensor(transition_strings(after, before, n))
    both = pattern_strings([(1.0, before), (1.0, after)], encoding.qubits)
    return summed([both, -1 * hop, -1 * hop.adjoint()], encoding.qubits)


def initial_strings(H: ClockHamiltonian, encoding: Encoding) -> SparsePauliOp:
    """H_in."""
    assert H.initial is not None
    x = np.zeros(2**encoding.data_qubits, complex)
    x[: H.d] = H.initial
    P = np.eye(len(x)) - np.outer(x, x.conj())
    first = encoding.at(0)
    return summed([matrix_strings(P).tensor(transition_strings(first, first, encoding.clock_qubits))], encoding.qubits)


def matrix_strings(M: NDArray[np.complex128]) -> SparsePauliOp:
    """Any matrix [2^k, 2^k] as Pauli strings, none left out; k = 0 and the matrix 0, for which Qiskit has none, too."""
    qubits = len(M).bit_length() - 1
    if not qubits or not M.any():
        return SparsePauliOp(["I" * qubits], [M[0, 0]])
    # Qiskit's own default leaves out what is below 1e-8
    return SparsePauliOp.from_operator(Operator(M), atol=0, rtol=0)


def summed(parts: list[SparsePauliOp], qubits: int) -> SparsePauliOp:
    """The sum of Hermitian parts, equal strings together, without those of rounding; coefficients are real."""
    if not parts:
        return SparsePauliOp(["I" * qubits], [0.0])
    total = SparsePauliOp.sum(parts).simplify(atol=_NEGLIGIBLE, rtol=0)
    return SparsePauliOp(total.paulis, total.coeffs.real.astype(complex))


def require_strings(H: ClockHamiltonian, encoding: Encoding) -> None:
    """Refuse what `operator` would not fit in memory.

    Raises
    ------
    MemoryEstimateError : names the qubits.
    """
    H.require("sparse", "choose a smaller data space")
    data = 2**encoding.data_qubits
    window = max((2 ** len(encoding.window(j)[0]) for j in range(H.T)), default=1)
    masks = min(data, -(-H.steps.nnz // max(H.T, 1)))  # diagonals of U, x to x^mask, on average at most
    count = min(H.T * window * masks * data, 4**encoding.qubits) + H.T * window
    if H.initial is not None:
        count += data * data * 2
    a_string = 2 * encoding.qubits + 16
    require_memory(
        _COPIES * (count * a_string + 16 * data**2),
        f"H as Pauli strings on {encoding.qubits} qubits",
        "its natural terms (`terms`) need no strings",
    )
