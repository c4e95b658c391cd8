"""A Turing machine rule by rule on a dictionary: the slow, literal reference for what its Hamiltonian holds.

Nothing of `hamiltonians` but the machine's own table of rules: no compiled runner, no checkpoints, no data states.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from hamiltonians.machine import TuringMachine

Tape = Mapping[int, str]


def configurations(machine: TuringMachine, word: Sequence[str]) -> Iterator[tuple[int, Tape]]:
    """Head and tape at the clock times 1, 2, … until no rule applies; the one tape is written on meanwhile."""
    state, head, tape = machine.initial, 0, dict(enumerate(word))
    while True:
        yield head, tape
        rule = machine.rules.get((state, tape.get(head, machine.blank)))
        if rule is None:
            return
        tape[head] = rule.write
        state, head = rule.to_state, head + rule.move


def output(machine: TuringMachine, word: Sequence[str]) -> str:
    """The last tape from its first to its last non-blank cell."""
    tape: Tape = {}
    for _, tape in configurations(machine, word):  # noqa: B007 - the last one is wanted
        pass
    written = [cell for cell, symbol in tape.items() if symbol != machine.blank]
    if not written:
        return ""
    symbols = [tape.get(cell, machine.blank) for cell in range(min(written), max(written) + 1)]
    return ("" if all(len(symbol) == 1 for symbol in machine.alphabet) else " ").join(symbols)


def on_window(machine: TuringMachine, tape: Tape, first: int, last: int) -> list[int]:
    """Numbers of the symbols on the cells `first` … `last`."""
    return [machine.alphabet.index(tape.get(cell, machine.blank)) for cell in range(first, last + 1)]
