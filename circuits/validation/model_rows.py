"""The rows of a saved QUNN: every backend on the same parameters and the same input."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final, final

import torch
from torch import nn

from circuits.backends import Backend
from circuits.validation.claim import Cell, Row, Subject, absent, drawn
from circuits.validation.model_claims import causality_row, forward_row, gpu_row, norm_row, single_row
from circuits.validation.model_forms import Form, forms, random_units
from circuits.validation.model_gradients import gradient_row
from circuits.validation.model_shots import Shots, layers_cell
from circuits.validation.model_tools import COLUMNS, GENUINE, SHOTS, TROTTER, ModelTools
from circuits.validation.model_trotter import Formulas
from circuits.validation.model_whole import whole_row
from hamiltonians.errors import must_be
from hamiltonians.progress import Progress, no_progress
from qunn import QUNN
from qunn.sequence import check_finite

#: the other step, as a fraction of the model's own
_FRACTION: Final = 0.4


def qunns(model: nn.Module) -> list[QUNN]:
    """The QUNNs of a model.

    Raises
    ------
    InputError : there is none, or a parameter is not finite.
    """
    found = [part for part in model.modules() if isinstance(part, QUNN)]
    if not found:
        raise must_be("model", "a QUNN, or a model that holds one", type(model).__name__)
    for parameter, value in model.named_parameters():
        check_finite(value, parameter)
    return found


@final
class ModelStates:
    """What the rows of a model share: its first QUNN in three forms on one input, a period and three unit vectors long.

    Attributes
    ----------
    literal, linear, unitary : on the whole input. short : their first elements, a period and one more.
    """

    def __init__(
        self, model: nn.Module, tools: ModelTools, backend: Backend, *, shots: int, seed: int, device: str
    ) -> None:
        self.model, self.tools, self.backend = model, tools, backend
        self.shots, self.seed, self.device = shots, seed, device
        self.parts = qunns(model)
        part = self.parts[0]
        complex_ = part.skip is not None and part.skip.is_complex()
        Y = random_units(part.period + 3, part.input_size, complex_, seed)
        self.literal, self.linear, self.unitary = forms(part, Y, tools)
        self.formulas, self.sampled = Formulas(self.unitary, backend), Shots(self.unitary, backend, shots)

    @property
    def part(self) -> QUNN:
        """The QUNN that is compared."""
        return self.parts[0]

    def short(self, form: Form) -> Form:
        """The first elements of a form, a period and one more."""
        return form.first(self.part.period + 1)

    # --- forward passes ---

    def by_layers(self, key: str, form: Form) -> Row:
        """A literal form, with shots after every layer."""
        return forward_row(
            key, form, self.backend, {SHOTS: lambda: layers_cell(form, self.backend, self.shots, self.seed)}
        )

    def rotated(self) -> Row:
        """The unitary form, with a product formula and with shots."""
        more = {TROTTER: self.formulas.last_output_cell, SHOTS: self.sampled.output_cell}
        return forward_row("unitary", self.unitary, self.backend, more)

    def at_other_step(self, form: Form) -> Row:
        """A form's first elements with another step; shots know of none."""
        form, name = self.short(form).at_step(_FRACTION * self.part.step), form.name
        more: dict[str, Callable[[], Cell]] = {SHOTS: lambda: absent(f"see the row `{name}`")}
        if name == "unitary":
            more[TROTTER] = Formulas(form, self.backend).outputs_cell
        return forward_row(f"{name}-step", form, self.backend, more)


#: row -> what makes it
ROWS: Final[Mapping[str, Callable[[ModelStates], Row]]] = {
    "literal": lambda at: at.by_layers("literal", at.literal),
    "linear": lambda at: at.by_layers("linear", at.linear),
    "unitary": lambda at: at.rotated(),
    "literal-step": lambda at: at.at_other_step(at.literal),
    "unitary-step": lambda at: at.at_other_step(at.unitary),
    "trotter-lie": lambda at: at.formulas.order_row("lie"),
    "trotter-suzuki2": lambda at: at.formulas.order_row("suzuki2"),
    "trotter-suzuki4": lambda at: at.formulas.order_row("suzuki4"),
    "trotter-bound": lambda at: at.formulas.bound_row(),
    "shots": lambda at: at.sampled.row(),
    "gradients": lambda at: gradient_row("gradients", at.short(at.literal), at.backend, at.seed),
    "unitary-gradients": lambda at: gradient_row("unitary-gradients", at.short(at.unitary), at.backend, at.seed),
    "norm": lambda at: norm_row(at.unitary, at.formulas, at.backend),
    "causality": lambda at: causality_row(at.literal, at.unitary, at.backend, at.seed),
    "float32": lambda at: single_row(at.literal, at.unitary, at.backend),
    "GPU": lambda at: gpu_row(at.literal, at.unitary, at.backend, at.device),
    "whole-model": lambda at: whole_row(at.model, at.backend, at.tools, at.seed),
}


def validate_model(
    name: str,
    model: nn.Module,
    *,
    tools: ModelTools = GENUINE,
    backend: Backend,
    shots: int,
    seed: int,
    device: str = "auto",
    only: Collection[str] | None = None,
    progress: Progress = no_progress,
) -> Subject:
    """All rows of a QUNN, or of the first QUNN of a larger model and of that model as a whole.

    tools : what the columns call. backend : where circuits run. shots : a circuit, at most. seed : of the input and of
    shots. device : "CPU" leaves the comparison with a GPU out. only : the rows of these keys, without pictures.

    Raises
    ------
    InputError : a model without a QUNN, with a parameter that is not finite, or whose activations have no name.
    """
    if shots < 1:
        raise must_be("shots", "at least 1", shots)
    at = ModelStates(model, tools, backend, shots=shots, seed=seed, device=device)
    own = ["whole-model"] if isinstance(model, QUNN) else []  # it is the QUNN of the other rows
    wanted = [key for key in ROWS if (key not in own if only is None else key in only)]
    rows: list[Row] = []
    for i, key in enumerate(wanted):
        progress(key, i, len(wanted))
        with torch.no_grad():
            rows.append(ROWS[key](at))
    pictures = (at.formulas.picture, at.sampled.picture)
    return Subject("model", name, _facts(at), COLUMNS, rows, drawn(pictures) if only is None else [])


def _facts(at: ModelStates) -> dict[str, str | int | float | None]:
    model, part = at.model, at.part
    sigma = ", ".join(a.name for a in part.activations) if part.mode == "literal" else None
    return {
        "class": type(model).__name__,
        "QUNNs": len(at.parts),
        "d": part.input_size,
        "N": part.period,
        "layers": part.num_layers,
        "mode": part.mode,
        "clock": part.clock.kind,
        "skip": part.skip_kind if part.skip is not None else None,
        "history": part.history,
        "activations": sigma,
        "step": part.step,
        "parameters": sum(p.numel() for p in model.parameters()),
        "dtype": str(next(iter(model.state_dict().values())).dtype).removeprefix("torch."),
        "elements": len(at.unitary.Y),
        "shots": at.shots,
        "device": at.backend.device,
    }
