"""torch's own RNN, LSTM and GRU as modules that a file can hold."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from hamiltonians.errors import must_be, one_of
from qunn.sequence import check_size
from qunn.storage import Savable

KINDS: dict[str, type[nn.RNN] | type[nn.LSTM] | type[nn.GRU]] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
NONLINEARITIES = ("tanh", "relu")


class TorchRNN(Savable):
    """`torch.nn.RNN`, `LSTM` or `GRU` by `kind`, with its own conventions, (input, h_0) -> (output, h_n).

    The torch module is `.rnn`. `nonlinearity` is for the kind rnn only.

    Raises
    ------
    InputError : an unknown kind or nonlinearity, a size below 1, dropout outside [0, 1].

    Examples
    --------
    >>> import torch
    >>> from qunn import TorchRNN
    >>> model, x = TorchRNN("lstm", 3, 8), torch.randn(20, 4, 3)
    >>> torch.equal(model(x)[0], model.rnn(x)[0])
    True
    """

    def __init__(
        self,
        kind: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if kind not in KINDS:
            raise must_be("kind", one_of(KINDS), kind)
        if nonlinearity not in NONLINEARITIES or (kind != "rnn" and nonlinearity != "tanh"):
            allowed = one_of(NONLINEARITIES) if kind == "rnn" else "left out: it belongs to the kind rnn"
            raise must_be("nonlinearity", allowed, nonlinearity)
        for name, size in (("input_size", input_size), ("hidden_size", hidden_size), ("num_layers", num_layers)):
            check_size(name, size)
        if not isinstance(dropout, int | float) or not 0 <= dropout <= 1:
            raise must_be("dropout", "a probability in [0, 1]", dropout)
        self.kind, self.nonlinearity, self.dropout = kind, nonlinearity, float(dropout)
        self.batch_first = batch_first
        self.input_size = input_size
        self.output_size = hidden_size * (2 if bidirectional else 1)
        own = {"nonlinearity": nonlinearity} if kind == "rnn" else {}
        self.rnn = KINDS[kind](
            input_size,
            hidden_size,
            num_layers,
            bias=bias,
            batch_first=batch_first,
            dropout=dropout if num_layers > 1 else 0.0,  # torch warns of one that acts nowhere
            bidirectional=bidirectional,
            device=device,
            dtype=dtype,
            **own,
        )

    def forward(self, input: Any, h_0: Any = None) -> tuple[Any, Any]:
        """As torch's module."""
        output, h_n = self.rnn(input, h_0)
        return output, h_n

    def reset_parameters(self) -> None:
        """Draw the parameters anew, as torch does."""
        self.rnn.reset_parameters()

    def config(self) -> dict[str, Any]:
        """The constructor's arguments, without device and dtype."""
        rnn = self.rnn
        return {
            "kind": self.kind,
            "input_size": rnn.input_size,
            "hidden_size": rnn.hidden_size,
            "num_layers": rnn.num_layers,
            "nonlinearity": self.nonlinearity,
            "bias": rnn.bias,
            "batch_first": rnn.batch_first,
            "dropout": self.dropout,
            "bidirectional": rnn.bidirectional,
        }
