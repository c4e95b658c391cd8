"""Multiplexed rotations as data, and the sweep: a vector to a basis state.

A rotation with k controls, one angle for each of their values, takes 2^k CX in Gray code order (Möttönen, Vartiainen,
Bergholm, Salomaa, PRL 93, 130502 (2004)), or 2^k - 1 where the last of them does nothing. A sweep of a real vector on
m qubits takes 2^m - m - 1, and at most 2(m - j) + 3 more to spare the states |0>, … |j-1> with j ≤ 3; a complex one
about twice that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, final

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit

Array = NDArray[Any]

# below this an amplitude of a unit vector is rounding; leaving it out moves the operator by as much
ROUNDING = 1e-13


@final
@dataclass(frozen=True)
class Rotation:
    """RY or RZ of `target` by the angle that the controls' value selects.

    angles [2^k] : indexed by the value of the controls, controls[0] the least significant.
    last : False leaves the last CZ, of controls[-1] with target, out of an RY: for states on which it does nothing.
    """

    axis: Literal["y", "z"]
    angles: Array
    target: int
    controls: tuple[int, ...] = ()
    last: bool = True

    @property
    def cx(self) -> int:
        """2^k, or one less."""
        return (2 ** len(self.controls) - (not self.last)) if self.controls else 0

    def on(self, qubits: Sequence[int]) -> Rotation:
        """With qubit i renamed qubits[i]."""
        return replace(self, target=qubits[self.target], controls=tuple(qubits[c] for c in self.controls))

    def apply(self, v: Array) -> None:
        """In place on the columns of v [2^n, r]."""
        states = np.arange(len(v))
        zero = states[states >> self.target & 1 == 0]
        one = zero | 1 << self.target
        half = self.angles[values(zero, self.controls)][:, None] / 2
        a, b = v[zero], v[one]
        if self.axis == "z":
            v[zero], v[one] = np.exp(-1j * half) * a, np.exp(1j * half) * b
            return
        v[zero], v[one] = np.cos(half) * a - np.sin(half) * b, np.sin(half) * a + np.cos(half) * b
        if not self.last:
            v[one[one >> self.controls[-1] & 1 == 1]] *= -1

    def append_to(self, circuit: QuantumCircuit) -> None:
        """In Gray code order (Möttönen et al. 2004): rotation, CZ (CX for z), rotation, CZ, …"""
        rotate = circuit.ry if self.axis == "y" else circuit.rz
        flip = circuit.cz if self.axis == "y" else circuit.cx
        k = len(self.controls)
        for i, angle in enumerate(_gray_angles(self.angles)):
            if angle:
                rotate(float(angle), self.target)
            if i + 1 < 2**k:
                flip(self.controls[((i + 1) & -(i + 1)).bit_length() - 1], self.target)
        if k and self.last:
            flip(self.controls[-1], self.target)


@final
@dataclass(frozen=True)
class Not:
    """CX."""

    control: int
    target: int
    cx: int = 1

    def on(self, qubits: Sequence[int]) -> Not:
        """With qubit i renamed qubits[i]."""
        return Not(qubits[self.control], qubits[self.target])

    def apply(self, v: Array) -> None:
        """In place on the columns of v [2^n, r]."""
        states = np.arange(len(v))
        v[:] = v[states ^ (states >> self.control & 1) << self.target]

    def append_to(self, circuit: QuantumCircuit) -> None:
        """One gate."""
        circuit.cx(self.control, self.target)


Gate = Rotation | Not


def values(states: Array, qubits: Sequence[int]) -> Array:
    """The value of some qubits, the first the least significant, in each of the basis states."""
    value = np.zeros_like(states)
    for position, qubit in enumerate(qubits):
        value |= (states >> qubit & 1) << position
    return value


def _gray_angles(angles: Array) -> Array:
    """The 2^k angles between the CX gates: θ_j = Σ_i φ_i (-1)^{|j & gray(i)|} solved for φ."""
    phi = signed_sums(np.array(angles, float))
    i = np.arange(len(phi))
    return phi[i ^ i >> 1] / len(phi)


def signed_sums(table: Array) -> Array:
    """Σ_u table[u] (-1)^(u·v) for every v, the Walsh-Hadamard transform."""
    sums, step = table, 1
    while step < len(sums):
        pairs = sums.reshape(-1, 2, step)
        sums = np.stack([pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]], 1).reshape(-1)
        step *= 2
    return sums


def rotation(
    axis: Literal["y", "z"], angles: Array, target: int, controls: Sequence[int], *, last: bool = True
) -> list[Gate]:
    """The rotation without the controls that make no difference; nothing if no angle does."""
    table, kept = np.asarray(angles, float), list(controls)
    for control in reversed(list(controls)):
        pairs = table.reshape(-1, 2, 2 ** kept.index(control))
        if np.abs(pairs[:, 0] - pairs[:, 1]).max(initial=0.0) < ROUNDING:
            table = pairs[:, 0].reshape(-1)
            kept.remove(control)
    if np.abs(table).max() < ROUNDING:
        return []
    # a control that is left out may have been the one whose last gate does nothing
    return [Rotation(axis, table, target, tuple(kept), last or not kept or kept[-1] != controls[-1])]


def merge(v: Array, target: int, controls: Sequence[int], rotated: Array, *, guarded: bool = False) -> list[Gate]:
    """Rotate pairs of amplitudes that differ in `target` to the one where it is 0, and v [2^m, r] with them.

    The pairs are those of column 0 with zeros on all qubits but `target` and `controls`, where rotated [2^k], indexed
    by the controls' value, says so. guarded : the other values of the controls see the identity; else perhaps a phase.
    """
    value = np.arange(2 ** len(controls))
    zero = np.zeros_like(value)
    for position, control in enumerate(controls):
        zero |= (value >> position & 1) << control
    a, b = v[zero, 0], v[zero | 1 << target, 0]
    rotated = rotated & (np.abs(b) > ROUNDING)
    both = rotated & (np.abs(a) > ROUNDING)
    turn = np.angle(a * b.conj())  # of a against b
    real = np.abs(np.sin(turn)) < ROUNDING  # no more than a sign, which the RY can take
    phased = both & ~real
    elsewhere = turn[phased][0] if phased.any() and not guarded and not (both & real).any() else 0.0
    gates = rotation("z", np.where(phased, turn, elsewhere), target, controls)
    sign = np.where(both & real, np.sign(np.cos(turn)), 1.0)
    angle = -2 * np.arctan2(np.abs(b) * sign, np.abs(a))
    gates += rotation("y", np.where(rotated, angle, 0.0), target, controls, last=False)
    for gate in gates:
        gate.apply(v)
    return gates


def sweep(v: Array, j: int) -> list[Gate]:
    """Column 0 of v [2^m, r], zero on |0>, … |j-1>, goes to |j>; those are fixed up to signs and phases. v follows."""
    m = len(v).bit_length() - 1
    gates: list[Gate] = []
    for q in range(m):  # halve the states that are left, but for those that share a block with a fixed one
        block = np.arange(2 ** (m - 1 - q)) << (q + 1)
        gates += merge(v, q, range(q + 1, m), block >= j)
    for h in reversed(range(j.bit_length() if j else m, m)):  # what is left lies on powers of two, and on j
        if abs(v[1 << h, 0]) < ROUNDING:
            continue
        below = max(j, 1 << (h - 1))
        bits = [q for q in range(h) if below >> q & 1]
        hop: list[Gate] = [Not(h, q) for q in bits]
        for gate in hop:
            gate.apply(v)
        gates += hop + merge(v, h, bits, np.arange(2 ** len(bits)) == 2 ** len(bits) - 1)
    return gates


def columns(v: Array, start: int = 0) -> list[Gate]:
    """Column i of v [2^m, r], orthonormal, goes to |i> for i ≥ start, as those before already are. v follows."""
    gates: list[Gate] = []
    for i in range(start, v.shape[1]):
        v[:i, i] = 0  # rounding
        rolled = np.roll(v, -i, 1)
        gates += sweep(rolled, i)
        v[:] = np.roll(rolled, i, 1)
    return gates
