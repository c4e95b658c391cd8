"""The recurrent cores that a command line can name. Importing this loads no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hamiltonians.errors import must_be, one_of
from qunn.options import checked

if TYPE_CHECKING:
    import torch

    from qunn.networks.readout import Core, Readout

#: name -> (what it is in one line, its own options with their defaults)
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "rnn": ("torch.nn.RNN", {"nonlinearity": "tanh"}),
    "lstm": ("torch.nn.LSTM", {}),
    "gru": ("torch.nn.GRU", {}),
    "urnn": ("unitary RNN with modReLU (orthogonal with complex=false)", {"complex": True}),
    "cwrnn": ("clockwork RNN", {"periods": "1,2,4,8"}),
    "reset-before-gru": ("GRU that resets before the product, as the paper prints it", {}),
    "arnn-symplectic-euler": ("1-2-ARNN, Eq. (1)", {"h": 0.1, "weight": "antisymmetric", "reversible": False}),
    "arnn-leapfrog": ("2-2-ARNN, explicit midpoint", {"h": 0.1, "weight": "antisymmetric", "reversible": False}),
    "arnn-forward-euler": (
        "AntisymmetricRNN, forward Euler with diffusion",
        {"h": 0.1, "weight": "antisymmetric", "diffusion": 0.0},
    ),
    "contractive": ("contractive by construction", {"tableau": "implicit_midpoint", "h": 0.5}),
    "odernn": (
        "a Butcher tableau and a field, by their names",
        {"tableau": "rk4", "field": "antisymmetric", "h": 0.1},
    ),
}


def model_options(name: str) -> dict[str, Any]:
    """The options of a model's own with their defaults."""
    if name not in MODELS:
        raise must_be("model", one_of(MODELS), name)
    return dict(MODELS[name][1])


def build(
    name: str,
    input_size: int,
    hidden_size: int,
    *,
    num_layers: int = 1,
    dropout: float = 0.0,
    dtype: torch.dtype | None = None,
    **options: Any,
) -> Core:
    """The core of that name, batch first; its parameters are drawn from torch's global generator.

    Raises
    ------
    InputError : an unknown name or option, or arguments that the core refuses.
    """
    own = model_options(name) | checked(options, model_options(name), f"option of {name}")
    common = {"num_layers": num_layers, "dropout": dropout, "batch_first": True, "dtype": dtype}
    return _BUILDERS[name](_Wanted(name, input_size, hidden_size, common, own))


def build_readout(
    name: str, input_size: int, hidden_size: int, output_size: int, *, last: bool = False, **options: Any
) -> Readout:
    """The core of that name under a linear read-out (`qunn.Readout`); options as for `build`."""
    from qunn.networks.readout import Readout

    core = build(name, input_size, hidden_size, **options)
    return Readout(core, output_size, last=last, dtype=options.get("dtype"))


@dataclass(frozen=True)
class _Wanted:
    """A core to build; `common`: the arguments that all take, `own`: this model's options."""

    name: str
    m: int
    size: int
    common: dict[str, Any]
    own: dict[str, Any]


def _torch(w: _Wanted) -> Core:
    from qunn.networks.torch_rnn import TorchRNN

    return TorchRNN(w.name, w.m, w.size, **w.common, **w.own)


def _urnn(w: _Wanted) -> Core:
    import torch

    from qunn.networks.urnn import URNN

    dtype = w.common["dtype"] or torch.get_default_dtype()
    return URNN(w.m, w.size, **w.common | {"dtype": dtype.to_complex() if w.own["complex"] else dtype})


def _cwrnn(w: _Wanted) -> Core:
    from qunn.networks.cwrnn import CWRNN

    words = w.own["periods"].split(",")
    if not all(word.strip().isdecimal() for word in words):
        raise must_be("periods", "integers with commas between them", w.own["periods"])
    return CWRNN(w.m, w.size, periods=[int(word) for word in words], **w.common)


def _reset_before_gru(w: _Wanted) -> Core:
    from qunn.networks.reset_before_gru import ResetBeforeGRU

    return ResetBeforeGRU(w.m, w.size, **w.common)


def _arnn(w: _Wanted) -> Core:
    from qunn.arnn.network import ARNN

    scheme: Any = w.name.removeprefix("arnn-")
    return ARNN(w.m, w.size, scheme=scheme, **w.common, **w.own)


def _contractive(w: _Wanted) -> Core:
    from qunn.networks.contractive import ContractiveRNN

    return ContractiveRNN(w.m, w.size, **w.common, **w.own)


def _odernn(w: _Wanted) -> Core:
    from qunn.fields import make_field
    from qunn.odernn import ODERNN

    sizes = [w.m] + [w.size] * (w.common["num_layers"] - 1)
    fields = [make_field(w.own["field"], size=w.size, input_size=n, dtype=w.common["dtype"]) for n in sizes]
    settings = {key: w.common[key] for key in ("batch_first", "dropout")}
    return ODERNN.from_tableau(w.own["tableau"], fields, w.own["h"], **settings)


_BUILDERS: dict[str, Callable[[_Wanted], Core]] = {
    "rnn": _torch,
    "lstm": _torch,
    "gru": _torch,
    "urnn": _urnn,
    "cwrnn": _cwrnn,
    "reset-before-gru": _reset_before_gru,
    "arnn-symplectic-euler": _arnn,
    "arnn-leapfrog": _arnn,
    "arnn-forward-euler": _arnn,
    "contractive": _contractive,
    "odernn": _odernn,
}
