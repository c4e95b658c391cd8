"""Bytes of the torch engine: one set of formulas for the guard before an allocation and for `plan`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, final

import numpy as np
import torch

from hamiltonians import kernels
from hamiltonians.clock import ClockHamiltonian
from hamiltonians.components import is_path_like
from hamiltonians.errors import MemoryEstimateError
from hamiltonians.memory import available_memory, in_figures, in_units, memory_limit, require_memory
from hamiltonians.solve import Precision

Route = Literal["sweeps", "strands", "pinned"]
KINDS = {
    kernels.HOP: "configurations",
    kernels.CELL: "tape cells",
    kernels.PARTIAL: "partial permutations",
    kernels.PERMUTATION: "permutations",
    kernels.GATE: "gates",
    kernels.MATRIX: "matrices",
}
_DATA_VECTORS = (
    16  # of the sweeps, in float64: what is carried, its image, temporaries, and what allocators keep of them
)
_PIVOT_BYTES = 72  # a data state and shift: eight vectors of the counting loop in float64, and its masks and lists
_HOP_BYTES = 2**16  # of a single path: a thousand shifts
#: numbers that are turned from clock-major to the public order at once on their way to the host, and clock states at
#: least: a line of the host's cache holds eight
_TURNED = 2**19
_TURNED_CLOCKS = 8
_DENSE = 8  # matrices with more than one element in so many are multiplied as dense ones
_STEP_OBJECTS = 2**10  # of one step, however small: the objects of Python, NumPy and torch that hold its numbers
#: data states times shifts that are counted in one pass: below, a pass takes as long as its Python
POINTS = 2**15
MOST_SHIFTS = 64


@final
@dataclass(frozen=True)
class Problem:
    """What the bytes depend on.

    Attributes
    ----------
    kind : of steps, as in `hamiltonians.kernels`.
    d, T : data states and steps.
    entries : non-zero elements of one step, at most.
    complex_valued, precision : of the vectors.
    vectors : states that are kept.
    route : "sweeps" (unitary steps), "strands" (partial permutations: data vectors only) or "pinned" (the same with
        H_in on a vector that is no basis state).
    """

    kind: int
    d: int
    T: int
    entries: int
    complex_valued: bool
    precision: Precision
    vectors: int
    route: Route

    @classmethod
    def of(cls, H: ClockHamiltonian, precision: Precision, vectors: int) -> Problem:
        """The problem that H is."""
        kind = H.steps.data().kind
        most = H.d
        if kind == kernels.MATRIX:
            most = int(np.diff(H.steps.data().indptr[:, [0, -1]], axis=1).max(initial=0))
        elif kind == kernels.PARTIAL:
            most = max(int(np.count_nonzero(row >= 0)) for row in H.steps.data().images)
        complex_valued = H.dtype.kind == "c"
        return cls(kind, H.d, H.T, most, complex_valued, precision, vectors, route_of(H))

    @property
    def clock_states(self) -> int:
        """N."""
        return self.T + 1

    @property
    def rows(self) -> int:
        """dN."""
        return self.d * self.clock_states

    @property
    def number(self) -> int:
        """Bytes of a number in float64 or complex128."""
        return 16 if self.complex_valued else 8


def route_of(H: ClockHamiltonian) -> Route:
    """Which search a Hamiltonian takes; general contractions are refused elsewhere."""
    if H.steps.unitary:
        return "sweeps"
    return "strands" if is_path_like(H) else "pinned"


def clocks_at_once(d: int) -> int:
    """Data vectors that are turned to the public order, or back, at once."""
    return max(_TURNED_CLOCKS, _TURNED // d)


def is_dense(entries: int, d: int) -> bool:
    """Whether a d×d matrix with so many elements is multiplied as a dense one, and kept as one."""
    return _DENSE * entries >= d**2


def device_parts(problem: Problem) -> dict[str, int]:
    """What the search needs on the device at least: name and bytes. Steps come a step at a time."""
    d = problem.d
    if problem.route == "sweeps":
        item = problem.number // (2 if problem.precision == "float32" else 1)
        parts = {"the vector of the inverse iteration": item * problem.rows}
        parts["data vectors"] = _DATA_VECTORS * problem.number * d
    else:
        hops = problem.kind == kernels.HOP and problem.route == "strands"  # one path, and single rows by their number
        parts = {"pivots of one clock state": d + _HOP_BYTES if hops else _PIVOT_BYTES * max(2 * d, POINTS)}
        if problem.route == "pinned":
            parts["the vector of the inverse iteration"] = problem.number * problem.rows
            parts["the pivots"] = 8 * problem.rows
            parts["data vectors"] = _DATA_VECTORS * problem.number * d
    if problem.route != "strands":
        parts["clock states turned round"] = 5 * problem.number * min(problem.rows, d * clocks_at_once(d))
    if problem.T:
        parts["one step"] = _step_bytes(problem)
    return parts


def resident_steps(problem: Problem) -> int:
    """Bytes of all steps on the device, where they stay there because they fit."""
    return problem.T * _listed_bytes(problem)


def host_parts(problem: Problem) -> dict[str, int]:
    """What is needed on the host beside H: the states, in float64."""
    k, N = problem.vectors, problem.clock_states
    parts = {}
    if problem.kind != kernels.HOP:
        parts["steps one by one"] = _STEP_OBJECTS * problem.T
    if problem.kind in (kernels.PARTIAL, kernels.MATRIX):
        parts["copies of the steps"] = _listed_bytes(problem) * problem.T
    if problem.kind == kernels.MATRIX:
        # values twice while they are packed, columns of 32 bits, and where rows begin
        parts["the matrices packed"] = ((2 * problem.number + 4) * problem.entries + 8 * (problem.d + 1)) * problem.T
    if problem.route == "strands":
        # every state lives on one path of at most N rows: their row numbers, sorted, and the block of all of them
        parts["states"] = k * N * (32 + 2 * 8 * k)
    else:
        parts["states"] = problem.number * k * problem.rows
        parts["their data vectors"] = 4 * problem.number * k * problem.d
    return parts


def bytes_on_cpu(problem: Problem) -> int:
    """What is needed where device and host are one memory: unitary steps fill the states when the vector is gone."""
    on_device, on_host = device_parts(problem), host_parts(problem)
    total, held = sum(on_device.values()), sum(on_host.values())
    if problem.route != "sweeps":
        return total + held
    states = on_host["states"] + on_host["their data vectors"]
    return held + max(total - states, total - on_device["the vector of the inverse iteration"])


def require_room(problem: Problem, device: torch.device) -> None:
    """Refuse a search that does not fit, before anything is allocated.

    Raises
    ------
    MemoryEstimateError : states what is needed, what is free, and the way out.
    """
    rows, fewer = in_figures(problem.rows), replace(problem, vectors=1)
    single = replace(problem, precision="float32")

    def on_device_of(problem: Problem) -> int:
        return bytes_on_cpu(problem) if device.type == "cpu" else sum(device_parts(problem).values())

    on_device, on_host = on_device_of(problem), sum(host_parts(problem).values())
    ways = "keep fewer `vectors`, or " if on_device_of(fewer) < on_device else ""
    ways += "take precision='float32', or " if on_device_of(single) < on_device else ""
    ways += "choose a smaller data space"
    states = f"{problem.vectors} state{'s' if problem.vectors > 1 else ''}"
    if device.type == "cpu":
        require_memory(on_device, f"a search over {rows} rows with {states}", ways)
        return
    require_memory(on_host, f"{states} of {rows} rows", "keep fewer `vectors`, or choose a smaller data space")
    free = free_on(device)
    if on_device > free:
        allowed = "are free" if memory_limit.get() is None else "may be taken (`--memory-limit`, or what is free)"
        sizes = f"{in_units(on_device)} needed, but {in_units(free)} {allowed}"
        raise MemoryEstimateError(f"a search over {rows} rows on {device}: {sizes}; {ways}")


def steps_stay(problem: Problem, device: torch.device) -> bool:
    """Whether all steps fit on the device beside the search; on a CPU they are the host's own arrays."""
    if device.type == "cpu":
        return True
    return sum(device_parts(problem).values()) + resident_steps(problem) <= free_on(device)


def free_on(device: torch.device) -> int:
    """Bytes that may be taken on a device: what is free, or the user's limit where that is lower."""
    if device.type == "cpu":
        return available_memory()
    free = int(torch.cuda.mem_get_info(device)[0])
    # what torch's allocator holds and does not use is free for us
    free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    limit = memory_limit.get()
    return free if limit is None else min(free, limit)


def _listed_bytes(problem: Problem) -> int:
    """Bytes of the index lists or elements of one step; gates, cells and configurations have none."""
    if problem.kind == kernels.PERMUTATION:
        return 4 * problem.d
    if problem.kind == kernels.PARTIAL:
        return 8 * problem.entries
    if problem.kind == kernels.MATRIX:
        if is_dense(problem.entries, problem.d):
            return problem.number * problem.d**2
        return (8 + problem.number) * problem.entries
    return 0


def _step_bytes(problem: Problem) -> int:
    # PyTorch writes by 64-bit indices; a matrix is copied to the vector's dtype and where it is conjugated, and one as
    # triplets has its products beside it
    if problem.kind in (kernels.PERMUTATION, kernels.PARTIAL):
        return _listed_bytes(problem) + 8 * problem.entries
    if problem.kind == kernels.MATRIX:
        return 3 * _listed_bytes(problem)
    return 0
