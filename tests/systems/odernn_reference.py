"""Eqs. (2)-(4) straight from docs/mathematics/odernn.md: one sample and one time at a time, numpy and scipy, slow.

A `Layer` is a list of numbers, vectors, matrices or functions (step, history, x) of one sample that return such; None
is 0 (κ: 1). Nothing here calls the code under test, or torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import floor
from typing import Any

import numpy as np
from scipy.optimize import root

Array = np.ndarray[Any, np.dtype[Any]]
SOLVED = 1e-13  # max|K - G(K)| of numbers of size 1


def split(sigma: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """σ on the real and the imaginary part by themselves."""
    return lambda v: sigma(v.real) + 1j * sigma(v.imag) if np.iscomplexobj(v) else sigma(v)


SIGMA: dict[str, Callable[[Array], Array]] = {
    "identity": lambda v: v,
    "tanh": split(np.tanh),
    "sigmoid": split(lambda v: 1 / (1 + np.exp(-v))),
    "sin": split(np.sin),
    "softplus": split(lambda v: np.log1p(np.exp(v))),
    "elu": split(lambda v: np.where(v > 0, v, np.expm1(v))),
}


@dataclass
class Layer:
    """One n-t-ODERNN: lists over q = 1 … n + 1, alpha n × n, beta over k = 1 … n, and the sizes of K_1 … K_n."""

    n: int
    t: int
    h: float
    W: Sequence[Any]
    b: Sequence[Any]
    V: Sequence[Any]
    sigma: Sequence[str]
    gamma: Sequence[Any]
    kappa: Sequence[Any]
    alpha: Sequence[Sequence[Any]]
    beta: Sequence[Any]
    sizes: Sequence[int]
    x_block: bool = False


def matrix(c: Any, rows: int, columns: int) -> Array:
    """A scalar, a diagonal or a full coefficient, or None for 0, as the matrix that it is."""
    if c is None:
        return np.zeros((rows, columns))
    c = np.asarray(c)
    full = c * np.eye(rows, columns) if c.ndim == 0 else np.diag(c) if c.ndim == 1 else c
    assert full.shape == (rows, columns)
    return full


def now(c: Any, step: int, history: Sequence[Array], x: Array) -> Any:
    """The coefficient's value at this moment."""
    return c(step, history, x) if callable(c) else c


def run(layer: Layer, xs: Array, history: Sequence[Array], step: int = 0) -> tuple[Array, list[Array]]:
    """xs [T, m], history (Y_l, Y_{l-1}, …) of t vectors [s] -> Y_{l+1} for every l [T, s], and the last history."""
    history, outputs = [np.array(Y) for Y in history], []
    assert len(history) == layer.t
    for l, x in enumerate(xs, step):  # noqa: E741 - the paper's time
        if layer.x_block:
            history[0][: len(x)] = x
        history = [one_step(layer, l, history, x), *history[:-1]]
        outputs.append(history[0].copy())
    return np.array(outputs), history


def one_step(layer: Layer, step: int, history: Sequence[Array], x: Array) -> Array:
    """Y_{l+1}."""
    n, s = layer.n, len(history[0])
    delay = [floor(layer.t * q / n) for q in range(n)]  # t_0 … t_{n-1}

    def value(c: Any) -> Any:
        return now(c, step, history, x)

    def bracket(q: int, weights: Sequence[Any], K: Sequence[Array], rows: int, Y: Array) -> Array:
        """W_q Y + b_q + V_q x + h Σ_k weights_k K_k, q counted from 1."""
        z = matrix(value(layer.W[q - 1]), rows, s) @ Y
        b = value(layer.b[q - 1])
        z = z + (0 if b is None else b)
        if layer.V[q - 1] is not None:
            z = z + layer.V[q - 1] @ x
        for k in range(n):
            z = z + layer.h * matrix(value(weights[k]), rows, len(K[k])) @ K[k]
        return z

    def inner(q: int, outer: int) -> int:
        """What σ_q acts on: the columns of κ_q, which is square where it is a scalar or a diagonal."""
        kappa = value(layer.kappa[q - 1])
        return outer if kappa is None or np.ndim(kappa) < 2 else np.shape(kappa)[1]

    def stage(q: int, K: Sequence[Array]) -> Array:
        """Eq. (3), and Eq. (2) for q = 1 with its bracket (E3) and a κ_1."""
        p, r = layer.sizes[q - 1], inner(q, layer.sizes[q - 1])
        z = bracket(q, layer.alpha[q - 1], K, r, history[delay[q - 1]])
        kappa = value(layer.kappa[q - 1])
        new = SIGMA[layer.sigma[q - 1]](z)
        new = new if kappa is None else matrix(kappa, p, r) @ new
        if q > 1:
            new = new + matrix(value(layer.gamma[q - 1]), p, layer.sizes[q - 2]) @ K[q - 2]
        return new

    K = solved(layer, stage, complex_=np.iscomplexobj(history[0]))
    q = n + 1
    r = inner(q, s)
    z = bracket(q, layer.beta, K, r, history[delay[n - 1]])
    kappa = value(layer.kappa[n])
    new = SIGMA[layer.sigma[n]](z)
    new = new if kappa is None else matrix(kappa, s, r) @ new
    return new + matrix(value(layer.gamma[n]), s, s) @ history[0]


def solved(layer: Layer, stage: Callable[[int, Sequence[Array]], Array], complex_: bool) -> list[Array]:
    """K_1 … K_n: in order where α is strictly lower triangular, else all of them at once by MINPACK."""
    n, kind = layer.n, complex if complex_ else float
    K = [np.zeros(p, kind) for p in layer.sizes]
    if all(layer.alpha[q][k] is None for q in range(n) for k in range(q, n)):
        for q in range(n):
            K[q] = stage(q + 1, K)
        return K

    def unpacked(v: Array) -> list[Array]:
        v = v.view(complex) if complex_ else v
        return np.split(v, np.cumsum(layer.sizes)[:-1])

    def residual(v: Array) -> Array:
        K = unpacked(v)
        new = np.concatenate([stage(q, K) for q in range(1, n + 1)]).astype(kind)
        return v - (new.view(float) if complex_ else new)

    start = np.concatenate(K).view(float)
    found = root(residual, start, method="hybr", options={"xtol": 1e-15})
    assert np.abs(found.fun).max() < SOLVED, found
    return unpacked(found.x)


def cascade(
    layers: Sequence[Layer], xs: Array, histories: Sequence[Sequence[Array]], step: int = 0
) -> tuple[Array, list[list[Array]]]:
    """Layer q's x is layer q-1's new Y, less its x block."""
    ends = []
    for layer, history in zip(layers, histories, strict=True):
        skip = xs.shape[1] if layer.x_block else 0
        xs, end = run(layer, xs, history, step)
        xs = xs[:, skip:]
        ends.append(end)
    return xs, ends
