"""The gated recurrent unit as the paper prints it (Eqs. 22-24): not the one of torch.nn.GRU."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from hamiltonians.errors import must_be
from qunn.sequence import RecurrentLayer, SequenceModule, State, cascade, check_size, draw_uniform


@final
class _ResetBeforeGRULayer(RecurrentLayer):
    """weight_ih [3H, m], weight_hh [3H, H] and bias [3H], their blocks in the order r, z, n."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_size("input_size", input_size)
        check_size("hidden_size", hidden_size)
        if dtype is not None and not dtype.is_floating_point:
            raise must_be("dtype", "a real floating-point dtype", dtype)
        self.input_size, self.output_size, self.state_sizes = input_size, hidden_size, (hidden_size,)
        self.weight_ih = nn.Parameter(torch.empty(3 * hidden_size, input_size, device=device, dtype=dtype))
        self.weight_hh = nn.Parameter(torch.empty(3 * hidden_size, hidden_size, device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.empty(3 * hidden_size, device=device, dtype=dtype)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform in ±1/√H, as in torch.nn.GRU."""
        draw_uniform(self, self.output_size)

    def scan(self, x: Tensor, state: State, step: int) -> tuple[Tensor, State]:  # noqa: ARG002 - no clock in it
        """x [T, B, m], h [B, H] -> outputs [T, B, H] and the last of them."""
        (h,) = state
        H = self.output_size
        inputs = linear(x, self.weight_ih, self.bias)  # [T, B, 3H]
        W, W_g = self.weight_hh[: 2 * H].t(), self.weight_hh[2 * H :].t()
        outputs = []
        for v in inputs.unbind(0):
            r, z = torch.sigmoid(torch.addmm(v[:, : 2 * H], h, W)).chunk(2, -1)
            n = torch.tanh(torch.addmm(v[:, 2 * H :], r * h, W_g))
            h = torch.lerp(h, n, z)  # (1-z)∘h + z∘n
            outputs.append(h)
        return torch.stack(outputs), (h,)


@final
class ResetBeforeGRU(SequenceModule):
    """A gated recurrent unit whose reset gate acts before the product, Eqs. (22)-(24).

        [r; z] = σ(W [x_l; h_l] + b_rz)
        h_{l+1} = (1-z)∘h_l + z∘tanh(W_x x_l + W_g (r∘h_l) + b_n)

    This is another network than torch.nn.GRU, in two ways. There z is swapped, h' = (1-z)∘n + z∘h, which a change of
    sign of z's weights undoes; and there the reset comes after the product, n = tanh(… + r∘(W_g h + b_hn)), which no
    change of weights undoes. Here reset and product are in the order of Cho et al. 2014, and z as in Chung et al. 2014.
    The paper prints no biases; `bias=False` leaves them out.

    Arguments are those of torch.nn.GRU; the calling conventions are in `SequenceModule`. The state is one tensor
    [directions·num_layers, B, H]. Layer q's parameters are `layers[q].weight_ih` [3H, m], `.weight_hh` [3H, H] and
    `.bias` [3H], their blocks in the order r, z, n.

    Raises
    ------
    InputError : a size or number of layers below 1, dropout outside [0, 1], a dtype that is not real.

    References
    ----------
    Cho et al., "Learning phrase representations using RNN encoder-decoder" (2014), Eqs. (5)-(8); Chung et al.,
    "Empirical evaluation of gated recurrent neural networks on sequence modeling" (2014).

    Examples
    --------
    >>> import torch
    >>> from qunn import ResetBeforeGRU, as_odernn
    >>> gru, x = ResetBeforeGRU(3, 8).double(), torch.randn(20, 4, 3).double()
    >>> torch.allclose(gru(x)[0], as_odernn(gru)(x)[0])  # as Eqs. (2)-(4) have it
    True
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        def layer(features: int) -> RecurrentLayer:
            return _ResetBeforeGRULayer(features, hidden_size, bias=bias, device=device, dtype=dtype)

        layers = cascade(layer, input_size, num_layers, bidirectional)
        super().__init__(layers, batch_first=batch_first, dropout=dropout, bidirectional=bidirectional)
        self.hidden_size = hidden_size
        self.bias = bias

    def config(self) -> dict[str, Any]:
        """The constructor's arguments, without device and dtype."""
        return self.common_config() | {"bias": self.bias}

    def extra_repr(self) -> str:
        """The sizes and whatever is not a default."""
        return super().extra_repr() + ("" if self.bias else ", bias=False")
