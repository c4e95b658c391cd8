"""H_TM as the sum of its T natural terms, on qubits: each is exponentiated exactly, and keeps the history state.

    h_j = I⊗|j><j| + I⊗|j+1><j+1| - U_j⊗|j+1><j| - U_j†⊗|j><j+1|  ≥ 0

On a pair of basis states that U_j joins, h_j is 0 on their sum and 2 on their difference; where U_j or U_j† is 0, it is
1. With a unary clock |j><j| is |100><100| and |j+1><j+1| is |110><110| on the qubits j - 1, j, j + 1, |j+1><j| is
|110><100|: on illegal strings the terms are ≥ 0 too, so that these lie at the penalty or above. Data states that d
does not use hop nowhere; the last term, the padding, lifts them, and unused clock states, to the energy 4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np
from qiskit import AncillaRegister, QuantumCircuit, QuantumRegister
from qiskit.quantum_info import SparsePauliOp

from circuits.clock.blocks import Block, Level, append_damping, append_exponential
from circuits.clock.encoding import Encoding, Pattern, cover, encoding_of
from circuits.clock.hops import Hop, Hops, Pairs
from circuits.clock.strings import hop_strings, initial_strings, pattern_strings
from circuits.encoding import prepare
from hamiltonians.clock import ClockHamiltonian


@final
@dataclass(frozen=True)
class Term:
    """One summand K of H on the encoding's qubits, Hermitian.

    Attributes
    ----------
    name : "step 1" … "step T", "initial" (H_in) or "padding".
    encoding : the qubits.
    phases : K as levels that commute, for exp(-itK). dampings : K as levels that exclude each other, for exp(-τK);
        none for the padding, which no state of data and clock meets.
    hop : where a step hops; None for the other terms.

    Examples
    --------
    >>> import numpy as np
    >>> from qiskit.quantum_info import Operator
    >>> from scipy.linalg import expm
    >>> from circuits import clock
    >>> from hamiltonians import ClockHamiltonian
    >>> term = clock.terms(ClockHamiltonian.from_steps([[1, 0]]))[0]
    >>> K = term.operator().to_matrix()
    >>> term.name, np.allclose(Operator(term.exponential(0.7)), expm(-0.7j * K))
    ('step 1', True)
    """

    name: str
    encoding: Encoding
    phases: tuple[Block, ...]
    dampings: tuple[Block, ...]
    strings: Callable[[], SparsePauliOp] = field(repr=False)
    hop: Hop | None = None

    def operator(self) -> SparsePauliOp:
        """K as Pauli strings, with real coefficients."""
        return self.strings()

    def exponential(self, t: float, *, controlled: bool = False) -> QuantumCircuit:
        """exp(-itK), exact, global phase included.

        controlled : one more qubit on top (the highest) controls it: only the phases, the gates around them cancel.
        """
        circuit = register(self.encoding, *[QuantumRegister(1, "control")] * controlled)
        append_exponential(circuit, self.phases, t, self.encoding.qubits if controlled else None)
        return circuit

    def damping(self, tau: float) -> QuantumCircuit:
        """A dilation with one ancilla, the highest qubit: <0| circuit |0> = exp(-τK), exact; τ ≥ 0."""
        circuit = register(self.encoding, AncillaRegister(1, "ancilla"))
        append_damping(circuit, self.dampings, tau, self.encoding.qubits)
        return circuit


def register(encoding: Encoding, *more: QuantumRegister) -> QuantumCircuit:
    """An empty circuit on the registers `clock` (low) and `data`, and those given above them."""
    own = [(encoding.clock_qubits, "clock"), (encoding.data_qubits, "data")]
    return QuantumCircuit(*(QuantumRegister(size, name) for size, name in own if size), *more)


def terms(H: ClockHamiltonian, encoding: str = "binary") -> tuple[Term, ...]:
    """The natural terms of H: those of the steps 1 … T, then H_in where H has one, then the padding where there is any.

    Their sum is H with 4 on the unused states (`operator`). A history state has energy 0 in each of them.

    Parameters
    ----------
    encoding : "binary": the clock as a number on ceil(log2(T+1)) qubits. "unary": Kitaev's domain wall on T qubits.

    Raises
    ------
    InputError : an unknown encoding, or a step that is a plain matrix on more than 8 qubits.
    MemoryEstimateError : the steps' table does not fit.

    Examples
    --------
    >>> from circuits import clock
    >>> from hamiltonians import ClockHamiltonian
    >>> H = ClockHamiltonian.from_steps([[1, 2, 0], [2, 1, 0]], initial=[1, 0, 0])
    >>> [term.name for term in clock.terms(H)]
    ['step 1', 'step 2', 'initial', 'padding']
    >>> sum(term.operator() for term in clock.terms(H)).equiv(clock.operator(H))
    True
    """
    qubits = encoding_of(H.d, H.T, encoding)
    hops = Hops(H, qubits)
    found = [_step(H, qubits, j, hops.hop(j)) for j in range(H.T)]
    if H.initial is not None:
        found.append(_initial(H, qubits))
    padding = _padding(H, qubits)
    return tuple(found) + ((padding,) if padding.phases else ())


# ------------------------------------------------------------------------------------ one step


def _step(H: ClockHamiltonian, encoding: Encoding, j: int, hop: Hop) -> Term:
    full = not hop.idle and all(s == 1 for pairs in hop.pairs for s, _ in pairs.strengths)
    bare = QuantumCircuit(encoding.qubits)
    idle = [Block(bare, tuple(Level(1.0, p) for p in hop.idle))] if hop.idle else []
    dampings = [_block(pairs, _splittings(pairs)) for pairs in hop.pairs]
    if full:  # one phase a pattern does
        phases = dampings
    else:
        # 1 on both clock states, whatever the data: one phase in place of one for every idle pattern
        everywhere = [[Level(1.0, hop.pairs[0].clock)], *[[] for _ in hop.pairs[1:]]]
        phases = [_block(pairs, more + _signs(pairs)) for pairs, more in zip(hop.pairs, everywhere, strict=True)]
    return Term(
        f"step {j + 1}", encoding, tuple(phases), tuple(dampings + idle), lambda: hop_strings(H, encoding, j), hop
    )


def _block(pairs: Pairs, levels: Sequence[Level]) -> Block:
    """The frame of the pairs, in which the target is 0 on the sum of a pair and 1 on its difference."""
    frame = pairs.frame.copy()
    frame.h(pairs.target)
    return Block(frame, tuple(levels))


def _splittings(pairs: Pairs) -> list[Level]:
    """1 - s on the sums, 1 + s on the differences."""
    levels = []
    for s, p in pairs.strengths:
        if s == 0:
            levels.append(Level(1.0, p))
            continue
        levels.append(Level(1 + s, {**p, pairs.target: 1}))
        if s < 1:
            levels.append(Level(1 - s, {**p, pairs.target: 0}))
    return levels


def _signs(pairs: Pairs) -> list[Level]:
    """-s on the sums, s on the differences."""
    return [Level(s, p, pairs.target) for s, p in pairs.strengths if s]


# ------------------------------------------------------------------------------------ the other terms


def _initial(H: ClockHamiltonian, encoding: Encoding) -> Term:
    """(I - |x><x|)⊗|first clock state><first|."""
    assert H.initial is not None
    first = encoding.at(0)
    frame = QuantumCircuit(encoding.qubits)
    at, here = np.flatnonzero(H.initial), 0
    if len(at) == 1:  # a basis state, up to its phase
        here = int(at[0])
    elif len(at):
        preparation = QuantumCircuit(encoding.data_qubits)
        prepare(preparation, H.initial, range(encoding.data_qubits))
        frame.compose(preparation.inverse(), encoding.data, inplace=True)
    only = np.arange(2**encoding.data_qubits) == here
    phases = Level(1.0, first), Level(-1.0, {**first, **encoding.data_pattern(here)})
    dampings = tuple(Level(1.0, {**first, **p}) for p in cover(~only, encoding.data))
    return Term(
        "initial",
        encoding,
        (Block(frame, phases),),
        (Block(frame, dampings),),
        lambda: initial_strings(H, encoding),
    )


def _padding(H: ClockHamiltonian, encoding: Encoding) -> Term:
    levels = list(encoding.penalties)
    spare = np.arange(2**encoding.data_qubits) >= H.d
    taken = H.touching()
    taken[0] += H.initial is not None
    for p in cover(spare, encoding.data):
        levels += [(e, {**p, **c}) for e, c in encoding.filling(taken)]
    block = Block(QuantumCircuit(encoding.qubits), tuple(Level(e, p) for e, p in levels))
    return Term("padding", encoding, (block,) * bool(levels), (), lambda: pattern_strings(levels, encoding.qubits))


__all__ = ["Pattern", "Term", "register", "terms"]
