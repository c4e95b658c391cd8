"""The engine itself: `ground_state(H, engine="torch", device=…, precision=…)`."""

from __future__ import annotations

import re

import torch

from hamiltonians.clock import ClockHamiltonian
from hamiltonians.errors import InputError, MemoryEstimateError, must_be, one_of
from hamiltonians.result import GroundState
from hamiltonians.solve import Precision, Request
from hamiltonians.solvers.inverse import large_residual
from qunn.clock_engine import frame, pinned, strands
from qunn.clock_engine.found import Found
from qunn.clock_engine.memory import Problem, require_room, route_of, steps_stay
from qunn.clock_engine.operator import DeviceHamiltonian
from qunn.clock_engine.sweeps import most_clock_states

SOLVERS = ("auto", "sweep")


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
    require_served(H, request.precision)
    problem = Problem.of(H, request.precision, request.vectors)
    require_room(problem, device)
    found = _searched(H, problem, device, request)
    if found is None:  # what the search held is free again, or this would count it as taken
        require_room(problem, device)
        raise MemoryEstimateError(
            f"a search over {problem.rows:,} rows on {device} fits by its estimate, but the card has no piece of that "
            "size left; end what else runs there"
        )
    name = f"sweep, torch on {device} in {request.precision}"
    return _judged(H, found, f"{name} (chosen by auto)" if solver == "auto" else name)


def _searched(H: ClockHamiltonian, problem: Problem, device: torch.device, request: Request) -> Found | None:
    """What the search found, or None where the card was full in spite of the estimate."""
    try:
        there = DeviceHamiltonian.of(H, device, resident=steps_stay(problem, device))
        method = {"sweeps": frame.solve, "strands": strands.solve, "pinned": pinned.solve}[problem.route]
        return method(there, request)
    except torch.cuda.OutOfMemoryError:
        return None


def require_served(H: ClockHamiltonian, precision: Precision) -> None:
    """Refuse what this engine does not solve, whatever the memory.

    Raises
    ------
    InputError : general contractions, rows without numbers of 64 bits, or more clock states than float32 can tell.
    """
    if not (H.steps.unitary or H.steps.monomial):
        raise InputError(
            "`engine` must be numpy here: torch's needs steps that are unitary or partial permutations", "engine"
        )
    H.require_row_numbers()
    most = most_clock_states(precision)
    if route_of(H) == "sweeps" and H.clock_states > most:
        raise InputError(
            f"`precision` must be float64 for more than {most:,} clock states, but is {precision} for "
            f"{H.clock_states:,}",
            "precision",
        )


def card_number(name: object) -> int | None:
    """N of cuda:N, 0 of cuda, None of cpu.

    Raises
    ------
    InputError : another name.
    """
    match = re.fullmatch(r"cpu|cuda(?::([0-9]{1,4}))?", str(name))  # torch.device(…) reads like its name
    if match is None:
        raise must_be("device", "cpu, cuda or a card's number such as cuda:1", name)
    return None if match.group() == "cpu" else int(match.group(1) or 0)


def device_of(name: object) -> torch.device:
    """cpu, cuda or cuda:N.

    Raises
    ------
    InputError : another name, or a card that torch does not see.
    """
    number = card_number(name)
    if number is None:
        return torch.device("cpu")
    cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if cards == 0:
        raise must_be("device", "cpu here: torch sees no CUDA card", name)
    if number >= cards:
        raise must_be("device", f"one of cuda:0 to cuda:{cards - 1} here", name)
    return torch.device("cuda", number)


def _judged(H: ClockHamiltonian, found: Found, solver: str) -> GroundState:
    """The result, and whether its residuals are what its tolerance promises."""
    failure = found.failure or large_residual(
        H, found.energies, found.residuals, found.gap, found.gap_residual, found.gap_rounding
    )
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


__all__ = ["SOLVERS", "card_number", "device_of", "require_served", "solve"]
