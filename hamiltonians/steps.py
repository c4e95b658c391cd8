"""The steps U_1 … U_T of a clock Hamiltonian; here those of machines: partial permutations of basis states.

All kinds of steps are read by the same compiled loops; gates and matrices are in `contractions`.

In Python steps count from 0: `steps.matrix(0)` is the paper's U_1, and step j leads from clock j to clock j + 1.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, final

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from hamiltonians import kernels
from hamiltonians.errors import InputError, must_be


@dataclass(frozen=True)
class Entries:
    """All nonzero elements of all steps: step `j` has `value` at (`row`, `column`)."""

    j: NDArray[np.int64]
    row: NDArray[np.int64]
    column: NDArray[np.int64]
    value: NDArray[Any]


class Steps(ABC):
    """T contractions on a data space of dimension d.

    Attributes
    ----------
    d, T : data dimension, number of steps.
    monomial : every column holds at most a single 1, so that H falls apart into paths.
    """

    d: int
    T: int
    monomial: ClassVar[bool]

    #: rounding of the precision in which the steps were given
    epsilon: float = float(np.finfo(np.float64).eps)

    @property
    def dtype(self) -> np.dtype[Any]:
        """complex128 where a step is complex, else float64."""
        return np.dtype(np.float64)

    @property
    def tolerance(self) -> float:
        """Largest element of U†U - I that counts as rounding: none for basis states that are moved."""
        return 0.0

    @property
    def rounding(self) -> float:
        """Absolute error of the norm that a step loses, ‖ψ‖² - ‖Uψ‖² for ‖ψ‖ = 1: none where it drops basis states."""
        return 0.0

    @property
    @abstractmethod
    def unitary(self) -> bool:
        """Whether every step is unitary: then the frame V (`solvers.sweep`) exists and H = V (I⊗Laplacian) V†."""

    @abstractmethod
    def data(self) -> kernels.StepData:
        """The arrays for the compiled loops."""

    @property
    @abstractmethod
    def nnz(self) -> int:
        """Nonzero elements of all steps together."""

    @abstractmethod
    def entries(self) -> Entries:
        """All nonzero elements of all steps, in order of j."""

    @property
    @abstractmethod
    def bytes_per_vector_step(self) -> int:
        """Bytes of the step arrays: what a sweep reads beside the vectors."""

    def matrix(self, j: int) -> sp.csr_array:
        """U_{j+1} of the paper as a sparse d×d matrix."""
        e = self.entries()
        here = e.j == j
        return sp.csr_array((e.value[here], (e.row[here], e.column[here])), shape=(self.d, self.d))


def step_data(kind: int, dtype: np.dtype[Any], **arrays: Any) -> kernels.StepData:
    """The arrays for the compiled loops: those given, and empty ones for the rest."""
    empty = kernels.StepData(
        kind,
        np.empty((0, 4), np.int64),
        np.empty((0, 0), np.int32),
        np.empty((0, 16), dtype),
        np.empty((0, 0), np.int64),
        np.empty(0, np.int32),
        np.empty(0, dtype),
    )
    return empty._replace(**arrays)


@final
@dataclass(frozen=True)
class HistorySteps(Steps):
    """`configuration` space: U_j = |j+1><j|, the configurations of a halting run numbered in order. d = T + 1."""

    T: int
    monomial: ClassVar[bool] = True

    @property
    def d(self) -> int:  # type: ignore[override]
        """Data dimension: the T + 1 distinct configurations."""
        return self.T + 1

    @property
    def unitary(self) -> bool:
        """Rank one is unitary only on a single configuration with no step."""
        return self.T == 0

    def data(self) -> kernels.StepData:
        """No array at all."""
        return step_data(kernels.HOP, self.dtype)

    @property
    def nnz(self) -> int:
        """One element a step."""
        return self.T

    def entries(self) -> Entries:
        """(j, j+1, j, 1) for every step."""
        j = np.arange(self.T)
        return Entries(j, j + 1, j, np.ones(self.T))

    @property
    def bytes_per_vector_step(self) -> int:
        """Nothing is stored."""
        return 0


@final
@dataclass(frozen=True)
class CellSteps(Steps):
    """`tape` space: step j turns symbol `read[j]` on cell `cell[j]` into `write[j]`, and is undefined on other symbols.

    A tape string is the integer Σ_c symbol(c) base^(cells-1-c), cell 0 the leftmost: the most significant digit.
    """

    cell: NDArray[np.int64]
    read: NDArray[np.uint8]
    write: NDArray[np.uint8]
    base: int
    cells: int
    monomial: ClassVar[bool] = True

    @property
    def T(self) -> int:  # type: ignore[override]
        """Number of steps."""
        return len(self.cell)

    @property
    def d(self) -> int:  # type: ignore[override]
        """|Σ|^cells, an exact integer."""
        return int(self.base) ** self.cells

    @property
    def unitary(self) -> bool:
        """Only a machine with one symbol, or no step, leaves nothing out."""
        return self.T == 0 or self.base == 1

    @cached_property
    def ints(self) -> NDArray[np.int64]:
        """(place value, symbol read, symbol written, base) of every step; fits where d does."""
        places = np.array([self.base ** (self.cells - 1 - c) for c in range(self.cells)], np.int64)
        place = places[self.cell] if self.T else self.cell
        columns = place, self.read, self.write, np.full(self.T, self.base)
        return np.stack([np.asarray(c, np.int64) for c in columns], axis=1)

    def data(self) -> kernels.StepData:
        """Four integers a step."""
        return step_data(kernels.CELL, self.dtype, ints=self.ints)

    @property
    def nnz(self) -> int:
        """Every step is defined on one |Σ|-th of the strings."""
        return self.T * (self.d // self.base)

    def entries(self) -> Entries:
        """The strings with the symbol read, each to the one with the symbol written."""
        x = np.arange(self.d)
        columns = [x[(x // place) % self.base == read] for place, read, _, _ in self.ints]
        rows = [c + (int(w) - int(r)) * p for c, (p, r, w, _) in zip(columns, self.ints, strict=True)]
        return stacked(rows, columns)

    @property
    def bytes_per_vector_step(self) -> int:
        """Four integers a step."""
        return 32 * self.T


@final
@dataclass(frozen=True)
class ImageSteps(Steps):
    """Partial permutations: step j sends basis state x to `images[j, x]`, and nowhere where that is -1.

    Raises
    ------
    InputError : two states of one step have the same image (that step would be no contraction), or an image is no
        state; the message names them.
    """

    images: NDArray[np.int32]
    monomial: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for j, row in enumerate(self.images):
            if len(row) and (row.min() < -1 or row.max() >= self.d):
                bad = int(row.min()) if row.min() < -1 else int(row.max())
                raise must_be(f"steps[{j}]", f"images from -1 (none) to {self.d - 1}", bad)
            defined = row[row >= 0]
            counts = np.bincount(defined, minlength=self.d)
            if counts.max(initial=0) > 1:
                y = int(counts.argmax())
                first, second = np.flatnonzero(row == y)[:2]
                raise InputError(f"`steps[{j}]` must be injective, but sends {first} and {second} both to {y}", "steps")

    @property
    def T(self) -> int:  # type: ignore[override]
        """Number of steps."""
        return len(self.images)

    @property
    def d(self) -> int:  # type: ignore[override]
        """Data dimension."""
        return self.images.shape[1]

    @cached_property
    def unitary(self) -> bool:
        """Injective and defined everywhere."""
        return bool((self.images >= 0).all())

    def data(self) -> kernels.StepData:
        """The table of images."""
        return step_data(kernels.PERMUTATION if self.unitary else kernels.PARTIAL, self.dtype, images=self.images)

    @cached_property
    def nnz(self) -> int:
        """Every defined image."""
        return int(np.count_nonzero(self.images >= 0))

    def entries(self) -> Entries:
        """Every defined image."""
        j, column = np.nonzero(self.images >= 0)
        return Entries(j, self.images[j, column].astype(np.int64), column, np.ones(len(j)))

    @property
    def bytes_per_vector_step(self) -> int:
        """Four bytes an image."""
        return self.images.nbytes

    def completed(self) -> ImageSteps:
        """Every step completed to a permutation of the whole data space: free states to free images, in order."""
        images = self.images.copy()
        for row in images:
            free = np.setdiff1d(np.arange(self.d), row)
            row[row < 0] = free
        return ImageSteps(images)


def stacked(
    rows: list[NDArray[Any]],
    columns: list[NDArray[Any]],
    values: list[NDArray[Any]] | None = None,
    dtype: np.dtype[Any] | type = np.float64,
) -> Entries:
    """The entries of all steps from those of each one; values default to 1."""
    j = np.repeat(np.arange(len(rows)), [len(r) for r in rows])
    row = np.concatenate([np.empty(0, np.int64), *rows]).astype(np.int64)
    column = np.concatenate([np.empty(0, np.int64), *columns]).astype(np.int64)
    value = np.ones(len(row)) if values is None else np.concatenate([np.empty(0, dtype), *values])
    return Entries(j, row, column, value)
