"""Steps U_j on a device: `apply` and `adjoint` on data vectors, as in the loops of `hamiltonians.kernels`.

Vectors are (…, d): the last axis is the data state. Step j leads from clock j to j + 1. Cells and gates are views of
the vector with a few axes and need no table of indices. Permutations are moved by index lists of 32 bits, which are the
host's own arrays on a CPU; on a card all of them stay there if they fit, and else come a step at a time. Matrices are
dense where an eighth of their elements is filled, and triplets else.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hamiltonians import kernels
from hamiltonians.steps import Steps
from qunn.clock_engine.memory import is_dense

_FEW = 6  # elements of a gate up to which its quarters are combined one by one


class TensorSteps(ABC):
    """T contractions on data vectors of length d on one device."""

    def __init__(self, d: int, T: int, device: torch.device) -> None:
        self.d, self.T, self.device = d, T, device

    @abstractmethod
    def apply(self, j: int, x: Tensor, out: Tensor, fill: Tensor | None = None) -> None:
        """out = U_j x; for partial permutations `fill` where nothing is sent (default: 0)."""

    @abstractmethod
    def adjoint(self, j: int, x: Tensor, out: Tensor, fill: Tensor | None = None) -> None:
        """out = U_j† x; for partial permutations `fill` where the step is not defined (default: 0)."""

    def begin_product(self, j: int, touching: int, here: Tensor, before: Tensor, out: Tensor) -> None:
        """out = touching·here - U_j before, without a pass of its own for the first term."""
        self.apply(j, before, out)
        _less(touching, here, out, out)

    def subtract(self, j: int, x: Tensor, out: Tensor, buffer: Tensor) -> None:
        """out -= U_j x."""
        self.apply(j, x, buffer)
        out.sub_(buffer)

    def subtract_adjoint(self, j: int, x: Tensor, out: Tensor, buffer: Tensor) -> None:
        """out -= U_j† x."""
        self.adjoint(j, x, buffer)
        out.sub_(buffer)


def tensor_steps(steps: Steps, device: torch.device, *, resident: bool = True) -> TensorSteps:
    """The steps of a Hamiltonian on a device; `resident` keeps their lists there."""
    data = steps.data()
    if data.kind == kernels.HOP:
        return HopSteps(steps.d, steps.T, device)
    if data.kind == kernels.CELL:
        return CellTensorSteps(steps.d, data.ints, device)
    if data.kind == kernels.GATE:
        return GateTensorSteps(steps.d, data.ints, data.coefficients, device)
    if data.kind == kernels.MATRIX:
        return MatrixTensorSteps(steps, device, resident)
    if data.kind == kernels.PERMUTATION:
        return ListedSteps(steps.d, None, list(data.images), device, resident)
    sources = [np.flatnonzero(row >= 0).astype(np.int32) for row in data.images]
    targets = [row[source] for row, source in zip(data.images, sources, strict=True)]
    return ListedSteps(steps.d, sources, targets, device, resident)


def _blank(out: Tensor, fill: Tensor | None) -> None:
    if fill is None:
        out.zero_()
    else:
        out.copy_(fill)  # broadcasts


def _less(touching: int, x: Tensor, y: Tensor, out: Tensor) -> None:
    """out = touching·x - y in one pass; touching is 1 or 2, and 2x - y = y + 2(x - y)."""
    if touching == 1:
        torch.sub(x, y, out=out)
    else:
        torch.lerp(y, x, 2.0, out=out)


@final
class HopSteps(TensorSteps):
    """U_j = |j+1><j|: one element moves."""

    def apply(self, j: int, x: Tensor, out: Tensor, fill: Tensor | None = None) -> None:
        """Element j becomes element j + 1."""
        _blank(out, fill)
        out[..., j + 1] = x[..., j]

    def adjoint(self, j: int, x: Tensor, out: Tensor, fill: Tensor | None = None) -> None:
        """Element j + 1 becomes element j."""
        _blank(out, fill)
        out[..., j] = x[..., j + 1]

    def begin_product(self, j: int, touching: int, here: Tensor, before: Tensor, out: Tensor) -> None:
        """One element."""
        torch.mul(here, touching, out=out)
        out[j + 1] -= before[j]

    def subtract(self, j: int, x: Tensor, out: Tensor, buffer: Tensor) -> None:  # noqa: ARG002
        """One element."""
        out[..., j + 1] -= x[..., j]

    def subtract_adjoint(self, j: int, x: Tensor, out: Tensor, buffer: Tensor) -> None:  # noqa: ARG002
        """One element."""
        out[..., j] -= x[..., j + 1]


@final
class CellTensorSteps(TensorSteps):
    """One cell of a tape: a slab of the vector, seen as (rest, base, place), becomes another slab."""

    def __init__(self, d: int, ints: NDArray[np.int64], device: torch.device) -> None:
        super().__init__(d, len(ints), device)
        self._ints: list[list[int]] = ints.tolist()

    def apply(self, j: int, x: Tensor, out: Tensor, fill: Tensor | None = None) -> None:
        """The slab read becomes the slab written."""
        place, read, write, base = self._ints[j]
        self._move(place, read, write, base, x, out, fill)

    def adjoint(self, j: int, x: Tensor, out: Tensor, fill: Tensor | None = None) -> None:
        """The slab written becomes the slab read."""
        place, read, write, base = self._ints[j]
        self._move(place, write, read, base, x, out, fill)

    def begin_product(self, j: int, touching: int, here: Tensor, before: Tensor, out: Tensor) -> None:
        """One slab less another, and the others as they are."""
        place, read, write, base = self._ints[j]
        for symbol in range(base):
            slabs = _slab(here, base, place, symbol), _slab(out, base, place, symbol)
            if symbol == write:
                _less(touching, slabs[0], _slab(before, base, place, read), slabs[1])
            else:
                torch.mul(slabs[0], touching, out=slabs[1])

    def subtract(self, j: int, x: Tensor, out: Tensor, buffer: Tensor) -> None:  # noqa: ARG002
        """One slab less another."""
        place, read, write, base = self._ints[j]
        _slab(out, base, place, write).sub_(_slab(x, base, place, read))

    def subtract_adjoint(self, j: int, x: Tensor, out: Tensor, buffer: Tensor) -> None:  # noqa: ARG002
        """One slab less another."""
        place, read, write, base = self._ints[j]
        _slab(out, base, place, read).sub_(_slab(x, base, place, write))

    @staticmethod
    def _move(place: int, source: int, target: int, base: int, x: Tensor, out: Tensor, fill: Tensor | None) -> None:
        blank = None if fill is None else fill.unsqueeze(-1)  # one axis more in a slab
        for symbol in range(base):
            if symbol != target:
                _blank(_slab(out, base, place, symbol), blank)
        _slab(out, base, place, target).copy_(_slab(x, base, place, source))


def _slab(x: Tensor, base: int, place: int, symbol: int) -> Tensor:
    """The data states with a symbol on the cell of this place value: a view (…, rest, place)."""
    return x.view(*x.shape[:-1], -1, base, place).select(-2, symbol)


@final
class GateTensorSteps(TensorSteps):
    """One- and two-qubit gates: four quarters of the vector, by the bits of its index, are combined (no batch axis)."""

    def __init__(self, d: int, strides: NDArray[np.int64], coefficients: NDArray[Any], device: torch.device) -> None:
        super().__init__(d, len(strides), device)
        self._strides: list[list[int]] = strides.tolist()
        gates = coefficients.reshape(-1, 4, 4)
        self._matrices = _shared(gates).to(device)
        #: rows of a gate with few elements, to be taken one by one, or None
        self._few = [gate.tolist() if np.count_nonzero(gate) <= _FEW else None for gate in gates]

    def apply(self, j: int, x: Tensor, out: Tensor, fill: Tensor | None = None) -> None:  # noqa: ARG002
        """A product with sixteen coefficients, or with those that are not zero if they are few."""
        self._combine(j, False, x, out)

    def adjoint(self, j: int, x: Tensor, out: Tensor, fill: Tensor | None = None) -> None:  # noqa: ARG002
        """The same with the conjugate transpose."""
        self._combine(j, True, x, out)

    def subtract(self, j: int, x: Tensor, out: Tensor, buffer: Tensor) -> None:  # noqa: ARG002
        """Without a buffer."""
        self._combine(j, False, x, out, subtract=True)

    def subtract_adjoint(self, j: int, x: Tensor, out: Tensor, buffer: Tensor) -> None:  # noqa: ARG002
        """Without a buffer."""
        self._combine(j, True, x, out, subtract=True)

    def _combine(self, j: int, adjoint: bool, x: Tensor, out: Tensor, *, subtract: bool = False) -> None:
        """out (-)= gate x: one product with a packed copy of x, or a few of its quarters."""
        here, there = _by_bits(x, self._strides[j]), _by_bits(out, self._strides[j])
        few = self._few[j]
        if few is None:
            gate = self._matrices[j].to(x.dtype)
            product = torch.matmul(gate.mH if adjoint else gate, here.reshape(4, -1)).view(here.shape)
            if subtract:
                there.sub_(product)
            else:
                there.copy_(product)
            return
        sources, targets = ([axes[s, t] for s in (0, 1) for t in (0, 1)] for axes in (here, there))
        for row, target in enumerate(targets):
            begun = subtract
            for column, source in enumerate(sources):
                u = few[column][row].conjugate() if adjoint else few[row][column]
                if u == 0:
                    continue
                if begun:
                    target.add_(source, alpha=-u if subtract else u)
                else:
                    torch.mul(source, u, out=target)
                begun = True
            if not begun:
                target.zero_()


def _by_bits(x: Tensor, strides: list[int]) -> Tensor:
    """The vector with the bits of a qubit pair as its first two axes, (2, 2, …): a view; a has the first stride."""
    a, b = strides
    small, large = min(a, b), max(a, b)
    axes = x.view(-1, 2, large // (2 * small), 2, small)
    return axes.permute(1, 3, 0, 2, 4) if a > b else axes.permute(3, 1, 0, 2, 4)


@final
class ListedSteps(TensorSteps):
    """Step j sends `sources[j][i]` to `targets[j][i]`; without `sources` state i goes there: a permutation."""

    def __init__(
        self,
        d: int,
        sources: list[NDArray[np.int32]] | None,
        targets: list[NDArray[np.int32]],
        device: torch.device,
        resident: bool,
    ) -> None:
        super().__init__(d, len(targets), device)
        self._sources = None if sources is None else _tensors(sources, device, resident)
        self._targets = _tensors(targets, device, resident)

    def apply(self, j: int, x: Tensor, out: Tensor, fill: Tensor | None = None) -> None:
        """Scattered to the images."""
        target = self._targets[j].to(self.device)
        if self._sources is None:
            _scatter(out, target, x)
            return
        _blank(out, fill)
        _scatter(out, target, x.index_select(-1, self._sources[j].to(self.device)))

    def adjoint(self, j: int, x: Tensor, out: Tensor, fill: Tensor | None = None) -> None:
        """Gathered from the images."""
        target = self._targets[j].to(self.device)
        if self._sources is None:
            torch.index_select(x, -1, target, out=out)
            return
        _blank(out, fill)
        _scatter(out, self._sources[j].to(self.device), x.index_select(-1, target))


def _scatter(out: Tensor, index: Tensor, x: Tensor) -> None:
    """out[…, index] = x; PyTorch scatters by 64-bit indices only, twice as fast as it copies by index on a CPU."""
    out.scatter_(-1, index.long().expand(x.shape), x)


def _tensors(arrays: list[NDArray[np.int32]], device: torch.device, resident: bool) -> list[Tensor]:
    """The arrays as tensors: on a CPU the same memory, on a card there or, unless resident, still here."""
    tensors = [_shared(np.ascontiguousarray(a)) for a in arrays]
    return [t.to(device) for t in tensors] if resident else tensors


def _shared(array: NDArray[Any]) -> Tensor:
    """A tensor on the memory of an array that nobody writes to, and that may forbid it, as a mapped file does."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writ")
        return torch.from_numpy(array)


@final
class MatrixTensorSteps(TensorSteps):
    """Any matrices, as dense tensors or as triplets (row, column, value)."""

    def __init__(self, steps: Steps, device: torch.device, resident: bool) -> None:
        super().__init__(steps.d, steps.T, device)
        self._resident = resident
        self._parts: list[tuple[Tensor, ...]] = []
        for j in range(steps.T):
            U = steps.matrix(j)
            if is_dense(U.nnz, steps.d):
                parts: tuple[Tensor, ...] = (torch.from_numpy(U.toarray()),)
            else:
                coo = U.tocoo()
                indices = [torch.from_numpy(i.astype(np.int32)) for i in (coo.row, coo.col)]
                parts = (*indices, torch.from_numpy(np.ascontiguousarray(coo.data)))
            self._parts.append(tuple(p.to(device) for p in parts) if resident else parts)

    def apply(self, j: int, x: Tensor, out: Tensor, fill: Tensor | None = None) -> None:  # noqa: ARG002
        """A product with the matrix."""
        parts = [p.to(self.device) for p in self._parts[j]]
        if len(parts) == 1:
            torch.matmul(parts[0].to(x.dtype), x, out=out)
            return
        row, column, value = parts
        out.zero_().index_add_(-1, row, x.index_select(-1, column).mul_(value.to(x.dtype)))

    def adjoint(self, j: int, x: Tensor, out: Tensor, fill: Tensor | None = None) -> None:  # noqa: ARG002
        """A product with its conjugate transpose."""
        parts = [p.to(self.device) for p in self._parts[j]]
        if len(parts) == 1:
            torch.matmul(parts[0].to(x.dtype).mH, x, out=out)
            return
        row, column, value = parts
        out.zero_().index_add_(-1, column, x.index_select(-1, row).mul_(value.to(x.dtype).conj()))


__all__ = ["TensorSteps", "tensor_steps"]
