"""One entry for all solvers: which method finds the low end of a clock Hamiltonian's spectrum."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import numpy as np

from hamiltonians.clock import ClockHamiltonian
from hamiltonians.components import is_path_like
from hamiltonians.errors import must_be, one_of
from hamiltonians.progress import Progress, no_progress
from hamiltonians.result import GroundState

Solver = Literal["auto", "components", "sweep", "shift-invert", "lobpcg", "dense"]
SOLVERS: tuple[str, ...] = get_args(Solver)
ENGINES: tuple[str, ...] = ("numpy",)
DENSE_LIMIT = 2000  # rows up to which LAPACK on the whole matrix takes about a second


@dataclass(frozen=True)
class Request:
    """What is asked of a solver.

    Attributes
    ----------
    k : how many of the lowest energies, with multiplicity.
    vectors : of how many of them the states are kept.
    seed : of the random start vectors.
    """

    k: int
    vectors: int
    seed: int = 0
    progress: Progress = field(default=no_progress, compare=False)


def ground_state(
    H: ClockHamiltonian,
    k: int = 4,
    solver: Solver = "auto",
    engine: str = "numpy",
    *,
    vectors: int | None = None,
    seed: int = 0,
    progress: Progress = no_progress,
) -> GroundState:
    """The k lowest eigenpairs of H, the degeneracy of its ground space and the gap above it.

    Energies near zero are computed as ‖Bψ‖² (H = B†B), so that they keep their digits.

    Parameters
    ----------
    k : energies wanted, with multiplicity; fewer come where H has fewer rows.
    solver : how, see `SOLVERS`; "auto" takes components where H falls apart into paths, sweeps along the clock where
        all steps are unitary, LAPACK up to `DENSE_LIMIT` rows, and shift-invert Lanczos otherwise.
    engine : where the arithmetic runs; numpy.
    vectors : eigenvectors to keep (default: k); fewer save memory.
    seed : of random start vectors.

    Raises
    ------
    InputError : an unknown solver or engine, k < 1, or a solver that does not apply to these steps.
    MemoryEstimateError : the method would need more memory than is free.

    Examples
    --------
    >>> import math
    >>> from hamiltonians import ClockHamiltonian, ground_state, load_machine
    >>> low = ground_state(ClockHamiltonian.from_machine(load_machine("bb:1RB1LB_1LA1RZ")))
    >>> low.degeneracy, float(low.energies[0])
    (1, 0.0)
    >>> math.isclose(low.gap, 2 - 2 * math.cos(math.pi / 7))  # T = 6
    True
    """
    if not isinstance(k, int | np.integer) or k < 1:
        raise must_be("k", "an integer, at least 1", k)
    if engine not in ENGINES:
        raise must_be("engine", one_of(ENGINES), engine)
    if solver not in SOLVERS:
        raise must_be("solver", one_of(SOLVERS), solver)
    kept = k if vectors is None else vectors
    if not 1 <= kept <= k:
        raise must_be("vectors", f"from 1 to k = {k}", kept)
    request = Request(min(k, H.dimension), min(kept, H.dimension), seed, progress)
    chosen = _choose(H) if solver == "auto" else solver
    result = _run(H, chosen, request)
    return replace(result, solver=f"{result.solver} (chosen by auto)") if solver == "auto" else result


def _choose(H: ClockHamiltonian) -> str:
    if is_path_like(H):
        return "components"
    if H.steps.unitary:
        return "sweep"
    return "dense" if H.dimension <= DENSE_LIMIT else "shift-invert"


def _run(H: ClockHamiltonian, solver: str, request: Request) -> GroundState:
    # each method is loaded when it is used: SuperLU, ARPACK and the sweeps take a while to import or compile
    if solver == "components":
        from hamiltonians.solvers.components import solve
    elif solver == "sweep":
        from hamiltonians.solvers.sweep import solve
    elif solver == "shift-invert":
        from hamiltonians.solvers.shift_invert import solve
    elif solver == "lobpcg":
        from hamiltonians.solvers.lobpcg import solve
    else:
        from hamiltonians.solvers.dense import solve
    return solve(H, request)


__all__ = ["DENSE_LIMIT", "ENGINES", "SOLVERS", "Request", "Solver", "ground_state"]
