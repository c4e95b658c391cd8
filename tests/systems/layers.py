"""Layers of a QUNN from random vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.layer import Layer, stacked_layers

Array = NDArray[Any]


def random_layer(rng: np.random.Generator, d: int, N: int, complex_data: bool, size: float = 1.0) -> Layer:
    """The second layer of a learned clock, from random asymmetric vectors; those of the data have length `size`."""

    def unit(n: int, imaginary: bool) -> Array:
        v = rng.normal(size=n) + 1j * rng.normal(size=n) if imaginary else rng.normal(size=n)
        return v / np.linalg.norm(v)

    Y = [size * unit(d, complex_data) for _ in range(3)]
    return stacked_layers(Y, [unit(N, False) for _ in range(3)], rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.8))[-1]
