"""States given by their non-zero rows: Hψ and Bψ on 47 million of 2·10^15 rows, with nothing assumed about the others.

For steps that are partial permutations. A row number is `data * clock_states + clock`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np
import scipy.sparse as sp
from numba import njit, prange
from numpy.typing import NDArray

from hamiltonians import kernels
from hamiltonians.errors import InputError
from hamiltonians.memory import require_memory
from hamiltonians.paths import PARALLEL_ROWS

if TYPE_CHECKING:
    from hamiltonians.clock import ClockHamiltonian


_PIECE = 2**12  # sums are taken in pieces of so many rows: their rounding grows with its root, not with 47 million


@final
@dataclass(frozen=True)
class SparseState:
    """A vector of the whole space by its non-zero rows: `values[i]` stands in row `indices[i]`; indices ascend."""

    indices: NDArray[np.int64]
    values: NDArray[Any]

    def norm(self) -> float:
        """‖ψ‖."""
        return float(np.sqrt(dot(self.values, self.values).real))

    def dense(self, H: ClockHamiltonian) -> NDArray[Any]:
        """The whole vector, shape (dimension,); refused where it does not fit."""
        H.require("vector")
        psi = np.zeros(H.dimension, self.values.dtype)
        psi[self.indices] = self.values
        return psi

    def clock_slice(self, H: ClockHamiltonian, clock: int) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """Data indices and amplitudes at one clock time: the state projected on |clock>."""
        here = _rows_at_clock(self.indices, H.clock_states, clock)
        return self.indices[here] // H.clock_states, self.values[here]


def walk(H: ClockHamiltonian, x: int, clock: int, length: int) -> NDArray[np.int64]:
    """Row numbers along the path that starts at data state x and clock time `clock`, in order of the clock.

    Raises
    ------
    InputError : the path is shorter, or row numbers need more than 64 bits.
    MemoryEstimateError : the rows do not fit.
    """
    rows = try_walk(H, x, clock, length)
    if len(rows) < length:
        raise InputError(f"the path from data state {x} at clock {clock} ends after {len(rows)} rows, not {length}")
    return rows


def try_walk(H: ClockHamiltonian, x: int, clock: int, length: int) -> NDArray[np.int64]:
    """Like `walk`, but as many rows as there are."""
    H.require_row_numbers()
    require_memory(24 * length, f"a path of {length:,} rows", "shorten the run")
    rows = np.empty(length, np.int64)
    return rows[: _walk(H.steps.data(), x, clock, H.clock_states, rows)]


def history_of_starts(H: ClockHamiltonian, starts: list[int]) -> SparseState:
    """The uniform superposition of the histories of several basis states; |ψ0> for a single one."""
    paths = [walk(H, x, 0, H.clock_states) for x in starts]
    indices = paths[0] if len(paths) == 1 else np.concatenate(paths)
    if len(paths) > 1 or not is_ascending(indices):
        indices = np.sort(indices)
    return SparseState(indices, np.full(len(indices), 1 / np.sqrt(len(indices))))


def bond_energies(H: ClockHamiltonian, psi: SparseState) -> NDArray[np.float64]:
    """The terms of ‖Bψ‖², one a step from clock j, and H_in last: like `ClockHamiltonian.bond_energies`."""
    terms = np.zeros(H.T + 1)
    _energy_piece(H.steps.data(), H.clock_states, psi.indices, psi.values, -1, 0, len(psi.indices), terms)
    terms[-1] = _pinned_energy(H, psi)
    return terms


def energy(H: ClockHamiltonian, psi: SparseState, without_clock: int = -1) -> float:
    """‖Bψ‖²/‖ψ‖² without storing the terms; ψ may be taken without its part at one clock time."""
    given = H.steps.data(), H.clock_states, psi.indices, psi.values, without_clock
    few = len(psi.indices) < PARALLEL_ROWS
    total, norm = _energy_piece(*given, 0, len(psi.indices), np.empty(0)) if few else _energy(*given)
    pinned = 0.0 if without_clock == 0 else _pinned_energy(H, psi)
    return float((total + pinned) / norm) if norm else float("nan")


def apply(H: ClockHamiltonian, psi: SparseState) -> SparseState:
    """Hψ on every row where it can be non-zero, those outside the support of ψ included."""
    inside = np.zeros_like(psi.values)
    outside, leaked = np.empty(0, np.int64), inside[:0]
    count = _apply(H.steps.data(), H.clock_states, psi.indices, psi.values, inside, outside, leaked)
    if count:  # rare: only where ψ does not fill whole components
        outside, leaked = np.empty(count, np.int64), np.empty(count, psi.values.dtype)
        inside[:] = 0
        _apply(H.steps.data(), H.clock_states, psi.indices, psi.values, inside, outside, leaked)
    extra = [(int(row), value) for row, value in zip(outside, leaked, strict=True)]
    if H.initial is not None:
        extra += _pinned_part(H, psi)
    if not extra:
        return SparseState(psi.indices, inside)
    rows, values = np.array([r for r, _ in extra], np.int64), np.array([v for _, v in extra])
    indices, place = np.unique(np.concatenate([psi.indices, rows]), return_inverse=True)
    total = np.zeros(len(indices), np.result_type(inside, values))
    np.add.at(total, place, np.concatenate([inside, values]))
    return SparseState(indices, total)


def residual(H: ClockHamiltonian, psi: SparseState, energy: float) -> float:
    """‖Hψ - Eψ‖ over the whole space, for ‖ψ‖ = 1."""
    if H.initial is None:
        given = H.steps.data(), H.clock_states, psi.indices, psi.values, energy
        few = len(psi.indices) < PARALLEL_ROWS
        square, leaks = _residual_piece(*given, 0, len(psi.indices)) if few else _residual(*given)
        if not leaks:
            return float(np.sqrt(square))
    difference = combine([1.0, -energy], [apply(H, psi), psi])
    return difference.norm()


def clock_slices(
    H: ClockHamiltonian, psi: SparseState, clocks: NDArray[np.int64]
) -> list[tuple[NDArray[np.int64], NDArray[Any]]]:
    """(data indices, amplitudes) at each of some ascending clock times, in one pass over ψ."""
    wanted = np.zeros(H.clock_states, bool)
    wanted[clocks] = True
    rows = np.flatnonzero(_at_wanted(psi.indices, H.clock_states, wanted))
    at = psi.indices[rows] % H.clock_states
    order = np.argsort(at, kind="stable")
    data, values = psi.indices[rows[order]] // H.clock_states, psi.values[rows[order]]
    first, stop = np.searchsorted(at[order], clocks), np.searchsorted(at[order], clocks, side="right")
    return [(data[a:b], values[a:b]) for a, b in zip(first, stop, strict=True)]


def block(H: ClockHamiltonian, indices: NDArray[np.int64]) -> sp.csr_array:
    """H on some ascending rows, as CSR: three entries a row at most for paths."""
    n = len(indices)
    diagonal, after = np.empty(n), np.empty(n, np.int64)
    _block(H.steps.data(), H.clock_states, indices, diagonal, after)
    i = np.flatnonzero(after >= 0)
    off = sp.csr_array((-np.ones(len(i)), (i, after[i])), shape=(n, n))
    H_block = sp.diags_array(diagonal) + off + off.T
    if H.initial is not None:
        first = _rows_at_clock(indices, H.clock_states, 0)
        column = sp.csr_array(
            (H.initial[indices[first] // H.clock_states], (first, np.zeros_like(first))), shape=(n, 1)
        )
        pinned = sp.csr_array((np.ones(len(first)), (first, first)), shape=(n, n))
        H_block = H_block + pinned - column @ column.conj().T
    return sp.csr_array(H_block)


def combine(coefficients: Sequence[complex], states: Sequence[SparseState]) -> SparseState:
    """Σ c_i |s_i> on the union of the rows; real where everything is real."""
    indices = states[0].indices
    for other in states[1:]:
        indices = indices if other.indices is indices else np.union1d(indices, other.indices)
    total = np.zeros(len(indices), np.result_type(np.asarray(coefficients), *(s.values for s in states)))
    for c, s in zip(coefficients, states, strict=True):
        at = slice(None) if s.indices is indices else np.searchsorted(indices, s.indices)
        total[at] += c * s.values
    return SparseState(indices, total.real if not total.imag.any() else total)


def dot(a: NDArray[Any], b: NDArray[Any]) -> complex:
    """<a|b> of two arrays, added up in pieces: BLAS alone is wrong by 1e-11 on 47 million equal numbers."""
    return complex(np.sum([np.vdot(a[i : i + _PIECE], b[i : i + _PIECE]) for i in range(0, len(a), _PIECE)]))


def inner(a: SparseState, b: SparseState) -> complex:
    """<a|b>."""
    if a.indices is b.indices or np.array_equal(a.indices, b.indices):
        return dot(a.values, b.values)
    _, at, bt = np.intersect1d(a.indices, b.indices, assume_unique=True, return_indices=True)
    return dot(a.values[at], b.values[bt])


def _pinned_energy(H: ClockHamiltonian, psi: SparseState) -> float:
    return 0.0 if H.initial is None else float(sum(abs(a) ** 2 for _, a in _pinned_part(H, psi)))


def _pinned_part(H: ClockHamiltonian, psi: SparseState) -> list[tuple[int, Any]]:
    """(I - |x><x|)⊗|1><1| ψ as (row, value) pairs; x may be any vector."""
    assert H.initial is not None
    data, values = psi.clock_slice(H, 0)
    overlap = np.vdot(H.initial[data], values)
    result = dict(zip(data.tolist(), values, strict=True))
    for x in np.flatnonzero(H.initial):
        result[int(x)] = result.get(int(x), 0) - H.initial[x] * overlap
    return [(x * H.clock_states, value) for x, value in result.items() if value != 0]


@njit(cache=True)
def _block(steps, N, indices, diagonal, after):  # type: ignore[no-untyped-def]
    """The diagonal, and the position of the row to which each row's bond leads, or -1."""
    for i in range(len(indices)):
        x, j = indices[i] // N, indices[i] % N
        diagonal[i] = (1 if j > 0 else 0) + (1 if j < N - 1 else 0)
        y = kernels.image(steps, j, x) if j < N - 1 else -1
        after[i] = _find(indices, y * N + j + 1, i + 1) if y >= 0 else -1


@njit(cache=True)
def _walk(steps, x, clock, N, rows):  # type: ignore[no-untyped-def]
    for i in range(len(rows)):
        rows[i] = x * N + clock + i
        if i + 1 < len(rows):
            x = kernels.image(steps, clock + i, x)
            if x < 0:
                return i + 1
    return len(rows)


@njit(cache=True)
def is_ascending(a):  # type: ignore[no-untyped-def]
    """Whether every entry is larger than the one before."""
    for i in range(1, len(a)):  # noqa: SIM110 - numba has no generators here
        if a[i - 1] >= a[i]:
            return False
    return True


@njit(cache=True)
def _rows_at_clock(indices, N, clock):  # type: ignore[no-untyped-def]
    count = 0
    for i in range(len(indices)):
        count += indices[i] % N == clock
    rows = np.empty(count, np.int64)
    at = 0
    for i in range(len(indices)):
        if indices[i] % N == clock:
            rows[at] = i
            at += 1
    return rows


@njit(cache=True)
def _at_wanted(indices, N, wanted):  # type: ignore[no-untyped-def]
    found = np.empty(len(indices), np.bool_)
    for i in range(len(indices)):
        found[i] = wanted[indices[i] % N]
    return found


@njit(cache=True)
def _find(indices, row, guess):  # type: ignore[no-untyped-def]
    """Position of a row number among the ascending indices, or -1; tried at `guess` first."""
    if 0 <= guess < len(indices) and indices[guess] == row:
        return guess
    at = np.searchsorted(indices, row)
    return at if at < len(indices) and indices[at] == row else -1


@njit(cache=True, parallel=True)
def _energy(steps, N, indices, values, dropped):  # type: ignore[no-untyped-def]
    """(‖Bψ‖², ‖ψ‖²) of ψ without its rows at clock `dropped`."""
    total, norm = 0.0, 0.0
    for piece in prange((len(indices) + _PIECE - 1) // _PIECE):
        first = piece * _PIECE
        stop = min(first + _PIECE, len(indices))
        part, part_norm = _energy_piece(steps, N, indices, values, dropped, first, stop, np.empty(0))
        total += part
        norm += part_norm
    return total, norm


@njit(cache=True)
def _energy_piece(steps, N, indices, values, dropped, first, stop, terms):  # type: ignore[no-untyped-def]
    """(‖Bψ‖², ‖ψ‖²) of some rows, and the first step by step into `terms`, unless that is empty.

    A bond between two rows of ψ is counted by the earlier one.
    """
    total, norm = 0.0, 0.0
    for i in range(first, stop):
        x, j = indices[i] // N, indices[i] % N
        if j == dropped:
            continue
        value = values[i]
        size = value.real**2 + value.imag**2
        norm += size
        if j < N - 1:
            y = kernels.image(steps, j, x)
            partner = _find(indices, y * N + j + 1, i + 1) if y >= 0 and j + 1 != dropped else -1
            term = size  # the row outside the domain, or the bond to a row where ψ is 0
            if partner >= 0:
                difference = value - values[partner]
                term = difference.real**2 + difference.imag**2
            total += term
            if len(terms) > 0:
                terms[j] += term
        if j > 0:
            w = kernels.preimage(steps, j - 1, x) if j - 1 != dropped else -1
            if w < 0 or _find(indices, w * N + j - 1, i - 1) < 0:
                total += size
                if len(terms) > 0:
                    terms[j - 1] += size
    return total, norm


@njit(cache=True, parallel=True)
def _residual(steps, N, indices, values, energy):  # type: ignore[no-untyped-def]
    """(‖Hψ - Eψ‖² on the support, number of rows outside it that Hψ reaches) without H_in."""
    total, leaks = 0.0, 0
    for piece in prange((len(indices) + _PIECE - 1) // _PIECE):
        first = piece * _PIECE
        stop = min(first + _PIECE, len(indices))
        part, part_leaks = _residual_piece(steps, N, indices, values, energy, first, stop)
        total += part
        leaks += part_leaks
    return total, leaks


@njit(cache=True)
def _residual_piece(steps, N, indices, values, energy, first, stop):  # type: ignore[no-untyped-def]
    total, leaks = 0.0, 0
    for i in range(first, stop):
        x, j = indices[i] // N, indices[i] % N
        value = ((1.0 if j > 0 else 0.0) + (1.0 if j < N - 1 else 0.0) - energy) * values[i]
        after = kernels.image(steps, j, x) if j < N - 1 else -1
        if after >= 0:
            partner = _find(indices, after * N + j + 1, i + 1)
            if partner >= 0:
                value = value - values[partner]
            else:
                leaks += 1
        before = kernels.preimage(steps, j - 1, x) if j > 0 else -1
        if before >= 0:
            partner = _find(indices, before * N + j - 1, i - 1)
            if partner >= 0:
                value = value - values[partner]
            else:
                leaks += 1
        total += value.real**2 + value.imag**2
    return total, leaks


@njit(cache=True)
def _apply(steps, N, indices, values, inside, outside, leaked):  # type: ignore[no-untyped-def]
    """Hψ on the support into `inside`, elsewhere into (outside, leaked), which may be empty: then only counted."""
    count = 0
    for i in range(len(indices)):
        x, j = indices[i] // N, indices[i] % N
        value = values[i]
        inside[i] += ((1 if j > 0 else 0) + (1 if j < N - 1 else 0)) * value
        for neighbour in range(2):
            if neighbour == 0 and j < N - 1:
                z = kernels.image(steps, j, x)
                row = z * N + j + 1
            elif neighbour == 1 and j > 0:
                z = kernels.preimage(steps, j - 1, x)
                row = z * N + j - 1
            else:
                continue
            if z < 0:
                continue
            partner = _find(indices, row, i + 1 - 2 * neighbour)
            if partner >= 0:
                inside[partner] -= value
            else:
                if count < len(outside):
                    outside[count] = row
                    leaked[count] = -value
                count += 1
    return count
