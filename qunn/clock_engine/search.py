"""The engine itself: `ground_state(H, engine="torch", device=…, precision=…)`."""

from __future__ import annotations

import re

import numpy as np
import torch

from hamiltonians.clock import ClockHamiltonian
from hamiltonians.errors import InputError, MemoryEstimateError, must_be, one_of
from hamiltonians.result import GroundState
from hamiltonians.solve import Request
from hamiltonians.solvers.inverse import converged_below
from qunn.clock_engine import frame, pinned, strands
from qunn.clock_engine.found import Found
from qunn.clock_engine.memory import Problem, require_room, steps_stay
from qunn.clock_engine.operator import DeviceHamiltonian
from qunn.clock_engine.sweeps import energy_rounding

SOLVERS = ("auto", "sweep")
_DISCERNIBLE = 1e-3  # of a gap: an energy that storing the vector changes by more is not checked by it


def solve(H: ClockHamiltonian, solver: str, request: Request) -> GroundState:
    """The low end of H on a device.

    Raises
    ------
    InputError : another solver than sweep, steps that are general contractions, a device that is not there, or more
        clock states than float32 can tell from rounding.
    MemoryEstimateError : the search would need more memory than is free.
    """
    if solver not in SOLVERS:
        raise must_be("solver", f"{one_of(SOLVERS)} with engine='torch'", solver)
    device = device_of(request.device)
    if not (H.steps.unitary or H.steps.monomial):
        raise InputError(
            "`engine` must be numpy here: torch's needs steps that are unitary or partial permutations", "engine"
        )
    H.require_row_numbers()
    problem = Problem.of(H, request.precision, request.vectors)
    if problem.route == "sweeps":
        _require_digits(H, request)
    require_room(problem, device)
    try:
        there = DeviceHamiltonian.of(H, device, resident=steps_stay(problem, device))
        method = {"sweeps": frame.solve, "strands": strands.solve, "pinned": pinned.solve}[problem.route]
        found = method(there, request)
    except torch.cuda.OutOfMemoryError as error:
        require_room(problem, device)  # what is free may have changed: then this says so
        raise MemoryEstimateError(
            f"a search over {problem.rows:,} rows on {device} fits by its estimate, but the card has no piece of that "
            "size left; end what else runs there, or keep fewer `vectors`"
        ) from error
    name = f"sweep, torch on {device} in {request.precision}"
    return _judged(H, found, f"{name} (chosen by auto)" if solver == "auto" else name)


def device_of(name: str) -> torch.device:
    """cpu, cuda or cuda:N.

    Raises
    ------
    InputError : another name, or a card that torch does not see.
    """
    match = re.fullmatch(r"cpu|cuda(?::([0-9]+))?", name)
    if match is None:
        raise must_be("device", "cpu, cuda or a card's number such as cuda:1", name)
    if name == "cpu":
        return torch.device("cpu")
    cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if cards == 0:
        raise must_be("device", "cpu here: torch sees no CUDA card", name)
    number = int(match.group(1) or 0)
    if number >= cards:
        raise must_be("device", f"one of cuda:0 to cuda:{cards - 1} here", name)
    return torch.device("cuda", number)


def _require_digits(H: ClockHamiltonian, request: Request) -> None:
    """Refuse clock states whose gap, π²/(4N²) with H_in, is lost in the rounding of the vector that checks it."""
    most = int(np.sqrt(_DISCERNIBLE * np.pi**2 / 4 / energy_rounding(request.precision)))
    if H.clock_states > most:
        raise InputError(
            f"`precision` must be float64 for more than {most:,} clock states, but is {request.precision} for "
            f"{H.clock_states:,}",
            "precision",
        )


def _judged(H: ClockHamiltonian, found: Found, solver: str) -> GroundState:
    """The result, and whether its residuals are what its tolerance promises."""
    allowed = converged_below(H, found.gap)
    failure = found.failure
    for worst, most in ((max(found.residuals), allowed), (found.gap_residual or 0, max(allowed, found.gap_rounding))):
        if failure is None and not worst <= most:
            failure = f"a residual of {worst:.1e} is above the {most:.1e} that its tolerance allows"
    return GroundState(
        energies=found.energies,
        states=found.states,
        indices=found.indices,
        residual=found.residuals[0],
        degeneracy=found.degeneracy,
        gap=found.gap,
        gap_residual=found.gap_residual,
        gap_component=found.gap_component,
        converged=failure is None,
        solver=solver,
        message=found.message if failure is None else f"{found.message}; not converged: {failure}",
        error=found.error,
    )


__all__ = ["SOLVERS", "device_of", "solve"]
