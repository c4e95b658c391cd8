"""Compiled loops over the clock: applying steps, the history sweep, H, and the terms of B.

Arrays are *clock-major* here, `X[j, x]` with shape (T+1, d), so that the data vector of one clock time is contiguous.
The public order is data-major (`data * n_clock + clock`); `transpose` goes between the two. Clock times count from 0,
and step `j` leads from clock `j` to `j + 1`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

# what a step is; one compiled loop serves all of them
HOP, CELL, PARTIAL, PERMUTATION, GATE, MATRIX = range(6)


class StepData(NamedTuple):
    """Steps as plain arrays; only those that `kind` needs are non-empty.

    ints : CELL: (place, read, write, base) a step; GATE: (stride of a, stride of b) a step; HOP: nothing.
    images : PARTIAL and PERMUTATION, `images[j, x]` is where step j sends basis state x, or -1.
    coefficients : GATE, 16 entries a step, row-major over |ab>.
    indptr, indices, values : MATRIX, the CSR arrays of every U_j behind each other, `indptr[j]` of length d + 1.
    """

    kind: int
    ints: NDArray[np.int64]
    images: NDArray[np.int32]
    coefficients: NDArray[Any]
    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    values: NDArray[Any]

    def cast(self, dtype: np.dtype[Any]) -> StepData:
        """The same steps with coefficients of `dtype`: a kernel takes vectors and coefficients of one type."""
        return self._replace(
            coefficients=self.coefficients.astype(dtype, copy=False), values=self.values.astype(dtype, copy=False)
        )


@njit(cache=True)
def image(steps, j, x):  # type: ignore[no-untyped-def]
    """Where step j of kind HOP, CELL, PARTIAL or PERMUTATION sends basis state x; -1 outside its domain."""
    if steps.kind == HOP:
        return j + 1 if x == j else -1
    if steps.kind == CELL:
        place, read, write, base = steps.ints[j, 0], steps.ints[j, 1], steps.ints[j, 2], steps.ints[j, 3]
        return x + (write - read) * place if (x // place) % base == read else -1
    return np.int64(steps.images[j, x])


@njit(cache=True)
def preimage(steps, j, y):  # type: ignore[no-untyped-def]
    """The basis state that step j sends to y, or -1; linear in d for PARTIAL and PERMUTATION."""
    if steps.kind == HOP:
        return j if y == j + 1 else -1
    if steps.kind == CELL:
        place, read, write, base = steps.ints[j, 0], steps.ints[j, 1], steps.ints[j, 2], steps.ints[j, 3]
        return y + (read - write) * place if (y // place) % base == write else -1
    for x in range(steps.images.shape[1]):
        if steps.images[j, x] == y:
            return x
    return -1


@njit(cache=True)
def apply_step(steps, j, x, out):  # type: ignore[no-untyped-def]
    """out = U_j x."""
    kind = steps.kind
    if kind == PERMUTATION:
        images = steps.images[j]
        for i in range(len(x)):
            out[images[i]] = x[i]
    elif kind == PARTIAL:
        images = steps.images[j]
        out[:] = 0
        for i in range(len(x)):
            if images[i] >= 0:
                out[images[i]] = x[i]
    elif kind == GATE:
        apply_gate(steps.coefficients[j], steps.ints[j, 0], steps.ints[j, 1], x, out)
    elif kind == MATRIX:
        out[:] = 0
        for row in range(len(out)):
            for at in range(steps.indptr[j, row], steps.indptr[j, row + 1]):
                out[row] += steps.values[at] * x[steps.indices[at]]
    elif kind == HOP:
        out[:] = 0
        out[j + 1] = x[j]
    else:
        _move_cell(steps.ints[j, 0], steps.ints[j, 1], steps.ints[j, 2], steps.ints[j, 3], x, out)


@njit(cache=True)
def apply_adjoint(steps, j, x, out):  # type: ignore[no-untyped-def]
    """out = U_j† x."""
    kind = steps.kind
    if kind == PERMUTATION:
        images = steps.images[j]
        for i in range(len(out)):
            out[i] = x[images[i]]
    elif kind == PARTIAL:
        images = steps.images[j]
        for i in range(len(out)):
            out[i] = x[images[i]] if images[i] >= 0 else 0
    elif kind == GATE:
        gate = steps.coefficients[j]
        adjoint = np.empty_like(gate)
        for row in range(4):
            for column in range(4):
                adjoint[4 * row + column] = np.conj(gate[4 * column + row])
        apply_gate(adjoint, steps.ints[j, 0], steps.ints[j, 1], x, out)
    elif kind == MATRIX:
        out[:] = 0
        for row in range(len(x)):
            for at in range(steps.indptr[j, row], steps.indptr[j, row + 1]):
                out[steps.indices[at]] += np.conj(steps.values[at]) * x[row]
    elif kind == HOP:
        out[:] = 0
        out[j] = x[j + 1]
    else:
        _move_cell(steps.ints[j, 0], steps.ints[j, 2], steps.ints[j, 1], steps.ints[j, 3], x, out)


@njit(cache=True)
def _move_cell(place, source, target, base, x, out):  # type: ignore[no-untyped-def]
    out[:] = 0
    for high in range(0, len(x), place * base):
        for low in range(high, high + place):
            out[low + target * place] = x[low + source * place]


@njit(cache=True, fastmath={"contract", "nsz", "reassoc"})
def apply_gate(gate, stride_a, stride_b, x, out):  # type: ignore[no-untyped-def]
    """out = (4×4 gate on the two qubits whose bits have these weights, a the more significant) x."""
    u00, u01, u02, u03 = gate[0], gate[1], gate[2], gate[3]
    u10, u11, u12, u13 = gate[4], gate[5], gate[6], gate[7]
    u20, u21, u22, u23 = gate[8], gate[9], gate[10], gate[11]
    u30, u31, u32, u33 = gate[12], gate[13], gate[14], gate[15]
    small, large = min(stride_a, stride_b), max(stride_a, stride_b)
    for high in range(0, len(x), 2 * large):
        for middle in range(high, high + large, 2 * small):
            for i in range(middle, middle + small):
                x0, x1, x2, x3 = x[i], x[i + stride_b], x[i + stride_a], x[i + stride_a + stride_b]
                out[i] = u00 * x0 + u01 * x1 + u02 * x2 + u03 * x3
                out[i + stride_b] = u10 * x0 + u11 * x1 + u12 * x2 + u13 * x3
                out[i + stride_a] = u20 * x0 + u21 * x1 + u22 * x2 + u23 * x3
                out[i + stride_a + stride_b] = u30 * x0 + u31 * x1 + u32 * x2 + u33 * x3


@njit(cache=True)
def sweep_history(steps, X):  # type: ignore[no-untyped-def]
    """Fill X[j+1] = U_j X[j] from X[0]: the null vector of B's bond rows that starts there."""
    for j in range(len(X) - 1):
        apply_step(steps, j, X[j], X[j + 1])


@njit(cache=True)
def sweep_back(steps, X, out):  # type: ignore[no-untyped-def]
    """out = Σ_j U_0†…U_{j-1}† X[j]: everything carried back to clock 0 and added up."""
    buffer = np.empty_like(out)
    out[:] = X[len(X) - 1]
    for j in range(len(X) - 2, -1, -1):
        apply_adjoint(steps, j, out, buffer)
        out[:] = buffer + X[j]


@njit(cache=True)
def apply_hamiltonian(steps, X, out):  # type: ignore[no-untyped-def]
    """out = H X without H_in: (n_j) X[j] - U_{j-1} X[j-1] - U_j† X[j+1], n_j = how many terms touch clock j."""
    last = len(X) - 1
    buffer = np.empty_like(X[0])
    for j in range(last + 1):
        touching = (1 if j > 0 else 0) + (1 if j < last else 0)
        out[j] = touching * X[j]
        if j > 0:
            apply_step(steps, j - 1, X[j - 1], buffer)
            out[j] -= buffer
        if j < last:
            apply_adjoint(steps, j, X[j + 1], buffer)
            out[j] -= buffer


@njit(cache=True)
def residual_square(steps, X, pinned, energy):  # type: ignore[no-untyped-def]
    """‖H X - energy X‖², with H_in X given as `pinned` on clock 0; nothing of the size of X is stored."""
    last = len(X) - 1
    before, after = np.empty_like(X[0]), np.empty_like(X[0])
    total = 0.0
    for j in range(last + 1):
        diagonal = (1 if j > 0 else 0) + (1 if j < last else 0) - energy
        before[:] = 0
        after[:] = 0
        if j > 0:
            apply_step(steps, j - 1, X[j - 1], before)
        if j < last:
            apply_adjoint(steps, j, X[j + 1], after)
        for x in range(len(before)):
            value = diagonal * X[j, x] - before[x] - after[x]
            if j == 0:
                value += pinned[x]
            total += value.real**2 + value.imag**2
    return total


@njit(cache=True)
def subtract_history(steps, X, x):  # type: ignore[no-untyped-def]
    """X[j] -= U_{j-1}…U_0 x; x is overwritten."""
    moved = np.empty_like(x)
    for j in range(len(X)):
        X[j] -= x
        if j < len(X) - 1:
            apply_step(steps, j, x, moved)
            x[:] = moved


@njit(cache=True)
def bond_terms(steps, X, terms):  # type: ignore[no-untyped-def]
    """Add ‖U_j X[j] - X[j+1]‖² to terms[j]: every bond row of B, one number a step."""
    buffer = np.empty_like(X[0])
    for j in range(len(X) - 1):
        apply_step(steps, j, X[j], buffer)
        total = 0.0
        for x in range(len(buffer)):
            difference = buffer[x] - X[j + 1, x]
            total += difference.real**2 + difference.imag**2
        terms[j] += total


@njit(cache=True)
def defect_terms(steps, X, terms):  # type: ignore[no-untyped-def]
    """Add ‖(I - U_j†U_j)^{1/2} X[j]‖² to terms[j] for partial isometries given by images (HOP, CELL, PARTIAL)."""
    for j in range(len(X) - 1):
        for x in range(X.shape[1]):
            if image(steps, j, x) < 0:
                terms[j] += X[j, x].real ** 2 + X[j, x].imag ** 2


@njit(cache=True)
def transpose(A, out):  # type: ignore[no-untyped-def]
    """out = Aᵀ in blocks that stay in the cache."""
    block = 32
    for i in range(0, A.shape[0], block):
        for k in range(0, A.shape[1], block):
            for ii in range(i, min(i + block, A.shape[0])):
                for kk in range(k, min(k + block, A.shape[1])):
                    out[kk, ii] = A[ii, kk]


@njit(cache=True)
def sweep_bonds(steps, X, scale):  # type: ignore[no-untyped-def]
    """The backward half of H⁺ for unitary steps, in place: B†s = scale·X solved from the last clock down.

    On return X[j+1] holds s_j = U_{j+1}† s_{j+1} - scale·X[j+1] (s_{T-1} = -scale·X[T]), and X[0] holds
    s_{-1} = -scale·Σ_j U_0†…U_{j-1}† X[j], which vanishes iff X is orthogonal to the ground space of the bonds.
    Returns ‖X‖² of what was there before.
    """
    last = len(X) - 1
    buffer = np.empty_like(X[0])
    norm = 0.0
    for j in range(last, -1, -1):
        if j == last:
            buffer[:] = 0
        else:
            apply_adjoint(steps, j, X[j + 1], buffer)
        row = X[j]
        total = 0.0
        for x in range(len(row)):
            value = row[x]
            total += value.real**2 + value.imag**2
            row[x] = buffer[x] - scale * value
        norm += total
    return norm


@njit(cache=True)
def sweep_nodes(steps, X, mean):  # type: ignore[no-untyped-def]
    """The forward half of H⁺ for unitary steps, in place: x_{j+1} = U_j x_j - g_j from the x_0 in X[0].

    X[j+1] holds s_j on entry and g_j = s_j + (T - j) U_j…U_0 mean: `mean` (clock 0) is the part in the ground space,
    which is taken out of the right-hand side. It is overwritten. Returns Σ_j ‖g_j‖².
    """
    last = len(X) - 1
    moved = np.empty_like(mean)
    buffer = np.empty_like(mean)
    norm = 0.0
    for j in range(last):
        apply_step(steps, j, mean, moved)
        apply_step(steps, j, X[j], buffer)
        row = X[j + 1]
        total = 0.0
        for x in range(len(row)):
            g = row[x] + (last - j) * moved[x]
            total += g.real**2 + g.imag**2
            row[x] = buffer[x] - g
            mean[x] = moved[x]
        norm += total
    return norm
