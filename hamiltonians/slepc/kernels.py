"""Compiled loops along strands: a rank's share of H as tridiagonal matrices, one strand at a time.

Strand s is where data state s goes when every step is completed to a permutation Ũ_j of all data states: the rows
(π_j(s), j) with π_0(s) = s and π_{j+1} = Ũ_j π_j. Every row lies on one strand. On a strand H is tridiagonal: the
diagonal counts the terms that touch a clock time, and beside it stands -1 where step j is defined on π_j(s) (a *bond*)
and 0 where it is not. A strand is pinned where H_in adds 1 on its clock 0.

A rank holds the rows of the data states first, …, first + held - 1 and works on as many strands, those that are there
at a clock time that keeps them at home for long. Where such a strand leaves the rank's rows it *visits* rows of others,
which come and go in one array, `away`, in the order in which the strands meet them. Nothing as long as that array or a
vector is stored beside it: a strand is walked again whenever it is needed. Strands are walked a few at a time, in
*lanes*: where one goes next is known only when it has come there, and a table of images answers several at once. Every
loop reads strands whole before it writes, so that input and output may be one array.

Pivots of H + shift are given as *excess* over 1, which keeps their relative accuracy however small the shift is:
δ_{j+1} = shift + δ_j/(1 + δ_j), from δ_0 = shift at a free end of a path (row 0 of `excess`) or 1 + shift behind a
missing bond or a pin (row 1). The pivot is 1 + δ, and δ itself at the last clock time, which one term less touches.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hamiltonians.kernels import CELL, HOP

LANES = 16  # strands side by side, at most
IN_CACHE = 2**19  # rows of all lanes together: 9 MB with their numbers and bonds


class Walks(NamedTuple):
    """How strands go, and which rows this rank holds.

    moves : CELL: (cell, symbol read, symbol written, difference of the data index) a step.
    places : CELL: the place value of every cell in the data index.
    images : PARTIAL and PERMUTATION: `images[j, x]` = Ũ_j x, and -1 - Ũ_j x where step j itself is not defined on x.
    starts : (held,), the data state of each strand at clock 0.
    visits : (held + 1,), where the visits of each strand begin in `away`.
    """

    kind: int
    moves: NDArray[np.int64]
    places: NDArray[np.int64]
    base: int
    images: NDArray[np.int32]
    clock_states: int
    first: int
    held: int
    starts: NDArray[np.int64]
    visits: NDArray[np.int64]


class Buffers(NamedTuple):
    """A few strands: data states, bonds (the last is False) and values, (lanes, N); symbols on cells, (lanes, cells).

    inverse_pivots : (N,), of one strand.
    """

    data: NDArray[np.int64]
    bonds: NDArray[np.bool_]
    values: NDArray[Any]
    digits: NDArray[np.int64]
    inverse_pivots: NDArray[np.float64]


@njit(cache=True)
def buffers_for(walks, like):  # type: ignore[no-untyped-def]
    """Buffers for values of the type of `like`, as many lanes as the cache holds."""
    N, cells = walks.clock_states, len(walks.places)
    lanes = max(1, min(LANES, len(walks.starts), IN_CACHE // N))
    return Buffers(
        np.zeros((lanes, N), np.int64),
        np.zeros((lanes, N), np.bool_),
        np.zeros((lanes, N), like.dtype),
        np.zeros((lanes, cells), np.int64),
        np.zeros(N),
    )


@njit(cache=True)
def walk(walks, strand, at):  # type: ignore[no-untyped-def]
    """Fill data states and bonds of the strands from number `strand` on; returns how many that are."""
    last = walks.clock_states - 1
    lanes = min(len(at.data), len(walks.starts) - strand)
    for lane in range(lanes):
        at.data[lane, 0] = walks.starts[strand + lane]
        at.bonds[lane, last] = False
        for c in range(at.digits.shape[1]):
            at.digits[lane, c] = walks.starts[strand + lane] // walks.places[c] % walks.base
    for j in range(last):
        if walks.kind == CELL:
            cell, read, write, change = walks.moves[j, 0], walks.moves[j, 1], walks.moves[j, 2], walks.moves[j, 3]
            for lane in range(lanes):
                digit, y = at.digits[lane, cell], at.data[lane, j]
                at.bonds[lane, j] = digit == read
                if digit == read:
                    at.digits[lane, cell] = write
                    y += change
                elif digit == write:
                    at.digits[lane, cell] = read
                    y -= change
                at.data[lane, j + 1] = y
        elif walks.kind == HOP:
            for lane in range(lanes):
                y = at.data[lane, j]
                at.bonds[lane, j] = y == j
                at.data[lane, j + 1] = j + 1 if y == j else (j if y == j + 1 else y)
        else:
            for lane in range(lanes):
                y = np.int64(walks.images[j, at.data[lane, j]])
                at.bonds[lane, j] = y >= 0
                at.data[lane, j + 1] = y if y >= 0 else -1 - y
    return lanes


@njit(cache=True)
def load(walks, strand, at, x, away):  # type: ignore[no-untyped-def]
    """Walk the strands from number `strand` on and read their values; returns how many that are."""
    N, lanes = walks.clock_states, walk(walks, strand, at)
    for lane in range(lanes):
        data, values, visit = at.data[lane], at.values[lane], walks.visits[strand + lane]
        for j in range(N):
            inside = data[j] - walks.first
            if 0 <= inside < walks.held:
                values[j] = x[inside * N + j]
            else:
                values[j] = away[visit]
                visit += 1
    return lanes


@njit(cache=True)
def store(walks, strand, at, x, away):  # type: ignore[no-untyped-def]
    """Write the values of the strands that were walked last."""
    N = walks.clock_states
    for lane in range(min(len(at.data), walks.held - strand)):
        data, values, visit = at.data[lane], at.values[lane], walks.visits[strand + lane]
        for j in range(N):
            inside = data[j] - walks.first
            if 0 <= inside < walks.held:
                x[inside * N + j] = values[j]
            else:
                away[visit] = values[j]
                visit += 1


# ---------------------------------------------------------------- once, before anything else


@njit(cache=True)
def data_states(walks, clocks, data):  # type: ignore[no-untyped-def]
    """Fill the data states of every strand at some clock times, shape (strands, clocks)."""
    at = buffers_for(walks, data)
    for strand in range(0, len(walks.starts), len(at.data)):
        for lane in range(walk(walks, strand, at)):
            data[strand + lane] = at.data[lane][clocks]


@njit(cache=True)
def carry_back(walks, clock, states):  # type: ignore[no-untyped-def]
    """From data states at a clock time to those of their strands at clock 0, for steps that are their own inverse.

    HOP and CELL are, once completed: two data states or two symbols change places.
    """
    for i in range(len(states)):
        y = states[i]
        for j in range(clock - 1, -1, -1):
            if walks.kind == HOP:
                y = j + 1 if y == j else (j if y == j + 1 else y)
            else:
                cell, read, write = walks.moves[j, 0], walks.moves[j, 1], walks.moves[j, 2]
                digit = y // walks.places[cell] % walks.base
                if digit == read:
                    y += walks.moves[j, 3]
                elif digit == write:
                    y -= walks.moves[j, 3]
        states[i] = y


@njit(cache=True)
def survey(walks, lengths):  # type: ignore[no-untyped-def]
    """Fill `walks.visits`, and in `lengths` how many bonds each strand has before the first that is missing."""
    at = buffers_for(walks, lengths)
    for strand in range(0, walks.held, len(at.data)):
        for lane in range(walk(walks, strand, at)):
            visits, length, unbroken = 0, 0, True
            for j in range(walks.clock_states):
                if not 0 <= at.data[lane, j] - walks.first < walks.held:
                    visits += 1
                unbroken = unbroken and at.bonds[lane, j]
                if unbroken:
                    length += 1
            walks.visits[strand + lane + 1] = walks.visits[strand + lane] + visits
            lengths[strand + lane] = length


@njit(cache=True)
def visited_rows(walks, rows):  # type: ignore[no-untyped-def]
    """Fill the row numbers of all visits."""
    at = buffers_for(walks, rows)
    visit = 0
    for strand in range(0, walks.held, len(at.data)):
        for lane in range(walk(walks, strand, at)):
            for j in range(walks.clock_states):
                if not 0 <= at.data[lane, j] - walks.first < walks.held:
                    rows[visit] = at.data[lane, j] * walks.clock_states + j
                    visit += 1


@njit(cache=True)
def fill_excess(shift, excess):  # type: ignore[no-untyped-def]
    """The pivots less 1, shape (2, N): from a free end, and from behind a missing bond or a pin."""
    excess[0, 0], excess[1, 0] = shift, 1 + shift
    for row in range(2):
        for j in range(excess.shape[1] - 1):
            excess[row, j + 1] = shift + excess[row, j] / (1 + excess[row, j])


# ---------------------------------------------------------------- H


@njit(cache=True)
def touching(j, last):  # type: ignore[no-untyped-def]
    """How many terms touch clock time j."""
    return (1 if j > 0 else 0) + (1 if j < last else 0)


@njit(cache=True)
def multiply(v, bonds, pinned, subtracted, out):  # type: ignore[no-untyped-def]
    """out = Hv on one strand, less `subtracted` on clock 0."""
    last = len(v) - 1
    for j in range(last + 1):
        out[j] = touching(j, last) * v[j]
        if j > 0 and bonds[j - 1]:
            out[j] -= v[j - 1]
        if bonds[j]:
            out[j] -= v[j + 1]
    if pinned:
        out[0] += v[0]
    out[0] -= subtracted


@njit(cache=True)
def apply_strands(walks, pinned, subtracted, x, y, away):  # type: ignore[no-untyped-def]
    """y = Hx, less `subtracted` on clock 0."""
    at = buffers_for(walks, away)
    product = np.empty_like(at.values[0])
    for strand in range(0, walks.held, len(at.data)):
        for lane in range(load(walks, strand, at, x, away)):
            s = strand + lane
            multiply(at.values[lane], at.bonds[lane], pinned[s], subtracted[s], product)
            at.values[lane] = product
        store(walks, strand, at, y, away)


@njit(cache=True)
def residual_square(walks, pinned, subtracted, energy, x, away):  # type: ignore[no-untyped-def]
    """‖Hx - energy·x‖² over the strands of this rank, with `subtracted` taken off clock 0."""
    at = buffers_for(walks, away)
    product = np.empty_like(at.values[0])
    total = 0.0
    for strand in range(0, walks.held, len(at.data)):
        for lane in range(load(walks, strand, at, x, away)):
            s, v = strand + lane, at.values[lane]
            multiply(v, at.bonds[lane], pinned[s], subtracted[s], product)
            of_strand = 0.0
            for j in range(len(v)):
                value = product[j] - energy * v[j]
                of_strand += value.real**2 + value.imag**2
            total += of_strand
    return total


@njit(cache=True)
def bond_squares(walks, pinned, x, away):  # type: ignore[no-untyped-def]
    """‖Bx‖² over the strands of this rank: differences over bonds, and both ends of a missing one."""
    at = buffers_for(walks, away)
    total = 0.0
    for strand in range(0, walks.held, len(at.data)):
        for lane in range(load(walks, strand, at, x, away)):
            v, bonds = at.values[lane], at.bonds[lane]
            of_strand = v[0].real ** 2 + v[0].imag ** 2 if pinned[strand + lane] else 0.0
            for j in range(len(v) - 1):
                if bonds[j]:
                    difference = v[j] - v[j + 1]
                    of_strand += difference.real**2 + difference.imag**2
                else:
                    of_strand += v[j].real ** 2 + v[j].imag ** 2 + v[j + 1].real ** 2 + v[j + 1].imag ** 2
            total += of_strand
    return total


# ---------------------------------------------------------------- the inverse


@njit(cache=True)
def substitute(v, bonds, pinned, excess, inverse):  # type: ignore[no-untyped-def]
    """v becomes (H + shift)⁻¹ v on one strand, by LDL†; `inverse` is room for N numbers."""
    last = len(v) - 1
    start, since = 1 if pinned else 0, 0
    for j in range(last + 1):
        inverse[j] = 1 / (excess[start, since] + (1 if j < last else 0))
        if j > 0 and bonds[j - 1]:
            v[j] += inverse[j - 1] * v[j - 1]
        since += 1
        if not bonds[j]:
            start, since = 1, 0
    v[last] *= inverse[last]
    for j in range(last - 1, -1, -1):
        if bonds[j]:
            v[j] += v[j + 1]
        v[j] *= inverse[j]


@njit(cache=True)
def solve_strands(walks, pinned, excess, b, x, away):  # type: ignore[no-untyped-def]
    """x = (H + shift)⁻¹ b, strand by strand."""
    at = buffers_for(walks, away)
    for strand in range(0, walks.held, len(at.data)):
        for lane in range(load(walks, strand, at, b, away)):
            substitute(at.values[lane], at.bonds[lane], pinned[strand + lane], excess, at.inverse_pivots)
        store(walks, strand, at, x, away)


@njit(cache=True)
def add_response(walks, source, lengths, excess, x, away):  # type: ignore[no-untyped-def]
    """x += (H + shift)⁻¹ (source on clock 0), every strand pinned: it dies out along the bonds from clock 0 on."""
    at = buffers_for(walks, away)
    last = walks.clock_states - 1
    for strand in range(0, walks.held, len(at.data)):
        if not (source[strand : strand + len(at.data)] != 0).any():
            continue
        for lane in range(load(walks, strand, at, x, away)):
            m = lengths[strand + lane]
            end = 0 if m == last else 1
            value = source[strand + lane] / (1 + excess[end, m])
            at.values[lane, 0] += value
            for j in range(1, m + 1):
                value /= 1 + excess[end, m - j]
                at.values[lane, j] += value
        store(walks, strand, at, x, away)


# ---------------------------------------------------------------- the ground space


@njit(cache=True)
def mean(v):  # type: ignore[no-untyped-def]
    """The mean, by Kahan's sum: its error does not grow with the length."""
    total, lost = v[0], v[0] - v[0]
    for j in range(1, len(v)):
        term = v[j] - lost
        next_total = total + term
        lost = (next_total - total) - term
        total = next_total
    return total / len(v)


@njit(cache=True)
def remove_means(walks, chosen, x, away):  # type: ignore[no-untyped-def]
    """x less its mean over each chosen strand, in place."""
    at = buffers_for(walks, away)
    for strand in range(0, walks.held, len(at.data)):
        if chosen[strand : strand + len(at.data)].any():
            for lane in range(load(walks, strand, at, x, away)):
                if chosen[strand + lane]:
                    at.values[lane] -= mean(at.values[lane])
            store(walks, strand, at, x, away)


@njit(cache=True)
def strand_means(walks, chosen, means, x, away):  # type: ignore[no-untyped-def]
    """The mean of x over each chosen strand; 0 for the others."""
    at = buffers_for(walks, away)
    means[:] = 0
    for strand in range(0, walks.held, len(at.data)):
        if chosen[strand : strand + len(at.data)].any():
            for lane in range(load(walks, strand, at, x, away)):
                if chosen[strand + lane]:
                    means[strand + lane] = mean(at.values[lane])


@njit(cache=True)
def add_constants(walks, constants, x, away):  # type: ignore[no-untyped-def]
    """x += constants[s] on all rows of strand s, in place."""
    at = buffers_for(walks, away)
    for strand in range(0, walks.held, len(at.data)):
        if (constants[strand : strand + len(at.data)] != 0).any():
            for lane in range(load(walks, strand, at, x, away)):
                at.values[lane] += constants[strand + lane]
            store(walks, strand, at, x, away)
