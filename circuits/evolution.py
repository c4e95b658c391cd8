"""exp(hG) of one layer as a circuit: product formulas over Pauli strings or natural terms, or exactly.

The natural terms are G's hop part (1-p1) W and its permutation part (p1/2)[P, W], in this order: each is exponentiated
exactly on the space where it acts. A Pauli string is exponentiated by a change of basis, a ladder of CX and one RZ,
neighbours sharing what they can: no high-level evolution gate is left in the circuit, which would be simulated exactly.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import groupby
from numbers import Integral
from typing import Any, Final, final

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit, QuantumRegister
from qiskit.quantum_info import SparsePauliOp

from circuits.diagonals import Diagonals
from circuits.exact import subspace, unitary
from circuits.formulas import FORMULAS, Stage, drawn, exponentials, stages
from circuits.layer import Layer
from circuits.pauli import check_finite, generator_terms
from hamiltonians.errors import must_be, one_of
from hamiltonians.memory import require_memory

Array = NDArray[Any]

TERMS: Final = ("pauli", "natural")
EXACT: Final = ("subspace", "unitary")
#: every name that `evolution` knows
SYNTHESES: Final = (*FORMULAS, "qdrift", *EXACT)

_BYTES_A_GATE = 200  # of a circuit; measured: 147 a CX, 105 an RZ
_BYTES_A_STAGE = 300  # of the plan


def evolution(
    layer: Layer,
    h: float,
    synthesis: str,
    *,
    terms: str = "pauli",
    reps: int = 1,
    seed: int = 0,
    controlled: bool = False,
) -> QuantumCircuit:
    """A circuit on `layer.registers.qubits` qubits for exp(hG) (Eq. 31), the identity on unused states.

    Parameters
    ----------
    synthesis : lie, suzuki2, suzuki4 (`circuits.formulas.stages`), qdrift (`circuits.formulas.drawn`), or exactly:
        subspace (`circuits.exact.subspace`), unitary (`circuits.exact.unitary`).
    terms : what a product formula splits G into; "pauli": the strings of iG, "natural": hop and permutation part.
    reps : steps of a formula; for qdrift the number of terms drawn. Exact syntheses have no use for it.
    seed : of the draws of qdrift.
    controlled : one more qubit on top (the highest) controls the evolution; only rotations are controlled, as the
        gates around them cancel without them.

    Global phase included. On a product formula over Pauli strings the unused states take part in the error.

    Raises
    ------
    InputError : an unknown synthesis or kind of terms, reps no integer or below 1, h or the layer not finite.
    MemoryEstimateError : the strings or the gates do not fit.
    """
    check_synthesis(synthesis, terms, reps)
    check_step(layer, h)
    if synthesis in EXACT:
        make = subspace if synthesis == "subspace" else unitary
        return make(layer.rotation(h), layer, controlled=controlled)
    parts = _parts(layer, terms, controlled)
    count = len(parts.weights)
    most = reps if synthesis == "qdrift" else exponentials(synthesis, count, reps)
    require_memory(
        most * (parts.gates * _BYTES_A_GATE + _BYTES_A_STAGE),
        f"a circuit of {most:,} exponentials",
        'take fewer `reps` or qubits, or synthesis "subspace"',
    )
    plan = drawn(parts.weights, reps, seed) if synthesis == "qdrift" else stages(synthesis, count, reps)
    circuit = layer.registers.circuit(*[QuantumRegister(1, "control")] * controlled)
    parts.append(circuit, [(index, fraction * h) for index, fraction in plan])
    return circuit


def weights(layer: Layer, terms: str) -> Array:
    """The norms of G's terms, by which qdrift draws: |c_P| of the Pauli strings, or of hop and permutation part."""
    return _parts(layer, terms, controlled=False).weights


def check_synthesis(synthesis: str, terms: str, reps: int) -> None:
    """InputError for names that `evolution` does not know, and for reps that are no integer or below 1."""
    if synthesis not in SYNTHESES:
        raise must_be("synthesis", one_of(SYNTHESES), synthesis)
    if terms not in TERMS:
        raise must_be("terms", one_of(TERMS), terms)
    if not isinstance(reps, Integral) or reps < 1:
        raise must_be("reps", "an integer of at least 1", reps)


def check_step(layer: Layer, h: float) -> None:
    """InputError for an h or a layer that is not finite."""
    if not np.isfinite(h):
        raise must_be("h", "finite", h)
    check_finite(layer)


class _Parts(ABC):
    """The terms T_γ that G is the sum of."""

    @property
    @abstractmethod
    def weights(self) -> Array:
        """‖T_γ‖."""

    @abstractmethod
    def append(self, circuit: QuantumCircuit, plan: list[Stage]) -> None:
        """exp(t T_index) for every (index, t)."""

    @property
    @abstractmethod
    def gates(self) -> int:
        """The most that one exp(t T) takes."""


@final
class _PauliParts(_Parts):
    """-i c_P P."""

    def __init__(self, terms: SparsePauliOp, controlled: bool) -> None:
        self._controlled = controlled
        self._c: list[float] = terms.coeffs.real.tolist()
        x, z = terms.paulis.x, terms.paulis.z
        changes = x.sum(1) + (x & z).sum(1)
        self._gates = int((2 * changes + 2 * (x | z).sum(1)).max(initial=0))
        self._x, self._z = x.tolist(), z.tolist()
        self._diagonals = Diagonals(x, z)

    @property
    def weights(self) -> Array:
        return np.abs(np.array(self._c))

    @property
    def gates(self) -> int:
        return self._gates

    def append(self, circuit: QuantumCircuit, plan: list[Stage]) -> None:
        ladder = _Ladder(circuit, self._controlled)
        for _, commuting in groupby(plan, lambda stage: self._diagonals.group[stage[0]]):
            together = list(commuting)
            angles = [t * self._c[index] for index, t in together]
            if not self._controlled and self._diagonals.cheaper(together[0][0], len(together)):
                ladder.close()
                self._diagonals.append(circuit, [index for index, _ in together], angles)
                continue
            for (index, _), angle in zip(together, angles, strict=True):
                ladder.rotate(self._x[index], self._z[index], angle)
        ladder.close()


def append_rotation(circuit: QuantumCircuit, x: list[bool], z: list[bool], angle: float, controlled: bool) -> None:
    """exp(-i angle P) for the Pauli string with X where x, Z where z and Y where both, by qubit from the lowest.

    controlled : the qubit above the string's controls it.
    """
    ladder = _Ladder(circuit, controlled)
    ladder.rotate(x, z, angle)
    ladder.close()


@final
class _Ladder:
    """A change of basis and CX from qubit to qubit, from the lowest: the last qubit then holds a string's parity.

    It stays open after a rotation, so that what the next string has in common with it from the lowest qubit up is not
    undone and done again.
    """

    def __init__(self, circuit: QuantumCircuit, controlled: bool) -> None:
        self._circuit, self._controlled = circuit, controlled
        self._open: list[tuple[int, bool, bool]] = []

    def rotate(self, x: list[bool], z: list[bool], angle: float) -> None:
        """exp(-i angle P), up to what `close` undoes."""
        string = [(q, x[q], z[q]) for q in range(len(x)) if x[q] or z[q]]
        common = 0
        for wanted, held in zip(string, self._open, strict=False):
            if wanted != held:
                break
            common += 1
        self._close_to(common)
        for letter in string[common:]:
            self._extend(*letter)
        if string and self._controlled:
            self._circuit.crz(2 * angle, len(x), string[-1][0])
        elif string:
            self._circuit.rz(2 * angle, string[-1][0])
        elif self._controlled:
            # exp(-i angle) is a global phase, which a control makes a phase of its own
            self._circuit.p(-angle, len(x))
        else:
            self._circuit.global_phase -= angle

    def close(self) -> None:
        """Undo what is still open."""
        self._close_to(0)

    def _extend(self, q: int, x: bool, z: bool) -> None:
        if x:
            if z:
                self._circuit.sdg(q)
            self._circuit.h(q)
        if self._open:
            self._circuit.cx(self._open[-1][0], q)
        self._open.append((q, x, z))

    def _close_to(self, depth: int) -> None:
        while len(self._open) > depth:
            q, x, z = self._open.pop()
            if self._open:
                self._circuit.cx(self._open[-1][0], q)
            if x:
                self._circuit.h(q)
                if z:
                    self._circuit.s(q)


@final
class _NaturalParts(_Parts):
    """(1-p1) W and (p1/2)[P, W]."""

    def __init__(self, layer: Layer, controlled: bool) -> None:
        self._layer, self._controlled = layer, controlled
        self._terms = (layer.hop, layer.permutation)
        self._made: dict[Stage, QuantumCircuit] = {}

    @property
    def weights(self) -> Array:
        return np.array([np.linalg.norm(term.m, 2) if term.m.size else 0.0 for term in self._terms])

    @property
    def gates(self) -> int:
        # two isometries with four columns, 2^(n+2) CX each at the most and about as many rotations
        return 32 * 2**self._layer.registers.qubits

    def append(self, circuit: QuantumCircuit, plan: list[Stage]) -> None:
        for stage in plan:
            circuit.compose(self._circuit(*stage), inplace=True)

    def _circuit(self, index: int, t: float) -> QuantumCircuit:
        """Made once: a formula has few different fractions."""
        if (index, t) not in self._made:
            map = self._terms[index].exponential(t)
            self._made[index, t] = subspace(map, self._layer, controlled=self._controlled)
        return self._made[index, t]


def _parts(layer: Layer, terms: str, controlled: bool) -> _Parts:
    if terms == "natural":
        return _NaturalParts(layer, controlled)
    return _PauliParts(generator_terms(layer), controlled)
