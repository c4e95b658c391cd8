"""The claim about what a machine wrote, read from the state of every backend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from circuits.validation import literal_machine
from circuits.validation.claim import AbsentError, Cell, Row, compared, reference, row
from circuits.validation.machine_rows import CIRCUIT
from circuits.validation.machine_states import MachineStates
from circuits.validation.machine_tools import COLUMNS, sparse_state
from circuits.validation.wording import shots_in_words
from hamiltonians import state
from hamiltonians.clock import ClockHamiltonian
from hamiltonians.report import of_runs

Array = NDArray[Any]

#: clock states of all runs up to which the rules are followed one by one
_FOLLOWED: Final = 10**5
#: the chance that the last clock state of an input is in none of the shots
_MISSED: Final = 1e-4


def output(at: MachineStates) -> Row:
    """What the machine wrote, read from every backend's state."""

    @cache
    def truth() -> dict[str, Any]:
        if _is_long(at.H):
            return words(of_runs(at.H, "output"))
        assert at.H.readout is not None
        runs = at.H.readout.trajectories
        found = {word: literal_machine.output(run.machine, run.input) for word, run in runs.items()}
        return found if at.H.space == "function" else {"": next(iter(found.values()))}

    def words(found: Any) -> dict[str, Any]:
        return found if isinstance(found, dict) else {"": found}

    def by_rules() -> Cell:
        if _is_long(at.H):
            return reference(_shown(truth()), "of the machine's own run, which is too long to follow rule by rule")
        tapes, wrong = _tapes(at.H)
        note = f"{tapes:,} tapes and heads along the runs, followed rule by rule"
        return compared(_shown(truth()), float(wrong), 0.0, "tapes are equal or not", note)

    def read(psi: Array) -> Cell:
        found = words(at.tools.read_output(at.H, sparse_state(psi)))
        wrong = [word for word, expected in truth().items() if found.get(word) != expected]
        note = None if not wrong else f"expected {_shown(truth())}"
        return compared(_shown(found), float(len(wrong)), 0.0, "texts are equal or not", note)

    def sampled() -> Cell:
        inputs = len(truth())
        shown = 1 / (inputs * at.H.clock_states)  # the chance that a shot is an input's last clock state
        if inputs * (1 - shown) ** at.shots > _MISSED:
            needed = int(np.ceil(np.log(_MISSED / inputs) / np.log1p(-shown)))
            raise AbsentError(f"{shots_in_words(at.shots)} may miss the last clock state; {needed:,} shots would not")
        (counts,) = at.backend.counts([at.history], at.shots)
        p = np.zeros(2**at.qubits.qubits)
        for index, times in counts.items():
            p[index] = times
        cell = read(np.sqrt(at.rows(p) / at.shots))
        return replace(cell, note=f"from {shots_in_words(at.shots)}" + (f"; {cell.note}" if cell.note else ""))

    return row(
        "output",
        "the last clock state holds what the machine wrote",
        "Theorem 5, E10",
        "outputs that differ; theory: tapes and heads that differ",
        list(COLUMNS),
        {
            "theory": by_rules,
            "dense": lambda: read(at.dense_ground),
            "sparse": lambda: read(at.ground(at.sparse)),
            "matrix-free": lambda: read(at.ground(at.free)),
            "QUNN": lambda: read(at.relaxed.K.numpy()),
            "circuit": sampled,
            "evolution": lambda: read(_clean(at.rows(at.kept))),
            "phases": lambda: read(_clean(at.rows(at.read_zero))),
        },
    )


def _is_long(H: ClockHamiltonian) -> bool:
    assert H.readout is not None
    return H.clock_states * len(H.readout.starts) > _FOLLOWED


def _tapes(H: ClockHamiltonian) -> tuple[int, int]:
    """How many data states the runs pass, and how many of them do not hold what the rules put there."""
    readout = H.readout
    assert readout is not None
    first, last = readout.window
    wrong = 0
    for word, start in readout.starts.items():
        literal = literal_machine.configurations(readout.machine, readout.trajectories[word].input)
        head, tape = next(literal)
        for data in (state.walk(H, start, 0, H.clock_states) // H.clock_states).tolist():
            expected = literal_machine.on_window(readout.machine, tape, first, last)
            wrong += readout.tape(data).tolist() != expected or readout.head(data) not in (None, head)
            head, tape = next(literal, (head, tape))  # one that has halted idles
    return H.clock_states * len(readout.starts), wrong


def _clean(psi: Array) -> Array:
    """Without amplitudes that are rounding."""
    return np.where(np.abs(psi) > CIRCUIT, psi, 0)


def _shown(found: Mapping[str, Any]) -> str:
    if list(found) == [""]:
        return _text(found[""])
    return ", ".join(f"{word or 'blank'}: {_text(text)}" for word, text in found.items())


def _text(text: Any) -> str:
    return "nothing" if text is None else "blank" if text == "" else str(text)
