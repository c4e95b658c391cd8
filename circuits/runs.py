"""Jobs of many circuits, counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit

from circuits.backends import Backend


@final
class Runs:
    """A backend that counts the circuits it runs, and takes an empty list for an answer."""

    def __init__(self, backend: Backend) -> None:
        self.backend, self.circuits = backend, 0

    def states(self, circuits: Sequence[QuantumCircuit]) -> NDArray[Any]:
        """The final states [m, 2^n]."""
        self.circuits += len(circuits)
        return self.backend.states(circuits) if circuits else np.empty((0, 0), complex)

    def counts(self, circuits: Sequence[QuantumCircuit], shots: int) -> list[dict[int, int]]:
        """The counts of every circuit, each drawn by a seed of its own."""
        seed = (self.backend.seed + self.circuits) % 2**31
        self.circuits += len(circuits)
        return self.backend.counts(circuits, shots, seed=seed) if circuits else []
