"""Known recurrent networks as members of the family: their weights in Eqs. (2)-(4), their forward never called.

Each `Member` keeps one layer's weights under the original's names and lays them out as coefficients, as in the proofs
of Claims 1-4 where those hold, and mended where they do not (docs/mathematics/known-networks.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from hamiltonians.errors import must_be, one_of
from qunn.activations import ACTIVATIONS
from qunn.arnn.network import ARNN
from qunn.equations import Equations
from qunn.members.anti_hermitian import AntiHermitianMember
from qunn.members.arnn import ARNNMember
from qunn.members.base import Member
from qunn.members.gated import GRUMember, LSTMMember, ResetBeforeGRUMember
from qunn.members.simple import CWRNNMember, ElmanMember, URNNMember
from qunn.networks.cwrnn import CWRNN
from qunn.networks.reset_before_gru import ResetBeforeGRU
from qunn.networks.torch_rnn import TorchRNN
from qunn.networks.urnn import MODRELU, URNN
from qunn.odernn import ODERNN

MEMBERS: dict[str, type[Member]] = {
    member.kind: member
    for member in (
        *(ARNNMember, AntiHermitianMember, CWRNNMember, ElmanMember, GRUMember),
        *(LSTMMember, ResetBeforeGRUMember, URNNMember),
    )
}
_OF_TORCH: dict[type[nn.Module], type[Member]] = {nn.RNN: ElmanMember, nn.LSTM: LSTMMember, nn.GRU: GRUMember}
_OURS: dict[type[nn.Module], type[Member]] = {
    ResetBeforeGRU: ResetBeforeGRUMember,
    URNN: URNNMember,
    CWRNN: CWRNNMember,
    ARNN: ARNNMember,
}


def as_odernn(module: nn.Module) -> ODERNN:
    """The ODERNN with that network's weights: `as_odernn(module)(x, state)` returns what `module(x, state)` returns.

    Takes torch.nn.RNN, LSTM and GRU, and this project's TorchRNN, ResetBeforeGRU, URNN, CWRNN and ARNN, of any number
    of layers. The weights are copied; the module is not kept and its forward is never called. `.n` and `.t` are
    computed from the structure of the result (Table 1 has them beside what the paper claims).

    Raises
    ------
    InputError : another module; one that is bidirectional or has a projection (`proj_size`); an ARNN on a grid.

    Examples
    --------
    >>> import torch
    >>> from qunn import as_odernn
    >>> lstm = torch.nn.LSTM(3, 8, dtype=torch.float64)
    >>> x = torch.randn(20, 4, 3, dtype=torch.float64)
    >>> member = as_odernn(lstm)
    >>> torch.allclose(member(x)[0], lstm(x)[0])
    True
    >>> member.n, member.t
    (2, 1)
    """
    if isinstance(module, TorchRNN):
        module = module.rnn
    if type(module) not in _OF_TORCH and type(module) not in _OURS:
        known = [kind.__name__ for kind in (*_OF_TORCH, *_OURS)]
        raise must_be("module", one_of(known), type(module).__name__)
    net: Any = module
    if net.bidirectional:
        raise must_be("module", "unidirectional: Eqs. (2)-(4) run forward in time only", "bidirectional")
    members = _torch_members(net) if type(module) in _OF_TORCH else _our_members(net)
    result = ODERNN([m.equations() for m in members], batch_first=net.batch_first, dropout=net.dropout)
    return result.to(next(net.parameters()).device).train(net.training)


def _torch_members(net: Any) -> list[Member]:
    if net.proj_size:
        raise must_be("module", "without a projection (`proj_size` 0)", net.proj_size)
    kind = _OF_TORCH[type(net)]
    extra = {"nonlinearity": net.nonlinearity} if kind is ElmanMember else {}
    members = []
    for q in range(net.num_layers):
        # by attribute: parameters that are shared, or computed from others, are read as they are used
        names = ("weight_ih", "weight_hh", *(("bias_ih", "bias_hh") if net.bias else ()))
        weights = {name: getattr(net, f"{name}_l{q}") for name in names}
        rows, features = net.hidden_size, weights["weight_ih"].shape[1]
        dtype = weights["weight_ih"].dtype
        made = kind(features, rows, bias=net.bias, dtype=dtype, **extra)
        members.append(made.to(weights["weight_ih"].device).copy(weights))
    return members


def _our_members(net: Any) -> list[Member]:
    kind = _OURS[type(net)]
    extra: dict[str, Any] = {}
    if isinstance(net, URNN):
        if net.sigma is not None and not net.sigma.named:
            allowed = one_of((MODRELU, *ACTIVATIONS))
            raise must_be("module", f"a URNN with a named activation, {allowed}", net.sigma.name)
        extra = {"activation": MODRELU if net.sigma is None else net.sigma.name}
    if isinstance(net, CWRNN):
        extra = {"periods": list(net.periods)}
    if isinstance(net, ARNN):
        _check_arnn(net)
        run = net.run
        extra = {"scheme": run.scheme.name, "h": run.h, "activation": run.sigma.name, "diffusion": net.diffusion}
    members = []
    for layer in net.layers:
        weights = dict(layer.named_parameters())
        if isinstance(net, URNN):
            with torch.enable_grad():  # whether W is trained shows in its graph
                weights["weight_hh"] = layer.weight_hh  # computed from its parameter: the number is copied
        if isinstance(net, ARNN):
            with torch.enable_grad():
                weights["weight"] = layer.weight
        W = weights["weight_in" if isinstance(net, ARNN) else "weight_ih"]
        made = kind(W.shape[1], net.hidden_size, bias=net.bias, dtype=W.dtype, **extra)
        members.append(made.to(W.device).copy(weights))
    return members


def _check_arnn(net: ARNN) -> None:
    if not net.run.sigma.named:
        raise must_be("module", f"an ARNN with a named activation, {one_of(ACTIVATIONS)}", net.run.sigma.name)
    if net.reversible or not net.return_sequence:
        raise must_be("module", "an ARNN with reversible=False and return_sequence=True", repr(net))


def rebuilt_member(name: str, arguments: Mapping[str, Any], dtype: torch.dtype) -> Equations:
    """A layer as a file describes it, its weights zero.

    Raises
    ------
    InputError : an unknown name.
    """
    if name not in MEMBERS:
        raise must_be("member", one_of(MEMBERS), name)
    return MEMBERS[name](**arguments, dtype=dtype).equations()
