"""A trained model through its circuits, beside torch."""

from __future__ import annotations

import itertools
import warnings
from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np
import torch
from qiskit import QuantumCircuit
from torch import Tensor, nn

from circuits.backends import Backend
from circuits.bounds import error, error_coefficient, trotter_bound
from circuits.cost import resources
from circuits.element import Element
from circuits.evolution import EXACT, TERMS, evolution, weights
from circuits.formulas import FORMULAS, stages
from circuits.layer import Layer
from circuits.readout import deviation
from circuits.run_report import ErrorPoint, RunReport
from circuits.substitution import CircuitModule, with_circuits
from hamiltonians.errors import InputError, must_be
from hamiltonians.progress import Progress, no_progress
from hamiltonians.report import Check
from qunn import QUNN

#: for the picture: qubits up to which the whole operator is compared, and Pauli rotations of a formula that is measured
_SMALL: Final = 8
_ROTATIONS: Final = 10_000
_REPS: Final = (1, 2, 4, 8, 16)
_SIGMAS: Final = 5
#: rounding of a state of double and of single precision (`precision`, or the model's dtype)
_EXACT: Final = {"double": 1e-10, "single": 1e-5}


@final
@dataclass(frozen=True)
class ModelRun:
    """What to run. x : [T, m], the input. noise : the backend's in words. The options are those of `QUNNCircuit`."""

    name: str
    model: nn.Module
    x: Tensor
    synthesis: str
    terms: str
    reps: int
    shots: int | None
    backend: Backend
    noise: str | None = None
    seed: int = 0
    picture: bool = False


def random_input(model: nn.Module, length: int | None, seed: int) -> Tensor:
    """Unit vectors [length, m] of the model's dtype, asymmetric, so that a reversed register shows; 3 more than N."""
    size = getattr(model, "input_size", None)
    if not isinstance(size, int):
        raise must_be("model", "one that says its input_size", type(model).__name__)
    if length is None:
        length = max((part.period for part in model.modules() if isinstance(part, QUNN)), default=0) + 3
    generator = torch.Generator().manual_seed(seed)
    Y = torch.randn(length, size, generator=generator, dtype=torch.float64)
    return nn.functional.normalize(Y, dim=-1).to(_dtype(model))


def read_input(file: str, model: nn.Module) -> Tensor:
    """A CSV file without a header, a row of the model's m numbers a time [T, m].

    Raises
    ------
    InputError : no such file, or one that holds anything else.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # an empty file: refused below
            numbers = np.loadtxt(file, delimiter=",", ndmin=2)
    except (OSError, ValueError) as problem:
        raise InputError(f"{file}: `--series` must be a CSV file of numbers, but: {problem}", "--series") from problem
    if not numbers.size or numbers.shape[1] != model.input_size or not np.isfinite(numbers).all():
        wanted = f"rows of {model.input_size} finite numbers"
        raise InputError(f"{file}: `--series` must hold {wanted}, but has the shape {numbers.shape}", "--series")
    return torch.from_numpy(numbers).to(_dtype(model))


def _dtype(model: nn.Module) -> torch.dtype:
    """Of the model; a unitary QUNN with p1 and p2 fixed has buffers only."""
    return next(itertools.chain(model.parameters(), model.buffers())).dtype


def run_model(ask: ModelRun, progress: Progress = no_progress) -> tuple[RunReport, QuantumCircuit]:
    """The model's outputs by torch and by circuits, compared; and the circuit of the last element.

    Exact syntheses must agree to rounding, product formulas within their commutator bounds, shots within five standard
    deviations; where the outputs pass through later parts of a larger model, or through activations between circuits,
    only the exact syntheses promise anything.

    Raises
    ------
    InputError : a model without a QUNN, an input that it refuses.
    """
    options = {"synthesis": ask.synthesis, "terms": ask.terms, "reps": ask.reps, "seed": ask.seed}
    changed, parts = with_circuits(ask.model, shots=ask.shots, backend=ask.backend, **options)
    progress("circuits", 0, None)
    with torch.no_grad():
        truth, found = _output(ask.model, ask.x), _output(changed, ask.x)
    difference = (found - truth).abs().max().item()
    last, at = parts[-1], _last_element(parts[-1])
    progress("resources", 0, None)
    bound = _formula_bound(ask, at, last.circuit.model.step) if last.circuit.model.mode == "unitary" else None
    tolerance = _tolerance(ask, parts, truth.abs().max().item(), progress)
    circuit = last.circuit
    success = min(float(e.success.min()) for e in last.evaluations)
    checks = [] if tolerance is None else [_check(difference, tolerance, ask)]
    made = circuit.element_circuit(at)
    report = RunReport(
        kind="model",
        name=ask.name,
        mode=circuit.model.mode,
        d=circuit.registers.d,
        N=circuit.registers.N,
        layers=circuit.model.num_layers,
        steps=None,
        synthesis=ask.synthesis,
        terms=None if ask.synthesis in EXACT else ask.terms,
        reps=None if ask.synthesis in EXACT else ask.reps,
        encoding=None,
        time=None,
        shots=ask.shots,
        device=ask.backend.device,
        method=ask.backend.method,
        precision=ask.backend.precision,
        noise=ask.noise,
        elements=sum(len(part.evaluations) for part in parts) * len(ask.x),
        circuits=sum(e.circuits for part in parts for e in part.evaluations),
        max_difference=difference,
        tolerance=tolerance,
        trotter_bound=bound,
        success_probability=success,
        infidelity=None,
        resources=resources(made, trotter_bound=bound),
        checks=checks,
        verified=all(check.passed for check in checks),
        errors=_errors(_hardest(at), circuit.model.step, progress) if ask.picture else [],
    )
    return report, made


def _output(model: nn.Module, x: Tensor) -> Tensor:
    found = model(x)
    output: Tensor = found[0] if isinstance(found, tuple) else found
    return output


def _check(difference: float, tolerance: float, ask: ModelRun) -> Check:
    why = f"{_SIGMAS} standard deviations" if ask.shots else "rounding" if ask.synthesis in EXACT else "bound"
    return Check("circuit = torch", difference <= tolerance, difference, f"≤ {tolerance:.1e} ({why})")


def _last_element(part: CircuitModule) -> Element:
    """The last time of the last call whose K^0 is not zero."""
    for Y in reversed(part.inputs):
        batch, _ = part.circuit.model.as_batch(Y)
        for at in reversed(part.circuit.elements(batch[-1:])):
            if not at.empty:
                return at
    raise InputError("`input` must hold an element that is not zero: no state encodes any of it", "input")


def _formula_bound(ask: ModelRun, at: Element, h: float) -> float | None:
    """The bound on the operator-norm error of all layers; None for qdrift, whose bound is that of an average."""
    if ask.synthesis == "qdrift":
        return None
    return sum(trotter_bound(layer, h, ask.synthesis, terms=ask.terms, reps=ask.reps) for layer in at.layers)


def _tolerance(ask: ModelRun, parts: list[CircuitModule], largest: float, progress: Progress) -> float | None:
    """What the outputs, the largest of them given, may differ by; None where nothing is promised."""
    if ask.backend.noise is not None:
        return None
    single = ask.backend.precision == "single" or _dtype(ask.model) in (torch.float32, torch.complex64)
    rounding = _EXACT["single" if single else "double"]
    alone = isinstance(parts[0].circuit.model, type(ask.model))
    literal = any(part.circuit.model.mode == "literal" for part in parts)
    if ask.shots is None and ask.synthesis in EXACT:
        return rounding * max(1.0, largest)
    if not alone or literal or ask.synthesis == "qdrift":
        return None
    worst = 0.0
    part = parts[0]
    elements = part.circuit.elements(part.circuit.model.as_batch(ask.x)[0])
    for i, at in enumerate(elements):
        progress("bounds", i, len(elements))
        scale = float(np.linalg.norm(at.K) * np.linalg.norm(at.read))
        bound = _formula_bound(ask, at, part.circuit.model.step)
        assert bound is not None
        allowed = scale * bound
        if ask.shots is not None:
            allowed += _SIGMAS * deviation(ask.shots, part.circuit.registers.d, scale) * (2**0.5 if at.complex else 1)
        worst = max(worst, allowed)
    return worst + rounding


def _hardest(at: Element) -> Layer:
    """The layer whose natural terms commute least: at k = N they commute."""
    return max(at.layers, key=lambda layer: error_coefficient(layer, "lie", "natural"))


def _errors(layer: Layer, h: float, progress: Progress) -> list[ErrorPoint]:
    """Error and bound of every formula at several reps, for the picture; none that would take minutes."""
    points: list[ErrorPoint] = []
    cases = [(kind, formula, reps) for kind in TERMS for formula in FORMULAS for reps in _REPS]
    counts = {kind: len(weights(layer, kind)) for kind in TERMS} if layer.registers.qubits <= _SMALL else {}
    for i, (kind, formula, reps) in enumerate(cases):
        progress("errors", i, len(cases))
        if not counts or (kind == "pauli" and len(stages(formula, counts[kind], reps)) > _ROTATIONS):
            continue
        options: dict[str, Any] = {"terms": kind, "reps": reps}
        measured = error(layer, h, evolution(layer, h, formula, **options))
        points.append(ErrorPoint(formula, kind, reps, measured, trotter_bound(layer, h, formula, **options)))
    return points
