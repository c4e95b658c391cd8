"""Whole stacks of layers for parts of the elements, compiled: each element stays in cache from K^0 to the output.

The elements, B·T of them in the order of the sequences, are cut into parts that do not depend on the number of threads;
a part sums gradients of its own, so that nobody waits and every number of threads gives the same bits. Within a part V
elements are worked on together. The backward pass runs them forwards once more and keeps K, σ(Z) and A of V elements.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from qunn.quantum import layers
from qunn.quantum.lanes import OPTIONS


class Problem(NamedTuple):
    """What both passes read.

    joined : the inputs behind their past [B, L+T, d]. l : positions mod N [B·T]. reach : the largest k whose Y_{l-k}
    is not taken for 0 [B·T]. p1, p2 [N]. skip [L]. clock [L+1, N]. read [N]. widths : clock entries in use after each
    layer [L+1]. codes : of σ_1, σ_2, σ_out. slope : of σ_2,
    see `layers.change_back` [4]. h [1]. clock_needed : whether the clock's gradient is asked for. V : how
    many elements at once.
    """

    joined: NDArray[Any]
    l: NDArray[np.int64]  # noqa: E741
    reach: NDArray[np.int64]
    p1: NDArray[Any]
    p2: NDArray[Any]
    skip: NDArray[Any]
    clock: NDArray[Any]
    read: NDArray[Any]
    widths: NDArray[np.int64]
    codes: NDArray[np.int64]
    slope: NDArray[Any]
    h: NDArray[Any]
    clock_needed: bool
    V: int


@njit(cache=True, nogil=True, **OPTIONS)
def forward(problem, bounds, start, stop, outputs):  # type: ignore[no-untyped-def]
    """Outputs [B·T, d] of the parts start … stop-1; part i has the elements bounds[i] … bounds[i+1]-1."""
    P = problem
    L, N, d, V = len(P.skip), P.clock.shape[1], P.joined.shape[2], P.V
    kind = P.joined.dtype
    Y, p = np.empty((L + 1, d, V), kind), np.empty((4, V), kind)
    K, T, A = np.empty((2, N * d, V), kind), np.empty((N * d, V), kind), np.empty((2, N * d, V), kind)
    s, a, efg = np.empty((2, V), kind), np.empty((3, d, V), kind), np.empty((1 + 2 * d, V), kind)
    out = np.empty((d, V), kind)
    for part in range(start, stop):
        for m in range(bounds[part], bounds[part + 1], V):
            _load(P, m, bounds[part + 1], Y, p)
            K.fill(0)
            A.fill(0)
            layers.first(P.codes[0], Y[0], P.clock[0], P.widths[0], K[0])
            for k in range(1, L + 1):
                at, to = (k - 1) % 2, k % 2
                _layer(P, k, Y, p, A[at], A[to], K[at], T, K[to], s, a, efg)
            _read(P, K[L % 2], out)
            for v in range(min(V, bounds[part + 1] - m)):
                for i in range(d):
                    outputs[m + v, i] = out[i, v]


@njit(cache=True, nogil=True, **OPTIONS)
def _load(P, m, stop, Y, p):  # type: ignore[no-untyped-def]
    """Y_l … Y_{l-L} and p1, p2 of the elements m …; those from `stop` on repeat the last one."""
    steps = P.joined.shape[1] - len(P.skip)
    for v in range(P.V):
        at = min(m + v, stop - 1)
        b, t = at // steps, at % steps
        p[0, v], p[2, v] = P.p1[P.l[at]], P.p2[P.l[at]]
        p[1, v], p[3, v] = 1 - p[0, v], 1 - p[2, v]
        for k in range(len(P.skip) + 1):
            row = P.joined[b, t + len(P.skip) - k]
            if k <= P.reach[at]:
                for i in range(len(row)):
                    Y[k, i, v] = row[i]
            else:
                for i in range(len(row)):
                    Y[k, i, v] = 0


@njit(cache=True, nogil=True, **OPTIONS)
def _layer(P, k, Y, p, A, A_after, K, T, K_after, s, a, efg):  # type: ignore[no-untyped-def]
    width, rows = P.widths[k], P.widths[k] * Y.shape[1]
    c, ck = P.clock[0], P.clock[k]
    layers.remember(A, Y[k], ck, p, width, A_after)
    layers.inner(Y[0], A_after, K, c, ck, width, s, a)
    layers.coefficients(Y[0], p, _dot(c, c), _dot(c, ck), s, a, efg)
    layers.change(A_after, c, ck, efg, width, T)
    layers.activate(P.codes[1], T[:rows])
    layers.onward(K[:rows], T[:rows], P.skip[k - 1], P.h[0], K_after[:rows])


@njit(cache=True, nogil=True, **OPTIONS)
def _dot(a, b):  # type: ignore[no-untyped-def]
    total = a[0] * b[0]
    for n in range(1, len(a)):
        total += a[n] * b[n]
    return total


@njit(cache=True, nogil=True, **OPTIONS)
def _read(P, K, out):  # type: ignore[no-untyped-def]
    """Out <- σ_out((I ⊗ c̃ᵀ) K)."""
    d, V = out.shape
    out.fill(0)
    for n in range(len(P.read)):
        if P.read[n] != 0:
            for i in range(d):
                for v in range(V):
                    out[i, v] += P.read[n] * K[n * d + i, v]
    layers.activate(P.codes[2], out)


@njit(cache=True, nogil=True, **OPTIONS)
def backward(problem, bounds, start, stop, cotangent, rows, joined, p1, p2, skip, clock, read):  # type: ignore[no-untyped-def]
    """Gradients of the parts start … stop-1, each to itself.

    cotangent [B·T, d]. joined : of the rows that each part reads, behind each other, those of part i from rows[i] on.
    p1, p2, skip, clock, read : [parts, …].
    """
    P = problem
    L, N, d, V = len(P.skip), P.clock.shape[1], P.joined.shape[2], P.V
    kind = P.joined.dtype
    Y, p = np.empty((L + 1, d, V), kind), np.empty((4, V), kind)
    K, A = np.zeros((L + 1, N * d, V), kind), np.zeros((L + 1, N * d, V), kind)  # what no layer writes stays 0
    T = np.empty((L + 1, N * d, V), kind)
    dK, dZ, dA = np.empty((N * d, V), kind), np.empty((d, V), kind), np.empty((N * d, V), kind)
    dY, dp = np.empty((L + 1, d, V), kind), np.empty((4, V), kind)
    s, a, efg = np.empty((L, 2, V), kind), np.empty((L, 3, d, V), kind), np.empty((L, 1 + 2 * d, V), kind)
    ds, da, defg = np.empty((2, V), kind), np.empty((3, d, V), kind), np.empty((1 + 2 * d, V), kind)
    dclock = np.empty((L + 1, N, V), kind) if P.clock_needed else np.empty((L + 1, 0, V), kind)
    dskip, dread, dcc = np.empty((L, V), kind), np.empty((N, V), kind), np.empty((2, V), kind)
    out, dout = np.empty((d, V), kind), np.empty((d, V), kind)
    c = P.clock[0]
    for part in range(start, stop):
        dclock.fill(0)
        dread.fill(0)
        dskip.fill(0)
        base = _first_row(P, bounds[part])
        for m in range(bounds[part], bounds[part + 1], V):
            _load(P, m, bounds[part + 1], Y, p)
            layers.first(P.codes[0], Y[0], c, P.widths[0], K[0])
            for k in range(1, L + 1):
                _layer(P, k, Y, p, A[k - 1], A[k], K[k - 1], T[k], K[k], s[k - 1], a[k - 1], efg[k - 1])
            _read(P, K[L], out)

            _load_cotangent(cotangent, m, bounds[part + 1], dout)
            dY.fill(0)
            dp.fill(0)
            dA.fill(0)
            _read_back(P, K[L], out, dout, dK, dread)
            for k in range(L, 0, -1):
                width = P.widths[k]
                ck, need, dck = P.clock[k], P.clock_needed, dclock[k]
                cc, cck = _dot(c, c), _dot(c, ck)
                layers.change_back(
                    K[k - 1],
                    T[k],
                    A[k],
                    c,
                    ck,
                    P.h[0],
                    P.slope,
                    efg[k - 1],
                    width,
                    dK,
                    dA,
                    dZ,
                    defg,
                    dskip[k - 1],
                    dclock[0],
                    dck,
                    need,
                )
                dcc.fill(0)
                layers.coefficients_back(Y[0], p, cc, cck, s[k - 1], a[k - 1], defg, ds, da, dY[0], dp[0], dcc, need)
                layers.inner_back(
                    Y[0],
                    A[k],
                    K[k - 1],
                    c,
                    ck,
                    P.skip[k - 1],
                    width,
                    a[k - 1],
                    ds,
                    da,
                    dY[0],
                    dA,
                    dK,
                    dclock[0],
                    dck,
                    need,
                )
                layers.remember_back(A[k - 1], Y[k], ck, p, width, dA, dY[k], dp[1], dck, need)
                if need:
                    _squares_back(c, ck, dcc, clock[part, 0], clock[part, k])
            layers.first_back(P.codes[0], Y[0], c, P.widths[0], K[0], dK, dY[0], dclock[0], P.clock_needed)
            _store(P, m, bounds[part + 1], dY, dp, joined[rows[part] :], base, p1[part], p2[part])
        _sum_lanes(dskip, skip[part])
        if P.clock_needed:
            for k in range(L + 1):
                _sum_lanes(dclock[k], clock[part, k])
            _sum_lanes(dread, read[part])


@njit(cache=True, nogil=True, **OPTIONS)
def _sum_lanes(x, out):  # type: ignore[no-untyped-def]
    """Out += x summed over its lanes."""
    for r in range(len(out)):
        for v in range(x.shape[1]):
            out[r] += x[r, v]


@njit(cache=True, nogil=True, **OPTIONS)
def _squares_back(c, ck, dcc, dc, dck):  # type: ignore[no-untyped-def]
    """What ‖c‖² and c·c_k add to ∂c and ∂c_k."""
    for v in range(dcc.shape[1]):
        for n in range(len(c)):
            dc[n] += dcc[0, v] * (c[n] + c[n]) + dcc[1, v] * ck[n]
            dck[n] += dcc[1, v] * c[n]


@njit(cache=True, nogil=True, **OPTIONS)
def _first_row(P, m):  # type: ignore[no-untyped-def]
    """The first row of `joined`, all sequences behind each other, that element m reads."""
    steps = P.joined.shape[1] - len(P.skip)
    return (m // steps) * P.joined.shape[1] + m % steps


@njit(cache=True, nogil=True, **OPTIONS)
def _load_cotangent(cotangent, m, stop, dout):  # type: ignore[no-untyped-def]
    d, V = dout.shape
    for v in range(V):
        for i in range(d):
            dout[i, v] = cotangent[m + v, i] if m + v < stop else 0 * cotangent[m, i]


@njit(cache=True, nogil=True, **OPTIONS)
def _read_back(P, K, out, dout, dK, dread):  # type: ignore[no-untyped-def]
    d, V = out.shape
    layers.times_slope(P.codes[2], out, dout)
    for n in range(len(P.read)):
        for i in range(d):
            for v in range(V):
                dK[n * d + i, v] = P.read[n] * dout[i, v]
        if P.clock_needed:
            for i in range(d):
                for v in range(V):
                    dread[n, v] += dout[i, v] * K[n * d + i, v]


@njit(cache=True, nogil=True, **OPTIONS)
def _store(P, m, stop, dY, dp, joined, base, p1, p2):  # type: ignore[no-untyped-def]
    """Add the lanes' ∂Y, ∂p1, ∂p2 to those of the part."""
    for v in range(min(P.V, stop - m)):
        at = m + v
        p1[P.l[at]] += dp[0, v]
        p2[P.l[at]] += dp[1, v]
        row = _first_row(P, at) + len(P.skip) - base
        for k in range(min(len(P.skip), P.reach[at]) + 1):
            for i in range(dY.shape[1]):
                joined[row - k, i] += dY[k, i, v]
