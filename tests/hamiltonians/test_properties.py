"""Whatever the machine, whatever the steps: H ⪰ 0, H = B†B, H ψ0 = 0, operator = matrix, every row counted."""

from __future__ import annotations

from collections import Counter
from itertools import product

import numpy as np
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from hamiltonians import ClockHamiltonian, InputError, Rule, TuringMachine, certify, ground_state
from hamiltonians.components import Paths
from hamiltonians.paths import PathKind
from hamiltonians.steps import CellSteps
from tests.systems import reference
from tests.systems.reference import EIGENVALUE, TooLongError
from tests.systems.step_lists import contraction, degeneracy, gap, images_matrix, unit, unitary

ROUNDING = 1e-13
seeds = st.integers(0, 2**32 - 1)


@st.composite
def machines(draw: st.DrawFn) -> TuringMachine:
    """Up to three states and three symbols, any rules, some left out; most of them halt soon or never."""
    symbols = ("_", "0", "1")[: draw(st.integers(1, 3))]
    states = ("A", "B", "C")[: draw(st.integers(1, 3))]
    rules = {}
    for state, read in product(states, symbols):
        if draw(st.integers(0, 4)):
            rules[state, read] = Rule(
                draw(st.sampled_from((*states, "Z"))), draw(st.sampled_from(symbols)), draw(st.sampled_from((-1, 0, 1)))
            )
    word = tuple(draw(st.lists(st.sampled_from(symbols[1:]), max_size=4))) if len(symbols) > 1 else ()
    return TuringMachine("random", symbols, "_", (*states, "Z"), "A", frozenset("Z"), rules, word)


@st.composite
def image_lists(draw: st.DrawFn) -> np.ndarray:
    """Partial permutations, (T, d)."""
    d, T = draw(st.integers(1, 6)), draw(st.integers(1, 5))
    rows = []
    for _ in range(T):
        images = list(draw(st.permutations(range(d))))
        holes = draw(st.sets(st.integers(0, d - 1), max_size=d // 2))
        rows.append([-1 if x in holes else y for x, y in enumerate(images)])
    return np.array(rows)


def brute_census(steps: list[np.ndarray], d: int, pinned: int | None = None) -> dict[PathKind, int]:
    """Walk from every row that nothing leads to."""
    T = len(steps)
    census: Counter[PathKind] = Counter()
    for x, j in product(range(d), range(T + 1)):
        if j > 0 and steps[j - 1][x].any():
            continue
        y, end = x, j
        while end < T and steps[end][:, y].any():
            y, end = int(np.flatnonzero(steps[end][:, y])[0]), end + 1
        wall_first = j > 0 or (pinned is not None and x != pinned)
        census[PathKind(end - j + 1, wall_first, end < T)] += 1
    return dict(census)


def assert_sound(H: ClockHamiltonian, literal: np.ndarray, seed: int) -> np.ndarray:
    """What holds for every H; returns the spectrum."""
    rng = np.random.default_rng(seed)
    n = len(literal)
    np.testing.assert_allclose(H.to_sparse().toarray(), literal, rtol=0, atol=ROUNDING)
    v = rng.standard_normal(n) + 1j * rng.standard_normal(n)
    np.testing.assert_allclose(H.as_linear_operator() @ v, literal @ v, rtol=0, atol=10 * ROUNDING * np.linalg.norm(v))
    B = H.incidence().toarray()
    np.testing.assert_allclose(B.conj().T @ B, literal, rtol=0, atol=ROUNDING)
    spectrum = np.linalg.eigvalsh(literal)
    assert spectrum[0] >= -EIGENVALUE
    return spectrum


def assert_ground_state(H: ClockHamiltonian, spectrum: np.ndarray) -> None:
    result = ground_state(H, 3)
    assert result.converged, result.message
    np.testing.assert_allclose(result.energies, spectrum[:3], rtol=0, atol=1e-9)
    if spectrum[0] < reference.ZERO:  # with k = 3 at least the levels below are known
        assert result.degeneracy == degeneracy(spectrum)
        expected = gap(spectrum)
        assert (result.gap is None) == (expected is None)
        if expected is not None:
            np.testing.assert_allclose(result.gap, expected, rtol=1e-8)


# ------------------------------------------------------------------------------------ machines


@settings(max_examples=150)
@given(machines(), seeds)
def test_random_machines_of_one_run(machine: TuringMachine, seed: int) -> None:
    try:
        run = reference.simulate(machine, limit=20)
    except TooLongError:
        assume(False)
    event(f"T = {run.T}")
    spaces = {"configuration": reference.configuration_space(run)}
    read = [cell for cell, _, _ in run.operations]
    if read and len(machine.alphabet) ** (max(read) - min(read) + 1) * (run.T + 1) <= 400:
        spaces["tape"] = reference.tape_space(machine, run)
    for space, literal in spaces.items():
        H = ClockHamiltonian.from_machine(machine, space)  # type: ignore[arg-type]
        matrix = literal.matrix()
        spectrum = assert_sound(H, matrix, seed)
        assert np.linalg.norm(matrix @ H.history_state()) <= ROUNDING
        np.testing.assert_allclose(H.history_state(), literal.history(), rtol=0, atol=ROUNDING)
        parts = H.restricted()
        assert isinstance(parts, Paths)
        assert parts.census == brute_census(literal.steps, literal.d)
        assert_ground_state(H, spectrum)
        report = certify(H, ground_state(H))
        assert report.verified, [c for c in report.checks if not c.passed]
        assert report.output == run.output("_")


@settings(max_examples=80)
@given(machines(), st.integers(0, 2), st.booleans(), st.booleans(), seeds)
def test_random_machines_on_all_inputs(
    machine: TuringMachine, length: int, bennett: bool, select: bool, seed: int
) -> None:
    assume(len(machine.alphabet) > 1)
    word = "".join(machine.input_symbols[-1:]) * length
    try:
        literal = reference.function_space(
            machine, length, bennett=bennett, selected=word if select else None, limit=15
        )
    except TooLongError:
        assume(False)
    assume(literal.d * (literal.T + 1) <= 300)
    options = {"history": "bennett" if bennett else None, "input": word if select else None}
    try:
        H = ClockHamiltonian.from_machine(machine, "function", input_length=length, **options)  # type: ignore[arg-type]
    except InputError:
        refused = True
    else:
        refused = False
    assert refused == reference.merges(literal)
    if refused:
        event("merges")
        return
    event(f"{len(literal.live)} inputs, T = {literal.T}")
    # the data states are numbered differently: compared by what does not depend on that
    spectrum = assert_sound(H, H.to_sparse().toarray(), seed)
    np.testing.assert_allclose(spectrum, np.linalg.eigvalsh(literal.matrix()), rtol=0, atol=EIGENVALUE)
    pinned = None if literal.initial is None else int(np.flatnonzero(literal.initial)[0])
    assert H.restricted().census == brute_census(literal.steps, literal.d, pinned)  # type: ignore[union-attr]
    assert H.as_linear_operator() @ H.history_state() @ H.history_state() <= ROUNDING
    assert_ground_state(H, spectrum)
    assert certify(H, ground_state(H)).verified


@settings(max_examples=150)
@given(st.data())
def test_counted_census_is_that_of_all_strings(data: st.DataObject) -> None:
    """`tape` space for any sequence of cells, symbols read and written, not only those of a run."""
    base, cells, T = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 4)), data.draw(st.integers(1, 7))
    symbol = st.lists(st.integers(0, base - 1), min_size=T, max_size=T)
    cell = data.draw(st.lists(st.integers(0, cells - 1), min_size=T, max_size=T))
    read, write = data.draw(symbol), data.draw(symbol)
    # a run reads what was written last: other sequences have no history, and the counting relies on it
    tape = dict(zip(reversed(cell), reversed(read), strict=True))
    for j, c in enumerate(cell):
        read[j] = tape[c]
        tape[c] = write[j]
    steps = CellSteps(np.array(cell), np.array(read, np.uint8), np.array(write, np.uint8), base, cells)
    dense = []
    for c, r, w in zip(cell, read, write, strict=True):
        U = np.eye(1)
        for here in range(cells):
            U = np.kron(U, np.outer(np.eye(base)[w], np.eye(base)[r]) if here == c else np.eye(base))
        dense.append(U)
    H = ClockHamiltonian(steps, "tape")
    parts = H.restricted()
    assert isinstance(parts, Paths)
    assert parts.census == brute_census(dense, base**cells)
    for kind, count in parts.census.items():
        starts = parts.starts(kind, count)
        assert len(set(starts)) == count
        for start in starts[:3]:
            assert len(parts.rows(kind, start)) == kind.m


# ------------------------------------------------------------------------------------ lists of steps


@settings(max_examples=150)
@given(image_lists(), st.sampled_from(["free", "basis", "vector"]), seeds)
def test_random_partial_permutations(images: np.ndarray, label: str, seed: int) -> None:
    T, d = images.shape
    rng = np.random.default_rng(seed)
    initial = {"free": None, "basis": np.eye(d)[seed % d], "vector": unit(d, rng)}[label]
    H = ClockHamiltonian.from_steps(images, initial)
    dense = [images_matrix(row) for row in images]
    spectrum = assert_sound(H, reference.dense_hamiltonian(dense, d, initial), seed)
    parts = H.restricted()
    if isinstance(parts, Paths):
        assert parts.census == brute_census(dense, d, None if initial is None else seed % d)
        assert sum(kind.m * count for kind, count in parts.census.items()) == d * (T + 1)
    assert_ground_state(H, spectrum)


@settings(max_examples=60)
@given(st.integers(1, 4), st.integers(1, 5), st.booleans(), st.booleans(), st.booleans(), seeds)
def test_random_contractions(d: int, T: int, real: bool, isometric: bool, pinned: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    steps = [
        unitary(d, rng, real=real) if isometric else contraction(d, np.sort(rng.random(d))[::-1], rng, real=real)
        for _ in range(T)
    ]
    initial = unit(d, rng, real=real) if pinned else None
    H = ClockHamiltonian.from_steps(steps, initial)
    literal = reference.dense_hamiltonian(steps, d, initial)
    spectrum = assert_sound(H, literal, seed)
    if isometric:
        x = unit(d, rng) if initial is None else initial
        assert np.linalg.norm(literal @ H.history_state(x)) <= ROUNDING
        assert degeneracy(spectrum) == (1 if pinned else d)
    assert_ground_state(H, spectrum)
