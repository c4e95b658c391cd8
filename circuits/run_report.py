"""What `python -m circuits.run` finds: the same keys for a model and for a machine, null where one does not apply."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, final

from circuits.cost import Resources
from hamiltonians.report import Check


@final
@dataclass(frozen=True)
class ErrorPoint:
    """The error of one product formula at one number of repetitions, and its bound."""

    synthesis: str
    terms: str
    reps: int
    error: float
    bound: float | None


@final
@dataclass(frozen=True)
class RunReport:
    """One run.

    Attributes
    ----------
    kind : "model" or "machine". mode, layers : of a QUNN. steps : T of a machine.
    d, N : dimensions of data and clock. elements : times of all sequences that were run. circuits : how many were run.
    time : t of a machine's exp(-iHt). encoding : of its clock.
    max_difference : of the outputs from torch's; of a machine's final state from the exact one.
    tolerance : what is allowed for it, None where nothing is promised. trotter_bound : its part from the formula.
    success_probability : the least over the elements that all dilations succeeded.
    infidelity : 1 - |<history|final>|² / <final|final> of a machine.
    resources : of the circuit of the last element, or of the machine's preparation and evolution.
    errors : error against reps, where a plot was asked for.
    """

    kind: str
    name: str
    mode: str | None
    d: int
    N: int
    layers: int | None
    steps: int | None
    synthesis: str
    terms: str | None
    reps: int | None
    encoding: str | None
    time: float | None
    shots: int | None
    device: str
    method: str
    precision: str
    noise: str | None
    elements: int | None
    circuits: int
    max_difference: float | None
    tolerance: float | None
    trotter_bound: float | None
    success_probability: float | None
    infidelity: float | None
    resources: Resources
    checks: list[Check]
    verified: bool
    errors: list[ErrorPoint] = field(default_factory=list)
    seconds: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)
