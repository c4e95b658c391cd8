"""The ARNN straight from its formulas (Eq. 1 with h in both lines, E8), one vector at a time.

numpy only, no code of `qunn`. A layer is a dictionary: scheme, W, V, b, h, gamma.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from circuits.validation import literal_qunn

Layer = dict[str, Any]

#: the same σ of every member and of the QUNN, by numpy
SIGMA = {name: literal_qunn.SIGMA[name] for name in ("identity", "tanh", "sigmoid", "relu", "softplus", "sin")}


def one_step(layer: Layer, x: np.ndarray, state: tuple[np.ndarray, ...], sigma: str) -> tuple[np.ndarray, ...]:
    """x [m], state parts [H] -> the next state; its first part is the output."""
    s, h, W, V, b = SIGMA[sigma], layer["h"], layer["W"], layer["V"], layer["b"]
    if layer["scheme"] == "symplectic-euler":
        y, z = state
        z_half = z - h * s(W.conj().T @ y + V @ x + b)
        y_next = y + h * s(W @ z_half + V @ x + b)
        return y_next, z_half
    if layer["scheme"] == "leapfrog":
        y, y_before = state
        return y_before + 2 * h * s(W @ y + V @ x + b), y
    (y,) = state
    return (y + h * s((W - layer["gamma"] * np.eye(len(y))) @ y + V @ x + b),)


def run(layer: Layer, xs: np.ndarray, state: tuple[np.ndarray, ...], sigma: str) -> tuple[np.ndarray, Any]:
    """xs [T, m] -> outputs [T, H] and the last state."""
    outputs = []
    for x in xs:
        state = one_step(layer, x, state, sigma)
        outputs.append(state[0])
    return np.array(outputs), state


def network(
    layers: list[list[Layer]], xs: np.ndarray, states: list[list[tuple[np.ndarray, ...]]], sigma: str
) -> tuple[np.ndarray, list[list[tuple[np.ndarray, ...]]]]:
    """A cascade, layers[q][direction]: the second direction reads the sequence from its end."""
    after = []
    for q, pair in enumerate(layers):
        columns, ends = [], []
        for direction, layer in enumerate(pair):
            order = slice(None, None, -1) if direction else slice(None)
            ys, end = run(layer, xs[order], states[q][direction], sigma)
            columns.append(ys[order])
            ends.append(end)
        xs = np.concatenate(columns, axis=1)
        after.append(ends)
    return xs, after
