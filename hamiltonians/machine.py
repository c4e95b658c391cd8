"""A deterministic one-tape Turing machine with a two-way infinite tape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hamiltonians.errors import InputError, must_be, one_of

if TYPE_CHECKING:
    from hamiltonians.trajectory import Trajectory

MOVES: Mapping[str, int] = MappingProxyType({"LEFT": -1, "STAY": 0, "RIGHT": +1})
DEFAULT_MAX_STEPS = 10**8
_MAX_SYMBOLS = 255  # tape cells are stored as one byte

Word = tuple[str, ...]


@dataclass(frozen=True)
class Rule:
    """One transition: write `write`, move the head by `move` (-1, 0, +1), go to `to_state`.

    Examples
    --------
    >>> from hamiltonians import Rule, load_machine
    >>> load_machine("bb:1RB1LB_1LA1RZ").rules["A", "0"] == Rule(to_state="B", write="1", move=+1)  # 1RB
    True
    """

    to_state: str
    write: str
    move: int


@dataclass(frozen=True)
class TransitionTable:
    """The rules as arrays for the compiled runner, indexed ``[state, symbol]``; ``to_state`` is -1 where no rule is."""

    to_state: NDArray[np.int32]
    write: NDArray[np.uint8]
    move: NDArray[np.int8]


@dataclass(frozen=True)
class TuringMachine:
    """A machine as data; relations between the fields are checked on construction.

    Parameters
    ----------
    name : shown in reports.
    alphabet : all tape symbols; a symbol's position is its digit in the `tape` space.
    blank : the symbol of a cell that was never written.
    states : all states that occur, in the order of the runner's tables.
    initial : the state at clock 1.
    finals : states in which halting is acceptance.
    rules : (state, symbol read) -> `Rule`. Where no rule applies the machine halts without a step.
    input : the default word on the tape; its first symbol lies on cell 0, where the head starts.
    input_alphabet : symbols of the inputs of the `function` space; default: the alphabet less the blank.

    Raises
    ------
    InputError : a field contradicts another; the message names both.

    Examples
    --------
    >>> from hamiltonians import Rule, TuringMachine
    >>> flip = {("s", "0"): Rule("s", "1", +1), ("s", "1"): Rule("s", "0", +1), ("s", "_"): Rule("end", "_", 0)}
    >>> machine = TuringMachine("flip", ("0", "1", "_"), "_", ("s", "end"), "s", frozenset({"end"}), flip)
    >>> machine.run("0110").output
    '1001'
    """

    name: str
    alphabet: Word
    blank: str
    states: tuple[str, ...]
    initial: str
    finals: frozenset[str]
    rules: Mapping[tuple[str, str], Rule] = field(hash=False)
    input: Word = ()
    input_alphabet: Word | None = None

    def __post_init__(self) -> None:
        _check_listing("alphabet", self.alphabet)
        _check_listing("states", self.states)
        if len(self.alphabet) > _MAX_SYMBOLS:
            raise must_be("alphabet", f"at most {_MAX_SYMBOLS} symbols long", len(self.alphabet))
        _check_member("blank", self.blank, self.alphabet, "the alphabet")
        _check_member("initial", self.initial, self.states, "the states")
        for state in sorted(self.finals):
            _check_member("finals", state, self.states, "the states")
        states, alphabet = frozenset(self.states), frozenset(self.alphabet)
        for (state, read), rule in self.rules.items():
            place = f"transitions.{state}"
            if state not in states:
                _check_member("transitions", state, self.states, "the states")
            if read not in alphabet:
                _check_member(f"{place}.read", read, self.alphabet, "the alphabet")
            if rule.write not in alphabet:
                _check_member(f"{place}.write", rule.write, self.alphabet, "the alphabet")
            if rule.to_state not in states:
                _check_member(f"{place}.to_state", rule.to_state, self.states, "the states")
            if rule.move not in (-1, 0, 1):
                raise must_be(f"{place}.action", "a move of -1, 0 or +1", rule.move)
        for symbol in self.input:
            _check_member("input", symbol, self.alphabet, "the alphabet")
        for symbol in self.input_alphabet or ():
            _check_member("input_alphabet", symbol, self.alphabet, "the alphabet")

    @cached_property
    def input_symbols(self) -> Word:
        """The symbols from which the inputs of the `function` space are made."""
        if self.input_alphabet is not None:
            return self.input_alphabet
        return tuple(s for s in self.alphabet if s != self.blank)

    @cached_property
    def table(self) -> TransitionTable:
        """The rules as arrays, built once."""
        shape = (len(self.states), len(self.alphabet))
        to_state = np.full(shape, -1, np.int32)
        write = np.zeros(shape, np.uint8)
        move = np.zeros(shape, np.int8)
        state_of = {s: i for i, s in enumerate(self.states)}
        for (state, read), rule in self.rules.items():
            at = state_of[state], self.symbol_index[read]
            to_state[at] = state_of[rule.to_state]
            write[at] = self.symbol_index[rule.write]
            move[at] = rule.move
        return TransitionTable(to_state, write, move)

    @cached_property
    def symbol_index(self) -> Mapping[str, int]:
        """Symbol -> its position in the alphabet."""
        return {s: i for i, s in enumerate(self.alphabet)}

    def word(self, text: str | Sequence[str]) -> Word:
        """Symbols of an input: characters where every symbol is one character, else split at white space.

        Raises
        ------
        InputError : a symbol is not in the alphabet.
        """
        symbols: Iterable[str] = text
        if isinstance(text, str) and not self._one_character_symbols:
            symbols = text.split()
        word = tuple(symbols)
        for symbol in word:
            _check_member("input", symbol, self.alphabet, "the alphabet")
        return word

    def text(self, symbols: Iterable[str]) -> str:
        """A tape from its first to its last non-blank cell, as one string; the inverse of `word` on such tapes."""
        cells = list(symbols)
        while cells and cells[-1] == self.blank:
            cells.pop()
        start = next((i for i, s in enumerate(cells) if s != self.blank), 0)
        return ("" if self._one_character_symbols else " ").join(cells[start:])

    def run(
        self,
        input: str | Sequence[str] | None = None,
        max_steps: int = DEFAULT_MAX_STEPS,
        progress: Callable[[int], None] | None = None,
    ) -> Trajectory:
        """Run until no rule applies.

        Parameters
        ----------
        input : the word on the tape; default: the machine's own.
        max_steps : the run may take at most so many steps.
        progress : called now and then with the number of steps done.

        Raises
        ------
        InputError : a symbol is unknown, or the machine has not halted after `max_steps` steps.

        Examples
        --------
        >>> from hamiltonians import load_machine
        >>> machine = load_machine("bb:1RB1LB_1LA1RZ")
        >>> machine.run().steps
        6
        >>> machine.run(max_steps=5)
        Traceback (most recent call last):
        hamiltonians.errors.InputError: `bb:1RB1LB_1LA1RZ` did not halt within 5 steps; raise `--max-steps` if it should
        """
        from hamiltonians.trajectory import run_machine  # the runner is compiled: loaded when first used

        word = self.input if input is None else self.word(input)
        return run_machine(self, word, max_steps, progress)

    @cached_property
    def _one_character_symbols(self) -> bool:
        return all(len(s) == 1 for s in self.alphabet)


def _check_listing(name: str, values: tuple[str, ...]) -> None:
    if not values:
        raise must_be(name, "a list of at least one name", list(values))
    if len(set(values)) < len(values):
        twice = next(v for v in values if values.count(v) > 1)
        raise InputError(f"`{name}` must list every name once, but has {twice!r} twice", name)
    if "" in values:
        raise InputError(f"`{name}` must hold no empty name", name)


def _check_member(name: str, value: str, allowed: Sequence[str], of: str) -> None:
    if value not in allowed:
        raise must_be(name, f"in {of} ({one_of(allowed)})", value)
