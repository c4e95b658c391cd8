"""Vectors as amplitudes: products and others, real and complex, tiny amplitudes, global phase."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit.quantum_info import Statevector

from circuits.encoding import clock_state, encoded
from circuits.registers import Registers

SIZES = [(1, 2), (1, 5), (2, 2), (3, 5), (5, 3), (4, 4), (7, 1), (1, 1)]


def off(v: np.ndarray, registers: Registers) -> float:
    state = Statevector(encoded(v, registers)).data
    return np.abs(state - registers.padded(v / np.linalg.norm(v))).max()


@pytest.mark.parametrize("complex_", [False, True])
@pytest.mark.parametrize(("d", "N"), SIZES)
def test_any_vector(d, N, complex_):
    rng = np.random.default_rng(d * 10 + N)
    registers = Registers(d, N)
    draw = lambda size: rng.normal(size=size) + (1j * rng.normal(size=size) if complex_ else 0)  # noqa: E731
    for v in (draw(d * N), np.kron(draw(d), draw(N)), -np.eye(d * N)[d * N // 2], 1e-30 * draw(d * N)):
        assert off(v, registers) <= 1e-13


@pytest.mark.parametrize("tiny", [1e-4, 1e-8, 1e-12, 1e-15])
def test_amplitudes_far_apart(tiny):
    v = np.array([1.0, 0, 0, 2, 0, 1, 0, 0, 3]) + tiny
    assert off(v, Registers(3, 3)) <= 1e-12


def test_a_product_costs_its_factors():
    rng = np.random.default_rng(0)
    registers = Registers(16, 16)
    product = encoded(np.kron(rng.normal(size=16), rng.normal(size=16)), registers)
    general = encoded(rng.normal(size=256), registers)
    assert product.count_ops()["cz"] <= 2 * 11  # 2^4 - 4 - 1 each
    assert general.count_ops()["cz"] >= 200


def test_the_clock_alone():
    c = np.array([0.3, -1.0, 2.0])
    state = Statevector(clock_state(Registers(2, 3), c)).data
    assert np.abs(state[:4] - np.append(c, 0) / np.linalg.norm(c)).max() <= 1e-13
    assert np.abs(state[4:]).max() == 0
