"""`ground_state(H, engine="torch")` against LAPACK and the numpy engine; what it refuses, and what `plan` promises."""

from __future__ import annotations

import subprocess
import sys
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from hamiltonians import ClockHamiltonian, Gate, InputError, MemoryEstimateError, certify, ground_state, paths
from hamiltonians.contractions import GateSteps
from hamiltonians.memory import memory_limit
from hamiltonians.result import GroundState
from hamiltonians.steps import CellSteps, HistorySteps
from qunn.clock_engine import frame, memory, pinned, search, sweeps
from qunn.clock_engine.found import Found
from qunn.clock_engine.memory import (
    KINDS,
    Problem,
    bytes_on_cpu,
    device_parts,
    host_parts,
    require_room,
    resident_steps,
)
from qunn.clock_engine.operator import DeviceHamiltonian
from qunn.clock_engine.plan import Fit, plan
from qunn.clock_engine.steps import MatrixTensorSteps
from qunn.clock_engine.sweeps import energy_rounding, residual_rounding
from tests.systems.machines import SOME, Case, example_machines
from tests.systems.step_lists import SYSTEMS, System, degeneracy, embedded, gap, unit, unitary

SERVED = [s for s in SYSTEMS if s.steps.unitary or s.H.steps.monomial]
# LAPACK's eigenvalues are sums of some ε; vectors are as good as their residuals over the distance of two levels
ENERGY = 1e-10
ORTHONORMAL = 1e-10
_SMALL = 10**5  # data states


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> str:
    try:
        torch.zeros(1, device=request.param)
    except (RuntimeError, AssertionError) as error:  # torch's own reason
        pytest.skip(str(error).splitlines()[0])
    return str(request.param)


@pytest.fixture
def limit() -> Iterator[Any]:
    tokens = []
    yield lambda size: tokens.append(memory_limit.set(size))
    for token in reversed(tokens):
        memory_limit.reset(token)


def on_torch(H: ClockHamiltonian, k: int = 4, device: str = "cpu", **options: Any) -> GroundState:
    return ground_state(H, k, engine="torch", device=device, **options)


def assert_low_end(result: GroundState, system: Case | System, k: int) -> None:
    matrix, spectrum = system.matrix, system.spectrum
    k = min(k, len(matrix))
    assert result.converged, result.message
    np.testing.assert_allclose(result.energies, spectrum[:k], rtol=0, atol=ENERGY)
    assert result.degeneracy == degeneracy(spectrum)
    expected = gap(spectrum)
    assert (result.gap is None) == (expected is None)
    if expected is not None:
        assert result.gap == pytest.approx(expected, rel=result.error, abs=1e-13)
        assert result.gap_residual is not None
    states = embedded(result, len(matrix))
    assert states.shape == (len(matrix), k)
    np.testing.assert_allclose(states.conj().T @ states, np.eye(k), rtol=0, atol=ORTHONORMAL)
    residuals = np.linalg.norm(matrix @ states - states * result.energies, axis=0)
    assert residuals.max() <= max(1e-6 * (expected or 0), 1e-12)
    assert result.residual == pytest.approx(residuals[0], abs=1e-13)


# ------------------------------------------------------------------------------------ against LAPACK


@pytest.mark.parametrize("system", [*SOME, *SERVED], ids=str)
def test_low_end(system: Case | System, device: str) -> None:
    """k below and above the degeneracy."""
    for k in sorted({1, 4, degeneracy(system.spectrum) + 2}):
        assert_low_end(on_torch(system.H, k, device), system, k)


@pytest.mark.parametrize("system", [SOME[0], SOME[6], *SERVED[::5]], ids=str)
def test_the_whole_spectrum(system: Case | System, device: str) -> None:
    n = system.H.dimension
    assert_low_end(on_torch(system.H, n + 3, device), system, n)


@pytest.mark.parametrize("system", SERVED[::3], ids=str)
def test_fewer_vectors_than_energies(system: System, device: str) -> None:
    k = min(5, system.H.dimension)
    result = on_torch(system.H, k, device, vectors=1)
    assert embedded(result, system.H.dimension).shape == (system.H.dimension, 1)
    np.testing.assert_allclose(result.energies, system.spectrum[:k], rtol=0, atol=ENERGY)


def test_contractions_are_left_to_numpy() -> None:
    system = next(s for s in SYSTEMS if s.steps.name == "contractions")
    with pytest.raises(
        InputError, match="`engine` must be numpy here: torch's needs steps that are unitary or partial"
    ):
        on_torch(system.H)


# ------------------------------------------------------------------------------------ against the numpy engine


def assert_same(found: GroundState, other: GroundState) -> None:
    assert found.converged, found.message
    np.testing.assert_allclose(found.energies, other.energies, rtol=found.error, atol=1e-20)
    assert found.degeneracy == other.degeneracy
    assert (found.gap is None) == (other.gap is None)
    if other.gap is not None:
        assert found.gap == pytest.approx(other.gap, rel=found.error)


@pytest.mark.parametrize("space", ["configuration", "tape", "function"])
@pytest.mark.parametrize("machine", example_machines(), ids=lambda m: m.name)
def test_examples(machine: Any, space: Any, device: str) -> None:
    options: dict[str, Any] = {"input_length": 2, "history": "bennett"} if space == "function" else {}
    try:
        H = ClockHamiltonian.from_machine(machine, space, max_steps=500, **options)
    except InputError:
        pytest.skip("too long for a test")
    if H.d > _SMALL:
        pytest.skip("too many data states for a test")
    result = on_torch(H, device=device)
    assert_same(result, ground_state(H))
    report = certify(H, result)
    assert report.verified, [check for check in report.checks if not check.passed]
    if result.gap_component is not None:  # one of the paths that have this energy
        assert np.isclose(paths.closed_form(result.gap_component, 3), result.gap, rtol=1e-12).any()


def _permutations(d: int, T: int) -> ClockHamiltonian:
    rng = np.random.default_rng(d)
    return ClockHamiltonian.from_steps(np.stack([rng.permutation(d) for _ in range(T)]).astype(np.int32))


def _gates(n: int, T: int, *, pinned: bool) -> ClockHamiltonian:
    rng = np.random.default_rng(n)
    gates = [Gate(unitary(4, rng), tuple(map(int, rng.permutation(n)[:2]))) for _ in range(T)]
    return ClockHamiltonian.from_steps(gates, unit(2**n, rng) if pinned else None, n_qubits=n)


LARGER = {
    "permutations": lambda: _permutations(301, 60),
    "gates": lambda: _gates(7, 40, pinned=False),
    "gates, H_in": lambda: _gates(6, 25, pinned=True),
}


@pytest.mark.parametrize("name", LARGER)
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_larger_ones(name: str, precision: Any, device: str) -> None:
    H = LARGER[name]()
    result = on_torch(H, 3, device, precision=precision)
    assert_same(result, ground_state(H, 3, "auto"))
    assert certify(H, result).verified
    assert (
        result.solver
        == f"sweep, torch on {torch.device(device, 0) if device == 'cuda' else 'cpu'} in {precision} (chosen by auto)"
    )


# ------------------------------------------------------------------------------------ float32


def test_float32_is_as_good_as_its_rounding(device: str) -> None:
    """The gap's vector in float32 has a residual below ‖H‖u, which float64's is far below, and the error it states."""
    H = _gates(7, 40, pinned=False)
    single, double = (on_torch(H, 2, device, precision=p) for p in ("float32", "float64"))  # type: ignore[arg-type]
    exact = 2 - 2 * np.cos(np.pi / 41)
    assert double.gap_residual < 1e-8 < single.gap_residual < residual_rounding("float32")
    for result, precision in ((single, "float32"), (double, "float64")):
        assert result.converged
        assert abs(result.gap / exact - 1) < 1e-12  # counted in float64 in either case
        assert result.error >= energy_rounding(precision) / exact  # type: ignore[arg-type]
    assert single.states.dtype == double.states.dtype
    assert single.residual < 1e-14  # states go to the host in float64, each clock state from the one before


def test_the_stored_vector_has_the_energy_error_that_is_derived(device: str) -> None:
    """‖BX‖²/‖X‖² of the float32 vector is above the gap by less than ‖H‖u²."""
    from qunn.clock_engine.operator import DeviceHamiltonian

    there = DeviceHamiltonian.of(_permutations(11, 300), torch.device(device))
    exact = 4 * np.sin(np.pi / 602) ** 2
    found = sweeps.lowest_excited(there, "float32", 0, lambda *_: None)
    assert abs(found.energy / exact - 1) > 1e-11  # it is seen
    assert abs(found.energy - exact) < energy_rounding("float32") + 1e-9 * exact


@pytest.mark.parametrize("T", [3, 13, 60])
def test_gates_given_in_single_precision(T: int) -> None:
    """What they leave open is told as the error of the gap, and energies ascend."""
    rng = np.random.default_rng(4)
    gates = [Gate(unitary(4, rng).astype(np.complex64), (j % 3, (j + 1) % 3)) for j in range(T)]
    H = ClockHamiltonian.from_steps(gates, unit(8, rng), n_qubits=3)
    result = on_torch(H, 12)
    assert result.converged, result.message
    assert result.gap is not None
    exact = np.linalg.eigvalsh(H.to_sparse().toarray())[1]
    assert 1e-8 * exact < abs(result.gap - exact) <= result.error * exact < 1e-3 * exact
    assert np.all(np.diff(result.energies) >= 0)


def test_too_many_clock_states_for_float32() -> None:
    T = 400_000
    H = ClockHamiltonian(GateSteps(np.tile(np.eye(4).reshape(-1), (T, 1)), np.tile([2, 1], (T, 1)), 2))
    message = "`precision` must be float64 for more than 372,[0-9]{3} clock states, but is float32 for 400,001"
    with pytest.raises(InputError, match=message):
        on_torch(H, 1, precision="float32")


def test_no_convergence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeps, "_ITERATIONS", 3)
    result = on_torch(_permutations(9, 30), 1)
    assert not result.converged
    assert "the gap still changed after 3 iterations" in result.message


def test_a_gap_that_the_whole_space_does_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts and inverse iteration are independent: where they differ, nothing is promised."""
    monkeypatch.setattr(frame, "lowest_excited", lambda *_: sweeps.Iterated(0.5, 1e-12, 9, True))
    result = on_torch(_permutations(9, 30), 1)
    assert not result.converged
    assert "inverse iteration gives 0.5 for the gap, but counts 0.0102" in result.message


# ------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"solver": "dense"}, "`solver` must be one of auto, sweep with engine='torch', but is 'dense'"),
        ({"device": "gpu"}, "`device` must be cpu, cuda or a card's number such as cuda:1, but is 'gpu'"),
        ({"device": "cuda:x"}, "`device` must be cpu, cuda or a card's number"),
    ],
)
def test_what_this_engine_has(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        ground_state(SOME[0].H, engine="torch", **options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="`device` must be cpu here: torch sees no CUDA card, but is 'cuda:1'"):
        on_torch(SOME[0].H, device="cuda:1")


def test_a_card_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(InputError, match="`device` must be one of cuda:0 to cuda:1 here, but is 'cuda:2'"):
        on_torch(SOME[0].H, device="cuda:2")


def test_memory_is_refused_first(limit: Any) -> None:
    H = _permutations(301, 60)
    limit(200_000)
    with pytest.raises(MemoryEstimateError) as error:
        on_torch(H, 2)
    assert "a search over 18,361 rows with 2 states: " in str(error.value)
    assert str(error.value).endswith(
        "may be taken (`--memory-limit`, or what is free); keep fewer `vectors`, or choose a smaller data space"
    )
    assert "\n" not in str(error.value)


def test_a_full_card_says_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> Any:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

    monkeypatch.setattr(frame, "solve", full)
    with pytest.raises(MemoryEstimateError, match="a search over 527 rows on cpu fits by its estimate, but the card"):
        on_torch(_permutations(17, 30))


# ------------------------------------------------------------------------------------ plan


def _of_size(steps: str, d: int, N: int) -> ClockHamiltonian:
    """A problem of one kind with d data states, as large in all else as `plan` supposes."""
    T = N - 1
    if steps == "configurations":
        return ClockHamiltonian(HistorySteps(d - 1))
    if steps == "tape cells":
        cells = d.bit_length() - 1
        zero = np.zeros(T, np.uint8)
        return ClockHamiltonian(CellSteps(np.arange(T) % cells, zero, zero + 1, 2, cells))
    if steps == "gates":
        n = d.bit_length() - 1
        flip = np.array([[0.0, 1], [1, 0]])
        return ClockHamiltonian.from_steps([Gate(flip, (j % n,)) for j in range(T)], n_qubits=n)
    if steps == "matrices":
        # a permutation with three stored zeros a row
        columns = (np.arange(d)[:, None] + [1, 2, 3, 4]) % d
        U = sp.csr_array((np.tile([1.0, 0, 0, 0], d), columns.reshape(-1), 4 * np.arange(d + 1)), shape=(d, d))
        return ClockHamiltonian.from_steps([U] * T)
    images = np.tile(np.roll(np.arange(d, dtype=np.int32), 1), (T, 1))
    if steps == "partial permutations":
        images[T // 2, 0] = -1
    return ClockHamiltonian.from_steps(images)


SIZES = {"configurations": 300_000, "gates": 2_000_000, "matrices": 2_000_000, "permutations": 2_000_000}


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("steps", KINDS.values())
def test_the_size_that_plan_promises_runs_and_the_next_does_not(steps: str, precision: Any, limit: Any) -> None:
    size = SIZES.get(steps, 4_000_000)
    promised = next(f for f in plan(size, precision, device="cpu", clock_states=20).largest if f.steps == steps)
    assert promised.fits
    d, following = promised.d, promised.d * 2 if steps in ("tape cells", "gates") else promised.d + 1
    limit(size)
    H = _of_size(steps, d, 20)
    assert plan(size, precision, device="cpu", H=H).problem.fits  # type: ignore[union-attr]
    assert on_torch(H, 2, vectors=1, precision=precision).converged
    H = _of_size(steps, following, 20)
    assert not plan(size, precision, device="cpu", H=H).problem.fits  # type: ignore[union-attr]
    with pytest.raises(MemoryEstimateError):
        on_torch(H, 2, vectors=1, precision=precision)


MEASURED = """
from pathlib import Path
import numpy as np
from hamiltonians import ClockHamiltonian, ground_state
from qunn.clock_engine.memory import Problem, bytes_on_cpu

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

def solve(d, k):
    rng = np.random.default_rng(d)
    H = ClockHamiltonian.from_steps(np.stack([rng.permutation(d) for _ in range(39)]).astype(np.int32))
    Path("/proc/self/clear_refs").write_text("5")
    before = peak()
    assert ground_state(H, k, engine="torch", precision="float32").converged
    return peak() - before, bytes_on_cpu(Problem.of(H, "float32", k))

solve(9, 1)  # what is loaded once
print(*solve(2**15, 4))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak of memory can be reset on Linux only")
def test_a_search_takes_what_was_estimated() -> None:
    """The most memory of a process of its own, beside what it held with H built, within 8 MiB of torch's and a half."""
    done = subprocess.run([sys.executable, "-c", MEASURED], capture_output=True, text=True, check=True)
    peak, estimate = map(int, done.stdout.split())
    assert estimate / 2 < peak < estimate + 2**23


def test_a_plan_is_the_estimate(limit: Any) -> None:
    H = _gates(6, 25, pinned=True)
    problem = Problem.of(H, "float64", 1)
    needed = bytes_on_cpu(problem)
    found = plan(10**6, device="cpu", H=H).problem
    assert isinstance(found, Fit)
    assert found.device_bytes == sum(device_parts(problem).values())
    assert found.host_bytes == sum(host_parts(problem).values())
    limit(needed)
    assert on_torch(H, 1).converged
    limit(needed - 1)
    with pytest.raises(MemoryEstimateError):
        on_torch(H, 1)


def test_a_plan_as_text_and_as_json() -> None:
    found = plan(80 * 2**30, "float32", H=_permutations(17, 30))
    text = found.as_text()
    assert text.startswith("80.0 GiB on cuda, float32, 1,000 clock states, 1 state kept")
    assert "this problem: permutations, 17 data states, 527 rows: fits" in text
    assert all(len(line) <= 120 for line in text.splitlines())
    table = found.as_dict()
    assert [fit["steps"] for fit in table["largest"]] == list(KINDS.values())
    assert table["problem"]["rows"] == 527
    assert plan(1000).largest == ()
    assert max(fit.rows for fit in plan(10**15).largest) < 2**63


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"memory_bytes": 0}, "`memory_bytes` must be at least 1, but is 0"),
        ({"clock_states": 0}, "`clock_states` must be at least 1, but is 0"),
        ({"base": 1}, "`base` must be at least 2, but is 1"),
        ({"precision": "half"}, "`precision` must be one of float64, float32, but is 'half'"),
    ],
)
def test_a_plan_of_nonsense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        plan(**{"memory_bytes": 1000, **options})
    assert message in str(error.value)


def test_the_search_is_reproducible(device: str) -> None:
    H = _gates(6, 25, pinned=True)
    runs = [on_torch(H, 4, device, seed=seed) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(runs[0].states, runs[1].states)
    assert abs(runs[0].states - runs[2].states).max() > 1e-3
    assert runs[0].gap == runs[1].gap == runs[2].gap


# ------------------------------------------------------------------------------------ H_in on nearly a basis state


@pytest.mark.parametrize("part", [1e-3, 1e-4, 1e-5, 1e-7])
def test_states_of_nearly_equal_energies(part: float, device: str) -> None:
    """A small part of x moves an energy by its square, to beside the level that it was in."""
    images = np.tile(np.arange(6, dtype=np.int32), (6, 1))
    images[3, 3:] = -1
    x = np.array([1, part, 0, 0, 0.7 * part, 0])
    H = ClockHamiltonian.from_steps(images, x / np.linalg.norm(x))
    result = on_torch(H, 9, device)
    assert result.converged, result.message
    np.testing.assert_allclose(result.states.T @ result.states, np.eye(9), rtol=0, atol=ORTHONORMAL)
    spectrum = np.linalg.eigvalsh(H.to_sparse().toarray())
    np.testing.assert_allclose(result.energies, spectrum[:9], rtol=0, atol=ENERGY * spectrum[-1])


def test_a_vector_that_strays_to_another_energy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inverse iteration beside the wrong energy leads to a true eigenvector, with a residual of nothing."""
    monkeypatch.setattr(pinned, "_beside", lambda *_: 1.9)
    H = ClockHamiltonian.from_steps([[1, 2, -1], [2, 0, 1]], [0.6, 0.8, 0])
    result = on_torch(H, 1)
    assert not result.converged
    assert "a vector has the energy" in result.message


# ------------------------------------------------------------------------------------ what is no convergence


def test_one_residual_that_is_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Found(np.zeros(2), np.eye(6)[:, :2], None, [0.0, np.nan], 2, 0.5, 1e-9, "found")
    monkeypatch.setattr(frame, "solve", lambda *_: found)
    assert not on_torch(_permutations(3, 1), 2).converged


# ------------------------------------------------------------------------------------ what is taken as it is


def test_devices_as_torch_names_them() -> None:
    assert on_torch(_permutations(3, 4), device=torch.device("cpu")).converged  # type: ignore[arg-type]


def test_images_that_nobody_may_write_to() -> None:
    """A file that is mapped, say; PyTorch would warn, and pytest makes an error of that."""
    images = np.array([[1, 2, 0]] * 4, np.int32)
    images.flags.writeable = False
    assert on_torch(ClockHamiltonian.from_steps(images)).converged


def test_a_check_makes_one_data_vector_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A million views of a vector of a million clock states would take more than the vector."""
    there = DeviceHamiltonian.of(_permutations(3, 4), torch.device("cpu"))
    monkeypatch.setattr(torch.Tensor, "unbind", None)
    assert there.norm(there.stored(torch.ones(5, 3, dtype=torch.float64))) == pytest.approx(np.sqrt(15))


# ------------------------------------------------------------------------------------ memory


def test_a_card_that_was_full_is_looked_at_when_it_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the search held must not be told as taken by others."""
    held: list[weakref.ref[torch.Tensor]] = []
    alive: list[bool] = []

    def full(*_: Any) -> Any:
        vector = torch.zeros(3)
        held.append(weakref.ref(vector))
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

    monkeypatch.setattr(frame, "solve", full)
    monkeypatch.setattr(search, "require_room", lambda *_: alive.append(bool(held) and held[0]() is not None))
    with pytest.raises(MemoryEstimateError):
        on_torch(_permutations(17, 30))
    assert alive == [False, False]


def _gates_problem(**changes: Any) -> Problem:
    return replace(Problem.of(_gates(6, 25, pinned=True), "float64", 1), **changes)


@pytest.mark.parametrize(
    ("problem", "device", "advice"),
    [
        ({}, "cpu", "; choose a smaller data space"),
        ({"vectors": 3}, "cpu", "; keep fewer `vectors`, or choose a smaller data space"),
        ({"vectors": 3}, "cuda", "; take precision='float32', or choose a smaller data space"),
        ({"precision": "float32"}, "cuda", "; choose a smaller data space"),
        ({"route": "pinned"}, "cuda", "; choose a smaller data space"),
    ],
)
def test_what_is_advised_helps(
    problem: dict[str, Any], device: str, advice: str, monkeypatch: pytest.MonkeyPatch, limit: Any
) -> None:
    """On a CPU the states are as large as the vector that float32 would halve; a card holds none of them."""
    if device == "cuda":
        monkeypatch.setattr(memory, "free_on", lambda _: 1000)
    else:
        limit(1000)
    with pytest.raises(MemoryEstimateError) as error:
        require_room(_gates_problem(**problem), torch.device(device))
    assert str(error.value).endswith(advice)


def test_dense_matrices_are_counted_as_dense_ones() -> None:
    """Of an eighth of the elements on: a copy of each step, on the device and, where it is the same memory, here."""
    H = ClockHamiltonian.from_steps([np.eye(8)] * 5)
    problem = Problem.of(H, "float64", 1)
    there = DeviceHamiltonian.of(H, torch.device("cpu"))
    assert isinstance(there.steps, MatrixTensorSteps)
    held = sum(part.nbytes for parts in there.steps._parts for part in parts)
    assert resident_steps(problem) == host_parts(problem)["copies of the steps"] == held == 5 * 8 * 8 * 8


# ------------------------------------------------------------------------------------ a plan and what is refused


@pytest.mark.parametrize(
    ("H", "precision", "message"),
    [
        (lambda: _tape(100), "float64", "`dimension` must be below 2^63"),
        (lambda: ClockHamiltonian.from_steps([0.5 * np.eye(4)] * 3), "float64", "`engine` must be numpy here"),
        (lambda: _idle(400_000), "float32", "`precision` must be float64 for more than 372,"),
    ],
)
def test_a_plan_refuses_what_the_search_refuses(H: Any, precision: Any, message: str) -> None:
    given = H()
    for ask in (lambda: on_torch(given, 1, precision=precision), lambda: plan(10**12, precision, H=given)):
        with pytest.raises(InputError) as error:
            ask()
        assert message in str(error.value)


def _idle(T: int) -> ClockHamiltonian:
    return ClockHamiltonian(GateSteps(np.tile(np.eye(4).reshape(-1), (T, 1)), np.tile([2, 1], (T, 1)), 2))


def _tape(cells: int) -> ClockHamiltonian:
    zero = np.zeros(3, np.uint8)
    return ClockHamiltonian(CellSteps(np.arange(3), zero, zero + 1, 2, cells))


def test_a_plan_for_no_device() -> None:
    with pytest.raises(InputError, match="`device` must be cpu, cuda or a card's number such as cuda:1, but is 'tpu'"):
        plan(10**10, device="tpu")


def test_a_plan_promises_nothing_that_cannot_be_asked_for() -> None:
    """Images are numbers of 32 bits, gates are on 2 to 40 qubits, and float32 has too few digits for long clocks."""
    largest = {fit.steps: fit.d for fit in plan(10**16, clock_states=2).largest}
    assert largest["permutations"] == largest["partial permutations"] == largest["matrices"] == 2**31 - 1
    assert largest["gates"] == 2**40
    assert all(fit.d >= 4 for fit in plan(12_000, clock_states=3).largest if fit.steps == "gates")
    long = {fit.steps for fit in plan(10**12, "float32", clock_states=400_000).largest}
    assert long == {"configurations", "tape cells", "partial permutations"}


@pytest.mark.parametrize("seed", range(4))
def test_few_numbers_in_float32(seed: int, device: str) -> None:
    """Their rounding hides that the energy still falls: what ends the iteration is the residual that has to pass."""
    rng = np.random.default_rng(seed)
    H = ClockHamiltonian.from_steps(np.stack([rng.permutation(8) for _ in range(2)]).astype(np.int32))
    result = on_torch(H, 2, device, precision="float32", seed=seed)
    assert result.converged, result.message
