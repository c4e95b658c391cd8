"""The forms of one model that are compared, what the literal evaluator says of each, and how far rounding may go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Final, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from circuits.backends import Backend
from circuits.registers import Registers
from circuits.validation import literal_qunn
from circuits.validation.claim import AbsentError, Cell, absent, compared
from circuits.validation.literal_qunn import Network
from circuits.validation.model_tools import (
    COMPILED,
    DENSE,
    STRUCTURED,
    Forward,
    ModelTools,
    compiles,
    network,
    require_literal,
    variant,
)
from qunn import QUNN

Array = NDArray[Any]
Cells = dict[str, Callable[[], Cell]]

EPSILON: Final = float(np.finfo(np.float64).eps)
SINGLE: Final = float(np.finfo(np.float32).eps)
#: what the synthesis of a two-qubit gate is accepted at, see `circuits.exact`
SYNTHESIS: Final = 1e-12
#: ε in every number, for sums and functions that round more than once, and for exponentials with long steps
_ULPS, _EXPONENTIAL_ULPS = 4, 32
#: gates of a layer's circuit over 2^n, roughly: V and V†, a CX and a rotation for each of 2^(n+2)
_GATES: Final = 32
#: where tolerances come from
CIRCUIT_ROUNDING: Final = f"rounding: ({_ULPS} ε √gates + 1e-12) × condition"
SINGLE_CIRCUIT_ROUNDING: Final = f"rounding: {_ULPS} ε √gates × condition"


def random_units(length: int, size: int, complex_: bool, seed: int) -> Tensor:
    """Unit vectors [length, size] in double precision."""
    kind = torch.complex128 if complex_ else torch.float64
    Y = torch.randn(length, size, generator=torch.Generator().manual_seed(seed), dtype=kind)
    return nn.functional.normalize(Y, dim=-1)


@final
class Form:
    """A QUNN on an input Y [T, d].

    Attributes
    ----------
    name : in words. net : its numbers, for the literal evaluator.
    """

    def __init__(self, name: str, model: QUNN, Y: Tensor, tools: ModelTools) -> None:
        self.name, self.model, self.tools = name, model, tools
        self.Y = Y.to(torch.complex128) if model.skip is not None and model.skip.is_complex() else Y
        self.net: Network = network(model)
        self._circuit: Tensor | None = None

    @cached_property
    def expected(self) -> Array:
        """The outputs of the NumPy literal [T, d]."""
        return self.tools.literal(self.net, self.Y.numpy())

    @cached_property
    def states(self) -> Array:
        """Its K^L [T, dN]."""
        return self.tools.literal_states(self.net, self.Y.numpy())

    @property
    def scale(self) -> float:
        """The largest output; 1 where all are 0."""
        return float(np.abs(self.expected).max()) or 1.0

    @cached_property
    def condition(self) -> float:
        """How much of a relative error made in every layer can arrive at an output, over all times:

            ‖c̃‖ (‖K^0‖ Π_j g_j + Σ_k (1 + h‖H_k‖)^q ‖K^k‖ Π_{j>k} g_j)

        literal: q = 1, g_j = ‖S_j‖ + h s ‖H_j‖ with s the steepest slope of σ_2, and times that of σ_1 and σ_out;
        unitary: g_j = 1, q = 2, as the structured path's exp(hG) - 1 = U φ(hC U†U) hC U† has terms of that size.
        """
        require_literal(self.net, self.Y.numpy())
        Y = literal_qunn.by_time(self.Y.numpy())
        first, second, out = (_steepest(sigma.slope) for sigma in self.model.activations)
        q = 2 if self.net.unitary else 1
        found = []
        for l in Y:  # noqa: E741
            sizes = [float(np.linalg.norm(K)) for K in literal_qunn.one_pass(self.net, Y, l)]
            total = first * sizes[0]
            for K, (D, W), S in zip(sizes[1:], literal_qunn.matrices(self.net, Y, l), self.net.skip, strict=True):
                size = float(np.linalg.norm(D @ W, 2)) * abs(self.net.h)
                total = total * (1.0 if self.net.unitary else _norm(S) + second * size) + (1 + size) ** q * K
            found.append(out * total * float(np.linalg.norm(self.net.c_read(l + 1))))
        return float(np.max(found))  # nan, of numbers that overflow, is the largest

    @property
    def rounding_why(self) -> str:
        """In words."""
        return f"rounding: {self._ulps} ε √(dN) × condition"

    @property
    def _ulps(self) -> int:
        return _EXPONENTIAL_ULPS if self.net.unitary else _ULPS

    def rounding(self, epsilon: float = EPSILON) -> float:
        """What an output may be off by in torch, where errors add like random numbers."""
        return self._ulps * epsilon * float(np.sqrt(self.Y.shape[1] * self.net.N)) * self._condition_in(epsilon)

    def circuit_rounding(self, epsilon: float = EPSILON) -> float:
        """The same of a circuit: 4 ε √gates a layer, and what two-qubit gates are made to."""
        gates = _GATES * 2 ** Registers(self.Y.shape[1], self.net.N).qubits
        return (_ULPS * epsilon * float(np.sqrt(gates)) + SYNTHESIS) * self._condition_in(epsilon)

    def _condition_in(self, epsilon: float) -> float:
        """The condition; AbsentError where numbers of its size overflow in that precision."""
        if not self.condition <= np.finfo(np.float32 if epsilon == SINGLE else np.float64).max:
            raise AbsentError("the numbers in the layers overflow: there is nothing to compare")
        return self.condition

    def torch_cells(self, cell: Callable[[Forward], Callable[[], Cell]]) -> Cells:
        """The cells of the torch paths that serve the model, and why the compiled kernels do not."""
        tools = self.tools
        cells = {DENSE: cell(tools.dense), STRUCTURED: cell(tools.structured), COMPILED: cell(tools.compiled)}
        reason = compiles(self.model)
        return cells if reason is None else cells | {COMPILED: lambda: absent(reason)}

    def by_circuits(self, backend: Backend) -> Tensor:
        """The outputs of exact circuits; run once."""
        if self._circuit is None:
            with torch.no_grad():
                self._circuit = self.tools.circuit(self.model, self.Y, backend)
        return self._circuit

    def judged(
        self, found: Tensor | Array, tolerance: float, why: str, note: str | None = None, expected: Any = None
    ) -> Cell:
        """Outputs beside those of the NumPy literal, or others that are given, in units of the largest of all."""
        numbers = as_numbers(found)
        difference = largest(numbers, self.expected if expected is None else as_numbers(expected)) / self.scale
        return relative(float(np.abs(numbers).max(initial=0.0)), difference, tolerance / self.scale, why, note)

    def at_step(self, step: float) -> Form:
        """The same with another step."""
        model = variant(self.model, self.model.mode, _names(self.model), step)
        return Form(f"{self.name}, h = {step:g}", model, self.Y, self.tools)

    def first(self, length: int) -> Form:
        """The same on the first elements only."""
        return Form(self.name, self.model, self.Y[:length], self.tools)


def forms(part: QUNN, Y: Tensor, tools: ModelTools) -> tuple[Form, Form, Form]:
    """The parameters of a QUNN as a literal one with its activations (tanh where it has none), linear, and unitary."""
    names = _names(part)
    nonlinear = names if part.mode == "literal" and set(names) != {"identity"} else ("tanh", "tanh", "identity")
    linear = ("identity",) * 3
    return (
        Form("literal", variant(part, "literal", nonlinear), Y, tools),
        Form("linear", variant(part, "literal", linear), Y, tools),
        Form("unitary", variant(part, "unitary", linear), Y, tools),
    )


def relative(value: float, difference: float, tolerance: float, why: str, note: str | None = None) -> Cell:
    """`compared` in units of the largest output; where as much as that is allowed, agreement would say nothing."""
    if difference <= tolerance and tolerance >= 1:
        return absent(f"{why}: {tolerance:.2g} times the outputs themselves, which any outputs would meet")
    return compared(value, difference, tolerance, why, note)


def largest(found: Tensor | Array, expected: Array) -> float:
    """The largest |difference| of numbers of the same shape; infinite for another shape."""
    numbers = as_numbers(found)
    if numbers.shape != expected.shape:
        return float("inf")
    return float(np.abs(numbers - expected).max(initial=0.0))


def as_numbers(found: Tensor | Array) -> Array:
    """Of a tensor anywhere, with or without a graph."""
    return found.detach().cpu().resolve_conj().numpy() if isinstance(found, Tensor) else np.asarray(found)


def _names(model: QUNN) -> tuple[str, str, str]:
    first, second, out = (sigma.name for sigma in model.activations)
    return first, second, out


def _steepest(slope: Sequence[float] | None) -> float:
    return max(abs(s) for s in slope) if slope is not None else 1.0


def _norm(S: Any) -> float:
    return float(np.linalg.norm(S, 2)) if np.ndim(S) == 2 else float(np.abs(S).max())
