"""Small ODERNNs whose stability is known: a tableau, a field in pieces, and what is to be changed of the form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from qunn import ODERNN, stability, tableaux
from qunn.equations import Equations
from qunn.stability import StabilityReport, StageField
from qunn.tableau import ButcherTableau

F64, C128 = torch.float64, torch.complex128
STABLE = [name for name, table in tableaux.items() if table.algebraically_stable()]
LINES = ("I", "II", "delays", "form", "field")
NUMPY: dict[str, Callable[[Any], Any]] = {
    "identity": lambda z: z,
    "tanh": np.tanh,
    "relu": lambda z: np.maximum(z, 0),
    "sin": np.sin,
}


def normal(*shape: int, seed: int = 1, dtype: torch.dtype = F64) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def diagonal(*entries: float) -> Tensor:
    return torch.diag(torch.tensor(entries, dtype=F64))


def runge_kutta(
    tableau: str | ButcherTableau,
    W: Any,
    kappa: Any = None,
    b: Any = None,
    sigma: Any = "tanh",
    h: float = 0.1,
    **rest: Any,
) -> ODERNN:
    """κσ(W y + b) by a tableau; a list stands for all n + 1 entries, and `rest` changes what else is of the form."""
    table = tableaux[tableau] if isinstance(tableau, str) else tableau
    n = table.n
    same = {"W": (W, None), "b": (b, None), "kappa": (kappa, None), "sigma": (sigma, "identity")}
    given = {name: v if isinstance(v, list) else [v] * n + [last] for name, (v, last) in same.items()}
    given |= {"gamma": [0] * n + [1.0], "beta": table.b.tolist()}
    if "alpha" not in rest:
        given["a"] = table.A.tolist()
    return ODERNN(Equations(n, h=h, **(given | rest)))


def gradient(tableau: str | ButcherTableau = "gauss2", size: int = 3, **rest: Any) -> ODERNN:
    """-Kᵀσ(K y + b): contractive unless `rest` breaks it."""
    K = normal(size, size, seed=5)
    given: dict[str, Any] = {"W": K, "kappa": -K.mT, "b": normal(size, seed=6)}
    return runge_kutta(tableau, **(given | rest))


def report(model: nn.Module, pairs: int = 64, steps: int = 5, samples: int = 100, seed: int = 0) -> StabilityReport:
    return stability.report(model, pairs=pairs, steps=steps, samples=samples, seed=seed)


def verdicts(found: StabilityReport, layer: int = 0) -> dict[str, str]:
    return {name: found.line(name, layer).verdict for name in LINES}


def unproved(found: StabilityReport, layer: int = 0) -> set[str]:
    return {name for name, verdict in verdicts(found, layer).items() if verdict != "proved"}


def in_numpy(f: StageField, sigma: str) -> Callable[[Any], Any]:
    W, b, kappa = (np.asarray(v, np.longdouble) for v in (f.W, f.b, f.kappa))
    return lambda y: kappa @ NUMPY[sigma](W @ np.asarray(y, np.longdouble) + b)
