"""Is this network contractive? A proof, a refutation with its witness, or a measurement, a line for each condition.

    from qunn import ODERNN, stability
    from qunn.fields import GradientField
    stability.report(ODERNN.from_tableau("gauss2", GradientField(8), h=0.1)).contractive

The data flow: a layer's coefficients -> `conditions` (I, II, III: what Theorem 1 needs, and what E3 adds) and
`monotone` (the field) -> `contraction` (orbits) -> `verdict`; `python -m qunn.stability` prints it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qunn.stability.contraction import Contraction, measure
    from qunn.stability.monotone import Monotonicity, StageField, monotonicity
    from qunn.stability.verdict import LayerReport, Line, StabilityReport, report

_HOME = {
    "Contraction": "contraction",
    "LayerReport": "verdict",
    "Line": "verdict",
    "Monotonicity": "monotone",
    "StabilityReport": "verdict",
    "StageField": "monotone",
    "measure": "contraction",
    "monotonicity": "monotone",
    "report": "verdict",
}

__all__ = [
    "Contraction",
    "LayerReport",
    "Line",
    "Monotonicity",
    "StabilityReport",
    "StageField",
    "measure",
    "monotonicity",
    "report",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'qunn.stability' has no attribute {name!r}")
    return getattr(import_module(f"qunn.stability.{_HOME[name]}"), name)
