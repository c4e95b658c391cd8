"""Is a field f(y) = κ σ(W y + b) monotone (dissipative), Re<f(x) - f(y), P(x - y)> ≤ 0 for all x and y?

Theorem 1 needs it and does not say so (E3): a non-decreasing σ is not enough. Three answers are possible:

proved    P κ = -W† C with C ≥ 0 diagonal and σ non-decreasing: then the product is -<σ(u) - σ(v), C(u - v)> ≤ 0 with
          u - v = W(x - y). Or the symmetric part of P κ D W is negative semidefinite for every D with entries at the
          ends of σ's slopes: it is linear in D, so that the ends decide, and every difference f(x) - f(y) is
          κ D W (x - y) for some D between them.
refuted   a pair (x, y) for which the product is positive, evaluated directly.
sampled   neither; the largest eigenvalue of the Jacobian's symmetric part over many points is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Any, final

import torch
from torch import Tensor

from qunn.activations import Activation
from qunn.stability.definite import semidefinite
from qunn.stability.realview import real_activation

_VERTICES = 12  # σ acts on at most so many numbers where all 2^p ends of the slopes are tried
_EPS = torch.finfo(torch.float64).eps
_TRIED = 16  # of the points with the largest eigenvalues
_SCALES = (1e-3, 1e-2, 0.1, 1.0, 10.0)


@final
@dataclass(frozen=True)
class StageField:
    """f(y) = κ σ(W y + b) in real numbers: W [p, s], b [p], κ [s, p]; `complex_` where σ sees complex numbers.

    Examples
    --------
    >>> import torch
    >>> from qunn.activations import activation
    >>> from qunn.stability import StageField
    >>> W, b = torch.eye(2).double(), torch.zeros(2).double()
    >>> f = StageField(W, b, -W, activation("tanh"), complex_=False)  # f(y) = -tanh(y)
    >>> bool((f.jacobian(torch.zeros(1, 2).double()) == -W).all())  # tanh'(0) = 1
    True
    """

    W: Tensor
    b: Tensor
    kappa: Tensor
    sigma: Activation
    complex_: bool

    def __call__(self, y: Tensor) -> Tensor:
        """f(y) [N, s]."""
        return real_activation(self.sigma, y @ self.W.mT + self.b, self.complex_) @ self.kappa.mT

    def jacobian(self, y: Tensor) -> Tensor:
        """∂f/∂y at every sample [N, s, s]."""
        y = y.detach().requires_grad_()
        with torch.enable_grad():
            value = self(y) + 0 * y.sum()  # a σ of steps has no gradient otherwise, where it should have 0
            unit = torch.eye(value.shape[1], dtype=y.dtype).unsqueeze(1).expand(-1, y.shape[0], -1)
            (J,) = torch.autograd.grad(value, y, unit, is_grads_batched=True)
        return J.transpose(0, 1)


@final
@dataclass(frozen=True)
class Monotonicity:
    """The verdict on one field.

    Attributes
    ----------
    verdict : "proved", "refuted" or "sampled". detail : why, in a line.
    metric : P of the inner product <x, P y>, where it is not the identity.
    witness : for a refutation, x, y and the product <f(x) - f(y), P(x - y)> > 0.

    Examples
    --------
    >>> import torch
    >>> from qunn.activations import activation
    >>> from qunn.stability import StageField, monotonicity
    >>> W, b = torch.eye(2).double(), torch.zeros(2).double()
    >>> f = StageField(W, b, W, activation("tanh"), complex_=False)  # f(y) = tanh(y), which drives apart
    >>> found = monotonicity(f, None, 16, torch.Generator().manual_seed(0))
    >>> found.verdict, found.witness["product"] > 0
    ('refuted', True)
    """

    verdict: str
    detail: str
    metric: Tensor | None = None
    witness: dict[str, Any] | None = None


def monotonicity(f: StageField, metric: Tensor | None, samples: int, generator: torch.Generator) -> Monotonicity:
    """The verdict in the inner product <x, P y>, P the identity where `metric` is None.

    Examples
    --------
    >>> import torch
    >>> from qunn.activations import activation
    >>> from qunn.stability import StageField, monotonicity
    >>> K, b = torch.tensor([[1.0, 2.0], [0.0, 1.0]]).double(), torch.zeros(2).double()
    >>> f = StageField(K, b, -K.T, activation("tanh"), complex_=False)
    >>> monotonicity(f, None, 16, torch.Generator()).detail
    'κ = -W†C, C ≥ 0, and σ is non-decreasing: minus the gradient of a convex function'
    """
    P = torch.eye(f.W.shape[1], dtype=torch.float64) if metric is None else metric
    where = "" if metric is None else " in the inner product <x, M y>, M = -W"
    reason = _gradient_form(f, P) or _slope_ends(f, P)
    if reason is not None:
        return Monotonicity("proved", reason + where, metric)
    largest, witness = _search(f, P, samples, generator)
    if witness is not None:
        product = witness["product"]
        return Monotonicity("refuted", f"<f(x) - f(y), x - y> = {product:.3g} > 0{where}", metric, witness)
    return Monotonicity(
        "sampled", f"no violation at {samples:,} points, largest eigenvalue {largest:.3g}{where}", metric
    )


def _gradient_form(f: StageField, P: Tensor) -> str | None:
    """P κ = -W† C with C ≥ 0 diagonal, σ non-decreasing."""
    if not f.sigma.non_decreasing or not f.sigma.pointwise:
        return None
    left, right = P @ f.kappa, -f.W.mT  # [s, p] both; column j of the first must be C_j times column j of the second
    norms = (right * right).sum(0)
    C = torch.where(norms > 0, (left * right).sum(0) / norms.clamp_min(1e-300), 0.0)
    allowed = 16 * _EPS * (P.abs() @ f.kappa.abs()).amax(0)  # column by column: they may differ by many decades
    if not bool((C >= 0).all()) or not bool(((left - right * C).abs() <= allowed).all()):
        return None
    return "κ = -W†C, C ≥ 0, and σ is non-decreasing: minus the gradient of a convex function"


def _slope_ends(f: StageField, P: Tensor) -> str | None:
    """sym(P κ D W) ≤ 0 for all D in {lo, hi}^p."""
    p = f.W.shape[0]
    slope = f.sigma.slope
    if slope is None or not all(map(isfinite, slope)) or not f.sigma.pointwise:
        return None
    single = slope[0] == slope[1]
    if p > _VERTICES and not single:
        return None
    bits = torch.zeros(1, p) if single else torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * p).reshape(-1, p)
    D = slope[0] + (slope[1] - slope[0]) * bits.double()
    J = (P @ f.kappa).unsqueeze(0) * D.unsqueeze(1) @ f.W
    terms = P.abs() @ f.kappa.abs() @ f.W.abs() * max(map(abs, slope))
    if not semidefinite(-(J + J.mT) / 2, (terms + terms.mT) / 2).holds:
        return None
    ends = "its constant slope" if single else f"all 2^{p} ends of σ's slopes"
    return f"the Jacobian's symmetric part is negative semidefinite for {ends}"


def _search(f: StageField, P: Tensor, samples: int, generator: torch.Generator) -> tuple[float, dict[str, Any] | None]:
    """The largest eigenvalue of sym(P ∂f/∂y) seen, and a pair along its eigenvector if that is a violation."""
    s = f.W.shape[1]
    scale = torch.tensor(_SCALES, dtype=torch.float64).repeat_interleave(-(-samples // len(_SCALES)))[:samples, None]
    y = scale * torch.randn(samples, s, generator=generator, dtype=torch.float64)
    centre = -torch.linalg.lstsq(f.W, f.b.unsqueeze(1)).solution.squeeze(1)  # where W y + b is least: σ is steepest
    y = torch.cat([centre.unsqueeze(0), y, y + centre])
    J = P @ f.jacobian(y)
    values, vectors = torch.linalg.eigh((J + J.mT) / 2)
    tops = values[:, -1]
    for i in tops.topk(min(_TRIED, len(tops))).indices.tolist():  # at a kink the steepest point may be none of a pair
        witness = _pair(f, P, y[i], vectors[i, :, -1]) if float(tops[i]) > 0 else None
        if witness is not None:
            return float(tops.max()), witness
    return float(tops.max()), None


def _pair(f: StageField, P: Tensor, y: Tensor, v: Tensor) -> dict[str, Any] | None:
    """y ± v times a step as a violation, if it is one by more than rounding."""
    for step in (0.1, 1e-2, 1e-3, 1e-4):
        pair = torch.stack([y + step * v, y - step * v])
        value, apart = f(pair), P @ (pair[0] - pair[1])
        product = float((value[0] - value[1]) @ apart)
        if product > float((_errors(f, pair, value) * apart.abs()).sum()):
            return {"x": pair[0].tolist(), "y": pair[1].tolist(), "product": product}
    return None


def _errors(f: StageField, pair: Tensor, value: Tensor) -> Tensor:
    """What rounding may do to f(x) - f(y) [s]: to κσ, and through σ' to W y + b."""
    p, s = f.W.shape
    outer = StageField(torch.eye(p, dtype=torch.float64), f.b, f.kappa, f.sigma, f.complex_)
    inside = pair.abs() @ f.W.abs().mT + f.b.abs()  # [2, p]
    passed = (outer.jacobian(pair @ f.W.mT).abs() @ inside.unsqueeze(-1)).squeeze(-1)
    outside = real_activation(f.sigma, pair @ f.W.mT + f.b, f.complex_).abs() @ f.kappa.abs().mT
    return 4 * (p + s + 16) * _EPS * (value.abs() + passed + outside).sum(0)
