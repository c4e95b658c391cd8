"""The models of benchmarks/forecast.py: what each may choose from, and how it is built at a number of parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import islice
from typing import Any

import torch
from forecast_protocol import Data
from sklearn.model_selection import ParameterSampler
from torch import Tensor, nn

from qunn import ARNN, QUNN, CausallyNormalised, QUNNForecaster, Readout
from qunn.networks.torch_rnn import TorchRNN

Options = Mapping[str, Any]
Make = Callable[[], Any]
#: QUNNForecasters have at most so many parameters a step of the period, "comparable" models about as many, and
#: the large ones at least ten times as many
PER_STEP = 10
_TANH, _IDENTITY = ("tanh",) * 2 + ("identity",), ("identity",) * 3

#: for all alike: the rate, normalisation by the last 2N values, whether a change is foretold
COMMON: dict[str, list[Any]] = {"lr": [0.003, 0.01, 0.03], "causal": [0, 2], "residual": [False, True]}
SPACES: dict[str, dict[str, list[Any]]] = {
    "LSTM": COMMON | {"layers": [1, 2]},
    "GRU": COMMON | {"layers": [1, 2]},
    "AntisymmetricRNN": COMMON | {"h": [0.05, 0.2, 0.5], "diffusion": [0.0, 0.1]},
    "QUNN": COMMON | {"clock": ["one-hot", "learned", "learned-read"], "activations": [_TANH, _IDENTITY]},
    "QUNNForecaster": COMMON | {"lr": [0.03], "depth": [1, 2]},
}


def trials(name: str, count: int, seed: int) -> list[Options]:
    """`count` different choices of options, drawn with this seed."""
    return list(ParameterSampler(SPACES[name], count, random_state=seed))


def build(name: str, options: Options, data: Data, size: str, seed: int) -> nn.Module:
    """A model whose parameters are drawn with this seed; `size`: "comparable", "ten times", or "own"."""
    make = sized(name, options, data.period, size)
    torch.manual_seed(seed)
    model = make()
    return CausallyNormalised(model, options["causal"] * data.period) if options["causal"] else model


def sized(name: str, options: Options, N: int, size: str) -> Make:
    """How to make it, without normalisation; a hidden size is what comes near the number of parameters."""
    if name == "QUNN":
        return partial(_qunn, options, N)
    if name == "QUNNForecaster":
        return _forecaster(options, N)
    few = PER_STEP * N
    makes = (partial(_recurrent, name, options, H) for H in range(1, 400))
    if size == "ten times":
        return next(make for make in makes if count(make()) >= 10 * few)
    return min(islice(makes, 40), key=lambda make: abs(count(make()) - few))


def _qunn(options: Options, N: int) -> Readout:
    core = QUNN(1, N, clock=options["clock"], activations=options["activations"])
    return Readout(core, 1, residual=options["residual"])


def _forecaster(options: Options, N: int) -> Make:
    """L = depth N; two heads with encodings in 3 dimensions, or 2 where there are not parameters enough."""
    for depth, d in ((options["depth"], 3), (options["depth"], 2), (1, 2)):
        make = partial(QUNNForecaster, 1, N, depth * N, heads=2, size=d, share=True, residual=options["residual"])
        if count(make()) <= PER_STEP * N:
            return make
    raise ValueError(f"no forecaster with at most {PER_STEP * N} parameters")


def _recurrent(name: str, options: Options, H: int) -> Readout:
    if name == "AntisymmetricRNN":
        core: Any = ARNN(1, H, scheme="forward-euler", h=options["h"], diffusion=options["diffusion"], batch_first=True)
    else:
        core = TorchRNN(name.lower(), 1, H, options["layers"], batch_first=True)
    return Readout(core, 1, residual=options["residual"])


def count(model: nn.Module) -> int:
    """Trained numbers."""
    return sum(p.numel() for p in model.parameters())


class Linear(nn.Module):
    """x̂_{l+1} = Σ_k w_k x_{l-k} + w_0 over the last N values; 0 before the first."""

    def __init__(self, weights: Tensor, bias: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("weights", weights.flip(0))  # the oldest first, as windows have it
        self.bias = bias

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x [B, T, 1]."""
        N = len(self.weights)
        past = x.new_zeros(len(x), N - 1, 1) if state is None else state
        joined = torch.cat([past, x], 1)
        output = joined.unfold(1, N, 1) @ self.weights + self.bias  # [B, T, 1]
        return output, joined[:, len(joined[0]) - N + 1 :]


def baselines(data: Data) -> dict[str, Linear]:
    """What needs no gradient: the last value, the value a period ago, and least squares on the last N."""
    N, x = data.period, data.x[: data.a].double()
    rows = torch.cat([x[:-1].unfold(0, N, 1), torch.ones(data.a - N, 1, dtype=x.dtype)], 1)
    solved = torch.linalg.lstsq(rows, x[N:, None], driver="gelsd").solution[:, 0].to(data.x.dtype)
    one = torch.eye(N)
    return {
        "persistence": Linear(one[0]),
        "seasonal-naive": Linear(one[-1]),
        "AR(N)": Linear(solved[:-1].flip(0), float(solved[-1])),
    }


#: rows of the table: model and size
ROWS: tuple[tuple[str, str], ...] = (
    ("QUNN", "own"),
    ("QUNNForecaster", "own"),
    *((name, size) for name in ("LSTM", "GRU", "AntisymmetricRNN") for size in ("comparable", "ten times")),
)
