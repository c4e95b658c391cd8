"""The cross-validation of machines: it passes on genuine backends, and every row fails on a broken one."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from qiskit.quantum_info import Operator, SparsePauliOp
from qiskit_aer import AerSimulator

from circuits import backend
from circuits.clock.encoding import encoding_of
from circuits.clock.energy_readout import PhaseEstimation
from circuits.validation import machine_gap, machine_motion, machine_output, machine_rows
from circuits.validation.claim import Cell, Subject
from circuits.validation.machine import ROWS, validate_machine
from circuits.validation.machine_mutations import MACHINE, MACHINE_FAILS
from circuits.validation.machine_states import MachineStates
from circuits.validation.machine_tools import COLUMNS, GENUINE, MachineTools
from hamiltonians import ClockHamiltonian, load_machine
from hamiltonians.memory import memory_limit
from tests.systems.machines import BB2, BB3_STEPS, EXAMPLES, HALTED, ONE_STEP, SMALL, STAYS, Case

CPU = backend("CPU")

#: two busy beavers, an everyday machine, and one that merges
MACHINES: dict[str, Callable[[], ClockHamiltonian]] = {
    "BB(2)": lambda: ClockHamiltonian.from_machine(BB2),
    "BB(3)": lambda: ClockHamiltonian.from_machine(BB3_STEPS),
    "increment": lambda: ClockHamiltonian.from_machine(load_machine(EXAMPLES / "binary_increment.json")),
    "merging, with Bennett history": lambda: ClockHamiltonian.from_machine(
        load_machine(EXAMPLES / "logical_and.json"), "function", input_length=2, history="bennett"
    ),
}
CHEAP = tuple(key for key in ROWS if key not in ("dynamics", "lie-by-strings") and not key.endswith("-by-terms"))
QUICK = tuple(key for key in CHEAP if key not in ("relaxation", "float32", "GPU"))


def validated(H: ClockHamiltonian, **options: Any) -> Subject:
    return validate_machine("a machine", H, backend=CPU, **options)


def failures(found: Subject) -> list[tuple[str, str, Cell]]:
    return [(row.key, name, cell) for row in found.rows for name, cell in row.cells.items() if cell.passed is False]


@pytest.mark.parametrize("name", MACHINES)
def test_genuine_backends_agree(name: str) -> None:
    found = validated(MACHINES[name]())
    assert not failures(found)
    assert [row.key for row in found.rows] == list(ROWS)
    assert all(list(row.cells) == list(COLUMNS) for row in found.rows)
    few = {key for key in ROWS if found.row(key).passed is None} - {"GPU"}
    # formulas need whole matrices to compare with, which ten qubits are too many for
    assert few == (
        {"lie-by-terms", "suzuki2-by-terms", "suzuki4-by-terms", "lie-by-strings"} if name == "BB(3)" else set()
    )
    # energy, gap, history state and output from all backends, as far as ten qubits allow
    for key in ("ground-energy", "history-state", "output"):
        assert all(cell.passed for column, cell in found.row(key).cells.items() if column != "theory"), key
    columns = set(COLUMNS) - {"theory"} - ({"evolution", "phases"} if name == "BB(3)" else set())
    assert all(found.row("gap").cells[column].passed for column in columns)
    for row in found.rows:
        for cell in row.cells.values():
            assert cell.why if cell.passed is not None else cell.note or cell.value is not None
    json.dumps(found.as_dict(), allow_nan=False)
    assert found.pictures


@pytest.mark.parametrize("case", np.random.default_rng(6).choice(np.array(SMALL), 4, replace=False), ids=str)
def test_small_machines_in_every_space(case: Case) -> None:
    assert not failures(validated(case.H, only=QUICK))


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.parametrize("case", SMALL, ids=str)
def test_every_small_machine_in_every_space(case: Case) -> None:
    assert not failures(validated(case.H))


def test_strings_that_keep_a_history_state() -> None:
    """With T + 1 = d = 4 nothing is lost by a Pauli split; the literal product of exponentials says the same."""
    H = ClockHamiltonian.from_machine(load_machine(EXAMPLES / "binary_increment.json"), input="0")
    assert H.T == 3
    cell = validated(H, only=("lie-by-strings",)).row("lie-by-strings").cells["evolution"]
    assert cell.passed
    assert cell.note is not None
    assert "keep its history state" in cell.note


@pytest.mark.parametrize(
    ("space", "options"),
    [("configuration", {}), ("tape", {}), ("function", {"input_length": 2}), ("function", {"input_length": 0})],
)
def test_the_runs_are_those_of_the_rules(space: Any, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A runner that moves the wrong way writes the same mirrored output, and all backends would agree on its H."""
    sound = validated(ClockHamiltonian.from_machine(BB2, space, **options), only=("output",)).row("output")
    assert sound.cells["theory"].passed
    table = BB2.table
    wrong = replace(BB2)
    monkeypatch.setitem(vars(wrong), "table", replace(table, move=-table.move))
    found = validated(ClockHamiltonian.from_machine(wrong, space, **options), only=("output",)).row("output")
    assert found.cells["theory"].passed is False


def test_what_strings_leak_to_unused_states_counts() -> None:
    """With d = 5 of 8 and T + 1 = 4 of 4 some of the error lies where no row of H is."""
    H = ClockHamiltonian.from_machine(STAYS, "function", input_length=1)
    cell = validated(H, only=("lie-by-strings",)).row("lie-by-strings").cells["evolution"]
    assert cell.passed, cell


@pytest.mark.parametrize("wrong", [[0, *range(15, 0, -1)], [0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15]])
def test_outcomes_of_phase_estimation_where_the_gap_is_read_as_0(wrong: list[int]) -> None:
    """A gap of 0.08 is nearest to the outcome 0, which neither a sign nor the order of the bits moves."""
    H = ClockHamiltonian.from_machine(BB2, "tape")

    def estimate(*arguments: Any, **options: Any) -> PhaseEstimation:
        found = GENUINE.phase_estimation(*arguments, **options)
        return replace(found, probabilities=found.probabilities[wrong])

    assert validated(H, only=("gap",)).row("gap").cells["phases"].value == 0
    found = validated(H, only=("gap",), tools=replace(GENUINE, phase_estimation=estimate)).row("gap").cells["phases"]
    assert found.passed is False
    assert "probability" in str(found.note)


@pytest.mark.parametrize(("energy", "hop"), [(0.0, 0.0), (4.0, 0.5)])
def test_what_lies_on_unused_basis_states_is_seen(energy: float, hop: float) -> None:
    """Energies of 0 there would be false ground states, and a hop would lead away from the rows of H."""

    def operator(H: ClockHamiltonian) -> SparsePauliOp:
        full, qubits = GENUINE.operator(H).to_matrix(), encoding_of(H.d, H.T, "binary")
        unused = np.setdiff1d(np.arange(len(full)), qubits.rows)
        full[unused, unused] = energy
        full[unused[0], qubits.rows[0]] = full[qubits.rows[0], unused[0]] = hop
        return SparsePauliOp.from_operator(Operator(full))

    H = MACHINES["BB(2)"]()
    assert validated(H, only=("hamiltonian",)).row("hamiltonian").cells["circuit"].passed
    found = validated(H, only=("hamiltonian",), tools=replace(GENUINE, operator=operator)).row("hamiltonian")
    assert [column for column, cell in found.cells.items() if cell.passed is False] == ["circuit"]


def test_shots_that_do_not_fit_are_left_out() -> None:
    token = memory_limit.set(2**20)
    try:
        found = validated(MACHINES["BB(2)"](), only=("output",), shots=10**30).row("output")
    finally:
        memory_limit.reset(token)
    assert found.passed
    assert found.cells["circuit"].passed is None
    assert "shots" in str(found.cells["circuit"].note)


def test_what_has_no_room_is_left_out() -> None:
    """Not even one vector fits: what needs none is compared, and nothing is raised."""
    H = MACHINES["BB(2)"]()
    token = memory_limit.set(100)
    try:
        found = validated(H)
    finally:
        memory_limit.reset(token)
    assert found.verified
    for key in ("hamiltonian", "printed-eq40", "dynamics", "relaxation", "float32"):
        assert found.row(key).passed is None
        assert all(cell.note or cell.value is not None for cell in found.row(key).cells.values())


def test_too_few_shots_say_so() -> None:
    cell = validated(MACHINES["BB(2)"](), only=("output",), shots=1).row("output").cells["circuit"]
    assert cell.passed is None
    assert cell.note == "1 shot may miss the last clock state; 60 shots would not"
    assert validated(MACHINES["BB(2)"](), only=("output",), shots=60).row("output").cells["circuit"].passed


@pytest.mark.parametrize("machine", [HALTED, ONE_STEP])
def test_machines_of_no_and_of_one_step(machine: Any) -> None:
    H = ClockHamiltonian.from_machine(machine)
    found = validated(H)
    assert not failures(found)
    assert found.row("ground-energy").passed
    assert found.row("output").passed


# ------------------------------------------------------------------------------------ broken on purpose


@pytest.mark.parametrize("name", MACHINE)
def test_a_broken_backend_fails_the_rows_that_it_names(name: str) -> None:
    """On its own columns; and what shares nothing with them goes on to agree."""
    found = validated(MACHINES["BB(2)"](), tools=MACHINE[name](GENUINE), only=tuple(MACHINE_FAILS[name]))
    assert not found.verified
    failed: dict[str, set[str]] = {}
    for key, column, _ in failures(found):
        failed.setdefault(key, set()).add(column)
    for key, columns in MACHINE_FAILS[name].items():
        assert set(columns) <= failed.get(key, set()), key
        assert "theory" not in failed[key]
    beside = {key: failed[key] - set(columns) for key, columns in MACHINE_FAILS[name].items()}
    # what is prepared wrongly is also not kept; everything else fails where it was broken and nowhere else
    assert beside == {
        key: {"evolution"} if (name, key) == ("printed-eq40", "kept-by-terms") else set() for key in beside
    }


def test_every_row_can_fail() -> None:
    assert {key for rows in MACHINE_FAILS.values() for key in rows} == set(ROWS)
    assert set(MACHINE) == set(MACHINE_FAILS)


@pytest.mark.parametrize("H", [MACHINES["merging, with Bennett history"](), ClockHamiltonian.from_machine(BB2, "tape")])
def test_swapped_registers_where_the_history_is_not_symmetric(H: ClockHamiltonian) -> None:
    """Σ_j |j>⊗|j> of the configuration space is the same with the registers exchanged; other histories are not."""
    found = validated(H, tools=MACHINE["swapped-registers"](GENUINE), only=("history-state", "output"))
    assert all(
        found.row("history-state").cells[column].passed is False for column in ("circuit", "evolution", "phases")
    )
    assert found.row("output").passed is False


def test_a_device_that_computes_rightly_agrees() -> None:
    present: dict[str, Any] = {"cuda_fault": lambda: None, "aer_fault": lambda: None, "aer_gpu": lambda: CPU}
    tools = replace(GENUINE, to_cuda=torch.clone, **present)
    found = validated(MACHINES["BB(2)"](), tools=tools, only=("GPU",)).row("GPU")
    assert found.cells["QUNN"].passed
    assert found.cells["circuit"].passed
    left_out = validated(MACHINES["BB(2)"](), tools=tools, only=("GPU",), device="CPU").row("GPU")
    assert left_out.passed is None


# ------------------------------------------------------------------------------------ each column its own


#: the fields of `MachineTools` that are a column's own
OWN = {
    "dense": {"literal_matrix", "eigensystem", "dense_dynamics"},
    "sparse": {"sparse_matrix", "factorised", "sparse_dynamics"},
    "matrix-free": {"product", "matrix_free", "matrix_free_dynamics", "history_state"},
    "QUNN": {"weights", "rebuilt", "relax", "to_cuda"},
    "circuit": {"history", "operator", "relaxation", "evolution", "single_backend", "aer_gpu"},
    "evolution": {"evolution", "operator"},  # the strings, for the literal product of their exponentials
    "phases": {"phase_estimation"},
}
#: what rows take their reference from, and what circuits are laid out and prepared by
SHARED = {
    "literal_matrix",
    "eigensystem",
    "history_state",
    "history",
    "printed_eq40",
    "on_rows",
    "on_qubits",
    "read_output",
    "single",
    "cuda_fault",
    "aer_fault",
}


def counting(counts: Counter[str]) -> MachineTools:
    def counted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def through(*arguments: Any, **options: Any) -> Any:
            counts[name] += 1
            return call(*arguments, **options)

        return through

    return replace(GENUINE, **{f.name: counted(f.name, getattr(GENUINE, f.name)) for f in fields(MachineTools)})


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Mapping[str, Callable[[], Cell]]]]:
    """Row -> column -> what asks it, without asking."""
    seen: dict[str, Mapping[str, Callable[[], Cell]]] = {}

    def unasked(key: str, *texts: Any) -> None:
        seen[key] = texts[-1]

    for module in (machine_rows, machine_gap, machine_output, machine_motion):
        monkeypatch.setattr(module, "row", unasked)
    return seen


def test_each_column_calls_its_own_implementation(asked: dict[str, Mapping[str, Callable[[], Cell]]]) -> None:
    H = ClockHamiltonian.from_machine(
        load_machine(EXAMPLES / "logical_and.json"), "function", input_length=2, history="bennett"
    )
    used: dict[str, set[str]] = {column: set() for column in OWN}
    for key in [k for k in ROWS if k != "GPU"]:
        ROWS[key](MachineStates(H, GENUINE, CPU))
        for column in [c for c in asked[key] if c != "theory" and c in OWN]:
            counts: Counter[str] = Counter()
            ROWS[key](MachineStates(H, counting(counts), CPU))
            cell = asked[key][column]()
            if (key, column) == ("relaxation", "dense"):  # plain NumPy on the literal matrix, the row's reference
                assert cell.passed is None
            assert OWN[column] & set(counts), (key, column, counts)
            assert set(counts) <= OWN[column] | SHARED, (key, column)
            used[column] |= set(counts) & OWN[column]
    unused = {column: OWN[column] - used[column] for column in OWN if OWN[column] - used[column]}
    assert unused == {"QUNN": {"to_cuda"}, "circuit": {"aer_gpu"}}  # the row on a GPU


def test_the_implementations_are_those_of_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each tool reaches the function that users call, and circuits reach Aer."""
    import hamiltonians.solvers.components as components
    import hamiltonians.solvers.shift_invert as shift_invert
    from qunn import QUNN

    calls: Counter[str] = Counter()

    def watch(owner: Any, name: str, label: str) -> None:
        genuine = getattr(owner, name)

        def through(*arguments: Any, **options: Any) -> Any:
            calls[label] += 1
            return genuine(*arguments, **options)

        monkeypatch.setattr(owner, name, through)

    watch(shift_invert, "solve", "shift-invert")
    watch(components, "solve", "components")
    watch(QUNN, "layer_matrices", "QUNN weights")
    watch(AerSimulator, "run", "Aer")
    H = MACHINES["BB(2)"]()
    found = validated(H, only=("ground-energy",))
    assert found.verified
    assert calls["shift-invert"] == 1
    assert calls["components"] == 1
    assert calls["QUNN weights"] == H.T  # one weight a step
    assert calls["Aer"] >= 4  # prepared, evolved, <H>, phases


def test_pictures_of_what_is_broken_leave_it_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """They ask backends once more: one that raises has failed its row already."""
    monkeypatch.setattr("circuits.validation.machine.ROWS", {})
    drawn = {
        name: [picture.title for picture in validated(MACHINES["BB(2)"](), tools=broken(GENUINE)).pictures]
        for name, broken in {"genuine": lambda tools: tools, **MACHINE}.items()
    }
    assert drawn["genuine"] == ["Spectrum", "Relaxation to the ground space"]
    assert drawn["acyclic-clock"] == ["Spectrum"]  # H rebuilt from such a clock has an energy below 0
