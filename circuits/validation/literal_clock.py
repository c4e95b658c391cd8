"""The clock Hamiltonian straight from the formula of Appendix A: the slow, literal reference.

NumPy and SciPy alone, no code of the packages; rows are `data * n_clock + clock`, as `kron(data, clock)` orders them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

Array = NDArray[Any]

DENSE_KRON: Final = 250  # rows up to which numpy.kron itself is used; scipy.sparse.kron above, equal entry by entry


def clock_hamiltonian(
    steps: Sequence[Any], d: int, initial: Array | None = None, kron: Callable[..., Any] = np.kron
) -> Any:
    """Σ_j ( I⊗|j><j| - U_j⊗|j+1><j| - U_j†⊗|j><j+1| + I⊗|j+1><j+1| ) [ + (I - |x><x|)⊗|1><1| ], term by term.

    steps : U_1 … U_T [d, d]. initial : x of the bracket, H_in.
    """
    N = len(steps) + 1
    dtype = np.result_type(np.float64, *(U.dtype for U in steps), *([] if initial is None else [initial.dtype]))
    identity = np.eye(d)
    clock = [np.eye(N)[:, [j]] for j in range(N)]
    H: Any = np.zeros((d * N, d * N), dtype) if kron is np.kron else sp.csr_array((d * N, d * N), dtype=dtype)
    for j, U in enumerate(steps):
        here, there = clock[j], clock[j + 1]
        H = H + kron(identity, here @ here.T)
        H = H - kron(U, there @ here.T)
        H = H - kron(U.conj().T, here @ there.T)
        H = H + kron(identity, there @ there.T)
    if initial is not None:
        x = np.asarray(initial).reshape(d, 1)
        H = H + kron(identity - x @ x.conj().T, clock[0] @ clock[0].T)
    return H


def dense_hamiltonian(steps: Sequence[Array], d: int, initial: Array | None = None) -> Array:
    """The same as a dense array, by `scipy.sparse.kron` where `numpy.kron` would take seconds."""
    if d * (len(steps) + 1) <= DENSE_KRON:
        found: Array = clock_hamiltonian(steps, d, initial)
        return found
    large: Array = clock_hamiltonian(
        steps, d, initial, lambda a, b: sp.kron(sp.csr_array(a), sp.csr_array(b))
    ).toarray()
    return large
