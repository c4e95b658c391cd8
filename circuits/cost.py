"""What a circuit costs: qubits, depth, CX and T gates."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, final

from qiskit import QuantumCircuit, transpile

from hamiltonians.errors import InputError, must_be

_COUNTED = ["cx", "u"]
_MERGED = ["cx", "rz", "sx", "x"]  # each u is at most rz sx rz sx rz
_KEPT = ["cx", "x", "y", "z", "h", "s", "sdg", "sx", "sxdg", "t", "tdg", "rz"]
_ALMOST = 1e-10  # an angle so near to a multiple of π/4 is one: its error is that of the rounding that it stems from


@final
@dataclass(frozen=True)
class Resources:
    """The cost of a circuit, from `resources`.

    Attributes
    ----------
    qubits : all, idle ones too. depth : the longest chain of cx and u. cx : CX gates. gates : cx and u together.
    rotations : z-rotations that are neither Clifford nor T, in the cheaper of two ways of counting.
    t_count : estimated T gates, for the whole circuit within `error` (operator norm).
    error : what was allowed for that. trotter_bound : of the product formula's error. seconds : of a run. None where
        they do not apply.

    Examples
    --------
    >>> from qiskit import QuantumCircuit
    >>> from circuits import resources
    >>> bell = QuantumCircuit(2)
    >>> _ = bell.h(0), bell.cx(0, 1)
    >>> found = resources(bell)
    >>> found.qubits, found.cx, found.depth, found.t_count
    (2, 1, 2, 0)
    """

    qubits: int
    depth: int
    cx: int
    gates: int
    rotations: int
    t_count: int
    error: float
    trotter_bound: float | None = None
    seconds: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def resources(
    circuit: QuantumCircuit,
    *,
    trotter_bound: float | None = None,
    seconds: float | None = None,
    error: float = 1e-10,
) -> Resources:
    """Count a circuit's gates once it is transpiled to cx and u at optimisation level 1, all qubits connected.

    The T-count is an estimate: a T gate (a z-rotation by an odd multiple of π/4) is one, a Clifford gate none, and each
    of the R other rotations takes 3 log2(1/ε), ε = error / R, so that their errors add up to at most `error` (Ross and
    Selinger, Quantum Inf. Comput. 16, 901 (2016), arXiv:1403.2975: the typical length is 3 log2(1/ε) + O(log log 1/ε)).
    Rotations are counted twice, gate by gate as the circuit is written and with one-qubit gates merged (a u is up to
    three rotations), and the cheaper way is taken: merging saves rotations and spoils Clifford + T circuits.

    Measurements, resets and barriers are not counted. A rotation by a parameter without value counts as any other.

    Parameters
    ----------
    trotter_bound, seconds : passed on to the report.
    error : what all rotations together may be off, in (0, 1).

    Raises
    ------
    InputError : an error outside (0, 1), a negative bound or time, or control flow in the circuit.

    Examples
    --------
    >>> from qiskit import QuantumCircuit
    >>> from circuits import resources
    >>> toffoli = QuantumCircuit(3)
    >>> _ = toffoli.ccx(0, 1, 2)
    >>> found = resources(toffoli)
    >>> found.cx, found.t_count, found.rotations  # the textbook's 6 CX and 7 T
    (6, 7, 0)
    """
    if not 0 < error < 1:
        raise must_be("error", "in (0, 1)", error)
    for name, value in (("trotter_bound", trotter_bound), ("seconds", seconds)):
        if value is not None and not value >= 0:
            raise must_be(name, "at least 0, or None", value)
    if circuit.has_control_flow_op():
        raise InputError("`circuit` must be without control flow: how often a branch runs is not known", "circuit")
    lowered = _in(_COUNTED, circuit, 1)
    ways = [_rotations(_in(_MERGED, lowered, 1)), _rotations(_in(_KEPT, circuit, 0))]
    t_count, rotations = min((t + _synthesised(R, error), R) for t, R in ways)
    names = lowered.count_ops()
    return Resources(
        qubits=lowered.num_qubits,
        depth=lowered.depth(lambda one: one.operation.name in _COUNTED),
        cx=int(names.get("cx", 0)),
        gates=int(names.get("cx", 0) + names.get("u", 0)),
        rotations=rotations,
        t_count=t_count,
        error=error,
        trotter_bound=trotter_bound,
        seconds=seconds,
    )


def _in(basis: list[str], circuit: QuantumCircuit, level: int) -> QuantumCircuit:
    return transpile(circuit, basis_gates=basis, optimization_level=level, seed_transpiler=0)


def _rotations(circuit: QuantumCircuit) -> tuple[int, int]:
    """T gates, and rotations that are neither T nor Clifford."""
    t_gates = rotations = 0
    for eighths in _eighths(circuit):
        nearest = round(eighths) if math.isfinite(eighths) else 0
        if abs(eighths - nearest) * math.pi / 4 < _ALMOST:
            t_gates += nearest % 2
        else:
            rotations += 1
    return t_gates, rotations


def _eighths(circuit: QuantumCircuit) -> Iterator[float]:
    """The angles of all z-rotations in units of π/4, infinite for a parameter without value."""
    for instruction in circuit.data:
        name = instruction.operation.name
        if name in ("t", "tdg"):
            yield 1.0
        elif name == "rz":
            yield _value(instruction.params) / (math.pi / 4)


def _value(params: Iterable[Any]) -> float:
    (angle,) = params
    return float(angle) if isinstance(angle, int | float) else math.inf


def _synthesised(rotations: int, error: float) -> int:
    """T gates of that many rotations: R 3 log2(R / error)."""
    return math.ceil(3 * rotations * math.log2(rotations / error)) if rotations else 0
