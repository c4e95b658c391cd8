"""A stretch of time steps of (*) in `qunn.arnn.schemes`: forwards, backwards in time, and the adjoint of the couplings.

In floating point s_{j-1} = s_{j+1} - c_j σ(…) rounds, and a nonlinear network multiplies the error in every step. So
the reversible mode keeps the states on a grid: float64 numbers that are multiples of 2^-f. The increment is rounded to
the grid as well, q = round(2^f c σ(…)) 2^-f. Sums of multiples of 2^-f below 2^(53-f) are exact, so subtracting the
same q restores the past bit for bit. What has to be the same is the matrix product: it is recomputed with the same
shapes at the same addresses modulo 64 bytes, since BLAS kernels may sum in another order elsewhere. Rounding counts as
the identity in the gradient (straight-through): it moves an increment by at most 2^-(f+1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from hamiltonians.errors import InputError
from qunn.activations import Activation
from qunn.arnn.schemes import MANTISSA, Recurrence, Scheme


@final
@dataclass(frozen=True)
class Weights:
    """W [H, H], V [H, m] and b [H] of one layer, detached, laid out for products with rows."""

    W: Tensor
    V: Tensor
    b: Tensor | None

    def right(self, scheme: Scheme) -> list[Tensor]:
        """R with s @ R = M_j s, for the couplings of a time step."""
        return [(self.W.conj() if a else self.W.mT).resolve_conj().contiguous() for a in scheme.adjoint]

    def project(self, x: Tensor) -> Tensor:
        """u = V x + b: [k, B, m] -> [k, B, H]; x is copied so that its alignment is always the same."""
        rows = torch.empty(x.shape, dtype=x.dtype, device=x.device).copy_(x).flatten(0, 1)
        u = torch.mm(rows, self.V.mT) if self.b is None else torch.addmm(self.b, rows, self.V.mT)
        return u.view(*x.shape[:2], self.V.shape[0])


def real(z: Tensor) -> Tensor:
    """z itself, or a view of the real and imaginary parts of a complex z."""
    return torch.view_as_real(z) if z.is_complex() else z


def to_grid(run: Recurrence, s: Tensor) -> Tensor:
    """A copy of s, rounded to multiples of 2^-f where the states live on the grid."""
    s = s.clone(memory_format=torch.contiguous_format)
    if run.fraction_bits is not None:
        real(s).mul_(2.0**run.fraction_bits).round_().mul_(2.0**-run.fraction_bits)
    return s


class Stretch:
    """k ≤ CHUNK time steps, J = p·k couplings, in buffers S [J + lag + 1, B, H] and G = σ(…) [J, B, H].

    S[lag + i] is s_i, counted from the stretch's first state. The loops work on lists of slices and on the real views
    of complex buffers: σ, the grid and the additions act on real and imaginary parts by themselves.
    """

    def __init__(
        self, run: Recurrence, x: Tensor, shape: torch.Size, dtype: torch.dtype, buffers: tuple[Tensor, ...] = ()
    ) -> None:
        self.run, self.x = run, x
        self.p, self.lag = run.scheme.p, run.scheme.lag
        self.k = x.shape[0]
        self.J = self.p * self.k
        if buffers:  # a last stretch is shorter: the head of the same buffers, at the same addresses
            self.S, self.G = buffers[0][: self.J + self.lag + 1], buffers[1][: self.J]
        else:
            self.S = torch.empty((self.J + self.lag + 1, *shape), dtype=run.wide(dtype), device=x.device)
            self.G = torch.empty((self.J, *shape), dtype=dtype, device=x.device)

    def put(self, i: int, pair: list[Tensor]) -> None:
        """Set (s_i, s_{i-1})."""
        for back, s in enumerate(pair):
            self.S[self.lag + i - back] = s

    def pair(self, i: int) -> list[Tensor]:
        """A copy of (s_i, s_{i-1})."""
        return [self.S[self.lag + i - back].clone() for back in range(self.lag + 1)]

    def outputs(self) -> Tensor:
        """s_p, s_2p … [k, B, H]."""
        return self.S[self.lag + self.p :: self.p]

    def advance(self, u: Tensor, right: list[Tensor]) -> None:
        """From (s_0, s_{-1}) to all states of the stretch."""
        s, lag = real(self.S).unbind(0), self.lag
        increment, alphas = self._increments(u, right)
        for i in range(self.J):
            torch.add(s[i], increment(i), alpha=alphas[i % self.p], out=s[i + lag + 1])
        self._check_range()

    def retreat(self, u: Tensor, right: list[Tensor]) -> None:
        """From (s_J, s_{J-1}) to all states of the stretch: the increments of `advance`, subtracted."""
        s = real(self.S).unbind(0)
        increment, alphas = self._increments(u, right)
        for i in reversed(range(self.J)):
            torch.sub(s[i + 2], increment(i), alpha=alphas[i % self.p], out=s[i])
        self._check_range()

    def _increments(self, u: Tensor, right: list[Tensor]) -> tuple[Callable[[int], Tensor], list[float]]:
        """(i -> q, α) with s_{i+1} - s_{i-lag} = α q. Both directions call this, so that q is the same. Fills G[i]."""
        run, p, lag = self.run, self.p, self.lag
        us, sources, G = u.unbind(0), self.S.unbind(0), self.G.unbind(0)
        apply = _in_place(run.sigma)
        values = (real(self.G) if run.sigma.pointwise else self.G).unbind(0)
        increments = real(self.G).unbind(0)
        steps = [run.h * factor for factor in run.scheme.factors]
        narrow = None if self.S.dtype == self.G.dtype else torch.empty_like(self.G[0])

        def plain(i: int) -> Tensor:
            source = sources[i + lag] if narrow is None else narrow.copy_(sources[i + lag])
            torch.addmm(us[i // p], source, right[i % p], out=G[i])
            apply(values[i])
            return increments[i]

        if run.fraction_bits is None:
            return plain, steps
        scales = [c * 2.0**run.fraction_bits for c in steps]
        q = torch.empty_like(real(self.S[0]))

        def on_grid(i: int) -> Tensor:
            torch.mul(plain(i), scales[i % p], out=q)
            return q.round_()

        return on_grid, [2.0**-run.fraction_bits] * p

    def _check_range(self) -> None:
        """Additions on the grid are exact only below 2^(52-f); NaN fails as well."""
        if self.run.fraction_bits is None or not self.S.numel():
            return
        limit = 2.0 ** (MANTISSA - self.run.fraction_bits)
        low, high = torch.aminmax(real(self.S))
        if not bool((high < limit) & (low > -limit)):
            largest = max(float(high), -float(low))
            raise InputError(
                f"`fraction_bits` must leave room for the states, which reach {largest:.4g}, but is "
                f"{self.run.fraction_bits}: the grid ends at 2^(52 - fraction_bits) = {limit:g}",
                "fraction_bits",
            )

    def adjoint(self, back: list[Tensor], cur: Tensor, other: Tensor, given: Tensor | None) -> tuple[Tensor, ...]:
        """dL/dv_i for every coupling, [J, B, H], and (dL/ds_0, dL/ds_{-1}) before the stretch.

        v_i = M s_i + u, cur = dL/ds_J in full, other = dL/ds_{J-1} from what lies behind, given = dL/d(outputs) but for
        the last output, which is in cur. Torch's convention for complex numbers: v = M s gives dL/ds = Mᴴ dL/dv. Both
        buffers are overwritten; for lag = 0 they are the same.
        """
        run, p = self.run, self.p
        assert run.sigma.slope_from_value is not None
        values = real(self.G)
        steps = torch.tensor([run.h * c for c in run.scheme.factors], dtype=values.dtype, device=values.device)
        steps = steps.repeat(self.k).view(-1, *[1] * (values.dim() - 1))
        slopes = (run.sigma.slope_from_value(values) * steps).unbind(0)  # c σ'(v_i)
        DV = torch.empty_like(self.G)
        dv, dv_real = DV.unbind(0), real(DV).unbind(0)
        for i in reversed(range(self.J)):
            torch.mul(real(cur), slopes[i], out=dv_real[i])
            other.addmm_(dv[i], back[i % p])
            if given is not None and i and i % p == 0:
                other.add_(given[i // p - 1])
            if self.lag:
                cur, other = other, cur
        return DV, cur, other


def _in_place(sigma: Activation) -> Callable[[Tensor], Any]:
    """v -> σ(v), written over v."""
    known: dict[str, Callable[[Tensor], Any]] = {
        "identity": lambda _: None,
        "tanh": torch.tanh_,
        "sigmoid": torch.sigmoid_,
        "relu": torch.relu_,
    }
    if sigma.named and sigma.name in known:
        return known[sigma.name]
    return lambda v: v.copy_(sigma.function(v))
