"""Eigenvalues and eigenvectors of single paths, against LAPACK and the closed forms."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from hamiltonians import paths
from hamiltonians.paths import RELATIVE_ERROR, PathKind, closed_form, count_below, eigenvalues, eigenvector
from tests.systems.reference import EIGENVALUE

ENDS = list(product((False, True), repeat=2))
ENDS_NAMED = ["free", "wall last", "wall first", "walls"]
LENGTHS = [*range(1, 14), 50, 137]
KINDS = [PathKind(m, *ends) for m in LENGTHS for ends in ENDS]
kinds = pytest.mark.parametrize("kind", KINDS, ids=lambda k: f"{k.m}-{k.walls}{'a' if k.wall_first else 'b'}")

# LAPACK on a tridiagonal matrix with ‖H‖ ≤ 4: a few n·ε·4, n ≤ 137
ABSOLUTE = 1e-13


def matrix(kind: PathKind) -> np.ndarray:
    """-1 beside the diagonal; on it, how many bonds and walls touch the node."""
    H = np.zeros((kind.m, kind.m))
    for i in range(kind.m - 1):
        H[i : i + 2, i : i + 2] += [[1, -1], [-1, 1]]
    H[0, 0] += kind.wall_first
    H[-1, -1] += kind.wall_last
    return H


@kinds
def test_diagonal_and_zero_modes(kind: PathKind) -> None:
    if kind.m > 1:  # a single node: each wall is one of the terms that touch it
        np.testing.assert_array_equal(kind.diagonal(), np.diag(matrix(kind)))
    assert kind.zero_modes == np.count_nonzero(np.linalg.eigvalsh(matrix(kind)) < 1e-10)


@pytest.mark.parametrize("ends", ENDS, ids=ENDS_NAMED)
def test_a_single_node_has_one_entry_for_each_wall(ends: tuple[bool, bool]) -> None:
    kind = PathKind(1, *ends)
    np.testing.assert_array_equal(kind.diagonal(), [kind.walls])
    np.testing.assert_allclose(eigenvalues(kind, 1), [kind.walls], rtol=RELATIVE_ERROR)


@kinds
def test_lowest_eigenvalues_are_those_of_the_matrix(kind: PathKind) -> None:
    expected = np.linalg.eigvalsh(matrix(kind))
    found = eigenvalues(kind, 4)
    np.testing.assert_allclose(found, expected[:4], rtol=0, atol=ABSOLUTE)
    np.testing.assert_allclose(found, closed_form(kind, 4), rtol=RELATIVE_ERROR, atol=0)
    for k in (1, 2, 3):
        np.testing.assert_allclose(eigenvalues(kind, k), found[:k], rtol=RELATIVE_ERROR, atol=0)


@pytest.mark.parametrize("ends", ENDS, ids=ENDS_NAMED)
@pytest.mark.parametrize("m", [1, 2, 3, 6, 9, 50, 137, 1000])
def test_all_eigenvalues_are_those_of_the_matrix(m: int, ends: tuple[bool, bool]) -> None:
    kind = PathKind(m, *ends)
    found = eigenvalues(kind, m)
    assert np.all(np.diff(found) > 0)
    np.testing.assert_array_equal(eigenvalues(kind, 3 * m), found)
    np.testing.assert_allclose(found, np.linalg.eigvalsh(matrix(kind)), rtol=0, atol=EIGENVALUE)
    np.testing.assert_allclose(found, closed_form(kind, m), rtol=RELATIVE_ERROR, atol=0)


@kinds
def test_closed_forms(kind: PathKind) -> None:
    k = np.arange(1, kind.m + 1)
    angle = {
        0: np.pi * (k - 1) / kind.m,  # 2 - 2cos(πk/(T+1)), k = 0..T
        1: np.pi * (2 * k - 1) / (2 * kind.m + 1),
        2: np.pi * k / (kind.m + 1),
    }[kind.walls]
    np.testing.assert_allclose(closed_form(kind, kind.m), 2 - 2 * np.cos(angle), rtol=0, atol=ABSOLUTE)
    np.testing.assert_allclose(closed_form(kind, kind.m), np.linalg.eigvalsh(matrix(kind)), rtol=0, atol=ABSOLUTE)


@kinds
def test_eigenvectors_for_exact_energies(kind: PathKind) -> None:
    energies = closed_form(kind, kind.m)
    V = np.stack([eigenvector(kind, energy) for energy in energies], axis=1)
    np.testing.assert_allclose(V.T @ V, np.eye(kind.m), rtol=0, atol=2e-12)  # ε·m errors over spacings of ~ 1/m
    np.testing.assert_allclose(matrix(kind) @ V, V * energies, rtol=0, atol=2e-12)


@kinds
def test_lowest_eigenvectors(kind: PathKind) -> None:
    energies = eigenvalues(kind, 3)
    V = np.stack([eigenvector(kind, energy) for energy in energies], axis=1)
    np.testing.assert_allclose(V.T @ V, np.eye(len(energies)), rtol=0, atol=1e-12)
    np.testing.assert_allclose(matrix(kind) @ V, V * energies, rtol=0, atol=1e-12)


@kinds
def test_sturm_counts(kind: PathKind) -> None:
    expected = np.linalg.eigvalsh(matrix(kind))
    between = [1e-9, *(expected[:-1] + expected[1:]) / 2, 4.1]
    if kind.zero_modes == 0:
        between = [expected[0] / 2, *between[1:]]
    for shift in between:
        assert count_below(kind, shift) == np.count_nonzero(expected < shift)


def test_no_eigenvalue_where_none_is_asked_for() -> None:
    assert len(eigenvalues(PathKind(4, False, False), 0)) == 0


@pytest.mark.parametrize("ends", ENDS, ids=ENDS_NAMED)
@pytest.mark.parametrize("m", [1000, 10_001])
def test_long_paths_keep_their_digits(m: int, ends: tuple[bool, bool]) -> None:
    kind = PathKind(m, *ends)
    found = eigenvalues(kind, 2)
    np.testing.assert_allclose(found, closed_form(kind, 2), rtol=RELATIVE_ERROR, atol=0)
    for energy in found:
        psi = eigenvector(kind, energy)
        H_psi = kind.diagonal() * psi
        H_psi[1:] -= psi[:-1]
        H_psi[:-1] -= psi[1:]
        assert np.linalg.norm(H_psi - energy * psi) <= 1e-13


@pytest.mark.parametrize("ends", ENDS, ids=ENDS_NAMED)
def test_a_million_nodes(ends: tuple[bool, bool]) -> None:
    kind = PathKind(1_000_000, *ends)
    np.testing.assert_allclose(eigenvalues(kind, 4), closed_form(kind, 4), rtol=RELATIVE_ERROR, atol=0)


def test_a_zero_mode_is_constant_to_the_last_bit() -> None:
    assert np.ptp(eigenvector(PathKind(1001, False, False), 0.0)) == 0


def test_closed_form_is_never_what_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "closed_form", lambda *_: pytest.fail("a formula was used"))
    monkeypatch.setattr(np, "cos", lambda *_: pytest.fail("a formula was used"))
    assert eigenvalues(PathKind(7, False, False), 2)[1] == pytest.approx(0.19806226419516)


def test_a_pivot_that_is_exactly_zero() -> None:
    """At μ = 1 the pivots of a free path run 0, ∞, 1: the count is of what lies below."""
    for m in range(2, 40):
        eigenvalues = 4 * np.sin(np.pi * np.arange(m) / (2 * m)) ** 2
        assert count_below(PathKind(m, False, False), 1.0) == np.count_nonzero(eigenvalues < 1 - 1e-9)
