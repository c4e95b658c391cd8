"""V: a circuit that moves a small space of vectors on data ⊗ clock to a few core qubits, all others in |0>.

Two of them, both exact to rounding, made of sweeps (`circuits.sweeps`), which take a vector to |j> and spare |0>, …
|j-1>. `isometry` knows nothing of the space: its columns are swept one after the other. `clock-structured` uses where
the space of a layer comes from: all of it but one vector lies on two clock states, span{c_l, c_{l-k}}, with data in
span{Y_l, A c_l, A c_{l-k}}.

    1. the clock states c_l, c_{l-k} go to the clock values 0, 1 (one-hot: a relabelling; learned: two sweeps);
    2. the data vectors on those two go to the data values 0, 1, 2 (sweeps that the clock does not control), unless each
       of the two has a single data vector, which step 3 then treats like the others;
    3. on every other clock value the data vector is rotated to |0>: rotations of the data, multiplexed by the clock;
    4. the amplitudes on those clock values are swept to the clock value 2, 0 and 1 being spared;
    5. what is left lies on at most four qubits, and its columns are swept to |0>, |1>, |2>, |3>.

The cheaper is known before a gate of Qiskit's is made: the CX of a list of rotations are counted. For four real columns
on n qubits an isometry takes 2^{n+2} + 2n - 11 (Qiskit's own, after Iten et al., PRA 93, 032318 (2016), takes
2^{n+2} + n - 11 for real and complex, but was off by up to 9e-11 on layers); step 3 of a one-hot real layer with
d = 2^{n_d} and k = N - 1 = 2^{n_c} - 1 takes 2^n - 2^{n_c} - n_d, half as much for half as many clock values. All of V
is paid twice, in V and V†.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from qiskit import QuantumCircuit

from circuits.layer import Layer
from circuits.sweeps import ROUNDING, Gate, Not, Rotation, columns, merge, sweep, values
from hamiltonians.errors import must_be, one_of
from hamiltonians.memory import require_memory

Array = NDArray[Any]

PREPARATIONS = ("cheapest", "isometry", "clock-structured")

# what one gate of a Qiskit circuit takes, in bytes (measured: 300-500), and how many gates come with a CX, in V and V†
_GATE_BYTES, _GATES = 600, 4


@final
@dataclass(frozen=True)
class Preparation:
    """V: V q = (vector on the core qubits) ⊗ |0> for every q of the space.

    circuit : V on n qubits. core : its core qubits, the least significant first. vectors : the columns V q on the core
    [2^len(core), r]. cx : the number of CX gates in V.
    """

    circuit: QuantumCircuit
    core: tuple[int, ...]
    vectors: Array
    cx: int


def prepared(Q: Array, layer: Layer, preparation: str = "cheapest") -> Preparation:
    """V for the orthonormal columns of Q [dN, r], r ≤ 4, which lie in the space of `layer`.

    preparation : "isometry", "clock-structured", or "cheapest": the one with fewer CX.

    Raises
    ------
    InputError : an unknown preparation; columns that are not in the layer's space (any but isometry).
    MemoryEstimateError : more gates than memory holds.
    """
    if preparation not in PREPARATIONS:
        raise must_be("preparation", one_of(PREPARATIONS), preparation)
    registers = layer.registers
    n, r = registers.qubits, Q.shape[1]
    padded = registers.padded(Q.T).T
    if r == 0 or n <= 2:  # nothing to move: the whole of the qubits is a core
        return Preparation(registers.circuit(), tuple(range(n if r else 0)), padded if r else np.zeros((1, 0)), 0)
    plans: list[_Plan] = []
    if preparation != "isometry":
        plans.append(_Structured(padded, layer))
    if preparation != "clock-structured":
        plans.append(_Isometry(padded, layer))
    plan = min(plans, key=lambda one: one.cx)
    needed = 2 * _GATES * plan.cx * _GATE_BYTES
    require_memory(needed, f"a preparation with {plan.cx:,} CX gates", "take a smaller d or N")
    return plan.preparation()


class _Plan(ABC):
    """The gates of a V for Q [2^n, r], and v: Q moved by them."""

    def __init__(self, Q: Array, layer: Layer) -> None:
        self.layer = layer
        self.registers = layer.registers
        self.v = Q.astype(complex)
        self.r = Q.shape[1]
        self.gates: list[Gate] = []
        self.core = self._moved()[: (self.r - 1).bit_length()]

    @abstractmethod
    def _moved(self) -> tuple[int, ...]:
        """Move column i to |i> of the qubits that are given back; at most two of them, the first, are used."""

    @property
    def cx(self) -> int:
        """In V."""
        return sum(gate.cx for gate in self.gates)

    def preparation(self) -> Preparation:
        """V as a circuit."""
        circuit = self.registers.circuit()
        for gate in self.gates:
            gate.append_to(circuit)
        return Preparation(circuit, self.core, self._on(self.core), self.cx)

    def _do(self, gates: Sequence[Gate], qubits: Sequence[int]) -> None:
        """Append gates whose qubit i is qubits[i]."""
        for gate in gates:
            renamed = gate.on(qubits)
            renamed.apply(self.v)
            self.gates.append(renamed)

    def _on(self, qubits: Sequence[int]) -> Array:
        """v where all other qubits are 0 [2^len(qubits), r]."""
        value = np.arange(2 ** len(qubits))
        states = np.zeros_like(value)
        for position, qubit in enumerate(qubits):
            states |= (value >> position & 1) << qubit
        return self.v[states]


@final
class _Isometry(_Plan):
    """All columns swept, one after the other."""

    def _moved(self) -> tuple[int, ...]:
        qubits = tuple(range(self.registers.qubits))
        self._do(columns(self.v.copy()), qubits)
        return qubits


@final
class _Structured(_Plan):
    """Steps 1-5 above.

    Raises
    ------
    InputError : the columns of Q are not in the space of the layer.
    """

    def _moved(self) -> tuple[int, ...]:
        self.special = self._move_clock()  # clock values 0 … special-1 carry all but one vector
        alone = all(_rank(self._sectors()[:, c]) <= 1 for c in range(self.special))
        D = 1 if alone else self._move_data()
        self._clear_data(alone)
        core = self._core(alone, D)
        self._sweep_core(core)
        return core

    def _sectors(self) -> Array:
        """v as data by clock by column [2^n_d, 2^n_c, r]."""
        return self.v.reshape(-1, 2**self.registers.clock_qubits, self.r)

    def _move_clock(self) -> int:
        """Step 1: span{c_l, c_{l-k}} to the clock values 0, 1; how many of them."""
        states = np.zeros((2**self.registers.clock_qubits, 2))
        states[: self.registers.N] = np.stack([self.layer.c, self.layer.c_before], 1)
        used = np.flatnonzero(np.abs(states).max(1))
        if len(used) <= 2 and all(np.count_nonzero(states[:, i]) <= 1 for i in (0, 1)):
            self._relabel(*(int(np.argmax(np.abs(states[:, i]))) for i in (0, 1)))
            return len(used)
        basis = orthonormal(states)
        self._do(columns(basis.astype(complex)), self.registers.clock)
        return basis.shape[1]

    def _relabel(self, s: int, t: int) -> None:
        """Clock value s to 0 and t to 1, by an affine map over bits."""
        flips: list[Gate] = [Rotation("y", np.array([np.pi]), q) for q in self.registers.clock if s >> q & 1]
        difference = [q for q in self.registers.clock if (s ^ t) >> q & 1]
        if difference and difference[0] != 0:
            flips.append(Not(difference[0], 0))
        flips += [Not(0, q) for q in difference if q != 0]
        self._do(flips, range(self.registers.qubits))

    def _move_data(self) -> int:
        """Step 2: the data vectors on the clock values 0, 1 to the data values 0, 1, 2, Y_l first; how many."""
        found = self._sectors()[:, : self.special].reshape(2**self.registers.data_qubits, -1)
        Y = np.zeros((len(found), 1), complex)
        Y[: self.registers.d, 0] = self.layer.Y
        if _rank(np.hstack([found, _unit(Y)])) > _rank(found):
            Y = Y[:, :0]  # not among them
        first = _unit(Y)
        basis = np.hstack([first, orthonormal(found - first @ (first.conj().T @ found))])
        self._do(columns(basis.copy()), self.registers.data)
        return basis.shape[1]

    def _clear_data(self, alone: bool) -> None:
        """Step 3: the one data vector of every clock value c to |0>; if not `alone`, of c ≥ special only."""
        sectors = self._sectors()
        wanted = {}
        for c in range(0 if alone else self.special, sectors.shape[1]):
            left, size, _ = np.linalg.svd(sectors[:, c], full_matrices=False)
            if (size > ROUNDING).any():
                wanted[c] = left[:, 0] * size[0]
        fixed = [] if alone else list(range(self.special))
        bits = _distinguishing(list(wanted), fixed, self.registers.clock_qubits)
        nd, nb = self.registers.data_qubits, len(bits)
        table = np.zeros((2**nd, 2**nb, 1), complex)
        turned = np.zeros(2**nb, bool)
        for c, vector in wanted.items():
            at = values(np.array([c]), bits)[0]
            table[:, at, 0], turned[at] = vector, True
        table = table.reshape(-1, 1)
        # in the table the clock lies low, but the control whose last gate is left out is the clock's highest: it is 0
        # on the fixed values, so that nothing happens there
        for q in range(nb, nd + nb):
            controls = [*range(q + 1, nd + nb), *range(nb)]
            rotated = turned[np.arange(2 ** len(controls)) >> (nd + nb - 1 - q)]
            self._do(merge(table, q, controls, rotated, guarded=True), [*bits, *self.registers.data])

    def _core(self, alone: bool, D: int) -> tuple[int, ...]:
        """Step 4: the qubits on which the space lies once all else is on one clock value more."""
        clock = self.registers.clock
        if alone:
            return tuple(clock)
        rest = self._sectors()[0, self.special :]
        left, size, _ = np.linalg.svd(rest, full_matrices=False)
        low, data = clock[: self.special - 1], self.registers.data[: (D - 1).bit_length()]
        if not (size > ROUNDING).any():
            return (*low, *data)
        amplitudes = np.zeros((2 ** len(clock), 1), complex)
        amplitudes[self.special :, 0] = left[:, 0]
        self._do(sweep(amplitudes, self.special), clock)
        return (*low, *data, clock[self.special - 1])

    def _sweep_core(self, core: tuple[int, ...]) -> None:
        """Step 5: the columns to the first r values of the core; those of its states that are in the space stay."""
        K = self._on(core)
        if np.abs(np.linalg.norm(K, axis=0) - 1).max(initial=0.0) > 1e-10:
            raise must_be("Q", "columns in the space of the layer", "others")
        inside = np.linalg.norm(np.eye(len(K)) - K @ K.conj().T, axis=0) < ROUNDING
        stay = int(np.argmin(inside)) if not inside.all() else self.r
        if stay < self.r:
            others = K @ scipy.linalg.null_space(K[:stay]) if stay else K
            _, _, right = np.linalg.svd(others[len(K) // 2 :], full_matrices=True)
            # the vector that alone leaves the special clock values comes last: the rest is swept without it
            basis = np.hstack([np.eye(len(K), stay), others @ right.conj().T[:, ::-1]])
            self._do(columns(basis.astype(complex), stay), core)


def _unit(v: Array) -> Array:
    """Columns of length 1, without those that are 0."""
    size = np.linalg.norm(v, axis=0)
    return v[:, size > 0] / size[size > 0]


def orthonormal(v: Array) -> Array:
    """An orthonormal basis of the columns of v, up to rounding."""
    left, size, _ = np.linalg.svd(v, full_matrices=False)
    return left[:, size > ROUNDING]


def _rank(v: Array) -> int:
    """Of v, up to rounding."""
    return int((np.linalg.svd(v, compute_uv=False) > ROUNDING).sum())


def _distinguishing(wanted: Sequence[int], fixed: Sequence[int], clock_qubits: int) -> list[int]:
    """Few clock qubits whose values tell the wanted clock values apart and from the fixed ones."""
    bits = list(range(clock_qubits))
    for bit in range(clock_qubits):
        fewer = [b for b in bits if b != bit]
        seen = [int(values(np.array([c]), fewer)[0]) for c in wanted]
        others = {int(values(np.array([c]), fewer)[0]) for c in fixed}
        if len(set(seen)) == len(seen) and not others & set(seen):
            bits = fewer
    return bits
