"""The qubits of data ⊗ clock: how vectors and matrices of dN rows are padded to 2^n.

A basis state is `data * 2^(clock qubits) + clock`: Qiskit is little-endian, and the clock lies on the low qubits.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit, QuantumRegister

Array = NDArray[Any]


@final
@dataclass(frozen=True)
class Registers:
    """ceil(log2 N) clock qubits below ceil(log2 d) data qubits; none where a factor has one state.

    d, N : dimensions of data and clock. Vectors on data ⊗ clock are indexed data * N + clock, as numpy.kron orders
    them.
    """

    d: int
    N: int

    @property
    def data_qubits(self) -> int:
        """ceil(log2 d)."""
        return (self.d - 1).bit_length()

    @property
    def clock_qubits(self) -> int:
        """ceil(log2 N)."""
        return (self.N - 1).bit_length()

    @property
    def qubits(self) -> int:
        """n, of both."""
        return self.data_qubits + self.clock_qubits

    @property
    def data(self) -> list[int]:
        """The positions of the data qubits, the least significant first: the high ones."""
        return list(range(self.clock_qubits, self.qubits))

    @property
    def clock(self) -> list[int]:
        """The positions of the clock qubits, the least significant first: the low ones."""
        return list(range(self.clock_qubits))

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """The basis state of every row data * N + clock [dN], in ascending order."""
        return (np.arange(self.d)[:, None] * 2**self.clock_qubits + np.arange(self.N)).reshape(-1)

    @cached_property
    def unused(self) -> NDArray[np.int64]:
        """The basis states that are no row [2^n - dN]."""
        return np.setdiff1d(np.arange(2**self.qubits), self.rows)

    def padded(self, v: Array) -> Array:
        """Vectors [..., dN] with zeros on the unused states [..., 2^n]."""
        full = np.zeros((*v.shape[:-1], 2**self.qubits), v.dtype)
        full[..., self.rows] = v
        return full

    def padded_matrix(self, M: Array, fill: complex = 0.0) -> Array:
        """A matrix [dN, dN] with `fill` on the diagonal of the unused states [2^n, 2^n]."""
        full = np.zeros((2**self.qubits,) * 2, M.dtype)
        full[np.ix_(self.rows, self.rows)] = M
        full[self.unused, self.unused] = fill
        return full

    def extracted(self, v: Array) -> Array:
        """Vectors [..., 2^n] without the unused states [..., dN]."""
        return v[..., self.rows]

    def circuit(self, *more: QuantumRegister) -> QuantumCircuit:
        """An empty circuit on the registers `clock` (low) and `data`, and those given above them."""
        own = [(self.clock_qubits, "clock"), (self.data_qubits, "data")]
        return QuantumCircuit(*(QuantumRegister(size, name) for size, name in own if size), *more)
