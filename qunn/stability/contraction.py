"""Measured contraction: do two orbits with the same input come closer in every step?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from hamiltonians.errors import must_be
from qunn.equations import Equations
from qunn.sequence import State, check_size
from qunn.stability.realview import real_vector

_DISTANCES = (1e-4, 1e1)  # of the pairs at the start, drawn log-uniformly
_CENTRES = (1e-3, 1e1)  # where they start
_HUGE = 1e100  # entries whose squares are finite


@final
@dataclass(frozen=True)
class Contraction:
    """What happened to random pairs of orbits of one layer.

    Attributes
    ----------
    pairs, steps, seed : of the experiment; fewer steps than asked for where an orbit becomes too large to be compared.
    largest_step : max of ‖ΔY_{l+1}‖/‖ΔY_l‖ over all pairs and steps whose distance is so far above rounding that the
        ratio has two figures; 1 or less is contraction (Eq. 11 with E1). None where there is no such step.
    largest_growth : max of ‖ΔY_l‖/‖ΔY_0‖.
    violations : steps whose ratio exceeds 1 by more than rounding, and the solver's tolerance, can do.
    witness : for a violation, the two starts, the step, and the ratio.

    Examples
    --------
    >>> from qunn import ODERNN, stability
    >>> from qunn.fields import GradientField
    >>> (layer,) = ODERNN.from_tableau("implicit_midpoint", GradientField(4), h=0.5).equations
    >>> found = stability.measure(layer, pairs=32, steps=5)
    >>> found.pairs, found.steps, found.violations, round(found.largest_step, 2) <= 1
    (32, 5, 0, True)
    """

    pairs: int
    steps: int
    seed: int
    largest_step: float | None
    largest_growth: float
    violations: int
    witness: dict[str, Any] | None


@torch.no_grad()
def measure(
    layer: Equations, pairs: int = 256, steps: int = 20, seed: int = 0, metric: Tensor | None = None
) -> Contraction:
    """Run `pairs` random pairs for `steps` steps, with one random input sequence for both of a pair.

    Centres and distances are drawn log-uniformly over decades, so that small perturbations near the origin, where most
    activations are steepest, are tried as well as large ones. A network with delays starts from a constant history.
    The distance is ‖ΔY‖, or (ΔYᵀ M ΔY)^{1/2} for a `metric` M [s, s], of real numbers ([2s, 2s] for a complex layer).

    Raises
    ------
    InputError : fewer than one pair or step; orbits that are not finite from the first step on.
    NotConverged : implicit stages that were not solved.

    Examples
    --------
    >>> import torch
    >>> from qunn import ODERNN, stability
    >>> from qunn.fields import FunctionField
    >>> field = FunctionField(torch.neg, 2, dtype=torch.float64)  # y' = -y
    >>> (layer,) = ODERNN.from_tableau("euler", field, h=2.5).equations  # too long a step: |1 - h| = 1.5
    >>> found = stability.measure(layer, pairs=8, steps=3)
    >>> found.violations, round(found.largest_step, 9), round(found.largest_growth, 9)  # 8·3, 1.5, 1.5^3
    (24, 1.5, 3.375)
    """
    check_size("pairs", pairs)
    check_size("steps", steps)
    g = torch.Generator().manual_seed(seed)
    dtype, device = layer.state_dtype, layer.device
    start = _starts(layer, pairs, g)
    x = torch.randn(steps, pairs, layer.input_size, generator=g, dtype=torch.float64).to(device, dtype)
    states = [tuple(torch.cat(pair) for pair in zip(*start, strict=True))]  # both orbits of all pairs in one batch
    slack = 0.0
    for i in range(steps):
        _, after = layer.scan(torch.cat([x[i], x[i]]).unsqueeze(0), states[-1], i)
        if not all(bool((part.abs() < _HUGE).all()) for part in after):
            break
        states.append(tuple(after))
        slack = max(slack, 0.0 if layer.solved is None else layer.solved.tolerance)
    if len(states) == 1:
        raise must_be("orbits", "finite to be compared; a smaller `h` may help", "infinite or not a number")
    distance, size = _distances(layer, states, pairs, metric)
    solved, inside = _gains(layer)
    noise = 64 * torch.finfo(dtype).eps * (1 + inside) + slack * (1 + solved)
    allowed = 1 + noise * (1 + torch.maximum(size[:-1], size[1:])) / distance[:-1].clamp_min(1e-300)
    ratio = torch.where(distance[:-1] > 0, distance[1:] / distance[:-1].clamp_min(1e-300), 0.0)
    bad = ratio > allowed
    clear = allowed < 1.01
    growth = distance / distance[0]
    return Contraction(
        pairs,
        len(states) - 1,
        seed,
        float(ratio[clear].max()) if bool(clear.any()) else None,
        float(growth.max()),
        int(bad.sum()),
        _witness(start, ratio, bad, growth) if bool(bad.any()) else None,
    )


def _gains(layer: Equations) -> tuple[float, float]:
    """What an error of K, and a relative one of W Y + V x + b, may become in Y_{l+1}: h Σ|β|, and h Σ|β||κ|σ'(|W| + …).

    Row sums of absolute values; 1 for a function of the moment, as gates are, and for a slope that is not known.
    """

    def norm(name: str) -> float:
        slot, value = layer.coefficient(name), layer.value(name)
        if slot is None or value is None:
            return 0.0 if slot is None and not name.startswith("kappa") else 1.0
        sizes = torch.as_tensor(value).abs()
        return float((sizes.sum(1) if slot.kind == "full" else sizes).max())

    solved = inside = 0.0
    for q, sigma in enumerate(layer.sigma[:-1], 1):
        beta = layer.h * norm(f"beta_{q}")
        steepest = 1.0 if sigma.slope is None else max(map(abs, sigma.slope))
        solved += beta
        inside += beta * norm(f"kappa_{q}") * steepest * sum(norm(f"{family}_{q}") for family in ("W", "V", "b"))
    return solved, inside


def _starts(layer: Equations, pairs: int, g: torch.Generator) -> tuple[State, State]:
    dtype, device = layer.state_dtype, layer.device
    delayed = layer.t > 1
    sizes = layer.state_sizes[:1] if delayed else layer.state_sizes
    total = sum(sizes)

    def spread(low: float, high: float) -> Tensor:
        u = torch.rand(pairs, 1, generator=g, dtype=torch.float64)
        return low * (high / low) ** u

    def direction() -> Tensor:
        parts = torch.randn(pairs, total * (2 if dtype.is_complex else 1), generator=g, dtype=torch.float64)
        parts = parts / parts.norm(dim=1, keepdim=True)
        return torch.complex(parts[:, :total], parts[:, total:]) if dtype.is_complex else parts

    centre, apart = spread(*_CENTRES) * direction(), spread(*_DISTANCES) * direction()
    both = []
    for y in (centre, centre + apart):
        parts = tuple(part.to(device, dtype) for part in torch.split(y, list(sizes), 1))
        both.append(parts * len(layer.state_sizes) if delayed else parts)
    return both[0], both[1]


def _distances(layer: Equations, states: list[State], pairs: int, metric: Tensor | None) -> tuple[Tensor, Tensor]:
    """‖Y_l - Y'_l‖ and the larger ‖Y_l‖ of the two, each [steps + 1, pairs]; of Y_l only where there are delays.

    The distance is that of the metric, M scaled to norm 1, so that it is at most the Euclidean one and so is its error.
    """
    newest = 1 if layer.t > 1 else len(layer.state_sizes)
    Y = torch.stack([torch.cat(state[:newest], -1) for state in states]).cpu()  # [steps + 1, 2 pairs, s]
    Y = real_vector(Y)  # [steps + 1, 2 pairs, s], or 2s numbers for complex ones, as M has them
    first, second = Y[:, :pairs], Y[:, pairs:]
    apart = first - second
    distance = torch.linalg.vector_norm(apart, dim=-1)
    if metric is not None:
        M = metric / torch.linalg.matrix_norm(metric, 2)
        distance = (apart * (apart @ M.mT)).sum(-1).clamp_min(0).sqrt()
    norms = torch.linalg.vector_norm(first, dim=-1), torch.linalg.vector_norm(second, dim=-1)
    return distance, torch.maximum(*norms)


def _witness(start: tuple[State, State], ratio: Tensor, bad: Tensor, growth: Tensor) -> dict[str, Any]:
    """The pair that grew most, among those with a violation."""
    grown = torch.where(bad.any(0), growth.max(0).values, 0.0)
    pair = int(grown.argmax())
    step = int(torch.where(bad[:, pair], ratio[:, pair], 0.0).argmax())

    def numbers(state: State) -> list[Any]:
        return [[str(z) if isinstance(z, complex) else z for z in part[pair].tolist()] for part in state]

    return {
        "Y_0": numbers(start[0]),
        "Y'_0": numbers(start[1]),
        "step": step,
        "step_ratio": float(ratio[step, pair]),
        "growth": float(growth[:, pair].max()),
    }
