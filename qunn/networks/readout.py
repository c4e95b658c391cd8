"""A recurrent core with a linear read-out: what is trained on a task."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from hamiltonians.errors import must_be, one_of
from qunn.networks.torch_rnn import TorchRNN
from qunn.sequence import RecurrentLayer, SequenceModule, check_size
from qunn.storage import CLASSES, Savable

Core = SequenceModule | TorchRNN


class Readout(Savable):
    """(input, h_0) -> (A y + a, h_n) with y, h_n the core's; a complex y is read as [Re y, Im y].

    last : read only the output after the last step, [B, p] instead of [B, T, p]; of a packed sequence, after each
        sequence's own last step.

    The core keeps its conventions (batch_first, unbatched and packed inputs, the state's shape). The read-out is drawn
    uniformly in ±1/√features, as torch.nn.Linear does.

    Raises
    ------
    InputError : a core that is neither one of this project's sequence modules nor a TorchRNN; an output_size below 1.
    """

    def __init__(
        self,
        core: Core,
        output_size: int,
        *,
        last: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(core, SequenceModule | TorchRNN):
            raise must_be("core", "a sequence module of this project or a TorchRNN", type(core).__name__)
        check_size("output_size", output_size)
        self.core = core
        self.last = last
        kind = _output_dtype(core)
        self.complex = kind.is_complex
        features = core.output_size * (2 if self.complex else 1)
        self.linear = nn.Linear(features, output_size, device=device, dtype=(dtype or kind).to_real())

    def forward(self, input: Any, h_0: Any = None) -> tuple[Any, Any]:
        """Outputs [B, T, p] ([T, B, p] without `batch_first`; a PackedSequence of them for one), or [B, p]; and h_n."""
        y, h_n = self.core(input, h_0)
        if not isinstance(y, PackedSequence):
            return self.read(self._last(y) if self.last else y), h_n
        if not self.last:
            return PackedSequence(self.read(y.data), y.batch_sizes, y.sorted_indices, y.unsorted_indices), h_n
        padded, lengths = pad_packed_sequence(y, batch_first=True)
        rows = torch.arange(len(lengths), device=padded.device)
        return self.read(padded[rows, lengths.to(padded.device) - 1]), h_n

    def read(self, y: Tensor) -> Tensor:
        """A y + a of the core's outputs [..., features]."""
        result: Tensor = self.linear(torch.cat([y.real, y.imag], -1) if self.complex else y)
        return result

    def _last(self, y: Tensor) -> Tensor:
        return y[:, -1] if self.core.batch_first and y.dim() == 3 else y[-1]

    def config(self) -> dict[str, Any]:
        """The constructor's arguments; the core's class and arguments nested in them."""
        core = {"class": type(self.core).__name__, "arguments": self.core.config()}
        return {"core": core, "output_size": self.linear.out_features, "last": self.last}

    @classmethod
    def from_config(cls, arguments: dict[str, Any], dtype: torch.dtype) -> Self:
        """A new module from what `config` gave."""
        name = arguments["core"]["class"]
        if name not in CLASSES or name == cls.__name__:
            raise must_be("core", one_of(c for c in CLASSES if c != cls.__name__), name)
        kind: type[Savable] = getattr(import_module(CLASSES[name]), name)
        core = kind.from_config(arguments["core"]["arguments"], dtype)
        if not isinstance(core, SequenceModule | TorchRNN):
            raise must_be("core", "a sequence module of this project or a TorchRNN", name)
        return cls(core, arguments["output_size"], last=arguments["last"], dtype=dtype)


def _output_dtype(core: Core) -> torch.dtype:
    if isinstance(core, TorchRNN):
        return next(core.parameters()).dtype
    layer = core.layers[-1]
    assert isinstance(layer, RecurrentLayer)
    return layer.state_dtype
