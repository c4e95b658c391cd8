"""How many eigenvalues lie below a shift: H - μ = L D L† along the clock, on data vectors alone.

For partial permutations H is a direct sum of paths, and eliminating the clock states from the last one to the first
leaves diagonal pivots. By Sylvester's law of inertia as many of them are negative as there are eigenvalues below μ:

    p_T(x) = touching_T - μ,    p_j(x) = touching_j - μ - [step j is defined on x] / p_{j+1}(U_j x),    + H_in on p_0.

With p = 1 + t this is t_j = t_{j+1}/(1 + t_{j+1}) - μ behind a bond, 1 - μ where there is none, -μ on the last clock
state: the stationary qd transform of the paths' B†B, whose entries are 0 and ±1 and hence exact. Each rounding changes
one of N factors by a few ε, so that a count at μ is the true count at some μ(1 + δ) with |δ| ≤ 4Nε, *relatively*, also
next to zero (Dhillon and Parlett 2004; a count from the p alone is off by some ε absolutely, which is ε N² of a gap).
Closer to an eigenvalue than `trust(N)` a count says nothing.

H_in = I - |x><x| on a vector x that is no basis state pins every path, less a term of rank one, which the last pivots
p_0 see: negative is one eigenvalue more where 1 - <x|p_0⁻¹|x> = Σ |x_i|² t_i/(1 + t_i) < 0.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import final

import numpy as np
import torch
from torch import Tensor

from qunn.clock_engine.memory import MOST_SHIFTS, POINTS
from qunn.clock_engine.operator import DeviceHamiltonian
from qunn.clock_engine.steps import HopSteps

_EPSILON = float(np.finfo(np.float64).eps)
_TINY = 2.0**-300  # in place of a pivot that is zero: lost against any other, and its inverse is finite
_PATH_SHIFTS = 1024  # of a single path: a pass over it takes as long for one

#: what is done with pivots (shifts, d): called with the clock, the pivots, and t = pivot - 1
Visit = Callable[[int, Tensor, Tensor], None]


def trust(clock_states: int) -> float:
    """Relative distance from an eigenvalue at which a count can be trusted: 4Nε."""
    return 4 * clock_states * _EPSILON


class Counter(ABC):
    """Counts of eigenvalues below shifts.

    Attributes
    ----------
    total : all eigenvalues.
    clock_states : N.
    at_once : how many shifts one pass takes.
    """

    total: int
    clock_states: int
    at_once: int

    @abstractmethod
    def count(self, shifts: Sequence[float]) -> list[int]:
        """How many eigenvalues lie below each shift > 0."""


@final
class PathCounter(Counter):
    """One path along all of the clock, free or pinned on clock 0: in the frame V a strand of unitary steps."""

    def __init__(self, clock_states: int, pinned: bool, device: torch.device) -> None:
        self.total = self.clock_states = clock_states
        self.at_once = _PATH_SHIFTS
        self._pinned, self._device = pinned, device

    def count(self, shifts: Sequence[float]) -> list[int]:
        """Negative pivots; the N pivots of all shifts in N steps."""
        mu = torch.tensor(list(shifts), dtype=torch.float64, device=self._device)
        t, found = -mu, torch.zeros(len(mu), dtype=torch.int64, device=self._device)
        for _ in range(self.clock_states - 1):
            p = t.add(1).add_(_TINY)
            found += p < 0
            t = torch.addcdiv(-mu, t, p)
        found += (t + self._pinned) < 0
        return list(map(int, found.tolist()))


class Strands(Counter):
    """Counts of a direct sum of paths, and where the paths are."""

    @abstractmethod
    def starts(self, low: float, high: float, most: int) -> list[tuple[int, int]]:
        """(data state, clock) of the first nodes of up to `most` paths with an eigenvalue from `low` to `high`."""

    @abstractmethod
    def whole(self) -> Tensor:
        """A mask of the data states on clock 0 whose paths reach the last clock state (and are not pinned)."""


@final
class HopStrands(Strands):
    """`configuration` space: one path along all of the clock, and all other rows alone with their diagonal.

    basis : the basis state of H_in, or None.
    """

    def __init__(self, H: DeviceHamiltonian, basis: int | None) -> None:
        self.H, self._basis = H, basis
        self.total, self.clock_states, self.at_once = H.H.dimension, H.T + 1, _PATH_SHIFTS
        self._path = PathCounter(H.T + 1, basis not in (None, 0), torch.device("cpu"))

    def _alone(self) -> list[tuple[int, range, int]]:
        """(diagonal, clocks, how many data states at each) of the rows that no bond touches."""
        T, others = self.H.T, self.H.d - 1
        rows = [(2, range(1, T), others), (1, range(T, T + 1), others)]
        if self._basis is None:
            return [*rows, (1, range(1), others)]
        free = int(self._basis != 0)
        return [*rows, (2, range(1), others - free), (1, range(1), free)]

    def count(self, shifts: Sequence[float]) -> list[int]:
        """Those of the path, and the diagonals below each shift."""
        alone = [(value, len(clocks) * states) for value, clocks, states in self._alone()]
        counts = self._path.count(shifts)
        return [n + sum(many for value, many in alone if value < mu) for n, mu in zip(counts, shifts, strict=True)]

    def starts(self, low: float, high: float, most: int) -> list[tuple[int, int]]:
        """The path's own start, then rows alone."""
        below, above = self._path.count([low, high])
        found = [(0, 0)] if above > below else []
        for value, clocks, states in self._alone():
            if not (low <= value < high and states):
                continue
            for clock in clocks:
                pinned = clock == 0 and self._basis is not None
                for x in range(self.H.d):
                    if len(found) == most:
                        return found
                    # on clock 0 with H_in the free row is that of its basis state, and the pinned ones are the others
                    if x != clock and (not pinned or (x == self._basis) == (value == 1)):
                        found.append((x, clock))
        return found

    def whole(self) -> Tensor:
        """The first configuration, unless it is pinned."""
        mask = torch.zeros(self.H.d, dtype=torch.bool, device=self.H.device)
        mask[0] = self._basis in (None, 0)
        return mask


def strands_of(H: DeviceHamiltonian, basis: int | None) -> Strands:
    """What counts the paths of partial permutations."""
    return HopStrands(H, basis) if isinstance(H.steps, HopSteps) else StrandCounter(H, basis)


@final
class StrandCounter(Strands):
    """All paths of partial permutations at once.

    basis : the basis state of H_in, if it is one; `vector` : |x_i|² of any other x, or None.
    """

    def __init__(self, H: DeviceHamiltonian, basis: int | None) -> None:
        self.H, self.basis = H, basis
        self.total, self.clock_states = H.H.dimension, H.T + 1
        self.at_once = max(1, min(MOST_SHIFTS, POINTS // H.d))
        self.weights = None
        if H.initial is not None and basis is None:
            self.weights = H.initial.abs() ** 2
            self.weights /= self.weights.sum()

    def count(self, shifts: Sequence[float]) -> list[int]:
        """Negative pivots, some shifts a pass."""
        found: list[int] = []
        for first in range(0, len(shifts), self.at_once):
            here = shifts[first : first + self.at_once]
            counts = torch.zeros(len(here), dtype=torch.int64, device=self.H.device)

            def add(clock: int, p: Tensor, t: Tensor, counts: Tensor = counts) -> None:
                counts.add_((p < 0).sum(-1))
                if clock == 0 and self.weights is not None:
                    counts.add_(self.secular(p, t) < 0)

            self.eliminate(here, add)
            found += list(map(int, counts.tolist()))
        return found

    def secular(self, p: Tensor, t: Tensor) -> Tensor:
        """1 - <x|p_0⁻¹|x> from the pivots of clock 0, with all its digits."""
        assert self.weights is not None
        return (self.weights * t / p).sum(-1)

    def eliminate(self, shifts: Sequence[float], visit: Visit) -> None:
        """The pivots of H - μ (pinned everywhere if x is no basis state), from the last clock state to the first."""
        H = self.H
        mu = torch.tensor(list(shifts), dtype=torch.float64, device=H.device)[:, None]
        t = (-mu).expand(-1, H.d).contiguous()
        q, p = torch.empty_like(t), torch.empty_like(t)
        for clock in range(H.T, 0, -1):
            torch.add(t, 1, out=p).add_(_TINY)
            visit(clock, p, t)
            torch.addcdiv(-mu, t, p, out=q)
            H.steps.adjoint(clock - 1, q, t, fill=1 - mu)
        # one term fewer touches clock 0: here t is the pivot itself, and 1 + t that of a pinned state
        p.copy_(t)
        if self.weights is not None:
            p.add_(1).add_(_TINY)
        elif self.basis is not None:
            p.add_(1)
            p[:, self.basis] = t[:, self.basis]
        visit(0, p, t)

    def starts(self, low: float, high: float, most: int) -> list[tuple[int, int]]:
        """(data state, clock) of the first nodes of up to `most` paths with an eigenvalue from `low` to `high`.

        Counts are carried along each path; where it begins, those of the two shifts differ.
        """
        H = self.H
        one = torch.ones(H.d, dtype=torch.float64, device=H.device)
        counts = torch.zeros(2, H.d, dtype=torch.float64, device=H.device)
        moved, covered = torch.empty_like(counts), torch.empty_like(one)
        found: list[tuple[int, int]] = []

        def carry(clock: int, p: Tensor, t: Tensor) -> None:  # noqa: ARG001
            counts.add_(p < 0)
            begun = counts[1] != counts[0]
            if clock:
                H.steps.apply(clock - 1, one, covered)
                begun &= covered == 0
            if len(found) < most and bool(begun.any()):
                x = torch.nonzero(begun)[: most - len(found), 0]
                found.extend((int(i), clock) for i in x.tolist())
            if clock:
                H.steps.adjoint(clock - 1, counts, moved)
                counts.copy_(moved)

        self.eliminate([low, high], carry)
        return found

    def whole(self) -> Tensor:
        """A mask of the data states on clock 0 whose paths reach the last clock state (and are not pinned)."""
        H = self.H
        alive, moved = torch.ones(H.d, dtype=torch.float64, device=H.device), H.data_vector().real.clone()
        for j in range(H.T - 1, -1, -1):
            H.steps.adjoint(j, alive, moved)
            alive, moved = moved, alive
        mask = alive > 0
        if self.basis is not None:
            only = torch.zeros_like(mask)
            only[self.basis] = mask[self.basis]
            return only
        return mask


__all__ = ["Counter", "HopStrands", "PathCounter", "StrandCounter", "Strands", "strands_of", "trust"]
