"""The examples compute what their README says, over many inputs, against plain Python."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from hamiltonians.machine import TuringMachine
from hamiltonians.readers import detect_format, load_machine
from hamiltonians.trajectory import Configuration

EXAMPLES = Path(__file__).parents[2] / "examples"
OTHERS = (".md", ".csv", ".qasm", ".safetensors")
FILES = sorted(path.name for path in EXAMPLES.iterdir() if path.is_file() and path.suffix not in OTHERS)


def readme_rows() -> dict[str, list[str]]:
    """File -> the row's other cells."""
    rows = [line for line in (EXAMPLES / "README.md").read_text().splitlines() if line.startswith("| `")]
    cells = [[cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]
    return {file.strip("`"): rest for file, *rest in cells}


README = readme_rows()


def words(symbols: str, *lengths: int) -> list[str]:
    return ["".join(word) for n in lengths for word in product(symbols, repeat=n)]


def machine(name: str) -> TuringMachine:
    return load_machine(EXAMPLES / name)


def test_readme_lists_every_example() -> None:
    assert sorted(README) == FILES
    assert len(FILES) >= 14
    assert {detect_format((EXAMPLES / name).read_text()) for name in FILES} == {row[0] for row in README.values()}


@pytest.mark.parametrize("name", FILES)
def test_readme_row(name: str) -> None:
    format, _, given, steps, output, halts = README[name]
    assert detect_format((EXAMPLES / name).read_text()) == format
    tape = given.removesuffix(" (not in the file)").strip("`")
    example = machine(name)
    assert example.input == (() if given.endswith("(not in the file)") else tuple(tape))
    run = example.run(tape)
    assert f"{run.steps:,}" == steps
    assert ("accepts" if run.accepted else "stuck") == halts
    if output.startswith("`"):
        assert run.output == output.strip("`")
    else:
        assert output == f"{len(run.output):,} cells, {run.output.count('1'):,} of them 1"


def test_most_default_runs_are_small() -> None:
    small = [name for name in FILES if (machine(name).run().steps + 1) ** 2 <= 2_000 and machine(name).run().steps > 1]
    assert len(small) >= 6


def gray(word: str) -> str:
    value = int(word, 2)
    return f"{value ^ value >> 1:0{len(word)}b}"


COMPUTES: list[tuple[str, list[str], Callable[[str], str]]] = [
    ("binary_increment.json", [f"{n:b}" for n in range(64)], lambda w: f"{int(w, 2) + 1:b}"),
    ("parity.json", words("01", *range(7)), lambda w: w + str(w.count("1") % 2)),
    ("gray_code.json", words("01", *range(1, 7)), gray),
    ("logical_and.json", words("01", 2), lambda w: str(int(w[0]) & int(w[1]))),
    ("sort_bits.json", words("01", *range(1, 8)), lambda w: "".join(sorted(w))),
    ("unary_addition.json", [f"{'1' * m}+{'1' * n}" for m in range(6) for n in range(6)], lambda w: w.replace("+", "")),
    ("copy_word.json", words("ab", *range(6)), lambda w: f"{w}#{w}"),
    ("complement.jff", words("01", *range(7)), lambda w: w.translate(str.maketrans("01", "10"))),
    (
        "unary_multiplication.yaml",
        [f"{'|' * m}*{'|' * n}" for m in range(5) for n in range(5)],
        lambda w: "|" * (w.index("*") * (len(w) - 1 - w.index("*"))),
    ),
]


@pytest.mark.parametrize(("name", "inputs", "function"), COMPUTES, ids=[row[0] for row in COMPUTES])
def test_computes(name: str, inputs: list[str], function: Callable[[str], str]) -> None:
    example = machine(name)
    for word in inputs:
        run = example.run(word, max_steps=10_000)
        assert (run.output, run.accepted) == (function(word), True), word


def test_binary_addition() -> None:
    example = machine("binary_addition.yaml")
    for m, n in product(range(1, 12), range(12)):
        run = example.run(f"{m:b}+{n:b}", max_steps=10_000)
        assert run.accepted
        assert run.output == f"{m + n:b}"
        assert int(example.run(f"0+{n:b}").output, 2) == n


def is_balanced(word: str) -> bool:
    while "()" in word:
        word = word.replace("()", "")
    return word == ""


RECOGNISES: list[tuple[str, list[str], Callable[[str], bool]]] = [
    ("palindrome.json", words("ab", *range(7)), lambda w: w == w[::-1]),
    ("balanced_parentheses.json", words("()", *range(9)), is_balanced),
    ("divisible_by_three.json", words("01", *range(1, 8)), lambda w: int(w, 2) % 3 == 0),
    ("equal_blocks.jff", words("ab", *range(7)), lambda w: w == "a" * (len(w) // 2) + "b" * (len(w) // 2)),
]


@pytest.mark.parametrize(("name", "inputs", "language"), RECOGNISES, ids=[row[0] for row in RECOGNISES])
def test_recognises(name: str, inputs: list[str], language: Callable[[str], bool]) -> None:
    example = machine(name)
    assert {word for word in inputs if example.run(word).accepted} == {word for word in inputs if language(word)}


def merging_step(example: TuringMachine, length: int) -> int | None:
    """The first step that maps two configurations of the runs over all inputs to one; halted runs idle."""
    runs = [list(example.run(word).configurations) for word in product(example.input_symbols, repeat=length)]
    slowest = max(len(run) for run in runs)
    for j in range(1, slowest):
        before: set[Configuration] = {run[min(j - 1, len(run) - 1)] for run in runs}
        after: set[Configuration] = {run[min(j, len(run) - 1)] for run in runs}
        if len(after) < len(before):
            return j
    return None


@pytest.mark.parametrize(
    "name", ["binary_increment.json", "parity.json", "gray_code.json", "divisible_by_three.json", "complement.jff"]
)
@pytest.mark.parametrize("length", [1, 2, 3, 5])
def test_injective_over_all_inputs(name: str, length: int) -> None:
    assert merging_step(machine(name), length) is None


@pytest.mark.parametrize("name", [name for name, row in README.items() if "merges" in row[1]])
def test_merging_over_all_inputs(name: str) -> None:
    assert merging_step(machine(name), 2) is not None


def test_logical_and_merges_in_its_second_step() -> None:
    assert merging_step(machine("logical_and.json"), 2) == 2
