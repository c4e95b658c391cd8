"""Gradients of every path against central differences of the NumPy literal, which shares no code with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, Final, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from circuits.backends import Backend
from circuits.validation.claim import Cell, Row, absent, compared, reference, row
from circuits.validation.model_forms import EPSILON, Form
from circuits.validation.model_tools import CIRCUIT, COLUMNS, LITERAL, network

Array = NDArray[Any]
Direction = tuple[str, Tensor]

#: step δ of the central differences: their error is δ² from the third derivative and ε/δ from rounding
DELTA: Final = EPSILON ** (1 / 3)
#: what δ for 2δ may change of differences that converge
_CONVERGED: Final = 0.01
#: entries of a parameter up to which each is a direction of its own, and random directions of a larger one
_ALL, _SOME = 8, 4


@final
class Gradients:
    """d/dv of Re <w, outputs> for a fixed random w of length 1 and directions v in the raw parameters."""

    def __init__(self, form: Form, seed: int) -> None:
        self.form = form
        generator = torch.Generator().manual_seed(seed)
        w = torch.randn(form.Y.shape, generator=generator, dtype=form.Y.dtype)
        self.w = w / w.norm()
        self.directions = list(_directions(form.model, generator))

    @cached_property
    def _differences(self) -> tuple[Array, Array]:
        """Central differences of the literal evaluator with the steps δ and 2δ."""
        near, far = (
            np.array([(self._moved(v, step) - self._moved(v, -step)) / (2 * step) for v in self.directions])
            for step in (DELTA, 2 * DELTA)
        )
        return near, far

    @property
    def expected(self) -> Array:
        """Both extrapolated to a step of 0, which leaves out what is of second order in δ."""
        near, far = self._differences
        return (4 * near - far) / 3

    @property
    def _change(self) -> float:
        near, far = self._differences
        return float(np.abs(far - near).max(initial=0.0))

    @property
    def _rounding(self) -> float:
        return 10 * EPSILON / DELTA * max(1.0, self.form.condition)

    @property
    def tolerance(self) -> float:
        """What was left out, and 10 ε/δ for outputs with the form's condition."""
        return self._change / 3 + self._rounding

    @property
    def known(self) -> bool:
        """Whether differences tell the slopes: outputs may be too rough for any step, or less than their rounding."""
        near, _ = self._differences
        size = float(np.abs(near).max(initial=0.0))
        return self._rounding < max(size, 1e-6) and self._change <= max(_CONVERGED * size, self._rounding)

    def _moved(self, along: Direction, by: float) -> float:
        name, v = along
        parameter = self.form.model.get_parameter(name)
        before = parameter.detach().clone()
        with torch.no_grad():
            try:
                parameter.add_(v, alpha=by)
                found = self.form.tools.literal(network(self.form.model), self.form.Y.numpy())
            finally:
                parameter.copy_(before)
        return float(np.vdot(self.w.numpy(), found).real)

    def of(self, output: Tensor) -> Array:
        """By torch's graph of an output.

        Raises
        ------
        ValueError : an output of another shape.
        """
        if output.shape != self.w.shape:
            raise ValueError(f"outputs of shape {tuple(output.shape)}, not {tuple(self.w.shape)}")
        parameters = dict(self.form.model.named_parameters())
        product = self.w.conj() * output
        functional = (product.real if product.is_complex() else product).sum()
        if not functional.requires_grad:
            return np.zeros(len(self.directions))
        found = torch.autograd.grad(functional, list(parameters.values()), allow_unused=True, materialize_grads=True)
        slopes = dict(zip(parameters, found, strict=True))
        return np.array([(slopes[name].conj() * v).real.sum().item() for name, v in self.directions])


def _directions(model: torch.nn.Module, generator: torch.Generator) -> Iterator[Direction]:
    for name, parameter in model.named_parameters():
        size = parameter.numel()
        if size <= _ALL:
            units = torch.eye(size, dtype=parameter.dtype)
            yield from ((name, v.reshape(parameter.shape)) for v in units)
            if parameter.is_complex():
                yield from ((name, 1j * v.reshape(parameter.shape)) for v in units)
            continue
        for _ in range(_SOME):
            v = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
            yield name, v / v.norm()


def gradient_row(key: str, form: Form, backend: Backend, seed: int) -> Row:
    """One form's gradients on every path that has them."""
    gradients = Gradients(form, seed)

    def by(output: Callable[[], Tensor]) -> Callable[[], Cell]:
        def cell() -> Cell:
            with torch.enable_grad():
                return judged(gradients.of(output()), range(len(gradients.directions)))

        return cell

    def judged(found: Array, at: Any) -> Cell:
        if not gradients.known:
            return absent(
                "central differences do not converge: the outputs are too rough, or too large, for their step"
            )
        at = list(at)
        difference = float(np.abs(found[at] - gradients.expected[at]).max(initial=0.0))
        why = "central differences: δ² term + 10 ε/δ × condition"
        return compared(float(np.linalg.norm(found[at])), difference, gradients.tolerance, why, f"{len(at)} directions")

    def circuit() -> Cell:
        own = [i for i, (name, _) in enumerate(gradients.directions) if name in ("p1_logit", "p2_logit")]
        if not own:
            return absent("p1 and p2 are fixed: circuits have gradients with respect to these")
        with torch.enable_grad():
            return judged(gradients.of(form.tools.circuit(form.model, form.Y, backend)), own)

    def literal() -> Cell:
        return reference(
            float(np.linalg.norm(gradients.expected)), f"central differences, {len(gradients.directions)} directions"
        )

    model, Y = form.model, form.Y
    cells = form.torch_cells(lambda forward: by(lambda: forward(model, Y)))
    cells[LITERAL] = literal
    unitary = model.mode == "unitary"
    cells[CIRCUIT] = circuit if unitary else lambda: absent("circuits of a literal model have no gradient")
    if not gradients.directions:
        cells = {name: lambda: absent("no parameter: p1 and p2 are fixed") for name in cells}
    claim = f"{form.name}: the gradient of a random functional of the outputs in all raw parameters"
    return row(
        key,
        claim,
        "Eqs. (32)-(36)" if not unitary else "Eq. (31)",
        "largest |difference| of a slope",
        list(COLUMNS),
        cells,
    )
