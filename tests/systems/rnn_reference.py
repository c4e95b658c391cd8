"""Recurrent networks straight from their formulas: one sequence at a time, numpy, slow.

Every cell has the form `cell(x, state, weights…, step) -> state`, every network `run(cell, x, state, weights)`; x is
[T, m], a state [H] or a tuple of [H]. Nothing here calls the code under test, or torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Cell = Callable[..., Any]


def run(cell: Cell, x: Array, state: Any, weights: dict[str, Any], step: int = 0) -> tuple[Array, Any]:
    """Outputs [T, H] (the first part of every state) and the last state."""
    outputs = []
    for l in range(len(x)):  # noqa: E741 - the paper's time
        state = cell(x[l], state, **weights, step=step + l)
        outputs.append(state[0] if isinstance(state, tuple) else state)
    return np.array(outputs), state


def run_layers(
    cell: Cell, x: Array, states: Sequence[Any], weights: Sequence[dict[str, Any]], step: int = 0
) -> tuple[Array, list[Any]]:
    """A cascade: layer q reads layer q-1's new outputs. Outputs of the last layer, last states of all."""
    last = []
    for state, w in zip(states, weights, strict=True):
        x, state = run(cell, x, state, w, step)
        last.append(state)
    return x, last


def sigmoid(v: Array) -> Array:
    return 1 / (1 + np.exp(-v))


def modrelu(z: Array, b: Array) -> Array:
    """ReLU(|z| + b) z/|z|, unit by unit; 0 at 0."""
    return np.array([max(abs(v) + c, 0) * v / abs(v) if v != 0 else v for v, c in zip(z, b, strict=True)])


def elman(x: Array, h: Array, W_ih: Array, W_hh: Array, b_ih: Any = 0, b_hh: Any = 0, step: int = 0) -> Array:
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh)."""
    return np.tanh(W_ih @ x + b_ih + W_hh @ h + b_hh)


def lstm(
    x: Array, state: tuple[Array, Array], W_ih: Array, W_hh: Array, b_ih: Any = 0, b_hh: Any = 0, step: int = 0
) -> tuple[Array, Array]:
    """torch.nn.LSTM, gates in the order i, f, g, o: c' = f∘c + i∘g, h' = o∘tanh(c'). State (h, c)."""
    h, c = state
    i, f, g, o = np.split(W_ih @ x + b_ih + W_hh @ h + b_hh, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def torch_gru(x: Array, h: Array, W_ih: Array, W_hh: Array, b_ih: Any = 0, b_hh: Any = 0, step: int = 0) -> Array:
    """torch.nn.GRU, order r, z, n: n = tanh(W_in x + b_in + r∘(W_hn h + b_hn)), h' = (1-z)∘n + z∘h."""
    a_r, a_z, a_n = np.split(W_ih @ x + b_ih, 3)
    c_r, c_z, c_n = np.split(W_hh @ h + b_hh, 3)
    r, z = sigmoid(a_r + c_r), sigmoid(a_z + c_z)
    n = np.tanh(a_n + r * c_n)
    return (1 - z) * n + z * h


def reset_before_gru(x: Array, h: Array, W_ih: Array, W_hh: Array, b: Any = 0, step: int = 0) -> Array:
    """Eqs. (22)-(23): [r; z] = σ(W [x; h]), h' = (1-z)∘h + z∘tanh(W_x x + W_g (r∘h)); biases added. Order r, z, n."""
    H = len(h)
    b_rz, b_n = np.split(np.broadcast_to(b, 3 * H), [2 * H])
    W = np.hstack([W_ih[: 2 * H], W_hh[: 2 * H]])  # [2H, m + H]
    W_x, W_g = W_ih[2 * H :], W_hh[2 * H :]
    r, z = np.split(sigmoid(W @ np.concatenate([x, h]) + b_rz), 2)
    return (1 - z) * h + z * np.tanh(W_x @ x + W_g @ (r * h) + b_n)


def swapped_gru(x: Array, h: Array, W_ih: Array, W_hh: Array, b: Any = 0, step: int = 0) -> Array:
    """A known-wrong reading of Eq. (23): the reset after the product, z as printed."""
    a_r, a_z, a_n = np.split(W_ih @ x + b, 3)
    c_r, c_z, c_n = np.split(W_hh @ h, 3)
    r, z = sigmoid(a_r + c_r), sigmoid(a_z + c_z)
    return (1 - z) * h + z * np.tanh(a_n + r * c_n)


def urnn(
    x: Array, K: Array, W: Array, V: Array, b: Any = 0, sigma: Callable[[Array], Array] = np.tanh, step: int = 0
) -> Array:
    """Eq. (28) with the recurrence over time: K' = σ(W K + V x + b)."""
    return sigma(W @ K + V @ x + b)


def cwrnn(
    x: Array, h: Array, W_I: Array, W_H: Array, periods: Sequence[int], b: Any = 0, step: int = 0, asleep: str = "keep"
) -> Array:
    """Koutník et al. 2014, Sec. 3, module by module and block by block.

    Module i is executed when (t mod T_i) = 0 and reads the modules j ≥ i only; "the other modules retain their output
    values from the previous time-step". `asleep="zero"` is Eq. (29) as the paper prints it: their rows are zero.
    """
    g, k = len(periods), len(h) // len(periods)
    b = np.broadcast_to(b, len(h))
    new = []
    for i in range(g):
        rows = slice(i * k, (i + 1) * k)
        if step % periods[i] != 0:
            new.append(h[rows] if asleep == "keep" else np.zeros(k))
            continue
        total = W_I[rows] @ x + b[rows]
        for j in range(i, g):
            columns = slice(j * k, (j + 1) * k)
            total = total + W_H[rows, columns] @ h[columns]
        new.append(np.tanh(total))
    return np.concatenate(new)
