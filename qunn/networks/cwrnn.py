"""The clockwork RNN: modules of units that run at clocks of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from hamiltonians.errors import must_be
from qunn.sequence import RecurrentLayer, SequenceModule, State, cascade, check_size, draw_uniform


@final
class _CWRNNLayer(RecurrentLayer):
    """weight_ih [H, m], weight_hh [H, H], block upper triangular, and bias [H]."""

    sees: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        periods: tuple[int, ...],
        *,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_size("input_size", input_size)
        if dtype is not None and not dtype.is_floating_point:
            raise must_be("dtype", "a real floating-point dtype", dtype)
        self.input_size, self.output_size, self.state_sizes = input_size, hidden_size, (hidden_size,)
        self.periods = periods
        self.weight_ih = nn.Parameter(torch.empty(hidden_size, input_size, device=device, dtype=dtype))
        self.weight_hh = nn.Parameter(torch.empty(hidden_size, hidden_size, device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.empty(hidden_size, device=device, dtype=dtype)) if bias else None
        module = torch.arange(hidden_size, device=device) // (hidden_size // len(periods))  # of every unit
        self.register_buffer("sees", module[:, None] <= module, persistent=False)  # the arguments determine it
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform in ±1/√H, as in torch.nn.RNN; zero below the diagonal of blocks."""
        draw_uniform(self, self.output_size)
        with torch.no_grad():
            self.weight_hh.mul_(self.sees)

    def recurrent_weight(self) -> Tensor:
        """W_H [H, H]: `weight_hh` with its blocks from faster modules fixed at zero, so that their gradient is zero."""
        return self.weight_hh.masked_fill(~self.sees, 0.0)

    def scan(self, x: Tensor, state: State, step: int) -> tuple[Tensor, State]:
        """x [T, B, m], h [B, H] -> outputs [T, B, H] and the last of them; x[0] is at time `step`."""
        (h,) = state
        W_H = self.recurrent_weight()
        inputs = linear(x, self.weight_ih, self.bias)  # [T, B, H]
        outputs, clocks = [], {}
        for l, v in enumerate(inputs.unbind(0), step):  # noqa: E741 - the paper's time
            active = tuple(l % period == 0 for period in self.periods)
            if active not in clocks:
                clocks[active] = self._rows(W_H, active)
            rows, W, awake = clocks[active]
            if not rows:
                outputs.append(h)
                continue
            new = torch.tanh(torch.addmm(v[:, :rows], h, W))
            if awake is not None:
                new = torch.where(awake, new, h[:, :rows])
            h = new if rows == self.output_size else torch.cat([new, h[:, rows:]], -1)
            outputs.append(h)
        return torch.stack(outputs), (h,)

    def _rows(self, W_H: Tensor, active: tuple[bool, ...]) -> tuple[int, Tensor, Tensor | None]:
        """How many rows reach down to the slowest active module, W_H's columns for them, and which are awake.

        With exponential periods all modules above the slowest active one are active too: no mask is needed.
        """
        last = max((i + 1 for i, on in enumerate(active) if on), default=0)
        size = self.output_size // len(active)
        W = W_H[: last * size].t()
        if all(active[:last]):
            return last * size, W, None
        return last * size, W, torch.tensor(active[:last], device=W.device).repeat_interleave(size)


@final
class CWRNN(SequenceModule):
    """A clockwork RNN (Koutník et al. 2014), Eq. (29) but for what inactive modules do.

        h_{l+1} = tanh(W_H h_l + W_I x_l + b)     on the units of the modules i with l mod T_i = 0,
        h_{l+1} = h_l                             on all others.

    The H units are g modules of H/g units, sorted by period T_1 ≤ … ≤ T_g. W_H is block upper triangular: module i
    sees itself and the modules after it, which are slower (or, of equal period, come later in the list).

    Departure: Eq. (29) makes W_H(l) and W_I(l) zero on inactive rows, so that a module's state is lost
    as soon as it sleeps. In Koutník et al. "the other modules retain their output values", and so they do here.

    Arguments are those of torch.nn.RNN, and `periods`, by default exponential, for four modules; the calling
    conventions are in `SequenceModule`. The state is one tensor [directions·num_layers, B, H]; all layers run by the
    same periods. The first element of a sequence is at l = 0, where every module is active; for a later piece give
    `forward(…, step=)`, the index of its first element in the whole. The backward direction counts from the end.

    Raises
    ------
    InputError : periods that are no positive integers, or decrease; a hidden size that is no multiple of their number;
        a size or number of layers below 1, dropout outside [0, 1], a dtype that is not real.

    References
    ----------
    Koutník, Greff, Gomez, Schmidhuber, "A clockwork RNN" (ICML 2014), Eqs. (1)-(4).

    Examples
    --------
    >>> import torch
    >>> from qunn import CWRNN
    >>> _ = torch.manual_seed(0)
    >>> output, _ = CWRNN(1, 6, periods=(1, 2, 4))(torch.randn(8, 1, 1))  # three modules of two units
    >>> moved = (output[1:] != output[:-1])[:, 0, ::2].int()  # a unit of each, at l = 1 … 7
    >>> moved.sum(0).tolist()  # active at all, at 2, 4, 6, and at 4
    [7, 3, 1]
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        periods: Sequence[int] = (1, 2, 4, 8),
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_size("hidden_size", hidden_size)
        periods = _checked(periods, hidden_size)

        def layer(features: int) -> RecurrentLayer:
            return _CWRNNLayer(features, hidden_size, periods, bias=bias, device=device, dtype=dtype)

        layers = cascade(layer, input_size, num_layers, bidirectional)
        super().__init__(layers, batch_first=batch_first, dropout=dropout, bidirectional=bidirectional)
        self.hidden_size = hidden_size
        self.periods = periods
        self.bias = bias

    def config(self) -> dict[str, Any]:
        """The constructor's arguments, without device and dtype."""
        return self.common_config() | {"periods": list(self.periods), "bias": self.bias}

    def extra_repr(self) -> str:
        """The sizes, the periods and whatever is not a default."""
        return f"{super().extra_repr()}, periods={self.periods}" + ("" if self.bias else ", bias=False")


def _checked(periods: Sequence[int], hidden_size: int) -> tuple[int, ...]:
    if not isinstance(periods, tuple | list) or not periods:
        raise must_be("periods", "a non-empty list of integers", periods)
    for period in periods:
        check_size("periods", period)
    if list(periods) != sorted(periods):
        raise must_be("periods", "sorted, the shortest first", periods)
    if hidden_size % len(periods):
        raise must_be("hidden_size", f"a multiple of {len(periods)}, the number of periods", hidden_size)
    return tuple(periods)
