"""The low end of a spectrum on MPI ranks: the ground space from B's null space, the rest by Krylov-Schur.

Every rank calls `solve` with the same arguments and returns the same numbers; the states are on rank 0 alone.
"""

from __future__ import annotations

import resource
import sys
from dataclasses import dataclass, replace

import numpy as np

from hamiltonians.clock import ClockHamiltonian
from hamiltonians.errors import InputError, MemoryEstimateError
from hamiltonians.memory import in_units
from hamiltonians.result import GroundState
from hamiltonians.slepc.checkpoint import Checkpoint, Problem, fingerprint, require_one_problem
from hamiltonians.slepc.frame import Frame, bytes_per_rank, frame_of
from hamiltonians.slepc.gather import gathered
from hamiltonians.slepc.krylov import Pair, Search, basis_size, is_dense
from hamiltonians.slepc.layout import Vec, require_on_ranks
from hamiltonians.slepc.libraries import Libraries, load
from hamiltonians.slepc.shells import ShiftInvert
from hamiltonians.solve import Request
from hamiltonians.solvers.inverse import gap_error, large_residual, lowest_level, shift_for

SOLVERS = ("auto", "sweep", "shift-invert")
MUMPS_LIMIT = 20_000  # rows up to which "auto" factorises the matrix: nothing is iterated then
_WORK_VECTORS = 3  # of SLEPc's transformation and while the basis is made: measured
_CG_VECTORS = 5  # where H + shift is inverted by conjugate gradients
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # of the peak memory that the system tells


def solve(H: ClockHamiltonian, solver: str, request: Request) -> GroundState:
    """The k lowest eigenpairs on all ranks; collective.

    The ground vectors are known from B's null space, histories for a machine. What lies above them comes from
    Krylov-Schur with (H + shift)⁻¹ outside the ground space: "shift-invert" factorises the matrix with MUMPS, "sweep"
    goes along the clock, which is exact for partial permutations and for unitary steps and the preconditioner of
    conjugate gradients else; "auto" takes the first up to `MUMPS_LIMIT` rows.

    Every rank returns the same energies, residuals, degeneracy, gap and message. `states` and `indices` have all rows,
    or those that are not zero, on rank 0, and no row on the others. `request.progress` is called on rank 0. With
    `request.checkpoint` the search goes on from that file and is saved into it on the way and at the end; any number
    of ranks may go on.

    Raises
    ------
    InputError : on all ranks: another solver, libraries that are missing, ranks with different problems, or a
        checkpoint that cannot be written or read or belongs to another problem.
    MemoryEstimateError : on all ranks: one of the machines has not enough memory for its ranks.
    """
    if solver not in SOLVERS:
        raise InputError(f"`solver` must be one of {', '.join(SOLVERS)} on slepc, but is {solver!r}", "solver")
    H.require_row_numbers()
    request = replace(request, k=int(request.k), vectors=int(request.vectors))  # JSON knows no integers of numpy's
    libraries = load(H.dtype)
    chosen = solver if solver != "auto" else "shift-invert" if H.dimension <= MUMPS_LIMIT else "sweep"
    problem = fingerprint(H, request.k, chosen, libraries.build)
    require_one_problem(libraries.comm, problem | {"vectors": request.vectors, "checkpoint": str(request.checkpoint)})
    if request.checkpoint is not None:
        Checkpoint.check(request.checkpoint, libraries.comm)
    _require_vectors(H, libraries, request.k)
    name = f"{chosen}, slepc{' (chosen by auto)' * (solver == 'auto')}"
    try:
        result = _solve(frame_of(H, libraries, shift_for(H.clock_states)), chosen, problem, request, name)
        # what Python has let go is kept by PETSc until all ranks ask together
        libraries.PETSc.garbage_cleanup(libraries.PETSc.COMM_WORLD)
        return result
    except (InputError, MemoryEstimateError) as error:
        # a traceback would keep PETSc's objects until PETSc has ended, which it does not survive
        raise error.with_traceback(None) from None


def _solve(frame: Frame, solver: str, problem: Problem, request: Request, name: str) -> GroundState:
    H, inside = frame.H, min(request.k, frame.degeneracy)
    ground = _ground(frame, inside, min(request.vectors, inside), request.seed)
    kept = gathered(frame, ground.vectors) if request.vectors <= inside else None
    if kept is not None:  # on rank 0, histories as their few rows: the search has the memory for itself
        while ground.vectors:
            ground.vectors.pop().destroy()
    checkpoint = None if request.checkpoint is None else Checkpoint(request.checkpoint, frame, problem)
    search = Search(frame, ShiftInvert(frame, solver), request.seed, request.progress, checkpoint)
    search.resume()

    degeneracy, lowest = frame.degeneracy, 0  # `lowest`: where in `above`, what is searched for, the gap's energy is
    above: list[Pair] = []
    if degeneracy == 0:
        above, lowest = _with_next_energy(search, request.k)
        degeneracy = lowest
    elif degeneracy < H.dimension:
        above = search.lowest(max(1, request.k - inside))
    residuals = [frame.residual(pair.vector, pair.energy) for pair in above]
    gap = above[lowest].energy if lowest < len(above) else None

    asked = request.k - inside
    gap_residual = None if gap is None else residuals[lowest]
    energies = [*ground.energies, *(pair.energy for pair in above[:asked])]
    judged = [*ground.residuals, *residuals[:asked]]
    failure = search.failure or _missing(H, request.k, len(energies), degeneracy, gap)
    failure = failure or large_residual(H, energies, judged, gap, gap_residual)
    vectors = [*ground.vectors, *(pair.vector for pair in above[:asked])]
    states, indices = kept or gathered(frame, vectors[: request.vectors])
    message = _told(frame, search)
    return GroundState(
        energies=np.sort(energies),  # within a level, to rounding
        states=states,
        indices=indices,
        residual=judged[0] if judged else np.inf,
        degeneracy=degeneracy,
        gap=gap,
        gap_residual=gap_residual,
        converged=failure is None,
        solver=name,
        message=message if failure is None else f"{message}; not converged: {failure}",
        error=gap_error(H),
    )


@dataclass(frozen=True)
class _Ground:
    """Energies and residuals of the ground vectors that were asked for, and the vectors that are needed further."""

    energies: list[float]
    residuals: list[float]
    vectors: list[Vec]


def _ground(frame: Frame, inside: int, kept: int, seed: int) -> _Ground:
    ground = _Ground([], [], [])
    for i, x in enumerate(frame.ground_vectors(max(inside, kept), seed)):
        if i < inside:
            ground.energies.append(frame.bonds(x))
            ground.residuals.append(frame.residual(x, ground.energies[-1]))
        if i < kept:
            ground.vectors.append(x)
        else:
            x.destroy()
    return ground


def _with_next_energy(search: Search, k: int) -> tuple[list[Pair], int]:
    """Where no energy is zero: the k lowest and as many more as it takes to see another one, and how often the lowest
    occurs."""
    H = search.frame.H
    count, rows = min(k + 1, H.dimension), H.dimension
    while True:
        _require_vectors(H, search.frame.libraries, count)
        pairs = search.lowest(count)
        same = lowest_level(H, np.array([pair.energy for pair in pairs]))
        if same < len(pairs) or len(pairs) < count or count == rows:
            return pairs, same
        count = min(2 * count, rows)


def _missing(H: ClockHamiltonian, k: int, found: int, degeneracy: int, gap: float | None) -> str | None:
    if found < k:
        return f"only {found} of {k} eigenpairs were found"
    if gap is None and degeneracy < H.dimension:
        return "nothing was found above the ground space"
    return None


def _told(frame: Frame, search: Search) -> str:
    comm = frame.libraries.comm
    ranks = f"{comm.size} rank{'s' * (comm.size > 1)}"
    if frame.degeneracy == frame.H.dimension:
        work = "all energies are zero"
    elif is_dense(frame.H.dimension, search.searched):
        work = "LAPACK on the whole matrix, which is small"
    else:
        before = f", {search.restarts_before:,} of them before the checkpoint" if search.restarts_before else ""
        work = f"{search.restarts:,} restarts of a basis of {search.basis} vectors{before}, {search.inverse.told()}"
    peak = comm.allreduce(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT, op=max)
    return f"{ranks}: {work}; at most {in_units(peak)} a rank"


def _require_vectors(H: ClockHamiltonian, libraries: Libraries, count: int) -> None:
    """Refuse a search for `count` eigenpairs that does not fit; ranks of one machine share what is free there."""
    size = libraries.comm.size
    # the basis and its next vector; eigenvectors that were found, and their copies that it is kept orthogonal to
    vectors = basis_size(count) + 1 + 2 * count + _WORK_VECTORS
    vectors += 0 if H.steps.monomial or H.steps.unitary else _CG_VECTORS
    number = np.dtype(libraries.PETSc.ScalarType).itemsize
    needed = vectors * -(-H.d // size) * H.clock_states * number + bytes_per_rank(H, size)
    if is_dense(H.dimension, count):
        needed += 3 * number * H.dimension**2
    require_on_ranks(
        libraries, needed, f"{vectors} vectors of {H.dimension:,} rows", "ask for fewer `k` or start on more machines"
    )


__all__ = ["MUMPS_LIMIT", "SOLVERS", "solve"]
