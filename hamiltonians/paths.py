"""Eigenvalues and eigenvectors of the paths into which a clock Hamiltonian of partial permutations falls apart.

A path of m nodes is the tridiagonal matrix with -1 beside the diagonal and 2 on it, except that an end at a clock end
has 1. An end with 2 is called a *wall* (the next step is undefined there, or H_in sits on it), one with 1 is *free*.

Everything is computed from the bidiagonal factor B of the path (B†B), never from the closed forms: Sturm counts by the
differential stationary qd transform of L D L† (Dhillon and Parlett 2004), whose entries are ±1 and 0 here and hence
exact, so that eigenvalues come out with a small *relative* error even at 4e-15. The path with two walls and m nodes
is B B† of the free path with m + 1 nodes: its eigenvalues are the non-zero ones of that path, and it needs no factor
of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

_WIDTH = 8  # shifts side by side in one loop: one vector register of divisions
_POINTS = 2 * _WIDTH  # shifts counted in one pass over a path, so that two cores have work
#: rows from which a loop is shared among threads: below, waking them takes longer than the loop
PARALLEL_ROWS = 2**16
_BRACKET = 1e-3  # part of the distance to the next eigenvalue at which bisection hands over to Rayleigh quotients
_SETTLED = 1e-13  # relative change at which these stop: the error left is its square
_QUOTIENTS = 8  # at most: their error squares in every one
#: relative error of `eigenvalues`: the squared bracket and the roundings of two sums over up to 10^8 nodes
RELATIVE_ERROR = 1e-12


@dataclass(frozen=True, order=True)
class PathKind:
    """The shape of a path: m nodes, and whether its first and its last end is a wall."""

    m: int
    wall_first: bool
    wall_last: bool

    @property
    def walls(self) -> int:
        """0: a full path with one zero mode; 1, 2: broken."""
        return int(self.wall_first) + int(self.wall_last)

    @property
    def zero_modes(self) -> int:
        """Dimension of the kernel of B: nodes less rows of B (m - 1 bonds and a row a wall)."""
        return 1 if self.walls == 0 else 0

    def diagonal(self) -> NDArray[np.float64]:
        """The diagonal of the path's matrix."""
        diagonal = np.full(self.m, 2.0)
        diagonal[0] -= 1 - self.wall_first
        diagonal[-1] -= 1 - self.wall_last
        return diagonal


def count_below(kind: PathKind, shift: float) -> int:
    """How many eigenvalues of the path lie below `shift` > 0, zero modes included: one Sturm sequence."""
    m, last = _factor(kind)
    return int(_count(m, last, np.array([shift]))[0]) - (1 if kind.walls == 2 else 0)


def eigenvalues(kind: PathKind, k: int) -> NDArray[np.float64]:
    """The k lowest eigenvalues of a path (fewer if it has fewer nodes), ascending, to `RELATIVE_ERROR`.

    Every eigenvalue is enclosed by Sturm counts, so that none is missed, and then taken as ‖Bψ‖²/‖ψ‖² of its vector;
    the zero mode of a full path is the kernel of its B and is returned as 0.
    """
    k = min(k, kind.m)
    m, last = _factor(kind)
    skipped = 1 - last  # the kernel of the factor: the path's own zero mode, or an artefact of two walls
    first = min(k, kind.zero_modes)
    found = _brackets(m, last, np.arange(skipped, skipped + k - first))
    return np.concatenate([np.zeros(first), _polished(m, last, *found)])


def eigenvector(kind: PathKind, energy: float) -> NDArray[np.float64]:
    """The unit eigenvector of a path for one of its eigenvalues, by the recurrence of B†B = energy.

    With g = Bψ on the bonds: g_i = g_{i-1} + energy·ψ_i and ψ_{i+1} = ψ_i - g_i, which neither grows nor decays for
    0 ≤ energy ≤ 4, so that errors add up only linearly. A zero mode is constant to the last bit. It always runs towards
    a free end, where ψ is large: one wall is taken first, and for two walls ψ is g of the free path with m + 1 nodes.
    """
    psi = np.empty(kind.m)
    psi /= np.sqrt(_shoot(psi, kind.walls == 1, kind.walls == 2, energy))
    return psi if kind.wall_first or kind.walls == 0 else psi[::-1].copy()


def closed_form(kind: PathKind, k: int) -> NDArray[np.float64]:
    """The k lowest eigenvalues by the closed forms: printed beside the computed ones, never instead.

    Full: 2 - 2cos(πi/m), i = 0 …; one wall: 2 - 2cos((2i-1)π/(2m+1)), i = 1 …; two: 2 - 2cos(iπ/(m+1)), i = 1 ….
    Written as 4sin²(half the angle), which keeps its digits near zero.
    """
    i = np.arange(1, min(k, kind.m) + 1)
    angle = {
        0: np.pi * (i - 1) / kind.m,
        1: np.pi * (2 * i - 1) / (2 * kind.m + 1),
        2: np.pi * i / (kind.m + 1),
    }[kind.walls]
    return 4 * np.sin(angle / 2) ** 2


def _factor(kind: PathKind) -> tuple[int, int]:
    """Size of L D L† and the last entry of D; all others are 1, and L has -1 below its diagonal."""
    return (kind.m + 1, 0) if kind.walls == 2 else (kind.m, kind.walls)


def _brackets(m: int, last: int, index: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where the eigenvalues number `index` (from 0, all non-zero) of the factored path lie, by Sturm counts.

    The brackets to start from are wide bounds, which counts at their ends confirm.
    """
    if len(index) == 0:
        return np.empty(0), np.empty(0)
    low = np.full(len(index), 0.2 / m**2)
    high = np.minimum(4.0 + 1e-9, 10.0 * (index + 1.0) ** 2 / m**2)
    ends = _count(m, last, np.concatenate([low, high])).reshape(2, -1)
    if (ends[0] > index).any() or (ends[1] <= index).any():
        raise ArithmeticError(f"an eigenvalue of a path of {m} rows lies outside its bracket")
    per = max(2, _POINTS // len(index))
    inner = np.arange(1, per + 1) / (per + 1)
    # eigenvalues grow as the square of their number, and crowd in the same way at the upper end
    width = _BRACKET * (m - index) / (m * (index + 1))
    while (high - low > width * high).any():
        # geometric while the bracket spans decades, arithmetic once it is narrow: the mean of logarithms does both
        points = low[:, None] * (high / low)[:, None] ** inner
        below = _count(m, last, points.reshape(-1)).reshape(points.shape) > index[:, None]
        brackets = np.concatenate([low[:, None], points, high[:, None]], axis=1)
        first = np.where(below.any(axis=1), below.argmax(axis=1), per)
        rows = np.arange(len(index))
        low, high = brackets[rows, first], brackets[rows, first + 1]
    return low, high


def _polished(m: int, last: int, low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rayleigh quotients of the vectors shot with the last ones, until they settle inside their brackets."""
    energies = (low + high) / 2
    for _ in range(_QUOTIENTS):
        before, energies = energies, _rayleigh_quotients(m, last == 1, energies)
        if (np.abs(energies - before) <= _SETTLED * energies).all():
            break
    rounding = RELATIVE_ERROR * energies
    if (energies < low - rounding).any() or (energies > high + rounding).any():
        raise ArithmeticError(f"an eigenvalue of a path of {m} rows left the bracket that Sturm counts gave")
    return energies


_TINY = 1e-300  # in place of a pivot that is exactly 0


def _count(m: int, last: int, shifts: NDArray[np.float64]) -> NDArray[np.int64]:
    """Negative pivots of L D L† - shift: with D = 1, …, 1, last and L = -1 the qd transform is s ← s/(1+s) - shift."""
    counts = np.empty(len(shifts), np.int64)
    groups = -(-len(shifts) // _WIDTH)
    if m < PARALLEL_ROWS:
        for group in range(groups):
            _count_group(m, last, shifts, group, counts)
    else:
        _count_groups(m, last, shifts, groups, counts)
    return counts


@njit(cache=True, parallel=True)
def _count_groups(m, last, shifts, groups, counts):  # type: ignore[no-untyped-def]
    for group in prange(groups):
        _count_group(m, last, shifts, group, counts)


@njit(cache=True, error_model="numpy")
def _count_group(m, last, shifts, group, counts):  # type: ignore[no-untyped-def]
    shift = np.empty(_WIDTH)
    for q in range(_WIDTH):
        shift[q] = shifts[min(group * _WIDTH + q, len(shifts) - 1)]
    s = -shift
    negative = np.zeros(_WIDTH, np.int64)
    for _ in range(m - 1):
        for q in range(_WIDTH):
            pivot = 1.0 + s[q]
            pivot = _TINY if pivot == 0 else pivot  # 0 would make the second one after it no number
            negative[q] += pivot < 0
            s[q] = s[q] / pivot - shift[q]
    for q in range(min(_WIDTH, len(shifts) - group * _WIDTH)):
        counts[group * _WIDTH + q] = negative[q] + (last + s[q] < 0)


@njit(cache=True)
def _shoot(psi, wall, bonds, energy):  # type: ignore[no-untyped-def]
    """Fill psi by the recurrence, from a wall or a free end, with ψ or with g = Bψ; return its squared norm."""
    value = 1.0
    g = -1.0 if wall else 0.0
    norm = 0.0
    for i in range(len(psi)):
        psi[i] = value
        g += energy * value
        if bonds:
            psi[i] = g
        norm += psi[i] * psi[i]
        value -= g
    return norm


def _rayleigh_quotients(m: int, wall: bool, energies: NDArray[np.float64]) -> NDArray[np.float64]:
    if m < PARALLEL_ROWS:
        return np.array([_rayleigh_quotient(m, wall, energy) for energy in energies])
    return np.asarray(_rayleigh_quotients_at_once(m, wall, energies))


@njit(cache=True, parallel=True)
def _rayleigh_quotients_at_once(m, wall, energies):  # type: ignore[no-untyped-def]
    quotients = np.empty_like(energies)
    for i in prange(len(energies)):
        quotients[i] = _rayleigh_quotient(m, wall, energies[i])
    return quotients


@njit(cache=True)
def _rayleigh_quotient(m, wall, energy):  # type: ignore[no-untyped-def]
    """‖Bψ‖²/‖ψ‖² of the vector shot from a wall or a free end to a free end; Bψ is taken from the rounded ψ."""
    value = 1.0
    g = -1.0 if wall else 0.0
    numerator = 1.0 if wall else 0.0
    norm = 0.0
    for i in range(m):
        norm += value * value
        g += energy * value
        following = value - g
        if i < m - 1:
            numerator += (value - following) ** 2
        value = following
    return numerator / norm
