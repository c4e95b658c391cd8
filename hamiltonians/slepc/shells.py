"""H and the inverse of H + shift as objects that PETSc and SLEPc call: no matrix need exist."""

from __future__ import annotations

from typing import Any, Protocol, final

import numpy as np

from hamiltonians.errors import MemoryEstimateError
from hamiltonians.slepc.frame import Frame
from hamiltonians.slepc.layout import Mat, Vec, require_on_ranks
from hamiltonians.slepc.matrix import assembled

#: residual of conjugate gradients relative to the right-hand side. What it leaves in Hψ - Eψ is this part of E, far
#: below the 1e-6 of the gap that is allowed; and its square in the energy, which is a Rayleigh quotient
CG_TOLERANCE = 1e-10
_EPSILON = float(np.finfo(np.float64).eps)
_NORM = 5.0  # ‖H‖ ≤ 4, and H_in adds at most 1
_MUMPS_MEMORY = 14  # the parameter of MUMPS for
MUMPS_MORE_MEMORY = 50  # percent beyond what it estimates for its factors
_FACTOR_BYTES_PER_ENTRY = 16  # MUMPS: a value and an index where nothing fills in


class Inverse(Protocol):
    """x = (H + shift)⁻¹b, and what that took so far.

    `rounding` is the relative error of x that is left, in what lies outside the ground space.
    """

    rounding: float

    def solve(self, b: Vec, x: Vec) -> None: ...  # noqa: D102

    def told(self) -> str:
        """A few words for the message."""


def operator(frame: Frame, shift: float = 0.0) -> Mat:
    """H + shift as a matrix of PETSc that is applied only."""
    PETSc, sizes = frame.libraries.PETSc, (frame.layout.count * frame.H.clock_states, frame.H.dimension)
    matrix = PETSc.Mat().createPython((sizes, sizes), _Operator(frame, shift), comm=PETSc.COMM_WORLD)
    matrix.setOption(PETSc.Mat.Option.HERMITIAN, True)
    return matrix


@final
class _Operator:
    def __init__(self, frame: Frame, shift: float) -> None:
        self._frame, self._shift = frame, shift

    def mult(self, _matrix: Any, x: Vec, y: Vec) -> None:
        self._frame.apply(x, y)
        if self._shift:
            y.axpy(self._shift, x)


@final
class Sweeps:
    """The frame's own solver where it is exact."""

    rounding = 0.0  # a few epsilon: pivots keep their relative accuracy however small the shift is

    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    def solve(self, b: Vec, x: Vec) -> None:
        """Two sweeps along the clock."""
        self._frame.solve(b, x)

    def told(self) -> str:
        """Nothing is iterated."""
        return "exact sweeps along the clock"


@final
class PreconditionedSweeps:
    """Conjugate gradients on H + shift, preconditioned by the frame's solver of something close to it.

    The ground space is projected out of the right-hand side: the iterations would else be spent on the rounding that
    lies there, where the inverse is largest.
    """

    rounding = 0.0  # the residual that is left is one of Hψ, not of ψ

    def __init__(self, frame: Frame) -> None:
        PETSc = frame.libraries.PETSc
        self._frame, self._outside = frame, frame.vector()
        self._ksp = PETSc.KSP().create(PETSc.COMM_WORLD)
        self._ksp.setType("cg")
        self._ksp.setNormType(PETSc.KSP.NormType.UNPRECONDITIONED)
        self._ksp.setOperators(operator(frame, frame.shift))
        preconditioner = self._ksp.getPC()
        preconditioner.setType("python")
        preconditioner.setPythonContext(_Applied(frame.solve))
        # without a preconditioner √κ·log(2/tolerance)/2 iterations would do, in exact arithmetic
        condition = (_NORM + frame.shift) / frame.shift
        most = 100 + int(2 * np.sqrt(condition) * np.log(2 / CG_TOLERANCE))
        # what rounding leaves of b - (H + shift)x is about epsilon ‖H‖ ‖x‖, so that less need not be asked for
        self._ksp.setTolerances(rtol=max(CG_TOLERANCE, _EPSILON * condition), atol=0.0, max_it=most)
        self._iterations = 0

    def solve(self, b: Vec, x: Vec) -> None:
        """Iterate until the residual is small; what is left shows in the residuals of the report."""
        b.copy(self._outside)
        self._frame.remove_ground(self._outside)
        self._ksp.solve(self._outside, x)
        self._iterations += int(self._ksp.getIterationNumber())

    def told(self) -> str:
        """How many iterations it took."""
        return f"{self._iterations:,} iterations of conjugate gradients, preconditioned by sweeps along the clock"


@final
class Factors:
    """H + shift assembled and factorised by MUMPS, once.

    Raises
    ------
    MemoryEstimateError : the matrix, or its factors, do not fit; on all ranks.
    """

    def __init__(self, frame: Frame) -> None:
        PETSc, H = frame.libraries.PETSc, frame.H
        share = -(-H.memory_estimate("sparse") // frame.libraries.comm.size)
        entries = -(-(H.dimension + 2 * H.steps.nnz) // frame.libraries.comm.size)
        # a backward error of some epsilon ‖H‖ in the factors, over energies above the ground space, which are those of
        # paths of up to 2N rows: 24 shifts and more. MUMPS adds up in the order in which messages come
        self.rounding = 8 * _EPSILON * _NORM / (10 * frame.shift)
        require_on_ranks(
            frame.libraries,
            share + _FACTOR_BYTES_PER_ENTRY * entries,
            "H as a matrix and its factors without fill-in",
            "use solver='sweep' or more machines",
        )
        matrix = assembled(H, frame.libraries)
        matrix.shift(frame.shift)
        real = frame.libraries.build == "real"
        if real:
            matrix.setOption(PETSc.Mat.Option.SPD, True)
        self._ksp = PETSc.KSP().create(PETSc.COMM_WORLD)
        self._ksp.setType("preonly")
        self._ksp.setOperators(matrix)
        preconditioner = self._ksp.getPC()
        preconditioner.setType("cholesky" if real else "lu")  # MUMPS has no Cholesky for complex Hermitian matrices
        preconditioner.setFactorSolverType("mumps")
        preconditioner.setFactorSetUpSolverType()
        factors = preconditioner.getFactorMatrix()
        factors.setMumpsIcntl(_MUMPS_MEMORY, MUMPS_MORE_MEMORY)
        self._ksp.setUp()
        if factors.getMumpsInfog(1) < 0:  # the same on all ranks
            raise MemoryEstimateError(
                f"MUMPS has not enough memory for the factors (its error {factors.getMumpsInfog(1)}); "
                "use solver='sweep' or more machines"
            )

    def solve(self, b: Vec, x: Vec) -> None:
        """Two triangular solves."""
        self._ksp.solve(b, x)

    def told(self) -> str:
        """Who did it."""
        return "factors of the assembled matrix by MUMPS"


@final
class ShiftInvert:
    """The preconditioner that SLEPc's shift-and-invert applies once for every vector of its basis.

    The ground space, which is known, is projected out of what comes: the basis stays orthogonal to it as if SLEPc kept
    its vectors beside the basis, and no memory is spent on them.
    """

    def __init__(self, frame: Frame, solver: str) -> None:
        self._frame, self._solver, self._applications = frame, solver, 0
        self._inverse: Inverse | None = None

    def prepare(self) -> None:
        """Make what inverts H + shift: "shift-invert" by MUMPS, "sweep" along the clock.

        Raises
        ------
        MemoryEstimateError : a matrix and its factors do not fit; on all ranks.
        """
        if self._inverse is None and self._solver == "shift-invert":
            self._inverse = Factors(self._frame)
        elif self._inverse is None:
            self._inverse = Sweeps(self._frame) if self._frame.exact else PreconditionedSweeps(self._frame)

    @property
    def rounding(self) -> float:
        """Of the inverse; 0 before it is made."""
        return 0.0 if self._inverse is None else self._inverse.rounding

    def told(self) -> str:
        """A few words for the message."""
        how = "nothing had to be inverted" if self._inverse is None else self._inverse.told()
        return f"{self._applications:,} times (H + shift)⁻¹: {how}"

    def apply(self, _pc: Any, b: Vec, x: Vec) -> None:
        """x = (1 - P)(H + shift)⁻¹b, P the projection on the ground space."""
        assert self._inverse is not None
        self._applications += 1
        self._inverse.solve(b, x)
        self._frame.remove_ground(x)


@final
class _Applied:
    """A solver as a preconditioner."""

    def __init__(self, solve: Any) -> None:
        self._solve = solve

    def apply(self, _pc: Any, b: Vec, x: Vec) -> None:
        self._solve(b, x)
