"""One entry for all solvers and engines: which method finds the low end of a spectrum, and where it runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.metadata import entry_points
from typing import Literal, get_args

import numpy as np

from hamiltonians.clock import ClockHamiltonian
from hamiltonians.components import is_path_like
from hamiltonians.errors import InputError, must_be, one_of
from hamiltonians.progress import Progress, no_progress
from hamiltonians.result import GroundState

Solver = Literal["auto", "components", "sweep", "shift-invert", "lobpcg", "dense"]
SOLVERS: tuple[str, ...] = get_args(Solver)
Engine = Literal["numpy", "slepc", "torch"]
ENGINES: tuple[str, ...] = get_args(Engine)
Precision = Literal["float64", "float32"]
PRECISIONS: tuple[str, ...] = get_args(Precision)
DENSE_LIMIT = 2000  # rows up to which LAPACK on the whole matrix takes about a second


@dataclass(frozen=True)
class Request:
    """What is asked of a solver.

    Attributes
    ----------
    k : how many of the lowest energies, with multiplicity.
    vectors : of how many of them the states are kept.
    seed : of the random start vectors.
    device, precision : of the torch engine; see `ground_state`.
    checkpoint : of the slepc engine; see `ground_state`.
    """

    k: int
    vectors: int
    seed: int = 0
    progress: Progress = field(default=no_progress, compare=False)
    device: str = "cpu"
    precision: Precision = "float64"
    checkpoint: str | os.PathLike[str] | None = None


def ground_state(
    H: ClockHamiltonian,
    k: int = 4,
    solver: Solver = "auto",
    engine: Engine = "numpy",
    *,
    vectors: int | None = None,
    seed: int = 0,
    device: str | None = None,
    precision: Precision | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: Progress = no_progress,
) -> GroundState:
    """The k lowest eigenpairs of H, the degeneracy of its ground space and the gap above it.

    Energies near zero are computed as ‖Bψ‖² (H = B†B), so that they keep their digits.

    Parameters
    ----------
    k : energies wanted, with multiplicity; fewer come where H has fewer rows.
    solver : how, see `SOLVERS`; "auto" takes components where H falls apart into paths, sweeps along the clock where
        all steps are unitary, LAPACK up to `DENSE_LIMIT` rows, and shift-invert Lanczos otherwise.
    engine : where the arithmetic runs: "numpy" (this process), "slepc" (the MPI ranks that mpirun started; rank 0
        holds the states) or "torch" (a CPU or a card, `device`). The last two have fewer solvers and say so.
    vectors : eigenvectors to keep (default: k); fewer save memory.
    seed : of random start vectors.
    device : of the torch engine: cpu (default), cuda or cuda:1.
    precision : of the torch engine's vectors: float64 (default) or float32; energies and residuals are float64 anyway.
    checkpoint : of the slepc engine: a file from which the search goes on, and into which it is saved on the way.

    Raises
    ------
    InputError : an unknown solver or engine, one that is not installed, an option of another engine, k < 1, or a solver
        that does not apply to these steps.
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
    _check_owner(engine, "torch", device=device, precision=precision)
    _check_owner(engine, "slepc", checkpoint=checkpoint)
    if precision is not None and precision not in PRECISIONS:
        raise must_be("precision", one_of(PRECISIONS), precision)
    request = Request(
        min(k, H.dimension),
        min(kept, H.dimension),
        seed,
        progress,
        device or "cpu",
        precision or "float64",
        checkpoint,
    )
    if engine != "numpy":
        return _engine(engine)(H, solver, request)
    chosen = _choose(H) if solver == "auto" else solver
    result = _run(H, chosen, request)
    return replace(result, solver=f"{result.solver} (chosen by auto)") if solver == "auto" else result


def _check_owner(engine: str, owner: str, **options: object) -> None:
    for name, value in options.items():
        if value is not None and engine != owner:
            raise must_be(name, f"None: it belongs to engine={owner!r}", value)


def _engine(name: str) -> Callable[[ClockHamiltonian, str, Request], GroundState]:
    """An engine is a function of H, a solver's name and a request; packages above this one declare theirs."""
    declared = {point.name: point for point in entry_points(group="hamiltonians.engines")}
    if name not in declared:
        raise InputError(f"`engine` must be installed, but {name} is declared by no package here", "engine")
    try:
        found: Callable[[ClockHamiltonian, str, Request], GroundState] = declared[name].load()
    except ModuleNotFoundError as error:  # this distribution may be installed without its dependencies
        why = f"{name} needs {error.name}, which is not"
        raise InputError(f"`engine` must be installed, but {why}", "engine") from error
    return found


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


__all__ = [
    "DENSE_LIMIT",
    "ENGINES",
    "PRECISIONS",
    "SOLVERS",
    "Engine",
    "Precision",
    "Request",
    "Solver",
    "ground_state",
]
