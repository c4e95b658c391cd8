"""H on the ranks: what a search needs of it, and which of the two forms fits the steps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING

from hamiltonians.slepc.layout import Layout, Vec

if TYPE_CHECKING:
    from hamiltonians.clock import ClockHamiltonian
    from hamiltonians.slepc.libraries import Libraries


class Frame(ABC):
    """H, and the inverse of M = H + shift by sweeps along the clock, on vectors that lie on the ranks by data index.

    Every method is collective: all ranks call it, in the same order. Numbers that it returns are the same on every
    rank to the bit, so that decisions made from them are.

    Attributes
    ----------
    shift : above 0.
    degeneracy : dimension of the ground space, found from B's null space.
    exact : whether `solve` is the inverse of M up to rounding; else it is that of a positive definite matrix like M.
    """

    degeneracy: int
    exact: bool

    def __init__(self, H: ClockHamiltonian, libraries: Libraries, shift: float) -> None:
        self.H = H
        self.libraries = libraries
        self.shift = shift
        self.layout = Layout.of(H, libraries)

    def vector(self) -> Vec:
        """A zero vector: rows `data * clock_states + clock`, every rank all rows of a block of data states."""
        return self.layout.vector()

    @abstractmethod
    def apply(self, x: Vec, y: Vec) -> None:
        """y = Hx."""

    @abstractmethod
    def solve(self, b: Vec, x: Vec) -> None:
        """x = M⁻¹b, or near it where not `exact`; x may be b."""

    @abstractmethod
    def remove_ground(self, x: Vec) -> None:
        """x -= Px in place, P the projection on the ground space."""

    @abstractmethod
    def ground_vectors(self, count: int, seed: int) -> Iterator[Vec]:
        """`count` ≤ degeneracy orthonormal vectors of the ground space; of a machine the histories of its inputs first.

        Each is a vector of its own. The iterator is to be used up by all ranks alike.
        """

    @abstractmethod
    def bonds(self, x: Vec) -> float:
        """‖Bx‖², x†Hx as a sum of squares."""

    @abstractmethod
    def residual(self, x: Vec, energy: float) -> float:
        """‖Hx - energy·x‖."""

    @staticmethod
    @abstractmethod
    def bytes_per_rank(H: ClockHamiltonian, size: int) -> int:
        """What a frame takes on one of `size` ranks at most, beside H and the vectors of its caller."""


def frame_of(H: ClockHamiltonian, libraries: Libraries, shift: float) -> Frame:
    """Strands for partial permutations, stages for gates and matrices.

    Raises
    ------
    InputError : PETSc cannot number so many rows.
    MemoryEstimateError : on every rank, where it would not fit on one of the machines.
    """
    return _form(H)(H, libraries, shift)


def bytes_per_rank(H: ClockHamiltonian, size: int) -> int:
    """What the frame of H takes on one of `size` ranks at most, beside H and the vectors of its caller."""
    return _form(H).bytes_per_rank(H, size)


def _form(H: ClockHamiltonian) -> type[Frame]:
    # each compiles loops of its own
    if H.steps.monomial:
        from hamiltonians.slepc.strands import Strands

        return Strands
    from hamiltonians.slepc.stages import Stages

    return Stages


__all__ = ["Frame", "bytes_per_rank", "frame_of"]
