"""What the closed forms predict for machines: printed beside the computed numbers, and compared with them."""

from __future__ import annotations

import numpy as np

from hamiltonians.clock import ClockHamiltonian
from hamiltonians.paths import PathKind, closed_form
from hamiltonians.steps import CellSteps


def history_gap(T: int) -> float | None:
    """2 - 2cos(π/(T+1)), the gap of the history's own path; None for T = 0, where H = 0 on it."""
    return _two_minus_two_cos(np.pi / (T + 1)) if T else None


def degeneracy(H: ClockHamiltonian) -> int | None:
    """The dimension of the ground space; None where nothing is predicted.

    `configuration`: 1. `tape`: |Σ|^(cells never read). `function`: one ground state an input, 1 with H_in. Unitary
    steps: d, 1 with H_in.
    """
    if H.space == "configuration":
        return 1
    if isinstance(H.steps, CellSteps):
        return int(H.steps.base) ** (H.steps.cells - len(np.unique(H.steps.cell)))
    if H.space == "function" and H.readout is not None:
        return len(H.readout.starts)
    if H.steps.unitary:
        return H.d if H.initial is None else 1
    return None


def gap(H: ClockHamiltonian, census: dict[PathKind, int] | None) -> float | None:
    """The gap by the closed forms; None where there is no gap or no formula.

    `configuration`, `function` and unitary steps: 2 - 2cos(π/(T+1)), with H_in and at least two orthogonal ground
    states without it 2 - 2cos(π/(2T+3)); rows off the histories have energy 1 at the clock ends, which is lower for T
    = 1.
    `tape`: the lowest of the formulas for the paths in the census.
    """
    if H.space == "tape":
        return None if census is None else min(_above_zero(census), default=None)
    if H.space not in ("configuration", "function") and not H.steps.unitary:
        return None
    T, formulas = H.T, []
    if T:
        formulas.append(_two_minus_two_cos(np.pi / (T + 1)))
        if not H.steps.unitary:
            formulas.append(1.0)
    if H.initial is not None and _histories(H) >= 2:
        formulas.append(_two_minus_two_cos(np.pi / (2 * T + 3)))
    return min(formulas, default=None)


def energies(census: dict[PathKind, int], k: int) -> list[float]:
    """The k lowest energies of a direct sum of paths by the closed forms, with multiplicity."""
    found: list[float] = []
    for kind, count in census.items():
        found += [e for e in closed_form(kind, k).tolist() for _ in range(min(count, k))]
        found = sorted(found)[:k]
    return found


def _histories(H: ClockHamiltonian) -> int:
    """Orthogonal ground states that H would have without H_in."""
    if H.space == "function":
        return int(np.count_nonzero(H.steps.data().images[0] >= 0)) if H.T else H.d
    return H.d


def _above_zero(census: dict[PathKind, int]) -> list[float]:
    found = []
    for kind in census:
        energies = closed_form(kind, kind.zero_modes + 1)[kind.zero_modes :]
        found += [float(e) for e in energies]
    return found


def _two_minus_two_cos(angle: float) -> float:
    return float(4 * np.sin(angle / 2) ** 2)  # the same, without cancellation
