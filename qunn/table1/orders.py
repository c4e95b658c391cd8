"""Table 1: the orders n and t of known networks as printed, as the paper proves them, and as they are built here.

n counts the stages that reach Y_{l+1}, t is 1 + the longest delay that is read; both are computed from the coefficients
of `qunn.as_odernn`, a layer at a time, and never written down here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import nn

from qunn.members import as_odernn
from qunn.networks.cwrnn import CWRNN
from qunn.networks.urnn import URNN
from qunn.quantum.network import QUNN

DEPTHS = (1, 2, 3, 4)
Make = Callable[[int], nn.Module]


@final
@dataclass(frozen=True)
class Orders:
    """(n, t) of every layer, bottom first, for networks of several depths L.

    Attributes
    ----------
    layers : L -> (n, t) a layer.
    each : (n, t) where all layers agree, else None.
    """

    layers: Mapping[int, tuple[tuple[int, int], ...]]

    @property
    def each(self) -> tuple[int, int] | None:
        """What all layers of all depths have in common."""
        found = {pair for pairs in self.layers.values() for pair in pairs}
        return found.pop() if len(found) == 1 else None

    @property
    def beyond_depth(self) -> tuple[int, int] | None:
        """(n - L, t - L) where one entry a network has them the same for all depths, else None."""
        found = {(n - L, t - L) for L, pairs in self.layers.items() for n, t in pairs}
        single = all(len(pairs) == 1 for pairs in self.layers.values())
        return found.pop() if single and len(found) == 1 else None


@final
@dataclass(frozen=True)
class Row:
    """A column of Table 1, as a row.

    Attributes
    ----------
    network : its name there. printed : in Table 1. proved : in the proofs. measured : of a layer as built; of
        the QUNN as a whole.
    remark : where the three part, with the erratum.
    """

    network: str
    printed: str
    proved: str
    measured: Orders
    remark: str


def orders(make: Make, depths: Sequence[int] = DEPTHS) -> Orders:
    """Of the modules make(L) for every L of `depths`.

    Raises
    ------
    InputError : a module that `as_odernn` does not take.
    """
    found = {}
    for L in depths:
        layers = as_odernn(make(L)).equations
        found[L] = tuple((layer.structure.reached_stages(), layer.structure.memory()) for layer in layers)
    return Orders(found)


def qunn_orders(depths: Sequence[int] = DEPTHS) -> Orders:
    """Of the QUNN with N = L as a whole, for every L ≥ 2 of `depths`: its L layers work on one input after another.

    n : σ_1 and a σ_2 a layer. t : how many of the inputs up to Y_l the output at l has a gradient in, at random data.
    """
    found = {}
    for L in depths:
        if L < 2:
            continue
        model = QUNN(2, L, dtype=torch.float64)
        generator = torch.Generator().manual_seed(0)
        Y = torch.randn(2 * L + 1, 2, generator=generator, dtype=torch.float64, requires_grad=True)
        (slope,) = torch.autograd.grad(model(Y)[0][-1].sum(), Y)
        found[L] = ((model.num_layers + 1, int((slope != 0).any(-1).sum())),)
    return Orders(found)


def _cwrnn(L: int) -> nn.Module:
    """L layers, each with L clocks: Claim 4 speaks of clocks, Table 1 of layers."""
    return CWRNN(2, 2 * L, L, periods=[2**i for i in range(L)])


def _urnn(L: int) -> nn.Module:
    return URNN(2, 4, L, dtype=torch.complex64)


_E4 = "E4: the table swaps n and t against the proofs."
#: network -> (as printed, as proved, how to build it with L layers, remark)
_TABLE: dict[str, tuple[str, str, Make | None, str]] = {
    "LSTM": (
        "2-L",
        "L-2",
        lambda L: nn.LSTM(2, 4, L),
        f"{_E4} Claim 1 sets n = 2, t = 1 for one layer, as built: K_1 = c_l, K_2 = c_{{l+1}}, no delay.",
    ),
    "GRU": (
        "2-L",
        "L-2",
        lambda L: nn.GRU(2, 4, L),
        f"{_E4} Claim 2 rewrites r∘Y as a pointwise function of W Y, which it is not; as built D[r] is α_21, no delay.",
    ),
    "URNN": (
        "2-L",
        "L-2",
        _urnn,
        f"{_E4} E15: Eq. (28) recurs over layers only, and Claim 3's W_q = 0 deletes the input; as built "
        "K_1 = σ(V x + W h).",
    ),
    "CW-RNN": (
        "L-L",
        "L-L",
        _cwrnn,
        "L are layers in Table 1 and clocks in Claim 4; as built L of each. Eq. (29) zeroes modules that sleep; as "
        "built they keep their state (γ_2 = D[1 - awake]), which takes a mask, no stages and no delays.",
    ),
    "QUNN": (
        "L-L",
        "L-L",
        None,
        "Stated without proof. Of the whole network with N = L: σ_1 and L times σ_2; the output sees Y_l … Y_{l-L+1}.",
    ),
}


def table1(depths: Sequence[int] = DEPTHS) -> tuple[Row, ...]:
    """All rows; the networks are built and thrown away."""
    return tuple(
        Row(name, printed, proved, qunn_orders(depths) if make is None else orders(make, depths), remark)
        for name, (printed, proved, make, remark) in _TABLE.items()
    )
