"""Outputs of a QUNN read from shots, in standard deviations."""

from __future__ import annotations

from typing import Any, Final, final

import numpy as np
from numpy.typing import NDArray

from circuits.backends import Backend
from circuits.network import QUNNCircuit
from circuits.readout import deviation
from circuits.validation import literal_qunn
from circuits.validation.claim import Cell, Curve, Picture, Row, absent, compared, row
from circuits.validation.model_forms import Form
from circuits.validation.model_tools import COLUMNS, SHOTS
from circuits.validation.model_trotter import listed
from circuits.validation.wording import shots_in_words

Array = NDArray[Any]

SIGMAS: Final = 5
_WHY: Final = f"{SIGMAS} standard deviations"
#: outputs with random noise, whose root mean square is taken for the standard deviation
_DRAWS: Final = 400
_WHY_LAYERS: Final = f"{_WHY} of {_DRAWS} outputs with the noise of shots simulated"


@final
class Shots:
    """A unitary form, in standard deviations of each time's own read-out."""

    def __init__(self, form: Form, backend: Backend, shots: int) -> None:
        self.form, self.backend = form, backend
        self.numbers = sorted({max(1, shots // 16), shots})
        self._found: dict[int, Array] = {}

    def found(self, shots: int) -> Array:
        """Outputs [T, d]."""
        if shots not in self._found:
            output = self.form.tools.sampled(self.form.model, self.form.Y, shots, self.backend)
            self._found[shots] = output.detach().numpy()
        return self._found[shots]

    def deviations(self, shots: int) -> Array:
        """The largest standard deviation of a component at every time [T]."""
        net, Y = self.form.net, self.form.Y.numpy()
        sizes = [
            np.linalg.norm(y) * np.linalg.norm(net.c(t + 1)) * np.linalg.norm(net.c_read(t + 2))
            for t, y in enumerate(Y)
        ]
        return np.array([deviation(shots, Y.shape[1], float(size)) for size in sizes])

    def strain(self, shots: int) -> float:
        """The largest |error| of a component, of either part of a complex one, in standard deviations."""
        error = self.found(shots) - self.form.expected
        parts = np.maximum(np.abs(error.real), np.abs(error.imag))
        return float((parts / self.deviations(shots)[:, None]).max())

    def row(self) -> Row:
        """At two numbers of shots."""
        claim = "shots give the outputs with their signs, as exactly as their number promises"
        return row("shots", claim, "Hadamard test", "standard deviations", list(COLUMNS), {SHOTS: self._cell})

    def _cell(self) -> Cell:
        strains = [self.strain(shots) for shots in self.numbers]
        negative = int((self.form.expected.real < -SIGMAS * self.deviations(self.numbers[-1])[:, None]).sum())
        at = " and ".join(f"{n:,}" for n in self.numbers)
        note = f"{listed(strains)} at {at} shots; surely negative outputs: {negative}"
        return compared(max(strains), max(strains), SIGMAS, _WHY, note, strains)

    def output_cell(self) -> Cell:
        """The outputs at the largest number of shots."""
        shots, complex_ = self.numbers[-1], np.iscomplexobj(self.form.expected)
        tolerance = SIGMAS * float(self.deviations(shots).max()) * (2**0.5 if complex_ else 1.0)
        return self.form.judged(self.found(shots), tolerance, _WHY, f"{shots_in_words(shots)} a circuit")

    def picture(self) -> Picture:
        """The error of all outputs together against shots."""
        x = [float(n) for n in self.numbers]
        error = [float(np.sqrt(np.mean(np.abs(self.found(n) - self.form.expected) ** 2))) for n in self.numbers]
        factor = 2**0.5 if np.iscomplexobj(self.form.expected) else 1.0
        most = [factor * float(np.sqrt(np.mean(self.deviations(n) ** 2))) for n in self.numbers]
        curves = [Curve("measured", x, error), Curve("largest standard deviation", x, most, "line")]
        says = "Root mean square error of all outputs: sixteen times the shots leave a quarter of it."
        return Picture("Error of shots", says, "shots a circuit", "error of an output", curves, True, True)


# --- literal models: every layer is read out, and what is noise in one is input to the next ---


def layers_cell(form: Form, backend: Backend, shots: int, seed: int) -> Cell:
    """The output at the last time."""
    model, expected = form.model, form.expected[-1]
    noise = np.sqrt(np.mean(np.abs(noisy_outputs(form, shots, seed) - expected) ** 2, axis=0))
    allowed = SIGMAS * float(noise.max()) + form.circuit_rounding()
    most = float(np.abs(expected).max()) or form.scale
    if not allowed < most:  # no reading at all would agree
        return absent(f"{shots_in_words(shots)} a layer may err by {allowed / most:.2g} times the outputs")
    at = QUNNCircuit(model, backend=backend).elements(form.Y[None])[-1]
    found = form.net.sigma[2](at.read_from(form.tools.sampled_state(model, at, shots, backend)))
    return form.judged(found, allowed, _WHY_LAYERS, f"l = {len(form.Y)}, {shots_in_words(shots)} a layer", expected)


def noisy_outputs(form: Form, shots: int, seed: int) -> Array:
    """Outputs of a literal form at the last time [draws, d], with random numbers for the noise of shots.

    A layer's circuit gives v = M K with the map M of `circuits.hybrid` and λ = ‖M‖, or |S_k| where that is larger:
    component i, or either part of it, has a variance of at most (λ²‖K‖² + dN |v_i|²) / (2 shots), as in
    `circuits.readout.deviation`.
    """
    net, Y, l = form.net, literal_qunn.by_time(form.Y.numpy()), len(form.Y)  # noqa: E741
    first, *_, last = literal_qunn.one_pass(net, Y, l)
    rng, K = np.random.default_rng(seed), np.tile(first, (_DRAWS, 1))
    linear = form.model.activations[1].name == "identity" and form.model.skip_kind == "scalar"
    for (D, W), S in zip(literal_qunn.matrices(net, Y, l), net.skip, strict=True):
        M = S * np.eye(len(first)) + net.h * D @ W if linear else D @ W
        v, size = K @ M.T, max(np.linalg.norm(M, 2), abs(S) if linear else 0) * np.linalg.norm(K, axis=1)[:, None]
        deviation = np.sqrt((size**2 + len(first) * np.abs(v) ** 2) / (2 * shots))
        v = v + deviation * rng.standard_normal(v.shape)
        if np.iscomplexobj(last):
            v = v + 1j * deviation * rng.standard_normal(v.shape)
        K = v if linear else (K @ S.T if np.ndim(S) == 2 else K * S) + net.h * net.sigma[1](v)
    return net.sigma[2](K.reshape(_DRAWS, len(Y[l]), net.N) @ net.c_read(l + 1))
