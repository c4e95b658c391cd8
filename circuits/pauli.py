"""Pauli strings of Hermitian matrices, and of a layer's generator.

A Hermitian matrix is Σ_P c_P P with real c_P = tr(P M) / 2^n over the 4^n Pauli strings on n qubits. With real data
G is real and antisymmetric, and iG = -(iG)ᵀ; since Pᵀ = (-1)^(number of Y) P, only strings with an odd number of Y
occur.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.quantum_info import Operator, PauliList, SparsePauliOp

from circuits.layer import Layer
from hamiltonians.errors import InputError, must_be
from hamiltonians.memory import require_memory

Array = NDArray[Any]

# bytes a matrix entry: what 10 to 12 qubits take at the most, the matrix, its strings and their coefficients together
_BYTES_AN_ENTRY = 128


def generator_terms(layer: Layer) -> SparsePauliOp:
    """iG of a layer, with zeros on the unused states, as Pauli strings: exp(hG) = exp(-ih Σ_P c_P P).

    G is the anti-Hermitian part of D W (`Layer.generator`). Real data give only strings with an odd number of Y.

    Raises
    ------
    InputError : the layer is not finite.
    MemoryEstimateError : 2^n x 2^n entries and up to 4^n strings do not fit.
    """
    check_finite(layer)
    _ask(layer.registers.qubits)
    G = layer.generator.dense()
    # where the parts of G cancel, rounding is all that is left, and need not be anti-Hermitian
    terms = pauli_terms(layer.registers.padded_matrix(0.5j * (G - G.conj().T)))
    if not np.iscomplexobj(G) and not odd_in_y(terms).all():
        raise AssertionError("a real antisymmetric matrix has strings with an odd number of Y only")
    return terms


def pauli_terms(matrix: Array) -> SparsePauliOp:
    """A Hermitian matrix [2^n, 2^n] as Pauli strings with real coefficients.

    In the order of the X part (as a binary number, qubit 0 the lowest), then of the parity of the number of Y, then of
    the Z part (qubit 0 the highest). Neighbours with the first two in common commute, which bounds gain from, and the
    last lets them share gates on their low qubits.
    Coefficients below 16 n ε ‖M‖_F / 2^(n/2) are rounding and are left out (ε that of the matrix's numbers,
    ‖M‖_F / 2^(n/2) being the norm of all coefficients); the matrix 0 has no strings.

    Raises
    ------
    InputError : not square with a power of two rows, not finite or not Hermitian.
    MemoryEstimateError : the matrix and up to 4^n strings do not fit.
    """
    rows = len(matrix)
    if matrix.shape != (rows, rows) or rows < 1 or rows & (rows - 1):
        raise must_be("matrix", "square with a power of two rows", matrix.shape)
    if not np.isfinite(matrix).all():
        raise InputError("`matrix` must be finite, but holds NaN or infinity", "matrix")
    n = rows.bit_length() - 1
    _ask(n)
    norm = float(np.linalg.norm(matrix)) / 2 ** (n / 2)
    tolerance = 16 * max(n, 1) * float(np.finfo(matrix.dtype).eps) * norm
    if float(np.abs(matrix - matrix.conj().T).max()) > tolerance * 2 ** (n / 2):
        raise InputError("`matrix` must be Hermitian, but is not", "matrix")
    found = SparsePauliOp.from_operator(Operator(matrix), atol=0, rtol=0) if n else _scalar(matrix[0, 0])
    coefficients = found.coeffs.real
    bits = 1 << np.arange(n)
    order = np.lexsort((found.paulis.z @ bits[::-1], odd_in_y(found), found.paulis.x @ bits))
    order = order[np.abs(coefficients[order]) > tolerance]
    return SparsePauliOp(found.paulis[order], coefficients[order].astype(complex), ignore_pauli_phase=True, copy=False)


def odd_in_y(terms: SparsePauliOp) -> NDArray[np.bool_]:
    """Which strings hold an odd number of Y: those that are imaginary and antisymmetric."""
    return (terms.paulis.x & terms.paulis.z).sum(1) % 2 == 1


def check_finite(layer: Layer) -> None:
    """A layer whose vectors or p1 are not finite has no circuit: InputError."""
    if not (np.isfinite(layer.spanning).all() and np.isfinite(layer.p1)):
        raise InputError("`layer` must be finite, but holds NaN or infinity", "layer")


def _scalar(c: complex) -> SparsePauliOp:
    """c on no qubits, which `from_operator` does not know."""
    none = np.zeros((1, 0), dtype=bool)
    return SparsePauliOp(PauliList.from_symplectic(none, none), [c])


def _ask(n: int) -> None:
    require_memory(
        4**n * _BYTES_AN_ENTRY,
        f"{n} qubits as Pauli strings",
        'take fewer qubits, or synthesis "subspace", which needs no strings',
    )
