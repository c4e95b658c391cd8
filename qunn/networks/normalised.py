"""Causal normalisation of a forecaster's inputs, the same for every model."""

from __future__ import annotations

from typing import Any, NamedTuple, Self, final

import torch
from torch import Tensor

from hamiltonians.errors import must_be
from hamiltonians.memory import require_memory
from qunn.networks.readout import Core, Readout
from qunn.networks.torch_rnn import TorchRNN
from qunn.quantum.forecaster import QUNNForecaster
from qunn.quantum.network import QUNN
from qunn.sequence import check_finite, check_size
from qunn.storage import Savable, described, from_description

Forecaster = Readout | QUNNForecaster
#: what a window without spread counts as, in units of the series
LEAST_SPREAD = 1e-3
#: windows of fewer bytes are taken without a look at what is free
MUCH = 2**26


class NormalisedState(NamedTuple):
    """The last values [B, window - 1, m], the latest last, how many there were in all [B], and the model's state."""

    past: Tensor
    seen: Tensor
    inner: Any


@final
class CausallyNormalised(Savable):
    """x̂_{l+1} = μ_l + s_l model(z)_l with z_l = (x_l - μ_l)/s_l: mean and spread of the last `window` values.

        μ_l = mean(x_{l-w+1} … x_l),    s_l² = mean((x - μ_l)²) + LEAST_SPREAD²

    Near the start of a sequence the window holds what there is. Nothing later than l enters. Each feature has its own
    mean and spread. Batches come first: input [B, T, m] or [T, m].

    Raises
    ------
    InputError : a model that is no forecaster, reads only the last output, reads its input backwards too, or has
        outputs of another size than its inputs; a window below 2; an input of another shape or dtype, or a state of
        another window or batch.
    MemoryEstimateError : windows that need more memory than is free.

    Examples
    --------
    >>> import torch
    >>> from qunn import CausallyNormalised, Readout, TorchRNN
    >>> _ = torch.manual_seed(0)
    >>> model = CausallyNormalised(Readout(TorchRNN("gru", 1, 8, batch_first=True), 1), window=5).double()
    >>> x = torch.randn(1, 30, 1).double()
    >>> one, other = model(x)[0], model(1000 + 50 * x)[0]  # another zero, another unit
    >>> torch.allclose(other[:, 1:], 1000 + 50 * one[:, 1:], rtol=1e-6)  # the same forecast
    True
    """

    def __init__(self, model: Forecaster, window: int) -> None:
        super().__init__()
        if not isinstance(model, Forecaster):
            raise must_be("model", "a Readout or a QUNNForecaster", type(model).__name__)
        if model.last or not model.batch_first or model.input_size != model.output_size:
            raise must_be("model", "batch first, with an output at every step, of its input's size", model)
        if isinstance(model, Readout) and _bidirectional(model.core):
            raise must_be("model", "of one direction: what it reads backwards is later", model)
        check_size("window", window, least=2)
        self.model, self.window = model, window
        self.input_size = self.output_size = model.input_size

    def forward(self, input: Tensor, state: NormalisedState | None = None) -> tuple[Tensor, NormalisedState]:
        """`(input, state) -> (output, state)`; output_l is the prediction of x_{l+1}."""
        if not isinstance(input, Tensor) or input.dim() not in (2, 3) or input.shape[-1] != self.input_size:
            got = tuple(input.shape) if isinstance(input, Tensor) else type(input).__name__
            raise must_be("input", f"of shape (batch, time, {self.input_size}) or (time, {self.input_size})", got)
        kind = self.model.linear.weight.dtype
        if input.dtype != kind:
            raise must_be("input", f"of dtype {kind}, that of the model", input.dtype)
        if input.shape[-2] == 0:
            raise must_be("input", "at least one time step long", tuple(input.shape))
        check_finite(input, "input")
        batched = input.dim() == 3
        x = input if batched else input[None]
        if (needed := self.bytes_needed(len(x), x.shape[1])) > MUCH:
            what = f"windows of {self.window} values on {len(x)} x {x.shape[1]} elements"
            require_memory(needed, what, "a shorter window or smaller batches need less")
        if state is None:
            before = x.new_zeros(len(x), self.window - 1, self.input_size)
            state = NormalisedState(before, torch.zeros(len(x), dtype=torch.long, device=x.device), None)
        else:
            state = self._state(state, x, batched)
        mean, spread, after, count = self._moments(x, state)
        z = (x - mean) / spread
        output, inner = self.model(z if batched else z[0], state.inner)
        predicted = mean + spread * (output if batched else output[None])
        if not batched:
            return predicted[0], NormalisedState(after[0], count[0], inner)
        return predicted, NormalisedState(after, count, inner)

    def bytes_needed(self, rows: int, steps: int) -> int:
        """What the windows of rows x steps elements take, beside the model."""
        size = self.model.linear.weight.element_size()
        return size * rows * (4 * steps * self.window * self.input_size + (self.window + steps) * self.input_size)

    def _state(self, state: Any, x: Tensor, batched: bool) -> NormalisedState:
        """The state as one of a batch."""
        shape = (len(x), self.window - 1, self.input_size)
        if not (isinstance(state, tuple) and len(state) == 3 and all(isinstance(part, Tensor) for part in state[:2])):
            raise must_be("state", "a NormalisedState", type(state).__name__)
        past, seen = state[:2] if batched else (part[None] for part in state[:2])
        if tuple(past.shape) != shape or tuple(seen.shape) != shape[:1] or past.dtype != x.dtype:
            wanted = f"past {shape if batched else shape[1:]} of {x.dtype} and seen {shape[: int(batched)]}"
            raise must_be("state", wanted, tuple(tuple(part.shape) for part in state[:2]))
        if seen.is_floating_point() or seen.is_complex() or bool((seen < 0).any()):
            raise must_be("seen", "integers of at least 0", seen.tolist())
        check_finite(past, "past")
        return NormalisedState(past, seen, state[2])

    def _moments(self, x: Tensor, state: NormalisedState) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """μ and s [B, T, m], and the window and the count behind x."""
        steps = x.shape[1]
        joined = torch.cat([state.past, x], 1)
        known = state.seen[:, None] + torch.arange(1, steps + 1, device=x.device)
        age = torch.arange(self.window - 1, -1, -1, device=x.device)
        inside = (age < known[..., None])[:, :, None].to(x.dtype)  # [B, T, 1, w]
        windows = joined.unfold(1, self.window, 1)  # [B, T, m, w]
        n = inside.sum(-1)
        mean = (windows * inside).sum(-1) / n
        variance = ((windows - mean[..., None]).square() * inside).sum(-1) / n
        return mean, (variance + LEAST_SPREAD**2).sqrt(), joined[:, steps:], known[:, -1]

    def config(self) -> dict[str, Any]:
        """The constructor's arguments; the model's class and arguments nested in them."""
        return {"model": described(self.model), "window": self.window}

    @classmethod
    def from_config(cls, arguments: dict[str, Any], dtype: torch.dtype) -> Self:
        """A new module from what `config` gave."""
        allowed = ("Readout", "QUNNForecaster")
        return cls(from_description("model", arguments["model"], allowed, dtype), arguments["window"])


def _bidirectional(core: Core) -> bool:
    if isinstance(core, QUNN):
        return False
    return bool(core.rnn.bidirectional if isinstance(core, TorchRNN) else core.bidirectional)
