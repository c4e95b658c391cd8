"""tanh and sigmoid as arithmetic alone, which LLVM turns into vector instructions; libm's are one number at a time.

    a = k ln 2 + r,  |r| <= ln 2 / 2;      e^a - 1 = 2^k p + (2^k - 1),      p = e^r - 1 = r + r² q(r)
    tanh v = ±m / (m + 2),  m = e^{2|v|} - 1;        sigmoid v = 1 / (1 + e^{-v}) for v >= 0, else e^v / (1 + e^v)

q is the Chebyshev fit of (e^r - 1 - r) / r². k is read off the low bits of a + 1.5 · 2^52 (2^23 in float32), and 2^k is
made by shifting it into the exponent. Within 3 units in the last place of the exact value; 0, -0, denormal and infinite
numbers and NaN come out as libm has them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import overload

OPTIONS: dict[str, Any] = {"fastmath": {"contract"}, "error_model": "numpy"}
_INSIDE: Any = OPTIONS

_LOG2_E = 1.4426950408889634
_F64 = np.float64
_F32 = np.float32


@njit(cache=True, **OPTIONS)
def _parts64(a):  # type: ignore[no-untyped-def]
    """(p, 2^k) of a in [-700, 700]."""
    shifted = a * _LOG2_E + 6755399441055744.0
    k = shifted - 6755399441055744.0
    r = (a - k * 0.693147180369123816490) - k * 1.90821492927058770002e-10
    q = 2.09147553258932e-09
    q = q * r + 2.5105312729622103e-08
    q = q * r + 2.755727347871858e-07
    q = q * r + 2.755725517000089e-06
    q = q * r + 2.480158732567746e-05
    q = q * r + 0.0001984126987500228
    q = q * r + 0.0013888888888883711
    q = q * r + 0.008333333333326084
    q = q * r + 0.04166666666666667
    q = q * r + 0.1666666666666667
    q = q * r + 0.5
    power = np.int64((np.float64(shifted).view(np.int64) + 1023) << 52).view(np.float64)
    return r + (r * r) * q, power


@njit(cache=True, **OPTIONS)
def _parts32(a):  # type: ignore[no-untyped-def]
    """(p, 2^k) of a in [-87, 87]."""
    shifted = a * _F32(_LOG2_E) + _F32(12582912.0)
    k = shifted - _F32(12582912.0)
    r = (a - k * _F32(0.693359375)) + k * _F32(2.12194440e-4)
    q = _F32(0.0013926250831497611)
    q = q * r + _F32(0.008363232883682618)
    q = q * r + _F32(0.04166655421298415)
    q = q * r + _F32(0.16666576666119928)
    q = q * r + _F32(0.5)
    power = np.int32((np.float32(shifted).view(np.int32) + 127) << 23).view(np.float32)  # int64 between
    return r + (r * r) * q, power


@njit(cache=True, **OPTIONS)
def _tanh64(v):  # type: ignore[no-untyped-def]
    a = 2.0 * abs(v)
    p, power = _parts64(40.0 if a > 40.0 else a)
    m = power * p + (power - 1.0)
    y = m / (m + 2.0)
    return np.int64(np.float64(y).view(np.int64) | (np.float64(v).view(np.int64) & -0x8000000000000000)).view(
        np.float64
    )


@njit(cache=True, **OPTIONS)
def _tanh32(v):  # type: ignore[no-untyped-def]
    a = _F32(2.0) * abs(v)
    p, power = _parts32(_F32(20.0) if a > _F32(20.0) else a)
    m = power * p + (power - _F32(1.0))
    y = m / (m + _F32(2.0))
    return np.int32(np.float32(y).view(np.int32) | (np.float32(v).view(np.int32) & -0x80000000)).view(np.float32)


@njit(cache=True, **OPTIONS)
def _sigmoid64(v):  # type: ignore[no-untyped-def]
    a = abs(v)
    p, power = _parts64(-(700.0 if a > 700.0 else a))
    e = power * p + power
    return (1.0 if v >= 0.0 else e) / (1.0 + e)


@njit(cache=True, **OPTIONS)
def _sigmoid32(v):  # type: ignore[no-untyped-def]
    a = abs(v)
    p, power = _parts32(-(_F32(87.0) if a > _F32(87.0) else a))
    e = power * p + power
    return (_F32(1.0) if v >= _F32(0.0) else e) / (_F32(1.0) + e)


def tanh(v: Any) -> Any:
    """Tanh v inside a kernel, v float32 or float64."""
    return np.tanh(v)


def sigmoid(v: Any) -> Any:
    """1 / (1 + e^{-v}) inside a kernel, v float32 or float64."""
    return 1 / (1 + np.exp(-v))


@overload(tanh, jit_options=_INSIDE)
def _compiled_tanh(v):  # type: ignore[no-untyped-def]
    return (lambda v: _tanh32(v)) if v == types.float32 else (lambda v: _tanh64(v))


@overload(sigmoid, jit_options=_INSIDE)
def _compiled_sigmoid(v):  # type: ignore[no-untyped-def]
    return (lambda v: _sigmoid32(v)) if v == types.float32 else (lambda v: _sigmoid64(v))
