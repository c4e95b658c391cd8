"""The certificate: every number of the report computed from H and ψ, and compared with what is predicted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from hamiltonians import predict, state
from hamiltonians.clock import ClockHamiltonian
from hamiltonians.components import Paths, is_path_like, project_on_full_paths
from hamiltonians.errors import InputError
from hamiltonians.null_space import ground_space
from hamiltonians.result import GroundState
from hamiltonians.state import SparseState

Text = str | Mapping[str, Any] | None  # one value, or a table {input: value} in `function` space

_EPSILON = float(np.finfo(np.float64).eps)
#: ψ counts as an eigenvector when its residual is below this part of the gap (its energy is then wrong by the square)
_RESIDUAL_PER_GAP = 1e-6
_ROUNDING = 64 * _EPSILON  # of ‖Hψ‖ for ‖ψ‖ = 1: a few operations on numbers up to ‖H‖ = 4


@final
@dataclass(frozen=True)
class Check:
    """One line of the certificate."""

    name: str
    passed: bool
    found: Any
    expected: str


@final
@dataclass(frozen=True)
class Report:
    """What `python -m qunn.ground_state` prints; a key a field, explained by `hamiltonians.explain`.

    Examples
    --------
    >>> from hamiltonians import ClockHamiltonian, certify, ground_state, load_machine
    >>> H = ClockHamiltonian.from_machine(load_machine("bb:1RB1LB_1LA1RZ"))
    >>> report = certify(H, ground_state(H))
    >>> report.verified, report.output, report.machine_output
    (True, '1111', '1111')
    >>> abs(report.printed_eq40_energy - 1 / report.steps) < 1e-12  # not 0: Eq. (40) lacks a term (E9)
    True
    """

    machine: str | None
    input: str | None
    space: str
    steps: int
    clock_states: int
    data_dimension: int
    dimension: int
    ground_energy: float
    residual: float
    degeneracy: int
    degeneracy_predicted: int | None
    energies: list[float]
    energies_closed_form: list[float] | None
    gap: float | None
    gap_closed_form: float | None
    gap_history_path: float | None
    gap_component: str | None
    history_overlap: float | None
    printed_eq40_energy: float | None
    printed_eq40_closed_form: float | None
    output: Text
    machine_output: Text
    final_state: Text
    accepted: Any
    solver: str
    solver_message: str
    rows_of_ground_state: int
    first_bad_step: int | None
    checks: list[Check]
    verified: bool
    seconds: float | None

    def as_dict(self) -> dict[str, Any]:
        """For JSON: plain lists, numbers and strings."""
        return asdict(self)


def certify(
    H: ClockHamiltonian, result: GroundState, psi: SparseState | None = None, seconds: float | None = None
) -> Report:
    """Check a result against H itself and against the predictions of docs/mathematics/clock-hamiltonian.md.

    Parameters
    ----------
    psi : the ground state to certify; default: the projection of the history state on the ground space that was found.
    seconds : put into the report.

    Examples
    --------
    >>> from hamiltonians import ClockHamiltonian, certify, ground_state, load_machine
    >>> H = ClockHamiltonian.from_machine(load_machine("bb:1RB1LB_1LA1RZ"))
    >>> low = ground_state(H)
    >>> certify(H, low).verified
    True
    >>> report = certify(H, low, psi=low.state(1))  # an excited state instead
    >>> report.verified, [check.name for check in report.checks if not check.passed]
    (False, ['ground energy', 'history overlap'])
    """
    history = history_of(H, result)
    if psi is None:
        psi = ground_projection(H, result, history)
    psi = _normalised(psi)
    energy = _energy(H, psi)
    paths = H.restricted() if is_path_like(H) else None
    census = paths.census if isinstance(paths, Paths) else None
    draft = Report(
        machine=H.readout.machine.name if H.readout else None,
        input=", ".join(H.readout.starts) if H.readout and len(H.readout.starts) == 1 else None,
        space=H.space,
        steps=H.T,
        clock_states=H.clock_states,
        data_dimension=H.d,
        dimension=H.dimension,
        ground_energy=energy,
        residual=_residual(H, psi, energy),
        degeneracy=result.degeneracy,
        degeneracy_predicted=predict.degeneracy(H),
        energies=[float(e) for e in result.energies],
        energies_closed_form=None if census is None else predict.energies(census, len(result.energies)),
        gap=result.gap,
        gap_closed_form=predict.gap(H, census),
        gap_history_path=predict.history_gap(H.T),
        gap_component=_describe(result),
        history_overlap=None if history is None else abs(state.inner(psi, history)) ** 2,
        printed_eq40_energy=None if history is None else printed_eq40_energy(H, history),
        printed_eq40_closed_form=1 / H.T if H.T and history is not None else None,
        output=read_output(H, psi),
        machine_output=of_runs(H, "output"),
        final_state=of_runs(H, "final_state"),
        accepted=of_runs(H, "accepted"),
        solver=result.solver,
        solver_message=result.message,
        rows_of_ground_state=len(psi.indices),
        first_bad_step=_first_bad_step(H, psi, energy, result.gap),
        checks=[],
        verified=False,
        seconds=seconds,
    )
    checks = _checks(draft, result)
    return replace(draft, checks=checks, verified=all(check.passed for check in checks))


# ------------------------------------------------------------------------------------ the state


def ground_projection(H: ClockHamiltonian, result: GroundState, history: SparseState | None) -> SparseState:
    """ψ of the report: the ground state, or the normalised projection P ψ0 where the ground space is degenerate.

    P is made of the solver's own states where they span the ground space, and of B's null space otherwise.
    """
    if result.degeneracy == 1 or history is None:
        return result.state(0)
    projected = _projected(H, result, history)
    # a history without any part there is no ground state; the overlap, computed from what stands in for it, says so
    return _normalised(projected) if projected.norm() > 0 else result.state(0)


def _projected(H: ClockHamiltonian, result: GroundState, history: SparseState) -> SparseState:
    if result.states.shape[1] >= result.degeneracy:
        basis = [result.state(i) for i in range(result.degeneracy)]
        return state.combine([state.inner(s, history) for s in basis], basis)
    parts = H.restricted() if is_path_like(H) else None
    if isinstance(parts, Paths):
        return project_on_full_paths(parts, history)
    psi = H.data_major(ground_space(H).project(H.clock_major(history.dense(H))))
    rows = np.flatnonzero(psi)
    return SparseState(rows, psi[rows])


def printed_eq40_energy(H: ClockHamiltonian, history: SparseState) -> float | None:
    """The energy of Eq. (40) as printed, T^{-1/2} Σ_j |w_j>⊗|j+1>: the history without its initial term (E9)."""
    if H.T == 0:
        return None
    if is_path_like(H):
        return state.energy(H, history, without_clock=0)
    X = H.clock_major(history.dense(H))
    X[0] = 0
    norm = np.linalg.norm(X) ** 2
    return None if norm == 0 else float(H.bond_energies(X).sum() / norm)


def read_output(H: ClockHamiltonian, psi: SparseState) -> Text:
    """The tape of the likeliest data state on the last clock state (E10); for every input in `function` space."""
    if H.readout is None:
        return None
    data, amplitudes = psi.clock_slice(H, H.T)
    if H.space != "function":
        return H.readout.output(int(data[np.argmax(np.abs(amplitudes))])) if len(data) else None
    table: dict[str, str | None] = {}
    for word, start in H.readout.starts.items():
        # the component of this input meets the last clock in one data state: what of ψ is there?
        last = state.walk(H, start, 0, H.clock_states)[-1] // H.clock_states
        here = np.flatnonzero((data == last) & (np.abs(amplitudes) > np.sqrt(_EPSILON)))
        table[word] = H.readout.output(int(last)) if len(here) else None
    return table


def history_of(H: ClockHamiltonian, result: GroundState) -> SparseState | None:
    """ψ0, sharing its row numbers with the solver's state where they are the same."""
    if H.readout is not None:
        history = H.history()
        if result.indices is not None and np.array_equal(history.indices, result.indices):
            return replace(history, indices=result.indices)
        return history
    if H.initial is None:
        return None
    psi = H.history_state()
    rows = np.flatnonzero(psi)
    return SparseState(rows, psi[rows])


def _energy(H: ClockHamiltonian, psi: SparseState) -> float:
    return state.energy(H, psi) if is_path_like(H) else float(_bond_energies(H, psi).sum())


def _bond_energies(H: ClockHamiltonian, psi: SparseState) -> NDArray[np.float64]:
    if is_path_like(H):
        return state.bond_energies(H, psi)
    return H.bond_energies(H.clock_major(psi.dense(H)))


def _residual(H: ClockHamiltonian, psi: SparseState, energy: float) -> float:
    if is_path_like(H):
        return state.residual(H, psi, energy)
    return H.residual_clock_major(H.clock_major(psi.dense(H)), energy)


def _normalised(psi: SparseState) -> SparseState:
    norm = psi.norm()
    if norm == 0:
        raise InputError("the state has no part in the ground space")
    # what is normalised to rounding already is left alone: the arrays can be large
    return psi if abs(norm - 1) <= 4 * _EPSILON else SparseState(psi.indices, psi.values / norm)


# ------------------------------------------------------------------------------------ what is compared


def of_runs(H: ClockHamiltonian, attribute: str) -> Any:
    """An attribute of the machine's run; in `function` space a table {input: attribute}; None without a machine."""
    if H.readout is None:
        return None
    table = {word: getattr(run, attribute) for word, run in H.readout.trajectories.items()}
    return table if H.space == "function" else next(iter(table.values()))


def _describe(result: GroundState) -> str | None:
    kind = result.gap_component
    if kind is None:
        return None
    ends = {0: "both ends at clock ends", 1: "one end at a clock end", 2: "no end at a clock end"}[kind.walls]
    return f"a path of {kind.m:,} rows, {ends}"


def _first_bad_step(H: ClockHamiltonian, psi: SparseState, energy: float, gap: float | None) -> int | None:
    """The step (from 1) with the largest term of ‖Bψ‖², or None where ψ is in the null space to rounding."""
    if energy <= _energy_allowed(gap):
        return None
    terms = _bond_energies(H, psi)[:-1]  # the last is that of H_in, which is no step
    return int(np.argmax(terms)) + 1 if len(terms) and terms.max() > _energy_allowed(gap) else None


def _energy_allowed(gap: float | None) -> float:
    """Energy below which ψ counts as a ground state: the square of the residual allowed, over the gap."""
    return max(_RESIDUAL_PER_GAP**2 * (gap or 0.0), _ROUNDING**2)


def _checks(report: Report, result: GroundState) -> list[Check]:
    allowed = max(_RESIDUAL_PER_GAP * (report.gap or 0.0), _ROUNDING)
    energy = _energy_allowed(report.gap)
    checks = [
        Check("converged", result.converged, result.converged, "the method met its tolerance"),
        Check("residual", report.residual <= allowed, report.residual, f"‖Hψ - Eψ‖ ≤ {allowed:.1e}"),
        Check("ground energy", report.ground_energy <= energy, report.ground_energy, f"‖Bψ‖² ≤ {energy:.1e}"),
        Check("lowest energy", abs(report.energies[0]) <= energy, report.energies[0], f"E0 ≤ {energy:.1e}"),
    ]
    if report.history_overlap is not None:
        defect = 1 - report.history_overlap
        slack = float(max(_RESIDUAL_PER_GAP**2, 4 * _EPSILON * np.sqrt(report.rows_of_ground_state)))
        checks.append(Check("history overlap", abs(defect) <= slack, report.history_overlap, f"1 within {slack:.1e}"))
    if report.machine_output is not None:
        same = report.output == report.machine_output
        checks.append(Check("output", same, report.output, "what the machine wrote"))
    if report.degeneracy_predicted is not None:
        same = report.degeneracy == report.degeneracy_predicted
        checks.append(Check("degeneracy", same, report.degeneracy, f"{report.degeneracy_predicted:,}"))
    if report.energies_closed_form is not None:
        found, formula = np.array(report.energies), np.array(report.energies_closed_form)
        worst = float(np.max(np.abs(found - formula) - result.error * formula, initial=0.0))
        checks.append(
            Check("energies", worst <= allowed * _RESIDUAL_PER_GAP + energy, list(report.energies), "the closed forms")
        )
    checks += _gap_checks(report, result)
    return checks


def _gap_checks(report: Report, result: GroundState) -> list[Check]:
    checks = []
    if report.gap_closed_form is not None or (report.gap is not None and report.machine is not None):
        expected = "no gap" if report.gap_closed_form is None else f"{report.gap_closed_form:.12g} by the closed form"
        agrees = report.gap is None and report.gap_closed_form is None
        if report.gap is not None and report.gap_closed_form is not None:
            agrees = abs(report.gap - report.gap_closed_form) <= result.error * report.gap_closed_form
        checks.append(Check("gap", agrees, report.gap, expected))
    if report.space == "tape" and report.gap is not None and report.gap_history_path is not None:
        below = report.gap <= report.gap_history_path * (1 + result.error)
        checks.append(Check("gap bound", below, report.gap, f"≤ {report.gap_history_path:.6g} of the history path"))
    return checks
