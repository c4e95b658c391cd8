"""Product formulas of a unitary QUNN: errors against repetitions, with their bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, final

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from circuits.backends import Backend
from circuits.element import Element
from circuits.formulas import FORMULAS, stages
from circuits.layer import LowRank
from circuits.network import QUNNCircuit
from circuits.validation.claim import Cell, Curve, Picture, Row, absent, compared, row
from circuits.validation.model_forms import SYNTHESIS, Form
from circuits.validation.model_tools import COLUMNS, TROTTER

Array = NDArray[Any]

#: how far a fitted order may be off, and how far it may be by the next order of the formula itself
_ORDER, _NEXT = 0.15, 0.1
#: r of r, 2r and 4r repetitions, and multiples of the model's step, among which the first that serve are taken
_LEAST: Final = (1, 2, 4, 8, 16)
_FACTORS: Final = (1, 2, 4, 8, 16, 32, 64)
#: what rounding does not reach
_VISIBLE: Final = 30 * SYNTHESIS


def fitted_order(reps: tuple[int, ...], errors: list[float]) -> float:
    """p of errors ∝ reps^-p, by least squares of the logarithms."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(errors)
        return float(-np.polyfit(np.log(reps), logs, 1)[0]) if np.isfinite(logs).all() else float("nan")


@final
@dataclass(frozen=True)
class Window:
    """Three numbers of repetitions, r, 2r and 4r, and a multiple of the model's step."""

    reps: tuple[int, int, int]
    factor: int = 1


@final
class Formulas:
    """The product formulas on the last element of the input: errors of K^L over ‖K^0‖."""

    def __init__(self, form: Form, backend: Backend) -> None:
        self.form, self.backend = form, backend
        self._forms = {1: form}
        self._errors: dict[str, list[float]] = {}

    @cached_property
    def at(self) -> Element:
        """The last time, which has a whole period of past; the step is no part of it."""
        return QUNNCircuit(self.form.model, backend=self.backend).elements(self.form.Y[None])[-1]

    @cached_property
    def commute(self) -> bool:
        """Whether hop and permutation part commute in every layer, so that a formula makes no error."""
        sizes = []
        for layer in self.at.layers:
            A, B = layer.hop.m, layer.permutation.m
            sizes.append(np.abs(A @ B - B @ A).max(initial=0.0) * self.form.model.step**2)
        return max(sizes) < SYNTHESIS

    @cached_property
    def windows(self) -> Mapping[str, Window | None]:
        """For each formula where 4 x 4 matrices show its order above rounding: the least step, the fewest repetitions.

        A formula of high order is exact to rounding at the model's own step where that is short: a longer one is taken.
        """
        return {formula: None if self.commute else self._window(formula) for formula in FORMULAS}

    def _window(self, formula: str) -> Window | None:
        for factor in _FACTORS:
            for r in _LEAST:
                window = Window((r, 2 * r, 4 * r), factor)
                errors = [self._predicted(formula, n, factor * self.form.model.step) for n in window.reps]
                if min(errors) <= _VISIBLE:
                    break  # more repetitions make smaller ones
                if abs(fitted_order(window.reps, errors) - FORMULAS[formula].order) <= _NEXT:
                    return window
        return None

    def _predicted(self, formula: str, reps: int, h: float) -> float:
        """The error that the formula makes, by matrices on the four dimensions of each layer."""
        K, exact = self.at.K, self.at.K
        for layer in self.at.layers:
            terms = layer.hop.m, layer.permutation.m
            m = np.eye(len(terms[0]))
            parts = {(j, t): scipy.linalg.expm(h * t * terms[j]) for j, t in set(stages(formula, 2, reps))}
            for stage in stages(formula, 2, reps):
                m = parts[stage] @ m
            K = LowRank(layer.frame, m, 1.0).apply(K)
            exact = layer.rotation(h).apply(exact)
        return float(np.linalg.norm(K - exact) / (np.linalg.norm(self.at.K) or 1.0))

    def window(self, formula: str) -> Window:
        """Where errors are measured."""
        return self.windows[formula] or Window((1, 2, 4))

    def _form(self, formula: str) -> Form:
        factor = self.window(formula).factor
        if factor not in self._forms:
            self._forms[factor] = self.form.at_step(factor * self.form.model.step)
        return self._forms[factor]

    def errors(self, formula: str) -> list[float]:
        """Measured on circuits against the NumPy literal."""
        if formula not in self._errors:
            form, size = self._form(formula), float(np.linalg.norm(self.at.K)) or 1.0
            found = [
                form.tools.trotter_state(form.model, self.at, formula, r, self.backend)
                for r in self.window(formula).reps
            ]
            self._errors[formula] = [float(np.linalg.norm(K - form.states[-1])) / size for K in found]
        return self._errors[formula]

    def bounds(self, formula: str) -> list[float]:
        """The commutator bounds on the same."""
        form = self._form(formula)
        return [form.tools.trotter_bound(form.model, self.at, formula, r) for r in self.window(formula).reps]

    # --- rows ---

    def order_row(self, formula: str) -> Row:
        """How fast the errors of one formula fall."""
        rule = FORMULAS[formula]
        claim = f"the error of K^L falls like reps^-{rule.order} with {formula}"
        cells = {TROTTER: lambda: self._order(formula)}
        return row(f"trotter-{formula}", claim, "Suzuki 1991", f"|fitted order - {rule.order}|", list(COLUMNS), cells)

    def bound_row(self) -> Row:
        """All errors."""
        claim = "the errors of all formulas lie under their commutator bounds"
        cells = {TROTTER: self._under_bounds}
        return row("trotter-bound", claim, "Childs et al. 2021", "error / bound", list(COLUMNS), cells)

    def _order(self, formula: str) -> Cell:
        if self.commute:
            return absent("hop and permutation part commute in every layer: no formula makes an error")
        window = self.windows[formula]
        if window is None:
            return absent(
                f"no step shows the order above rounding ({_VISIBLE:.0e}) with up to {4 * _LEAST[-1]} repetitions"
            )
        errors = self.errors(formula)
        order, wanted = fitted_order(window.reps, errors), FORMULAS[formula].order
        note = f"errors {listed(errors)} at {', '.join(map(str, window.reps))} repetitions{self._at_step(formula)}"
        return compared(
            order, abs(order - wanted), _ORDER, "the formula's next order at these repetitions", note, errors
        )

    def _at_step(self, formula: str) -> str:
        factor = self.window(formula).factor
        return "" if factor == 1 else f", h = {factor * self.form.model.step:g}"

    def _under_bounds(self) -> Cell:
        strains = []
        for formula in FORMULAS:
            pairs = zip(self.errors(formula), self.bounds(formula), strict=True)
            strains.append(max(error / (bound + SYNTHESIS * len(self.at.layers)) for error, bound in pairs))
        note = "; ".join(f"{f} {strain:.2g}" for f, strain in zip(FORMULAS, strains, strict=True))
        why = f"commutator bound + {SYNTHESIS:.0e} a layer for rounding"
        return compared(max(strains), max(strains), 1.0, why, note, strains)

    def last_output_cell(self) -> Cell:
        """The output at the last time, by suzuki2 with the most repetitions."""
        form, formula, reps = self.form, "suzuki2", self.window("suzuki2").reps[-1]
        K = form.tools.trotter_state(form.model, self.at, formula, reps, self.backend)
        bound = form.tools.trotter_bound(form.model, self.at, formula, reps)
        note = f"l = {len(form.Y)}, {formula}, {reps} repetitions"
        return self._judged(self.at.read_from(K), form.expected[-1], self._scaled(self.at, bound), note)

    def outputs_cell(self) -> Cell:
        """The outputs at every time, by lie with the most repetitions."""
        form, formula, reps = self.form, "lie", self.window("lie").reps[-1]
        found = form.tools.trotter(form.model, form.Y, formula, reps, self.backend).detach().numpy()
        elements = QUNNCircuit(form.model, backend=self.backend).elements(form.Y[None])
        bounds = [self._scaled(at, form.tools.trotter_bound(form.model, at, formula, reps)) for at in elements]
        return self._judged(found, form.expected, max(bounds), f"{formula}, {reps} repetitions")

    def _scaled(self, at: Element, bound: float) -> float:
        return float(np.linalg.norm(at.K) * np.linalg.norm(at.read)) * bound

    def _judged(self, found: Array, expected: Array, allowed: float, note: str) -> Cell:
        tolerance = allowed + self.form.circuit_rounding()
        return self.form.judged(found, tolerance, "commutator bound of all layers", note, expected)

    def picture(self) -> Picture | None:
        """Errors against repetitions, with the bounds."""
        shown = [formula for formula in FORMULAS if self.windows[formula]]
        curves = []
        for formula in shown:
            reps = [float(r) for r in self.window(formula).reps]
            curves.append(Curve(f"{formula}{self._at_step(formula)}", reps, self.errors(formula)))
            curves.append(Curve(f"{formula}: bound", reps, self.bounds(formula), "line"))
        if not curves:
            return None
        says = (
            "Errors of K^L at the last time. On these axes a formula of order p is a line of slope -p, under its bound."
        )
        return Picture("Trotter error", says, "repetitions a layer", "error of K^L / ‖K^0‖", curves, True, True)


def listed(numbers: list[float]) -> str:
    """With two digits each."""
    return ", ".join(f"{number:.1e}" for number in numbers)
