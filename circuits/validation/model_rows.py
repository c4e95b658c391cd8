"""The rows of a saved QUNN: every backend on the same parameters and the same input."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

import numpy as np
import torch
from torch import nn

from circuits.backends import Backend
from circuits.validation.claim import Picture, Row, Subject
from circuits.validation.model_claims import causality_row, forward_row, gpu_row, norm_row, single_row
from circuits.validation.model_forms import Cells, forms, random_units
from circuits.validation.model_gradients import gradient_row
from circuits.validation.model_tools import COLUMNS, GENUINE, SHOTS, TROTTER, ModelTools
from circuits.validation.model_trotter import FORMULA_ROWS, Formulas, Shots
from circuits.validation.model_whole import whole_row
from hamiltonians.errors import must_be
from hamiltonians.progress import Progress, no_progress
from qunn import QUNN
from qunn.sequence import check_finite

#: the other step, as a fraction of the model's own
_FRACTION: Final = 0.4


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

    tools : what the columns call. backend : where circuits run. shots : a circuit, at most. seed : of the input, a
    period and three unit vectors long, and of shots. device : "CPU" leaves the comparison with a GPU out.
    only : the rows of these keys, without pictures.

    Raises
    ------
    InputError : a model without a QUNN, with a parameter that is not finite, or whose activations have no name.
    """
    parts = [part for part in model.modules() if isinstance(part, QUNN)]
    if not parts:
        raise must_be("model", "a QUNN, or a model that holds one", type(model).__name__)
    for parameter, value in model.named_parameters():
        check_finite(value, parameter)
    if shots < 1:
        raise must_be("shots", "at least 1", shots)
    part = parts[0]
    complex_ = part.skip is not None and part.skip.is_complex()
    Y = random_units(part.period + 3, part.input_size, complex_, seed)
    literal, linear, unitary = forms(part, Y, tools)
    step = _FRACTION * part.step
    formulas, sampled = Formulas(unitary, backend), Shots(unitary, backend, shots)
    of_formulas: Cells = {TROTTER: formulas.last_output_cell, SHOTS: sampled.output_cell}
    short = part.period + 1
    other = unitary.first(short).at_step(step)
    steps: Cells = {TROTTER: Formulas(other, backend).outputs_cell}
    asked: list[tuple[tuple[str, ...], Callable[[], list[Row]]]] = [
        (("literal",), lambda: [forward_row("literal", literal, "Eqs. (32)-(36)", backend)]),
        (("linear",), lambda: [forward_row("linear", linear, "Eqs. (32)-(36)", backend)]),
        (("unitary",), lambda: [forward_row("unitary", unitary, "Eq. (31)", backend, of_formulas)]),
        (
            ("literal-step",),
            lambda: [forward_row("literal-step", literal.first(short).at_step(step), "Eqs. (32)-(36)", backend)],
        ),
        (("unitary-step",), lambda: [forward_row("unitary-step", other, "Eq. (31)", backend, steps)]),
        (FORMULA_ROWS, formulas.rows),
        (("shots",), lambda: [sampled.row()]),
        (("gradients",), lambda: [gradient_row("gradients", literal.first(short), backend, seed)]),
        (("unitary-gradients",), lambda: [gradient_row("unitary-gradients", unitary.first(short), backend, seed)]),
        (("norm",), lambda: [norm_row(unitary, formulas, backend)]),
        (("causality",), lambda: [causality_row(literal, unitary, backend, seed)]),
        (("float32",), lambda: [single_row(literal, unitary, backend)]),
        (("GPU",), lambda: [gpu_row(literal, unitary, backend, device)]),
    ]
    if not isinstance(model, QUNN):
        asked.append((("whole-model",), lambda: [whole_row(model, backend, tools, seed)]))
    rows: list[Row] = []
    for i, (keys, ask) in enumerate(asked):
        if only is not None and not set(only) & set(keys):
            continue
        progress(keys[0].split("-")[0], i, len(asked))
        with torch.no_grad():
            rows += [found for found in ask() if only is None or found.key in only]
    facts, pictures = _facts(model, parts, len(Y), shots, backend), _pictures(formulas, sampled) if only is None else []
    return Subject("model", name, facts, COLUMNS, rows, pictures)


def _facts(
    model: nn.Module, parts: list[QUNN], length: int, shots: int, backend: Backend
) -> dict[str, str | int | float | None]:
    part = parts[0]
    sigma = ", ".join(a.name for a in part.activations) if part.mode == "literal" else None
    return {
        "class": type(model).__name__,
        "QUNNs": len(parts),
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
        "elements": length,
        "shots": shots,
        "device": backend.device,
    }


def _pictures(formulas: Formulas, sampled: Shots) -> list[Picture]:
    """What can be drawn; a backend that fails has failed its row already."""
    found = []
    for draw in (formulas.picture, sampled.picture):
        try:
            picture = draw()
        except (ValueError, ArithmeticError, RuntimeError, MemoryError):
            continue
        if picture is not None and all(np.isfinite(curve.y).all() for curve in picture.curves):
            found.append(picture)
    return found
