"""Table 3: what the paper says of QUNN, LSTM, URNN and ODERNN, and what can be counted and measured of it.

Parameters are counted in modules, at several sizes H, with the exponent p of the least-squares line through
log(count) over log(H), so that count ≈ H^p. A stability line is the verdict of `qunn.stability.report` on random
weights. A QUNN's size is N; beside its count stands the closed form 3N: p_1, p_2 and a scalar skip a layer, L = N (E7).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import log
from statistics import linear_regression
from typing import final

import torch
from torch import nn

from hamiltonians.errors import must_be
from qunn.arnn.network import ARNN
from qunn.fields import GradientField
from qunn.networks.cwrnn import CWRNN
from qunn.networks.urnn import URNN
from qunn.odernn import ODERNN
from qunn.quantum.network import QUNN
from qunn.stability.verdict import report

SIZES = (8, 16, 32, 64, 128)
INPUT_SIZE = 1
Make = Callable[[int], nn.Module]

#: Table 3 as printed: property -> network -> entry
PRINTED: dict[str, dict[str, str]] = {
    "memory scale": {"QUNN": "n", "LSTM": "2", "URNN": "2", "n-t-ODERNN": "t"},
    "order of nonlinearity": {"QUNN": "n", "LSTM": "n", "URNN": "n", "n-t-ODERNN": "n"},
    "stability": {"QUNN": "Yes", "LSTM": "?", "URNN": "Yes", "n-t-ODERNN": "?"},
    "depth": {"QUNN": "n+2", "LSTM": "n", "URNN": "n", "n-t-ODERNN": "n"},
    "training parameters": {"QUNN": "O(n)", "LSTM": "O(n^2)", "URNN": "O(n^2)", "n-t-ODERNN": "?"},
    "origin": {"QUNN": "Schrödinger equation", "LSTM": "Ad Hoc", "URNN": "Unitarity", "n-t-ODERNN": "ODE"},
}
_F64 = torch.float64
#: name -> the network of hidden size H with one input
NETWORKS: dict[str, Make] = {
    "LSTM": lambda H: nn.LSTM(INPUT_SIZE, H, dtype=_F64),
    "GRU": lambda H: nn.GRU(INPUT_SIZE, H, dtype=_F64),
    "URNN": lambda H: URNN(INPUT_SIZE, H, dtype=torch.complex128),
    "CW-RNN": lambda H: CWRNN(INPUT_SIZE, H, dtype=_F64),
    "ODERNN": lambda H: ODERNN.from_tableau("gauss2", GradientField(H, INPUT_SIZE, dtype=_F64), 0.1),
    "ARNN": lambda H: ARNN(INPUT_SIZE, H, dtype=_F64),
}


@final
@dataclass(frozen=True)
class Growth:
    """How the number of parameters grows.

    Attributes
    ----------
    sizes : H, or N for a QUNN. parameters : how many real numbers are trained. exponent : p of count ≈ size^p.
    closed_form : a formula for the same numbers, where there is one.
    """

    sizes: tuple[int, ...]
    parameters: tuple[int, ...]
    exponent: float
    closed_form: str | None = None


@final
@dataclass(frozen=True)
class Stability:
    """The verdict of `qunn.stability.report` on one network with random weights.

    Attributes
    ----------
    contractive : True: proved; False: refuted by a pair of orbits; None: open.
    refuted : names of the conditions that do not hold.
    largest_step, largest_growth : of the distance of two orbits in one step and in all; None: not measured.
    linear : of an ARNN, whether the linear network stays bounded.
    """

    contractive: bool | None
    refuted: tuple[str, ...]
    largest_step: float | None
    largest_growth: float | None
    linear: bool | None


@final
@dataclass(frozen=True)
class Measured:
    """A network beside Table 3; None where `qunn.stability` has no verdict on it."""

    network: str
    growth: Growth
    stability: Stability | None
    remark: str


def count(module: nn.Module) -> int:
    """The real numbers that an optimiser trains; a complex one is two."""
    return sum(p.numel() * (2 if p.is_complex() else 1) for p in module.parameters() if p.requires_grad)


def growth(make: Make, sizes: Sequence[int] = SIZES) -> Growth:
    """Of the modules make(H) for every H of `sizes`.

    Raises
    ------
    InputError : fewer than two different sizes, through which there is no line.
    """
    counts = tuple(count(make(H)) for H in sizes)
    return Growth(tuple(sizes), counts, _exponent(sizes, counts))


def qunn_growth(periods: Sequence[int] = SIZES) -> Growth:
    """Of the QUNN for every N: p_1 and p_2 (N each), a scalar skip for each of L = N layers: 3N (E7)."""
    return replace(growth(lambda N: QUNN(INPUT_SIZE, N, dtype=_F64), periods), closed_form="3N")


def qunn_norms(period: int, seed: int = 0) -> tuple[float, float]:
    """The largest | ‖K^L‖/‖K^0‖ - 1 | on unit vectors: of the unitary mode, and of the literal one with h = 1."""
    torch.manual_seed(seed)
    Y = torch.nn.functional.normalize(torch.randn(1, 4 * period, 2, dtype=_F64), dim=-1)
    unitary = QUNN(2, period, mode="unitary", dtype=_F64)
    literal = QUNN(2, period, activations=("identity",) * 3, dtype=_F64)
    (a, b), (c, d) = (model.norms(Y) for model in (unitary, literal))
    return (b / a - 1).abs().max().item(), (d / c - 1).abs().max().item()


def _exponent(sizes: Sequence[int], counts: Sequence[int]) -> float:
    if len(set(sizes)) < 2:
        raise must_be("sizes", "at least two different ones", list(sizes))
    return linear_regression([log(H) for H in sizes], [log(c) for c in counts]).slope


def stability(module: nn.Module, seed: int = 0) -> Stability:
    """The report's verdict, layers taken together."""
    found = report(module, pairs=128, steps=20, samples=128, seed=seed)
    refuted = {line.name: None for layer in found.layers for line in layer.lines if line.verdict == "refuted"}
    measured = [layer.contraction for layer in found.layers if layer.contraction is not None]
    steps = [c.largest_step for c in measured if c.largest_step is not None]
    return Stability(
        found.contractive,
        tuple(refuted),
        max(steps, default=None),
        max((c.largest_growth for c in measured), default=None),
        all(x.stable for x in found.linear) if found.linear else None,
    )


def table3(sizes: Sequence[int] = SIZES, seed: int = 0) -> tuple[Measured, ...]:
    """Every network's parameters, and its stability at the smallest size; weights drawn from torch's generator."""
    torch.manual_seed(seed)
    rows = [
        Measured(name, growth(make, sizes), stability(make(min(sizes)), seed), _REMARKS[name])
        for name, make in NETWORKS.items()
    ]
    unitary, literal = qunn_norms(min(sizes), seed)
    remark = _REMARKS["QUNN"].format(unitary=unitary, literal=literal)
    return (Measured("QUNN", qunn_growth(sizes), None, remark), *rows)


_REMARKS = {
    "QUNN": 'sizes are N; with a matrix for the skip (dN)² a layer (E7). The printed "Yes" is of the unitary mode: its '
    "layers change the norm of K by {unitary:.1e}, those of Eq. (32) without σ by {literal:.2g}.",
    "LSTM": "",
    "GRU": "",
    "URNN": 'complex; the printed "Yes" is of the norm of W: modReLU does not bring orbits together.',
    "CW-RNN": "the zero blocks of W_H are counted: they are held, and have no gradient",
    "ODERNN": "gauss2 with the gradient field: contractive by Theorem 1 with what it leaves out (E3)",
    "ARNN": "symplectic Euler, h = 0.1; of A in W = A - Aᵀ all H² numbers are counted",
}
