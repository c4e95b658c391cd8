"""H as one sum of Pauli strings."""

from __future__ import annotations

from qiskit.quantum_info import SparsePauliOp

from circuits.clock.encoding import encoding_of
from circuits.clock.natural_terms import terms
from circuits.clock.strings import require_strings, summed
from hamiltonians.clock import ClockHamiltonian


def operator(H: ClockHamiltonian, encoding: str = "binary") -> SparsePauliOp:
    """H on qubits with 4 on all states that encode nothing, as Pauli strings with real coefficients.

    Row `data * (T+1) + clock` of H is the basis state `data * 2^(clock qubits) + code(clock)`. Binary: the matrix is
    H padded by a diagonal 4. Unary: on legal strings it is H; on illegal ones it is ≥ 4, the penalty, and mixes
    them among themselves only. So both have H's ground space, exactly.

    Parameters
    ----------
    encoding : "binary" or "unary", see `terms`.

    Raises
    ------
    InputError : an unknown encoding; a step that is a plain matrix on more than 8 qubits.
    MemoryEstimateError : the strings do not fit.

    Examples
    --------
    >>> from circuits import clock
    >>> from hamiltonians import ClockHamiltonian
    >>> clock.operator(ClockHamiltonian.from_steps([[1, 0]])).to_list()  # a NOT: I - X on data times X on clock
    [('II', (1+0j)), ('XX', (-1+0j))]
    """
    qubits = encoding_of(H.d, H.T, encoding)
    require_strings(H, qubits)
    return summed([term.operator() for term in terms(H, encoding)], qubits.qubits)
