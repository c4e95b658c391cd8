"""The claims about what a machine's Hamiltonian does in time: evolution, product formulas, relaxation, precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from circuits.cost import resources
from circuits.formulas import stages
from circuits.validation.claim import AbsentError, Cell, Curve, Picture, Row, compared, reference, row
from circuits.validation.machine_rows import CIRCUIT, CIRCUIT_WHY, Ask
from circuits.validation.machine_states import MOVED_TIME, NORM, MachineStates
from circuits.validation.machine_tools import COLUMNS
from qunn.quantum.clock_link import Relaxation

Array = NDArray[Any]

#: formula -> its order, and the numbers of repetitions at which its error is far above rounding and falls as it should
ORDERS: Final = {"lie": (1, (4, 8, 16)), "suzuki2": (2, (4, 8, 16)), "suzuki4": (4, (2, 4, 8))}
_ORDER_OFF: Final = 0.15
_ORDER_WHY: Final = "the next order adds O(1/reps) to the slope"
_LOST: Final = 1e-8  # an error that rounding does not make
_STEPS: Final = 6  # of the relaxation that is compared step by step


def _row(key: str, claim: str, source: str, measure: str, cells: Mapping[str, Ask]) -> Row:
    return row(key, claim, source, measure, list(COLUMNS), cells)


def dynamics(at: MachineStates) -> Row:
    """exp(-iHt) on a random state."""

    def off(found: Array, tolerance: float, why: str) -> Cell:
        return compared(float(np.vdot(at.random, found).real), float(np.linalg.norm(found - at.moved)), tolerance, why)

    def on_qubits(found: Array, tolerance: float, why: str) -> Cell:
        expected = at.tools.on_qubits(at.qubits, at.moved)  # what leaks to unused states counts
        value = float(np.vdot(at.random, at.rows(found)).real)
        return compared(value, float(np.linalg.norm(found - expected)), tolerance, why)

    def exactly() -> Cell:
        at.matrix_qubits("exp(-iHt) as a matrix")
        return on_qubits(at.evolved(MOVED_TIME, at.start(at.random), synthesis="unitary"), CIRCUIT, CIRCUIT_WHY)

    def by_formula() -> Cell:
        at.matrix_qubits("Suzuki's formula on a random state")
        start = at.start(at.random)
        coarse, fine = (at.evolved(MOVED_TIME, start, synthesis="suzuki4", reps=reps) for reps in (4, 8))
        change = float(np.linalg.norm(fine - coarse))
        return on_qubits(fine, change + CIRCUIT, "step doubling: the fourth order leaves 1/15 of the change")

    rounding = at.rounding + 1e-14
    why = "rounding: n ε ‖H‖ t"
    return _row(
        "dynamics",
        f"exp(-iHt) of a random state, t = {MOVED_TIME:g}; shown: Re <ψ|exp(-iHt)|ψ>",
        "Schrödinger's equation",
        "norm of the difference from LAPACK's spectrum",
        {
            "dense": lambda: off(at.tools.dense_dynamics(at.literal, at.random, MOVED_TIME), rounding, why),
            "sparse": lambda: off(
                at.tools.sparse_dynamics(at.tools.sparse_matrix(at.H), at.random, MOVED_TIME), rounding, why
            ),
            "matrix-free": lambda: off(
                at.tools.matrix_free_dynamics(
                    lambda v: at.tools.product(at.H, v), float(np.trace(at.literal).real), at.random, MOVED_TIME
                ),
                rounding,
                why,
            ),
            "circuit": exactly,
            "evolution": by_formula,
        },
    )


def formula_errors(at: MachineStates, formula: str, terms: str, start: Array, truth: Array) -> list[float]:
    """‖formula - exact‖ on a state at t = 1, at three numbers of repetitions; what leaks to unused states counts."""
    at.matrix_qubits("product formulas at three step sizes")
    circuit = at.start(start)
    options = {"synthesis": formula, "terms": terms}
    expected = at.tools.on_qubits(at.qubits, truth)
    found = [at.evolved(MOVED_TIME, circuit, reps=reps, **options) for reps in ORDERS[formula][1]]
    return [float(np.linalg.norm(state - expected)) for state in found]


def order_cell(formula: str, errors: list[float]) -> Cell:
    """The fitted order beside the formula's."""
    order, reps = ORDERS[formula]
    found = float(-np.polyfit(np.log(reps), np.log(errors), 1)[0])
    note = ", ".join(f"{e:.2e} at {r}" for e, r in zip(errors, reps, strict=True))
    return compared(found, abs(found - order), _ORDER_OFF, _ORDER_WHY, f"errors {note} repetitions", errors)


def by_terms(at: MachineStates, formula: str) -> Row:
    """The order of a formula that splits H into its natural terms, on a random state."""

    def fitted() -> Cell:
        return order_cell(formula, formula_errors(at, formula, "natural", at.random, at.moved))

    if at.H.T < 2:
        cells: dict[str, Ask] = {}
    else:
        cells = {"theory": lambda: reference(float(ORDERS[formula][0])), "evolution": fitted}
    return _row(
        f"{formula}-by-terms",
        f"{formula} over the natural terms converges at its order on a random state",
        "Childs et al. 2021",
        "difference of the fitted order",
        cells,
    )


def literal_error(at: MachineStates) -> float:
    """‖ψ - ψ0‖ after the coarsest Lie formula over Pauli strings, exponential by exponential: cos φ - i sin φ P."""
    at.matrix_qubits("Pauli strings one by one")
    reps = ORDERS["lie"][1][0]
    strings = [
        (P.to_matrix(sparse=True), float(c.real)) for P, c in zip(at.operator.paulis, at.operator.coeffs, strict=True)
    ]
    start = at.qubits.padded(at.psi0).astype(complex)
    psi = start
    for index, fraction in stages("lie", len(strings), reps):
        P, c = strings[index]
        angle = fraction * MOVED_TIME * c
        psi = np.cos(angle) * psi - 1j * np.sin(angle) * (P @ psi)
    return float(np.linalg.norm(psi - start))


def by_strings(at: MachineStates) -> Row:
    """Split by Pauli strings the history state is lost, at the formula's order."""

    def fitted() -> Cell:
        errors = formula_errors(at, "lie", "pauli", at.psi0, at.psi0)
        found = order_cell("lie", errors)
        expected = literal_error(at)
        off = abs(errors[0] - expected)
        if off > CIRCUIT or expected < _LOST:
            note = f"error {errors[0]:.2e}, exponential by exponential {expected:.2e}"
            if expected < _LOST:
                note += ": the strings of this machine keep its history state too"
            return compared(errors[0], off, CIRCUIT, CIRCUIT_WHY, note, errors)
        assert isinstance(found.value, float)
        # where the first commutators vanish on ψ0, as they do for some short runs, it falls faster
        return compared(found.value, max(1 - found.value, 0.0), _ORDER_OFF, _ORDER_WHY, found.note, errors)

    return _row(
        "lie-by-strings",
        "split by Pauli strings the history state is not kept: its error falls at the formula's order",
        "frustration-freeness holds term by term",
        "shortfall of the fitted order",
        {"theory": lambda: reference(1.0), "evolution": fitted} if at.H.T > 1 else {},
    )


def relaxation(at: MachineStates) -> Row:
    """K <- K - hHK on circuits, by torch's layer and by plain NumPy."""
    h = 0.3

    def truth() -> list[Array]:
        K = [at.random]
        for _ in range(_STEPS):
            K.append(K[-1] - h * (at.literal @ K[-1]))
        return K

    def off(found: Array, tolerance: float, why: str) -> Cell:
        last = truth()[-1]
        return compared(float(np.linalg.norm(found)), float(np.linalg.norm(found - last)), tolerance, why)

    def by_torch() -> Cell:
        found = at.tools.relax(at.rebuilt, torch.from_numpy(at.random), h, _STEPS)
        return off(found.K.numpy(), at.rounding, "rounding: n ε ‖H‖")

    def by_circuit() -> Cell:
        at.matrix_qubits("(I - hH)/λ as one unitary")
        found = at.tools.relaxation(at.H, at.random, steps=_STEPS, h=h)
        note = f"ancilla 0 with probability {np.prod(found.success):.3g} over {_STEPS} steps"
        return replace(off(found.K[-1], CIRCUIT, CIRCUIT_WHY), note=note)

    return _row(
        "relaxation",
        f"{_STEPS} layers K - hHK of Eq. (32) from a random state, h = {h}; shown: the norm",
        "Eq. (32) with S = 1, σ_2 = identity, weight -H",
        "norm of the difference",
        {
            "dense": lambda: reference(float(np.linalg.norm(truth()[-1]))),
            "QUNN": by_torch,
            "circuit": by_circuit,
        },
    )


def precision(at: MachineStates) -> Row:
    """float32 beside float64, backend by backend."""
    single = float(np.finfo(np.float32).eps)
    n = at.H.dimension

    def off(found: Array, truth: Array, tolerance: float, why: str) -> Cell:
        difference = float(np.linalg.norm(found.astype(complex) - truth))
        return compared(difference, difference, tolerance, why)

    def of_matrix() -> Cell:
        H = at.tools.sparse_matrix(at.H)
        return off(at.tools.single(H.astype(np.float32) @ at.tools.single(at.random)), H @ at.random, *rounded(4.0))

    def rounded(operations: float) -> tuple[float, str]:
        return operations * single * NORM, f"rounding of float32: {operations:g} ε ‖H‖"

    def of_product() -> Cell:
        found = at.tools.product(at.H, at.tools.single(at.random))
        return off(at.tools.single(found), at.tools.product(at.H, at.random), *rounded(4.0))

    def of_relaxation() -> Cell:
        K0 = torch.from_numpy(at.tools.single(at.random))
        found = at.tools.relax(at.rebuilt.to(torch.complex64), K0, 0.25, _STEPS)
        truth = at.tools.relax(at.rebuilt, torch.from_numpy(at.random), 0.25, _STEPS)
        return off(at.tools.single(found.K.numpy()), truth.K.numpy(), *rounded(4.0 * _STEPS))

    def of_circuit() -> Cell:
        found = at.tools.single_backend().states([at.history])[0]
        cx = resources(at.history).cx
        return off(at.tools.single(found), at.prepared, max(cx, 1) * single, f"rounding of float32: ε a CX, {cx:,} CX")

    return _row(
        "float32",
        "single precision gives the same to its rounding",
        "arithmetic",
        "norm of the difference from the same backend in double precision",
        {"sparse": of_matrix, "matrix-free": of_product, "QUNN": of_relaxation, "circuit": of_circuit} if n > 1 else {},
    )


def device(at: MachineStates) -> Row:
    """A GPU beside the CPU, where there is one."""

    def by_torch() -> Cell:
        fault = at.tools.cuda_fault()
        if fault is not None:
            raise AbsentError(fault)
        K0 = torch.from_numpy(at.random)
        found: Relaxation = at.tools.relax(at.tools.to_cuda(at.rebuilt), at.tools.to_cuda(K0), 0.25, _STEPS)
        truth = at.tools.relax(at.rebuilt, K0, 0.25, _STEPS)
        off = float((found.K.cpu() - truth.K).norm())
        return compared(off, off, at.rounding, "rounding, in another order: n ε ‖H‖")

    def by_aer() -> Cell:
        fault = at.tools.aer_fault()
        if fault is not None:
            raise AbsentError(f"Aer on a GPU: {fault}")
        off = float(np.linalg.norm(at.tools.aer_gpu().states([at.history])[0] - at.prepared))
        return compared(off, off, CIRCUIT, CIRCUIT_WHY)

    return _row(
        "GPU",
        "a GPU gives what the CPU gives",
        "arithmetic",
        "norm of the difference from the CPU",
        {"QUNN": by_torch, "circuit": by_aer} if at.device != "CPU" else {},
    )


# ------------------------------------------------------------------------------------ pictures


def relaxation_picture(at: MachineStates) -> Picture:
    """‖K_m - P K_0‖ beside the predicted rate."""
    found, h = at.relaxing
    d = found.distances.numpy()
    every = max(1, len(d) // 60)
    m = np.arange(0, len(d), every)
    line = d[-1] * (1 - h * found.gap) ** (m - (len(d) - 1.0))
    return Picture(
        "Relaxation to the ground space",
        "Layers of Eq. (32) with the weight -H, rebuilt from a QUNN's weights, from a random state: in the end each "
        "step multiplies the distance by 1 - h·gap.",
        "layers m",
        "‖K_m - P K_0‖",
        [
            Curve("QUNN", m.tolist(), d[m].tolist()),
            Curve("(1 - h·gap)^m", m.tolist(), line.tolist(), "line"),
        ],
        log_y=True,
    )


def formula_picture(rows: Sequence[Row]) -> Picture | None:
    """Errors against repetitions, of the rows that fitted an order."""
    curves = []
    for found in rows:
        cell = found.cells["evolution"]
        if found.key.partition("-")[0] in ORDERS and cell.detail is not None:
            reps = ORDERS[found.key.partition("-")[0]][1]
            curves.append(Curve(found.key, reps, cell.detail))
    if not curves:
        return None
    return Picture(
        "Product formulas",
        "Error of exp(-iHt) on circuits against repetitions: a random state under formulas over natural terms, and the "
        "history state, which those keep, under a split by Pauli strings.",
        "repetitions",
        "‖formula - exact‖",
        curves,
        log_x=True,
        log_y=True,
    )


def spectrum_picture(at: MachineStates) -> Picture:
    """All energies of the dense matrix, and the path's closed form."""
    energies = at.eigensystem[0]
    path = 2 - 2 * np.cos(np.pi * np.arange(at.H.clock_states) / at.H.clock_states)
    at_rank = [int(np.argmin(np.abs(energies - e))) for e in path]
    return Picture(
        "Spectrum",
        "All energies of H in ascending order; on the history's own path they are 2 - 2cos(πk/(T+1)).",
        "number of the energy",
        "energy",
        [
            Curve("dense", list(range(len(energies))), energies.tolist()),
            Curve("the history's path", at_rank, path.tolist()),
        ],
    )
