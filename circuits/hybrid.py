"""Literal QUNNs on circuits: a layer is the dilation of a linear map, and what that leaves out is done between them.

    S_k a number, σ_2 the identity:     K^k = M K^{k-1},                      M = S_k + h D^k W^k
    otherwise:                          K^k = S_k K^{k-1} + h σ_2(M K^{k-1}), M = D^k W^k

The circuit encodes K^{k-1}, applies M/λ (the ancilla shows 0 with probability ‖MK‖²/(λ‖K‖)²), and is read out; σ_2
and S_k are applied to the numbers, which the next circuit encodes again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit.library import UnitaryGate

from circuits.dilation import dilated
from circuits.element import Element
from circuits.encoding import encoded
from circuits.layer import Layer, LowRank, as_numpy
from circuits.readout import interferometer, overlaps
from circuits.runs import Runs
from qunn import QUNN

Array = NDArray[Any]


def linear(model: QUNN) -> bool:
    """Whether Eq. (32) is a linear map that one dilation holds."""
    return model.skip_kind == "scalar" and model.activations[1].name == "identity"


def layer_map(model: QUNN, layer: Layer, k: int) -> LowRank:
    """M of the layer k = 0 … L-1 (counted from 0)."""
    if not linear(model):
        return layer.weight
    assert model.skip is not None
    return layer.euler(model.step, model.skip[k].item())


def map_circuit(M: LowRank, layer: Layer, *, by_matrix: bool = False) -> tuple[QuantumCircuit, float]:
    """The dilation of M with its ancilla on top, and λ; `by_matrix`: as one matrix, the reference."""
    if not by_matrix:
        found = dilated(M, layer)
        return found.circuit, found.scale
    registers = layer.registers
    full = registers.padded_matrix(M.dense(), M.outside)
    left, size, right = np.linalg.svd(full)
    scale = float(size[0])
    c = size / scale
    s = np.sqrt(np.clip(1 - c**2, 0, None))
    X, Y = left, right.conj().T
    blocks = [[(X * c) @ Y.conj().T, -(X * s) @ X.conj().T], [(Y * s) @ Y.conj().T, (Y * c) @ X.conj().T]]
    circuit = QuantumCircuit(registers.qubits + 1)
    circuit.append(UnitaryGate(np.block(blocks)), circuit.qubits)
    return circuit, scale


def hidden_states(
    model: QUNN, elements: Sequence[Element], runs: Runs, shots: int | None, *, by_matrix: bool
) -> tuple[Array, NDArray[np.float64]]:
    """K^L [M, dN] of every element, and the probability that all ancillas of all its layers showed 0 [M]."""
    K = np.stack([element.K for element in elements])
    if any(element.complex for element in elements):
        K = K.astype(complex)
    success = np.ones(len(elements))
    for k in range(model.num_layers):
        maps = [layer_map(model, element.layers[k], k) for element in elements]
        there = [i for i, M in enumerate(maps) if K[i].any() and (M.outside or M.m.any())]  # else M K = 0
        parts = [map_circuit(maps[i], elements[i].layers[k], by_matrix=by_matrix) for i in there]
        found = _applied(elements, [(i, *part, K[i]) for i, part in zip(there, parts, strict=True)], runs, shots)
        mapped = np.zeros_like(K)
        for i, (_, scale), v in zip(there, parts, found, strict=True):
            mapped[i] = v if np.iscomplexobj(K) else v.real
            success[i] *= (np.linalg.norm(v) / (scale * np.linalg.norm(K[i]))) ** 2
        K = mapped if linear(model) else _completed(model, k, K, mapped)
    return K, success


def _completed(model: QUNN, k: int, K: Array, mapped: Array) -> Array:
    """S_k K + h σ_2(M K)."""
    assert model.skip is not None
    S = as_numpy(model.skip[k])
    kept = K @ S.T if S.ndim == 2 else S * K
    changed: Array = kept + model.step * as_numpy(model.activations[1](torch.from_numpy(mapped)))
    return changed


def _applied(
    elements: Sequence[Element], parts: list[tuple[int, QuantumCircuit, float, Array]], runs: Runs, shots: int | None
) -> list[Array]:
    """M K of every (element, dilation, λ, K)."""
    if not parts:
        return []
    registers = elements[0].registers
    if shots is not None:
        return _sampled(elements, parts, runs, shots)
    made = []
    for _, part, _, K in parts:
        circuit = part.copy_empty_like()
        circuit.compose(encoded(K, registers), circuit.qubits[:-1], inplace=True)
        circuit.compose(part, circuit.qubits, inplace=True)
        made.append(circuit)
    states = runs.states(made)[:, : 2**registers.qubits]  # the ancilla lies on top: its 0 is the lower half
    scales = [scale * np.linalg.norm(K) for _, _, scale, K in parts]
    return [scale * registers.extracted(state) for scale, state in zip(scales, states, strict=True)]


def _sampled(
    elements: Sequence[Element], parts: list[tuple[int, QuantumCircuit, float, Array]], runs: Runs, shots: int
) -> list[Array]:
    """The same from counts, against the uniform reference on all dN rows."""
    registers = elements[0].registers
    size = registers.d * registers.N
    reference = encoded(np.ones(size), registers)
    found = [np.zeros(size, complex) for _ in parts]
    for imaginary in (False, True) if any(element.complex for element in elements) else (False,):
        made = []
        for _, part, _, K in parts:
            above = QuantumCircuit(part.num_qubits + 1)
            above.append(part.to_gate().control(1, annotated=False), [part.num_qubits, *range(part.num_qubits)])
            made.append(interferometer(registers, reference, encoded(K, registers), [above], imaginary=imaginary))
        for v, (_, _, scale, K), counts in zip(found, parts, runs.counts(made, shots), strict=True):
            real = scale * np.linalg.norm(K) * size**0.5 * overlaps(counts, registers.rows, registers.qubits + 1)
            v += 1j * real if imaginary else real
    return found
