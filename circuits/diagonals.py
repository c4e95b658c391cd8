"""Commuting Pauli strings that share their X part, as one multiplexed rotation.

A string with X where x, Z where z and Y where both is P = i^y X^x Z^z, y = |x∧z|. With p the lowest qubit of x and F
the CX gates from p to the others of x,

    F P F = (-1)^(y/2) X_p Z^z'  for even y,     (-1)^((y-1)/2) Y_p Z^z'  for odd y,     z' = z without p,

so that all strings of one x and one parity of y commute, and after a change of basis of p their exponentials are one
rotation of p about z by the angle φ(v) = 2 Σ_z' ±θ_z' (-1)^(z'·v), v being the value of the other qubits. On n qubits
that takes 2^(n-1) + 2(|x| - 1) CX, about one a string where all strings are there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit

from circuits.sweeps import rotation, signed_sums

Array = NDArray[Any]


@final
class Diagonals:
    """Strings [M, n] of X parts x and Z parts z, by qubit from the lowest."""

    def __init__(self, x: NDArray[np.bool_], z: NDArray[np.bool_]) -> None:
        n = x.shape[1]
        self._n = n
        y = (x & z).sum(1)
        bits = 1 << np.arange(n)
        self._x = x
        self._sign = np.where(y // 2 % 2, -1.0, 1.0)
        self._odd = y % 2 == 1
        self.pivot: list[int] = (x.argmax(1) if n else np.zeros(len(x), int)).tolist()  # p, where there is any
        #: x and the parity of y: strings that share it commute; -1 without an X part
        self.group: list[int] = np.where(x.any(1), 2 * (x @ bits) + self._odd, -1).tolist()
        value = z @ bits
        p = np.array(self.pivot, int)
        self._value = (value & (1 << p) - 1) | (value >> p + 1) << p  # z', the pivot's bit left out

    def cheaper(self, index: int, count: int) -> bool:
        """Whether `count` strings of that one's group take fewer CX together than two each, the least of ladders."""
        return self.group[index] >= 0 and 2 ** (self._n - 1) + 2 * (int(self._x[index].sum()) - 1) < 2 * count

    def append(self, circuit: QuantumCircuit, indices: Iterable[int], angles: Iterable[float]) -> None:
        """Π exp(-i angle P) over strings of one group."""
        at = np.fromiter(indices, int)
        first = int(at[0])
        p = self.pivot[first]
        others = [q for q in range(self._n) if q != p]
        table = np.zeros(2 ** len(others))
        np.add.at(table, self._value[at], 2 * self._sign[at] * np.fromiter(angles, float))
        around = QuantumCircuit(self._n)
        for q in np.flatnonzero(self._x[first]).tolist():
            if q != p:
                around.cx(p, q)
        if self._odd[first]:
            around.sdg(p)
        around.h(p)
        circuit.compose(around, range(self._n), inplace=True)
        for gate in rotation("z", signed_sums(table), p, others):
            gate.append_to(circuit)
        circuit.compose(around.inverse(), range(self._n), inplace=True)
