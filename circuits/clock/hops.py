"""Where the hop of one step acts: U⊗|j+1><j| as pairs of basis states in a frame of CX gates.

In the frame F of `Pairs`, F (U⊗|j+1><j|) F† = S⊗|after><before| on one qubit, the target, with a diagonal S ≥ 0 over
the patterns: a two-level rotation is one gate on the target. Where a step maps basis states to basis states, data x to
y, the frame is CX gates on the bits of x^y only; for other steps it is the two unitaries of U = A S B†.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, final

import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit.library import UnitaryGate

from circuits.clock.encoding import Encoding, Pattern, bits, cover
from hamiltonians.clock import ClockHamiltonian
from hamiltonians.contractions import GateSteps, MatrixSteps
from hamiltonians.errors import InputError
from hamiltonians.steps import CellSteps

_LARGEST = 8  # data qubits of a plain matrix: its two unitaries are compiled with about 4^(qubits+1) CX gates
_ROUNDING = 64 * float(np.finfo(np.float64).eps)


@final
@dataclass(frozen=True)
class Pairs:
    """Pairs (before, after) that hop into each other with one frame.

    frame : F. target : the qubit that tells before from after in it. before : its bit before the hop.
    clock : the pattern of the clock's other qubits.
    strengths : S, by patterns that exclude each other and hold `clock`.
    """

    frame: QuantumCircuit
    target: int
    before: int
    clock: Pattern
    strengths: tuple[tuple[float, Pattern], ...]


@final
@dataclass(frozen=True)
class Hop:
    """Step j (from 0): its pairs, and the basis states at clock j and j + 1 that no pair holds.

    pairs : one at least, if with no pattern. idle : patterns where U (at clock j) or U† (at clock j+1) is 0 and that
    no pair's strengths list.
    """

    pairs: tuple[Pairs, ...]
    idle: tuple[Pattern, ...]


@final
@dataclass(frozen=True)
class Hops:
    """The hops of all steps of H in an encoding."""

    H: ClockHamiltonian
    encoding: Encoding

    def hop(self, j: int) -> Hop:
        """Step j.

        Raises
        ------
        InputError : a plain matrix on too many qubits.
        """
        steps = self.H.steps
        if isinstance(steps, CellSteps) and steps.base & (steps.base - 1) == 0:
            return self._of_cell(j, steps)
        if steps.monomial:
            return self._of_images(*self._images[j])
        if isinstance(steps, GateSteps):
            return self._of_gate(j, steps)
        assert isinstance(steps, MatrixSteps)
        return self._of_matrix(j, steps)

    # --- basis states to basis states ---

    @cached_property
    def _images(self) -> list[tuple[int, NDArray[np.int64], NDArray[np.int64]]]:
        self.H.require("sparse", "choose a smaller data space")
        e = self.H.steps.entries()
        edges = np.searchsorted(e.j, np.arange(self.H.T + 1))
        return [(j, e.column[a:b], e.row[a:b]) for j, (a, b) in enumerate(pairwise(edges.tolist()))]

    def _of_cell(self, j: int, steps: CellSteps) -> Hop:
        """A digit that is a group of qubits: nothing depends on the others."""
        place, read, write, base = (int(v) for v in steps.ints[j])
        start, width = place.bit_length() - 1, base.bit_length() - 1
        return self._monomial(j, np.array([read]), np.array([write]), self.encoding.data[start : start + width])

    def _of_images(self, j: int, x: NDArray[np.int64], y: NDArray[np.int64]) -> Hop:
        return self._monomial(j, x, y, self.encoding.data)

    def _monomial(self, j: int, x: NDArray[np.int64], y: NDArray[np.int64], qubits: list[int]) -> Hop:
        """States x of these data qubits to y."""
        masks = x ^ y
        found = []
        for mask in np.unique(masks).tolist():
            flips = [q for q, bit in bits(mask, qubits).items() if bit]
            frame, target, before, clock = self._clock_frame(j, flips)
            # in the frame a flipped bit is its value before the hop, plus the target's bit before
            here = (x[masks == mask] ^ (mask if before else 0)).tolist()
            found.append(
                Pairs(frame, target, before, clock, tuple((1.0, {**p, **clock}) for p in self._cover(here, qubits)))
            )
        if not found:
            found.append(Pairs(*self._clock_frame(j, []), ()))
        clocks = self.encoding.window(j)
        idle = [{**p, **c} for s, c in zip((x, y), clocks, strict=True) for p in self._cover(s, qubits, outside=True)]
        return Hop(tuple(found), tuple(idle))

    def _cover(self, states: Any, qubits: list[int], outside: bool = False) -> list[Pattern]:
        inside = np.zeros(2 ** len(qubits), bool)
        inside[states] = True
        return cover(~inside if outside else inside, qubits)

    # --- unitaries and other contractions ---

    def _of_gate(self, j: int, steps: GateSteps) -> Hop:
        U = steps.coefficients[j].reshape(4, 4)
        high, low = (self.encoding.data[int(s).bit_length() - 1] for s in steps.strides[j])
        one = U[::2, ::2]  # the gate, where it leaves the less significant qubit alone
        if np.array_equal(U, np.kron(one, np.eye(2))):
            return self._framed(j, one, np.eye(2), [high], ((1.0, {}),))
        return self._framed(j, U, np.eye(4), [low, high], ((1.0, {}),))

    def _of_matrix(self, j: int, steps: MatrixSteps) -> Hop:
        """U = A S B†; zeros on the unused data."""
        if self.encoding.data_qubits > _LARGEST:
            raise InputError(
                f"`steps` must be gates or partial permutations where they act on more than {_LARGEST} qubits: "
                f"`steps[{j}]` is a plain matrix on {self.encoding.data_qubits}",
                "steps",
            )
        size = 2**self.encoding.data_qubits
        rounding = max(_ROUNDING, 16 * steps.epsilon) * steps.d
        U = steps.matrix(j).toarray()
        A, s, Bh = (U, np.ones(len(U)), np.eye(len(U))) if _is_unitary(U, rounding) else np.linalg.svd(U)
        s = np.where(s > 1 - rounding, 1.0, np.where(s < rounding, 0.0, s))
        spare = np.eye(size - len(U))
        levels = np.pad(s, (0, size - len(U)))
        strengths = tuple(
            (level, p) for level in np.unique(levels).tolist() for p in cover(levels == level, self.encoding.data)
        )
        A, B = (scipy.linalg.block_diag(M, spare) for M in (A, Bh.conj().T))
        return self._framed(j, A, B, self.encoding.data, strengths)

    def _framed(
        self,
        j: int,
        A: NDArray[Any],
        B: NDArray[Any],
        qubits: list[int],
        strengths: tuple[tuple[float, Pattern], ...],
    ) -> Hop:
        """F = (B† on the data at clock j, A† at clock j+1), then the clock's own CX gates."""
        own, target, before, clock = self._clock_frame(j, [])
        frame = own.copy_empty_like()
        here = [B.conj().T, A.conj().T] if before == 0 else [A.conj().T, B.conj().T]
        frame.append(UnitaryGate(scipy.linalg.block_diag(*here)), [*qubits, target])
        frame.compose(own, inplace=True)
        return Hop((Pairs(frame, target, before, clock, tuple((s, {**p, **clock}) for s, p in strengths)),), ())

    def _clock_frame(self, j: int, flips: list[int]) -> tuple[QuantumCircuit, int, int, Pattern]:
        """CX gates after which clock j and j + 1 differ in one qubit, and the `flips` of the data in none."""
        before, after = self.encoding.window(j)
        target, *others = (q for q in before if before[q] != after[q])
        frame = QuantumCircuit(self.encoding.qubits)
        for q in [*others, *flips]:
            frame.cx(target, q)
        # what differs is made equal: each takes its bit before plus the target's
        clock = {q: b ^ (before[target] if q in others else 0) for q, b in before.items() if q != target}
        return frame, target, before[target], clock


def _is_unitary(U: NDArray[Any], rounding: float) -> bool:
    return bool(np.abs(U.conj().T @ U - np.eye(len(U))).max() <= rounding)


def hops(H: ClockHamiltonian, encoding: Encoding) -> Iterator[Hop]:
    """The hops of all steps in order."""
    found = Hops(H, encoding)
    return (found.hop(j) for j in range(H.T))
