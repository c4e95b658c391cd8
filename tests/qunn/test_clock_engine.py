"""Steps, H, sweeps and counts of the torch engine, against dense matrices and the compiled loops."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from hamiltonians import ClockHamiltonian, Gate, kernels, paths
from hamiltonians.components import is_path_like
from hamiltonians.null_space import ground_space
from hamiltonians.paths import PathKind
from hamiltonians.solvers import sweep
from hamiltonians.steps import CellSteps, HistorySteps, Steps
from qunn.clock_engine import sweeps
from qunn.clock_engine.found import fill_history
from qunn.clock_engine.levels import floor_of, lowest_levels, relative_error
from qunn.clock_engine.operator import DeviceHamiltonian
from qunn.clock_engine.pinned import solve_shifted
from qunn.clock_engine.pivots import Counter, HopStrands, PathCounter, StrandCounter, strands_of, trust
from qunn.clock_engine.steps import tensor_steps
from tests.systems.machines import BY_NAME
from tests.systems.step_lists import LISTS, SYSTEMS, System

# a few sums of numbers up to 1 with vectors of norm up to 10
ROUNDING = 1e-13
SINGLE = 1e-5
_rng = np.random.default_rng(7)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> torch.device:
    try:
        torch.zeros(1, device=request.param)
    except (RuntimeError, AssertionError) as error:  # torch's own reason
        pytest.skip(str(error).splitlines()[0])
    return torch.device(request.param)


def _thin(d: int) -> sp.csr_array:
    """A permutation with phases: too few elements for a dense product."""
    phases = np.exp(2j * np.pi * _rng.random(d))
    return sp.csr_array((phases, (_rng.permutation(d), np.arange(d))), shape=(d, d))


STEPS: dict[str, Steps] = {
    "configurations": HistorySteps(5),
    "cells, three symbols": CellSteps(
        np.array([0, 2, 1, 1]), np.array([2, 0, 1, 1], np.uint8), np.array([0, 1, 1, 2], np.uint8), 3, 3
    ),
    "cells, one symbol": CellSteps(np.array([0, 1]), np.zeros(2, np.uint8), np.zeros(2, np.uint8), 1, 2),
    "gates with few elements": ClockHamiltonian.from_steps(
        [
            Gate(np.diag([1, 1j, -1, 1]), (2, 0)),
            Gate(np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, -1j, 0]]), (1, 2)),
            Gate(np.array([[0, -1j], [1j, 0]]), (1,)),
        ],
        n_qubits=3,
    ).steps,
    "thin matrices": ClockHamiltonian.from_steps([_thin(37), _thin(37)]).steps,
    **{steps.name: ClockHamiltonian.from_steps(steps.steps, n_qubits=steps.n_qubits).steps for steps in LISTS},
}
UNITARY = [s for s in SYSTEMS if s.steps.unitary]
PARTIAL = [s for s in SYSTEMS if s.H.steps.monomial and not s.steps.unitary]
SERVED = [*UNITARY, *PARTIAL]


def vector(*shape: int, complex_valued: bool = True) -> np.ndarray:
    x = _rng.standard_normal(shape)
    return x + 1j * _rng.standard_normal(shape) if complex_valued else x


def moved_to(H: ClockHamiltonian, device: torch.device) -> DeviceHamiltonian:
    return DeviceHamiltonian.of(H, device)


def tensor(x: np.ndarray, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(np.array(x, order="C")).to(device)  # a copy


# ------------------------------------------------------------------------------------ steps and H


def test_every_kind_of_step_is_among_them() -> None:
    assert {steps.data().kind for steps in STEPS.values()} == set(range(6))


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("resident", [True, False])
def test_apply_and_adjoint(name: str, resident: bool, device: torch.device) -> None:
    steps = STEPS[name]
    there = tensor_steps(steps, device, resident=resident)
    for j in range(steps.T):
        U = steps.matrix(j).toarray()
        for complex_valued in {True, steps.dtype.kind == "c"}:
            x, y = vector(steps.d, complex_valued=complex_valued), vector(steps.d, complex_valued=complex_valued)
            given, out, buffer = tensor(x, device), tensor(y, device), tensor(0 * y, device)
            there.subtract(j, given, out, buffer)
            np.testing.assert_allclose(out.cpu(), y - U @ x, rtol=0, atol=ROUNDING)
            there.subtract_adjoint(j, given, out, buffer)
            np.testing.assert_allclose(out.cpu(), y - U @ x - U.conj().T @ x, rtol=0, atol=ROUNDING)
            there.apply(j, given, out)
            np.testing.assert_allclose(out.cpu(), U @ x, rtol=0, atol=ROUNDING)
            there.adjoint(j, given, out)
            np.testing.assert_allclose(out.cpu(), U.conj().T @ x, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("name", [name for name, steps in STEPS.items() if steps.monomial])
def test_several_vectors_at_once_with_a_fill(name: str, device: torch.device) -> None:
    steps = STEPS[name]
    there, x, fill = tensor_steps(steps, device), vector(2, steps.d, complex_valued=False), np.array([[5.0], [7.0]])
    for j in range(steps.T):
        U = steps.matrix(j).toarray()
        out = tensor(x, device).clone()
        there.apply(j, tensor(x, device), out, fill=tensor(fill, device))
        np.testing.assert_array_equal(out.cpu(), np.where(U.sum(axis=1) > 0, x @ U.T, fill))
        there.adjoint(j, tensor(x, device), out, fill=tensor(fill, device))
        np.testing.assert_array_equal(out.cpu(), np.where(U.sum(axis=0) > 0, x @ U, fill))


@pytest.mark.parametrize("system", SYSTEMS, ids=str)
def test_product(system: System, device: torch.device) -> None:
    H = system.H
    psi = vector(H.dimension)
    X = tensor(H.clock_major(psi), device)
    for dtype, tolerance in ((torch.complex128, ROUNDING), (torch.complex64, SINGLE)):
        out = torch.empty_like(X, dtype=dtype)
        moved_to(H, device).apply_hamiltonian(X.to(dtype), out)
        found = H.data_major(out.to(torch.complex128).cpu().numpy())
        np.testing.assert_allclose(found, system.matrix @ psi, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", ["1RB1LB_1LA1RZ-configuration", "1LB1LZ_1RB0LA-tape", "one_step-tape"])
def test_product_of_machines(name: str, device: torch.device) -> None:
    case = BY_NAME[name]
    psi = vector(case.H.dimension, complex_valued=False)
    X = tensor(case.H.clock_major(psi), device)
    out = torch.empty_like(X)
    moved_to(case.H, device).apply_hamiltonian(X, out)
    np.testing.assert_allclose(case.H.data_major(out.cpu().numpy()), case.matrix @ psi, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("system", SERVED, ids=str)
def test_bonds_and_residual(system: System, device: torch.device) -> None:
    H, there = system.H, moved_to(system.H, device)
    psi = vector(H.dimension, complex_valued=H.dtype.kind == "c")
    X = tensor(H.clock_major(psi), device)
    energy = np.vdot(psi, system.matrix @ psi).real
    assert there.bonds(there.stored(X)) == pytest.approx(energy, rel=ROUNDING, abs=ROUNDING)
    residual = np.linalg.norm(system.matrix @ psi - 0.3 * psi)
    assert there.residual(there.stored(X), 0.3) == pytest.approx(residual, rel=ROUNDING)
    # what is stored in float32 is checked in float64: exact for the rounded numbers
    half = X.to(torch.complex64 if X.is_complex() else torch.float32)
    rounded = H.data_major(half.to(X.dtype).cpu().numpy())
    energy = np.vdot(rounded, system.matrix @ rounded).real
    assert there.bonds(there.stored(half)) == pytest.approx(energy, rel=ROUNDING, abs=ROUNDING)


@pytest.mark.parametrize("system", UNITARY[::4], ids=str)
def test_history(system: System, device: torch.device) -> None:
    H, there = system.H, moved_to(system.H, device)
    x = vector(H.d, complex_valued=H.dtype.kind == "c")
    X = torch.empty(H.clock_states, H.d, dtype=there.work, device=device)
    fill_history(there, X, tensor(x, device))
    np.testing.assert_allclose(H.data_major(X.cpu().numpy()), system.history(x), rtol=0, atol=ROUNDING)


# ------------------------------------------------------------------------------------ sweeps


@pytest.mark.parametrize("system", UNITARY, ids=str)
def test_sweeps_are_those_of_the_kernels(system: System, device: torch.device) -> None:
    H, there = system.H, moved_to(system.H, device)
    X = H.clock_major(vector(H.dimension, complex_valued=H.dtype.kind == "c"))
    Y, single = (
        tensor(X, device).clone(),
        tensor(X, device).to(torch.complex64 if X.dtype.kind == "c" else torch.float32),
    )
    ground = ground_space(H)
    expected = sweep.apply_inverse(H, ground, X, 0.7)
    found = sweeps.apply_inverse(there, Y, 0.7)
    np.testing.assert_allclose(Y.cpu(), X, rtol=0, atol=100 * ROUNDING)
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=ROUNDING)
    # float32: one rounding of every number, of the input and of what is stored between the sweeps
    found = sweeps.apply_inverse(there, single, 0.7)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(single.cpu(), X, rtol=0, atol=1e-5 * H.clock_states**2)
    outside = H.data_major(X.copy())
    sweeps.remove_ground(there, Y)
    np.testing.assert_allclose(H.data_major(Y.cpu().numpy()), ground.remove(outside), rtol=0, atol=100 * ROUNDING)


@pytest.mark.parametrize("system", [s for s in PARTIAL if s.initial is not None and not s.path_like], ids=str)
def test_shifted_solve(system: System, device: torch.device) -> None:
    H, there = system.H, moved_to(system.H, device)
    counter, mu = StrandCounter(there, None), 0.37
    pivots = torch.empty(H.clock_states, H.d, dtype=torch.float64, device=device)
    counter.eliminate([mu], lambda clock, p, _: pivots[clock].copy_(p[0]))
    b = vector(H.dimension, complex_valued=H.dtype.kind == "c")
    X = tensor(H.clock_major(b), device)
    solve_shifted(there, X, pivots, float(counter.secular(pivots[:1], pivots[:1] - 1)[0]))
    x = H.data_major(X.cpu().numpy())
    np.testing.assert_allclose(system.matrix @ x - mu * x, b, rtol=0, atol=1e-11)


# ------------------------------------------------------------------------------------ counts


def _distinct(spectrum: np.ndarray) -> np.ndarray:
    spectrum = np.where(spectrum < 1e-10, 0, spectrum)
    return spectrum[np.concatenate([[True], np.diff(spectrum) > 1e-9])]


def assert_counts(counter: Counter, spectrum: np.ndarray) -> None:
    """Beside every eigenvalue, on both sides, and between all of them."""
    levels = _distinct(spectrum)
    shifts = [mu for e in levels[levels > 0] for mu in (e * (1 - 1e-9), e * (1 + 1e-9))] + [1e-6, 5.5]
    expected = [int((spectrum < mu).sum()) for mu in shifts]
    assert counter.count(shifts) == expected
    assert counter.count([5.5]) == [counter.total]


@pytest.mark.parametrize("system", PARTIAL, ids=str)
def test_counts_of_partial_permutations(system: System, device: torch.device) -> None:
    basis = int(np.argmax(np.abs(system.initial))) if system.initial is not None and system.path_like else None
    assert_counts(strands_of(moved_to(system.H, device), basis), system.spectrum)


@pytest.mark.parametrize("basis", [None, 0, 2])
@pytest.mark.parametrize("T", [1, 2, 5])
def test_configurations_are_one_path_and_single_rows(T: int, basis: int | None, device: torch.device) -> None:
    """The count by formula against all pivots, and the literal matrix."""
    if basis is not None and basis > T:
        return
    H = ClockHamiltonian(HistorySteps(T), initial=None if basis is None else np.eye(T + 1)[basis])
    there = moved_to(H, device)
    spectrum = np.linalg.eigvalsh(H.to_sparse().toarray())
    short, long = HopStrands(there, basis), StrandCounter(there, basis)
    assert_counts(short, spectrum)
    assert_counts(long, spectrum)
    assert short.whole().tolist() == long.whole().tolist()
    for level in _distinct(spectrum)[1:]:
        window = level * (1 - 1e-9), level * (1 + 1e-9), H.dimension
        assert sorted(short.starts(*window)) == sorted(long.starts(*window))


def _path(kind: PathKind, device: torch.device) -> Counter:
    """One path of this kind and, beside it, rows on their own: a list of images on three states."""
    N = kind.m + (2 if kind.wall_last else 1)
    images = np.full((N - 1, 3), -1, np.int32)
    first = 1 if kind.wall_first else (0 if kind.wall_last else None)
    if first is None:
        return PathCounter(kind.m, False, device)
    last = first + kind.m - 1 if kind.wall_last else N - 1
    images[first:last, 1] = 1
    return StrandCounter(moved_to(ClockHamiltonian.from_steps(images), device), None)


@pytest.mark.parametrize("m", [7, 1000])
@pytest.mark.parametrize("walls", [(False, False), (True, False), (False, True), (True, True)])
def test_a_count_is_right_as_near_to_an_eigenvalue_as_it_says(
    m: int, walls: tuple[bool, bool], device: torch.device
) -> None:
    """4Nε on either side, relatively, also at a gap of 1e-6; rows on their own have energy 1 and 2 only."""
    kind = PathKind(m, *walls)
    counter = _path(kind, device)
    exact = paths.closed_form(kind, 6)
    exact = exact[(exact > 0) & (exact < 0.99)]
    distance = trust(counter.clock_states)
    zero = counter.count([floor_of(counter.clock_states)])[0]
    assert zero == kind.zero_modes
    shifts = [e * (1 + side * distance) for e in exact for side in (-1, 1)]
    assert counter.count(shifts) == [zero + i + side for i in range(len(exact)) for side in (0, 1)]


def test_a_pivot_that_is_exactly_zero(device: torch.device) -> None:
    """μ = 1 makes 2 - μ - 1/p = 0 behind a free end: the count stays one of the two that it can be."""
    H = ClockHamiltonian.from_steps([[0, 1, -1]] * 4, [0, 1, 0])
    spectrum = np.linalg.eigvalsh(H.to_sparse().toarray())
    for mu in (1.0, 2.0, 3.0):
        count = StrandCounter(moved_to(H, device), 1).count([mu])[0]
        assert (spectrum < mu - 1e-9).sum() <= count <= (spectrum < mu + 1e-9).sum()


@pytest.mark.parametrize("system", [s for s in PARTIAL if s.path_like], ids=str)
def test_starts_of_paths(system: System, device: torch.device) -> None:
    """As many as the level has copies, at the lower end of paths that have it."""
    H = system.H
    basis = int(np.argmax(np.abs(system.initial))) if system.initial is not None else None
    counter = StrandCounter(moved_to(H, device), basis)
    assert int(counter.whole().sum()) == ground_space(H).degeneracy
    for e in _distinct(system.spectrum):
        if e > 0:
            count = int((np.abs(system.spectrum - e) < 1e-9).sum())
            starts = counter.starts(e * (1 - 1e-9), e * (1 + 1e-9), H.dimension)
            assert len(starts) == len(set(starts)) == count
            for x, clock in starts:
                assert clock == 0 or not H.steps.matrix(clock - 1).toarray()[x].any()


@pytest.mark.parametrize("k", [1, 3, 10**6])
@pytest.mark.parametrize("system", [s for s in PARTIAL if s.path_like][::3], ids=str)
def test_levels(system: System, k: int, device: torch.device) -> None:
    assert is_path_like(system.H)
    basis = int(np.argmax(np.abs(system.initial))) if system.initial is not None else None
    levels = lowest_levels(strands_of(moved_to(system.H, device), basis), k, lambda *_: None)
    exact = _distinct(system.spectrum)
    assert len(levels) >= min(2, len(exact))
    assert sum(level.count for level in levels) >= min(k, system.H.dimension)
    for level, e in zip(levels, exact, strict=False):
        assert level.count == (np.abs(system.spectrum - e) < 1e-9).sum()
        # LAPACK's eigenvalues are wrong by some ε absolutely
        assert level.energy == pytest.approx(e, rel=relative_error(system.H.clock_states), abs=ROUNDING)


def test_kinds_are_named() -> None:
    from qunn.clock_engine.memory import KINDS

    kinds: Sequence[int] = [
        kernels.HOP, kernels.CELL, kernels.PARTIAL, kernels.PERMUTATION, kernels.GATE, kernels.MATRIX
    ]  # fmt: skip
    assert list(KINDS) == kinds
