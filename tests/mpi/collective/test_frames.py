"""H on the ranks against the literal matrix: every rank runs every test and holds the whole reference.

    mpirun -n 2 python -m pytest tests/mpi/collective/test_frames.py

A build of PETSc has real or complex numbers; with the real one the problems are those in real numbers. What ranks
compute is gathered before it is compared, so that a check fails on all of them or on none.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pytest

from hamiltonians import ClockHamiltonian, InputError, MemoryEstimateError
from hamiltonians.memory import memory_limit
from hamiltonians.slepc.frame import Frame, bytes_per_rank, frame_of
from hamiltonians.slepc.libraries import Libraries
from hamiltonians.slepc.matrix import assembled
from hamiltonians.slepc.stages import Stages
from hamiltonians.slepc.strands import Strands
from hamiltonians.solvers.inverse import shift_for
from hamiltonians.steps import CellSteps
from tests.systems import reference
from tests.systems.machines import BY_NAME, SMALL, Case
from tests.systems.step_lists import LISTS, SYSTEMS, System, unit

EPS = float(np.finfo(float).eps)
NORM = 5  # ‖H‖ ≤ 4, and H_in adds 1
FEW = 32  # roundings: a row of H has three terms where steps are permutations; sums of a few hundred grow like roots
DENSE = 64 * FEW  # the same for a reference by LAPACK on up to a few hundred rows


@dataclass(frozen=True, eq=False)
class Problem:
    """H, and the literal steps and matrix that it stands for."""

    name: str
    H: ClockHamiltonian
    steps: list[np.ndarray]
    matrix: np.ndarray

    def __str__(self) -> str:
        return self.name

    @property
    def shift(self) -> float:
        return shift_for(self.H.clock_states)

    @cached_property
    def M(self) -> np.ndarray:
        return self.matrix + self.shift * np.eye(len(self.matrix))

    @property
    def condition(self) -> float:
        return NORM / self.shift

    @cached_property
    def spectrum(self) -> np.ndarray:
        return np.linalg.eigvalsh(self.matrix)

    @property
    def degeneracy(self) -> int:
        return int(np.count_nonzero(self.spectrum < reference.ZERO))

    def energy(self, psi: np.ndarray) -> float:
        """ψ†Hψ as squares, in extended precision."""
        psi = psi.astype(np.clongdouble).reshape(self.H.d, self.H.clock_states)
        total = np.longdouble(0)
        for j, U in enumerate(self.steps):
            moved = U @ psi[:, j]
            total += _square(moved - psi[:, j + 1])
            if self.H.steps.monomial:
                total += _square(psi[np.linalg.norm(U, axis=0) == 0, j])
            elif not self.H.steps.unitary:
                total += _square(psi[:, j]) - _square(moved)
        if self.H.initial is not None:
            x = self.H.initial.astype(np.clongdouble)
            total += _square(psi[:, 0] - x * np.vdot(x, psi[:, 0]))
        return float(total)


def _square(x: np.ndarray) -> Any:
    return np.sum(x.real**2 + x.imag**2)


def _of_system(system: System) -> Problem:
    return Problem(str(system), system.H, system.steps.dense, system.matrix)


def _of_case(case: Case) -> Problem:
    steps = case.literal.steps
    if case.space == "function":  # its data states are numbered by H
        order = case.rows[:: case.literal.T + 1] // (case.literal.T + 1)
        steps = [U[np.ix_(order, order)] for U in steps]
    return Problem(str(case), case.H, steps, case.matrix)


def _real_vectors() -> list[System]:
    """H_in on a vector that no basis state is, in real numbers: of any kind, and on whole strands only."""
    found = []
    rng = np.random.default_rng(7)
    for steps in LISTS:
        if not any(np.iscomplexobj(U) for U in steps.dense):
            found.append(System(steps, unit(steps.d, rng, real=True), "real vector"))
            product = np.linalg.multi_dot([np.eye(steps.d), *steps.dense[::-1], np.eye(steps.d)])
            kept = np.where(np.linalg.norm(product, axis=0) > 1 - 1e-12, rng.standard_normal(steps.d), 0)
            if steps.monomial and np.count_nonzero(kept) > 1:
                found.append(System(steps, kept / np.linalg.norm(kept), "kept vector"))
    return found


def _cell_steps(seed: int, base: int, cells: int, T: int, initial: np.ndarray | None = None) -> Problem:
    """Random symbols read and written on random cells, some written as they were read."""
    rng = np.random.default_rng(seed)
    cell, read, write = rng.integers(cells, size=T), rng.integers(base, size=T), rng.integers(base, size=T)
    steps = CellSteps(cell, read.astype(np.uint8), write.astype(np.uint8), base, cells)
    dense = []
    for c, r, w in zip(cell, read, write, strict=True):
        U = np.eye(1)
        for place in range(cells):
            U = np.kron(U, np.outer(np.eye(base)[w], np.eye(base)[r]) if place == c else np.eye(base))
        dense.append(U)
    H = ClockHamiltonian(steps, "tape", initial)
    return Problem(f"cells {seed}", H, dense, reference.dense_hamiltonian(dense, base**cells, initial))


LARGER = ("1RB1RZ_1LB0RC_1LC1LA-tape", "1RB2LB1RZ_2LA2RB1LB-configuration")
CELLS = [
    _cell_steps(1, 3, 3, 9),
    _cell_steps(2, 2, 5, 6),
    _cell_steps(3, 3, 3, 5, np.eye(27)[11]),
    _cell_steps(4, 3, 2, 4, unit(9, np.random.default_rng(3), real=True)),
    _cell_steps(5, 2, 3, 0),
]
PROBLEMS = [
    *map(_of_system, SYSTEMS),
    *map(_of_system, _real_vectors()),
    *map(_of_case, SMALL[::12]),
    *(_of_case(BY_NAME[name]) for name in LARGER),
    *CELLS,
]
CHOICES = {
    "exact": [p for p in PROBLEMS if p.H.steps.monomial or p.H.steps.unitary],
    "inexact": [p for p in PROBLEMS if not p.H.steps.monomial and not p.H.steps.unitary],
    "machine": [p for p in PROBLEMS if p.H.readout is not None],
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The problems that the build has numbers for: all, or the choice that the test's name ends in."""
    if "problem" in metafunc.fixturenames:
        chosen = CHOICES.get(metafunc.function.__name__.rpartition("_")[2], PROBLEMS)
        kinds = "fc" if metafunc.config.getoption("--scalar") == "complex" else "f"
        metafunc.parametrize("problem", [p for p in chosen if p.H.dtype.kind in kinds], ids=str)


FRAMES: dict[Problem, Frame] = {}  # of the one session that there is
GROUND: dict[Frame, np.ndarray] = {}


@pytest.fixture
def frame(problem: Problem, libraries: Libraries) -> Frame:
    if problem not in FRAMES:
        FRAMES[problem] = frame_of(problem.H, libraries, problem.shift)
    return FRAMES[problem]


def random_state(problem: Problem, frame: Frame, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(problem.H.dimension)
    return x + 1j * rng.standard_normal(len(x)) if frame.libraries.build == "complex" else x


def on_ranks(frame: Frame, whole: np.ndarray) -> Any:
    x = frame.vector()
    first, stop = x.getOwnershipRange()
    x.setArray(whole[first:stop])
    return x


def gathered(frame: Frame, x: Any) -> np.ndarray:
    return np.concatenate(frame.libraries.comm.allgather(x.getArray(readonly=True).copy()))


def agreed(frame: Frame, number: float) -> float:
    """A number that has to be the same on every rank to the bit."""
    assert len(set(frame.libraries.comm.allgather(number))) == 1
    return number


def ground_basis(frame: Frame) -> np.ndarray:
    """The whole ground space as columns."""
    if frame not in GROUND:
        columns = [gathered(frame, g) for g in frame.ground_vectors(frame.degeneracy, 3)]
        GROUND[frame] = np.array(columns).reshape(-1, frame.H.dimension).T
    return GROUND[frame]


def test_ranks_hold_whole_data_states(problem, frame):
    first, stop = frame.vector().getOwnershipRange()
    N, comm = problem.H.clock_states, frame.libraries.comm
    assert (first % N, stop % N) == (0, 0)
    sizes = comm.allgather((stop - first) // N)
    assert sum(sizes) == problem.H.d
    assert max(sizes) - min(sizes) <= 1
    assert isinstance(frame, Strands if problem.H.steps.monomial else Stages)


def test_apply(problem, frame):
    psi = random_state(problem, frame)
    x, y = on_ranks(frame, psi), frame.vector()
    frame.apply(x, y)
    assert np.linalg.norm(gathered(frame, y) - problem.matrix @ psi) <= FEW * EPS * NORM * np.linalg.norm(psi)
    assert np.array_equal(gathered(frame, x), psi)


def test_solve_where_exact(problem, frame):
    assert frame.exact
    b = random_state(problem, frame)
    x = frame.vector()
    frame.solve(on_ranks(frame, b), x)
    found = gathered(frame, x)
    size = np.linalg.norm(found)
    # the residual is that of a stable substitution; the error is larger by the condition
    assert np.linalg.norm(problem.M @ found - b) <= DENSE * EPS * NORM * size
    assert np.linalg.norm(found - np.linalg.solve(problem.M, b)) <= FEW * EPS * problem.condition * size
    in_place = on_ranks(frame, b)
    frame.solve(in_place, in_place)
    assert np.array_equal(gathered(frame, in_place), found)


def test_solve_is_positive_definite_and_near_where_inexact(problem, frame):
    assert not frame.exact
    columns, x = [], frame.vector()
    for e in np.eye(problem.H.dimension):
        frame.solve(on_ranks(frame, e), x)
        columns.append(gathered(frame, x))
    inverse = np.array(columns).T
    assert np.abs(inverse - inverse.conj().T).max() <= FEW * EPS * np.abs(inverse).max()
    assert np.linalg.eigvalsh(inverse)[0] > 0.1 / NORM
    root = np.linalg.cholesky(problem.M)
    ratios = np.linalg.eigvalsh(root.conj().T @ inverse @ root)
    assert ratios[-1] / ratios[0] < problem.condition


def test_degeneracy_and_ground_vectors(problem, frame):
    assert agreed(frame, frame.degeneracy) == problem.degeneracy
    G = ground_basis(frame)
    assert G.shape[1] == problem.degeneracy
    assert np.abs(G.conj().T @ G - np.eye(G.shape[1])).max(initial=0) <= FEW * EPS
    # a sum of T products of contractions that are unitary to rounding
    assert np.linalg.norm(problem.matrix @ G) <= FEW * EPS * NORM * np.sqrt(problem.H.dimension)
    fewer = [gathered(frame, g) for g in frame.ground_vectors(min(2, frame.degeneracy), 3)]
    assert all(np.array_equal(f, g) for f, g in zip(fewer, G.T, strict=False))


def test_histories_of_inputs_come_first_for_a_machine(problem, frame):
    starts = list(problem.H.readout.starts.values())
    G = ground_basis(frame)
    for x, g in zip(starts, G.T, strict=False):
        assert np.abs(g - reference.history(problem.steps, np.eye(problem.H.d)[x])).max() <= EPS
    assert len(starts) <= G.shape[1]


def test_remove_ground(problem, frame):
    psi = random_state(problem, frame)
    psi += 1e3 * np.linalg.norm(psi) * ground_basis(frame).sum(axis=1)  # much of it lies there
    x = on_ranks(frame, psi)
    frame.remove_ground(x)
    found, G = gathered(frame, x), ground_basis(frame)
    size = np.linalg.norm(psi)
    assert np.linalg.norm(found - (psi - G @ (G.conj().T @ psi))) <= FEW * EPS * size
    assert np.linalg.norm(G.conj().T @ found) <= 8 * EPS * size


def test_bonds_keep_their_digits_near_the_ground_space(problem, frame):
    psi = random_state(problem, frame)
    psi /= np.linalg.norm(psi)
    for distance in (1.0, 1e-6):
        state = distance * psi + ground_basis(frame).sum(axis=1)
        energy = agreed(frame, frame.bonds(on_ranks(frame, state)))
        expected = problem.energy(state)
        # squares of differences, which are exact where nothing was multiplied, and else wrong by eps; where matrices
        # are not unitary, norms are subtracted
        x = problem.H.initial
        moved = problem.H.steps.monomial and (x is None or np.count_nonzero(x) == 1)
        products = 0.0 if moved else FEW * EPS * distance
        norms = 0.0 if frame.exact else FEW * EPS * np.vdot(state, state).real
        assert abs(energy - expected) <= FEW * EPS * expected + products + norms


def test_residual(problem, frame):
    psi, energy = random_state(problem, frame), 0.37
    found = agreed(frame, frame.residual(on_ranks(frame, psi), energy))
    expected = np.linalg.norm(problem.matrix @ psi - energy * psi)
    assert abs(found - expected) <= FEW * EPS * NORM * np.linalg.norm(psi)
    for g in frame.ground_vectors(min(1, frame.degeneracy), 0):
        assert frame.residual(g, 0.0) <= FEW * EPS


def test_assembled(problem, frame):
    A = assembled(problem.H, frame.libraries)
    assert A.getOwnershipRange() == frame.vector().getOwnershipRange()
    first, stop = A.getOwnershipRange()
    mine = np.zeros((stop - first, problem.H.dimension), frame.layout.dtype)
    for row in range(first, stop):
        columns, values = A.getRow(row)
        mine[row - first, columns] = values
    whole = np.concatenate(frame.libraries.comm.allgather(mine))
    assert np.abs(whole - problem.matrix).max() <= 4 * EPS
    A.destroy()


def test_too_many_rows(libraries):
    limit = np.iinfo(libraries.PETSc.IntType).max
    cells = int(np.log2(float(limit))) + 1
    H = ClockHamiltonian(CellSteps(np.array([0]), np.array([0], np.uint8), np.array([1], np.uint8), 2, cells), "tape")
    for make in (lambda: frame_of(H, libraries, 0.1), lambda: assembled(H, libraries)):
        with pytest.raises(InputError, match="64-bit indices") as refused:
            make()
        assert f"{limit:,}" in str(refused.value)
        assert "\n" not in str(refused.value)


def test_memory_is_refused_on_every_rank(libraries):
    problem = CELLS[0]
    allowed = memory_limit.set(100 if libraries.comm.rank == libraries.comm.size - 1 else None)  # on one of them alone
    try:
        for make in (lambda: frame_of(problem.H, libraries, 0.1), lambda: assembled(problem.H, libraries)):
            with pytest.raises(MemoryEstimateError, match="needed"):
                make()
    finally:
        memory_limit.reset(allowed)


@pytest.mark.parametrize("build", [lambda: LISTS[0], lambda: LISTS[9]], ids=["permutations", "matrices"])
def test_the_estimate_of_memory_needs_no_ranks(build):
    H = ClockHamiltonian.from_steps(build().steps)
    assert 0 < bytes_per_rank(H, 4) < 10_000
