"""The largest problem that a memory holds, before anything is built: `python -m qunn.ground_state --plan`.

Every number comes from the formulas that guard the allocation (`qunn.clock_engine.memory`).

    plan(memory_bytes, precision="float64", *, device="cuda", clock_states=1000, vectors=1, base=2, H=None) -> Plan

`Plan.as_text()` is what is printed, `Plan.as_dict()` what goes into JSON.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, final

from hamiltonians import kernels
from hamiltonians.clock import ClockHamiltonian
from hamiltonians.errors import must_be, one_of
from hamiltonians.memory import in_figures, in_units
from hamiltonians.solve import PRECISIONS, Precision
from qunn.clock_engine.memory import KINDS, Problem, Route, bytes_on_cpu, device_parts, host_parts
from qunn.clock_engine.search import card_number, require_served
from qunn.clock_engine.sweeps import most_clock_states

_ROW_NUMBERS = 2**63  # more rows have no numbers of 64 bits, and every engine refuses them
_ENTRIES = 4  # non-zero elements a row that a step given as matrices is planned with
#: data states that a kind of steps has at most: images and columns are numbers of 32 bits, and qubits are 40
_MOST_DATA = {
    kernels.PARTIAL: 2**31 - 1,
    kernels.PERMUTATION: 2**31 - 1,
    kernels.MATRIX: 2**31 - 1,
    kernels.GATE: 2**40,
}

_BY_TIME = tuple(KINDS[kind] for kind in (kernels.HOP, kernels.CELL, kernels.PARTIAL))


@final
@dataclass(frozen=True)
class Fit:
    """One problem and its bytes.

    Attributes
    ----------
    steps : the kind of steps.
    d, clock_states, rows : its size; rows = d · clock_states.
    device_bytes, host_bytes : what the search takes on the device and, beside H itself, on the host; the same memory
        where the device is the CPU.
    fits : whether that fits in the memory that was asked about.
    bytes_per_row : device bytes by name, divided by the rows.

    Examples
    --------
    >>> from qunn.clock_engine.plan import plan
    >>> fit = plan(16 * 2**30, clock_states=1000).largest[-1]
    >>> fit.fits, fit.rows == fit.d * fit.clock_states
    (True, True)
    """

    steps: str
    d: int
    clock_states: int
    rows: int
    device_bytes: int
    host_bytes: int
    fits: bool
    bytes_per_row: dict[str, float]


@final
@dataclass(frozen=True)
class Plan:
    """The largest problem of every kind of steps that a memory holds, and whether a given one fits.

    Attributes
    ----------
    memory_bytes, precision, device, clock_states, vectors : what was asked.
    largest : one entry a kind of steps, with the largest d (a power of the base for tapes and of 2 for gates).
    problem : of the H that was given, or None.

    Examples
    --------
    >>> from hamiltonians import ClockHamiltonian
    >>> from qunn.clock_engine.plan import plan
    >>> told = plan(16 * 2**30, H=ClockHamiltonian.from_steps([[1, 2, 0]] * 9))
    >>> told.problem.rows, told.problem.fits
    (30, True)
    """

    memory_bytes: int
    precision: Precision
    device: str
    clock_states: int
    vectors: int
    largest: tuple[Fit, ...]
    problem: Fit | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def as_text(self) -> str:
        """A table for people."""
        lines = [
            f"{in_units(self.memory_bytes)} on {self.device}, {self.precision}, {self.clock_states:,} clock states, "
            f"{self.vectors} state{'s' if self.vectors > 1 else ''} kept",
            "",
            f"{'steps':<22}{'data states':>20}{'rows':>24}{'bytes a row':>13}{'states on the host':>20}",
        ]
        lines += [_line(fit) for fit in self.largest]
        if any(fit.steps in _BY_TIME for fit in self.largest):
            lines.append("configurations, tape cells, partial permutations: no vector over all rows; time ends first")
        if self.problem is not None:
            fit = self.problem
            verdict = "fits" if fit.fits else "does not fit"
            lines += [
                "",
                f"this problem: {fit.steps}, {in_figures(fit.d)} data states, {in_figures(fit.rows)} rows: {verdict}",
                f"  on the host {in_units(fit.host_bytes)} beside H, on the device {in_units(fit.device_bytes)}:",
                *(f"    {name}: {value:.3g} bytes a row" for name, value in fit.bytes_per_row.items()),
            ]
        return "\n".join(lines)


def plan(
    memory_bytes: int,
    precision: Precision = "float64",
    *,
    device: str = "cuda",
    clock_states: int = 1000,
    vectors: int = 1,
    base: int = 2,
    H: ClockHamiltonian | None = None,
) -> Plan:
    """The largest problem that the torch engine solves in so many bytes.

    Parameters
    ----------
    memory_bytes : of the card, or of the machine where `device` is cpu (states count there too).
    clock_states : N = T + 1 of the problems; of configurations N is their number, whatever is given here.
    vectors : states that are kept; they go to the host in float64.
    base : symbols of a tape.
    H : a problem to look at as well.

    Raises
    ------
    InputError : a number that is too small, an unknown precision or device, or an H that the engine does not solve.

    Examples
    --------
    >>> from qunn.clock_engine.plan import plan
    >>> card = plan(141 * 10**9)
    >>> {fit.steps: fit.rows >= 10**10 for fit in card.largest}["permutations"]
    True
    >>> half = plan(141 * 10**9, "float32")
    >>> 1.8 < half.largest[3].rows / card.largest[3].rows < 2
    True
    """
    if precision not in PRECISIONS:
        raise must_be("precision", one_of(PRECISIONS), precision)
    numbers = {"memory_bytes": memory_bytes, "clock_states": clock_states, "vectors": vectors, "base": base - 1}
    for name, number in numbers.items():
        if number < 1:
            raise must_be(name, "at least 1" if name != "base" else "at least 2", number + (name == "base"))
    on_cpu = card_number(device) is None
    if H is not None:
        require_served(H, precision)

    def bytes_of(problem: Problem) -> tuple[int, int]:
        return sum(device_parts(problem).values()), sum(host_parts(problem).values())

    def fits(problem: Problem) -> bool:
        needed = bytes_on_cpu(problem) if on_cpu else bytes_of(problem)[0]
        return needed <= memory_bytes and _is_served(problem)

    def fit(problem: Problem) -> Fit:
        on_device, on_host = bytes_of(problem)
        parts = {name: value / problem.rows for name, value in device_parts(problem).items()}
        names = KINDS[problem.kind], problem.d, problem.clock_states, problem.rows
        return Fit(*names, on_device, on_host, fits(problem), parts)

    def problem(kind: int, d: int) -> Problem:
        route: Route = "strands" if kind in (kernels.HOP, kernels.CELL, kernels.PARTIAL) else "sweeps"
        T = d - 1 if kind == kernels.HOP else clock_states - 1
        entries = _ENTRIES * d if kind == kernels.MATRIX else d
        return Problem(kind, d, T, entries, False, precision, vectors, route)

    largest = []
    for kind in KINDS:
        root = {kernels.CELL: base, kernels.GATE: 2}.get(kind)
        least = 4 if kind == kernels.GATE else root or 1  # a single qubit has no gates, but matrices
        d = _largest(lambda d, kind=kind: fits(problem(kind, d)), least, root)  # type: ignore[misc]
        if d:
            largest.append(fit(problem(kind, d)))
    given = None if H is None else fit(Problem.of(H, precision, min(vectors, H.dimension)))
    return Plan(memory_bytes, precision, device, clock_states, vectors, tuple(largest), given)


def _is_served(problem: Problem) -> bool:
    """Whether the engine takes a problem of this size, whatever the memory."""
    small = problem.rows < _ROW_NUMBERS and problem.d <= _MOST_DATA.get(problem.kind, problem.d)
    return small and (problem.route != "sweeps" or problem.clock_states <= most_clock_states(problem.precision))


def _largest(fits: Callable[[int], bool], least: int, root: int | None) -> int:
    """The largest d that fits, a power of `root` if there is one; 0 where not even the least does."""
    if root is not None:
        d = least
        while fits(d * root):
            d *= root
        return d if fits(d) else 0
    low, high = 0, 1
    while fits(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _line(fit: Fit) -> str:
    per_row = fit.device_bytes / fit.rows
    host = in_units(fit.host_bytes)
    return f"{fit.steps:<22}{in_figures(fit.d):>20}{in_figures(fit.rows):>24}{per_row:>13.3g}{host:>20}"


__all__ = ["Fit", "Plan", "plan"]
