"""A QUNN as circuits: amplitude encoding, one evolution a hidden layer, read-out of the next clock value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from torch import Tensor

from circuits.backends import Backend, backend
from circuits.element import Element, element
from circuits.encoding import clock_state, encoded
from circuits.evolution import check_synthesis, evolution
from circuits.hybrid import hidden_states, layer_map, map_circuit
from circuits.readout import interferometer, overlaps, shots_needed
from circuits.registers import Registers
from circuits.runs import Runs
from hamiltonians.errors import InputError, must_be, one_of
from hamiltonians.memory import require_memory
from qunn import QUNN
from qunn.sequence import check_finite, check_size

Array = NDArray[Any]

#: a product formula needs a Hermitian generator, a dilation needs none
EXACT = ("subspace", "unitary")


@final
@dataclass(frozen=True)
class Evaluation:
    """What `QUNNCircuit.evaluate` found.

    Attributes
    ----------
    output : shaped as the input, of the dtype that torch gives.
    success : the probability that all ancillas of all dilations showed 0 [B, T]; 1 for a unitary model.
    hidden : K^L [B, T, dN]; None from shots of a unitary model, which show the read-out only.
    circuits : how many were run.

    Examples
    --------
    >>> import torch
    >>> from circuits import QUNNCircuit, backend
    >>> from qunn import QUNN
    >>> model = QUNN(2, period=2, mode="unitary", dtype=torch.float64)
    >>> found = QUNNCircuit(model, backend=backend("CPU")).evaluate(torch.ones(3, 2).double())
    >>> (abs(found.hidden) ** 2).sum(-1).round(12).tolist()  # ‖K^L‖² = ‖K^0‖² = ‖Y_l‖²
    [[2.0, 2.0, 2.0]]
    >>> found.circuits, found.success.tolist()
    (3, [[1.0, 1.0, 1.0]])
    """

    output: Tensor
    success: NDArray[np.float64]
    hidden: Array | None
    circuits: int


@final
class QUNNCircuit:
    """The circuits of a QUNN (Definition 5) on data ⊗ clock, the clock on the low qubits.

    mode="unitary": one circuit a time l: |Y_l ⊗ c_l>/‖·‖, then exp(h anti(D^k W^k)) for k = 1 … L (Eq. 31); the output
    is ‖K^0‖ (I ⊗ c̃_{l+1}ᵀ) of the state. mode="literal": one circuit a layer, a dilation (see `circuits.hybrid`), with
    activations between them. σ_1 acts on what is encoded, σ_out on the output.

    Parameters
    ----------
    model : of any clock, skip, history and dtype; its parameters are read when a circuit is made.
    synthesis : "subspace" (exact: the four dimensions in which a layer acts), "unitary" (exact: one matrix, the
        reference), "lie", "suzuki2", "suzuki4", "qdrift" (product formulas; unitary models only).
    terms : of the product formulas: "pauli" strings of iG, or the "natural" ones, hop part and permutation part.
    reps : repetitions of the formula a layer; draws of qdrift. seed : of qdrift's draws.
    backend : where circuits run; Aer's state vector on what device there is, where it is left out.

    Raises
    ------
    InputError : another model, parameters that are not finite, an unknown synthesis, reps below 1, a product formula
        for a literal model.

    Examples
    --------
    >>> import torch
    >>> from circuits import QUNNCircuit, backend
    >>> from qunn import QUNN
    >>> model = QUNN(2, period=4, mode="unitary", dtype=torch.float64, backend="dense")
    >>> circuit, Y = QUNNCircuit(model, backend=backend("CPU")), torch.randn(6, 2).double()
    >>> circuit.registers.data_qubits, circuit.registers.clock_qubits
    (1, 2)
    >>> torch.allclose(circuit.run(Y), model(Y)[0])
    True
    """

    def __init__(
        self,
        model: QUNN,
        synthesis: str = "subspace",
        *,
        terms: str = "pauli",
        reps: int = 1,
        seed: int = 0,
        backend: Backend | None = None,
    ) -> None:
        if not isinstance(model, QUNN):
            raise must_be("model", "a QUNN", type(model).__name__)
        for name, value in model.named_parameters():
            check_finite(value, name)
        check_synthesis(synthesis, terms, reps)
        if model.mode == "literal" and synthesis not in EXACT:
            allowed = f'{one_of(EXACT)} for mode="literal", whose layers are not unitary'
            raise must_be("synthesis", allowed, synthesis)
        self.model, self.synthesis, self.terms, self.reps, self.seed = model, synthesis, terms, reps, seed
        self._backend = backend
        self._input: Tensor | None = None

    @property
    def registers(self) -> Registers:
        """The qubits."""
        return Registers(self.model.input_size, self.model.period)

    @property
    def backend(self) -> Backend:
        """Where circuits run."""
        if self._backend is None:
            self._backend = backend()
        return self._backend

    # --- circuits ---

    def circuit(self, l: int, input: Tensor | None = None) -> QuantumCircuit:  # noqa: E741
        """The circuit of time l: the encoding and all layers; of a literal model the encoding and the first layer.

        input [T, d] : Y_1 … Y_T with T ≥ l; the first sequence of the last `run` where it is left out.

        Raises
        ------
        InputError : no input yet, l beyond it, or Y_l = 0, which no state encodes.

        Examples
        --------
        >>> import torch
        >>> from circuits import QUNNCircuit
        >>> from qunn import QUNN
        >>> made = QUNNCircuit(QUNN(2, period=4, mode="unitary")).circuit(l=3, input=torch.randn(3, 2))
        >>> made.num_qubits  # 1 for the data, 2 for the clock
        3
        """
        Y = self._input if input is None else self.model.as_batch(input)[0][0]
        if Y is None:
            raise InputError("`input` must be given before anything was run: a layer is made of its past", "input")
        check_size("l", l)
        if l > len(Y):
            raise must_be("l", f"at most {len(Y)}, the length of the input", l)
        return self.element_circuit(self.elements(Y[None])[l - 1])

    def element_circuit(self, at: Element) -> QuantumCircuit:
        """The same of an element.

        Raises
        ------
        InputError : K^0 = 0.
        """
        if at.empty:
            raise InputError("`input` must not be zero at l: no state encodes it", "input")
        encoding = encoded(at.K, at.registers)
        if self.model.mode == "unitary":
            for part in self.evolutions(at):
                encoding.compose(part, encoding.qubits, inplace=True)
            return encoding
        M = layer_map(self.model, at.layers[0], 0)
        part, _ = map_circuit(M, at.layers[0], by_matrix=self.synthesis == "unitary")
        circuit = part.copy_empty_like()
        circuit.compose(encoding, circuit.qubits[:-1], inplace=True)
        circuit.compose(part, circuit.qubits, inplace=True)
        return circuit

    def elements(self, Y: Tensor) -> list[Element]:
        """Every time of every sequence [B, T, d], in that order [B * T].

        Raises
        ------
        MemoryEstimateError : before allocation: a layer holds A, and four vectors and the frame that they span.
        InputError : see `circuits.element.element`.
        """
        B, T, d = Y.shape
        vectors = 9 * B * T * self.model.num_layers
        cost = vectors * d * self.model.period * (16 if Y.is_complex() else 8)
        require_memory(cost, f"{vectors} vectors of {d * self.model.period} rows", "a shorter input needs less")
        with torch.no_grad():
            return [element(self.model, row, l) for row in Y for l in range(1, Y.shape[1] + 1)]  # noqa: E741

    def evolutions(self, at: Element, *, controlled: bool = False) -> list[QuantumCircuit]:
        """exp(h anti(D^k W^k)) for k = 1 … L on the registers, each with a control on top where asked for."""
        options: dict[str, Any] = {"terms": self.terms, "reps": self.reps, "controlled": controlled}
        return [
            evolution(layer, self.model.step, self.synthesis, seed=self.seed + k, **options)
            for k, layer in enumerate(at.layers)
        ]

    def shots_needed(self, error: float, input: Tensor, sigmas: float = 1.0) -> int:
        """Shots a circuit after which `sigmas` standard deviations of every output are at most `error`.

        Of a unitary model on this input, [T, d] or [B, T, d]; see `circuits.readout.shots_needed`.

        Raises
        ------
        InputError : a literal model, whose deviation also depends on its layers; an error that is not positive.

        Examples
        --------
        >>> import torch
        >>> from circuits import QUNNCircuit
        >>> from qunn import QUNN
        >>> circuit, Y = QUNNCircuit(QUNN(2, period=2, mode="unitary")), torch.ones(3, 2)
        >>> round(circuit.shots_needed(0.001, Y) / circuit.shots_needed(0.01, Y))  # what one more digit costs
        100
        """
        if self.model.mode != "unitary":
            raise must_be("model", 'of mode="unitary"', self.model.mode)
        elements = self.elements(self.model.as_batch(input)[0])
        scale = max(float(np.linalg.norm(e.K) * np.linalg.norm(e.read)) for e in elements)
        return shots_needed(error, self.model.input_size, scale, sigmas)

    # --- running them ---

    def run(self, input: Tensor, shots: int | None = None) -> Tensor:
        """What `model(input)[0]` is, by circuits: of [T, d] or a batch of such, shaped as the input.

        shots : None for the exact state, where a unitary model with an exact synthesis also has gradients with respect
            to p1 and p2 (see `circuits.gradient`), and none with respect to the input or a learned clock; else the
            shots a circuit, with signs told by an ancilla.

        Raises
        ------
        InputError : what `model(input)` refuses, a batch of no sequences, shots below 1.
        MemoryEstimateError, SimulationError : see `elements` and `circuits.backends`.

        Examples
        --------
        >>> import torch
        >>> from circuits import QUNNCircuit, backend
        >>> from qunn import QUNN
        >>> model = QUNN(2, period=2, dtype=torch.float64, backend="dense")  # literal: a dilation a layer
        >>> circuit, Y = QUNNCircuit(model, backend=backend("CPU", seed=3)), torch.ones(4, 2).double()
        >>> torch.allclose(circuit.run(Y), model(Y)[0])
        True
        >>> bool((circuit.run(Y, shots=10_000) - model(Y)[0]).abs().max() < 0.1)  # some 1/sqrt(shots)
        True
        """
        output = self.evaluate(input, shots).output
        if shots is None and self.model.mode == "unitary" and self.synthesis in EXACT and torch.is_grad_enabled():
            from circuits.gradient import with_gradient

            return with_gradient(self, input, output)
        return output

    def evaluate(self, input: Tensor, shots: int | None = None) -> Evaluation:
        """`run` with the states and the success probabilities, without gradients."""
        Y, batched = self.model.as_batch(input)
        if shots is not None:
            check_size("shots", shots)
        if not len(Y):
            raise must_be("input", "at least one sequence", tuple(input.shape))
        self._input = Y[0].detach()
        elements, runs = self.elements(Y.detach()), Runs(self.backend)
        success, hidden = np.ones(len(elements)), None
        if self.model.mode == "literal":
            by_matrix = self.synthesis == "unitary"
            hidden, success = hidden_states(self.model, elements, runs, shots, by_matrix=by_matrix)
        elif shots is None:
            hidden = self.states(elements, runs)
        if hidden is None:
            assert shots is not None
            read = self._sampled(elements, shots, runs)
        else:
            read = np.stack([at.read_from(K) for at, K in zip(elements, hidden, strict=True)])
        output = torch.from_numpy(read if any(at.complex for at in elements) else np.ascontiguousarray(read.real))
        output = self.model.activations[2](output).reshape(*Y.shape).to(Y.dtype).to(Y.device)
        if batched and not self.model.batch_first:
            output = output.transpose(0, 1)
        kept = None if hidden is None else hidden.reshape(*Y.shape[:2], -1)
        return Evaluation(output if batched else output[0], success.reshape(Y.shape[:2]), kept, runs.circuits)

    def states(self, elements: Sequence[Element], runs: Runs) -> Array:
        """K^L [M, dN] of a unitary model."""
        found = np.zeros((len(elements), len(elements[0].K)), complex)
        there = [i for i, at in enumerate(elements) if not at.empty]
        for i, state in zip(there, runs.states([self.element_circuit(elements[i]) for i in there]), strict=True):
            found[i] = np.linalg.norm(elements[i].K) * self.registers.extracted(state)
        return found

    def _sampled(self, elements: Sequence[Element], shots: int, runs: Runs) -> Array:
        """(I ⊗ c̃ᵀ) K^L [M, d] of a unitary model, from counts."""
        registers = self.registers
        read = np.zeros((len(elements), registers.d), complex)
        there = [i for i, at in enumerate(elements) if not at.empty and at.read.any()]
        rows = np.arange(registers.d) << registers.clock_qubits  # the clock shows 0 where it was c̃
        for imaginary in (False, True) if any(elements[i].complex for i in there) else (False,):
            made = [self._read_circuit(elements[i], imaginary) for i in there]
            for i, counts in zip(there, runs.counts(made, shots), strict=True):
                scale = np.linalg.norm(elements[i].K) * np.linalg.norm(elements[i].read) * registers.d**0.5
                part = scale * overlaps(counts, rows, registers.qubits)
                read[i] += 1j * part if imaginary else part
        return read

    def _read_circuit(self, at: Element, imaginary: bool) -> QuantumCircuit:
        """The interferometer, with c̃_{l+1} turned to the clock state 0."""
        registers, c = self.registers, at.read / np.linalg.norm(at.read)
        reference = encoded(np.outer(np.ones(registers.d), c).reshape(-1), registers)
        parts = self.evolutions(at, controlled=True)
        circuit = interferometer(registers, reference, encoded(at.K, registers), parts, imaginary=imaginary)
        circuit.compose(clock_state(registers, c).inverse(), circuit.qubits[:-1], inplace=True)
        return circuit
