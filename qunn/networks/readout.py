"""A recurrent core with a linear read-out: what is trained on a task."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from hamiltonians.errors import must_be
from qunn.networks.torch_rnn import TorchRNN
from qunn.quantum.network import QUNN
from qunn.sequence import RecurrentLayer, SequenceModule, check_flag, check_residual, check_size
from qunn.storage import CLASSES, Savable, described, from_description

Core = SequenceModule | TorchRNN | QUNN
#: what can be saved and is no core
WRAPPERS = ("CausallyNormalised", "QUNNForecaster", "Readout")


class Readout(Savable):
    """(input, h_0) -> (A y + a, h_n) with y, h_n the core's; a complex y is read as [Re y, Im y].

    residual : A y + a + x with the input x, so that the read-out foretells a change.
    last : read only the output after the last step, [B, p] instead of [B, T, p]; of a packed sequence, after each
        sequence's own last step.

    The core keeps its conventions (batch_first, unbatched and packed inputs, the state's shape). The read-out is drawn
    uniformly in ±1/√features, as torch.nn.Linear does.

    Raises
    ------
    InputError : a core that is none of this project's sequence modules, QUNN, or TorchRNN; an output_size below 1;
        residual where sizes differ; an input for which a QUNN of real numbers has complex outputs.

    Examples
    --------
    >>> import torch
    >>> from qunn import Readout, TorchRNN
    >>> model = Readout(TorchRNN("lstm", 3, 8, batch_first=True), output_size=2, last=True).double()
    >>> x = torch.randn(5, 20, 3).double()
    >>> output, _ = model(x)
    >>> output.shape, torch.allclose(output, model.read(model.core(x)[0])[:, -1])
    (torch.Size([5, 2]), True)
    """

    def __init__(
        self,
        core: Core,
        output_size: int,
        *,
        last: bool = False,
        residual: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(core, Core):
            raise must_be("core", "a sequence module of this project, a QUNN or a TorchRNN", type(core).__name__)
        check_size("output_size", output_size)
        check_flag("last", last)
        check_residual(residual, last, core.input_size, output_size)
        self.core = core
        self.last = last
        self.residual = residual
        self.batch_first = core.batch_first
        kind = _output_dtype(core)
        self.complex = kind.is_complex
        features = core.output_size * (2 if self.complex else 1)
        self.input_size, self.output_size = core.input_size, output_size
        self.linear = nn.Linear(features, output_size, device=device, dtype=(dtype or kind).to_real())

    def forward(self, input: Any, h_0: Any = None) -> tuple[Any, Any]:
        """Outputs [B, T, p] ([T, B, p] without `batch_first`; a PackedSequence of them for one), or [B, p]; and h_n."""
        y, h_n = self.core(input, h_0)
        if not isinstance(y, PackedSequence):
            output = self.read(self._last(y) if self.last else y)
            return (output + input if self.residual else output), h_n
        if not self.last:
            data = self.read(y.data) + input.data if self.residual else self.read(y.data)
            return PackedSequence(data, y.batch_sizes, y.sorted_indices, y.unsorted_indices), h_n
        padded, lengths = pad_packed_sequence(y, batch_first=True)
        rows = torch.arange(len(lengths), device=padded.device)
        return self.read(padded[rows, lengths.to(padded.device) - 1]), h_n

    def read(self, y: Tensor) -> Tensor:
        """A y + a of the core's outputs [..., features]."""
        if y.is_complex() and not self.complex:
            raise must_be("input", "real, or the core of a complex dtype", "complex")
        result: Tensor = self.linear(torch.cat([y.real, y.imag], -1) if self.complex else y)
        return result

    def _last(self, y: Tensor) -> Tensor:
        return y[:, -1] if self.core.batch_first and y.dim() == 3 else y[-1]

    def config(self) -> dict[str, Any]:
        """The constructor's arguments; the core's class and arguments nested in them."""
        own = {"output_size": self.output_size, "last": self.last, "residual": self.residual}
        return {"core": described(self.core)} | own

    @classmethod
    def from_config(cls, arguments: dict[str, Any], dtype: torch.dtype) -> Self:
        """A new module from what `config` gave."""
        allowed = [name for name in CLASSES if name not in WRAPPERS]
        core = from_description("core", arguments["core"], allowed, dtype)
        own = {key: value for key, value in arguments.items() if key != "core"}
        return cls(core, **own, dtype=dtype)


def _output_dtype(core: Core) -> torch.dtype:
    if isinstance(core, QUNN):
        return core.p1_logit.dtype if core.skip is None else core.skip.dtype
    if isinstance(core, TorchRNN):
        return next(core.parameters()).dtype
    layer = core.layers[-1]
    assert isinstance(layer, RecurrentLayer)
    return layer.state_dtype
