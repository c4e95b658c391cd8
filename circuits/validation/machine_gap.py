"""The gap of a machine's Hamiltonian, by eight ways to it."""

from __future__ import annotations

from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from circuits.validation.claim import AbsentError, Cell, Row, compared, reference, row
from circuits.validation.machine_rows import CIRCUIT, CIRCUIT_WHY, SOLVER_WHY
from circuits.validation.machine_states import EPSILON, MachineStates
from circuits.validation.machine_tools import COLUMNS
from hamiltonians import predict
from hamiltonians.components import Paths, is_path_like
from hamiltonians.result import GroundState

Array = NDArray[Any]

_TIME = 0.5  # of an eigenvector's evolution: |E| ≤ 5 t stays below π, so that the phase is not ambiguous


def gap(at: MachineStates) -> Row:
    """The lowest energy above the ground space, of the whole space."""
    by = _Gap(at)
    return row(
        "gap",
        "the gap of the whole space is that of its slowest path",
        "2 - 2cos(π/(T+1)) and its like",
        "|difference| from the closed form",
        list(COLUMNS),
        {
            "theory": lambda: reference(by.theory()),
            "dense": lambda: by.off(at.dense_gap, at.rounding, "rounding of LAPACK: n ε ‖H‖"),
            "sparse": lambda: by.solver(at.sparse),
            "matrix-free": lambda: by.solver(at.free),
            "QUNN": by.relaxation_rate,
            "circuit": by.operator,
            "evolution": by.evolution,
            "phases": by.phases,
        },
    )


@final
class _Gap:
    """What each backend says of it."""

    def __init__(self, at: MachineStates) -> None:
        self.at = at

    def theory(self) -> float:
        """The closed form."""
        H = self.at.H
        paths = H.restricted() if is_path_like(H) else None
        found = predict.gap(H, paths.census if isinstance(paths, Paths) else None)
        if found is None:
            raise AbsentError("no closed form, or no gap")
        return found

    def off(self, value: float | None, tolerance: float, why: str, note: str | None = None) -> Cell:
        """A gap beside the closed form."""
        if value is None:
            return Cell(passed=False, note="it found no gap")
        return compared(value, abs(value - self.theory()), tolerance, why, note)

    def solver(self, found: GroundState) -> Cell:
        """As an eigensolver found it."""
        return self.off(found.gap, found.error * self.theory() + self.at.rounding, SOLVER_WHY)

    def relaxation_rate(self) -> Cell:
        """1 - h·gap is what the distance to the ground space shrinks by in the end."""
        at = self.at
        found, h = at.relaxing
        d = found.distances.numpy()
        first, last = int(np.argmax(d <= 1e-6 * d[0])), len(d) - 1
        if last == first:
            raise AbsentError("relaxation ends in one step: no rate")
        rate = (d[last] / d[first]) ** (1 / (last - first))
        # the last distance is known to n ε relative to the first; what decays faster is at most (0.71/0.83)^(2 first)
        # of the rest, at T = 3 where the next energy is nearest
        rounding = at.H.dimension * EPSILON * d[0] / d[last] / (h * (last - first))
        return self.off(
            float((1 - rate) / h), rounding + 1e-8, "rounding of the distances over h, and 1e-8 of faster parts"
        )

    def operator(self) -> Cell:
        """<H> as Pauli strings in the eigenvector that LAPACK found."""
        at = self.at
        start = at.start(at.excited)
        value = float(at.backend.expectations([start], at.operator)[0])
        return self.off(value, 10 * CIRCUIT, CIRCUIT_WHY + ", times ‖H‖", "<H> of the eigenvector that LAPACK found")

    def evolution(self) -> Cell:
        """The phase that the eigenvector takes on."""
        at = self.at
        at.matrix_qubits("Suzuki's formula on a prepared eigenvector")
        start = at.start(at.excited)
        before = at.backend.states([start])[0]
        values = [
            float(-np.angle(np.vdot(before, at.evolved(_TIME, start, synthesis="suzuki4", reps=reps))) / _TIME)
            for reps in (2, 4)
        ]
        return self.off(
            values[1],
            abs(values[1] - values[0]) + CIRCUIT,
            "step doubling: the fourth order leaves 1/15 of the change",
            f"phase of that eigenvector after t = {_TIME}, suzuki4",
        )

    def phases(self) -> Cell:
        """What phase estimation of the eigenvector reads."""
        at = self.at
        at.matrix_qubits("controlled powers of exp(iHt) as matrices")
        found = at.tools.phase_estimation(
            at.H, at.start(at.excited), qubits=at.phase_qubits, synthesis="unitary", simulate=at.simulated
        )
        # a gap below half the resolution is read as 0; how often each outcome is read tells it all the same
        M = len(found.probabilities)
        k = np.arange(M)
        turns = self.theory() * found.t / (2 * np.pi) - k / M
        expected = np.abs(np.exp(2j * np.pi * np.outer(turns, k)).mean(1)) ** 2
        worst = float(np.abs(found.probabilities - expected).max())
        if worst > CIRCUIT + at.rounding / self.theory():
            note = "largest difference of an outcome's probability from the closed form"
            return compared(found.energy, worst, CIRCUIT + at.rounding / self.theory(), CIRCUIT_WHY, note)
        note = f"the probabilities of all {M} outcomes agree to {worst:.1e}"
        return self.off(found.energy, found.resolution / 2 + at.rounding, "half the readout's resolution", note)
