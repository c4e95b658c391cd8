"""A larger model that holds QUNNs, with each backend in their place."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from typing import Any, Final, final

import numpy as np
import torch
from torch import Tensor, nn

from circuits.backends import Backend
from circuits.validation.claim import Cell, Row, absent, compared, reference, row
from circuits.validation.model_forms import EPSILON, SYNTHESIS, largest
from circuits.validation.model_tools import (
    CIRCUIT,
    COLUMNS,
    COMPILED,
    DENSE,
    LITERAL,
    STRUCTURED,
    Forward,
    ModelTools,
    compiles,
    network,
)
from hamiltonians.errors import must_be
from qunn import QUNN

#: the relative change of everything by which the condition of a whole model is measured
_NUDGE: Final = 2.0**-20
_FACTOR: Final = 1000
_MEASURE: Final = "largest |difference| / largest |output|"


@final
class _Replaced(nn.Module):
    """A QUNN's place in a model, held by one of the implementations; sequences start at their first element."""

    def __init__(self, part: QUNN, forward: Forward) -> None:
        super().__init__()
        self.part, self._forward = part, forward

    def forward(self, input: Tensor, state: Any = None) -> tuple[Tensor, None]:
        """[T, d] or [B, T, d] -> (outputs, None)."""
        if state is not None:
            raise must_be("state", "left out", type(state).__name__)
        if input.dim() == 2:
            return self._forward(self.part, input), None
        return torch.stack([self._forward(self.part, row) for row in input]), None


def _with(model: nn.Module, forward: Forward) -> nn.Module:
    """A copy of a model with `forward` in the place of its QUNNs."""
    changed = copy.deepcopy(model)
    for name, part in [(name, part) for name, part in changed.named_modules() if isinstance(part, QUNN)]:
        where, _, last = name.rpartition(".")
        setattr(changed.get_submodule(where), last, _Replaced(part, forward))
    return changed


def whole_row(model: nn.Module, backend: Backend, tools: ModelTools, seed: int) -> Row:
    """The outputs of the whole model, in double precision on a random input; of one that is more than a QUNN."""
    if isinstance(model, QUNN):
        cells = dict.fromkeys(COLUMNS, lambda: absent("the model is one QUNN, of which the other rows are"))
        return row("whole-model", "the outputs of the whole model", "Definition 5", _MEASURE, list(COLUMNS), cells)
    parts = [part for part in model.modules() if isinstance(part, QUNN)]
    size = getattr(model, "input_size", None)
    if not isinstance(size, int):
        raise must_be("model", "one that says its input_size", type(model).__name__)
    model = copy.deepcopy(model).double().eval()
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(max(part.period for part in parts) + 3, size, generator=generator, dtype=torch.float64)

    def run(changed: nn.Module) -> Tensor:
        with torch.no_grad():
            found = changed(x)
        output: Tensor = found[0] if isinstance(found, tuple) else found
        return output

    def literal(part: QUNN, Y: Tensor) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(tools.literal(network(part), Y.numpy())))

    @cache
    def truth() -> tuple[Any, float, float]:
        """The outputs by the NumPy literal, the largest of them, and the condition."""
        expected = run(_with(model, literal)).numpy()
        scale = float(np.abs(expected).max()) or 1.0
        return expected, scale, _condition(model, run, scale, generator)

    def by(changed: Callable[[], nn.Module], epsilon: float, rounding: str) -> Callable[[], Cell]:
        def cell() -> Cell:
            found, (expected, scale, condition) = run(changed()), truth()
            why = f"rounding: {rounding} × measured condition"
            return compared(found.abs().max().item(), largest(found, expected) / scale, epsilon * condition, why)

        return cell

    cells = {LITERAL: lambda: reference(float(np.abs(truth()[0]).max()))}
    served = {DENSE: tools.dense, STRUCTURED: tools.structured}
    if all(compiles(part) is None for part in parts):
        served[COMPILED] = tools.compiled
    for name, forward in served.items():
        cells[name] = by(lambda forward=forward: _with(model, forward), _FACTOR * EPSILON, f"{_FACTOR} ε")  # type: ignore[misc]
    cells[CIRCUIT] = by(
        lambda: tools.with_circuits(model, backend=backend)[0],
        _FACTOR * EPSILON + SYNTHESIS,
        f"({_FACTOR} ε + {SYNTHESIS:.0e})",
    )
    claim = f"{type(model).__name__}: the outputs of the whole model, with each backend in place of its QUNNs"
    return row("whole-model", claim, "Definition 5", _MEASURE, list(COLUMNS), cells)


def _condition(model: nn.Module, run: Callable[[nn.Module], Tensor], scale: float, generator: torch.Generator) -> float:
    """How much larger the relative change of the outputs is than a relative change of all parameters; at least 1."""
    nudged = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in nudged.parameters():
            parameter.mul_(1 + _NUDGE * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    change = (run(nudged) - run(model)).abs().max().item() / scale
    return max(1.0, change / _NUDGE)
