"""The recurrent cores that a command line can name. Importing this loads no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hamiltonians.errors import must_be, one_of
from qunn.options import checked

if TYPE_CHECKING:
    import torch

    from qunn.networks.normalised import Forecaster
    from qunn.networks.readout import Core

#: options of a QUNN; hidden_layers is L, 0: as many as the period
_QUNN: dict[str, Any] = {
    "period": 0,
    "hidden_layers": 0,
    "clock": "one-hot",
    "share": False,
    "step": 1.0,
    "sigma_1": "tanh",
    "sigma_2": "tanh",
    "sigma_out": "identity",
    "p1": 0.12,
    "p2": 0.27,
    "history": "sliding",
}
#: no series has a longer period; the heads are built one by one
MOST = {"period": 10**6, "hidden_layers": 10**6, "size": 10**6, "heads": 1000}
#: models that take their sizes from their own options, not from --hidden-size, --layers and --dropout
OWN_SIZES = ("qunn", "qunn-forecaster")
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
    "qunn": ("QUNN on the series itself, Definition 5; period=0: the task's own", _QUNN),
    "qunn-forecaster": (
        "encoder, QUNNs side by side, linear read-out; period=0: the task's own",
        {"encoding": "affine", "size": 2, "heads": 1} | _QUNN | {"clock": "learned-read"},
    ),
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


def build_model(
    name: str,
    input_size: int,
    hidden_size: int,
    output_size: int,
    *,
    last: bool = False,
    residual: bool = False,
    **options: Any,
) -> Forecaster:
    """The core of that name under a linear read-out (`qunn.Readout`), or a QUNNForecaster; options as for `build`."""
    from qunn.networks.readout import Readout

    if name == "qunn-forecaster":
        return _forecaster(input_size, options, output_size=output_size, last=last, residual=residual)
    core = build(name, input_size, hidden_size, **options)
    return Readout(core, output_size, last=last, residual=residual, dtype=options.get("dtype"))


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


def _qunn(w: _Wanted) -> Core:
    from qunn.quantum.network import QUNN

    return QUNN(w.m, **_of_qunn(w.own), batch_first=True, dtype=w.common["dtype"])


def _forecaster(input_size: int, options: dict[str, Any], **others: Any) -> Forecaster:
    from qunn.quantum.forecaster import QUNNForecaster

    known = model_options("qunn-forecaster")
    given = {key: value for key, value in options.items() if key not in ("num_layers", "dropout", "dtype")}
    own = known | checked(given, known, "option of qunn-forecaster")
    return QUNNForecaster(input_size, **_of_qunn(own), **others, dtype=options.get("dtype"))


def _of_qunn(own: dict[str, Any]) -> dict[str, Any]:
    """The options as a QUNN's arguments."""
    for name, most in MOST.items():
        if own.get(name, 0) > most:
            raise must_be(name, f"at most {most}", own[name])
    if own["hidden_layers"] < 0:
        raise must_be("hidden_layers", "an integer of at least 1, or 0: as many as the period", own["hidden_layers"])
    arguments = {key: value for key, value in own.items() if not key.startswith("sigma_")}
    arguments["num_layers"] = arguments.pop("hidden_layers") or None
    return arguments | {"activations": tuple(own[f"sigma_{at}"] for at in ("1", "2", "out"))}


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
    "qunn": _qunn,
    "odernn": _odernn,
}
