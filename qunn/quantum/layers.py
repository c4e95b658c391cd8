"""The layers of Eqs. (32)-(35) and their backward pass for V elements at once, compiled.

Arrays are [rows, V] or [n, rows, V] with the V elements innermost. In the moving frame (see `clock`), with
c = c_l, c_k = c_{l-k}, q = 1 - p2, and A = A_k as in `structured`, layer k is

    A_k = q A_{k-1} + p2 Y_k ⊗ c_k                       s_b = <b, K>,  s_A = <A, K>
    α = (I ⊗ cᵀ) W K   = s_b (I ⊗ cᵀ) A   - s_A ‖c‖² Y
    β = (I ⊗ c_kᵀ) W K = s_b (I ⊗ c_kᵀ) A - s_A (c·c_k) Y
    Z = D W K = e A + f ⊗ c_k - g ⊗ c,      e = (1-p1) s_b,  f = p1 α,  g = (1-p1) s_A Y + p1 β
    K <- S K + h σ(Z)

and the backward pass is this, line by line from below, with ∂x for the gradient in x.
"""

from __future__ import annotations

from numba import njit

from qunn.quantum.lanes import OPTIONS, sigmoid, tanh

IDENTITY, TANH, RELU, SIGMOID = range(4)


@njit(cache=True, **OPTIONS)
def activate(code, Z):  # type: ignore[no-untyped-def]
    """Z <- σ(Z)."""
    rows, V = Z.shape
    zero = Z.dtype.type(0)
    if code == TANH:
        for r in range(rows):
            for v in range(V):
                Z[r, v] = tanh(Z[r, v])
    elif code == SIGMOID:
        for r in range(rows):
            for v in range(V):
                Z[r, v] = sigmoid(Z[r, v])
    elif code == RELU:
        for r in range(rows):
            for v in range(V):
                Z[r, v] = zero if Z[r, v] < zero else Z[r, v]  # NaN stays


@njit(cache=True, **OPTIONS)
def times_slope(code, T, gradient):  # type: ignore[no-untyped-def]
    """∂Z = σ'(Z) ∂T in place, for T = σ(Z)."""
    rows, V = T.shape
    zero, one = T.dtype.type(0), T.dtype.type(1)  # 1 - float32 would be float64
    if code == TANH:
        for r in range(rows):
            for v in range(V):
                gradient[r, v] *= one - T[r, v] * T[r, v]
    elif code == SIGMOID:
        for r in range(rows):
            for v in range(V):
                gradient[r, v] *= T[r, v] * (one - T[r, v])
    elif code == RELU:
        for r in range(rows):
            for v in range(V):
                gradient[r, v] = gradient[r, v] if T[r, v] > zero else zero


@njit(cache=True, **OPTIONS)
def first(code, Y, c, width, K):  # type: ignore[no-untyped-def]
    """K <- σ_1(Y ⊗ c) on the first `width` clock entries."""
    d, V = Y.shape
    for n in range(width):
        cn = c[n]
        for i in range(d):
            for v in range(V):
                K[n * d + i, v] = cn * Y[i, v]
    activate(code, K[: width * d])


@njit(cache=True, **OPTIONS)
def inner(Y, A, K, c, ck, width, s, a):  # type: ignore[no-untyped-def]
    """s <- (s_b, s_A), a <- ((I ⊗ cᵀ) A, (I ⊗ c_kᵀ) A, (I ⊗ cᵀ) K), [2, V] and [3, d, V]."""
    d, V = Y.shape
    s.fill(0)
    a.fill(0)
    for n in range(width):
        for i in range(d):
            for v in range(V):
                s[1, v] += A[n * d + i, v] * K[n * d + i, v]
        if c[n] != 0:
            add(c[n], A, n * d, a[0])
            add(c[n], K, n * d, a[2])
        if ck[n] != 0:
            add(ck[n], A, n * d, a[1])
    for i in range(d):
        for v in range(V):
            s[0, v] += Y[i, v] * a[2, i, v]


@njit(cache=True, **OPTIONS)
def add(factor, x, start, out):  # type: ignore[no-untyped-def]
    """Out += factor · x[start :], out [d, V]."""
    d, V = out.shape
    for i in range(d):
        for v in range(V):
            out[i, v] += factor * x[start + i, v]


@njit(cache=True, **OPTIONS)
def remember(A, Yk, ck, p, width, after):  # type: ignore[no-untyped-def]
    """After <- q A + p2 Y_k ⊗ c_k; p = (p1, 1-p1, p2, q)."""
    d, V = Yk.shape
    for n in range(width):
        for i in range(d):
            for v in range(V):
                after[n * d + i, v] = p[3, v] * A[n * d + i, v]
        factor = ck[n]
        if factor != 0:
            for i in range(d):
                for v in range(V):
                    after[n * d + i, v] += p[2, v] * factor * Yk[i, v]


@njit(cache=True, **OPTIONS)
def coefficients(Y, p, cc, cck, s, a, efg):  # type: ignore[no-untyped-def]
    """Efg <- (e, f, g), [1 + 2d, V]."""
    d, V = Y.shape
    for v in range(V):
        efg[0, v] = p[1, v] * s[0, v]
    for i in range(d):
        for v in range(V):
            efg[1 + i, v] = p[0, v] * (s[0, v] * a[0, i, v] - s[1, v] * cc * Y[i, v])
    for i in range(d):
        for v in range(V):
            beta = s[0, v] * a[1, i, v] - s[1, v] * cck * Y[i, v]
            efg[1 + d + i, v] = p[1, v] * s[1, v] * Y[i, v] + p[0, v] * beta


@njit(cache=True, **OPTIONS)
def change(A, c, ck, efg, width, Z):  # type: ignore[no-untyped-def]
    """Z <- e A + f ⊗ c_k - g ⊗ c."""
    d, V = (len(efg) - 1) // 2, efg.shape[1]
    for n in range(width):
        for i in range(d):
            for v in range(V):
                Z[n * d + i, v] = efg[0, v] * A[n * d + i, v]
        f, g = ck[n], c[n]
        if f != 0 or g != 0:
            for i in range(d):
                for v in range(V):
                    Z[n * d + i, v] += f * efg[1 + i, v] - g * efg[1 + d + i, v]


@njit(cache=True, **OPTIONS)
def onward(K, T, S, h, after):  # type: ignore[no-untyped-def]
    """After <- S K + h T."""
    rows, V = K.shape
    for r in range(rows):
        for v in range(V):
            after[r, v] = S * K[r, v] + h * T[r, v]


@njit(cache=True, **OPTIONS)
def change_back(K, T, A, c, ck, h, slope, efg, width, dK, dA, dZ, defg, dS, dc, dck, clock):  # type: ignore[no-untyped-def]
    """From ∂K below the layer: ∂(e, f, g), and what the layer adds to ∂S, ∂A, ∂c and ∂c_k [N, V].

    σ'(Z) = slope[0 or 1, for T > 0 or not] + slope[2] T + slope[3] T². dZ : scratch [d, V].
    """
    d, V = (len(efg) - 1) // 2, efg.shape[1]
    above, below, linear, square = h * slope[0], h * slope[1], h * slope[2], h * slope[3]
    defg.fill(0)
    for n in range(width):
        rows = n * d
        for i in range(d):
            for v in range(V):
                t = T[rows + i, v]
                dZ[i, v] = dK[rows + i, v] * ((above if t > 0 else below) + (linear + square * t) * t)
                dS[v] += K[rows + i, v] * dK[rows + i, v]
            for v in range(V):
                defg[0, v] += dZ[i, v] * A[rows + i, v]
                dA[rows + i, v] += efg[0, v] * dZ[i, v]
        if ck[n] != 0:
            add(ck[n], dZ, 0, defg[1 : 1 + d])
        if c[n] != 0:
            add(-c[n], dZ, 0, defg[1 + d :])
        if clock:
            for i in range(d):
                for v in range(V):
                    dck[n, v] += efg[1 + i, v] * dZ[i, v]
                for v in range(V):
                    dc[n, v] -= efg[1 + d + i, v] * dZ[i, v]


@njit(cache=True, **OPTIONS)
def coefficients_back(Y, p, cc, cck, s, a, defg, ds, da, dY, dp1, dcc, clock):  # type: ignore[no-untyped-def]
    """∂s, ∂a[:2] of `coefficients`, and what it adds to ∂Y, ∂p1, and ∂(‖c‖², c·c_k) [2, V]."""
    d, V = Y.shape
    for v in range(V):
        ds[0, v] = p[1, v] * defg[0, v]
        ds[1, v] = 0
        dp1[v] -= s[0, v] * defg[0, v]
    for i in range(d):
        f, g = 1 + i, 1 + d + i
        for v in range(V):
            alpha = s[0, v] * a[0, i, v] - s[1, v] * cc * Y[i, v]
            beta = s[0, v] * a[1, i, v] - s[1, v] * cck * Y[i, v]
            dp1[v] += defg[f, v] * alpha + defg[g, v] * (beta - s[1, v] * Y[i, v])
        for v in range(V):
            da[0, i, v] = s[0, v] * p[0, v] * defg[f, v]
        for v in range(V):
            da[1, i, v] = s[0, v] * p[0, v] * defg[g, v]
        for v in range(V):
            ds[0, v] += p[0, v] * (defg[f, v] * a[0, i, v] + defg[g, v] * a[1, i, v])
        for v in range(V):  # the bracket is ∂(s_A Y)
            ds[1, v] += Y[i, v] * (p[1, v] * defg[g, v] - p[0, v] * (cc * defg[f, v] + cck * defg[g, v]))
        for v in range(V):
            dY[i, v] += s[1, v] * (p[1, v] * defg[g, v] - p[0, v] * (cc * defg[f, v] + cck * defg[g, v]))
        if clock:
            for v in range(V):
                dcc[0, v] -= p[0, v] * s[1, v] * defg[f, v] * Y[i, v]
            for v in range(V):
                dcc[1, v] -= p[0, v] * s[1, v] * defg[g, v] * Y[i, v]


@njit(cache=True, **OPTIONS)
def inner_back(Y, A, K, c, ck, S, width, a, ds, da, dY, dA, dK, dc, dck, clock):  # type: ignore[no-untyped-def]
    """∂K above the layer, and what `inner` adds to ∂Y, ∂A, ∂c and ∂c_k; da[2] is written: ∂(I ⊗ cᵀ) K."""
    d, V = Y.shape
    for i in range(d):
        for v in range(V):
            dY[i, v] += ds[0, v] * a[2, i, v]
        for v in range(V):
            da[2, i, v] = ds[0, v] * Y[i, v]
    for n in range(width):
        rows = n * d
        for i in range(d):
            for v in range(V):
                dA[rows + i, v] += ds[1, v] * K[rows + i, v]
                dK[rows + i, v] = S * dK[rows + i, v] + ds[1, v] * A[rows + i, v]
        if c[n] != 0:
            add(c[n], da[0], 0, dA[rows : rows + d])
            add(c[n], da[2], 0, dK[rows : rows + d])
        if ck[n] != 0:
            add(ck[n], da[1], 0, dA[rows : rows + d])
        if clock:
            for i in range(d):
                for v in range(V):
                    dc[n, v] += da[0, i, v] * A[rows + i, v] + da[2, i, v] * K[rows + i, v]
                for v in range(V):
                    dck[n, v] += da[1, i, v] * A[rows + i, v]


@njit(cache=True, **OPTIONS)
def remember_back(A, Yk, ck, p, width, dA, dYk, dp2, dck, clock):  # type: ignore[no-untyped-def]
    """What `remember` adds to ∂Y_k, ∂p2 and ∂c_k; ∂A_{k-1} in the place of ∂A_k. A : A_{k-1}."""
    d, V = Yk.shape
    for n in range(width):
        rows, factor = n * d, ck[n]
        for i in range(d):
            if factor != 0:
                for v in range(V):
                    dYk[i, v] += p[2, v] * factor * dA[rows + i, v]
                    dp2[v] += factor * Yk[i, v] * dA[rows + i, v]
            if clock:
                for v in range(V):
                    dck[n, v] += p[2, v] * Yk[i, v] * dA[rows + i, v]
            for v in range(V):
                dp2[v] -= dA[rows + i, v] * A[rows + i, v]
                dA[rows + i, v] *= p[3, v]


@njit(cache=True, **OPTIONS)
def first_back(code, Y, c, width, K, dK, dY, dc, clock):  # type: ignore[no-untyped-def]
    """What `first` adds to ∂Y and ∂c; overwrites ∂K."""
    d, V = Y.shape
    times_slope(code, K[: width * d], dK[: width * d])
    for n in range(width):
        if c[n] != 0:
            add(c[n], dK, n * d, dY)
        if clock:
            for i in range(d):
                for v in range(V):
                    dc[n, v] += Y[i, v] * dK[n * d + i, v]
