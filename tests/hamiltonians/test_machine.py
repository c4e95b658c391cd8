"""The compiled runner against a literal simulator, automata-lib and the busy-beaver table."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from automata.base.exceptions import RejectionException
from automata.tm.dtm import DTM
from hypothesis import given, settings
from hypothesis import strategies as st

from hamiltonians.errors import InputError
from hamiltonians.machine import Rule, TuringMachine
from hamiltonians.readers import load_machine
from hamiltonians.trajectory import Configuration

EXAMPLES = Path(__file__).parents[2] / "examples"

# machines with certain results: table -> steps (the halting one counts), non-blank cells
BUSY_BEAVERS = {
    "1RB1LB_1LA1RZ": (6, 4),
    "1RB1RZ_1LB0RC_1LC1LA": (21, 5),
    "1RB1RZ_0RC1RB_1LC1LA": (14, 6),
    "1RB1LB_1LA0LC_1RZ1LD_1RD0RA": (107, 13),
    "1RB2LB1RZ_2LA2RB1LB": (38, 9),
    "1RB2LA1RA1RA_1LB1LA3RB1RZ": (3_932_964, 2_050),
    "1RB1LC_1RC1RB_1RD0LE_1LA1LD_1RZ0LA": (47_176_870, 4_098),
}
SMALL = [table for table, (steps, _) in BUSY_BEAVERS.items() if steps < 200]

Snapshot = tuple[str, int, dict[int, str]]


def literal_run(machine: TuringMachine, word: tuple[str, ...]) -> Iterator[Snapshot]:
    """State, head and tape of every configuration; the tape is one dictionary that the next step changes."""
    state, head, tape = machine.initial, 0, dict(enumerate(word))
    yield state, head, tape
    while (rule := machine.rules.get((state, tape.get(head, machine.blank)))) is not None:
        tape[head] = rule.write
        state, head = rule.to_state, head + rule.move
        yield state, head, tape


def frozen(machine: TuringMachine, snapshot: Snapshot) -> Configuration:
    state, head, tape = snapshot
    used = [cell for cell, symbol in tape.items() if symbol != machine.blank]
    if not used:
        return Configuration(state, head, (), 0)
    cells = range(min(used), max(used) + 1)
    return Configuration(state, head, tuple(tape.get(cell, machine.blank) for cell in cells), cells[0])


def literal(machine: TuringMachine, word: tuple[str, ...], max_steps: int) -> list[Configuration] | None:
    """All configurations, or None for a machine that runs on."""
    seen = []
    for snapshot in literal_run(machine, word):
        if len(seen) > max_steps:
            return None
        seen.append(frozen(machine, snapshot))
    return seen


@st.composite
def machines(draw: st.DrawFn) -> tuple[TuringMachine, tuple[str, ...]]:
    states = tuple("ABCD"[: draw(st.integers(1, 4))])
    alphabet = tuple("_01"[: draw(st.integers(1, 3))])
    rule = st.builds(Rule, st.sampled_from(states), st.sampled_from(alphabet), st.sampled_from([-1, 0, 1]))
    keys = [key for key in product(states, alphabet) if draw(st.integers(0, 4))]  # a rule in five is missing
    machine = TuringMachine(
        name="random",
        alphabet=alphabet,
        blank=draw(st.sampled_from(alphabet)),
        states=states,
        initial=draw(st.sampled_from(states)),
        finals=draw(st.frozensets(st.sampled_from(states))),
        rules={key: draw(rule) for key in keys},
    )
    return machine, tuple(draw(st.lists(st.sampled_from(alphabet), max_size=6)))


def layered(seed: int) -> tuple[TuringMachine, tuple[str, ...]]:
    """A random machine that takes as many steps as it has layers of two states: free ones halt at once or never."""
    drawn = random.Random(seed)
    layers, alphabet = drawn.randrange(1, 200), "_01"
    states = tuple(f"{layer}{side}" for layer in range(layers + 1) for side in "ab")
    rules = {
        (f"{layer}{side}", read): Rule(
            f"{layer + 1}{drawn.choice('ab')}", drawn.choice(alphabet), drawn.choice([-1, 0, 1])
        )
        for layer, side, read in product(range(layers), "ab", alphabet)
    }
    machine = TuringMachine("layers", tuple(alphabet), "_", states, "0a", frozenset(states[-1:]), rules)
    return machine, tuple(drawn.choices(alphabet, k=drawn.randrange(20)))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(machines() | st.builds(layered, st.integers(0, 10**9)), st.randoms(use_true_random=False))
def test_random_machine_runs_as_the_literal_one(
    drawn: tuple[TuringMachine, tuple[str, ...]], shuffled: random.Random
) -> None:
    machine, word = drawn
    expected = literal(machine, word, max_steps=300)
    if expected is None:
        with pytest.raises(InputError, match="did not halt within 300 steps"):
            machine.run(word, max_steps=300)
        return
    run = machine.run(word, max_steps=300)
    last = expected[-1]
    assert run.steps == len(expected) - 1 == len(run.configurations) - 1
    assert (run.final_state, run.accepted) == (last.state, last.state in machine.finals)
    assert run.output == "".join(last.tape)
    heads = [configuration.head for configuration in expected[:-1]]
    assert run.cells_read == ((min(heads), max(heads)) if heads else None)
    indices = list(range(-len(expected), len(expected)))
    shuffled.shuffle(indices)
    assert all(run.configurations[i] == expected[i] for i in indices)
    assert list(run.configurations) == expected


@settings(max_examples=100, deadline=None, derandomize=True)
@given(machines() | st.builds(layered, st.integers(0, 10**9)))
def test_operations_are_what_the_steps_did(drawn: tuple[TuringMachine, tuple[str, ...]]) -> None:
    machine, word = drawn
    expected = literal(machine, word, max_steps=300)
    if expected is None:
        return
    done = machine.run(word).operations()
    for j, before in enumerate(expected[:-1]):
        inside = 0 <= before.head - before.offset < len(before.tape)
        read = before.tape[before.head - before.offset] if inside else machine.blank
        write = machine.rules[before.state, read].write
        assert (done.cell[j], machine.alphabet[done.read[j]], machine.alphabet[done.write[j]]) == (
            before.head, read, write,
        )  # fmt: skip


@pytest.mark.parametrize(("table", "steps", "ones"), [(table, *known) for table, known in BUSY_BEAVERS.items()])
def test_busy_beaver(table: str, steps: int, ones: int) -> None:
    run = load_machine(f"bb:{table}").run()
    assert (run.steps, run.final_state, run.accepted) == (steps, "Z", True)
    assert len(run.output) - run.output.count("0") == ones
    last = run.configurations[-1]
    assert last == run.configurations[steps]
    assert (last.state, "".join(last.tape)) == ("Z", run.output)


@pytest.mark.parametrize("table", SMALL)
def test_slices_and_negative_indices(table: str) -> None:
    run = load_machine(f"bb:{table}").run()
    expected = literal(run.machine, (), 200)
    assert expected is not None
    for cut in (slice(None), slice(3, None, 2), slice(None, None, -1), slice(-4, -1), slice(5, 2), slice(0, 10**9)):
        assert run.configurations[cut] == expected[cut]
    for outside in (len(expected), -len(expected) - 1):
        with pytest.raises(IndexError):
            run.configurations[outside]


def test_replay_between_checkpoints_of_a_long_run() -> None:
    run = load_machine("bb:1RB2LA1RA1RA_1LB1LA3RB1RZ").run()
    drawn = random.Random(20190319)
    wanted = {0, 1, 4095, 4096, 4097, 2**20 - 1, 2**20, 2**20 + 1, run.steps - 1, run.steps}
    wanted |= {drawn.randrange(run.steps) for _ in range(30)}
    seen = {}
    for index, snapshot in enumerate(literal_run(run.machine, ())):
        if index in wanted:
            seen[index] = frozen(run.machine, snapshot)
    assert len(seen) == len(wanted)
    order = sorted(wanted)
    drawn.shuffle(order)
    assert all(run.configurations[index] == seen[index] for index in order)


# --- limits


def sweep(move: int) -> TuringMachine:
    """Moves over its input, turning 1 into 2, and halts on the first blank."""
    return TuringMachine("sweep", ("_", "1", "2"), "_", ("s",), "s", frozenset("s"), {("s", "1"): Rule("s", "2", move)})


@pytest.mark.parametrize("steps", [1, 5, 4095, 4096, 4097, 8192, 20_000])
def test_max_steps_may_be_just_enough(steps: int) -> None:
    machine, word = sweep(+1), ("1",) * steps
    run = machine.run(word, max_steps=steps)
    assert (run.steps, run.output, run.cells_read) == (steps, "2" * steps, (0, steps - 1))
    assert run.configurations[steps // 2].head == steps // 2
    with pytest.raises(InputError, match=f"`sweep` did not halt within {steps - 1:,} steps"):
        machine.run(word, max_steps=steps - 1)


def test_max_steps_must_not_be_negative() -> None:
    with pytest.raises(InputError, match="`max_steps` must be at least 0, but is -1"):
        sweep(1).run("1", max_steps=-1)


@pytest.mark.parametrize("word", ["", "2", "_1"])
def test_a_run_without_steps(word: str) -> None:
    run = sweep(+1).run(word, max_steps=0)
    assert (run.steps, run.final_state, run.accepted, run.cells_read) == (0, "s", True, None)
    assert run.output == word.strip("_")
    tape = tuple(run.output)
    assert list(run.configurations) == [Configuration("s", 0, tape, word.index("1") if "1" in word else 0)]
    assert len(run.operations().cell) == 0


@pytest.mark.parametrize("move", [-1, +1])
@pytest.mark.parametrize("cells", [63, 64, 65, 300])
def test_tape_grows_on_both_sides(move: int, cells: int) -> None:
    states = tuple(f"s{i}" for i in range(cells + 1))
    rules = {(states[i], "_"): Rule(states[i + 1], "x", move) for i in range(cells)}
    machine = TuringMachine("line", ("_", "x"), "_", states, "s0", frozenset(states[-1:]), rules)
    run = machine.run()
    assert (run.steps, run.output, run.accepted) == (cells, "x" * cells, True)
    assert run.cells_read == ((0, cells - 1) if move > 0 else (1 - cells, 0))
    assert list(run.configurations) == literal(machine, (), cells)


def test_a_step_off_the_tape_reads_blank() -> None:
    rules = {("s", "1"): Rule("s", "1", -1), ("s", "_"): Rule("t", "1", -1)}
    machine = TuringMachine("left", ("_", "1"), "_", ("s", "t"), "s", frozenset("t"), rules)
    run = machine.run("1")
    assert (run.steps, run.output, run.configurations[-1].offset, run.cells_read) == (2, "11", -1, (-1, 0))


# --- automata-lib


def as_dtm(machine: TuringMachine) -> DTM:
    transitions: dict[str, dict[str, tuple[str, str, str]]] = {}
    for (state, read), rule in machine.rules.items():
        transitions.setdefault(state, {})[read] = (rule.to_state, rule.write, "LNR"[rule.move + 1])
    return DTM(
        states=set(machine.states),
        input_symbols=set(machine.alphabet) - {machine.blank},
        tape_symbols=set(machine.alphabet),
        transitions=transitions,
        initial_state=machine.initial,
        blank_symbol=machine.blank,
        final_states=set(machine.finals),
    )


@pytest.mark.parametrize(
    ("source", "words"),
    [
        *((f"bb:{table}", [""]) for table in SMALL),
        ("palindrome.json", ["".join(w) for n in range(5) for w in product("ab", repeat=n)]),
        ("binary_increment.json", ["1011", "111", "0"]),
        ("divisible_by_three.json", ["11", "1011"]),
        ("sort_bits.json", ["10110", "1100"]),
    ],
)
def test_automata_lib_takes_the_same_steps(source: str, words: list[str]) -> None:
    machine = load_machine(source if source.startswith("bb:") else EXAMPLES / source)
    dtm = as_dtm(machine)
    for word in words:
        run = machine.run(word)
        accepted, theirs = True, []
        try:
            for configuration in dtm.read_input_stepwise(word):
                tape = configuration.tape
                theirs.append((configuration.state, machine.text(tape.tape), tape.read_symbol()))
        except RejectionException:
            accepted = False
        ours = []
        for c in run.configurations:
            inside = 0 <= c.head - c.offset < len(c.tape)
            ours.append((c.state, "".join(c.tape), c.tape[c.head - c.offset] if inside else machine.blank))
        assert ours == theirs
        assert run.accepted == accepted


# --- the machine as data


VALID = {
    "name": "flip",
    "alphabet": ("0", "1", "_"),
    "blank": "_",
    "states": ("q", "f"),
    "initial": "q",
    "finals": frozenset("f"),
    "rules": {("q", "0"): Rule("f", "1", 1)},
}


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"alphabet": ()}, "alphabet"),
        ({"alphabet": ("0", "1", "_", "0")}, "alphabet"),
        ({"alphabet": ("0", "1", "_", "")}, "alphabet"),
        ({"alphabet": ("0", "1", "_", *(f"x{i}" for i in range(253)))}, "alphabet"),
        ({"blank": " "}, "blank"),
        ({"states": ("q", "f", "q")}, "states"),
        ({"initial": "r"}, "initial"),
        ({"finals": frozenset("g")}, "finals"),
        ({"rules": {("r", "0"): Rule("f", "1", 1)}}, "transitions"),
        ({"rules": {("q", "2"): Rule("f", "1", 1)}}, "transitions.q.read"),
        ({"rules": {("q", "0"): Rule("f", "2", 1)}}, "transitions.q.write"),
        ({"rules": {("q", "0"): Rule("g", "1", 1)}}, "transitions.q.to_state"),
        ({"rules": {("q", "0"): Rule("f", "1", 2)}}, "transitions.q.action"),
        ({"input": ("2",)}, "input"),
        ({"input_alphabet": ("2",)}, "input_alphabet"),
    ],
)
def test_contradicting_fields_are_named(changed: dict[str, object], field: str) -> None:
    with pytest.raises(InputError) as caught:
        TuringMachine(**{**VALID, **changed})
    assert caught.value.field == field
    assert f"`{field}`" in str(caught.value)


def test_words_and_texts() -> None:
    machine = TuringMachine(**VALID)
    assert machine.word("0110") == ("0", "1", "1", "0")
    assert machine.text("__01_1__") == "01_1"
    assert machine.text("____") == machine.text(()) == ""
    assert machine.input_symbols == ("0", "1")
    with pytest.raises(InputError, match=r"`input` must be in the alphabet .* but is '2'"):
        machine.run("012")
    long = TuringMachine("long", ("ten", "_"), "_", ("q",), "q", frozenset(), {})
    assert long.word(" ten  ten ") == ("ten", "ten")
    assert long.text(("_", "ten", "_", "ten")) == "ten _ ten"
