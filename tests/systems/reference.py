"""The clock Hamiltonian straight from the printed formula, and a Turing machine with a dictionary for a tape.

Written from Appendix A alone: no code of the packages is used, `TuringMachine` serves as a record of the rules only;
the Hamiltonian itself is `circuits.validation.literal_clock`, which the cross-validation uses too. The row order is
`data * n_clock + clock`, which is what `kron(data, clock)` gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from circuits.validation.literal_clock import dense_hamiltonian
from hamiltonians import TuringMachine

Snapshot = tuple[str, int, frozenset[tuple[int, str]]]  # state, head, the cells that are not blank

# rounding of LAPACK's symmetric eigenvalues: a few n·ε·‖H‖ with ‖H‖ ≤ 5 and n ≤ 2000 (measured below 1e-13)
EIGENVALUE = 1e-12
ZERO = 1e-10  # eigenvalues below this are zero modes; the smallest gap of all systems here is 1e-3


def printed_energy_terms(steps: Sequence[np.ndarray], psi: np.ndarray) -> np.ndarray:
    """<ψ|H_j|ψ> of every term of the sum, for psi of shape (d, N)."""
    terms = []
    for j, U in enumerate(steps):
        here, there = psi[:, j], psi[:, j + 1]
        terms.append(np.vdot(here, here) - 2 * np.vdot(there, U @ here).real + np.vdot(there, there))
    return np.array(terms).real


def history(steps: Sequence[np.ndarray], x: np.ndarray) -> np.ndarray:
    """(T+1)^{-1/2} ( |x>⊗|1> + Σ_j |U_j…U_1 x>⊗|j+1> )."""
    N = len(steps) + 1
    psi, data = np.kron(x, np.eye(N)[0]), x
    for j, U in enumerate(steps):
        data = U @ data
        psi = psi + np.kron(data, np.eye(N)[j + 1])
    return psi / np.sqrt(N)


# ------------------------------------------------------------------------------------ machines


@dataclass(frozen=True)
class Run:
    """All that a run did: T + 1 snapshots, T operations (cell, read, write), T rules (state, read)."""

    snapshots: list[Snapshot]
    operations: list[tuple[int, str, str]]
    rules: list[tuple[str, str]]

    @property
    def T(self) -> int:
        return len(self.operations)

    def output(self, blank: str, separator: str = "") -> str:
        written = dict(self.snapshots[-1][2])
        if not written:
            return ""
        return separator.join(written.get(cell, blank) for cell in range(min(written), max(written) + 1))


class TooLongError(Exception):
    """A run took more steps than this reference is meant for."""


def simulate(machine: TuringMachine, word: Sequence[str] | None = None, limit: int = 5000) -> Run:
    """Run with a dictionary as the tape."""
    tape = dict(enumerate(machine.input if word is None else word))
    state, head = machine.initial, 0

    def snapshot() -> Snapshot:
        return state, head, frozenset((cell, s) for cell, s in tape.items() if s != machine.blank)

    snapshots, operations, rules = [snapshot()], [], []
    while True:
        read = tape.get(head, machine.blank)
        rule = machine.rules.get((state, read))
        if rule is None:
            return Run(snapshots, operations, rules)
        if len(operations) == limit:
            raise TooLongError(machine.name)
        operations.append((head, read, rule.write))
        rules.append((state, read))
        tape[head] = rule.write
        head += rule.move
        state = rule.to_state
        snapshots.append(snapshot())


@dataclass(frozen=True)
class Literal:
    """A machine's steps as dense matrices.

    live : data index of every input at every clock time; one input except in `function` space.
    """

    d: int
    steps: list[np.ndarray]
    live: list[list[int]]
    initial: np.ndarray | None = None

    @property
    def T(self) -> int:
        return len(self.steps)

    def matrix(self) -> np.ndarray:
        return dense_hamiltonian(self.steps, self.d, self.initial)

    def history(self) -> np.ndarray:
        """The uniform superposition of all inputs' histories, or of the one that H_in selects."""
        starts = [path[0] for path in self.live]
        if self.initial is not None:
            starts = [int(np.flatnonzero(self.initial)[0])]
        x = np.zeros(self.d)
        x[starts] = 1 / np.sqrt(len(starts))
        return history(self.steps, x)


def configuration_space(run: Run) -> Literal:
    """U_j = |w_j><r_j| with whole configurations, numbered in the order in which they are visited."""
    assert len(set(run.snapshots)) == len(run.snapshots), "a halting run visits no configuration twice"
    d = run.T + 1
    basis = np.eye(d)
    return Literal(d, [np.outer(basis[j + 1], basis[j]) for j in range(run.T)], [list(range(d))])


def tape_space(
    machine: TuringMachine, run: Run, cells: int | None = None, word: Sequence[str] | None = None
) -> Literal:
    """U_j = |w><r| on the cell under the head, identity on the other cells of the window."""
    read = [cell for cell, _, _ in run.operations] or [0]
    first = min(read)
    span = max(read) - first + 1 if run.T else 0
    cells = span if cells is None else cells
    base = len(machine.alphabet)
    symbol = {s: np.eye(base)[:, i] for i, s in enumerate(machine.alphabet)}
    steps = []
    for cell, r, w in run.operations:
        U = np.eye(1)
        for c in range(first, first + cells):
            U = np.kron(U, np.outer(symbol[w], symbol[r]) if c == cell else np.eye(base))
        steps.append(U)
    digits = [
        machine.alphabet.index(dict(run.snapshots[0][2]).get(c, machine.blank)) for c in range(first, first + cells)
    ]
    data = 0
    for digit in digits:
        data = data * base + digit
    live = [data]
    for U in steps:
        live.append(int(np.flatnonzero(U[:, live[-1]])[0]))
    return Literal(base**cells, steps, [live])


def function_space(
    machine: TuringMachine,
    length: int,
    *,
    bennett: bool = False,
    selected: Sequence[str] | None = None,
    limit: int = 5000,
) -> Literal:
    """U_j maps every live configuration to its successor; halted runs idle. Merging is not refused here.

    Data states are numbered by clock time and then by input. With `bennett` the whole list of rules applied is part
    of a data state.
    """
    symbols = machine.input_alphabet or tuple(s for s in machine.alphabet if s != machine.blank)
    words = list(product(symbols, repeat=length))
    runs = [simulate(machine, word, limit) for word in words]
    T = max(run.T for run in runs)
    number: dict[Any, int] = {}
    live: list[list[int]] = [[] for _ in runs]
    for t in range(T + 1):
        for path, run in zip(live, runs, strict=True):
            now = min(t, run.T)
            key = run.snapshots[now], tuple(run.rules[:now]) if bennett else ()
            path.append(number.setdefault(key, len(number)))
    d = len(number)
    steps = []
    for t in range(T):
        U = np.zeros((d, d))
        for path in live:
            U[path[t + 1], path[t]] = 1.0
        steps.append(U)
    initial = None if selected is None else np.eye(d)[live[words.index(tuple(selected))][0]]
    return Literal(d, steps, live, initial)


def merges(literal: Literal) -> bool:
    """Whether some step sends two data states to one."""
    return any(U.sum(axis=1).max() > 1 for U in literal.steps)
