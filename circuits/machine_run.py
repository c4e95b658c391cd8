"""A machine's history state on circuits: prepared, evolved under its clock Hamiltonian, and measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit

from circuits.backends import Backend
from circuits.clock.encoding import encoding_of
from circuits.clock.history_circuit import history
from circuits.clock.time_evolution import evolution
from circuits.cost import resources
from circuits.formulas import FORMULAS
from circuits.run_report import ErrorPoint, RunReport
from hamiltonians.clock import ClockHamiltonian
from hamiltonians.memory import require_memory
from hamiltonians.progress import Progress, no_progress
from hamiltonians.report import Check

_REPS: Final = (1, 2, 4, 8, 16)
_SIGMAS: Final = 5
_GATES: Final = 100_000  # of a circuit that is run for the picture alone; more take most of a minute
_STATE: Final = {"double": 1e-10, "single": 1e-5}
_INFIDELITY: Final = {"double": 1e-12, "single": 1e-5}


@final
@dataclass(frozen=True)
class MachineRun:
    """What to run: the history state of H, then exp(-iHt)."""

    name: str
    H: ClockHamiltonian
    time: float
    synthesis: str
    terms: str
    reps: int
    encoding: str
    shots: int | None
    backend: Backend
    noise: str | None = None
    picture: bool = False


def run_machine(ask: MachineRun, progress: Progress = no_progress) -> tuple[RunReport, QuantumCircuit]:
    """Prepare |ψ0>, evolve, and compare with |ψ0>, which exp(-iHt) leaves as it is; and the circuit.

    Split by natural terms, or exactly, nothing may change (infidelity ≤ 1e-12); split by Pauli strings it does, and the
    report says how much. With shots, each basis state's share must be within five standard deviations of |ψ0|².

    Raises
    ------
    InputError, MemoryEstimateError : as `circuits.clock.evolution` and the backend raise them.
    """
    H, qubits = ask.H, encoding_of(ask.H.d, ask.H.T, ask.encoding)
    require_memory(16 * 2**qubits.qubits, f"a state of {qubits.qubits} qubits", "a machine with fewer steps needs less")
    progress("circuits", 0, None)
    prepared = history(H, encoding=ask.encoding)
    circuit = prepared.compose(_evolution(ask, ask.synthesis, ask.terms, ask.reps))
    truth = np.zeros(2**qubits.qubits, complex)
    truth[qubits.rows] = H.history_state()
    progress("simulation", 0, None)
    if ask.shots is None:
        checks, difference, infidelity, tolerance = _by_state(ask, prepared, circuit, truth)
        count = 2
    else:
        checks, difference, infidelity, tolerance = _by_shots(ask, circuit, truth), None, None, None
        count = 1
    exact = ask.synthesis == "unitary"
    report = RunReport(
        kind="machine",
        name=ask.name,
        mode=None,
        d=H.d,
        N=H.clock_states,
        layers=None,
        steps=H.T,
        synthesis=ask.synthesis,
        terms=None if exact else ask.terms,
        reps=None if exact else ask.reps,
        encoding=ask.encoding,
        time=ask.time,
        shots=ask.shots,
        device=ask.backend.device,
        method=ask.backend.method,
        precision=ask.backend.precision,
        noise=ask.noise,
        elements=None,
        circuits=count,
        max_difference=difference,
        tolerance=tolerance,
        trotter_bound=None,
        success_probability=None,
        infidelity=infidelity,
        resources=resources(circuit),
        checks=checks,
        verified=all(check.passed for check in checks),
        errors=_errors(ask, prepared, truth, progress) if ask.picture else [],
    )
    return report, circuit


def _evolution(ask: MachineRun, synthesis: str, terms: str, reps: int) -> QuantumCircuit:
    options: dict[str, Any] = {"synthesis": synthesis, "terms": terms, "reps": reps, "encoding": ask.encoding}
    return evolution(ask.H, ask.time, **options)


def _by_state(
    ask: MachineRun, prepared: QuantumCircuit, circuit: QuantumCircuit, truth: NDArray[Any]
) -> tuple[list[Check], float, float, float | None]:
    first, final = ask.backend.states([prepared, circuit])
    off = float(np.abs(first - truth).max())
    allowed = _STATE[ask.backend.precision]
    checks = [Check("history state prepared", bool(off <= allowed), off, f"≤ {allowed:.0e}, global phase included")]
    infidelity = float((np.linalg.norm(_away(final, truth)) / np.linalg.norm(final)) ** 2)
    difference = float(np.abs(final - truth).max())
    if ask.terms == "pauli" and ask.synthesis in FORMULAS:
        return checks, difference, infidelity, None
    tolerance = _INFIDELITY[ask.backend.precision]
    checks.append(
        Check("history state kept", bool(infidelity <= tolerance), infidelity, f"infidelity ≤ {tolerance:.0e}")
    )
    return checks, difference, infidelity, allowed


def _by_shots(ask: MachineRun, circuit: QuantumCircuit, truth: NDArray[Any]) -> list[Check]:
    assert ask.shots is not None
    (counts,) = ask.backend.counts([circuit], ask.shots)
    if ask.backend.noise is not None or (ask.terms == "pauli" and ask.synthesis in FORMULAS):
        return []  # the state is another one then
    p = np.abs(truth) ** 2
    share = np.array([counts.get(i, 0) for i in range(len(p))]) / ask.shots
    # a share of p has the deviation sqrt(p(1-p)/shots); few shots are skewed, for which Bernstein's inequality adds
    # σ²/(3 shots) to σ deviations; a state that cannot occur must not
    deviation = np.sqrt(np.maximum(p * (1 - p), 1e-12) / ask.shots) + (p > 1e-12) * _SIGMAS / (3 * ask.shots)
    sigmas = float((np.abs(share - p) / deviation).max())
    return [Check("counts", sigmas <= _SIGMAS, sigmas, f"≤ {_SIGMAS} standard deviations from |ψ0|²")]


def _errors(ask: MachineRun, prepared: QuantumCircuit, truth: NDArray[Any], progress: Progress) -> list[ErrorPoint]:
    """The infidelity's square root, the distance of the rays, against reps, by term and by Pauli string."""
    points: list[ErrorPoint] = []
    kinds = ("natural", "pauli")
    for kind in kinds:
        for formula in FORMULAS:
            for reps in _REPS:
                progress("errors", len(points), len(kinds) * len(FORMULAS) * len(_REPS))
                circuit = prepared.compose(_evolution(ask, formula, kind, reps))
                if circuit.size() > _GATES:
                    break
                (state,) = ask.backend.states([circuit])
                points.append(ErrorPoint(formula, kind, reps, float(np.linalg.norm(_away(state, truth))), None))
    return points


def _away(state: NDArray[Any], truth: NDArray[Any]) -> NDArray[Any]:
    """(1 - |truth><truth|) state.

    Its norm's square is the infidelity, without what rounding in 10^5 gates does to the norm: 1 - |<truth|state>|² was
    4e-12 at 55,286 CX where this is 1e-24.
    """
    away: NDArray[Any] = state - np.vdot(truth, state) * truth
    return away
