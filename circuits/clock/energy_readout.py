"""The energy of a state by phase estimation of exp(iHt)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Gate
from qiskit.circuit.library import phase_estimation as qiskit_phase_estimation

from circuits.clock.encoding import PENALTY, encoding_of
from circuits.clock.time_evolution import check, evolution
from hamiltonians.clock import ClockHamiltonian
from hamiltonians.errors import must_be


@final
@dataclass(frozen=True)
class PhaseEstimation:
    """What phase estimation finds: outcome k = 0 … 2^m - 1 stands for the energy 2πk / (2^m t).

    Attributes
    ----------
    circuit : m readout qubits (low; their number's most significant bit is qubit 0) below the system's.
    t : the time of exp(iHt). probabilities [2^m] : of the outcomes, exact.

    Examples
    --------
    >>> import math
    >>> from circuits import clock
    >>> from hamiltonians import ClockHamiltonian
    >>> H = ClockHamiltonian.from_steps([[1, 0]], initial=[1, 0])
    >>> found = clock.phase_estimation(H, clock.history(H), qubits=3)
    >>> found.probabilities.round(9).tolist()
    [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    >>> math.isclose(found.resolution, 4 / 7)  # 2π / (2^3 t), t = (π/2)(1 - 2^-3)
    True
    """

    circuit: QuantumCircuit
    t: float
    probabilities: NDArray[np.float64]

    @property
    def resolution(self) -> float:
        """2π / (2^m t): the distance of neighbouring energies."""
        return 2 * np.pi / (self.t * len(self.probabilities))

    @property
    def energies(self) -> NDArray[np.float64]:
        """The energy of every outcome [2^m]."""
        return np.arange(len(self.probabilities), dtype=np.float64) * self.resolution

    @property
    def energy(self) -> float:
        """That of the likeliest outcome."""
        return float(self.energies[np.argmax(self.probabilities)])

    @property
    def probability(self) -> float:
        """Of that outcome."""
        return float(self.probabilities.max())


def phase_estimation(
    H: ClockHamiltonian,
    state_circuit: QuantumCircuit,
    *,
    qubits: int,
    t: float | None = None,
    synthesis: str = "lie",
    terms: str = "natural",
    reps: int = 1,
    encoding: str = "binary",
    simulate: Callable[[QuantumCircuit], NDArray[Any]] | None = None,
) -> PhaseEstimation:
    """Estimate the energy of the state that a circuit prepares, by Qiskit's `phase_estimation` of U = exp(iHt).

    U|ψ> = e^{iEt}|ψ>. With natural terms the history state has energy 0 with certainty, whatever the time and the
    formula: every factor leaves it alone. Another eigenstate is found within the resolution as far as the formula is
    exact; the circuit's powers U^(2^i) are 2^i times the steps. Only phases are controlled, and no frame.

    Parameters
    ----------
    state_circuit : on the encoding's qubits, such as `circuits.clock.history(H)`.
    qubits : m, of the readout.
    t : time, 0 < 4t < 2π, as energies lie in [0, 4]. Default: (π/2)(1 - 2^-m).
    synthesis, terms, reps : of one U, as for `circuits.clock.evolution`.
    simulate : a circuit -> its state [2^n]; default: Aer's state vector (`circuits.backends`).

    Raises
    ------
    InputError : a state of another number of qubits, m < 1, a time outside the range, and what `evolution` raises.
    MemoryEstimateError : the circuit or its state does not fit.

    Examples
    --------
    >>> from circuits import clock
    >>> from hamiltonians import ClockHamiltonian
    >>> H = ClockHamiltonian.from_steps([[1, 0], [0, 1]], initial=[1, 0])
    >>> found = clock.phase_estimation(H, clock.history(H), qubits=3)
    >>> float(found.energy), round(float(found.probability), 9)  # 0 with certainty
    (0.0, 1.0)
    """
    system = encoding_of(H.d, H.T, encoding)
    if state_circuit.num_qubits != system.qubits:
        raise must_be("state_circuit", f"on {system.qubits} qubits", state_circuit.num_qubits)
    if not isinstance(qubits, Integral) or qubits < 1:
        raise must_be("qubits", "an integer of at least 1", qubits)
    time = np.pi / 2 * (1 - 2.0**-qubits) if t is None else t
    if not 0 < PENALTY * time < 2 * np.pi:
        raise must_be("t", "above 0 and below π/2, so that no two energies share a phase", t)
    check(time, reps, synthesis, terms)

    def power(exponent: int, controlled: bool) -> QuantumCircuit:
        return evolution(
            H,
            -time * exponent,
            reps=reps * exponent,
            synthesis=synthesis,
            terms=terms,
            encoding=encoding,
            controlled=controlled,
        )

    circuit = QuantumCircuit(qubits + system.qubits)
    circuit.compose(state_circuit, range(qubits, circuit.num_qubits), inplace=True)
    circuit.compose(qiskit_phase_estimation(qubits, _Power(system.qubits, power)), inplace=True)
    state = (simulate or _simulated)(circuit)
    of_outcomes = (np.abs(state.reshape(-1, 2**qubits)) ** 2).sum(0)
    return PhaseEstimation(circuit, float(time), of_outcomes[_reversed(qubits)])


def _reversed(m: int) -> NDArray[np.int64]:
    """k with its m bits in reverse: Qiskit's circuit ends with the most significant bit on qubit 0."""
    k = np.arange(2**m)
    return sum(((k >> i & 1) << (m - 1 - i) for i in range(m)), np.zeros(2**m, np.int64))


def _simulated(circuit: QuantumCircuit) -> NDArray[Any]:
    from circuits.backends import backend

    return backend(device="CPU").states([circuit])[0]


@final
class _Power(Gate):
    """U^exponent: Qiskit asks a gate for its powers and its control, and this one has cheaper ones than the general."""

    def __init__(self, size: int, make: Callable[[int, bool], QuantumCircuit], exponent: int = 1) -> None:
        super().__init__(f"U^{exponent}", size, [])
        self._make, self._exponent = make, exponent

    def power(self, exponent: float, annotated: bool = False) -> _Power:  # noqa: ARG002 - as Qiskit calls it
        return _Power(self.num_qubits, self._make, self._exponent * int(exponent))

    def control(  # as Qiskit calls it, for one control that must be 1
        self,
        num_ctrl_qubits: int = 1,  # noqa: ARG002
        label: str | None = None,  # noqa: ARG002
        ctrl_state: int | str | None = None,  # noqa: ARG002
        annotated: bool | None = None,  # noqa: ARG002
    ) -> Gate:
        circuit = QuantumCircuit(self.num_qubits + 1)
        # the evolution's control is its highest qubit, Qiskit's the lowest
        circuit.compose(self._make(self._exponent, True), [*range(1, self.num_qubits + 1), 0], inplace=True)
        return circuit.to_gate(label=f"controlled {self.name}")

    def _define(self) -> None:
        self.definition = self._make(self._exponent, False)
