"""The claims about a QUNN that hold on every backend: its outputs, their norm, their causality, their precision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from circuits.backends import Backend
from circuits.validation.claim import Cell, Row, absent, compared, reference, row
from circuits.validation.model_forms import (
    CIRCUIT_ROUNDING,
    SINGLE,
    SINGLE_CIRCUIT_ROUNDING,
    Cells,
    Form,
    largest,
    random_units,
    relative,
)
from circuits.validation.model_tools import CIRCUIT, COLUMNS, COMPILED, DENSE, LITERAL, STRUCTURED, TROTTER
from circuits.validation.model_trotter import Formulas
from hamiltonians.errors import InputError
from qunn import QUNN

Array = NDArray[Any]

_MEASURE: Final = "largest |difference| / largest |output|"


def forward_row(key: str, form: Form, backend: Backend, more: Cells) -> Row:
    """Outputs of every column against the NumPy literal's; `more`: those of product formulas and of shots."""
    model, Y = form.model, form.Y

    def by(forward: Callable[[], Tensor], tolerance: Callable[[], float], why: str) -> Callable[[], Cell]:
        def cell() -> Cell:
            allowed = tolerance()  # before the backend is asked for numbers that may overflow
            return form.judged(forward(), allowed, why)

        return cell

    cells = form.torch_cells(lambda forward: by(lambda: forward(model, Y), form.rounding, form.rounding_why))
    cells[LITERAL] = lambda: reference(float(np.abs(form.expected).max()))
    cells[CIRCUIT] = by(lambda: form.by_circuits(backend), form.circuit_rounding, CIRCUIT_ROUNDING)
    if model.mode == "literal":
        cells[TROTTER] = lambda: absent("product formulas are of unitary layers")
    claim = f"{form.name}: the outputs of a forward pass of {len(Y)} elements"
    source = "Eqs. (32)-(36)" if model.mode == "literal" else "Eq. (31)"
    return row(key, claim, source, _MEASURE, list(COLUMNS), cells | more)


# --- what holds whatever the numbers are ---


def norm_row(form: Form, formulas: Formulas, backend: Backend) -> Row:
    """‖K^L‖ = ‖K^0‖."""
    tools, model, Y = form.tools, form.model, form.Y
    first = np.array([np.linalg.norm(y) * np.linalg.norm(form.net.c(t + 1)) for t, y in enumerate(Y.numpy())])
    scale = float(first.max())

    def judged(after: Array, before: Array) -> Cell:
        difference = float(np.abs(after - before).max()) / scale
        return relative(float(after.max()), difference, form.rounding() / scale, form.rounding_why)

    def judged_circuit(K: Array) -> Cell:
        found = float(np.linalg.norm(K))
        return relative(found, abs(found - first[-1]) / scale, form.circuit_rounding() / scale, CIRCUIT_ROUNDING)

    def structured() -> Cell:
        before, after = tools.structured_norms(model, Y)
        return judged(after, before)

    cells: Cells = {
        LITERAL: lambda: judged(np.linalg.norm(form.states, axis=-1), first),
        DENSE: lambda: judged(np.linalg.norm(tools.dense_states(model, Y), axis=-1), first),
        STRUCTURED: structured,
        CIRCUIT: lambda: judged_circuit(tools.circuit_state(model, formulas.at, backend)),
        TROTTER: lambda: judged_circuit(tools.trotter_state(model, formulas.at, "lie", 1, backend)),
    }
    return row(
        "norm", "unitary: ‖K^L‖ = ‖K^0‖ at every time", "Eq. (31)", "largest |difference| / ‖K^0‖", list(COLUMNS), cells
    )


def causality_row(literal: Form, unitary: Form, backend: Backend, seed: int) -> Row:
    """Outputs before l, with Y_l replaced."""
    at = len(literal.Y) // 2

    def judged(
        form: Form, forward: Callable[[QUNN, Tensor], Tensor], known: Callable[[], Tensor] | None = None
    ) -> Callable[[], Cell]:
        def cell() -> Cell:
            Y = form.Y[: at + 1].clone()
            before = known()[: at + 1] if known is not None else forward(form.model, Y)
            Y[at:] = random_units(1, Y.shape[1], Y.is_complex(), seed + 1)
            after = forward(form.model, Y)
            moved = largest(after[at:], before[at:].numpy())
            note = f"{form.name}; the output at {at + 1} itself moves by {moved:.1e}"
            return compared(None, largest(after[:at], before[:at].numpy()), 0.0, "bit for bit", note)

        return cell

    tools = literal.tools
    cells = literal.torch_cells(lambda forward: judged(literal, forward))
    cells[LITERAL] = judged(literal, lambda _, Y: torch.from_numpy(tools.literal(literal.net, Y.numpy())))
    cells[CIRCUIT] = judged(
        unitary, lambda model, Y: tools.circuit(model, Y, backend), lambda: unitary.by_circuits(backend)
    )
    claim = f"outputs before l = {at + 1} do not move when Y_l is replaced"
    return row("causality", claim, "Definition 5", "largest |difference|", list(COLUMNS), cells)


# --- the same implementation elsewhere ---


def single_row(literal: Form, unitary: Form, backend: Backend) -> Row:
    """Single precision beside double."""
    tools = literal.tools
    narrow = torch.complex64 if literal.Y.is_complex() else torch.float32

    def by(forward: Callable[[QUNN, Tensor], Tensor]) -> Callable[[], Cell]:
        def cell() -> Cell:
            allowed = literal.rounding(SINGLE)
            found = forward(tools.single(literal.model), literal.Y.to(narrow))
            if found.dtype != narrow:
                raise InputError(f"the outputs must be {narrow}, but are {found.dtype}")
            exact = forward(literal.model, literal.Y)
            return literal.judged(found, allowed, literal.rounding_why, literal.name, exact)

        return cell

    def circuit() -> Cell:
        found = tools.circuit(unitary.model, unitary.Y, tools.single_backend(backend))
        exact = unitary.by_circuits(backend)
        allowed = unitary.circuit_rounding(SINGLE)
        return unitary.judged(found, allowed, SINGLE_CIRCUIT_ROUNDING, unitary.name, exact)

    cells = literal.torch_cells(by)
    cells[CIRCUIT] = circuit
    claim = "single precision gives what double precision gives, to its own rounding"
    return row("float32", claim, "ε = 1.2e-7", _MEASURE, list(COLUMNS), cells)


def gpu_row(literal: Form, unitary: Form, backend: Backend, device: str) -> Row:
    """The GPU beside the CPU, where there is one."""
    tools = literal.tools

    def by(form: Form, forward: Callable[[QUNN, Tensor], Tensor]) -> Callable[[], Cell]:
        def cell() -> Cell:
            where = tools.gpu()
            if isinstance(where, str):
                return absent(where)
            found = forward(tools.moved(form.model, where), form.Y.to(where))
            return form.judged(found, form.rounding(), form.rounding_why, form.name, forward(form.model, form.Y))

        return cell

    def circuit() -> Cell:
        there = tools.gpu_backend(backend)
        if isinstance(there, str):
            return absent(there)
        found = tools.circuit(unitary.model, unitary.Y, there)
        exact = tools.circuit(unitary.model, unitary.Y, replace(backend, device="CPU"))
        return unitary.judged(found, unitary.circuit_rounding(), CIRCUIT_ROUNDING, unitary.name, exact)

    cells: Cells = {DENSE: by(literal, tools.dense), STRUCTURED: by(literal, tools.structured), CIRCUIT: circuit}
    if device == "CPU":
        cells = {name: lambda: absent("left out: the device asked for is the CPU") for name in cells}
    cells[COMPILED] = lambda: absent("the compiled kernels run on CPUs")
    return row("GPU", "a GPU gives what the CPU gives", "-", _MEASURE, list(COLUMNS), cells)
