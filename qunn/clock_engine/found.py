"""What the three searches hand to `search`, and states on their way to the host."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hamiltonians.paths import PathKind
from qunn.clock_engine.memory import clocks_at_once
from qunn.clock_engine.operator import DeviceHamiltonian, Rows


@final
@dataclass(frozen=True)
class Found:
    """The low end of a spectrum.

    Attributes
    ----------
    energies, states, indices, degeneracy, gap, gap_component : as in `hamiltonians.result.GroundState`.
    residuals : of the states.
    gap_residual : of the vector behind the gap, and `gap_rounding` what its precision may leave of it.
    error : relative error allowed for in energies and gap.
    message : what was done.
    failure : why it did not converge, or None.
    """

    energies: NDArray[np.float64]
    states: NDArray[Any]
    indices: NDArray[np.int64] | None
    residuals: list[float]
    degeneracy: int
    gap: float | None
    error: float
    message: str
    failure: str | None = None
    gap_residual: float | None = None
    gap_rounding: float = 0.0
    gap_component: PathKind | None = None


def history_rows(H: DeviceHamiltonian, x: Tensor, phi: NDArray[np.float64]) -> Rows:
    """φ_j U_j…U_1 x for every clock j, one data vector after the other."""

    def rows() -> Iterator[Tensor]:
        carried, moved = x.clone(), torch.empty_like(x)
        for j, weight in enumerate(phi):
            yield carried * float(weight)
            if j < H.T:
                H.steps.apply(j, carried, moved)
                carried, moved = moved, carried

    return rows


def fill_history(H: DeviceHamiltonian, X: Tensor, x: Tensor) -> None:
    """Overwrite X with the history state of the data vector x, carried in float64 and stored as X is."""
    phi = np.full(H.T + 1, 1 / np.sqrt(H.T + 1))
    for j, row in enumerate(history_rows(H, x, phi)()):
        X[j] = row


def checked(H: DeviceHamiltonian, rows: Rows) -> tuple[float, float]:
    """Energy and residual of a vector that comes clock by clock, for its norm as it is."""
    norm = H.norm(rows)
    energy = H.bonds(rows) / norm**2
    return energy, H.residual(rows, energy) / norm


def to_host(H: DeviceHamiltonian, rows: Rows, out: NDArray[Any]) -> None:
    """A vector in the public order into `out`, (dimension,): some clock states at a time, turned on the device."""
    target = out.reshape(H.d, H.T + 1)
    most = min(clocks_at_once(H.d), H.T + 1)
    block = torch.empty(most, H.d, dtype=H.work, device=H.device)
    for j, row in enumerate(rows()):
        block[j % most] = row
        if (j + 1) % most == 0 or j == H.T:
            first = j - j % most
            target[:, first : j + 1] = block[: j + 1 - first].T.contiguous().cpu().numpy()


__all__ = ["Found", "checked", "fill_history", "history_rows", "to_host"]
