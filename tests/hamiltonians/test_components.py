"""H as a direct sum: every row counted once, every path an invariant block with the spectrum that the census says."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from hamiltonians import ClockHamiltonian, paths, state
from hamiltonians.components import Blocks, Paths, is_path_like, project_on_full_paths
from hamiltonians.paths import PathKind
from hamiltonians.state import SparseState
from tests.systems.machines import CASES, SMALL, Case
from tests.systems.reference import EIGENVALUE
from tests.systems.step_lists import SYSTEMS, System, degeneracy, gap, images_matrix

PATH_LIKE = [s for s in SYSTEMS if s.path_like]
OTHERS = [s for s in SYSTEMS if not s.path_like]
path_systems = pytest.mark.parametrize("system", [*CASES, *PATH_LIKE], ids=str)


def spectrum_of(parts: Paths) -> np.ndarray:
    """Eigenvalues of every kind of path by LAPACK, as often as the census has it."""
    levels = [np.repeat(np.linalg.eigvalsh(path_matrix(kind)), count) for kind, count in parts.census.items()]
    return np.sort(np.concatenate(levels))


def path_matrix(kind: PathKind) -> np.ndarray:
    return np.diag(kind.diagonal()) - np.eye(kind.m, k=1) - np.eye(kind.m, k=-1)


@path_systems
def test_census_is_the_whole_spectrum(system: Case | System) -> None:
    parts = system.H.restricted()
    assert isinstance(parts, Paths)
    assert all(count > 0 for count in parts.census.values())
    assert sum(kind.m * count for kind, count in parts.census.items()) == system.H.dimension
    np.testing.assert_allclose(spectrum_of(parts), system.spectrum, rtol=0, atol=EIGENVALUE)
    assert parts.zero_modes == np.count_nonzero(system.spectrum < 1e-10)


@path_systems
def test_the_packages_own_eigenvalues_make_the_spectrum(system: Case | System) -> None:
    census = system.H.restricted().census
    levels = [np.repeat(paths.eigenvalues(kind, kind.m), count) for kind, count in census.items()]
    np.testing.assert_allclose(np.sort(np.concatenate(levels)), system.spectrum, rtol=0, atol=EIGENVALUE)


@path_systems
def test_every_row_lies_on_one_path_and_the_paths_are_H(system: Case | System) -> None:
    """H is put together again from all paths: so each is an invariant block, and equals the matrix of its kind."""
    parts, n = system.H.restricted(), system.H.dimension
    visited = np.zeros(n, int)
    rebuilt = np.zeros((n, n))
    for kind, count in parts.census.items():
        starts = parts.starts(kind, count)
        assert len(set(starts)) == len(starts) == count
        for start in starts:
            rows = parts.rows(kind, start)
            visited[rows] += 1
            rebuilt[rows, rows] = kind.diagonal()
            rebuilt[rows[1:], rows[:-1]] = rebuilt[rows[:-1], rows[1:]] = -1
    np.testing.assert_array_equal(visited, 1)
    np.testing.assert_array_equal(rebuilt, system.matrix)


@path_systems
def test_starts_can_be_asked_for_one_by_one(system: Case | System) -> None:
    parts = system.H.restricted()
    for kind, count in parts.census.items():
        assert parts.starts(kind, 1) == parts.starts(kind, count)[:1]
        assert len(parts.starts(kind, count + 5)) == count


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_machines_own_histories_come_first(case: Case) -> None:
    parts, full = case.H.restricted(), PathKind(case.H.clock_states, False, False)
    own = list(case.H.readout.starts.values())
    assert parts.starts(full, len(own)) == [(x, 0) for x in own]


@pytest.mark.parametrize("system", OTHERS, ids=str)
def test_other_steps_fall_into_blocks(system: System) -> None:
    parts, H = system.H.restricted(), system.matrix
    assert isinstance(parts, Blocks)
    assert not is_path_like(system.H)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts.rows)), np.arange(len(H)))
    between = np.abs(H).copy()
    energies = []
    for i, rows in enumerate(parts.rows):
        between[np.ix_(rows, rows)] = 0
        np.testing.assert_allclose(parts.block(i).toarray(), H[np.ix_(rows, rows)], rtol=0, atol=1e-14)
        energies.append(np.linalg.eigvalsh(parts.block(i).toarray()))
    assert not between.any()
    np.testing.assert_allclose(np.sort(np.concatenate(energies)), system.spectrum, rtol=0, atol=EIGENVALUE)


@pytest.mark.parametrize("step", range(4))
@pytest.mark.parametrize("change", ["removed", "altered"])
def test_one_image_changed_is_seen(step: int, change: str) -> None:
    """The gap comes from every component: breaking a single bond moves it to what the dense matrix says."""
    images = np.array([[1, 2, 0, 4, 3, -1], [4, 0, 1, 2, 3, -1], [0, 2, 1, 3, 4, -1], [3, 4, 0, 1, 2, -1]])
    whole = ClockHamiltonian.from_steps(images)
    images[step, 2] = -1 if change == "removed" else 5
    H = ClockHamiltonian.from_steps(images)
    dense = System(_as_list(images), None, "changed").spectrum
    parts = H.restricted()
    np.testing.assert_allclose(spectrum_of(parts), dense, rtol=0, atol=EIGENVALUE)
    assert parts.zero_modes == degeneracy(dense) == whole.restricted().zero_modes - (change == "removed" or step < 3)
    assert gap(spectrum_of(parts)) == pytest.approx(gap(dense), rel=1e-11)
    if change == "removed":
        assert gap(dense) < gap(spectrum_of(whole.restricted()))  # a broken path lies below


def _as_list(images: np.ndarray):  # type: ignore[no-untyped-def]
    from tests.systems.step_lists import StepList

    return StepList("images", list(images), [images_matrix(row) for row in images])


# ------------------------------------------------------------------------------------ P ψ


@pytest.mark.parametrize("case", [c for c in SMALL if c.literal.T], ids=str)
def test_projection_of_superposed_histories(case: Case, rng: np.random.Generator) -> None:
    H = case.H
    w, v = np.linalg.eigh(case.matrix)
    ground = v[:, w < 1e-10]
    for noise in (0.0, 0.3):
        start = H.history()
        psi = SparseState(start.indices, start.values + noise * rng.standard_normal(len(start.values)))
        projected = project_on_full_paths(H.restricted(), psi).dense(H)
        np.testing.assert_allclose(projected, ground @ (ground.T @ psi.dense(H)), rtol=0, atol=1e-12)


def test_projection_of_a_state_on_no_full_path_is_empty() -> None:
    H = ClockHamiltonian.from_steps([np.array([1, -1, 2])])
    lost = SparseState(np.array([2]), np.array([1.0]))  # data state 1 at clock 0, which goes nowhere
    assert len(project_on_full_paths(H.restricted(), lost).indices) == 0


# ------------------------------------------------------------------------------------ large ones


def test_counting_needs_no_strings() -> None:
    """2^200 strings: the rows add up, and the ground space has a dimension for every cell that is never read."""
    from hamiltonians.steps import CellSteps

    cells, read = np.array([3, 4, 5, 4, 3]), np.array([0, 1, 0, 1, 1], np.uint8)
    write = np.array([1, 1, 1, 0, 0], np.uint8)
    H = ClockHamiltonian(CellSteps(cells, read, write, 2, 200), "tape")
    parts = H.restricted()
    assert sum(kind.m * count for kind, count in parts.census.items()) == 2**200 * 6
    assert parts.zero_modes == 2**197


def test_large_configuration_census() -> None:
    from hamiltonians.steps import HistorySteps

    T = 47_176_870
    parts = ClockHamiltonian(HistorySteps(T), "configuration").restricted()
    assert parts.census == {
        PathKind(T + 1, False, False): 1,
        PathKind(1, False, True): T,
        PathKind(1, True, False): T,
        PathKind(1, True, True): (T - 1) * T,
    }


@pytest.mark.parametrize("ends", list(product((False, True), repeat=2)))
def test_walks_stop_where_the_path_does(ends: tuple[bool, bool]) -> None:
    first, last = ends
    images = np.array([[0, -1, -1], [-1 if last else 0, -1, -1]])
    if first:
        images[0, 0] = -1
    H = ClockHamiltonian.from_steps(images)
    parts = H.restricted()
    m = {(False, False): 3, (False, True): 2, (True, False): 2, (True, True): 1}[ends]
    kind = PathKind(m, first, last)
    np.testing.assert_array_equal(parts.rows(kind, (0, int(first))), int(first) + np.arange(m))
    assert len(state.try_walk(H, 0, int(first), 9)) == m if last else True
