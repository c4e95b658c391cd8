"""The ODERNN family in torch, and the project's command lines.

Importing this package loads no torch, so that `python -m qunn.ground_state --help` answers at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qunn import stability
    from qunn.arnn.network import ARNN
    from qunn.members import as_odernn
    from qunn.networks.contractive import ContractiveRNN
    from qunn.networks.cwrnn import CWRNN
    from qunn.networks.normalised import CausallyNormalised
    from qunn.networks.readout import Readout
    from qunn.networks.reset_before_gru import ResetBeforeGRU
    from qunn.networks.torch_rnn import TorchRNN
    from qunn.networks.urnn import URNN
    from qunn.odernn import ODERNN
    from qunn.period import Period, estimate_period
    from qunn.quantum.dense import layer
    from qunn.quantum.forecaster import QUNNForecaster
    from qunn.quantum.network import QUNN
    from qunn.storage import load, save
    from qunn.tableau import ButcherTableau, tableaux

_HOME = {
    "ARNN": "arnn.network",
    "ButcherTableau": "tableau",
    "CWRNN": "networks.cwrnn",
    "CausallyNormalised": "networks.normalised",
    "ContractiveRNN": "networks.contractive",
    "ODERNN": "odernn",
    "Period": "period",
    "QUNN": "quantum.network",
    "QUNNForecaster": "quantum.forecaster",
    "Readout": "networks.readout",
    "ResetBeforeGRU": "networks.reset_before_gru",
    "TorchRNN": "networks.torch_rnn",
    "URNN": "networks.urnn",
    "as_odernn": "members",
    "estimate_period": "period",
    "layer": "quantum.dense",
    "load": "storage",
    "save": "storage",
    "tableaux": "tableau",
}

__all__ = [
    "ARNN",
    "CWRNN",
    "ODERNN",
    "QUNN",
    "URNN",
    "ButcherTableau",
    "CausallyNormalised",
    "ContractiveRNN",
    "Period",
    "QUNNForecaster",
    "Readout",
    "ResetBeforeGRU",
    "TorchRNN",
    "as_odernn",
    "estimate_period",
    "layer",
    "load",
    "save",
    "stability",
    "tableaux",
]


def __getattr__(name: str) -> Any:
    if name == "stability":
        return import_module("qunn.stability")
    if name not in _HOME:
        raise AttributeError(f"module 'qunn' has no attribute {name!r}")
    return getattr(import_module(f"qunn.{_HOME[name]}"), name)
