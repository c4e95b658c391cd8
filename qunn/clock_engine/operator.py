"""H on a device: its product with a vector, and the checks of a vector that is stored or comes clock by clock.

A vector is X of shape (N, d), clock-major: X[j] is the data vector of clock j. A product reads X once and writes the
result once where the data vectors of three neighbouring clocks stay in the cache; else it reads what each step moves a
second time. Checks take any `Rows`: a function that begins to yield the data vectors from clock 0 on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import final

import numpy as np
import torch
from torch import Tensor

from hamiltonians.clock import ClockHamiltonian
from qunn.clock_engine.steps import TensorSteps, tensor_steps

Rows = Callable[[], Iterator[Tensor]]


@final
@dataclass(frozen=True)
class DeviceHamiltonian:
    """H of one `ClockHamiltonian` on one device.

    Attributes
    ----------
    H : the Hamiltonian itself.
    steps : U_1 … U_T on the device.
    initial : x of H_in on the device, or None.
    work : dtype of data vectors: float64, or complex128 where H is complex.
    """

    H: ClockHamiltonian
    steps: TensorSteps
    initial: Tensor | None
    work: torch.dtype

    @classmethod
    def of(cls, H: ClockHamiltonian, device: torch.device, *, resident: bool = True) -> DeviceHamiltonian:
        """Bring the steps and x to a device."""
        work = torch.complex128 if H.dtype.kind == "c" else torch.float64
        initial = None if H.initial is None else torch.from_numpy(np.array(H.initial)).to(device, work)
        return cls(H, tensor_steps(H.steps, device, resident=resident), initial, work)

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return self.steps.device

    @property
    def d(self) -> int:
        """Data states."""
        return self.steps.d

    @property
    def T(self) -> int:
        """Steps."""
        return self.steps.T

    def touching(self, j: int) -> int:
        """How many of the T terms touch clock j."""
        return int(j > 0) + int(j < self.T)

    def outside_initial(self, x: Tensor) -> Tensor:
        """(I - |x0><x0|)x for a data vector."""
        assert self.initial is not None
        x0 = self.initial.to(x.dtype)
        return x - x0 * torch.vdot(x0, x)

    def data_vector(self) -> Tensor:
        """An empty data vector."""
        return torch.empty(self.d, dtype=self.work, device=self.device)

    def apply_hamiltonian(self, X: Tensor, out: Tensor) -> None:
        """out = HX, both (N, d), in the precision of X; one data vector beside them."""
        buffer = torch.empty_like(X[0])
        for j in range(self.T + 1):
            if j:
                self.steps.begin_product(j - 1, self.touching(j), X[j], X[j - 1], out[j])
            else:
                torch.mul(X[0], self.touching(0), out=out[0])
            if j < self.T:
                self.steps.subtract_adjoint(j, X[j + 1], out[j], buffer)
        if self.initial is not None:
            out[0] += self.outside_initial(X[0])

    def stored(self, X: Tensor) -> Rows:
        """The data vectors of X in float64, whatever X is stored in."""
        return lambda: (X[j].to(self.work) for j in range(len(X)))  # not `in X`, which makes all N tensors at once

    def bonds(self, rows: Rows) -> float:
        """‖BX‖², a sum of squares in float64: bonds, states that a partial permutation leaves out, and H_in."""
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        buffer = self.data_vector()
        partial = not self.H.steps.unitary
        for j, (before, after) in enumerate(_neighbours(rows)):
            if j == 0 and self.initial is not None:
                total += _square(self.outside_initial(before))
            if after is None:
                break
            self.steps.apply(j, before, buffer)
            total += _square(buffer.sub_(after))
            if partial:
                # what comes back is what the step moves: the rest is where it is not defined
                self.steps.apply(j, before, buffer)
                moved = torch.empty_like(buffer)
                self.steps.adjoint(j, buffer, moved)
                total += _square(moved.sub_(before))
        return float(total)

    def residual(self, rows: Rows, energy: float) -> float:
        """‖HX - energy·X‖ in float64, with four data vectors."""
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        buffer, before = self.data_vector(), None
        for j, (here, after) in enumerate(_neighbours(rows)):
            difference = here * (self.touching(j) - energy)
            if j == 0 and self.initial is not None:
                difference += self.outside_initial(here)
            if before is not None:
                self.steps.subtract(j - 1, before, difference, buffer)
            if after is not None:
                self.steps.subtract_adjoint(j, after, difference, buffer)
            total += _square(difference)
            before = here
        return float(total.sqrt())

    def norm(self, rows: Rows) -> float:
        """‖X‖."""
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        for row in rows():
            total += _square(row)
        return float(total.sqrt())


def _neighbours(rows: Rows) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Every data vector with the next one, the last with None."""

    def ended() -> Iterator[Tensor | None]:
        yield from rows()
        yield None

    for here, after in pairwise(ended()):
        assert here is not None
        yield here, after


def _square(x: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x) ** 2


__all__ = ["DeviceHamiltonian", "Rows"]
