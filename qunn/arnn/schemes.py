"""The ARNN's schemes as data: one recurrence of additive couplings (Eq. 1 with h in both lines, E8).

    s_{j+1} = s_{j-lag} + c_j σ(M_j s_j + u_l),    u_l = V x_l + b,    l = j // p                              (*)

with p couplings a time step:

    symplectic Euler   p = 2, lag = 1, c = (-h, h), M = (Wᴴ, W), s_0 = Y, s_{-1} = Z
                       Z ← Z - h σ(Wᴴ Y + u), then Y ← Y + h σ(W Z + u)
    leapfrog           p = 1, lag = 1, c = 2h, M = W, s_0 = Y_l, s_{-1} = Y_{l-1}
                       Y_{l+1} = Y_{l-1} + 2h σ(W Y_l + u)
    forward Euler      p = 1, lag = 0, c = h, M = W, s_0 = Y_l
                       Y_{l+1} = Y_l + h σ(W Y_l + u)

The output of time l is s_{p(l+1)}. Where lag = 1 the increment does not depend on what it is added to, so
s_{j-1} = s_{j+1} - c_j σ(M_j s_j + u_l) recovers the past (Theorem 3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch

from hamiltonians.errors import InputError, must_be, one_of
from qunn.activations import ACTIVATIONS, Activation

#: time steps in a stretch: products of this many steps are efficient, and k·p·B·H numbers are small
CHUNK = 128
MANTISSA = 52  # explicit bits of a float64


@final
@dataclass(frozen=True)
class Scheme:
    """One case of (*).

    Attributes
    ----------
    name : as the constructor of ARNN takes it.
    lag : 1 where s_{j+1} continues s_{j-1}, 0 where it continues s_j. The state has lag + 1 parts: s_0, s_{-1}.
    factors : c_j/h of the p couplings of a time step.
    adjoint : for each of them, whether M_j is Wᴴ instead of W.
    """

    name: str
    lag: int
    factors: tuple[float, ...]
    adjoint: tuple[bool, ...]

    @property
    def p(self) -> int:
        """Couplings in a time step."""
        return len(self.factors)

    @property
    def reversible(self) -> bool:
        """Whether the past follows from the present by subtractions."""
        return self.lag == 1


SCHEMES = {
    scheme.name: scheme
    for scheme in (
        Scheme("symplectic-euler", 1, (-1.0, 1.0), (True, False)),
        Scheme("leapfrog", 1, (2.0,), (False,)),
        Scheme("forward-euler", 0, (1.0,), (False,)),
    )
}


@final
@dataclass(frozen=True)
class Recurrence:
    """(*) with everything that is no tensor.

    Attributes
    ----------
    scheme, h, sigma : as in (*).
    fraction_bits : f of the grid; None: ordinary floating point, whose gradient stores every state.
    sequence : whether all outputs are returned, or the last one alone, as a sequence of length 1.
    chunk : time steps in a stretch.

    Raises
    ------
    InputError : a grid for what is not reversible or has no σ' in terms of σ, or f outside of 1 … 51.
    """

    scheme: Scheme
    h: float
    sigma: Activation
    fraction_bits: int | None = None
    sequence: bool = True
    chunk: int = CHUNK

    def __post_init__(self) -> None:
        f = self.fraction_bits
        if f is None:
            return
        if isinstance(f, bool) or not isinstance(f, int) or not 1 <= f < MANTISSA:
            raise must_be("fraction_bits", f"an integer from 1 to {MANTISSA - 1}", f)
        if not self.scheme.reversible:
            names = one_of(s.name for s in SCHEMES.values() if s.reversible)
            reason = "each step adds to Y what depends on that Y: an equation for the past, no subtraction"
            raise InputError(
                f"`scheme` must be {names} to be reversible, but is {self.scheme.name}: {reason}", "scheme"
            )
        if not self.written_out:
            names = one_of(a.name for a in ACTIVATIONS.values() if a.slope_from_value)
            raise must_be("activation", f"{names} in reversible mode", self.sigma.name)

    @property
    def written_out(self) -> bool:
        """Whether σ is pointwise with σ' a function of σ, so that the gradient can be written out."""
        return self.sigma.slope_from_value is not None and self.sigma.pointwise

    def wide(self, dtype: torch.dtype) -> torch.dtype:
        """The dtype of the states: that of the weights, or double precision on the grid."""
        if self.fraction_bits is None:
            return dtype
        return torch.complex128 if dtype.is_complex else torch.float64
