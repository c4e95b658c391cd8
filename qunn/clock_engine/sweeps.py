"""Inverse iteration for unitary steps by two sweeps along the clock: `hamiltonians.solvers.sweep` on a device.

H = B†B is inverted by substitution, B†g = b from the last clock down and Bx = g from the first one up; the ground space
is projected out. X, shape (N, d), is the only large array. It may be stored in float32: what is carried from clock to
clock is float64 in any case, so that every stored number has one rounding and none adds up along the clock.

With u the unit roundoff of what X is stored in (2⁻⁵³, 2⁻²⁴), the stored vector is off by δ with ‖δ‖ ≤ u, and with
‖H‖ ≤ 5 its residual by 5u and its energy ‖BX‖²/‖X‖² by 5u² (the error is of second order). Against a gap E that is
5u²/E relatively: for float32, where 5u² = 1.8e-14, and a thousand clock states (E = 1e-5) 2e-9.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from hamiltonians.progress import Progress
from hamiltonians.solve import Precision
from hamiltonians.solvers.inverse import RESIDUAL_PER_GAP
from qunn.clock_engine.operator import DeviceHamiltonian

_TOLERANCE = 1e-11  # change of the Rayleigh quotient in one iteration; what is left is smaller by the rate, about 1/15
_FLOOR = 1e-6  # a change below this that shrinks no more is the rounding of what X is stored in
_ITERATIONS = 60
_NORM = 5.0  # ‖H‖ ≤ 4, and 5 with H_in
_DISCERNIBLE = 1e-3  # of a gap: an energy that storing the vector changes by more is not checked by it
UNIT_ROUNDOFF: dict[Precision, float] = {"float64": 2.0**-53, "float32": 2.0**-24}
_STORED = {
    ("float64", torch.float64): torch.float64,
    ("float64", torch.complex128): torch.complex128,
    ("float32", torch.float64): torch.float32,
    ("float32", torch.complex128): torch.complex64,
}


@final
@dataclass(frozen=True)
class Iterated:
    """What inverse iteration found: the energy and the residual of its last vector, and whether it settled."""

    energy: float
    residual: float
    iterations: int
    settled: bool


def residual_rounding(precision: Precision) -> float:
    """The residual that storing a unit vector in a precision may leave: ‖H‖u."""
    return _NORM * UNIT_ROUNDOFF[precision]


def energy_rounding(precision: Precision) -> float:
    """The error of an energy that comes from storing its vector in a precision: ‖H‖u²."""
    return _NORM * UNIT_ROUNDOFF[precision] ** 2


def most_clock_states(precision: Precision) -> int:
    """Beyond these the gap, π²/(4N²) with H_in, is lost in the rounding of the vector that checks it."""
    return int(math.sqrt(_DISCERNIBLE * math.pi**2 / 4 / energy_rounding(precision)))


def lowest_excited(H: DeviceHamiltonian, precision: Precision, seed: int, progress: Progress) -> Iterated:
    """Inverse iteration from a random vector of the whole space outside the ground space.

    The energy's error falls by (λ1/λ2)², about 1/15, in every iteration.
    """
    X = torch.empty(H.T + 1, H.d, dtype=_STORED[precision, H.work], device=H.device)
    numbers = torch.view_as_real(X) if X.is_complex() else X
    numbers.uniform_(-0.5, 0.5, generator=torch.Generator(H.device).manual_seed(seed))
    energy, bonds, residual, settled, change, iteration = 1.0, math.nan, math.inf, False, math.inf, 0
    while iteration < _ITERATIONS and residual > max(RESIDUAL_PER_GAP * energy, residual_rounding(precision)):
        progress("inverse iteration", iteration, None)
        norm, new_bonds = apply_inverse(H, X, energy)
        previous, energy = energy, bonds / norm if iteration else 1.0
        bonds, iteration = new_bonds, iteration + 1
        if iteration > 2:
            change, before = abs(energy - previous) / energy, change
            settled = change <= _TOLERANCE or (change <= _FLOOR and change >= before / 2)
        if settled or iteration == _ITERATIONS:
            # a few numbers in float32 hide in their rounding that the energy still falls: then the vector does not pass
            energy, residual = _normalised(H, X)
            bonds = energy
    return Iterated(energy, residual, iteration, settled)


def _normalised(H: DeviceHamiltonian, X: Tensor) -> tuple[float, float]:
    """X becomes a unit vector outside the ground space, in place: its energy and residual."""
    remove_ground(H, X)
    X /= H.norm(H.stored(X))
    rows = H.stored(X)
    energy = H.bonds(rows) / H.norm(rows) ** 2
    return energy, H.residual(rows, energy)


def project_data(H: DeviceHamiltonian, x: Tensor) -> Tensor:
    """The part of a data vector in the ground space: all of it, or that along x0 of H_in."""
    return x.clone() if H.initial is None else H.initial * torch.vdot(H.initial, x)


def apply_inverse(H: DeviceHamiltonian, X: Tensor, scale: float) -> tuple[float, float]:
    """X becomes H⁺(scale·X) plus some vector of the ground space, in place.

    Returns ‖X‖² of the old X outside the ground space, and ‖BX‖² of the new one.
    """
    T = H.T
    norm = torch.zeros((), dtype=torch.float64, device=H.device)
    carried, moved = torch.zeros_like(H.data_vector()), H.data_vector()
    for j in range(T, -1, -1):  # s_j = U_{j+1}†s_{j+1} - scale·X_j, stored one clock later than it is numbered
        if j < T:
            H.steps.adjoint(j, carried, moved)
            carried, moved = moved, carried
        x = X[j].to(H.work)
        norm += torch.linalg.vector_norm(x) ** 2
        carried.sub_(x, alpha=scale)
        if j:
            X[j] = carried
    carried.neg_()  # scale·Σ_j U_1†…U_j†X_j, everything carried back to the first clock
    mean = project_data(H, carried) / (T + 1)
    inside = (T + 1) * torch.linalg.vector_norm(mean) ** 2 / scale**2
    x = torch.zeros_like(carried) if H.initial is None else H.outside_initial(carried)
    bonds = torch.linalg.vector_norm(x) ** 2
    X[0] = x
    for j in range(T):  # x_{j+1} = U_j x_j - g_j
        H.steps.apply(j, mean, moved)
        mean, moved = moved, mean
        g = torch.add(X[j + 1].to(H.work), mean, alpha=T - j)
        bonds += torch.linalg.vector_norm(g) ** 2
        H.steps.apply(j, x, moved)
        x, moved = moved.sub_(g), x
        X[j + 1] = x
    return float(norm - inside), float(bonds)


def remove_ground(H: DeviceHamiltonian, X: Tensor) -> None:
    """X less its projection on the ground space, in place."""
    carried, moved = X[H.T].to(H.work, copy=True), H.data_vector()
    for j in range(H.T - 1, -1, -1):
        H.steps.adjoint(j, carried, moved)
        carried, moved = moved.add_(X[j].to(H.work)), carried
    mean = project_data(H, carried) / (H.T + 1)
    for j in range(H.T + 1):
        X[j] -= mean.to(X.dtype)
        if j < H.T:
            H.steps.apply(j, mean, moved)
            mean, moved = moved, mean


__all__ = [
    "Iterated",
    "apply_inverse",
    "energy_rounding",
    "lowest_excited",
    "most_clock_states",
    "remove_ground",
    "residual_rounding",
]
