"""What a solver returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from hamiltonians.state import SparseState

if TYPE_CHECKING:
    from hamiltonians.paths import PathKind


@final
@dataclass(frozen=True)
class GroundState:
    """The low end of a clock Hamiltonian's spectrum.

    Attributes
    ----------
    energies : (k,), the lowest energies of the whole space with multiplicity, ascending.
    states : (dimension, k') eigenvectors of the first k' ≤ k energies as columns, or only their rows `indices`, in
        which all of them live; (len(indices), k').
    indices : row numbers of `states`, ascending, or None where `states` has all rows.
    residual : ‖Hψ - Eψ‖ of the first state, over the whole space, ‖ψ‖ = 1.
    degeneracy : dimension of the whole ground space, also above k.
    gap : the lowest energy above the ground space in the whole space; None where there is none (H = 0).
    gap_residual : ‖Hψ - Eψ‖ of the vector behind `gap`, or None where the gap needed no vector.
    gap_component : the path the gap belongs to, for the solver that knows components; else None.
    converged : whether the method met its tolerance; `message` says why not.
    solver : the method, and what chose it.
    message : a sentence on what was done, for people.
    error : relative error allowed for in energies and gap where they are compared.

    Examples
    --------
    >>> import math
    >>> from hamiltonians import ClockHamiltonian, ground_state
    >>> low = ground_state(ClockHamiltonian.from_steps([[1, 2, 0]] * 9), k=6)
    >>> low.degeneracy, low.converged  # one history an input
    (3, True)
    >>> math.isclose(low.gap, 2 - 2 * math.cos(math.pi / 10)), low.states.shape
    (True, (30, 6))
    """

    energies: NDArray[np.float64]
    states: NDArray[Any]
    indices: NDArray[np.int64] | None
    residual: float
    degeneracy: int
    gap: float | None
    converged: bool
    solver: str
    message: str
    error: float
    gap_residual: float | None = None
    gap_component: PathKind | None = None

    def state(self, i: int = 0) -> SparseState:
        """Eigenvector i by its rows.

        Examples
        --------
        >>> import numpy as np
        >>> from hamiltonians import ClockHamiltonian, ground_state, load_machine
        >>> H = ClockHamiltonian.from_machine(load_machine("bb:1RB1LB_1LA1RZ"))
        >>> psi = ground_state(H).state()
        >>> np.allclose(abs(psi.dense(H)), H.history_state())  # up to its sign
        True
        """
        column = np.ascontiguousarray(self.states[:, i])
        if self.indices is not None:
            return SparseState(self.indices, column)
        rows = np.flatnonzero(column)
        return SparseState(rows, column[rows])
