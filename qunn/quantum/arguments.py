"""The arguments of a QUNN: what each may be."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from hamiltonians.errors import InputError, must_be, one_of
from hamiltonians.memory import require_memory
from qunn.activations import Activation, activation
from qunn.quantum import clock as clocks
from qunn.quantum import history

SKIPS = ("scalar", "diagonal", "matrix")
MODES = ("literal", "unitary")
BACKENDS = ("structured", "dense")
DEFAULT_ACTIVATIONS = ("tanh", "tanh", "identity")
#: with `recompute`, elements are taken in parts whose hidden states need about this many bytes
PART_BYTES = 2**26

Probability = float | Sequence[float] | Tensor
Sigma = str | Activation | Callable[[Tensor], Tensor]


def check_dtype(dtype: Any) -> torch.dtype:
    """That of parameters: torch's default where it is left out; refuses what is not floating-point or complex."""
    if dtype is None:
        return torch.get_default_dtype()
    if not isinstance(dtype, torch.dtype) or not (dtype.is_floating_point or dtype.is_complex):
        raise must_be("dtype", "a real or complex floating-point torch.dtype", dtype)
    return dtype


def require_depth(clock: str, num_layers: int, period: int) -> None:
    """Refuse L < N-1 with a one-hot clock (E5).

    Layer k writes on the clock state l-k; the read-out looks at l+1, which is l-(N-1) mod N: without a layer N-1
    nothing is ever written there.
    """
    if clock == "one-hot" and num_layers < period - 1:
        reason = (
            "with a one-hot clock fewer layers never write on the clock state l+1 that is read: the output would be 0"
        )
        least = f"`num_layers` must be at least period - 1 = {period - 1}, but is {num_layers}"
        raise InputError(f"{least}: {reason} (E5)", "num_layers")


def check_names(**given: str) -> None:
    """Refuse a name that its argument does not know."""
    known = {"clock": clocks.KINDS, "skip": SKIPS, "history": history.KINDS, "mode": MODES, "backend": BACKENDS}
    for name, value in given.items():
        if value not in known[name]:
            raise must_be(name, one_of(known[name]), value)


def activations_of(given: Any, mode: str) -> tuple[Activation, Activation, Activation]:
    """σ_1, σ_2, σ_out; identities in the unitary mode, which has none."""
    if not isinstance(given, tuple | list) or len(given) != 3:
        raise must_be("activations", "σ_1, σ_2 and σ_out, three names or callables", given)
    first, second, out = (activation(sigma, "activations") for sigma in given)
    if mode == "literal":
        return first, second, out
    names = tuple(sigma.name for sigma in (first, second, out))
    if names not in (DEFAULT_ACTIVATIONS, ("identity",) * 3):
        raise must_be("activations", 'left out, or identities, with mode="unitary"', names)
    none = activation("identity")
    return none, none, none


def probability(name: str, value: Any, size: int) -> Tensor:
    """As float64 [size], all in [0, 1]; 0 and 1 for all or for none."""
    if isinstance(value, bool):
        raise must_be(name, f"a number in [0, 1], or {size} of them", value)
    try:
        p = torch.as_tensor(value, dtype=torch.float64, device="cpu").detach()
    except (TypeError, ValueError, RuntimeError) as error:
        raise must_be(name, f"a number in [0, 1], or {size} of them", value) from error
    if p.dim() > 1 or p.numel() not in (1, size):
        raise must_be(name, f"a number in [0, 1], or {size} of them", value)
    outside = p[~((p >= 0) & (p <= 1))]
    if len(outside):
        raise must_be(name, "in [0, 1]", outside[0].item())
    ends = (p == 0) | (p == 1)
    if ends.any() and not ends.all():
        raise must_be(name, "exactly 0 or 1, and then fixed, for every l or for none", value)
    return p.reshape(-1).expand(size).clone()


def fixed(p: Tensor) -> bool:
    """Whether p is 0 or 1 throughout: no parameter."""
    return bool(((p == 0) | (p == 1)).all())


def logit_of(p: Tensor, dtype: torch.dtype) -> Tensor:
    """The raw parameter of p: ±inf where p is fixed; else one with a sigmoid that is neither 0 nor 1 in that dtype."""
    if not fixed(p):
        numbers = torch.finfo(dtype)
        p = p.clamp(numbers.tiny, 1 - numbers.eps)
    return torch.logit(p)


def require_parameters(
    period: int, depth: int, shape: tuple[int, ...], kind: torch.dtype, device: torch.device | str | None
) -> None:
    """Refuse sizes whose parameters do not fit; p1 and p2 are drawn on the host, wherever the module goes."""
    needed = 64 * period
    if torch.empty(0, device=device).device.type == "cpu":
        needed += kind.itemsize * (4 * period + depth * math.prod(shape) + (math.prod(shape) if len(shape) == 2 else 0))
    if needed > PART_BYTES:
        sizes = f"a QUNN with period {period} and {depth} layers"
        require_memory(needed, f"the parameters of {sizes}", 'smaller ones, or `skip="scalar"`, need less')
