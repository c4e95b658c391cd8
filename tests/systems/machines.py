"""Machines with certain results, and every small Hamiltonian of theirs together with its literal matrix."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from hamiltonians import ClockHamiltonian, Rule, TuringMachine, load_machine
from tests.systems import reference
from tests.systems.reference import Literal, TooLongError

EXAMPLES = Path(__file__).parents[2] / "examples"
ROWS = 2000  # dense eigenvalues of so many rows take about a second
_LONGEST = 400  # steps of a run that can still fit


def busy_beaver(table: str) -> TuringMachine:
    """`1RB1LB_1LA1RZ`: a row a state, a cell of write, move, next state a symbol."""
    rows = table.split("_")
    symbols = tuple("0123456789"[: len(rows[0]) // 3])
    names = [chr(ord("A") + i) for i in range(len(rows))]
    rules = {}
    for state, row in zip(names, rows, strict=True):
        for i, read in enumerate(symbols):
            write, move, to_state = row[3 * i : 3 * i + 3]
            if write != "-":
                rules[state, read] = Rule(to_state, write, {"L": -1, "R": 1}[move])
    return TuringMachine(table, symbols, "0", (*names, "Z"), "A", frozenset("Z"), rules)


def machine(
    name: str, alphabet: tuple[str, ...], rules: str, word: tuple[str, ...] = (), inputs: tuple[str, ...] | None = None
) -> TuringMachine:
    """Rules as lines `state read -> write move state`; the first symbol is the blank, `start` the initial state."""
    table = {}
    for line in filter(None, (text.strip() for text in rules.splitlines())):
        state, read, _, write, move, to_state = line.split()
        table[state, read] = Rule(to_state, write, {"L": -1, "S": 0, "R": 1}[move])
    states = dict.fromkeys(["start", *(s for s, _ in table), *(rule.to_state for rule in table.values()), "stop"])
    return TuringMachine(name, alphabet, alphabet[0], tuple(states), "start", frozenset({"stop"}), table, word, inputs)


BB2 = busy_beaver("1RB1LB_1LA1RZ")
BB3_STEPS = busy_beaver("1RB1RZ_1LB0RC_1LC1LA")
BB3_ONES = busy_beaver("1RB1RZ_0RC1RB_1LC1LA")
BB4 = busy_beaver("1RB1LB_1LA0LC_1RZ1LD_1RD0RA")
BB23 = busy_beaver("1RB2LB1RZ_2LA2RB1LB")
EQUALITY = busy_beaver("1LB1LZ_1RB0LA")  # its tape-space gap is that of the history path

HALTED = machine("halts at once", ("_", "0", "1"), "", ("1", "0"))
ONE_STEP = machine("one step", ("_", "1"), "start _ -> 1 R stop")
ONE_SYMBOL = machine("a single symbol", ("_",), "start _ -> _ R turn\n turn _ -> _ L stop")
STAYS = machine(
    "stays, with long symbols, input longer than what is read",
    ("blank", "one", "two"),
    "start one -> two S again\n again two -> one S more\n more one -> blank L stop",
    ("one", "two", "two"),
)
SHUTTLE = machine(
    "right to the end, left to the start, leaving marks",
    ("_", "a", "b"),
    """start a -> b R start
       start b -> a R start
       start _ -> _ L back
       back a -> a L back
       back b -> b L back
       back _ -> _ R stop""",
    ("a", "b"),
)
ERASER = machine(
    "erases its input, so that runs merge",
    ("_", "0", "1"),
    "start 0 -> _ R start\n start 1 -> _ R start\n start _ -> _ R stop",
    ("1", "0"),
)
UNEVEN = machine(
    "runs of different length",
    ("_", "0", "1"),
    "start 1 -> 0 R start\n start 0 -> 1 L back\n start _ -> 1 L back\n back 0 -> 0 L back\n back _ -> _ R stop",
    ("1", "1"),
    ("1", "0"),
)
OWN = (
    BB2, BB3_STEPS, BB3_ONES, BB23, EQUALITY, HALTED, ONE_STEP, ONE_SYMBOL, STAYS, SHUTTLE, ERASER, UNEVEN,
)  # fmt: skip


@dataclass(frozen=True)
class Certain:
    """Machines with certain results: gaps to the digits printed there."""

    machine: TuringMachine
    steps: int
    ones: int
    tape_dimension: int
    gap: float
    path_gap: float
    digits: float


CERTAIN = (
    Certain(BB2, 6, 4, 112, 0.081014, 0.198062, 5e-7),
    Certain(BB3_STEPS, 21, 5, 704, 0.007205, 0.020357, 5e-7),
    Certain(BB3_ONES, 14, 6, 960, 0.018628, 0.043705, 5e-7),
    Certain(BB4, 107, 13, 1_769_472, 0.00021351, 0.000846, 5e-7),
)


# ------------------------------------------------------------------------------------ small Hamiltonians


@dataclass(frozen=True, eq=False)
class Case:
    """One machine in one space with some options; small enough for LAPACK on the literal matrix."""

    machine: TuringMachine
    space: str
    options: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        words = [f"{key}={''.join(v) if isinstance(v, tuple) else v}" for key, v in self.options]
        return "-".join([self.machine.name.replace(" ", "_"), self.space, *words])

    @cached_property
    def H(self) -> ClockHamiltonian:
        return ClockHamiltonian.from_machine(self.machine, self.space, **dict(self.options))

    @cached_property
    def literal(self) -> Literal:
        options = dict(self.options)
        if self.space == "function":
            return reference.function_space(
                self.machine,
                options["input_length"],
                bennett="history" in options,
                selected=options.get("input"),
            )
        run = reference.simulate(self.machine)
        if self.space == "configuration":
            return reference.configuration_space(run)
        return reference.tape_space(self.machine, run, options.get("tape_cells"))

    @cached_property
    def matrix(self) -> np.ndarray:
        """The literal matrix in the row order of `H`."""
        matrix = self.literal.matrix()
        return matrix if self.space != "function" else matrix[np.ix_(self.rows, self.rows)]

    @cached_property
    def rows(self) -> np.ndarray:
        """Which literal row stands where in H: `function` data states are told apart by who visits them when."""
        N = self.literal.T + 1
        starts = list(self.H.readout.trajectories.values())
        order = np.full(self.H.d, -1)
        images = self.H.steps.data().images
        everyone = ClockHamiltonian.from_machine(
            self.machine, "function", **{k: v for k, v in self.options if k != "input"}
        ).readout.starts
        assert len(starts) in (1, len(everyone))
        for path, x in zip(self.literal.live, everyone.values(), strict=True):
            for t, data in enumerate(path):
                assert order[x] in (-1, data), "two literal data states are one in H"
                order[x] = data
                x = images[t, x] if t < len(path) - 1 else x
        assert sorted(order) == list(range(self.literal.d)), "H has other data states"
        return (order[:, None] * N + np.arange(N)).reshape(-1)

    @cached_property
    def spectrum(self) -> np.ndarray:
        return np.linalg.eigvalsh(self.matrix)


def _cases_of(machine: TuringMachine) -> Iterator[Case]:
    try:
        run = reference.simulate(machine, limit=_LONGEST)
    except TooLongError:
        return
    N = run.T + 1
    read = [cell for cell, _, _ in run.operations]
    span = max(read) - min(read) + 1 if read else 0
    if N**2 <= ROWS:
        yield Case(machine, "configuration")
    base = len(machine.alphabet)
    for cells in (None, span + 1, span + 2):
        if base ** (span if cells is None else cells) * N <= ROWS:
            yield Case(machine, "tape", () if cells is None else (("tape_cells", cells),))
    symbols = machine.input_alphabet or tuple(s for s in machine.alphabet if s != machine.blank)
    for length in (1, 2, 3) if symbols else ():
        plain = reference.function_space(machine, length)
        history = (("history", "bennett"),) if reference.merges(plain) else ()
        literal = reference.function_space(machine, length, bennett=bool(history))
        if literal.d * (literal.T + 1) > ROWS:
            continue
        options = (("input_length", length), *history)
        yield Case(machine, "function", options)
        yield Case(machine, "function", (*options, ("input", (symbols[-1],) * length)))
        if not history and length == 2:
            yield Case(machine, "function", (*options, ("history", "bennett")))


def example_machines() -> list[TuringMachine]:
    """All files in `examples` that are machines: there are series and a read-me beside them."""
    files = [path for path in sorted(EXAMPLES.iterdir()) if path.suffix in (".json", ".jff", ".yaml", ".txt")]
    return [load_machine(path) for path in files]


CASES: tuple[Case, ...] = tuple(case for m in (*OWN, *example_machines()) for case in _cases_of(m))
SMALL: tuple[Case, ...] = tuple(c for c in CASES if c.literal.d * (c.literal.T + 1) <= 130)  # for the slower checks
BY_NAME = {str(case): case for case in CASES}
#: a few of every space, with and without a chosen input
SOME = [
    BY_NAME[name]
    for name in (
        "1RB1LB_1LA1RZ-configuration",
        "1RB1LB_1LA1RZ-tape-tape_cells=6",
        "1LB1LZ_1RB0LA-tape",
        "a_single_symbol-tape",
        "halts_at_once-tape-tape_cells=2",
        "one_step-configuration",
        "runs_of_different_length-function-input_length=2",
        "runs_of_different_length-function-input_length=2-input=00",
    )
]
