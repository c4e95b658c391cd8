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
    from qunn.networks.readout import Readout
    from qunn.networks.reset_before_gru import ResetBeforeGRU
    from qunn.networks.torch_rnn import TorchRNN
    from qunn.networks.urnn import URNN
    from qunn.odernn import ODERNN
    from qunn.storage import load, save
    from qunn.tableau import ButcherTableau, tableaux

_HOME = {
    "ARNN": "arnn.network",
    "ButcherTableau": "tableau",
    "CWRNN": "networks.cwrnn",
    "ContractiveRNN": "networks.contractive",
    "ODERNN": "odernn",
    "Readout": "networks.readout",
    "ResetBeforeGRU": "networks.reset_before_gru",
    "TorchRNN": "networks.torch_rnn",
    "URNN": "networks.urnn",
    "as_odernn": "members",
    "load": "storage",
    "save": "storage",
    "tableaux": "tableau",
}

__all__ = [
    "ARNN",
    "CWRNN",
    "ODERNN",
    "URNN",
    "ButcherTableau",
    "ContractiveRNN",
    "Readout",
    "ResetBeforeGRU",
    "TorchRNN",
    "as_odernn",
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
