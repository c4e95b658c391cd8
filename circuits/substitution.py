"""Any torch model that holds QUNNs, with circuits in their place."""

from __future__ import annotations

import copy
from typing import Any, final

from torch import Tensor, nn

from circuits.network import Evaluation, QUNNCircuit
from hamiltonians.errors import must_be
from qunn import QUNN


@final
class CircuitModule(nn.Module):
    """A QUNN's place in a model, held by its circuits; `evaluations` keeps what every call found.

    Examples
    --------
    >>> import torch
    >>> from circuits import QUNNCircuit, backend
    >>> from circuits.substitution import CircuitModule
    >>> from qunn import QUNN
    >>> Y = torch.eye(2, dtype=torch.float64)
    >>> part = CircuitModule(QUNNCircuit(QUNN(2, 2, mode="unitary", dtype=torch.float64), backend=backend("CPU")))
    >>> part(Y)[0].shape, len(part.evaluations)
    (torch.Size([2, 2]), 1)
    """

    def __init__(self, circuit: QUNNCircuit, shots: int | None = None) -> None:
        super().__init__()
        self.circuit, self.shots = circuit, shots
        self.evaluations: list[Evaluation] = []
        self.inputs: list[Tensor] = []

    def forward(self, input: Tensor, state: Any = None) -> tuple[Tensor, None]:
        """`(input) -> (output, None)`: a sequence from its first element on.

        Raises
        ------
        InputError : a state; circuits are made for whole sequences.
        """
        if state is not None:
            raise must_be("state", "left out: circuits take a sequence from its first element on", type(state).__name__)
        found = self.circuit.evaluate(input, self.shots)
        self.inputs.append(input)
        self.evaluations.append(found)
        return found.output, None


def with_circuits(
    model: nn.Module, *, shots: int | None = None, **options: Any
) -> tuple[nn.Module, list[CircuitModule]]:
    """A copy of the model whose QUNNs are circuits, and these; options as for `QUNNCircuit`.

    Raises
    ------
    InputError : a model without a QUNN, and what `QUNNCircuit` refuses.

    Examples
    --------
    >>> import torch
    >>> from circuits import backend
    >>> from circuits.substitution import with_circuits
    >>> from qunn import QUNNForecaster
    >>> model, x = QUNNForecaster(1, 3, dtype=torch.float64), torch.ones(1, 4, 1, dtype=torch.float64)
    >>> copy, parts = with_circuits(model, backend=backend("CPU"))
    >>> len(parts), torch.allclose(copy(x)[0], model(x)[0], atol=1e-9)
    (1, True)
    """
    if isinstance(model, QUNN):
        one = CircuitModule(QUNNCircuit(model, **options), shots)
        return one, [one]
    changed, made = copy.deepcopy(model), []
    for name, part in [(name, part) for name, part in changed.named_modules() if isinstance(part, QUNN)]:
        where, _, last = name.rpartition(".")
        made.append(CircuitModule(QUNNCircuit(part, **options), shots))
        setattr(changed.get_submodule(where), last, made[-1])
    if not made:
        raise must_be("model", "a QUNN, or a model that holds one", type(model).__name__)
    return changed, made
