"""Every format reads the same machine alike, and every broken file gets one line that names its field."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hamiltonians.errors import InputError
from hamiltonians.machine import Rule, TuringMachine
from hamiltonians.readers import FORMATS, detect_format, load_machine, machine_of, read_machine_text, standard_input

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data" / "machines"
SAME = {
    "native": "native.json",
    "automata-lib": "automata_lib.json",
    "turingmachine-io": "turingmachine_io.yaml",
    "jflap": "jflap.jff",
    "busy-beaver": "machine.txt",
}

# file -> what the message says after "FILE: "; an ellipsis stands for words of the JSON, YAML or XML parser
BROKEN = json.loads((DATA / "messages.json").read_text())


@pytest.mark.parametrize("format", FORMATS)
def test_same_machine_in_every_format_runs_alike(format: str) -> None:
    machine = load_machine(DATA / "same" / SAME[format])
    expected = load_machine("bb:1RB1RZ_0RC1RB_1LC1LA").run()
    run = machine.run()
    assert (run.steps, run.output, run.final_state, run.accepted) == (14, "111111", "Z", True)
    for here, there in zip(run.configurations, expected.configurations, strict=True):
        tape = tuple("0" if symbol == machine.blank else symbol for symbol in here.tape)
        assert (here.state, here.head, tape, here.offset) == (there.state, there.head, there.tape, there.offset)


@pytest.mark.parametrize("format", FORMATS)
def test_format_is_recognised_by_content(format: str, tmp_path: Path) -> None:
    text = (DATA / "same" / SAME[format]).read_text()
    assert detect_format(text) == format
    misnamed = tmp_path / "machine.data"
    misnamed.write_text(text)
    assert load_machine(misnamed).rules == load_machine(misnamed, format).rules
    assert load_machine(str(misnamed)).rules == load_machine(text).rules == read_machine_text(text, "-").rules
    for marked in (b"\xef\xbb\xbf" + text.encode(), "\ufeff" + text):
        assert read_machine_text(marked, "-").rules == load_machine(text).rules


def test_every_broken_file_is_listed() -> None:
    assert sorted(BROKEN) == sorted(path.name for path in (DATA / "broken").iterdir())


@pytest.mark.parametrize("name", BROKEN)
def test_broken_file_gets_one_line(name: str) -> None:
    path = DATA / "broken" / name
    with pytest.raises(InputError) as caught:
        load_machine(path)
    message, expected = str(caught.value), f"{path}: {BROKEN[name]}"
    if expected.endswith("…"):
        assert message.startswith(expected[:-1])
    else:
        assert message == expected
    assert len(message.splitlines()) == 1
    assert message.isprintable()
    assert f"`{caught.value.field}`" in message


# --- native


NATIVE = {
    "name": "flip",
    "alphabet": ["0", "1", "_"],
    "blank": "_",
    "states": ["q0", "q1"],
    "initial": "q0",
    "finals": ["q1"],
    "transitions": {
        "q0": [
            {"read": "0", "to_state": "q0", "write": "1", "action": "RIGHT"},
            {"read": "1", "to_state": "q0", "write": "0", "action": "LEFT"},
            {"read": "_", "to_state": "q1", "write": "_", "action": "STAY"},
        ]
    },
}


def test_native_fields() -> None:
    machine = load_machine(json.dumps({**NATIVE, "input": "01", "input_alphabet": ["1"]}))
    assert machine == TuringMachine(
        name="flip",
        alphabet=("0", "1", "_"),
        blank="_",
        states=("q0", "q1"),
        initial="q0",
        finals=frozenset({"q1"}),
        rules={("q0", "0"): Rule("q0", "1", 1), ("q0", "1"): Rule("q0", "0", -1), ("q0", "_"): Rule("q1", "_", 0)},
        input=("0", "1"),
        input_alphabet=("1",),
    )


@pytest.mark.parametrize(
    ("action", "move"), [("L", -1), ("LEFT", -1), ("R", 1), ("RIGHT", 1), ("S", 0), ("N", 0), ("STAY", 0)]
)
def test_native_actions(action: str, move: int) -> None:
    rule = {"read": "0", "to_state": "q1", "write": "1", "action": action}
    machine = load_machine(json.dumps({**NATIVE, "transitions": {"q0": [rule]}}))
    assert machine.rules == {("q0", "0"): Rule("q1", "1", move)}


def test_native_symbols_of_several_characters() -> None:
    rule = {"read": "ten", "to_state": "q1", "write": "ten", "action": "R"}
    changed = {"alphabet": ["ten", "_"], "transitions": {"q0": [rule]}}
    for word in ("ten ten", ["ten", "ten"]):
        assert load_machine(json.dumps({**NATIVE, **changed, "input": word})).input == ("ten", "ten")


# --- automata-lib


def test_automata_lib_keeps_the_order_of_the_file() -> None:
    machine = load_machine(DATA / "same" / SAME["automata-lib"])
    assert machine.states == ("A", "B", "C", "Z")
    assert machine.alphabet == ("0", "1")
    assert machine.input_symbols == ("1",)
    assert machine.name == "automata_lib"


# --- turingmachine.io


def test_yaml_words_stay_what_was_written() -> None:
    machine = load_machine(
        "blank: 0\nstart state: no\ntable:\n"
        "  no:\n    [0, 01, 1e3]: {write: ~, R: yes}\n    N: {write: 0x1F, L: null}\n    ' ': {write: Y, R: 1_0}\n"
        "  yes: ~\n  null: {}\n  1_0:\n"
    )
    assert machine.states == ("no", "yes", "null", "1_0")
    assert machine.finals == {"yes", "null", "1_0"}
    assert machine.alphabet == ("0", "~", "01", "1e3", "N", "0x1F", " ", "Y")
    assert machine.rules["no", "01"] == Rule("yes", "~", 1)
    assert machine.rules["no", "N"] == Rule("null", "0x1F", -1)
    assert machine.rules["no", " "] == Rule("1_0", "Y", 1)


def test_turingmachine_io_instructions() -> None:
    machine = load_machine(
        "blank: ' '\nstart state: a\ninput: 12\nsynonyms: {go: {R: b}, wait: N}\ntable:\n"
        "  a: {1: L, 2: R, 3: N, 4: {L}, 5: {write: 6, R}, 7: {R: b}, 8: go, 9: wait}\n  b:\n"
    )
    moves = {"1": -1, "2": 1, "3": 0, "4": -1, "9": 0}
    expected = {("a", symbol): Rule("a", symbol, move) for symbol, move in moves.items()}
    expected |= {("a", "5"): Rule("a", "6", 1), ("a", "7"): Rule("b", "7", 1), ("a", "8"): Rule("b", "8", 1)}
    assert machine.rules == expected
    assert machine.input == ("1", "2")


def test_turingmachine_io_unlisted_symbol_is_stuck_and_empty_state_accepts() -> None:
    machine = load_machine("blank: ' '\nstart state: a\ntable:\n  a: {1: R, ' ': {L: b}}\n  b:\ninput: '12'\n")
    stuck, accepted = machine.run(), machine.run("11")
    assert (stuck.steps, stuck.final_state, stuck.accepted) == (1, "a", False)
    assert (accepted.steps, accepted.final_state, accepted.accepted) == (3, "b", True)


def test_turingmachine_io_export_is_unwrapped() -> None:
    inner = (DATA / "same" / SAME["turingmachine-io"]).read_text()
    wrapped = "name: three states\nsource code: |\n" + "".join(f"  {line}\n" for line in inner.splitlines())
    machine = load_machine(wrapped + "positions:\n  A: {x: 1.5, y: 2}\n")
    assert machine.name == "three states"
    assert machine.rules == load_machine(inner).rules


def test_turingmachine_io_as_flow_mapping_needs_its_format() -> None:
    machine = load_machine("{blank: 0, start state: a, table: {a: {0: R}}}", "turingmachine-io")
    assert machine.rules == {("a", "0"): Rule("a", "0", 1)}


# --- JFLAP


def jflap(body: str, before: str = "<type>turing</type>") -> TuringMachine:
    return load_machine(f"<structure>{before}<automaton>{body}</automaton></structure>")


def transition(read: str, write: str, move: str, source: int = 0, target: int = 0) -> str:
    return (
        f"<transition><from>{source}</from><to>{target}</to>"
        f"<read>{read}</read><write>{write}</write><move>{move}</move></transition>"
    )


STATES = '<state id="0" name="s"><initial/></state><state id="1" name="f"><final/></state>'


def test_jflap_empty_means_blank() -> None:
    machine = jflap(STATES + transition("", "a", "S", 0, 1))
    assert (machine.blank, machine.alphabet) == ("□", ("□", "a"))
    assert machine.rules == {("s", "□"): Rule("f", "a", 0)}


def test_jflap_tilde_is_any_symbol_unchanged() -> None:
    machine = jflap(STATES + transition("~", "~", "R") + transition("a", "b", "L", 1))
    assert machine.rules == {("s", symbol): Rule("s", symbol, 1) for symbol in ("□", "a", "b")}


def test_jflap_rules_that_leave_a_final_state_are_dropped() -> None:
    machine = jflap(STATES + transition("", "a", "R", 0, 1) + transition("", "a", "R", 1, 1))
    run = machine.run()
    assert (run.steps, run.output, run.accepted) == (1, "a", True)


@pytest.mark.parametrize("names", ['name="s" name2=""', 'name="f"', ""])
def test_jflap_state_names_fall_back_to_ids(names: str) -> None:
    machine = jflap(f'<state id="0" {names}><initial/></state><state id="1" name="f"><final/></state>')
    assert machine.states == (("s", "f") if 'name="s"' in names else ("0", "1"))


def test_jflap_4_has_no_automaton_element_and_6_4_saves_states_as_blocks() -> None:
    old = load_machine(f"<structure><type>turing</type>{STATES}{transition('', 'a', 'S', 0, 1)}</structure>")
    blocks = STATES.replace("state", "block").replace("><initial", "><tag>Machine0</tag><initial")
    new = jflap(blocks + transition("", "a", "S", 0, 1) + "<Machine0/>", "<type>turingbb</type><tapes>1</tapes>")
    assert old.rules == new.rules
    assert old.states == new.states == ("s", "f")


# --- busy beaver


@pytest.mark.parametrize("text", ["1RB1LB 1LA1RZ", "  1RB1LB_1LA1RZ\n", "bb:1RB1LB_1LA1RZ", "bb: 1RB1LB 1LA1RZ\n"])
def test_busy_beaver_spellings(text: str) -> None:
    machine = load_machine(text)
    assert machine.name == "bb:1RB1LB_1LA1RZ"
    assert (machine.states, machine.finals, machine.alphabet) == (("A", "B", "Z"), {"Z"}, ("0", "1"))
    assert machine.rules["B", "1"] == Rule("Z", "1", 1)
    assert machine.run().steps == 6


def test_busy_beaver_undefined_is_stuck_and_any_letter_beyond_the_table_halts() -> None:
    stuck, halted = load_machine("bb:1RB---_1LA---").run(), load_machine("bb:1RB---_1LH1LA").run()
    assert (stuck.steps, stuck.final_state, stuck.accepted) == (2, "A", False)
    assert (halted.steps, halted.final_state, halted.accepted) == (2, "H", True)


# --- what is no machine


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("nosuch.json", "nosuch.json: `file` must be readable, but is not: No such file or directory"),
        ("", ": `file` must be readable, but is not: No such file or directory"),
        ("/", "/: `file` must be readable, but is not: Is a directory"),
        ("a\0b", "'a\\x00b': `file` must be the name of a file, but no file can bear it"),
        ("x" * 5000, "x" * 5000 + ": `file` must be readable, but is not: File name too long"),
        ("bb:1RB1LB_1LA", "bb:1RB1LB_1LA: `row B` must be 2 cells of 3 characters as in row A, but is '1LA'"),
    ],
)
def test_argument_that_is_no_machine(argument: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        load_machine(argument)
    assert str(caught.value) == message.strip()


def test_unknown_format_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"`format` must be one of native, automata-lib, .*, but is 'tm'"):
        load_machine("bb:1RB1LB_1LA1RZ", "tm")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file(tmp_path: Path) -> None:
    path = tmp_path / "secret.json"
    path.touch(mode=0)
    with pytest.raises(InputError, match="`file` must be readable, but is not: Permission denied"):
        load_machine(path)


def test_too_large_a_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    with path.open("wb") as file:
        file.truncate(2**40)  # sparse: reading it would take a terabyte
    with pytest.raises(InputError, match="`file` must be at most 16 MiB, but is larger"):
        load_machine(path)


def bombs() -> dict[str, str]:
    wide = "\n".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30))
    nested = "".join(f"{' ' * i}[a, b]:\n" for i in range(60))
    tildes = "".join(transition("~", "~", "R", i, i) for i in range(3000))
    symbols = "".join(transition(chr(0x4E00 + i), "a", "R") for i in range(3000))
    return {
        "yaml aliases": f"a0: &a0 [x]\n{wide}\n",
        "yaml nested lists of keys": f"table:\n{nested}",
        "yaml recursion": "a: &a [*a]\n",
        "yaml escape beyond Unicode": 'blank: "\\UFFFFFFFF"\n',
        "yaml long version": f"%YAML {'1' * 5000}.1\n--- a:\n",
        "yaml two documents": "a: b\n---\nc: d\n",
        "json deep": '{"a":' * 100_000,
        "json deep list": '{"a":' + "[" * 900 + "]" * 900 + "}",
        "json lone surrogate": '{"name": "\\ud800", "\\udfff": 1}',
        "surrogate": "a: \ud800\n",
        "yaml lone surrogate": 'blank: "\\ud800"\n"\\ud800": 1\n',
        "xml deep": "<a>" * 100_000 + "</a>" * 100_000,
        "xml entities": '<!DOCTYPE a [<!ENTITY b "c"><!ENTITY d "&b;&b;">]><a>&d;</a>',
        "xml external entity": '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]><a>&b;</a>',
        "xml surrogate": "<a>\ud800</a>",
        "xml tildes": f"<structure><type>turing</type>{tildes}{symbols}</structure>",
        "table": "bb:" + "1RA" * 100_000,
        "table of many rows": "bb:" + "1RA_" * 100_000,
    }


@pytest.mark.parametrize("name", bombs())
def test_bombs_are_refused(name: str) -> None:
    with pytest.raises(InputError) as caught:
        load_machine(bombs()[name])
    assert len(str(caught.value)) < 500


def test_importing_the_readers_loads_no_parser() -> None:
    code = (
        "import sys, hamiltonians.readers as r; r.load_machine('bb:1RB1LB_1LA1RZ'); "
        "print(sorted({'pydantic', 'yaml', 'defusedxml', 'numba', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- nothing but an InputError for whatever a file holds

VALID = [(DATA / "same" / name).read_bytes() for name in SAME.values()]
VALID += [
    (ROOT / "examples" / f"{name}").read_bytes() for name in ("binary_addition.yaml", "unary_multiplication.yaml")
]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.sampled_from(["A", "0", "R"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["A", "0", "read"]), inner, max_size=3),
    max_leaves=5,
)


def reads_or_refuses(text: bytes | str) -> None:
    messages = []
    for format in (None, *FORMATS):
        try:
            read_machine_text(text, "fuzz", format)
        except InputError as error:
            messages.append(str(error))
    assert all(message.startswith("fuzz: ") and len(message.splitlines()) == 1 for message in messages)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.data())
def test_mangled_bytes_raise_nothing_but_input_errors(data: st.DataObject) -> None:
    text = bytearray(data.draw(st.sampled_from(VALID)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        edit = data.draw(st.sampled_from(["flip", "delete", "insert", "cut"]))
        if edit == "flip":
            text[at] ^= 1 << data.draw(st.integers(0, 7))
        elif edit == "delete":
            del text[at : at + data.draw(st.integers(1, 8))]
        elif edit == "insert":
            text[at:at] = data.draw(
                st.sampled_from([b"\0", b"{", b"[", b":", b"&a ", b"*a", b"!!x ", b"\t", b"? ", b"<"])
            )
        else:
            del text[at + 1 :]
        if not text:
            break
    reads_or_refuses(bytes(text))


def places(value: object, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at] + [place for key, below in inside for place in places(below, (*at, key))]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.data())
def test_random_json_values_raise_nothing_but_input_errors(data: st.DataObject) -> None:
    document = json.loads(data.draw(st.sampled_from(VALID[:2])))
    place = data.draw(st.sampled_from(places(document)[1:]))
    inside = document
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = data.draw(json_values)
    reads_or_refuses(json.dumps(document))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.text(max_size=40) | st.text("{}[]:<>/&*!|'\"-_ \n\t01RLABZ~#%", max_size=40))
def test_any_text_raises_nothing_but_input_errors(text: str) -> None:
    reads_or_refuses(text)


def test_a_dash_is_the_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    def stands(content: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    stands(b"1RB1LB_1LA1RZ\n")
    assert machine_of("-").rules == load_machine("bb:1RB1LB_1LA1RZ").rules
    stands(b"1RB1LB_1LA1RZ\n")
    with pytest.raises(InputError, match="`-` must be at most 0 MiB, but is longer"):
        standard_input(3)
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InputError, match="must have a standard input to read, but it is closed"):
        machine_of("-")
